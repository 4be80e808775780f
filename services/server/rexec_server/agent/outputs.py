"""Makes few events of many small writes, without delaying the first one."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from functools import partial
from typing import Any

from rexec_server.agent.timers import Timers

INTERVAL = 0.1
"""Seconds between two events of a stream that somebody reads."""
QUIET = 5.0
"""The same where nobody reads."""
SIZE = 64 * 1024
"""Bytes that make an event at once, and the most text in one event."""

Emit = Callable[[float, Any, bytes], None]


class _Stream:
    __slots__ = ("chunks", "flushed", "nbytes", "rest", "waiting")

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.nbytes = 0
        self.rest = b""
        self.flushed = float("-inf")
        self.waiting = float("inf")

    def clean(self, data: bytes) -> bytes:
        """Return valid UTF-8; a character that is not complete waits for its end."""
        data = self.rest + data
        try:
            _, used = codecs.utf_8_decode(data, "strict", False)  # noqa: FBT003 - by position only
        except UnicodeDecodeError:
            text, used = codecs.utf_8_decode(data, "replace", False)  # noqa: FBT003 - the same
            self.rest = data[used:]
            return text.encode()
        self.rest = data[used:]
        return data[:used] if self.rest else data


class OutputBuffer:
    """Text of one job on its way to becoming events.

    Parameters
    ----------
    emit
        Called with the time, the stream and the text of each event.
    ordered
        Keep the order between the streams too, as far as it is known.
    """

    def __init__(self, emit: Emit, timers: Timers, *, ordered: bool) -> None:
        self._emit = emit
        self._timers = timers
        self._ordered = ordered
        self._streams: dict[str, _Stream] = {}

    def write(self, now: float, stream: str, data: bytes, *, quiet: bool) -> None:
        """Add text; `quiet` if nobody reads it now."""
        buffer = self._streams.get(stream)
        if buffer is None:
            buffer = self._streams[stream] = _Stream()
        if self._ordered and len(self._streams) > 1:
            for name, other in self._streams.items():
                if other is not buffer:
                    self._flush(now, name, other)
        data = buffer.clean(data)
        if not data:
            return
        buffer.chunks.append(data)
        buffer.nbytes += len(data)
        due = buffer.flushed + (QUIET if quiet else INTERVAL)
        if buffer.nbytes >= SIZE or due <= now:
            self._flush(now, stream, buffer)
        elif due < buffer.waiting:
            buffer.waiting = due
            self._timers.at(due, partial(self._due, stream, buffer))

    def flush(self, now: float, *, final: bool = False) -> None:
        """Make events of all there is; if `final` also of half characters."""
        for name, buffer in self._streams.items():
            if final and buffer.rest:
                buffer.chunks.append(buffer.rest.decode(errors="replace").encode())
                buffer.rest = b""
            self._flush(now, name, buffer)

    def hasten(self, now: float) -> None:
        """Make events of all there is as soon as for somebody who reads."""
        for name, buffer in self._streams.items():
            due = buffer.flushed + INTERVAL
            if due <= now:
                self._flush(now, name, buffer)
            elif buffer.chunks and due < buffer.waiting:
                buffer.waiting = due
                self._timers.at(due, partial(self._due, name, buffer))

    def _due(self, stream: str, buffer: _Stream, now: float) -> None:
        buffer.waiting = float("inf")
        self._flush(now, stream, buffer)

    def _flush(self, now: float, stream: str, buffer: _Stream) -> None:
        if not buffer.chunks:
            return
        data = b"".join(buffer.chunks)
        buffer.chunks.clear()
        buffer.nbytes = 0
        buffer.flushed = now
        at = 0
        while at < len(data):
            end = min(at + SIZE, len(data))
            while end < len(data) and data[end] & 0xC0 == 0x80:
                end -= 1
            self._emit(now, stream, data[at:end])
            at = end
