"""Asks again and again, whatever comes of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from rexec_jupyter.core.errors import RexecError

T = TypeVar("T")

SLOW = 2.0
"""Seconds without an answer after which people are told."""
_LONGEST_PAUSE, _LAST_PAUSE = 3.0, 10.0
_FIRST_PAUSE = 0.5
_log = logging.getLogger(__name__)


class Poll(Generic[T]):
    """Keeps an answer fresh, while it runs.

    An answer that takes long makes the next question come later; an error is never for good.

    Parameters
    ----------
    name
        What is asked, for the log.
    ask
        Asks, and raises what went wrong.
    changed
        Called when there is another answer or error.

    Attributes
    ----------
    answer
        The last one, even if something went wrong since.
    error
        What went wrong since.
    pause
        Seconds between an answer and the next question.
    asked
        How often there was an answer or an error.
    """

    def __init__(
        self,
        name: str,
        ask: Callable[[], Awaitable[T]],
        changed: Callable[[], None],
        *,
        pause: float = 1.0,
    ) -> None:
        self.answer: T | None = None
        self.error: RexecError | None = None
        self.pause = pause
        self.asked = 0
        self._name = name
        self._ask = ask
        self._changed = changed
        self._since = 0.0
        self._took = 0.0
        self._failures = 0
        self._nudged = asyncio.Event()

    @property
    def slow(self) -> bool:
        """Whether the answer takes long, or took long last time."""
        waiting = time.monotonic() - self._since if self._since else 0.0
        return max(waiting, self._took) > SLOW

    def nudge(self) -> None:
        """Ask at once."""
        self._nudged.set()

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            pause = await self._once()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._nudged.wait(), pause)
            self._nudged.clear()

    async def _once(self) -> float:
        """Ask once, and return how long to wait then."""
        self._since = time.monotonic()
        try:
            self.answer = await self._ask()
            error = None
        except RexecError as raised:
            error = raised
        except Exception as raised:  # noqa: BLE001 - nothing may stop it
            _log.error("%s failed", self._name, exc_info=raised)
            error = RexecError(
                f"A defect of rexec: {self._name} failed.", hint="The server's log says more."
            )
        self._took = time.monotonic() - self._since
        self._since = 0.0
        self._note(error)
        self.asked += 1
        self._changed()
        if error is None:
            self._failures = 0
            return max(self.pause, min(self._took, _LONGEST_PAUSE))
        self._failures += 1
        most = min(_FIRST_PAUSE * 2 ** min(self._failures, 10), _LAST_PAUSE)
        return random.uniform(most / 2, most)  # noqa: S311 - it is no secret

    def _note(self, error: RexecError | None) -> None:
        """Write one line to the log for each change."""
        before, self.error = self.error, error
        if error is not None and (before is None or before.message != error.message):
            _log.warning("%s: %s", self._name, error.message)
        elif error is None and before is not None:
            _log.info("%s: works again", self._name)
