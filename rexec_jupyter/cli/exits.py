"""What the exit code of ``rexec`` tells a script."""

from __future__ import annotations

from enum import IntEnum

from rexec_jupyter.core.errors import RexecError


class Exit(IntEnum):
    """The exit codes."""

    OK = 0
    FAILED = 1
    """The remote code failed, or a check of ``rexec doctor``."""
    USAGE = 2
    """The command cannot be understood, or would lose something and was not forced."""
    UNREACHABLE = 3
    """The backend does not run, cannot be reached or does not start."""
    NOT_FOUND = 4
    """There is no such job or session."""
    TIMED_OUT = 124
    """The remote code ran longer than it may, as ``timeout`` tells it."""
    INTERRUPTED = 130
    """Ctrl-C."""


class NotFoundError(RexecError):
    """There is no such job."""


_CODES = {
    "R01": Exit.UNREACHABLE,
    "R02": Exit.UNREACHABLE,
    "R03": Exit.NOT_FOUND,
    "R04": Exit.USAGE,
    "R05": Exit.UNREACHABLE,
    "R06": Exit.UNREACHABLE,
    "R07": Exit.UNREACHABLE,
    "R08": Exit.TIMED_OUT,
    "R12": Exit.UNREACHABLE,
    "R14": Exit.USAGE,
}


def exit_code(error: RexecError) -> Exit:
    """Return the exit code for an error of rexec."""
    if isinstance(error, NotFoundError):
        return Exit.NOT_FOUND
    return _CODES.get(error.code, Exit.FAILED)
