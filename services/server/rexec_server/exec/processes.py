"""Child processes that never outlive the manager, and how they ended."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

_LIBC = ctypes.CDLL(None, use_errno=True)


def flush_c_streams() -> None:
    """Write out what C code printed and its library still holds."""
    _LIBC.fflush(None)


def widen(pipe: int) -> None:
    """Let a pipe hold more, so that who writes to it waits less often."""
    with suppress(OSError):  # the user's share of pipe memory may be used up
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1024 * 1024)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process ended: ``exit_code`` and ``signal`` as the system told, else 0."""

    exit_code: int = 0
    signal: int = 0

    @classmethod
    def of(cls, returncode: int) -> Ending:
        """Make it from what `subprocess.Popen` calls a return code."""
        return cls(signal=-returncode) if returncode < 0 else cls(exit_code=returncode)

    def __str__(self) -> str:
        if not self.signal:
            return f"it exited with code {self.exit_code}"
        try:
            name = signal.Signals(self.signal).name
        except ValueError:
            name = f"signal {self.signal}"
        meaning = _MEANINGS.get(name)
        return f"it was ended by {name}" + (f" ({meaning})" if meaning else "")


_MEANINGS = {
    "SIGSEGV": "a crash in native code",
    "SIGABRT": "native code gave up",
    "SIGBUS": "a crash in native code",
    "SIGFPE": "a crash in native code",
    "SIGILL": "native code for another processor",
}


class Guard:
    """Kills process groups when this process is gone, however it ended.

    A process that is killed takes along those that asked for it (`startup.die_with`), but
    not what those had started. It is a small process of its own; make it before anything else.
    """

    def __init__(self) -> None:
        reading, self._pipe = os.pipe()
        if os.fork() == 0:
            _guard(reading, self._pipe)
        os.close(reading)

    def add(self, group: int) -> None:
        """Guard this process group."""
        self._tell(group)

    def remove(self, group: int) -> None:
        """Leave it alone, before another may get its number."""
        self._tell(-group)

    def _tell(self, number: int) -> None:
        with suppress(OSError):  # without it, die_with still does most of the work
            os.write(self._pipe, b"%d\n" % number)


def _guard(reading: int, writing: int) -> None:
    os.close(writing)
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    # Whoever waits for the end of a pipe of the manager must not wait for this process.
    reading = os.dup2(reading, 3)
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))
    groups: set[int] = set()
    with os.fdopen(reading) as lines:
        for line in lines:
            group = int(line)
            if group > 0:
                groups.add(group)
            else:
                groups.discard(-group)
    for group in groups:
        kill_group(group)
    os._exit(0)


def kill_group(group: int) -> None:
    """Kill all processes of a group, if there are any."""
    if group <= 0:  # that would be our own
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def python(module: str, *arguments: str) -> list[str]:
    """Return a command that runs a module of ours, whatever the working directory holds."""
    return [sys.executable, "-P", "-m", module, *arguments]


def on_end(process: subprocess.Popen[bytes], guard: Guard, call: Callable[[Ending], None]) -> None:
    """Reap a process as soon as it ends, kill what it left behind, then call.

    The process must be the leader of a group of its own.
    """
    loop = asyncio.get_running_loop()
    ended = os.pidfd_open(process.pid)
    guard.add(process.pid)

    def reap() -> None:
        loop.remove_reader(ended)
        os.close(ended)
        # Until it is reaped, no other group can have its number.
        kill_group(process.pid)
        guard.remove(process.pid)
        call(Ending.of(process.wait()))

    loop.add_reader(ended, reap)
