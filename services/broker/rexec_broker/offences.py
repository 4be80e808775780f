"""Which keys have made so many errors that nobody listens to them for a while."""

from __future__ import annotations

from typing import TypeVar

from rexec_broker.limits import Limits

T = TypeVar("T")

_CAPACITY = 10_000


class ErrorBudget:
    """Counts the errors of each CURVE key.

    The broker's loop alone writes; other threads may ask `ignores` at any time. Keys cost
    nothing to make, so what is remembered of them is bounded and the oldest is forgotten.

    Attributes
    ----------
    ignored
        Until when (monotonic seconds) a key is ignored.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._errors: dict[str, tuple[float, int]] = {}
        self.ignored: dict[str, float] = {}

    def charge(self, now: float, key: str) -> None:
        """Count an error of this key."""
        since, count = self._errors.pop(key, (now, 0))
        if now - since > self._limits.error_window:
            since, count = now, 0
        count += 1
        if count < self._limits.errors:
            _remember(self._errors, key, (since, count))
        else:
            _remember(self.ignored, key, now + self._limits.penalty)

    def ignores(self, now: float, key: str) -> bool:
        """Tell whether this key is being ignored."""
        until = self.ignored.get(key)
        return until is not None and now < until

    def forgive(self, now: float) -> None:
        """Forget the penalties that are over."""
        for key in [key for key, until in self.ignored.items() if until <= now]:
            del self.ignored[key]


class Pace:
    """Lets something happen once in a while for each key, within bounded memory."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._last: dict[str, float] = {}

    def allows(self, now: float, key: str) -> bool:
        """Tell whether it may happen now; if so, it is taken to happen."""
        last = self._last.get(key)
        if last is not None and now - last < self._interval:
            return False
        self._last.pop(key, None)
        _remember(self._last, key, now)
        return True


def _remember(table: dict[str, T], key: str, value: T) -> None:
    if len(table) >= _CAPACITY:
        del table[next(iter(table))]
    table[key] = value
