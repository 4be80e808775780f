"""Keeps the cache of environments within its limit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from rexec_server.environment.place import Place, places

_FRESH = 600.0
"""Seconds for which one is left alone after its last use: who made it is about to start."""


def make_room(
    cache: Path, limit: int, uv: Callable[[str], None], say: Callable[[str], None]
) -> None:
    """Remove what is used least until the cache takes no more than its limit.

    Environments stay as long as they alone fit, and always while they are used. The packages
    that are kept to make new ones go next: who has an environment needs them no more.

    Parameters
    ----------
    limit
        Bytes.
    uv
        Runs ``uv cache`` with this argument.
    say
        Tells of it.
    """
    if _Usage().of(cache) <= limit:
        return
    usage = _Usage()
    taken, idle = 0, []
    for place in places(cache):
        age = _idle(place)
        if age is None:
            taken += usage.of(place.directory)
        else:
            idle.append((age, place))
    for _, place in sorted(idle, key=lambda pair: pair[0]):
        taken += usage.of(place.directory)
        if place.complete and taken <= limit:
            place.lock.release()
            continue
        if place.complete:
            say(f"Removing an environment that was not used lately: {place.key}")
        place.remove()
    for argument in ("prune", "clean"):
        if _Usage().of(cache) <= limit:
            return
        uv(argument)


def _idle(place: Place) -> float | None:
    """Lock an environment that nobody uses; return for how many seconds nobody did."""
    if place.lock.take(shared=False, wait=False):
        age = place.lock.age()
        if age >= _FRESH or not place.complete:
            return age
    place.lock.release()
    return None


class _Usage:
    """Adds up what takes room on the disk; what is linked several times takes it once."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()

    def of(self, directory: Path) -> int:
        """Return the bytes of a directory, without what was seen before."""
        total = 0
        todo = [os.fspath(directory)]
        while todo:
            try:
                with os.scandir(todo.pop()) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            todo.append(entry.path)
                        total += self._size(entry.stat(follow_symlinks=False))
            except OSError:  # removed meanwhile
                continue
        return total

    def _size(self, status: os.stat_result) -> int:
        if status.st_nlink > 1:
            inode = (status.st_dev, status.st_ino)
            if inode in self._seen:
                return 0
            self._seen.add(inode)
        return status.st_blocks * 512
