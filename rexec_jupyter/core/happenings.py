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
class Comm:
    """A message of a widget, as in the Jupyter messaging protocol.

    ``kind`` is the type of the message. Of all text of a job this is no part.
    """

    kind: Literal["comm_open", "comm_msg", "comm_close"]
    content: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)
    buffers: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Payload:
    """Something a frontend is to do: an entry of ``payload`` of Jupyter's execute_reply.

    ``data["source"]`` is ``page`` (show help in the pager) or ``set_next_input``.
    """

    data: dict[str, Any]


class NameInfo(msgspec.Struct, array_like=True, frozen=True):
    """What is known of a variable in a session.

    Attributes
    ----------
    type
        Name of its type, with the module unless that is ``builtins``: ``numpy.ndarray``.
    summary
        Size or shape for people, such as ``1,000 x 3`` or ``12 items``; may be empty.
    nbytes
        Bytes it takes, where its type tells that cheaply; else -1.
    attributes
        Its public attributes, for completion; None if they are those told for its type before.
    keys
        The first of its keys that are text, or its columns.
    sent
        It is what was sent there; otherwise the session assigned or changed it.
    """

    type: str
    summary: str = ""
    nbytes: int = -1
    attributes: list[str] | None = None
    keys: list[str] = []
    sent: bool = False


class NamesChanged(msgspec.Struct, frozen=True):
    """The names in the session changed.

    On the wire a MessagePack map of these attributes, the content of an output ``names``.

    Attributes
    ----------
    version
        Version of the listing after this change; to be given as `protocol.Submit.known`.
    whole
        This is the whole listing, and not a change of the one before.
    names
        New and changed names.
    gone
        Names that were deleted.
    kept
        Names that the cell brought along and the session has of its own, so that they were not
        set; and whether its value differs from the one that came.
    """

    version: str
    whole: bool
    names: dict[str, NameInfo]
    gone: list[str] = []
    kept: dict[str, bool] = {}


@dataclass(frozen=True, slots=True)
class StateChange:
    """The job got to another `Job.state`, or ``reconnecting`` or ``connected`` again.

    ``detail`` is for people and may be empty.
    """

    state: str
    detail: str = ""


Happening = TextOutput | Display | ClearOutput | Comm | Payload | NamesChanged | StateChange


_Structured = Literal["display", "update", "result", "clear", "comm", "payload", "names"]


class _DisplayBody(msgspec.Struct):
    data: dict[str, Any]
    metadata: dict[str, Any] = {}
    transient: dict[str, Any] = {}


class _ClearBody(msgspec.Struct):
    wait: bool = False


class _CommBody(msgspec.Struct):
    kind: Literal["comm_open", "comm_msg", "comm_close"]
    content: dict[str, Any]
    metadata: dict[str, Any] = {}
    buffers: list[bytes] = []


_display = msgspec.msgpack.Decoder(_DisplayBody)
_clear = msgspec.msgpack.Decoder(_ClearBody)
_comm = msgspec.msgpack.Decoder(_CommBody)
_payload = msgspec.msgpack.Decoder(dict[str, Any])
_names = msgspec.msgpack.Decoder(NamesChanged)
_utf8 = getincrementaldecoder("utf-8")


class OutputReader:
    """Turns the output events of one job into happenings."""

    def __init__(self) -> None:
        # A character may be cut in two where one event ends and the next begins.
        self._decoders = {stream: _utf8("replace") for stream in ("stdout", "stderr", "note")}
        self._pieces: list[p.Buffer] = []

    def read(self, event: p.Output, frame: p.Buffer) -> Happening | None:
        """Read one event; None if more of its content follows.

        What cannot be read becomes a note that says so.
        """
        return self.take(event.stream, frame, more=event.more)

    def take(self, stream: p.Stream, content: p.Buffer, *, more: bool = False) -> Happening | None:
        """Read the content of an event, or of a record of a log; else as `read`."""
        if stream == "stdout" or stream == "stderr" or stream == "note":  # noqa: PLR1714 - narrows
            return TextOutput(stream, self._decoders[stream].decode(content))
        if more:
            self._pieces.append(content)
            if sum(map(len, self._pieces)) > p.OUTPUT:
                self._pieces.clear()  # nobody sends so much; what is left cannot be read
            return None
        if self._pieces:
            content = b"".join([*self._pieces, content])
            self._pieces.clear()
        return self._parse(stream, content)

    def _parse(self, stream: _Structured, frame: p.Buffer) -> Happening:
        try:
            return _read(stream, frame)
        except msgspec.MsgspecError:
            return TextOutput("note", f"An output of kind {stream} could not be read.\n")


def _read(stream: _Structured, frame: p.Buffer) -> Happening:
    if stream == "names":
        return _names.decode(frame)
    if stream == "comm":
        message = _comm.decode(frame)
        return Comm(message.kind, message.content, message.metadata, message.buffers)
    if stream == "payload":
        return Payload(_payload.decode(frame))
    if stream == "clear":
        return ClearOutput(_clear.decode(frame).wait)
    body = _display.decode(frame)
    return Display(stream, body.data, body.metadata, body.transient)


class Log:
    """The text of a job: its beginning and its end, in bounded memory.

    Parameters
    ----------
    head, tail
        Characters kept of each.
    """

    def __init__(self, head: int = 64 * 1024, tail: int = 192 * 1024) -> None:
        self._head: list[TextOutput] = []
        self._room = head
        self._tail: deque[TextOutput] = deque()
        self._tail_limit = tail
        self._tail_length = 0
        self._left_out = 0

    def add(self, happening: Happening) -> None:
        """Note what was shown, as text."""
        if isinstance(happening, TextOutput):
            self._add(happening)
        elif isinstance(happening, Display):
            text = happening.data.get("text/plain")
            if text:
                self._add(TextOutput("stdout", f"{text}\n"))

    def _add(self, output: TextOutput) -> None:
        stream, text = output.stream, output.text
        if self._room:
            self._head.append(TextOutput(stream, text[: self._room]))
            text = text[self._room :]
            self._room -= len(self._head[-1].text)
        if not text:
            return
        self._tail.append(TextOutput(stream, text))
        self._tail_length += len(text)
        while self._tail_length > self._tail_limit:
            excess = self._tail_length - self._tail_limit
            oldest = self._tail.popleft()
            if len(oldest.text) > excess:
                self._tail.appendleft(TextOutput(oldest.stream, oldest.text[excess:]))
            gone = min(len(oldest.text), excess)
            self._tail_length -= gone
            self._left_out += gone

    @property
    def parts(self) -> list[TextOutput]:
        """What it has, in order, with a note where something was left out."""
        gap = f"\n… {self._left_out:,} characters left out …\n"
        return [*self._head, *([TextOutput("note", gap)] if self._left_out else []), *self._tail]

    def __str__(self) -> str:
        return "".join(part.text for part in self.parts)
