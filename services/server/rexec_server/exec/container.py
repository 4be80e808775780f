"""The control group that exec runs in: how much memory it may take, takes, and lacked."""

from __future__ import annotations

import os
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


class Container:
    """A control group for memory, of the first or the second version.

    Parameters
    ----------
    directory
        Where its files are.
    version
        1 or 2.
    """

    def __init__(self, directory: Path, version: int) -> None:
        self._directory = directory
        self._limit, self._events, self._kept = _FILES[version]

    @classmethod
    def find(cls) -> Container | None:
        """Return that of this process; None if there is none, as outside of Linux."""
        try:
            lines = Path("/proc/self/cgroup").read_text().splitlines()
        except OSError:
            return None
        for line in lines:
            _, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                root, version = _CGROUPS / "memory", 1
            elif not controllers:
                root, version = _CGROUPS, 2
            else:
                continue
            # Within a container the group may be mounted as the root.
            for directory in (root / path.lstrip("/"), root):
                if (directory / _FILES[version][1]).is_file():
                    return cls(directory, version)
        return None

    def limit(self) -> int:
        """Return the bytes that all its processes may take together; 0 if there is no limit."""
        try:
            limit = int((self._directory / self._limit).read_text())
        except (OSError, ValueError):  # "max"
            return 0
        there_is = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return limit if limit < there_is else 0

    def taken(self) -> int:
        """Return the bytes that they take, without what the system can take back."""
        fields = self._fields("memory.stat")
        return sum(fields.get(name, 0) for name in self._kept)

    def kills(self) -> int:
        """Return how many processes the system has killed in it for lack of memory."""
        return self._fields(self._events).get("oom_kill", 0)

    def _fields(self, name: str) -> dict[str, int]:
        try:
            lines = (self._directory / name).read_text().splitlines()
            return {key: int(value) for key, value in map(str.split, lines)}
        except (OSError, ValueError):
            return {}
