"""What kernels tell the panel: which backend their cells use, where that is not what is saved.

Each leaves a small file in the runtime directory while it has the extension loaded. What is saved
in the user's settings is not in it: that changes without the kernel, which reads it at its next
cell. The file's name is that of the process, so it is known from the name alone whether it is
still of somebody.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from rexec_jupyter.core.errors import NotConfiguredError
from rexec_jupyter.core.logins import LoginError, normal
from rexec_jupyter.core.runtime import (
    check_private,
    existing_runtime_directory,
    private_directory,
    runtime_directory,
)
from rexec_jupyter.core.settings import Settings
from rexec_jupyter.core.trust import write_private

LOCAL = "local"
"""The embedded backend."""
UNUSABLE = "?"
"""In the place of an address that cannot be used; it might hold a secret."""

FOLDER = "kernels"
"""In the runtime directory."""
# A draft of such a file has the same name with something before and behind it.
_NAME = re.compile(r"\.?(\d+)-(\d+)\.json(\.[0-9a-f]+)?")
_LONGEST = 64 * 1024


class Kernel(Struct, frozen=True, kw_only=True):
    """What one kernel tells. Backends are `LOCAL`, an address, or `UNUSABLE`.

    Attributes
    ----------
    id
        By which Jupyter servers know it.
    own
        Backend that its own settings name, whatever is saved; empty if they name none.
    usual
        Backend for when none is saved; empty if its environment names none.
    settings
        Folder in which its user's settings are saved.
    """

    id: str
    own: str = ""
    usual: str = ""
    settings: str

    @property
    def backend(self) -> str:
        """The backend that its next cell uses."""
        return self.own or _saved(self.settings) or self.usual or LOCAL


class KernelFile:
    """The file of this process' kernel.

    Parameters
    ----------
    kernel
        Id of the kernel.
    settings
        Its settings.
    """

    def __init__(self, kernel: str, settings: Settings) -> None:
        self._kernel = kernel
        self._settings = settings
        self._pid = os.getpid()
        self._name = f"{self._pid}-{_began(self._pid)}.json"
        self._told: Kernel | None = None
        self._path: Path | None = None

    def refresh(self) -> None:
        """Tell how it is now, unless that is told already.

        Raises
        ------
        OSError
            If that cannot be written.
        """
        own, usual = self._settings.beside_file("url")
        folder = self._settings.path.parent.absolute()
        now = Kernel(
            id=self._kernel, own=_backend(own), usual=_backend(usual), settings=str(folder)
        )
        # What is long not changed may be cleared away by whoever looks after such folders.
        if now == self._told and self._path is not None and self._path.exists():
            return
        path = private_directory(runtime_directory() / FOLDER) / self._name
        write_private(path, msgspec.json.encode(now))
        self._told, self._path = now, path

    def remove(self) -> None:
        """Tell nothing any more."""
        path, self._path = self._path, None
        if path is None or self._pid != os.getpid():  # of the process that this was forked from
            return
        with contextlib.suppress(OSError):
            path.unlink()


def kernels() -> list[Kernel]:
    """Return what the kernels tell that run now; files of others are removed.

    Nothing is told by a file or folder that somebody else might have written.
    """
    try:
        root = existing_runtime_directory()
        folder = None if root is None else check_private(root / FOLDER)
        entries = [] if folder is None else sorted(folder.iterdir())
    except OSError:
        return []
    return [told for path in entries for told in _of(path)]


def _of(path: Path) -> Iterator[Kernel]:
    name = _NAME.fullmatch(path.name)
    if name is None:
        return
    pid, began, draft = name.groups()
    if _began(int(pid)) != int(began):
        with contextlib.suppress(OSError):
            path.unlink()
    elif not draft:
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            yield msgspec.json.decode(_read_private(path), type=Kernel)


def _read_private(path: Path) -> bytes:
    # It might be a pipe, at which nobody writes.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o077:
            raise PermissionError(f"{path} is not for its owner alone.")
        return file.read(_LONGEST)


def _began(pid: int) -> int:
    """Return when a process began, by a clock of its own; -1 if it does not run.

    With its id, that is a name of the process that no other one ever has.
    """
    if sys.platform != "linux":
        import psutil  # noqa: PLC0415 - not needed elsewhere

        with contextlib.suppress(psutil.Error, OverflowError):
            return int(psutil.Process(pid).create_time() * 1000)
        return -1
    try:
        # The name, in parentheses, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return -1 if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, IndexError, ValueError):
        return -1


def _backend(url: str | None) -> str:
    """Return a setting as it is told; empty if it is not made."""
    if url is None:
        return ""
    if url in ("", LOCAL):
        return LOCAL
    try:
        return normal(url)
    except LoginError:
        return UNUSABLE


def _saved(folder: str) -> str:
    try:
        return _backend(_settings_in(folder).saved("url"))
    except NotConfiguredError:
        return UNUSABLE


@cache
def _settings_in(folder: str) -> Settings:
    return Settings({"REXEC_CONFIG_DIR": folder})
