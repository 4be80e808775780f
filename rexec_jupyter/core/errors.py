"""What can go wrong, in words for the person it happens to.

Every error says the cause, names the object and tells the next step; ``code`` is stable.
Exceptions of the user's own code are not here: they keep their type. ``docs/errors.md`` is
made from the docstrings of these classes.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

LOG_LINES = 20
"""Last lines of output that `WorkerLostError` tells."""


class RexecError(Exception):
    """Base of all errors of rexec.

    Catch this one to tell trouble with the remote side from exceptions of your own code.

    Parameters
    ----------
    message
        Cause and object.
    hint
        Next step.
    job
        The job concerned, if there is one.

    Attributes
    ----------
    code
        Stable code of the error catalogue, such as ``R07``.

    When
    ----
    With code R00: something that should not happen, such as a job id that no server knows or a
    client that was carried over a fork.

    What to do
    ----------
    What the text says. If it speaks of a defect, please report it.
    """

    code: ClassVar[str] = "R00"
    example: ClassVar[tuple[str, str]] = (
        "This client belongs to the process that this one was forked from.",
        "Call rexec_jupyter.connect() again here.",
    )
    """Message and hint, as somebody may see them."""

    def __init__(self, message: str, *, hint: str = "", job: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.job = job

    def __str__(self) -> str:
        text = f"[{self.code}] {self.message}".rstrip()
        if not self.hint:
            return text
        # A table stands alone.
        return f"{text}\n\n{self.hint}" if "\n" in self.message else f"{text} {self.hint}"

    def __reduce__(self) -> tuple[Any, ...]:
        # A job cannot be taken to another process, its id can.
        state = {name: getattr(value, "id", value) for name, value in vars(self).items()}
        return _again, (type(self), self.args), state


def _again(kind: type[RexecError], args: tuple[Any, ...]) -> RexecError:
    return kind.__new__(kind, *args)


class NotConfiguredError(RexecError):
    """There is no such backend, or a setting cannot be understood.

    When
    ----
    At the first use of rexec in a process, if ``REXEC_URL``, an argument of
    `rexec_jupyter.connect` or a setting names something that does not exist or cannot be used,
    or an endpoint that has no remote execution.

    What to do
    ----------
    Correct the setting: ``%rexec config`` shows each with its source. Without any, rexec uses
    its embedded backend.
    """

    code = "R01"
    example = (
        "The endpoint https://a.org has no remote execution: Not Found.",
        "Use another endpoint, or ask whoever runs this one to configure it.",
    )


class AuthenticationError(RexecError):
    """The backend does not accept who you are.

    When
    ----
    While connecting, or when a ticket is renewed: the token is missing, expired or lacks a
    right. Renewing it was tried before this is raised.

    What to do
    ----------
    Log in again. If the text names a right, ask whoever runs the backend for it.
    """

    code = "R02"
    example = (
        "https://a.org does not accept the token: it has expired.",
        "Get a new one, and log in with `%rexec login --url https://a.org`.",
    )


class NoSessionError(RexecError):
    """The session does not exist, and is not to be made.

    When
    ----
    A cell or command names a session that was never started, where ``auto_start`` is off or
    the command needs one that runs. Or nothing runs at an endpoint, and ``connect`` may not
    start it.

    What to do
    ----------
    Use one of the sessions that the text lists, or start it by running a cell there.
    """

    code = "R03"
    example = (
        "There is no session 'train'; there are 'default' and 'maps'.",
        "Start it with `%rexec start train`.",
    )


class SessionMismatchError(RexecError):
    """The session runs with other settings than asked for.

    When
    ----
    A cell asks for a profile, and its session runs with another one; or this backend does not
    have that profile.

    What to do
    ----------
    Use another session with ``-s``, or end this one and let it start anew.
    """

    code = "R04"
    example = (
        "There is no profile 'gpu-small': all sessions of the embedded backend are alike.",
        "Leave the profile out.",
    )


class QuotaError(RexecError):
    """A limit of the user or of the server's storage is reached.

    When
    ----
    A job or its result finds no room on the server, or there are more of something than the
    backend allows.

    What to do
    ----------
    Wait for other jobs to end, fetch their results, or end sessions that are not needed.
    """

    code = "R05"
    example = (
        "The server has no room for another job: 1,000 are waiting.",
        "Wait for other jobs to end, or fetch their results.",
    )


class SessionBusyError(QuotaError):
    """The session runs another cell, and this one was not to wait for it.

    When
    ----
    A cell with ``if_busy="fail"`` reaches a session in which cells run or wait. Nothing was
    executed.

    What to do
    ----------
    Run it again later, without ``if_busy="fail"`` to queue behind the others, or with
    ``if_busy="interrupt"`` to end them first.
    """

    example = (
        "Session 'default' is busy: a cell runs there. Nothing was executed.",
        'Run it again later, or with if_busy="queue".',
    )


class StartError(RexecError):
    """The backend, or a session, did not get ready in time.

    Attributes
    ----------
    phase
        What was waited for at the end; may be empty.

    When
    ----
    While connecting, or where a job has not started after ``wait_start``. Time that a cell
    spends behind other cells of its session does not count. The job was withdrawn.

    What to do
    ----------
    The text tells what was waited for. Ask ``rexec doctor``, or wait for longer.
    """

    code = "R06"
    example = (
        "The job did not start within 300 s: no server is ready. It was withdrawn and did not run.",
        "Run it again with a longer wait_start, or ask `rexec doctor` what is wrong.",
    )

    def __init__(self, message: str, *, hint: str = "", job: Any = None, phase: str = "") -> None:
        super().__init__(message, hint=hint, job=job)
        self.phase = phase


class ConnectionLostError(RexecError, ConnectionError):
    """The broker cannot be reached, or this client was closed. Also a `ConnectionError`.

    When
    ----
    Nothing was heard of the broker for as long as ``reconnect_timeout`` says. Shorter
    interruptions cost nothing: the connection is made again and output goes on where it was.

    What to do
    ----------
    A job that had started goes on, and its result is kept: attach to it once the broker can
    be reached again. ``rexec doctor`` tells what is in the way.
    """

    code = "R07"
    example = (
        "The broker has not answered for 90 seconds.",
        "If the job had started it goes on, and its result is kept: client.attach('5d41…').",
    )


class JobTimeoutError(RexecError, TimeoutError):
    """The job ran longer than its timeout. Also a `TimeoutError`.

    When
    ----
    Code ran for longer than ``timeout``, not counting the time before it started. It was
    interrupted; its remote traceback, the cause of this exception, shows where it was.

    What to do
    ----------
    Give it more time. If the text says that it did not react, its session is of no use until
    it is restarted.
    """

    code = "R08"
    example = (
        "The code ran longer than 30 s and was interrupted.",
        "",
    )


class WorkerLostError(RexecError):
    """The process or server that ran the job ended under it.

    Attributes
    ----------
    executed
        Whether the code ran, or may have; false only where it certainly did not.
    log
        Last lines of its output, 20 at most.

    When
    ----
    User code crashed the interpreter, took more memory than there is, or the machine went
    away. Code is never run a second time unasked.

    What to do
    ----------
    The text tells the reason. The variables of a session are gone, and it starts anew with its
    next cell. If memory ran out, use less of it at once.
    """

    code = "R09"
    example = (
        "The process that ran the code ended: it was ended by SIGSEGV (a crash in native code).",
        "The session starts anew with the next cell; what was made in it is gone.",
    )

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        job: Any = None,
        executed: bool = True,
        log: list[str] | None = None,
    ) -> None:
        super().__init__(message, hint=hint, job=job)
        self.executed = executed
        self.log = (log or [])[-LOG_LINES:]

    def __str__(self) -> str:
        lines = super().__str__()
        return "\n".join([lines, "Last output:", *self.log]) if self.log else lines


class CaptureError(RexecError, TypeError):
    """A value cannot be sent; nothing was executed. Also a `TypeError`.

    When
    ----
    A name, a function or an argument cannot be pickled, is larger than ``max_send``, or does
    not unpickle on the other side.

    What to do
    ----------
    Create or load it in the remote code instead, leave it out with ``-x``, or transfer a large
    file with ``put``.
    """

    code = "R10"
    example = (
        "lock (_thread.lock) cannot be sent: it cannot be pickled. Nothing was executed.",
        "Create or load it remotely instead.",
    )


class PullError(RexecError):
    """The code ran, but its result cannot be brought here.

    When
    ----
    A name asked for with ``out`` does not exist, or a result cannot be pickled there or
    unpickled here, or is larger than ``max_recv``. None of the names was brought then.

    What to do
    ----------
    The value stays in the session. Make plain data of it there, install the missing module
    here, or bring less.
    """

    code = "R11"
    example = (
        "The code ran, but its result cannot be unpickled here: the module torch is missing.",
        "Install torch here, or return plain data.",
    )


class VersionMismatchError(RexecError):
    """Both sides' Python or protocol versions do not fit.

    When
    ----
    A function is to be called by another minor version of Python, or client and broker speak
    no common version of the protocol. Cells are source text and run on any Python.

    What to do
    ----------
    Start the server with the Python that the text names, run the code as a cell, or install
    the same version of rexec on both sides.
    """

    code = "R12"
    example = (
        "The function was pickled by Python 3.13, and the workers run Python 3.11.",
        "Start the server with Python 3.13, or run the code as a cell.",
    )


class NestedMagicError(RexecError):
    """rexec was used within code that rexec runs.

    When
    ----
    A cell that runs remotely contains ``%%rexec``, ``%rexec`` or ``%rx``. Nothing was executed.
    Options that do not exist are told in one line as IPython's own UsageError.

    What to do
    ----------
    Take the magic out of the cell.
    """

    code = "R14"
    example = (
        "%%rexec and %rx cannot be used in code that runs remotely already.",
        "Take them out of the cell.",
    )


class RemoteError(RexecError):
    """An exception of the user's code whose own type cannot be had here.

    Attributes
    ----------
    error
        Name of its type.

    When
    ----
    The code raised an exception of a class that cannot be imported or unpickled here. All
    others are raised as what they are, with the remote frames in ``remote_traceback``.

    What to do
    ----------
    As with any exception of your code. Install the package that defines the class here to
    catch it by its type.
    """

    example = ("the grid has no cells", "")

    def __init__(self, error: str, message: str, *, job: Any = None) -> None:
        super().__init__(message, job=job)
        self.error = error

    def __str__(self) -> str:
        return f"{self.error}: {self.message}"


class RemoteTraceback(Exception):  # noqa: N818 - shown as the cause of an error, is none itself
    """The remote frames of an exception, as text."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n" + _COLOUR.sub("", "\n".join(lines)))


CATALOGUE: tuple[type[RexecError], ...] = (
    NotConfiguredError,
    AuthenticationError,
    NoSessionError,
    SessionMismatchError,
    QuotaError,
    SessionBusyError,
    StartError,
    ConnectionLostError,
    JobTimeoutError,
    WorkerLostError,
    CaptureError,
    PullError,
    VersionMismatchError,
    NestedMagicError,
    RemoteError,
    RexecError,
)
"""All classes, in the order of their codes. R13 is Python's own SyntaxError."""
