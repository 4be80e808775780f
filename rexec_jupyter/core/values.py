"""Python objects to payload parts and back.

A value is a list of parts: part 0 is a pickle stream (protocol 5, by cloudpickle), the
others are its out-of-band buffers, such as the memory of NumPy arrays, never copied here.
Part 0 is padded (a pickle ends at its STOP), so that arrays lie aligned in the concatenation.

Cells
-----
Part 0 of a cell is a MessagePack array ``[source, names, env, keep, strict, padding]``. There
``names`` maps each name to ``[pickle, buffers]``: its pickle stream and how many of the following
parts are its buffers, in order. ``env`` maps names of environment variables to their values;
``keep`` and ``strict`` are those of `dump_cell`. Part 0 of a cell's result is an array
``[value, outputs, reason, ref, padding]``: ``value`` is ``[pickle, buffers]`` or nil, ``outputs``
is like ``names``, ``reason`` tells why there is no value where one was asked for, and ``ref`` is
the name that the value has in the session.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cloudpickle
import msgspec

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.trust import payload_digest

SCALARS = frozenset({type(None), bool, int, float, complex, str, bytes})
"""Types of which pickle makes the same as cloudpickle, which takes far longer."""

_Stream = tuple[bytes, int]
_ALIGNMENT = 64
_SMALL = 1024
"""Bytes below which a buffer is not worth a part of its own."""
_MOST_BUFFERS = 64
"""Parts of one value; a list of thousands of arrays has its others in the pickle. A payload can
have no more than the protocol allows."""


class UnpicklableError(TypeError):
    """A value cannot be sent. Attributes: ``name`` (may be empty), ``kind``, ``reason``."""

    def __init__(self, name: str, kind: str, reason: str) -> None:
        super().__init__(f"{name or 'the value'} ({kind}) cannot be pickled: {reason}")
        self.name = name
        self.kind = kind
        self.reason = reason


class OversizeError(ValueError):
    """Values take more bytes than they may.

    Attributes
    ----------
    sizes
        Type and bytes of each by name; empty if they were not counted to the end.
    limit
        Bytes that they may take together.
    """

    def __init__(self, sizes: dict[str, tuple[str, int]], limit: int) -> None:
        super().__init__(f"more than {limit:,} bytes")
        self.sizes = sizes
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Pickled:
    """A value that was pickled before; stands for it wherever a value is dumped."""

    parts: list[p.Buffer]


def type_name(value: object) -> str:
    """Return the type of a value as people write it, such as ``pandas.DataFrame``."""
    cls = type(value)
    if cls.__module__ in ("builtins", "__main__"):
        return cls.__qualname__
    return f"{cls.__module__}.{cls.__qualname__}"


def dump(value: object, name: str = "", *, limit: int = 0) -> list[p.Buffer]:
    """Turn a value into parts.

    Parameters
    ----------
    value
        Any object that cloudpickle can pickle.
    name
        What to call it in an error.
    limit
        Bytes it may take, 0 for no limit. Pickling ends as soon as it takes more.

    Raises
    ------
    UnpicklableError
        If it cannot be pickled.
    OversizeError
        If it takes more than `limit` bytes.
    """
    if type(value) in SCALARS:
        scalar = pickle.dumps(value, protocol=5)
        if limit and len(scalar) > limit:
            raise OversizeError({}, limit)
        return [scalar]
    if type(value) is Pickled:  # asking an instance for its class may run code of the user
        return value.parts
    buffers: list[pickle.PickleBuffer] = []

    def out_of_band(buffer: pickle.PickleBuffer) -> bool:
        """Take a buffer as a part of its own; true if it is to stay in the pickle instead."""
        if len(buffers) >= _MOST_BUFFERS or buffer.raw().nbytes < _SMALL:
            return True
        buffers.append(buffer)
        return False

    try:
        if limit:
            stream = _dump_within(value, limit, out_of_band)
        else:
            stream = cloudpickle.dumps(value, protocol=5, buffer_callback=out_of_band)
        padding = bytes(-len(stream) % _ALIGNMENT) if buffers else b""
        return [stream + padding, *(buffer.raw() for buffer in buffers)]
    except OversizeError:
        raise
    except RecursionError:
        raise UnpicklableError(name, type_name(value), "it is nested too deeply") from None
    except Exception as error:
        # Whatever __reduce__ of somebody's class raises: it is that class's way to refuse.
        raise UnpicklableError(name, type_name(value), _one_line(error)) from error


def load(parts: Sequence[p.Buffer]) -> Any:
    """Turn parts into the value again. Never call it on bytes whose origin was not checked."""
    return pickle.loads(parts[0], buffers=parts[1:])  # noqa: S301 - the point of the module


def describe(parts: Sequence[p.Buffer]) -> p.Payload:
    """Return the sizes and the digest of parts, as an inline payload."""
    return p.Payload(sizes=[len(part) for part in parts], digest=payload_digest(parts))


def split(buffer: p.Buffer, sizes: Sequence[int]) -> list[p.Buffer]:
    """Cut the concatenation of parts into views of the parts.

    Raises
    ------
    ValueError
        If the sizes do not add up to the buffer's length.
    """
    if sum(sizes) != len(buffer):
        raise ValueError("the sizes of the parts do not match the payload")
    view = memoryview(buffer)
    parts: list[p.Buffer] = []
    at = 0
    for size in sizes:
        parts.append(view[at : at + size])
        at += size
    return parts


def join(parts: Sequence[p.Buffer]) -> p.Buffer:
    """Return the concatenation of parts; the part itself if there is one."""
    return parts[0] if len(parts) == 1 else b"".join(parts)


@dataclass(frozen=True, slots=True)
class CellPayload:
    """A cell as it arrives, with a function that loads each name; else as for `dump_cell`."""

    source: str
    names: dict[str, Callable[[], Any]]
    env: dict[str, str] = field(default_factory=dict)
    keep: dict[str, bytes] = field(default_factory=dict)
    strict: bool = False


@dataclass(frozen=True, slots=True)
class CellValues:
    """What a successful cell returned.

    Attributes
    ----------
    outputs
        The names that were asked for.
    has_value, value
        The last expression, if it was asked for and could be sent.
    reason
        Why there is no value although one was asked for; else empty.
    ref
        The name under which the session keeps the last expression; empty if it does not.
    """

    outputs: dict[str, Any] = field(default_factory=dict)
    has_value: bool = False
    value: Any = None
    reason: str = ""
    ref: str = ""


class _Cell(msgspec.Struct, array_like=True):
    source: str
    names: dict[str, _Stream]
    env: dict[str, str] = {}
    keep: dict[str, bytes] = {}
    strict: bool = False
    padding: bytes = b""


class _CellResult(msgspec.Struct, array_like=True):
    value: _Stream | None
    outputs: dict[str, _Stream]
    reason: str = ""
    ref: str = ""
    padding: bytes = b""


def dump_cell(
    source: str,
    names: Mapping[str, object],
    env: Mapping[str, str] | None = None,
    *,
    keep: Mapping[str, bytes] | None = None,
    strict: bool = False,
) -> list[p.Buffer]:
    """Turn a cell's source and the values it needs into parts.

    Parameters
    ----------
    source
        Its text.
    names
        Values by name.
    env
        Environment variables that are set while it runs.
    keep
        Names of which a value that the session assigned itself stays, with the digest of the
        value here: so that it can be told where the two differ. They need not be in `names`.
    strict
        Run nothing if there are any that differ.

    Raises
    ------
    UnpicklableError
        If a value cannot be pickled; it tells the name.
    """
    buffers: list[p.Buffer] = []
    streams = {name: _dump_stream(value, name, buffers) for name, value in names.items()}
    cell = _Cell(source, streams, dict(env or {}), dict(keep or {}), strict)
    return [_encode_aligned(cell), *buffers]


def load_cell(parts: Sequence[p.Buffer]) -> CellPayload:
    """Read what `dump_cell` made; each name is unpickled when it is asked for.

    Raises
    ------
    ValueError
        If it is no cell.
    """
    cell = msgspec.msgpack.decode(parts[0], type=_Cell)
    loaders = _loaders(cell.names, parts, 1)
    return CellPayload(cell.source, loaders, cell.env, cell.keep, cell.strict)


def dump_cell_result(
    outputs: Mapping[str, object],
    value: object = None,
    *,
    has_value: bool = False,
    value_limit: int = p.VALUE,
    max_recv: int = 0,
    ref: str = "",
) -> list[p.Buffer]:
    """Turn what a cell is to return into parts.

    Parameters
    ----------
    outputs
        Values by name; all of them must be picklable.
    value, has_value
        The last expression, if it is wanted. If it cannot be pickled or takes more than
        `value_limit` bytes it is left out and the reason told.
    max_recv
        Bytes that `outputs` may take together; 0 for no limit.
    ref
        See `CellValues`.

    Raises
    ------
    UnpicklableError
        If one of `outputs` cannot be pickled.
    OversizeError
        If they take more than they may.
    """
    buffers: list[p.Buffer] = []
    streams: dict[str, _Stream] = {}
    sizes: dict[str, tuple[str, int]] = {}
    for name, item in outputs.items():
        at = len(buffers)
        streams[name] = _dump_stream(item, name, buffers)
        sizes[name] = (type_name(item), _nbytes(streams[name], buffers[at:]))
    if max_recv and sum(nbytes for _, nbytes in sizes.values()) > max_recv:
        raise OversizeError(sizes, max_recv)
    stream: _Stream | None = None
    reason = ""
    if has_value:
        own: list[p.Buffer] = []
        try:
            stream = _dump_stream(value, "", own, limit=max(1, value_limit))
        except UnpicklableError as error:
            reason = str(error)
        except OversizeError:
            reason = f"the value takes more than {value_limit:,} bytes"
        else:
            buffers += own
    return [_encode_aligned(_CellResult(stream, streams, reason, ref)), *buffers]


def load_cell_result(parts: Sequence[p.Buffer]) -> CellValues:
    """Read what `dump_cell_result` made. Never call it on bytes that were not checked.

    Raises
    ------
    Exception
        Whatever unpickling raises, for instance where a module is missing here.
    """
    result = msgspec.msgpack.decode(parts[0], type=_CellResult)
    outputs = {name: read() for name, read in _loaders(result.outputs, parts, 1).items()}
    if result.value is None:
        return CellValues(outputs, reason=result.reason, ref=result.ref)
    at = 1 + sum(count for _, count in result.outputs.values())
    (read,) = _loaders({"": result.value}, parts, at).values()
    return CellValues(outputs, has_value=True, value=read(), ref=result.ref)


def _encode_aligned(message: _Cell | _CellResult) -> bytes:
    encoded = msgspec.msgpack.encode(message)
    message.padding = bytes(-len(encoded) % _ALIGNMENT)
    return msgspec.msgpack.encode(message)


def _dump_stream(value: object, name: str, buffers: list[p.Buffer], *, limit: int = 0) -> _Stream:
    stream, *own = dump(value, name, limit=limit)
    if limit and _nbytes((bytes(stream), 0), own) > limit:  # pickled before
        raise OversizeError({}, limit)
    buffers += own
    return bytes(stream), len(own)


def _nbytes(stream: _Stream, buffers: Sequence[p.Buffer]) -> int:
    return len(stream[0]) + sum(map(len, buffers))


def _dump_within(
    value: object, limit: int, out_of_band: Callable[[pickle.PickleBuffer], bool]
) -> bytes:
    """Pickle a value that takes at most `limit` bytes, and do no more work than that."""
    stream = _Bounded(limit)

    def counted(buffer: pickle.PickleBuffer) -> bool:
        stays = out_of_band(buffer)
        if not stays:  # what stays is counted as it is written
            stream.count(buffer.raw().nbytes)
        return stays

    cloudpickle.Pickler(stream, protocol=5, buffer_callback=counted).dump(value)
    return stream.getvalue()


class _Bounded(io.BytesIO):
    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._count = 0

    def count(self, nbytes: int) -> None:
        self._count += nbytes
        if self._count > self._limit:
            raise OversizeError({}, self._limit)

    def write(self, data: p.Buffer, /) -> int:  # type: ignore[override] # io has another Buffer
        self.count(len(data))
        return super().write(data)


def _loaders(
    streams: Mapping[str, _Stream], parts: Sequence[p.Buffer], at: int
) -> dict[str, Callable[[], Any]]:
    loaders: dict[str, Callable[[], Any]] = {}
    for name, (stream, count) in streams.items():
        own = [stream, *parts[at : at + count]]
        if len(own) != count + 1:
            raise ValueError("a buffer is missing")
        loaders[name] = lambda own=own: load(own)  # type: ignore[misc]
        at += count
    return loaders


def _one_line(error: BaseException) -> str:
    text = str(error).partition("\n")[0].strip()
    return text[:200] or type(error).__name__
