"""The rexec wire protocol: every message between client, broker and server.

This module is the whole protocol; its docstrings are the specification. It does no
input or output and imports nothing of rexec, so every process can share it.

Envelopes
---------
What travels over ZeroMQ is an *envelope*: one header frame followed by payload frames.
The header frame is a MessagePack array of one or more messages; each message says in
``frames`` how many of the payload frames belong to it (0 or 1), in order. Batching is
therefore a property of the transport and changes the meaning of nothing. No part of a
header is ever pickled, and the broker never looks into a payload frame.

Compatibility
-------------
A hello carries the range of protocol numbers its sender speaks; the highest common one
is used. Package versions never decide compatibility. New fields are appended with a
default; removing or reordering one, or a new message, needs a new protocol number. A broker
that speaks only a lower one is not sent what that added; a server leaves it unanswered.

2 added `ReadUsage`.

Identity and routing
--------------------
Both sides of the broker speak CURVE. A client proves who it is by a *ticket*, a server by
a *certificate*: signed statements bound to the very CURVE key of the connection, checked
offline. Everything is routed by the verified user, the session and the job. Nothing is
routed by a ZeroMQ routing id or by a name a peer chose.

Custody
-------
A payload stays with the client until `Journaled`; events and results stay with the server
until `Ack`. The broker holds only what hellos and attachments rebuild. User code starts at
most once a job: the server's journal is the authority for that, and a job sent to one
journal is never run from another.

Time
----
The wire carries durations in seconds, never instants.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

VERSIONS = (1, 2)
"""Lowest and highest protocol number this code speaks."""

MAX_HEADER = 256 * 1024
"""Largest header frame, in bytes."""
CHUNK = 1024 * 1024
"""Size of one chunk of a large payload, in bytes."""
MAX_FRAME = CHUNK + 64 * 1024
"""Largest frame either side accepts, in bytes (enforced by ZeroMQ)."""
MAX_FRAMES = 256
"""Most payload frames, and most messages, in one envelope."""
INLINE = 64 * 1024
"""Largest payload that travels within its own message, in bytes."""
WINDOW = 16 * CHUNK
"""Bytes of a chunked payload that may be under way unacknowledged."""
CREDIT = 4 * 1024 * 1024
"""Bytes of output a client grants in advance for one job."""
ITEM_WINDOW = 64
"""Items of a remote generator produced ahead of the consumer."""
VALUE = 1024 * 1024
"""Largest value of a last expression that is returned unasked, in bytes."""
OUTPUT = 64 * CHUNK
"""Largest display or other single output that is shown, in bytes."""
HEARTBEAT = 5.0
"""Seconds between two heartbeats."""
SUSPECT = 15.0
"""Seconds of silence after which a peer is shown as reconnecting."""
LOST = 90.0
"""Seconds of silence after which a server is given up."""

Buffer = bytes | bytearray | memoryview
"""Bytes of a payload."""

JobId = Annotated[str, Meta(min_length=32, max_length=32)]
"""128 random bits in lower-case hexadecimal, made by the client."""
SessionName = Annotated[str, Meta(min_length=1, max_length=64)]
"""Name of a session, unique within its user."""
Stream = Literal[
    "stdout",
    "stderr",
    "display",
    "update",
    "result",
    "clear",
    "note",
    "comm",
    "payload",
    "names",
]
"""Kinds of output, see `Output`. Logs on disk know them by their place: never reordered."""
Label = Annotated[str, Meta(max_length=200)]
Text = Annotated[str, Meta(max_length=4000)]
Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]


class Payload(Struct, array_like=True, frozen=True):
    """Where the bytes of a value are, and how to check them.

    A value is a sequence of parts: part 0 is a pickle stream (protocol 5) or source text,
    the others are its out-of-band buffers. Every carrier transports the plain
    concatenation of the parts.

    Attributes
    ----------
    sizes
        Length of each part in bytes.
    digest
        BLAKE3-256 of the concatenation.
    carrier
        ``inline``: the message's own frame. ``chunks``: pulled with `ChunkAck` and sent as
        `Chunk`. ``segment``: the file ``segment`` in the exchange directory that
        `ServerState` names (same user, same machine only).
    segment
        File name within the exchange directory; empty for the other carriers.
    """

    sizes: Annotated[list[Count], Meta(min_length=1, max_length=10_000)]
    digest: Annotated[bytes, Meta(min_length=32, max_length=32)]
    carrier: Literal["inline", "chunks", "segment"] = "inline"
    segment: Annotated[str, Meta(max_length=64, pattern=r"^[0-9a-f-]*$")] = ""

    @property
    def nbytes(self) -> int:
        """Length of the concatenation in bytes."""
        return sum(self.sizes)


class Message(Struct, array_like=True, frozen=True, kw_only=True, tag=str.lower):
    """Base of all messages.

    Attributes
    ----------
    frames
        Payload frames of the envelope that belong to this message: 0 or 1.
    """

    frames: Annotated[int, Meta(ge=0, le=1)] = 0


# --------------------------------------------------------------------------- connection


class ClientHello(Message, frozen=True):
    """Client → broker: first message of a connection, and again to renew the ticket.

    Attributes
    ----------
    versions
        Lowest and highest protocol number spoken.
    ticket
        Signed ticket (a JWT) bound to the connection's CURVE key.
    instance
        Random id of this client process, stable across its reconnections.
    """

    versions: tuple[int, int]
    ticket: Annotated[str, Meta(max_length=8192)]
    instance: JobId


class ServerHello(Message, frozen=True):
    """Server → broker: first message of a connection.

    Attributes
    ----------
    versions
        Lowest and highest protocol number spoken.
    certificate
        Signed certificate (a JWT) bound to the connection's CURVE key; names the user and
        the server.
    journal
        Id of the server's journal. A server that lost its journal comes with a new id.
    epoch
        Counts the starts of the agent on this journal.
    python
        Python version of the workers, such as ``3.11``.
    slots
        Functions that run at once.
    exchange
        Directory through which a client of the same user on the same machine may hand over
        payloads as files; empty where there is none.
    machine
        Identifies the machine (boot and user) on which ``exchange`` can be reached.
    """

    versions: tuple[int, int]
    certificate: Annotated[str, Meta(max_length=8192)]
    journal: JobId
    epoch: Count
    python: Annotated[str, Meta(max_length=16)]
    slots: Count
    exchange: Annotated[str, Meta(max_length=1024)] = ""
    machine: Annotated[str, Meta(max_length=128)] = ""


class Welcome(Message, frozen=True):
    """Broker → peer: the hello was accepted.

    Attributes
    ----------
    version
        Protocol number in use.
    epoch
        Random id of this run of the broker. Another epoch in a later `Heartbeat` means that
        the broker restarted and knows nothing of this peer.
    user
        The verified user.
    expires_in
        Seconds until the credential must have been renewed by another hello.
    """

    version: int
    epoch: JobId
    user: Annotated[str, Meta(max_length=512)]
    expires_in: Seconds


class Refused(Message, frozen=True):
    """Broker → peer: the hello or the connection is not accepted; do not retry unchanged.

    Attributes
    ----------
    code
        ``R02`` credential, ``R05`` too many clients, ``R12`` protocol version,
        ``superseded`` a newer server of the same name registered.
    """

    code: Annotated[str, Meta(max_length=32)]
    message: Text


class Assign(Message, frozen=True):
    """Broker → server: you are another one from now on; say hello with this certificate.

    It is bound to the connection's CURVE key, like the one before. A server that somebody has
    used already does not take it.
    """

    certificate: Annotated[str, Meta(max_length=8192)]


class Resync(Message, frozen=True):
    """Broker → peer: this connection is unknown; say hello again, then attach again."""


class Heartbeat(Message, frozen=True):
    """Both ways: the application is alive. The broker answers with its epoch.

    A server's heartbeat is its lease; the agent that sends it never runs user code, and tells
    whether what runs it is there (``able``).
    """

    epoch: Annotated[str, Meta(max_length=32)] = ""
    running: Count = 0
    queued: Count = 0
    able: bool = True


class Goodbye(Message, frozen=True):
    """Peer → broker: this peer ends its connection on purpose."""


class Request(Message, frozen=True):
    """Base of what a client asks a server beside its jobs; an `Answer` of that number answers.

    Asked again, unchanged, until the answer arrives: answering twice must do no harm.
    """

    request: JobId
    session: SessionName


class Answer(Message, frozen=True):
    """Base of what answers a `Request`."""

    request: JobId


class ServerState(Message, frozen=True):
    """Broker → client: what the broker knows of one of the user's servers.

    Sent for each after the welcome (one ``absent`` where there is none) and at every change.
    ``ready`` always means that the server (re-)registered: the client attaches its open jobs
    again. ``suspect`` is no outcome; after ``lost`` nothing more is expected from that journal.
    ``absent``: none registered.

    Attributes
    ----------
    session
        The session that the server serves; empty for every session without a server of its
        own.
    server
        Name of the server, from its certificate. The rest is as in `ServerHello`.
    """

    state: Literal["ready", "suspect", "lost", "draining", "absent"]
    session: Annotated[str, Meta(max_length=64)] = ""
    server: Annotated[str, Meta(max_length=64)] = ""
    journal: Annotated[str, Meta(max_length=32)] = ""
    epoch: Count = 0
    python: Annotated[str, Meta(max_length=16)] = ""
    slots: Count = 0
    exchange: Annotated[str, Meta(max_length=1024)] = ""
    machine: Annotated[str, Meta(max_length=128)] = ""


class Drain(Message, frozen=True):
    """Server → broker: no new jobs please; the running ones get their grace time."""

    grace: Seconds = 0.0


# --------------------------------------------------------------------- client → server


class Submit(Message, frozen=True):
    """Client → server: run this once.

    Sent again, unchanged, until `Journaled` or `Nack` arrives; the server runs it once all
    the same. Frame: the payload, if inline.

    Attributes
    ----------
    job
        Id of the job.
    session
        Where to run. A session runs one cell at a time; calls run beside each other.
    journal
        The journal this job was first sent to. Another server refuses it.
    kind
        ``call``: part 0 is a pickled ``(function, args, kwargs)``. ``cell``: part 0 is a
        MessagePack array ``[source, pickled names]``, see `rexec_jupyter.core.values`.
    key
        32 random bytes; results carry a MAC made with it.
    payload
        The call or cell.
    label
        For people: shown in lists.
    outputs
        Names to return when a cell succeeded.
    max_recv
        Bytes that those names may take together; 0 means no limit.
    value
        Whether the value of a cell's last expression is to be returned too.
    value_limit
        Bytes that it may take; a larger one stays in the session.
    fresh
        Run the cell in a new interpreter, which ends with it, instead of the session's.
    if_busy
        What to do if cells of that session run or wait already: ``queue`` behind them,
        ``fail`` (`Nack` ``busy``), or ``interrupt`` them and run after that.
    known
        Version of the listing of the session's names that the client has; see `Output`.
    hidden
        Not a job of the user's: not listed, not counted as a cell, not logged.
    timeout
        Seconds the code may run; 0 means no limit.
    credit
        Bytes of output granted from the start.
    python
        Python version that pickled the payload, such as ``3.11``; empty for plain text.
    local
        The client can open files in the server's exchange directory: results may travel by
        the ``segment`` carrier.
    """

    job: JobId
    session: SessionName
    journal: JobId
    kind: Literal["call", "cell"]
    key: Annotated[bytes, Meta(min_length=32, max_length=32)]
    payload: Payload
    label: Label = ""
    outputs: Annotated[list[str], Meta(max_length=1000)] = []
    value: bool = False
    timeout: Seconds = 0.0
    credit: Count = CREDIT
    python: Annotated[str, Meta(max_length=16)] = ""
    local: bool = False
    max_recv: Count = 0
    value_limit: Count = VALUE
    fresh: bool = False
    if_busy: Literal["queue", "fail", "interrupt"] = "queue"
    known: Annotated[str, Meta(max_length=64)] = ""
    hidden: bool = False


class Attach(Message, frozen=True):
    """Client → server: send me the events of this job after ``seq``.

    Also the way to resynchronise after any loss. Answered by `Journaled` and the events, or by
    `Unknown`. ``credit`` is cumulative over the job, as in `Ack`; ``local`` is as in `Submit`.
    """

    job: JobId
    session: SessionName
    seq: Count
    credit: Count = CREDIT
    local: bool = False


class Ack(Message, frozen=True):
    """Client → server: events up to ``seq`` are safe here; ``credit`` bytes are granted.

    Both numbers are cumulative over the job, so losing or repeating one does no harm. The
    acknowledgement of the terminal event ends the server's custody.
    """

    job: JobId
    session: SessionName
    seq: Count
    credit: Count


class Interrupt(Message, frozen=True):
    """Client → server: raise KeyboardInterrupt in this job's code, as Ctrl-C would.

    A job that has not started is withdrawn. No other job is ever touched.
    """

    job: JobId
    session: SessionName


class Cancel(Message, frozen=True):
    """Client → server: end this job. Interrupts; kills a call's process after ``grace``."""

    job: JobId
    session: SessionName
    grace: Seconds = 5.0


