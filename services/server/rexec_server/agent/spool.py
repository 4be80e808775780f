"""Payloads that are files: in the handoff directory, from which exec and clients read them."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from pathlib import Path
from typing import Protocol

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.trust import new_id
from rexec_server.agent.records import StorageFullError

KEEP_UNKNOWN = 24 * 3600.0
"""Seconds after which a file goes that no job ever named."""

_OWN = "a-"


class Spool(Protocol):
    """Where payload files are. Names are plain file names of the directory."""

    def create(self) -> str:
        """Return the name of a new file to be written."""

    def write(self, name: str, offset: int, data: p.Buffer) -> None:
        """Write a piece.

        Raises
        ------
        StorageFullError
            If the disk does not take it.
        """

    def read(self, name: str, offset: int, nbytes: int) -> bytes:
        """Return a piece.

        Raises
        ------
        OSError
            If the file or the piece is not there.
        """

    def check(self, name: str, nbytes: int, *, foreign: bool) -> str:
        """Return why a file somebody else wrote is not accepted, or nothing.

        Parameters
        ----------
        foreign
            It comes from a client, and must belong to the same user.
        """

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""

    def sweep(self, known: set[str]) -> None:
        """Remove what earlier runs left behind, except the files named in `known`."""


class DiskSpool:
    """See `Spool`.

    Parameters
    ----------
    directory
        `handoff.FILES` of the handoff directory; made if need be.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory

    def create(self) -> str:
        """See `Spool.create`."""
        return _OWN + new_id()

    def write(self, name: str, offset: int, data: p.Buffer) -> None:
        """See `Spool.write`."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        rest = memoryview(data)
        try:
            descriptor = os.open(self._directory / name, flags, 0o600)
            try:
                while rest:
                    done = os.pwrite(descriptor, rest, offset)
                    rest, offset = rest[done:], offset + done
            finally:
                os.close(descriptor)
        except OSError:
            raise StorageFullError from None

    def read(self, name: str, offset: int, nbytes: int) -> bytes:
        """See `Spool.read`."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._directory / name, flags)
        try:
            data = os.pread(descriptor, nbytes, offset)
        finally:
            os.close(descriptor)
        if len(data) != nbytes:
            raise OSError(f"{name} is shorter than it was")
        return data

    def check(self, name: str, nbytes: int, *, foreign: bool) -> str:
        """See `Spool.check`."""
        if not name or "/" in name or name.startswith("."):
            return "it has no proper name"
        try:
            found = (self._directory / name).lstat()
        except OSError as error:
            return error.strerror or "it cannot be found"
        if not stat.S_ISREG(found.st_mode):
            return "it is no regular file"
        if foreign and found.st_uid != os.geteuid():
            return "it belongs to another user"
        if found.st_size != nbytes:
            return f"it has {found.st_size:,} bytes instead of {nbytes:,}"
        return ""

    def remove(self, name: str) -> None:
        """See `Spool.remove`."""
        (self._directory / name).unlink(missing_ok=True)

    def sweep(self, known: set[str]) -> None:
        """See `Spool.sweep`."""
        horizon = time.time() - KEEP_UNKNOWN
        for path in self._directory.iterdir():
            if path.name in known:
                continue
            with contextlib.suppress(OSError):  # somebody else may be tidying up too
                if path.name.startswith(_OWN) or path.lstat().st_mtime < horizon:
                    path.unlink()
