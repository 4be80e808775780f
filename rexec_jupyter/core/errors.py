"""What can go wrong, in words for the person it happens to.

Every error says the cause, names the object and tells the next step; ``code`` is stable.
Exceptions of the user's own code are not here: they keep their type.
"""

from __future__ import annotations

from typing import Any, ClassVar


class RexecError(Exception):
    """Base of all errors of rexec.

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
    """

    code: ClassVar[str] = "R00"

    def __init__(self, message: str, *, hint: str = "", job: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.job = job

    def __str__(self) -> str:
        return f"[{self.code}] {self.message}" + (f" {self.hint}" if self.hint else "")


class NotConfiguredError(RexecError):
    """There is no such backend, or none is configured."""

    code = "R01"


class AuthenticationError(RexecError):
    """The backend does not accept who we say we are."""

    code = "R02"


class NoSessionError(RexecError):
    """The session does not exist."""

    code = "R03"


class SessionMismatchError(RexecError):
    """The session runs with other settings than asked for."""

    code = "R04"


class QuotaError(RexecError):
    """A limit of the user or of the server's storage is reached."""

    code = "R05"


class StartError(RexecError):
    """The backend, or a session, did not get ready in time."""

    code = "R06"


class ConnectionLostError(RexecError, ConnectionError):
    """The broker cannot be reached, or this client was closed."""

    code = "R07"


class JobTimeoutError(RexecError, TimeoutError):
    """The job ran longer than its timeout."""

    code = "R08"


class WorkerLostError(RexecError):
    """The process or server that ran the job ended under it.

    Attributes
    ----------
    executed
        Whether the code ran, or may have; false only where it certainly did not.
    log
        Last lines of its output.
    """

    code = "R09"

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
        self.log = log or []

    def __str__(self) -> str:
        lines = super().__str__()
        return "\n".join([lines, "Last output:", *self.log]) if self.log else lines


class CaptureError(RexecError, TypeError):
    """A value cannot be sent; nothing was executed."""

    code = "R10"


class PullError(RexecError):
    """The code ran, but its result cannot be brought here."""

    code = "R11"


class VersionMismatchError(RexecError):
    """Both sides' Python or protocol versions do not fit."""

    code = "R12"


class NestedMagicError(RexecError):
    """rexec was used within code that rexec runs."""

    code = "R14"


class RemoteError(RexecError):
    """An exception of the user's code whose own type cannot be had here.

    Attributes
    ----------
    error
        Name of its type.
    """

    def __init__(self, error: str, message: str, *, job: Any = None) -> None:
        super().__init__(message, job=job)
        self.error = error

    def __str__(self) -> str:
        return f"{self.error}: {self.message}"


class RemoteTraceback(Exception):  # noqa: N818 - shown as the cause of an error, is none itself
    """The remote frames of an exception, as text."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n" + "\n".join(lines))