class ListJobs(Request, frozen=True):
    """Client → server: list the jobs of this user's server. Answered by `JobList`."""


class ListSessions(Request, frozen=True):
    """Client → server: list the sessions of this server. Answered by `SessionList`."""


class EndSession(Request, frozen=True):
    """Client → server: end the interpreter of this session, and all its variables with it.

    Cells that run or wait there are cancelled. Answered by `SessionEnded` once it is gone.

    Attributes
    ----------
    restart
        Start a new one at once.
    """

    restart: bool = False


class ReadLog(Request, frozen=True):
    """Client → server: return a piece of what a job has shown. Answered by `LogPage`.

    Reading a log disturbs nobody who follows the job.

    Attributes
    ----------
    offset
        Where to begin: 0, or `LogPage.next` of an earlier answer.
    tail
        Begin at the last so many lines instead; 0: at ``offset``.
    limit
        Bytes to return at most; one record is returned in any case.
    wait
        If there is nothing beyond ``offset`` and the job goes on: seconds for which the
        answer may be held back until there is.
    """

    job: JobId
    offset: Count = 0
    tail: Count = 0
    limit: Count = CHUNK
    wait: Annotated[float, Meta(ge=0, le=30)] = 0.0


class ReadUsage(Request, frozen=True):
    """Client → server: tell what the user's code takes. Answered by `Usage`, whatever runs."""


