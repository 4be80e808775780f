"""The control group that exec runs in: what it may take, takes, and lacked."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_FILES = {
    1: ("memory.limit_in_bytes", "memory.oom_control", ("total_rss", "total_shmem")),
    2: (
        "memory.max",
        "memory.events",
        ("anon", "shmem", "kernel_stack", "pagetables", "slab_unreclaimable"),
    ),
}
"""For each version: the limit, the counters, and what of its statistics cannot be reclaimed."""
_PROCESSORS = (("cpu", "cpu.cfs_quota_us"), ("cpuacct", "cpuacct.usage"))
"""What else is of interest in the first version: controllers, and a file that each has."""


class Container:
    """A control group for memory and processors, of the first or the second version.

    Parameters
    ----------
    directory
        Where its files are.
    version
        1 or 2.
    others
        Where those about processors are, if not there: the first version may have them elsewhere.
    """

    def __init__(self, directory: Path, version: int, *others: Path) -> None:
        self._directories = (directory, *others)
        self._version = version
        self._limit, self._events, self._kept = _FILES[version]

    @classmethod
    def find(cls) -> Container | None:
        """Return that of this process; None if there is none, as outside of Linux."""
        try:
            lines = Path("/proc/self/cgroup").read_text().splitlines()
        except OSError:
            return None
        groups = [(controllers, path) for _, controllers, path in (x.split(":", 2) for x in lines)]
        for version, controller in ((1, "memory"), (2, "")):
            directory = _directory(groups, controller, _FILES[version][1])
            if directory is not None:
                others = (_directory(groups, *each) for each in _PROCESSORS if version == 1)
                return cls(directory, version, *filter(None, others))
        return None

    def limit(self) -> int:
        """Return the bytes that all its processes may take together; 0 if there is no limit."""
        limit = _number(self._text(self._limit))  # none if it is "max"
        there_is = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return limit if limit is not None and limit < there_is else 0

    def taken(self) -> int:
        """Return the bytes that they take, without what the system can take back."""
        fields = self._fields("memory.stat")
        return sum(fields.get(name, 0) for name in self._kept)

    def kills(self) -> int:
        """Return how many processes the system has killed in it for lack of memory."""
        return self._fields(self._events).get("oom_kill", 0)

    def cores(self) -> float:
        """Return how many processors they may keep busy at once; 0 if there is no limit."""
        if self._version == 1:
            quota = _number(self._text("cpu.cfs_quota_us"))  # -1 if there is no limit
            period = _number(self._text("cpu.cfs_period_us"))
        else:
            limit, _, span = self._text("cpu.max").partition(" ")
            quota, period = _number(limit), _number(span)  # none if it is "max"
        return quota / period if quota and period and quota > 0 else 0.0

    def cpu(self) -> float | None:
        """Return the seconds of processor time that they took so far; None if nobody counts."""
        if self._version == 1:
            nanoseconds = _number(self._text("cpuacct.usage"))
            return None if nanoseconds is None else nanoseconds / 1e9
        microseconds = self._fields("cpu.stat").get("usage_usec")
        return None if microseconds is None else microseconds / 1e6

    def _text(self, name: str) -> str:
        for directory in self._directories:
            try:
                return (directory / name).read_text()
            except OSError:
                continue
        return ""

    def _fields(self, name: str) -> dict[str, int]:
        try:
            return {key: int(value) for key, value in map(str.split, self._text(name).splitlines())}
        except ValueError:
            return {}


def _directory(groups: Iterable[tuple[str, str]], controller: str, file: str) -> Path | None:
    """Return where a file of this process's group is; the second version has no controllers."""
    for controllers, path in groups:
        if controller not in controllers.split(","):
            continue
        for root in (_CGROUPS / controller, _CGROUPS / controllers):
            # Within a container the group may be mounted as the root.
            for directory in (root / path.lstrip("/"), root):
                if (directory / file).is_file():
                    return directory
    return None


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None
