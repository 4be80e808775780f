"""A page of memory that a process running user code shares with the manager.

Reading and writing it costs neither of them a system call, and the manager sees the truth
even while the process is stopped or busy.
"""

from __future__ import annotations

import asyncio
import mmap
import os
from collections.abc import Callable

_ID = 32
_READY = 32
_HEARD = 33
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)


class Slot:
    """What a process is doing.

    Parameters
    ----------
    descriptor
        Of the shared memory; it is closed.
    """

    def __init__(self, descriptor: int) -> None:
        self._page = mmap.mmap(descriptor, mmap.PAGESIZE)
        os.close(descriptor)

    @property
    def job(self) -> str:
        """The job under way; empty if there is none."""
        return self._page[:_ID].rstrip(b"\0").decode()

    def begin(self, job: str) -> None:
        """Set the job."""
        self._page[:_ID] = job.encode()

    def end(self) -> None:
        """Set that there is no job."""
        self._page[:_ID] = bytes(_ID)

    @property
    def ready(self) -> bool:
        """Whether the process ever got as far as waiting for work."""
        return bool(self._page[_READY])

    @ready.setter
    def ready(self, value: bool) -> None:
        self._page[_READY] = value

    @property
    def heard(self) -> int:
        """Changes whenever Python's handler of SIGINT was called."""
        return self._page[_HEARD]

    def hear(self) -> None:
        """Count a call of the handler."""
        self._page[_HEARD] = (self._page[_HEARD] + 1) % 256

    def close(self) -> None:
        """Let go of the memory."""
        self._page.close()

    async def insist(
        self, heard: int, send: Callable[[], None], *, wanted: Callable[[], bool]
    ) -> None:
        """Send a signal again until it was heard, as long as it is wanted.

        A signal that comes just before a blocking system call does not end that call, and
        Python calls its handler only afterwards.

        Parameters
        ----------
        heard
            What `heard` was before the signal was first sent.
        """
        pauses = iter(_PAUSES)
        while True:
            await asyncio.sleep(next(pauses, _PAUSES[-1]))
            if not wanted() or self.heard != heard:
                return
            send()


def new_memory() -> int:
    """Return a descriptor of memory for two slots, one in either process."""
    descriptor = os.memfd_create("slot")
    os.truncate(descriptor, mmap.PAGESIZE)
    return descriptor
