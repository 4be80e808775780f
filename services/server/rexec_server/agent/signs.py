"""Files by which whoever supervises the agent sees that it lives, and that it is of use."""

from __future__ import annotations

import logging
from pathlib import Path

LIVE_EVERY = 2.0
"""Seconds between two touches of the file that says that the agent lives."""
_log = logging.getLogger(__name__)


class Signs:
    """Keeps the two files.

    Parameters
    ----------
    ready
        Exists exactly while a broker has welcomed the agent.
    alive
        Its time of change is never older than a few seconds.
    """

    def __init__(self, ready: Path | None, alive: Path | None) -> None:
        self._ready = ready
        self._alive = alive
        self._shown = True  # by one that was killed, perhaps
        self._next = float("-inf")
        self._failed: set[str] = set()

    def show(self, now: float, *, welcomed: bool) -> float:
        """Bring the files up to date; return when to be called again."""
        try:
            self._show(now, welcomed=welcomed)
        except OSError as error:
            if error.filename not in self._failed:
                _log.warning("%s cannot be written: %s", error.filename, error.strerror)
                self._failed.add(error.filename)
        return self._next if self._alive is not None else float("inf")

    def _show(self, now: float, *, welcomed: bool) -> None:
        due = now >= self._next
        if due:
            self._next = now + LIVE_EVERY
        if self._ready is not None and welcomed != self._shown:
            if welcomed:
                self._ready.touch()
            else:
                self._ready.unlink(missing_ok=True)
            self._shown = welcomed
        if self._alive is not None and due:
            self._alive.touch()

    def remove(self) -> None:
        """Take back the sign of being ready: the agent ends."""
        self.show(float("inf"), welcomed=False)
