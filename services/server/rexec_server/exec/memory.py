"""How much memory process groups take, and whether the system killed one for it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

INTERVAL = 0.1
"""Seconds between two samples."""
_FRACTION = 0.95
_PAGE = os.sysconf("SC_PAGE_SIZE")
_CGROUPS = Path("/sys/fs/cgroup")


class OomCounter:
    """Tells whether the system killed a process of this control group for lack of memory."""

    def __init__(self) -> None:
        self._file = _events_file()
        self._seen = self._count()

    def advanced(self) -> bool:
        """Tell whether there was one since the last time this was asked."""
        before, self._seen = self._seen, self._count()
        return self._seen > before

    def _count(self) -> int:
        if self._file is None:
            return 0
        try:
            fields = dict(line.split() for line in self._file.read_text().splitlines())
            return int(fields.get("oom_kill", 0))
        except (OSError, ValueError):
            return 0


def _events_file() -> Path | None:
    """Find the counters of this process's group, of the first or the second version."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            root, name = _CGROUPS / "memory", "memory.oom_control"
        elif not controllers:
            root, name = _CGROUPS, "memory.events"
        else:
            continue
        # Within a container the group may be mounted as the root.
        for place in (root / path.lstrip("/") / name, root / name):
            if place.is_file():
                return place
    return None


class Watchdog:
    """Finds the process group to kill before all of them run out of memory together.

    Parameters
    ----------
    limit
        Bytes that all process groups may take together.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def victim(self, leaders: Iterable[int]) -> tuple[int, str] | None:
        """Return the leader of the largest group, and why, if all take too much.

        Parameters
        ----------
        leaders
            Process ids of the groups' leaders; their descendants count too.
        """
        families = {leader: [leader, *_descendants(leader)] for leader in leaders}
        if sum(map(_resident, _all(families))) <= self._limit * _FRACTION:
            return None
        # That counts shared pages once for each process, but is quickly found.
        sizes = {leader: sum(map(_proportional, pids)) for leader, pids in families.items()}
        total = sum(sizes.values())
        if total <= self._limit * _FRACTION:
            return None
        largest = max(sizes, key=lambda leader: sizes[leader])
        reason = (
            f"it was out of memory: it took {_readable(sizes[largest])},"
            f" all processes together {_readable(total)} of {_readable(self._limit)}"
        )
        return largest, reason


def _all(families: dict[int, list[int]]) -> list[int]:
    return [pid for pids in families.values() for pid in pids]


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in os.scandir(f"/proc/{pid}/task"):
            children = Path(task.path, "children").read_text().split()
            found += map(int, children)
    except OSError:  # it ended meanwhile
        return found
    return found + [below for child in found for below in _descendants(child)]


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _proportional(pid: int) -> int:
    """Return what a process takes, its share of shared pages included."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return _resident(pid)


def _readable(nbytes: int) -> str:
    return f"{nbytes / 2**30:.1f} GiB" if nbytes >= 2**30 else f"{nbytes / 2**20:.0f} MiB"
