"""What a job shows while it runs, as `Job.take` returns it."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from rexec_jupyter.core import protocol as p


@dataclass(frozen=True, slots=True)
class TextOutput:
    """Text that was printed; stream ``note`` is from rexec itself."""

    stream: Literal["stdout", "stderr", "note"]
    text: str


@dataclass(frozen=True, slots=True)
class Display:
    """Rich output, as in the Jupyter messaging protocol.

    ``result`` is the value of a cell's last expression, ``update`` changes an earlier display
    with the same ``transient["display_id"]``.
    """

    kind: Literal["display", "update", "result"]
    data: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)
    transient: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClearOutput:
    """What was shown so far is to go; with ``wait`` only once something new comes."""

    wait: bool = False


@dataclass(frozen=True, slots=True)
class StateChange:
    """The job got to another `Job.state`, or ``reconnecting`` or ``connected`` again.

    ``detail`` is for people and may be empty.
    """

    state: str
    detail: str = ""


Happening = TextOutput | Display | ClearOutput | StateChange


class _DisplayBody(msgspec.Struct):
    data: dict[str, Any]
    metadata: dict[str, Any] = {}
    transient: dict[str, Any] = {}


class _ClearBody(msgspec.Struct):
    wait: bool = False


_display = msgspec.msgpack.Decoder(_DisplayBody)
_clear = msgspec.msgpack.Decoder(_ClearBody)
_utf8 = getincrementaldecoder("utf-8")


class OutputReader:
    """Turns the output events of one job into happenings."""

    def __init__(self) -> None:
        # A character may be cut in two where one event ends and the next begins.
        self._decoders = {stream: _utf8("replace") for stream in ("stdout", "stderr", "note")}

    def read(self, event: p.Output, frame: p.Buffer) -> Happening:
        """Read one event. What cannot be read becomes a note that says so."""
        stream = event.stream
        if stream == "stdout" or stream == "stderr" or stream == "note":  # noqa: PLR1714 - narrows
            return TextOutput(stream, self._decoders[stream].decode(frame))
        try:
            if stream == "clear":
                return ClearOutput(_clear.decode(frame).wait)
            body = _display.decode(frame)
        except msgspec.MsgspecError:
            return TextOutput("note", f"An output of kind {stream} could not be read.\n")
        return Display(stream, body.data, body.metadata, body.transient)


class Log:
    """The text of a job: its beginning and its end, in bounded memory.

    Parameters
    ----------
    head, tail
        Characters kept of each.
    """

    def __init__(self, head: int = 64 * 1024, tail: int = 192 * 1024) -> None:
        self._head: list[str] = []
        self._room = head
        self._tail: deque[str] = deque()
        self._tail_limit = tail
        self._tail_length = 0
        self._left_out = 0

    def add(self, happening: Happening) -> None:
        """Note what was shown, as text."""
        if isinstance(happening, TextOutput):
            self._add(happening.text)
        elif isinstance(happening, Display):
            text = happening.data.get("text/plain")
            if text:
                self._add(f"{text}\n")

    def _add(self, text: str) -> None:
        if self._room:
            self._head.append(text[: self._room])
            text = text[self._room :]
            self._room -= len(self._head[-1])
        if not text:
            return
        self._tail.append(text)
        self._tail_length += len(text)
        while self._tail_length > self._tail_limit:
            excess = self._tail_length - self._tail_limit
            oldest = self._tail.popleft()
            if len(oldest) > excess:
                self._tail.appendleft(oldest[excess:])
            gone = min(len(oldest), excess)
            self._tail_length -= gone
            self._left_out += gone

    def __str__(self) -> str:
        gap = f"\n… {self._left_out:,} characters left out …\n" if self._left_out else ""
        return "".join([*self._head, gap, *self._tail])
