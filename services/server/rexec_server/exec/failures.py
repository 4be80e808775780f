"""Exceptions of user code, made ready to travel."""

from __future__ import annotations

import asyncio
import io
import pickle
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import cloudpickle

from rexec_jupyter.core import protocol as p
from rexec_server import handoff as h
from rexec_server.exec.payloads import store

# Frames of these, where user code was called from or its payload loaded, tell the user nothing.
_OURS = tuple(
    f"{Path(path).parent}/"
    for path in (__file__, p.__file__, cloudpickle.__file__, asyncio.__file__)
)
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (.+)$')
# As IPython heads a frame, perhaps in colours: that in which an interrupt was raised.
_OUR_FRAME = re.compile(rf"(?:\x1b\[[0-9;]*m)*File (?:\x1b\[[0-9;]*m)*{re.escape(_OURS[0])}")
_MAX_LINES = 400
_MAX_LINE = 2000
_MAX_TEXT = 4000
_MAX_NAME = 200


def failed(
    job: str, error: BaseException, lines: Sequence[str], files: Path, duration: float
) -> tuple[h.Raised, bytes]:
    """Describe an exception of user code, with the instance where it can be pickled."""
    result, payload = _pickled(error, files)
    message = h.Raised(
        nbytes=len(payload),
        job=job,
        error=type(error).__name__[:_MAX_NAME],
        message=_text_of(error),
        traceback=shortened(lines),
        result=result,
        duration=duration,
    )
    return message, payload


def refused(job: str, code: str, text: str, duration: float = 0.0) -> tuple[h.Raised, bytes]:
    """Describe an error of rexec itself; `code` is from `rexec_jupyter.core.errors`."""
    return unsent(job, "RexecError", text, [], duration, code=code), b""


def unsent(
    job: str, error: str, text: str, lines: Sequence[str], duration: float, *, code: str = ""
) -> h.Raised:
    """Describe an error that has no instance to send."""
    return h.Raised(
        job=job,
        error=error[:_MAX_NAME],
        message=text[:_MAX_TEXT],
        traceback=shortened(lines),
        result=_nothing(),
        code=code,
        duration=duration,
    )


def rendered(error: BaseException) -> list[str]:
    """Return the traceback as Python prints it, with the user's frames alone."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    return _lines(error, trace)


def has_group(error: BaseException | None) -> bool:
    """Whether an exception is a group of them, or came while one was handled."""
    while error is not None:
        if isinstance(error, BaseExceptionGroup):
            return True
        error = error.__context__
    return False


def grouped(
    error: BaseException, skip: str, place: Callable[[str], tuple[str, str] | None]
) -> list[str]:
    """Return the traceback of a group of exceptions, with cells named as IPython names them.

    Parameters
    ----------
    skip
        Frames of files below this directory are left out until the user's begin.
    place
        Returns kind and name of the cell that a file stands for.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith((skip, *_OURS)):
        trace = trace.tb_next

    def named(match: re.Match[str]) -> str:
        cell = place(match[1])
        within = "" if match[3] == "<module>" else f", in {match[3]}"
        return f"{cell[0]} {cell[1]}, line {match[2]}{within}" if cell else match[0]

    return [_FRAME.sub(named, line) for line in _lines(error, trace)]


def shortened(lines: Sequence[str]) -> list[str]:
    """Return lines of a traceback without our frames and within limits.

    What is left out for its length is told.
    """
    lines = [line for block in _blocks(lines) if not _OUR_FRAME.match(block[0]) for line in block]
    lines = [line if len(line) <= _MAX_LINE else f"{line[:_MAX_LINE]} …" for line in lines]
    if len(lines) <= _MAX_LINES:
        return lines
    head = _MAX_LINES // 4
    tail = _MAX_LINES - head
    left_out = f"… {len(lines) - _MAX_LINES:,} lines left out …"
    return [*lines[:head], left_out, *lines[-tail:]]


def _blocks(lines: Sequence[str]) -> Iterator[list[str]]:
    """Yield what IPython separates by blank lines: head, frames and message."""
    block: list[str] = []
    for line in lines:
        block.append(line)
        if not line.strip():
            yield block
            block = []
    if block:
        yield block


def _lines(error: BaseException, trace: TracebackType | None) -> list[str]:
    try:
        whole = traceback.TracebackException(type(error), error, trace, compact=True)
        while len(whole.stack) > 1 and whole.stack[-1].filename.startswith(_OURS[0]):
            whole.stack.pop()  # as where `input` is refused
        return "".join(whole.format()).splitlines()
    except Exception:  # noqa: BLE001 - attributes of somebody's class may raise anything
        return [f"{type(error).__name__}: {_text_of(error)}"]


def _text_of(error: BaseException) -> str:
    try:
        return str(error)[:_MAX_TEXT]
    except Exception:  # noqa: BLE001 - see above
        return "(its text cannot be had)"


def _pickled(error: BaseException, files: Path) -> tuple[h.Result, bytes]:
    for pickler in (_WithCause, cloudpickle.Pickler):
        stream = io.BytesIO()
        try:
            pickler(stream, protocol=5).dump(error)
            return store(files, [stream.getvalue()])
        except Exception:  # noqa: BLE001, S112 - whatever __reduce__ of somebody's class raises
            continue
    return _nothing(), b""


def _nothing() -> h.Result:
    return store(Path(), [b""])[0]


class _WithCause(cloudpickle.Pickler):  # type: ignore[misc] # cloudpickle has no types
    """Takes along what an exception was raised from, which pickle leaves out."""

    def reducer_override(self, obj: Any) -> Any:
        plain = isinstance(obj, BaseException) and obj.__cause__ is not None
        if plain and type(obj).__setstate__ is BaseException.__setstate__:
            rebuild, arguments, *rest = obj.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
            if not rest or rest == [None] or (len(rest) == 1 and isinstance(rest[0], dict)):
                # BaseException sets every attribute that its state names.
                state = {**(rest[0] if rest and rest[0] else {}), "__cause__": obj.__cause__}
                return rebuild, arguments, state
        return super().reducer_override(obj)
