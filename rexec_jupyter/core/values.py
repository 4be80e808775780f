"""Python objects to payload parts and back.

A value is a list of parts: part 0 is a pickle stream (protocol 5, by cloudpickle), the
others are its out-of-band buffers, such as the memory of NumPy arrays, never copied here.
Part 0 is padded (a pickle ends at its STOP), so that arrays lie aligned in the concatenation.

Cells
-----
Part 0 of a cell is a MessagePack array ``[source, names, padding]``, where ``names`` maps each
name to ``[pickle, buffers]``: its pickle stream and how many of the following parts are its
buffers, in order. Part 0 of a cell's result is an array ``[value, outputs, reason, padding]``:
``value`` is ``[pickle, buffers]`` or nil, ``outputs`` is like ``names``, and ``reason`` tells
why there is no value where one was asked for.
"""

from __future__ import annotations

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


class UnpicklableError(TypeError):
    """A value cannot be sent. Attributes: ``name`` (may be empty), ``kind``, ``reason``."""

    def __init__(self, name: str, kind: str, reason: str) -> None:
        super().__init__(f"{name or 'the value'} ({kind}) cannot be pickled: {reason}")
        self.name = name
        self.kind = kind
        self.reason = reason


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


def dump(value: object, name: str = "") -> list[p.Buffer]:
    """Turn a value into parts.

    Parameters
    ----------
    value
        Any object that cloudpickle can pickle.
    name
        What to call it in an error.

    Raises
    ------
    UnpicklableError
        If it cannot be pickled.
    """
    if type(value) in SCALARS:
        return [pickle.dumps(value, protocol=5)]
    if isinstance(value, Pickled):
        return value.parts
    buffers: list[pickle.PickleBuffer] = []
    try:
        stream = cloudpickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        padding = bytes(-len(stream) % _ALIGNMENT) if buffers else b""
        return [stream + padding, *(buffer.raw() for buffer in buffers)]
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
    """A cell as it arrives: its source, and a function that loads each name it brings."""

    source: str
    names: dict[str, Callable[[], Any]]


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
    """

    outputs: dict[str, Any] = field(default_factory=dict)
    has_value: bool = False
    value: Any = None
    reason: str = ""


class _Cell(msgspec.Struct, array_like=True):
    source: str
    names: dict[str, _Stream]
    padding: bytes = b""


class _CellResult(msgspec.Struct, array_like=True):
    value: _Stream | None
    outputs: dict[str, _Stream]
    reason: str = ""
    padding: bytes = b""


def dump_cell(source: str, names: Mapping[str, object]) -> list[p.Buffer]:
    """Turn a cell's source and the values it needs into parts.

    Raises
    ------
    UnpicklableError
        If a value cannot be pickled; it tells the name.
    """
    buffers: list[p.Buffer] = []
    streams = {name: _dump_stream(value, name, buffers) for name, value in names.items()}
    return [_encode_aligned(_Cell(source, streams)), *buffers]


def load_cell(parts: Sequence[p.Buffer]) -> CellPayload:
    """Read what `dump_cell` made; each name is unpickled when it is asked for.

    Raises
    ------
    ValueError
        If it is no cell.
    """
    cell = msgspec.msgpack.decode(parts[0], type=_Cell)
    return CellPayload(cell.source, _loaders(cell.names, parts, 1))


def dump_cell_result(
    outputs: Mapping[str, object],
    value: object = None,
    *,
    has_value: bool = False,
    value_limit: int = 1024 * 1024,
) -> list[p.Buffer]:
    """Turn what a cell is to return into parts.

    Parameters
    ----------
    outputs
        Values by name; all of them must be picklable.
    value, has_value
        The last expression, if it is wanted. If it cannot be pickled or takes more than
        `value_limit` bytes it is left out and the reason told.

    Raises
    ------
    UnpicklableError
        If one of `outputs` cannot be pickled.
    """
    buffers: list[p.Buffer] = []
    streams = {name: _dump_stream(item, name, buffers) for name, item in outputs.items()}
    stream: _Stream | None = None
    reason = ""
    if has_value:
        own: list[p.Buffer] = []
        try:
            stream = _dump_stream(value, "", own)
        except UnpicklableError as error:
            reason = str(error)
        else:
            nbytes = len(stream[0]) + sum(map(len, own))
            if nbytes > value_limit:
                stream, own = None, []
                reason = f"the value takes {nbytes:,} bytes, more than {value_limit:,}"
        buffers += own
    return [_encode_aligned(_CellResult(stream, streams, reason)), *buffers]


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
        return CellValues(outputs, reason=result.reason)
    at = 1 + sum(count for _, count in result.outputs.values())
    (read,) = _loaders({"": result.value}, parts, at).values()
    return CellValues(outputs, has_value=True, value=read())


def _encode_aligned(message: _Cell | _CellResult) -> bytes:
    encoded = msgspec.msgpack.encode(message)
    message.padding = bytes(-len(encoded) % _ALIGNMENT)
    return msgspec.msgpack.encode(message)


def _dump_stream(value: object, name: str, buffers: list[p.Buffer]) -> _Stream:
    stream, *own = dump(value, name)
    buffers += own
    return bytes(stream), len(own)


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
