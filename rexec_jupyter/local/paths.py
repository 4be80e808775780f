"""Where the embedded backend keeps its files."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

from rexec_jupyter.core.runtime import UnsafeDirectoryError, private_directory, runtime_path

SOCKET_PATH_BYTES = 107
"""Longest name a Unix socket can have on Linux."""
PAYLOADS = "files"
"""Folder of payloads in the handoff directory; results stay there until they are fetched."""
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - what is made there is private and checked
_LARGE_VALUES = 1 << 30


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