# ----------------------------------------------------------------------- both directions


class Chunk(Message, frozen=True):
    """One piece of a chunked payload, in the message's frame.

    Attributes
    ----------
    seq
        Event the payload belongs to; 0 for the payload of a submission.
    offset
        Position of the piece in the concatenation.
    """

    job: JobId
    session: SessionName
    seq: Count
    offset: Count


class ChunkAck(Message, frozen=True):
    """Receiver of a chunked payload → sender: pulls.

    Everything before ``received`` arrived; up to `WINDOW` bytes more may be sent. With
    ``rewind`` whatever was sent beyond is to be sent again (start, reconnection, loss).
    """

    job: JobId
    session: SessionName
    seq: Count
    received: Count
    rewind: bool = False


# --------------------------------------------------------------------- server → client


class Journaled(Message, frozen=True):
    """Server → client: custody of the payload passed to the server's journal.

    Sent again when ``ahead`` changed.

    Attributes
    ----------
    ahead
        Cells that run or wait in its session before it.
    """

    job: JobId
    ahead: Count = 0


class Nack(Message, frozen=True):
    """Server or broker → client: the job was not accepted and has not run.

    Attributes
    ----------
    code
        ``conflict`` (same id, other payload), ``journal`` (sent to another journal before:
        it cannot be told here whether it ran there), ``draining``, ``full``, ``corrupt``
        (digest mismatch), ``R12`` (Python version), ``busy`` (see `Submit`).
    """

    job: JobId
    code: Annotated[str, Meta(max_length=32)]
    message: Text


