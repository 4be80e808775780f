"""Child processes that are kept alive, and that never outlive their parent."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

FIRST_DELAY = 0.1
"""Seconds before a process that died is started again."""
LAST_DELAY = 5.0
"""Most seconds before one that keeps dying is started again."""
SOUND = 10.0
"""Seconds a process must have lived for its next death to count as the first."""
LOG_BYTES = 1 << 20
"""Size at which a log is turned over."""

_SET_CHILD_SUBREAPER = 36
_POLL = 0.01
_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies."""
    if sys.platform == "linux":
        _libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def module_command(*arguments: str) -> list[str]:
    """Return the command that runs a module in a child which never outlives this process.

    It ends with the thread that starts it, so that should be one which lasts.

    Parameters
    ----------
    arguments
        Name of the module, and what it is to be told.
    """
    # -P: what lies in the working directory is not to be taken for a module of ours.
    bound = [sys.executable, "-P", "-m", "rexec_jupyter.core.bound", str(os.getpid())]
    return [*bound, *arguments]


class Part:
    """One child process, started again whenever it dies.

    Parameters
    ----------
    name
        For people, and for its log.
    command
        Program and arguments, as of `module_command`.
    log
        File that takes its standard output and error. That of the process before it is kept
        as `previous`.
    environment
        Its environment.
    announces
        Whether it takes ``--ready-fd N`` and writes a line there when it is ready; one that
        does not is believed to be ready at once.
    directory
        Its working directory; that of its log if none is given.
    door
        Descriptor that it inherits.

    Attributes
    ----------
    process
        The running process, or `None` between two.
    ready_fd
        Where its ready line is to be read, or `None`.
    announced
        Whether the running process said that it is ready.
    due
        When to start it again, in seconds of the monotonic clock, or `None` while it runs.
    age
        How old the last process became, in seconds.
    code
        How the last process ended, as `subprocess` tells it; `None` if none did.
    starts, failures
        Starts in all, and deaths since it last was sound.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        *,
        announces: bool,
        directory: Path | None = None,
        door: int | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self.announces = announces
        self.announced = False
        self.process: subprocess.Popen[bytes] | None = None
        self.ready_fd: int | None = None
        self.due: float | None = None
        self.age = 0.0
        self.code: int | None = None
        self.starts = self.failures = 0
        self._command = command
        self._environment = environment
        self._directory = directory or log.parent
        self._door = door
        self._started = 0.0

    def start(self, now: float) -> None:
        """Start the process, or plan another attempt if the system does not let it start."""
        command = list(self._command)
        passed = [] if self._door is None else [self._door]
        far_end = None
        if self.announces:
            self.ready_fd, far_end = os.pipe()
            command += ["--ready-fd", str(far_end)]
            passed.append(far_end)
        self.due = None
        self.starts += 1
        self._started = now
        try:
            with contextlib.suppress(FileNotFoundError):
                self.log.replace(previous(self.log))
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._environment,
                    cwd=self._directory,
                    start_new_session=True,
                    pass_fds=passed,
                )
        except (OSError, subprocess.SubprocessError) as error:
            with contextlib.suppress(OSError), self.log.open("a") as text:
                text.write(f"it cannot be started: {error}\n")
            self._plan(now)
        finally:
            if far_end is not None:
                os.close(far_end)

    def ended(self, now: float, status: int) -> None:
        """Take note that the process ended with this status, and plan its next start."""
        if self.process is None:
            return
        self.process.returncode = self.code = os.waitstatus_to_exitcode(status)
        self.process = None
        self.announced = False
        self._plan(now)

    def _plan(self, now: float) -> None:
        self.age = now - self._started
        self.failures = 1 if self.age > SOUND else self.failures + 1
        self.due = now + min(LAST_DELAY, FIRST_DELAY * 2 ** (self.failures - 1))

    def lived(self, now: float) -> float:
        """Return for how many seconds the process has run; 0 if none does."""
        return now - self._started if self.process else 0.0

    @property
    def ready(self) -> bool:
        """Whether it can do its work."""
        return self.process is not None and (self.announced or not self.announces)

    @property
    def pid(self) -> int | None:
        """Its process id, while it runs."""
        return self.process.pid if self.process else None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self.process:
            # Nobody but `ended` reaps it, so the number still is this process.
            os.kill(self.process.pid, number)

    def last_words(self, lines: int = 12) -> list[str]:
        """Return the last lines of its log, or of the one before if it wrote nothing yet."""
        return tail(self.log, lines) or tail(previous(self.log), lines)


def previous(log: Path) -> Path:
    """Return where the log of the process before this one is."""
    return log.with_suffix(".previous.log")


def tail(path: Path, lines: int) -> list[str]:
    """Return the last lines of a text file; none if it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 64 * 1024))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except OSError:
        return []


def turn_over(path: Path) -> None:
    """Empty a log that has grown large, having copied it beside itself.

    Its writers append, so they go on at the new beginning.
    """
    try:
        if path.stat().st_size > LOG_BYTES:
            path.with_suffix(".old.log").write_bytes(path.read_bytes()[-LOG_BYTES:])
            os.truncate(path, 0)
    except OSError:
        pass  # a full disk is no reason to end the work


def reap(pids: Iterable[int]) -> None:
    """Take note of those of these children that ended."""
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


async def end_children(grace: float) -> None:
    """Kill all children, adopted ones included, and wait until they are gone.

    Parameters
    ----------
    grace
        For how many seconds at most.
    """
    deadline = time.monotonic() + grace
    while (left := children()) and time.monotonic() < deadline:
        for pid in left:
            os.kill(pid, signal.SIGKILL)  # nobody else reaps it: it is there, maybe dead
        reap(left)
        await asyncio.sleep(_POLL)


def children() -> list[int]:
    """Return the ids of this process's children, adopted ones included."""
    mine, found = os.getpid(), []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The name, in parentheses, may hold anything; the parent is the second field after.
            fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue  # ended meanwhile
        if int(fields[1]) == mine:
            found.append(int(entry.name))
    return found
