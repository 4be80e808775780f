"""How much memory process groups take, and whether the system killed one for it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from rexec_server.exec.container import Container
from rexec_server.trace import readable

INTERVAL = 0.1
"""Seconds between two samples."""
IDLE_INTERVAL = 1.0
"""The same where there is no limit."""
_FRACTION = 0.95
_PAGE = os.sysconf("SC_PAGE_SIZE")
_RECENT = 2.0
"""Seconds for which a process that the system killed may be the one that is found gone."""


class OomCounter:
    """Tells whether the system killed a process of this control group for lack of memory."""

    def __init__(self, container: Container | None) -> None:
        self._container = container
        self._seen = self._count()
        self._unexplained = 0
        self._at = 0.0

    def look(self) -> None:
        """Take note of what happened. What is long past explains no end any more."""
        now = time.monotonic()
        before, self._seen = self._seen, self._count()
        if self._seen > before:
            self._unexplained += self._seen - before
            self._at = now
        elif now - self._at > _RECENT:
            self._unexplained = 0

    def advanced(self) -> bool:
        """Tell whether there was one lately that has explained no process's end yet."""
        self.look()
        explains = self._unexplained > 0
        self._unexplained -= explains
        return explains

    def _count(self) -> int:
        return self._container.kills() if self._container is not None else 0


class Watchdog:
    """Finds the process group to kill before all of them run out of memory together.

    Parameters
    ----------
    limit
        Bytes that all process groups may take together; 0 for no limit.
    container
        What knows how much they take; it is found out process by process without.
    """

    def __init__(self, limit: int, container: Container | None = None) -> None:
        self.limit = limit
        self.taken = 0
        """Bytes, when that was last looked at."""
        self._container = container

    def victim(self, leaders: Iterable[int]) -> tuple[int, str] | None:
        """Return the leader of the largest group, and why, if all take too much.

        Parameters
        ----------
        leaders
            Process ids of the groups' leaders; their descendants count too.
        """
        families = {leader: [leader, *descendants(leader)] for leader in leaders}
        known = self._container.taken() if self._container is not None else 0
        self.taken = known or sum(map(_resident, _all(families)))
        if not families or self.taken <= self.limit * _FRACTION:
            return None
        # That counts shared pages once for each process, but is quickly found.
        sizes = {leader: sum(map(proportional, pids)) for leader, pids in families.items()}
        self.taken = known or sum(sizes.values())
        if self.taken <= self.limit * _FRACTION:
            return None
        largest = max(sizes, key=lambda leader: sizes[leader])
        reason = (
            f"it was out of memory: it took {readable(sizes[largest])},"
            f" all processes together {readable(self.taken)} of {readable(self.limit)}"
        )
        return largest, reason


def _all(families: dict[int, list[int]]) -> list[int]:
    return [pid for pids in families.values() for pid in pids]


def descendants(pid: int) -> list[int]:
    """Return the processes below a process."""
    found: list[int] = []
    try:
        for task in os.scandir(f"/proc/{pid}/task"):
            children = Path(task.path, "children").read_text().split()
            found += map(int, children)
    except OSError:  # it ended meanwhile
        return found
    return found + [below for child in found for below in descendants(child)]


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def proportional(pid: int) -> int:
    """Return what a process takes, its share of shared pages included."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return _resident(pid)
