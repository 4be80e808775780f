"""How a job ended, to a value or to an exception worth reading."""

from __future__ import annotations

from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any

from rexec_jupyter.core import notices as n
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import values
from rexec_jupyter.core.errors import (
    AuthenticationError,
    CaptureError,
    ConnectionLostError,
    JobTimeoutError,
    NestedMagicError,
    NoSessionError,
    PullError,
    QuotaError,
    RemoteError,
    RemoteTraceback,
    RexecError,
    SessionBusyError,
    SessionMismatchError,
    StartError,
    VersionMismatchError,
    WorkerLostError,
)
from rexec_jupyter.core.versions import PYTHON

_KINDS: tuple[type[RexecError], ...] = (
    AuthenticationError,
    CaptureError,
    ConnectionLostError,
    JobTimeoutError,
    NestedMagicError,
    NoSessionError,
    PullError,
    QuotaError,
    SessionMismatchError,
    StartError,
    VersionMismatchError,
    WorkerLostError,
)
_BY_CODE = {kind.code: kind for kind in _KINDS}
_BY_CODE |= {"full": QuotaError, "journal": WorkerLostError, "forged": PullError}
_BY_CODE["busy"] = SessionBusyError

_HINTS = {
    "corrupt": "Arguments must not be changed before the job is queued.",
    "busy": 'Nothing was executed. Run it again later, or with if_busy="queue".',
    "full": "Wait for other jobs to end, or fetch their results.",
    "forged": "The server still keeps it.",
    "unknown": "Results are kept until somebody fetched them, at most 24 hours.",
    "R07": "If the job had started it goes on, and its result is kept: client.attach({job!r}).",
    "R12": f"Start the server with Python {PYTHON}, or run the code as a cell.",
}
"""By the code of `notices.Rejected`."""

STATES: dict[type, str] = {
    p.Done: "done",
    p.Failed: "failed",
    p.Cancelled: "cancelled",
    p.TimedOut: "timed out",
    p.Crashed: "crashed",
    p.Lost: "lost",
}
"""`Job.state` after each terminal event."""


@dataclass(frozen=True, slots=True)
class CellResult:
    """What a successful cell returned.

    Attributes
    ----------
    value, has_value
        Its last expression, if it was asked for and could be sent.
    reason
        Why there is no value although one was asked for; else empty.
    ref
        The name under which the session keeps that value, such as ``_12``; else empty.
    outputs
        The names that were asked for.
    incarnation
        Counts the interpreters the session has had; another number than last time means that
        the session's variables were lost in between.
    """

    value: Any = None
    has_value: bool = False
    outputs: dict[str, Any] = field(default_factory=dict)
    incarnation: int = 0
    reason: str = ""
    ref: str = ""


def load_value(parts: n.Parts, incarnation: int = 0, job: Any = None) -> Any:
    """Unpickle what a job returned: a value, or what a cell returned.

    Raises
    ------
    PullError
        If it does not unpickle here.
    """
    try:
        # A pickle of protocol 2 or later starts with this byte, an array of MessagePack never.
        if parts[0][:1] == b"\x80":
            return values.load(parts)
        cell = values.load_cell_result(parts)
    except Exception as error:
        raise _pull_error(error, job) from error
    return CellResult(cell.value, cell.has_value, cell.outputs, incarnation, cell.reason, cell.ref)


def _pull_error(error: Exception, job: Any) -> PullError:
    message = "The code ran, but its result cannot be unpickled here: "
    if isinstance(error, ModuleNotFoundError) and error.name:
        return PullError(
            f"{message}the module {error.name} is missing.",
            hint=f"Install {error.name} here, or return plain data.",
            job=job,
        )
    return PullError(
        f"{message}{type(error).__name__}: {error}.",
        hint="Install the same package versions on both sides, or return plain data.",
        job=job,
    )


def error_of(outcome: n.Ended | n.Rejected, job: Any, *, interrupted: bool) -> BaseException | None:
    """Return the exception that a job ended with; None if it succeeded.

    Parameters
    ----------
    interrupted
        It was interrupted from here: it ends with KeyboardInterrupt, as local code does.
    """
    if isinstance(outcome, n.Rejected):
        return _rejected(outcome, job)
    event = outcome.event
    if isinstance(event, p.Failed):
        return _failed(event, outcome.parts, job)
    if isinstance(event, p.Cancelled):
        error = KeyboardInterrupt() if interrupted else CancelledError()
        return with_remote(error, event.traceback, job)
    if isinstance(event, p.TimedOut):
        stuck = " It did not react to the interruption and may still run." if event.stuck else ""
        restart = f"`%rexec restart {job.session}` ends it, and loses the session's variables."
        late = JobTimeoutError(
            f"The code ran longer than {event.timeout:g} s and was interrupted.{stuck}",
            hint=restart if event.stuck else "",
            job=job,
        )
        return with_remote(late, event.traceback, job)
    if isinstance(event, p.Crashed | p.Lost):
        return _worker_lost(event, job)
    return None


def _worker_lost(event: p.Crashed | p.Lost, job: Any) -> WorkerLostError:
    if isinstance(event, p.Crashed):
        return WorkerLostError(event.reason, job=job, log=event.log)
    ran = "It may have run." if event.executed else "It did not run."
    return WorkerLostError(
        f"Nobody can tell how the job ended: {event.reason}. {ran}",
        job=job,
        executed=event.executed,
        log=job.logs().splitlines(),
    )


def _rejected(outcome: n.Rejected, job: Any) -> RexecError:
    hint = _HINTS.get(outcome.code, "").format(job=outcome.job)
    kind = _BY_CODE.get(outcome.code, RexecError)
    message = outcome.message[:1].upper() + outcome.message[1:]
    return kind(message, hint=hint, job=job)


def _failed(event: p.Failed, parts: n.Parts | None, job: Any) -> BaseException:
    error: BaseException | None = None
    if event.code:
        kind = _BY_CODE.get(event.code, RexecError)
        error = kind(event.message, job=job)
    elif parts is not None:
        try:
            error = values.load(parts)
        except Exception:  # noqa: BLE001 - whatever it is, there is the text
            error = None
    if not isinstance(error, BaseException):
        error = RemoteError(event.error, event.message, job=job)
    return with_remote(error, event.traceback, job)


def with_remote(error: BaseException, traceback: list[str], job: Any) -> BaseException:
    """Attach the remote frames to an exception, as far as it lets us."""
    if traceback:
        error.__cause__ = RemoteTraceback(traceback)
    try:
        error.remote_traceback = traceback  # type: ignore[attr-defined]
        error.rexec_job = job  # type: ignore[attr-defined]
    except AttributeError:
        pass  # it has slots
    return error
