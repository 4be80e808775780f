"""What all processes of exec take together: processor time and memory."""

from __future__ import annotations

import os
from pathlib import Path

from rexec_server import handoff as h
from rexec_server.exec.container import Container
from rexec_server.exec.memory import descendants, proportional

_TICKS = os.sysconf("SC_CLK_TCK")
_TIMES = slice(11, 15)
"""Where the times of a process, and of its children that ended, are in what follows its name."""


class Meter:
    """Measures this process and everything below it.

    Parameters
    ----------
    container
        The control group it is in.
    limit
        Bytes that the processes may take together; 0 means no limit. None: they are alone in
        the container, and what that says counts, if it has limits.
    """

    def __init__(self, container: Container | None, limit: int | None) -> None:
        self._container = container
        self._limit = limit
        self._seen = self._total = 0.0

    def measure(self) -> h.Measured:
        """Look; takes a while if the processes are large."""
        usable = float(len(os.sched_getaffinity(0)))
        quota = self._container.cores() if self._container is not None else 0.0
        cores = min(quota, usable) if quota else usable
        limit, cpu, memory = self._limit, None, 0
        if limit is None and self._container is not None:
            limit = self._container.limit()
            if limit or quota:  # else it may well be that of the whole machine
                cpu, memory = self._container.cpu(), self._container.taken()
        processes = [os.getpid(), *descendants(os.getpid())] if cpu is None or not memory else []
        return h.Measured(
            cpu=self._add(processes) if cpu is None else cpu,
            cores=cores,
            memory=memory or sum(map(proportional, processes)),
            memory_limit=limit or 0,
        )

    def _add(self, processes: list[int]) -> float:
        """Return the processor time until now: it never becomes less, whoever ends unseen."""
        before, self._seen = self._seen, sum(map(_seconds, processes))
        self._total += max(0.0, self._seen - before)
        return self._total


def _seconds(pid: int) -> float:
    """Return the processor time of a process, and of those below it that it waited for."""
    try:
        _, _, told = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
        return sum(map(int, told.split()[_TIMES])) / _TICKS
    except (OSError, ValueError):  # it ended meanwhile
        return 0.0
