"""One job, as the agent knows it, and what the parts of the agent share."""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.framing import Parcel
from rexec_jupyter.core.trust import payload_digest
from rexec_server.agent.log_files import LogFiles
from rexec_server.agent.records import Forgotten, Journal
from rexec_server.agent.spool import Spool
from rexec_server.agent.timers import Timer, Timers

OTHER, OUTPUT, ITEM = 0, 1, 2
"""Kinds of events, for `Job.note`."""
OVERHEAD = 128
"""Bytes an event takes beside its payload, for the caps."""
TAIL_BYTES = 4096
TAIL_LINES = 20

NOTHING = p.Payload(sizes=[0], digest=payload_digest([b""]))
"""A payload of no bytes."""

Stop = Literal["", "interrupt", "cancel", "timeout"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the agent keeps, in bytes, jobs and seconds.

    Attributes
    ----------
    spool
        Bytes of payloads, output and results in custody; results are kept beyond it.
    output
        Bytes of unacknowledged output of one job.
    jobs
        Jobs in custody.
    retention
        How long the end of a job is kept for a client that does not come.
    history
        Acknowledged jobs that are still listed.
    log, logs, log_files
        Bytes of the log of one job and of all, and how many there may be. Those of jobs that
        ended first go first.
    """

    spool: int = 1024**3
    output: int = 256 * 1024**2
    jobs: int = 100_000
    retention: float = 24 * 3600.0
    history: int = 1000
    log: int = 2 * 1024**3
    logs: int = 4 * 1024**3
    log_files: int = 20_000


class Outputs(Protocol):
    """Output of a job that is not an event yet; see `outputs.OutputBuffer`."""

    def flush(self, now: float, *, final: bool = False) -> None:
        """Make events of it."""

    def hasten(self, now: float) -> None:
        """Make events of it soon: somebody reads."""


class Job:
    """One job in custody.

    The unacknowledged events are ``acked + 1`` to ``seq``; where they are in the journal and
    how large they are is in two arrays, so that a backlog costs 16 bytes an event.

    Attributes
    ----------
    sent, spent
        Last event that was sent, and the bytes of output up to it.
    credit, credit_base
        Bytes of output granted, as the client counts, and what it does not count in.
    terminal
        Number of the terminal event, 0 before.
    timer
        Ends the job when it has run as long as it may.
    stop
        Why the code was interrupted.
    ahead
        Cells before it in its session, as its client was told.
    watched
        Until when somebody probably reads its log.
    """

    __slots__ = (
        "acked",
        "acked_items",
        "acked_output",
        "ahead",
        "at",
        "attached",
        "backoff",
        "credit",
        "credit_base",
        "duration",
        "elided",
        "ended",
        "file",
        "files",
        "id",
        "items",
        "items_granted",
        "killing",
        "local",
        "outputs",
        "payload",
        "pid",
        "position",
        "positions",
        "resend",
        "retained",
        "sent",
        "seq",
        "sizes",
        "spent",
        "started",
        "state",
        "stop",
        "submit",
        "tail",
        "terminal",
        "timer",
        "watched",
    )

    def __init__(self, submit: p.Submit, position: int, at: float) -> None:
        self.id = submit.job
        self.submit = submit
        self.position = position
        self.at = at
        self.state = "queued"
        self.payload: bytes | None = None
        self.file = ""
        self.local = submit.local
        self.attached = False
        self.started = -1.0
        self.ended = -1.0
        self.duration = 0.0
        self.pid = 0
        self.stop: Stop = ""
        self.timer: Timer | None = None
        self.killing = False
        self.outputs: Outputs | None = None
        self.tail = b""
        self.elided = 0
        self.retained = 0
        self.items = 0
        self.items_granted = p.ITEM_WINDOW
        self.files: dict[int, tuple[str, int]] = {}
        self.positions = array("Q")
        self.sizes = array("Q")
        self.seq = 0
        self.acked = 0
        self.acked_items = 0
        self.acked_output = 0
        self.sent = 0
        self.spent = 0
        self.credit = submit.credit
        self.credit_base = 0
        self.terminal = 0
        self.resend = 0.0
        self.backoff = 0.0
        self.ahead = 0
        self.watched = 0.0

    def note(self, seq: int, position: int, nbytes: int, kind: int) -> None:
        """Add event `seq` to the unacknowledged ones."""
        self.seq = seq
        self.positions.append(position)
        self.sizes.append(nbytes << 2 | kind)
        if kind == OUTPUT:
            self.retained += nbytes + OVERHEAD

    def output_upto(self, seq: int) -> int:
        """Return the bytes of output in all events up to `seq`."""
        sizes = self.sizes[: max(seq - self.acked, 0)]
        return self.acked_output + sum(size >> 2 for size in sizes if size & 3 == OUTPUT)

    def last_lines(self) -> list[str]:
        """Return the last lines of the output."""
        lines = self.tail.decode(errors="replace").splitlines()
        return lines[1:][-TAIL_LINES:] if len(self.tail) == TAIL_BYTES else lines[-TAIL_LINES:]

    def summary(self, now: float) -> Forgotten:
        """Return what is worth knowing of the job at the instant `now`."""
        submit = self.submit
        running = now - self.started if self.started >= 0 and not self.terminal else 0.0
        return Forgotten(
            job=self.id,
            session=submit.session,
            kind=submit.kind,
            label=submit.label,
            state=self.state,
            at=self.at,
            started=self.started,
            duration=self.duration or max(0.0, running),
            hidden=submit.hidden,
        )


@dataclass(slots=True)
class Shared:
    """What the parts of the machine work on.

    Attributes
    ----------
    ready
        The broker welcomed this connection.
    stored
        Bytes in custody.
    parcels
        Messages to the broker.
    commands
        Messages to exec, with the pid of the worker or 0 for the manager, and a payload.
    unacked
        Ended jobs whose terminal event was sent and is to be sent again.
    """

    journal: Journal
    spool: Spool
    logs: LogFiles
    limits: Limits
    jobs: dict[str, Job] = field(default_factory=dict)
    forgotten: dict[str, None] = field(default_factory=dict)
    history: deque[Forgotten] = field(default_factory=deque)
    timers: Timers = field(default_factory=Timers)
    parcels: list[Parcel] = field(default_factory=list)
    commands: list[tuple[int, Any, p.Buffer]] = field(default_factory=list)
    unacked: dict[str, Job] = field(default_factory=dict)
    ready: bool = False
    draining: bool = False
    stored: int = 0

    def send(self, message: Any, frame: p.Buffer | None = None) -> None:
        """Send a message to the broker; without a connection it is not kept."""
        if self.ready:
            self.parcels.append((message, frame))
