"""What the agent and the processes that run user code say to each other.

The agent listens on the Unix socket `SOCKET` in the handoff directory. The exec manager
connects once and says `ManagerHello`; each worker process connects and says `WorkerHello`,
passing the read ends of its stdout and stderr pipes along (``SCM_RIGHTS``): what a worker
writes reaches the agent even if the worker dies, and is all there before its answer is.

On the stream each message is a little-endian 32-bit length, a MessagePack array of that
length, and, if the message has ``nbytes``, that many bytes of payload. Payloads over
`protocol.INLINE` bytes pass as files in the directory `FILES` instead. Nothing here is
pickled, and the agent trusts nothing it reads here further than the user it serves.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from rexec_jupyter.core import protocol as p

SOCKET = "agent.sock"
FILES = "files"

Count = p.Count
FileName = Annotated[str, Meta(max_length=64, pattern=r"^[0-9a-f-]*$")]


class Where(Struct, array_like=True, frozen=True):
    """Where the bytes of a value are: in file ``file`` of `FILES`, else in the message itself.

    ``sizes`` are the lengths of its parts, as in `protocol.Payload`.
    """

    sizes: list[Count]
    file: FileName = ""


class Result(Struct, array_like=True, frozen=True):
    """A value that leaves exec: where it is and its BLAKE3-256 digest."""

    where: Where
    digest: Annotated[bytes, Meta(min_length=32, max_length=32)]


class Message(Struct, array_like=True, frozen=True, kw_only=True, tag=str.lower):
    """Base of all messages; ``nbytes`` bytes of payload follow it on the stream."""

    nbytes: Count = 0


# ------------------------------------------------------------------ a process says who it is


class ManagerHello(Message, frozen=True):
    """Exec manager → agent, first."""

    pid: int
    python: str
    workers: Count


class WorkerHello(Message, frozen=True):
    """Worker → agent, first; two file descriptors come along: stdout, then stderr, to read."""

    pid: int


# -------------------------------------------------------------------------- agent → worker


class RunCall(Message, frozen=True):
    """Run a call: the payload is part 0 a pickled ``(function, args, kwargs)``, then buffers.

    ``digest`` is checked by the worker if the payload is a file (nobody else has read it).
    """

    job: p.JobId
    where: Where
    digest: bytes


class MoreItems(Message, frozen=True):
    """The generator of this job may produce items up to number ``upto`` in all."""

    job: p.JobId
    upto: Count


# -------------------------------------------------------------------------- worker → agent


class Streaming(Message, frozen=True):
    """The call returned a generator; `Yielded` follow. `protocol.ITEM_WINDOW` are granted."""

    job: p.JobId


class Yielded(Message, frozen=True):
    """One item of a generator."""

    job: p.JobId
    result: Result


class Returned(Message, frozen=True):
    """The call or cell succeeded; the worker is idle again.

    For a cell the value is what `values.dump_cell_result` makes.
    """

    job: p.JobId
    result: Result
    duration: float


class Raised(Message, frozen=True):
    """The call or cell raised, or its result could not be sent; the worker is idle again.

    The attributes are those of `protocol.Failed`; ``result`` is the pickled exception, with
    ``sizes`` ``[0]`` if it could not be pickled.
    """

    job: p.JobId
    error: str
    message: str
    traceback: list[str]
    result: Result
    code: str = ""
    duration: float = 0.0


class Interrupted(Message, frozen=True):
    """The call or cell ended by a KeyboardInterrupt; the worker is idle again."""

    job: p.JobId
    traceback: list[str]
    duration: float = 0.0


# -------------------------------------------------------------------------- agent → manager


class RunCell(Message, frozen=True):
    """Run a cell in its session's kernel, which is started if need be.

    The payload is what `values.dump_cell` makes. The agent sends at most one at a time for
    each session, not counting those with ``fresh``. The attributes are as in
    `protocol.Submit`.
    """

    job: p.JobId
    session: p.SessionName
    where: Where
    digest: bytes
    outputs: list[str] = []
    max_recv: Count = 0
    value: bool = False
    value_limit: Count = p.VALUE
    fresh: bool = False
    known: str = ""
    hidden: bool = False


class InterruptJob(Message, frozen=True):
    """Raise KeyboardInterrupt in this job if it still runs there, and in no other.

    ``pid`` is the worker's, 0 for a cell.
    """

    job: p.JobId
    pid: int = 0
    session: str = ""


class KillJob(Message, frozen=True):
    """Kill the process of this job if it still runs there: its worker or its session's kernel.

    `WorkerGone` or `CellGone` answers. A new worker replaces a killed one.
    """

    job: p.JobId
    pid: int = 0
    session: str = ""


class StopKernel(Message, frozen=True):
    """End the kernel of a session, if it has one; with ``restart`` start another at once.

    A cell under way ends with `CellGone`; `KernelState` ``gone`` answers in any case.
    """

    session: p.SessionName
    restart: bool = False


class Measure(Message, frozen=True):
    """Tell what all processes of exec take. `Measured` answers, whatever runs."""


# -------------------------------------------------------------------------- manager → agent


class Measured(Message, frozen=True):
    """What all processes of exec take; the attributes are as in `protocol.Usage`."""

    cpu: p.Seconds
    cores: p.Seconds
    memory: Count
    memory_limit: Count


class KernelState(Message, frozen=True):
    """The kernel of a session starts, is ready, or is gone."""

    session: p.SessionName
    state: Literal["starting", "ready", "gone"]
    incarnation: Count = 0


class WorkerGone(Message, frozen=True):
    """A worker process ended. ``signal`` and ``exit_code`` as the system reported, else 0."""

    pid: int
    exit_code: int = 0
    signal: int = 0
    oom: bool = False
    reason: str = ""


class CellStarted(Message, frozen=True):
    """The cell is about to run. ``incarnation`` numbers the session's kernels, ever higher."""

    job: p.JobId
    incarnation: Count


