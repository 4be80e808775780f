"""Where environments are: one directory each, with a lock that says who uses it."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from pathlib import Path
from typing import Self

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,120}")


class Lock:
    """A lock on a file. It is free again when all who have it open have ended, however."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def take(self, *, shared: bool, wait: bool = True) -> bool:
        """Take the lock, or change how it is held; tell whether that was possible.

        A change lets others in between.
        """
        operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        while True:
            if self._file < 0:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._file, operation | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                return False
            if self._current():
                return True
            self.release()

    def release(self) -> None:
        """Let go of it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def remove(self) -> None:
        """Remove the file and let go of it; it must be held, and not shared."""
        self._path.unlink(missing_ok=True)
        self.release()

    def fileno(self) -> int:
        """Return the descriptor that keeps it."""
        return self._file

    def touch(self) -> None:
        """Note that it is used now."""
        os.utime(self._file)

    def age(self) -> float:
        """Return for how many seconds nobody noted a use; it must be open."""
        return max(0.0, time.time() - os.fstat(self._file).st_mtime)

    def _current(self) -> bool:
        """Tell whether the file is still the one that others find."""
        try:
            return os.path.samestat(os.fstat(self._file), self._path.stat())
        except FileNotFoundError:
            return False


class Place:
    """The place of one environment.

    Parameters
    ----------
    cache
        The directory of all environments.
    key
        Names it among them.
    """

    def __init__(self, cache: Path, key: str) -> None:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} cannot name an environment")
        self.cache = cache
        self.key = key
        self.directory = cache / "envs" / key
        self.lock = Lock(cache / "locks" / key)

    @classmethod
    def of(cls, cache: Path, digest: str, python: str, fingerprint: str) -> Self:
        """Return the place for what is known by a digest, made by this installation."""
        return cls(cache, f"{digest}-{python}-{fingerprint}")

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.directory / "bin" / "python"

    @property
    def complete(self) -> bool:
        """Whether it is there; it appears only when all is installed."""
        return self.python.exists()

    def draft(self) -> Path:
        """Return a new name to build it at. The lock must be held, and not shared."""
        self.sweep()
        return self._drafts / f"{self.key}~{os.getpid()}"

    def publish(self, draft: Path) -> None:
        """Make what was built the environment."""
        self.directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.rename(self.directory)

    def sweep(self) -> None:
        """Remove what those left who were killed while they built, or removed, this one."""
        for left in self._drafts.glob(f"{self.key}~*"):
            shutil.rmtree(left, ignore_errors=True)
        if self.directory.exists() and not self.complete:
            shutil.rmtree(self.directory, ignore_errors=True)

    def remove(self) -> None:
        """Remove the environment. The lock must be held, and not shared; it is gone as well."""
        self._drafts.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.directory.exists():
            self.directory.rename(self._drafts / f"{self.key}~removed")
        self.sweep()
        self.lock.remove()

    @property
    def _drafts(self) -> Path:
        return self.cache / "drafts"


def places(cache: Path) -> list[Place]:
    """Return the places of all environments, those that are only half there too."""
    keys = {entry.name for entry in _entries(cache / "envs")}
    keys |= {entry.name.partition("~")[0] for entry in _entries(cache / "drafts")}
    keys |= {entry.name for entry in _entries(cache / "locks")}
    return [Place(cache, key) for key in sorted(keys) if _KEY.fullmatch(key)]


def _entries(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except FileNotFoundError:
        return []