class Unknown(Message, frozen=True):
    """Server → client: this journal has no such job."""

    job: JobId
    journal: JobId


class JobInfo(Struct, array_like=True, frozen=True, kw_only=True):
    """One row of `JobList`. Durations in seconds; ``started_ago`` < 0 before the start."""

    job: JobId
    session: SessionName
    kind: Literal["call", "cell"]
    label: Label
    state: str
    submitted_ago: float
    started_ago: float
    duration: float


class JobList(Answer, frozen=True):
    """Server → client: answer to `ListJobs`, newest first."""

    jobs: list[JobInfo]


class SessionInfo(Struct, array_like=True, frozen=True, kw_only=True):
    """One row of `SessionList`. Durations in seconds.

    Attributes
    ----------
    state
        ``starting``, ``idle``, ``busy``; ``stopped``: no interpreter at present.
    incarnation
        As in `Started`; 0 before the first interpreter was ready.
    running
        Job id of the cell that runs, or empty.
    queued
        Cells that wait.
    started_ago, idle_for
        Since the interpreter is ready; since the last cell ended. Negative if not so.
    """

    session: SessionName
    state: Literal["starting", "idle", "busy", "stopped"]
    incarnation: Count = 0
    running: Annotated[str, Meta(max_length=32)] = ""
    queued: Count = 0
    started_ago: float = -1.0
    idle_for: float = -1.0


