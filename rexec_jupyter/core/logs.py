"""What a job has shown, as a server keeps it for whoever asks: a sequence of records.

On disk and in `protocol.LogPage` a record is a little-endian 32-bit length of its content,
one byte for its kind (the position in `KINDS`, and `MORE`), the content, and the same length
again, so that a log can be walked from both ends. A record holds at most `protocol.CHUNK`
bytes of content; larger content is cut, as `pieces` does, into records that follow each other.

The kinds are those of `protocol.Output` (content as there), and

``source``
    The code of a cell, UTF-8; the first record, if there is one.
``end``
    How the job ended, a MessagePack map as in `End`; the last record.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple, get_args

import msgspec

from rexec_jupyter.core import protocol as p

KINDS = ("source", "end", *get_args(p.Stream))
"""Never reordered, only added to: a record holds the position."""

MORE = 0x80
"""Added to the kind of a record whose content goes on in the next one."""

HEAD = struct.Struct("<IB")
TAIL = struct.Struct("<I")
OVERHEAD = HEAD.size + TAIL.size
"""Bytes a record takes beside its content."""

_STATES = {"timedout": "timed out"}


class Record(NamedTuple):
    """One record; with ``more`` its content goes on in the next one."""

    kind: str
    content: p.Buffer
    more: bool = False


class End(msgspec.Struct, omit_defaults=True):
    """How a job ended, for people who come later.

    Attributes
    ----------
    state
        `Job.state` at the end.
    error, message
        Type and text of the exception, or in plain words what happened.
    traceback
        Remote frames.
    duration
        Seconds the code ran.
    """

    state: str
    error: str = ""
    message: str = ""
    traceback: list[str] = []
    duration: float = 0.0


def end_of(event: p.Terminal) -> End:
    """Return what is worth keeping of a terminal event."""
    end = End(state_of(event), duration=getattr(event, "duration", 0.0))
    if isinstance(event, p.Failed):
        end.error, end.message = event.error, event.message
    elif isinstance(event, p.TimedOut):
        end.message = f"It ran longer than {event.timeout:g} s."
    elif isinstance(event, p.Crashed | p.Lost):
        end.message = event.reason
    elif isinstance(event, p.Cancelled) and not event.executed:
        end.message = "It was withdrawn before it started."
    end.traceback = getattr(event, "traceback", [])
    return end


def state_of(event: p.Terminal) -> str:
    """Return `Job.state` after a terminal event."""
    name = type(event).__name__.lower()
    return _STATES.get(name, name)


def pieces(content: p.Buffer) -> Iterator[tuple[p.Buffer, bool]]:
    """Cut content into what fits into a record or an event; whether more follows is told."""
    view = memoryview(content)
    last = max(len(view) - 1, 0) // p.CHUNK
    for number in range(last + 1):
        yield view[number * p.CHUNK : (number + 1) * p.CHUNK], number < last


def pack(kind: str, content: p.Buffer, *, more: bool = False) -> bytes:
    """Return the bytes of one record."""
    size = len(content)
    head = HEAD.pack(size, KINDS.index(kind) | (MORE if more else 0))
    return b"".join((head, content, TAIL.pack(size)))


def span(data: p.Buffer, limit: int) -> int:
    """Return the length of the whole records at the beginning of `data`, up to `limit` bytes.

    The first one counts even if it is larger.
    """
    view = memoryview(data)
    at = 0
    while len(view) - at >= OVERHEAD:
        size, _ = HEAD.unpack_from(view, at)
        end = at + size + OVERHEAD
        if end > (limit if at else len(view)) or end > len(view):
            break
        if TAIL.unpack_from(view, end - TAIL.size)[0] != size:
            break
        at = end
    return at


def unpack(data: p.Buffer) -> Iterator[Record]:
    """Yield the records in `data`; one of a kind not known here is left out.

    Raises
    ------
    ValueError
        If these are not whole records.
    """
    view = memoryview(data)
    at = 0
    while at < len(view):
        if len(view) - at < OVERHEAD:
            raise ValueError("half a record of a log")
        size, kind = HEAD.unpack_from(view, at)
        end = at + size + OVERHEAD
        if end > len(view) or TAIL.unpack_from(view, end - TAIL.size)[0] != size:
            raise ValueError("not a record of a log")
        more, kind = bool(kind & MORE), kind & ~MORE
        if kind < len(KINDS):
            yield Record(KINDS[kind], view[at + HEAD.size : end - TAIL.size], more)
        at = end
