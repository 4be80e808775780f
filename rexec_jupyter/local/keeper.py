"""Keeps a child process alive from an event loop, whatever other children its process has."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable

from rexec_jupyter.local.processes import Part

_MAX_LINE = 64 * 1024
_POLL = 0.05


class Keeper:
    """Starts a part, and again whenever it ended, until it is told not to.

    It waits for this one child alone. So it goes on well beside others that wait for children
    of theirs, and needs no signal handler.

    Parameters
    ----------
    part
        What is to run.
    changed
        Called when it became ready, and when it ended; then it still can be told to `hold`.
    again
        Whether it is started again.
    """

    def __init__(
        self, part: Part, changed: Callable[[Keeper], None], *, again: bool = True
    ) -> None:
        self.part = part
        self._changed = changed
        self._again = again
        self._loop = asyncio.get_running_loop()
        self._handle: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._over = asyncio.Event()
        self._over.set()

    def start(self) -> None:
        """Start it."""
        self._timer = None
        part = self.part
        part.start(time.monotonic())
        if part.ready_fd is not None:
            self._loop.add_reader(part.ready_fd, self._announced)
        if part.process is None:  # the system did not let it
            self._close_announcement()
            self._report()
            return
        self._over.clear()
        try:
            self._handle = os.pidfd_open(part.process.pid)
        except OSError:  # older than Linux 5.3, or forbidden
            self._timer = self._loop.call_later(_POLL, self._look)
        else:
            self._loop.add_reader(self._handle, self._look)
        if not part.announces:
            self._changed(self)

    def hold(self) -> None:
        """Do not start it again."""
        self._again = False
        if self._timer is not None and self.part.process is None:
            self._timer.cancel()
            self._timer = None

    async def end(self, grace: float, *, kindly: bool = True) -> None:
        """End it, and wait until it has.

        Parameters
        ----------
        grace
            Seconds it gets for that.
        kindly
            Whether it is asked first.
        """
        self.hold()
        numbers = (signal.SIGTERM, signal.SIGKILL) if kindly else (signal.SIGKILL,)
        for number in numbers:
            self.part.signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self._over.wait()
                return

    def _announced(self) -> None:
        if self.part.ready_fd is not None:
            self.part.announced = bool(os.read(self.part.ready_fd, _MAX_LINE))
            self._close_announcement()
            self._changed(self)

    def _close_announcement(self) -> None:
        part = self.part
        if part.ready_fd is not None:
            self._loop.remove_reader(part.ready_fd)
            os.close(part.ready_fd)
            part.ready_fd = None

    def _look(self) -> None:
        part = self.part
        if part.process is None:
            return
        try:
            pid, status = os.waitpid(part.process.pid, os.WNOHANG)
        except ChildProcessError:  # somebody else was told
            pid, status = part.process.pid, 0
        if not pid:
            if self._handle is None:
                self._timer = self._loop.call_later(_POLL, self._look)
            return
        if self._handle is not None:
            self._loop.remove_reader(self._handle)
            os.close(self._handle)
            self._handle = None
        self._timer = None
        self._close_announcement()
        part.ended(time.monotonic(), status)
        self._over.set()
        self._report()

    def _report(self) -> None:
        """Tell that it does not run, and start it again in due course."""
        self._changed(self)
        if self._again and self._timer is None and self.part.due is not None:
            self._timer = self._loop.call_later(self.part.due - time.monotonic(), self.start)