class SessionList(Answer, frozen=True):
    """Server → client: answer to `ListSessions`, by name."""

    sessions: list[SessionInfo]


class SessionEnded(Answer, frozen=True):
    """Server → client: answer to `EndSession`. ``existed``: there was an interpreter."""

    existed: bool


class LogPage(Answer, frozen=True):
    """Server → client: answer to `ReadLog`. Frame: whole records, see `rexec_jupyter.core.logs`.

    Attributes
    ----------
    known
        Whether there is a log of that job; the rest means nothing otherwise.
    offset, next
        Where the records begin and where to go on.
    size
        Length of the log so far in bytes.
    ended
        Nothing is added to it any more.
    """

    job: JobId
    known: bool
    offset: Count = 0
    next: Count = 0
    size: Count = 0
    ended: bool = False


class Usage(Answer, frozen=True):
    """Server → client: answer to `ReadUsage`, about all processes of exec together.

    Attributes
    ----------
    known
        Whether exec is there and told; the rest means nothing otherwise.
    cpu
        Seconds of processor time so far; less than before where exec began anew.
    cores
        Processors that they may keep busy at once; 0 where nobody says.
    memory
        Bytes taken now, without what the system can take back.
    memory_limit
        Bytes they may take; 0 for no limit of their own.
    """

    known: bool
    cpu: Seconds = 0.0
    cores: Seconds = 0.0
    memory: Count = 0
    memory_limit: Count = 0


class Detached(Message, frozen=True):
    """Broker → server: nobody reads this job now. Keep its events until an `Attach`."""

    job: JobId


class Event(Message, frozen=True):
    """Base of what happens to a job, server → client.

    Attributes
    ----------
    job
        Id of the job.
    seq
        1, 2, 3, … without a gap within the job.
    """

    job: JobId
    seq: Annotated[int, Meta(ge=1)]


class Started(Event, frozen=True):
    """The code is about to run.

    Attributes
    ----------
    incarnation
        Numbers the interpreters the session has had; another number than last time means
        that the session's variables were lost in between.
    """

    incarnation: Count = 0


class Output(Event, frozen=True):
    """Something the code showed. Frame: the content.

    Attributes
    ----------
    stream
        ``stdout``, ``stderr``: UTF-8 text. ``display``, ``update``, ``result``: a
        MessagePack map with ``data``, ``metadata`` and ``transient``, as in the Jupyter
        messaging protocol. ``clear``: a MessagePack map with ``wait``.
        ``note``: UTF-8 text from rexec itself. ``comm``: a MessagePack map with ``kind``
        (``comm_open``, ``comm_msg`` or ``comm_close``), ``content``, ``metadata`` and
        ``buffers``, as in the Jupyter messaging protocol. ``payload``: a MessagePack map, an
        entry of ``payload`` of Jupyter's execute_reply. ``names``: the names in the session
        that changed, see `rexec_jupyter.core.happenings.NamesChanged`.
    more
        The content goes on in the next event of this stream; for content over `CHUNK` bytes.
    """

    stream: Stream
    more: bool = False