class CellOutput(Message, frozen=True):
    """Something a cell showed: payload as in `protocol.Output`."""

    job: p.JobId
    stream: p.Stream


class CellGone(Message, frozen=True):
    """The kernel ended under this cell; the rest is as in `WorkerGone`.

    ``started`` is false if the cell certainly did not run (the kernel did not start).
    """

    job: p.JobId
    started: bool = True
    exit_code: int = 0
    signal: int = 0
    oom: bool = False
    reason: str = ""


FromWorker = WorkerHello | Streaming | Yielded | Returned | Raised | Interrupted
FromManager = (
    ManagerHello
    | WorkerGone
    | CellStarted
    | CellOutput
    | Returned
    | Raised
    | Interrupted
    | CellGone
    | KernelState
    | Measured
)
ToAgent = FromWorker | FromManager
ToWorker = RunCall | MoreItems
ToManager = RunCell | StopKernel | InterruptJob | KillJob | Measure

_encoder = msgspec.msgpack.Encoder()
_LENGTH = struct.Struct("<I")
_MAX_MESSAGE = 4 * 1024 * 1024
_MAX_PAYLOAD = 64 * 1024 * 1024

M = TypeVar("M")


class HandoffError(ValueError):
    """The stream is not of this protocol; its other end is to be given up."""


def encode(message: Any, payload: p.Buffer = b"") -> bytes:
    """Return the bytes of one message; ``message.nbytes`` must be the payload's length."""
    body = _encoder.encode(message)
    return b"".join((_LENGTH.pack(len(body)), body, payload))


class Decoder(Generic[M]):
    """Cuts a byte stream into messages.

    Parameters
    ----------
    accepts
        Union of the messages that may arrive, such as `ToAgent`.
    """

    def __init__(self, accepts: Any) -> None:
        self._decoder: msgspec.msgpack.Decoder[M] = msgspec.msgpack.Decoder(accepts)
        self._buffer = bytearray()

    def feed(self, data: p.Buffer) -> Iterator[tuple[M, bytes]]:
        """Add what was read; yield each message that is complete, with its payload.

        Raises
        ------
        HandoffError
            If it cannot be a message of this protocol.
        """
        self._buffer += data
        at = 0
        try:
            while len(self._buffer) - at >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(self._buffer, at)
                if length > _MAX_MESSAGE:
                    raise HandoffError("message too large")
                body = at + _LENGTH.size
                if len(self._buffer) < body + length:
                    break
                try:
                    message = self._decoder.decode(self._buffer[body : body + length])
                except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                    raise HandoffError("not a message of this protocol") from None
                nbytes: int = message.nbytes  # type: ignore[attr-defined]
                if nbytes > _MAX_PAYLOAD:
                    raise HandoffError("payload too large")
                end = body + length + nbytes
                if len(self._buffer) < end:
                    break
                payload = bytes(self._buffer[body + length : end])
                at = end
                yield message, payload
        finally:
            del self._buffer[:at]
