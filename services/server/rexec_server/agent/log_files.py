"""The files that hold what jobs have shown, one a job."""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple, Protocol

from rexec_jupyter.core import protocol as p

OPEN = 64
"""Files kept open because something may be added to them."""

_JOB = re.compile(r"[0-9a-f]{32}")


class Found(NamedTuple):
    """A file that was there before; ``at`` is when it was written last."""

    job: str
    size: int
    at: float


class LogFiles(Protocol):
    """Files by the id of their job. Every method may raise OSError."""

    def scan(self) -> list[Found]:
        """Return all files."""

    def write(self, job: str, at: int, data: p.Buffer) -> None:
        """Write all of `data` from position `at` on; what a failure leaves there is garbage."""

    def read(self, job: str, at: int, nbytes: int) -> bytes:
        """Return what is there, of `nbytes` from `at` on."""

    def release(self, job: str) -> None:
        """Expect no more for a file."""

    def remove(self, job: str) -> None:
        """Remove a file if it is there."""


class DiskLogFiles:
    """See `LogFiles`.

    Parameters
    ----------
    directory
        Made if need be.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._open: OrderedDict[str, int] = OrderedDict()

    def _path(self, job: str) -> Path:
        if not _JOB.fullmatch(job):
            raise FileNotFoundError(job)
        return self._directory / job

    def scan(self) -> list[Found]:
        """See `LogFiles.scan`."""
        found = []
        with os.scandir(self._directory) as entries:
            for entry in entries:
                if _JOB.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    found.append(Found(entry.name, status.st_size, status.st_mtime))
        return found

    def write(self, job: str, at: int, data: p.Buffer) -> None:
        """See `LogFiles.write`."""
        descriptor = self._open.get(job)
        if descriptor is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = self._open[job] = os.open(self._path(job), flags, 0o600)
            if len(self._open) > OPEN:
                os.close(self._open.popitem(last=False)[1])
        else:
            self._open.move_to_end(job)
        rest = memoryview(data)
        while rest:
            done = os.pwrite(descriptor, rest, at)
            rest, at = rest[done:], at + done

    def read(self, job: str, at: int, nbytes: int) -> bytes:
        """See `LogFiles.read`."""
        descriptor = os.open(self._path(job), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, nbytes, at)
        finally:
            os.close(descriptor)

    def release(self, job: str) -> None:
        """See `LogFiles.release`."""
        descriptor = self._open.pop(job, None)
        if descriptor is not None:
            os.close(descriptor)

    def remove(self, job: str) -> None:
        """See `LogFiles.remove`."""
        self.release(job)
        self._path(job).unlink(missing_ok=True)