class Streaming(Event, frozen=True):
    """The call returned a generator; its items follow as `Item`, its end as `Done`."""


class Item(Event, frozen=True):
    """One item of a generator. Frame: the payload, if inline. MAC as in `Done`."""

    payload: Payload
    mac: Annotated[bytes, Meta(min_length=32, max_length=32)]


class Done(Event, frozen=True):
    """Terminal: success. Frame: the payload, if inline.

    Attributes
    ----------
    payload
        The pickled value. For a cell: see `rexec_jupyter.core.values`.
    mac
        Keyed BLAKE3 over job, event and payload digest, see `rexec_jupyter.core.trust`.
        Nothing is unpickled before it was checked.
    duration
        Seconds the code ran.
    """

    payload: Payload
    mac: Annotated[bytes, Meta(min_length=32, max_length=32)]
    duration: Seconds = 0.0


class Failed(Event, frozen=True):
    """Terminal: the code raised, or its result could not be sent. Frame as in `Done`.

    Attributes
    ----------
    error
        Name of the exception's type.
    message
        Its text, shortened.
    traceback
        Remote frames as text, rendered where the error happened, shortened.
    code
        Empty for an exception of the user's code, else a code of the error catalogue.
    payload, mac
        The pickled exception, or nothing that can be unpickled (``sizes`` is ``[0]``).
    """

    error: Label
    message: Text
    traceback: list[str]
    payload: Payload
    mac: Annotated[bytes, Meta(min_length=32, max_length=32)]
    code: Annotated[str, Meta(max_length=8)] = ""
    duration: Seconds = 0.0


class Cancelled(Event, frozen=True):
    """Terminal: interrupted or withdrawn on request. ``executed``: whether it had started."""

    executed: bool
    traceback: list[str] = []
    duration: Seconds = 0.0


class TimedOut(Event, frozen=True):
    """Terminal: ran longer than its ``timeout``. ``stuck``: it did not react and may go on."""

    timeout: Seconds
    stuck: bool = False
    traceback: list[str] = []
    duration: Seconds = 0.0


class Crashed(Event, frozen=True):
    """Terminal: the process that ran the code ended under it.

    Attributes
    ----------
    reason
        In plain words.
    exit_code, signal
        As the operating system reported them; 0 where it did not.
    oom
        Whether it was killed for lack of memory.
    log
        Last lines of output.
    """

    reason: Text
    exit_code: int = 0
    signal: int = 0
    oom: bool = False
    log: list[str] = []
    duration: Seconds = 0.0


class Lost(Event, frozen=True):
    """Terminal, made by the client itself: nobody can tell how the job ended.

    ``executed`` is ``False`` only where it is certain that the code did not start.
    """

    reason: Text
    executed: bool = True


Terminal = Done | Failed | Cancelled | TimedOut | Crashed | Lost
TERMINAL = (Done, Failed, Cancelled, TimedOut, Crashed, Lost)

JobCommand = (
    Submit
    | Attach
    | Ack
    | Interrupt
    | Cancel
    | Chunk
    | ChunkAck
    | ListJobs
    | ListSessions
    | EndSession
    | ReadLog
    | ReadUsage
)
JobEvent = Started | Output | Streaming | Item | Done | Failed | Cancelled | TimedOut | Crashed
JobReply = (
    Journaled
    | Nack
    | Unknown
    | JobList
    | SessionList
    | SessionEnded
    | LogPage
    | Usage
    | Chunk
    | ChunkAck
)

FromClient = ClientHello | Heartbeat | Goodbye | JobCommand
"""What the broker accepts on its client port."""
FromServer = ServerHello | Heartbeat | Goodbye | Drain | JobEvent | JobReply
"""What the broker accepts on its server port."""
ToClient = Welcome | Refused | Resync | Heartbeat | ServerState | JobEvent | JobReply
"""What a client accepts from the broker."""
ToServer = Welcome | Refused | Assign | Resync | Heartbeat | Detached | JobCommand
"""What a server accepts from the broker."""
AnyMessage = FromClient | FromServer | ToClient | ToServer
