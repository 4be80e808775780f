"""The private directory of what rexec runs now, and proof that nobody else can touch it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_OWNER_ONLY = 0o700


class UnsafeDirectoryError(OSError):
    """A directory that should be private is not, or cannot be made. Its text says why."""


def runtime_directory() -> Path:
    """Return this user's private directory, made if need be.

    It is ``$REXEC_RUNTIME_DIR``, else ``rexec`` in ``$XDG_RUNTIME_DIR``, else
    ``rexec-<uid>`` in the directory for temporary files.

    Raises
    ------
    UnsafeDirectoryError
        If somebody else may read or change what is in it.
    """
    return private_directory(runtime_path())


def existing_runtime_directory() -> Path | None:
    """Return this user's private directory; None if there is none, and none is made.

    Raises
    ------
    UnsafeDirectoryError
        If somebody else may read or change what is in it.
    """
    path = runtime_path()
    return check_private(path) if os.path.lexists(path) else None


def runtime_path() -> Path:
    """Return where `runtime_directory` is, or would be; it is not looked at."""
    if own := os.environ.get("REXEC_RUNTIME_DIR"):
        return Path(own).absolute()
    login = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isdir(login):  # noqa: PTH112 - Path("") would be the working directory
        return Path(login).absolute() / "rexec"
    import tempfile  # noqa: PLC0415 - seldom needed and slow to import

    return Path(tempfile.gettempdir()) / f"rexec-{os.getuid()}"


def private_directory(path: Path) -> Path:
    """Make a directory for this user alone, or check that it is one.

    Raises
    ------
    UnsafeDirectoryError
        If it belongs to somebody else, is open to others, is a symbolic link, or cannot be
        made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(_OWNER_ONLY)
    except FileExistsError:
        pass
    except OSError as error:
        raise UnsafeDirectoryError(f"{path} cannot be made: {error.strerror}.") from error
    return check_private(path)


def check_private(path: Path) -> Path:
    """Check that a directory is for this user alone; return it.

    Raises
    ------
    UnsafeDirectoryError
        If it belongs to somebody else, is open to others, is a symbolic link, or is none.
    """
    try:
        status = path.lstat()
    except OSError as error:
        raise UnsafeDirectoryError(f"{path} cannot be read: {error.strerror}.") from error
    if stat.S_ISLNK(status.st_mode):
        raise UnsafeDirectoryError(f"{path} is a symbolic link, which may lead anywhere.")
    if not stat.S_ISDIR(status.st_mode):
        raise UnsafeDirectoryError(f"{path} is not a directory.")
    if status.st_uid != os.geteuid():
        raise UnsafeDirectoryError(
            f"{path} belongs to another user (uid {status.st_uid}, not {os.geteuid()})."
        )
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise UnsafeDirectoryError(f"{path} is open to other users (mode {mode:o}, not 700).")
    return path
