"""Where the embedded backend keeps its files, and proof that nobody else can touch them."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

SOCKET_PATH_BYTES = 107
"""Longest name a Unix socket can have on Linux."""
PAYLOADS = "files"
"""Folder of payloads in the handoff directory; results stay there until they are fetched."""
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - what is made there is private and checked
_LARGE_VALUES = 1 << 30
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


def data_path() -> Path:
    """Return where what outlives every backend is kept; it is not looked at.

    It is ``$REXEC_DATA_DIR``, else ``data`` in ``$REXEC_RUNTIME_DIR``, else ``rexec`` where
    the user's programs keep their data.
    """
    if own := os.environ.get("REXEC_DATA_DIR"):
        return Path(own).absolute()
    if os.environ.get("REXEC_RUNTIME_DIR"):  # whoever set that wants everything there
        return runtime_path() / "data"
    home = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (home if home.is_absolute() else Path.home() / ".local/share") / "rexec"


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


@dataclass(frozen=True)
class Paths:
    """The files in one runtime directory.

    Attributes
    ----------
    root
        The private directory itself.
    """

    root: Path

    @property
    def lock(self) -> Path:
        """Locked by whoever starts the supervisor, and then by it until it is gone."""
        return self.root / "lock"

    @property
    def socket(self) -> Path:
        """Where the supervisor listens."""
        return self.root / "supervisor.sock"

    @property
    def secret(self) -> Path:
        """The secret that the keys of jobs derive from; kept as long as `state`."""
        return self.root / "secret"

    @property
    def keys(self) -> Path:
        """Keys of broker and server; new with every supervisor."""
        return self.root / "keys"

    @property
    def endpoint_token(self) -> Path:
        """The token that the endpoint takes; new with every supervisor."""
        return self.keys / "endpoint-token"

    @property
    def state(self) -> Path:
        """Journal and spool of the agent; kept while it holds results nobody has fetched."""
        return self.root / "state"

    @property
    def kept(self) -> Path:
        """Payloads of such results, while no backend runs."""
        return self.root / "kept"

    @property
    def servers(self) -> Path:
        """What is noted of the server while the backend runs."""
        return self.root / "server"

    @property
    def work(self) -> Path:
        """Working directory of the code that is run, unless another one was asked for."""
        return self.root / "work"

    @property
    def logs(self) -> Path:
        """Logs of all processes."""
        return self.root / "logs"

    def log(self, part: str) -> Path:
        """Return the log of one process."""
        return self.logs / f"{part}.log"

    @cached_property
    def handoff(self) -> Path:
        """Where agent and exec meet and large values pass as files; made if need be.

        It is in memory if possible. Its name is short, because sockets lie in it and below it.
        """
        on_disk = self.root / "handoff"
        # A container often has 64 MB of shared memory: too little for large values.
        if not on_disk.exists() and (self.in_memory.exists() or _free_memory() >= _LARGE_VALUES):
            with contextlib.suppress(UnsafeDirectoryError):  # somebody else took the name
                return private_directory(self.in_memory)
        return private_directory(on_disk)

    @property
    def in_memory(self) -> Path:
        """Where `handoff` is if it can be in memory."""
        name = blake2b(os.fsencode(self.root), digest_size=4).hexdigest()
        return _SHARED_MEMORY / f"rexec-{os.getuid()}-{name}"

    def check_lengths(self) -> None:
        """Refuse a directory so deep that sockets in it could not have a name.

        Raises
        ------
        UnsafeDirectoryError
            Telling how long it may be.
        """
        longest = len(os.fsencode(self.socket))
        if longest > SOCKET_PATH_BYTES:
            limit = SOCKET_PATH_BYTES - len(self.socket.name) - 1
            raise UnsafeDirectoryError(
                f"The name of {self.root} is too long for sockets: at most {limit} bytes."
            )


def _free_memory() -> int:
    try:
        room = os.statvfs(_SHARED_MEMORY)
    except OSError:
        return 0
    return room.f_bavail * room.f_frsize
