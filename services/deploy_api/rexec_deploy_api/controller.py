"""Looks at servers when something changed, and at times anyway, and does what `plan` says."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from rexec_deploy_api.lending import lender_of, observe_lent
from rexec_deploy_api.reconcile import Step, plan, plan_lent
from rexec_deploy_api.records import Cause, Key, Observed, Presence, Record
from rexec_deploy_api.spawner.base import Credential, Spawner, SpawnerError, StaleError

WORKERS = 8
"""Servers that are looked after at once."""
EVERY = 60.0
"""Seconds between two looks at all of them."""

_FIRST_DELAY, _LAST_DELAY = 0.2, 30.0
# After this long it is seen whether a server of a pool became another one.
_HANDED = 1.0
_log = logging.getLogger(__name__)


HandOver = Callable[[Record, Record], Awaitable[bool]]


async def _nothing(lender: Record, record: Record) -> bool:
    del lender, record
    return False


class Controller:
    """Brings what runs towards what the records say, one step of one server at a time.

    Parameters
    ----------
    spawner
        Where they run.
    presence
        Tells what the broker says of a server.
    credential
        Makes what a server shows the broker.
    hand_over
        Has a server of a pool, the first, become another one, if it is not yet; tells whether
        it has to.
    clock
        Seconds since 1970.

    Attributes
    ----------
    steps
        Looks taken so far.
    seconds
        What they took together.
    """

    def __init__(
        self,
        spawner: Spawner,
        presence: Callable[[Record], Presence | None],
        credential: Callable[[Record], Credential],
        hand_over: HandOver = _nothing,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._spawner = spawner
        self._presence = presence
        self._credential = credential
        self._hand_over = hand_over
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._turns = asyncio.Semaphore(WORKERS)
        self._timers: dict[Key, tuple[float, asyncio.TimerHandle]] = {}  # and when they are due
        self._looking: dict[Key, asyncio.Task[None]] = {}
        self._touched: set[Key] = set()
        self._delays: dict[Key, float] = {}
        # Until when what failed is left alone, unless something else is wanted by then.
        self._held: dict[Key, tuple[float, tuple[str, int]]] = {}
        self.steps = 0
        self.seconds = 0.0

    def touch(self, key: Key, after: float = 0.0) -> None:
        """Have a server looked at within `after` seconds; once is enough for many calls."""
        at = self._loop.time() + after
        if (waiting := self._timers.get(key)) is not None:
            due, timer = waiting
            if due <= at:
                return
            timer.cancel()
        self._timers[key] = (at, self._loop.call_at(at, self._look, key))

    def changed(self, key: Key) -> None:
        """Have a server looked at, and the one that it stands for."""
        self.touch(key)
        record = self._spawner.record(key)
        other = (record.lent or record.borrowed) if record is not None else None
        if other is not None:
            self.touch(other)

    async def run(self) -> None:
        """Look after servers until cancelled; at all of them now and then, whatever happened."""
        try:
            while True:
                for key in self._spawner.keys():  # noqa: SIM118 - it is no mapping
                    self.touch(key)
                await asyncio.sleep(EVERY)
        finally:
            for _, timer in self._timers.values():
                timer.cancel()
            looking = list(self._looking.values())
            for task in looking:
                task.cancel()
            await asyncio.gather(*looking, return_exceptions=True)

    def _look(self, key: Key) -> None:
        del self._timers[key]
        if key in self._looking:
            self._touched.add(key)
        else:
            self._looking[key] = self._loop.create_task(self._work(key))

    async def _work(self, key: Key) -> None:
        try:
            async with self._turns:
                again = await self._attempt(key)
        finally:
            del self._looking[key]
        if key in self._touched:
            self._touched.discard(key)
            again = 0.0
        if again is not None:
            self.touch(key, again)

    async def _attempt(self, key: Key) -> float | None:
        """Take one step; return after how long to take the next one."""
        if not self._spawner.leads:
            self._recovered(key)
            return None
        if (left := self._held_for(key)) > 0:
            return left
        began = time.monotonic()
        try:
            again = await self._step(key)
        except StaleError:
            return 0.05  # the watch is about to bring what was written
        except SpawnerError as error:
            await self._tell(key, error.cause)
            return self._later(key)
        except Exception:  # noqa: BLE001 - one server must not end the care for all
            _log.exception("looking after a server failed; it is tried again")
            return self._later(key)
        finally:
            self.steps += 1
            self.seconds += time.monotonic() - began
        self._recovered(key)
        return again

    def _later(self, key: Key) -> float:
        """Return after how long to try again, each time longer, whoever wakes us meanwhile."""
        delay = self._delays.get(key, _FIRST_DELAY / 2) * 2
        self._delays[key] = delay = min(delay, _LAST_DELAY)
        self._held[key] = (self._loop.time() + delay, self._wanted(key))
        return delay

    def _held_for(self, key: Key) -> float:
        until, wanted = self._held.get(key, (0.0, ("", 0)))
        return until - self._loop.time() if until and wanted == self._wanted(key) else 0.0

    def _wanted(self, key: Key) -> tuple[str, int]:
        record = self._spawner.record(key)
        return (record.wanted, record.generation) if record else ("", 0)

    def _recovered(self, key: Key) -> None:
        self._delays.pop(key, None)
        self._held.pop(key, None)

    # -------------------------------------------------------------------------- one step

    async def _step(self, key: Key) -> float | None:
        spawner = self._spawner
        record = spawner.record(key)
        if record is None:
            return None
        lender = lender_of(spawner, record)
        lent = observe_lent(spawner, lender, record)
        step = self._plan(record, [*spawner.observe(key), *lent])
        for observed in step.displace:
            holder = lender if lender is not None and observed in lent else record
            await spawner.displace(holder, observed)
        if record.borrowed and (step.record is None or not step.record.borrowed):
            self.touch(record.borrowed, _HANDED)
        if step.record is None:
            await spawner.erase(record)
            return None
        if step.record != record:
            record = await spawner.write(step.record)
        if step.place:
            await spawner.place(record, lambda: self._credential(record))
        elif lent and lender is not None and await self._hand_over(lender, record):
            return min(step.again, _HANDED)
        return step.again

    def _plan(self, record: Record, observed: Sequence[Observed]) -> Step:
        now = self._clock()
        if record.lent is not None and record.wanted == "running":
            return plan_lent(record, observed, self._spawner.record(record.lent), now)
        return plan(record, observed, self._presence(record), now)

    async def _tell(self, key: Key, cause: Cause) -> None:
        """Note in the record what holds its server up, or that there is no hope."""
        record = self._spawner.record(key)
        if record is None or record.cause == cause:
            return
        now = self._clock()
        if cause.final:
            record = record.entering(now, "failed", cause.message, cause)
        else:
            record = record.having(cause=cause).told(
                now, cause.message, kind="problem", hint=cause.hint
            )
        with contextlib.suppress(StaleError, SpawnerError):
            await self._spawner.write(record)
