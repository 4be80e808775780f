"""What the client's state machine tells its owner, in order, and asks of it."""

from __future__ import annotations

from typing import NamedTuple

from rexec_jupyter.core import protocol as p

Parts = list[p.Buffer]


class Accepted(NamedTuple):
    """The server holds the job now. Told again when ``ahead`` changes while it waits there.

    ``ahead`` is the number of cells that run or wait in its session before it.
    """

    job: str
    ahead: int = 0


class Happened(NamedTuple):
    """The job started, showed something, or turned out to be a generator."""

    job: str
    event: p.Started | p.Output | p.Streaming
    frame: p.Buffer | None


class Yielded(NamedTuple):
    """One item of a generator; `Exchange.item_consumed` is due for it."""

    job: str
    seq: int
    parts: Parts


class Ended(NamedTuple):
    """The job ended; nothing more follows.

    ``parts`` is a value whose origin and digest were checked, or None where there is none.
    """

    job: str
    event: p.Terminal
    parts: Parts | None = None


class Rejected(NamedTuple):
    """The job ended here, without a terminal event of the server.

    ``code`` is a code of `protocol.Nack`, of the error catalogue, or ``unknown`` (no such job
    there) or ``forged`` (its value does not verify).
    """

    job: str
    code: str
    message: str


class ServerChanged(NamedTuple):
    """News of one of the user's servers."""

    state: p.ServerState


class Contact(NamedTuple):
    """Whether the broker answers; ``silence`` is for how many seconds it has not."""

    connected: bool
    silence: float


class Denied(NamedTuple):
    """The broker does not accept this client (`protocol.Refused`)."""

    code: str
    message: str


class Answered(NamedTuple):
    """The answer to one `Exchange.ask`, with its frame."""

    message: p.Answer
    frame: p.Buffer | None


class NeedTicket(NamedTuple):
    """A new ticket is due: `Exchange.renew`."""


class WriteSegment(NamedTuple):
    """Write a payload as a new file; `Exchange.segment_written` tells the outcome."""

    job: str
    directory: str
    parts: Parts


class ReadSegment(NamedTuple):
    """Map a file and check its size and digest; `Exchange.segment_read` tells the outcome."""

    job: str
    seq: int
    directory: str
    payload: p.Payload


class DropSegment(NamedTuple):
    """Remove a file that `WriteSegment` made and nobody will use."""

    directory: str
    name: str


Notice = (
    Accepted
    | Happened
    | Yielded
    | Ended
    | Rejected
    | ServerChanged
    | Contact
    | Denied
    | Answered
    | NeedTicket
    | WriteSegment
    | ReadSegment
    | DropSegment
)
