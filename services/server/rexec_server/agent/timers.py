"""Things to do later, in order of time."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

Action = Callable[[float], None]


class Timer:
    """Something to do later; ``action`` is None once it is not wanted any more."""

    __slots__ = ("action", "when")

    def __init__(self, when: float, action: Action) -> None:
        self.when = when
        self.action: Action | None = action


class Timers:
    """Actions to be called at their time, with the current time."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = count()
        self._cancelled = 0

    def at(self, when: float, action: Action) -> Timer:
        """Have `action` called at the instant `when`, or as soon after as somebody looks."""
        timer = Timer(when, action)
        heapq.heappush(self._heap, (when, next(self._count), timer))
        return timer

    def cancel(self, timer: Timer) -> None:
        """Have nothing done after all."""
        if timer.action is None:
            return
        timer.action = None
        self._cancelled += 1
        if self._cancelled > 64 and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].action is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def run(self, now: float) -> None:
        """Call what is due."""
        while self._heap and self._heap[0][0] <= now:
            _, _, timer = heapq.heappop(self._heap)
            action, timer.action = timer.action, None
            if action is None:
                self._cancelled -= 1
            else:
                action(now)

    @property
    def next(self) -> float:
        """When the next action is due; infinite if there is none."""
        return self._heap[0][0] if self._heap else float("inf")
