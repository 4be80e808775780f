"""Servers that are kept ready for whoever comes, so that nobody has to wait for a start.

Each is started for a user of its own whom nobody can be, so it shares nothing with another one.
Whoever asks for what it is gets it: the broker tells it whose it is from now on, and it is never
anybody else's. What it is replaced by is as cold as any other server.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from rexec_deploy_api.environments import Environment
from rexec_deploy_api.presence import Attendance
from rexec_deploy_api.profiles import Profiles, Wanted, spec_of
from rexec_deploy_api.records import CLOCKS, Key, Record, Spec
from rexec_deploy_api.spawner.base import Spawner, SpawnerError, StaleError
from rexec_deploy_api.tickets import Tickets
from rexec_jupyter.core.trust import new_id

FAILED_SECONDS = 60.0
"""How long one that failed is left to be looked at, before another one is tried."""
EVERY = 5.0
"""Seconds between two looks at all of them."""

_OWNER = "~warm/"
_NAME = "default"
_log = logging.getLogger(__name__)


class Stock(NamedTuple):
    """What is kept of one profile."""

    spec: Spec
    number: int


class Pool:
    """Keeps servers ready.

    Parameters
    ----------
    spawner
        Where they run.
    attendance
        What the broker knows of them.
    tickets
        Signs what they become.
    stocks
        What is kept, by profile; see `stocks_of`.
    clock
        Seconds since 1970.
    """

    def __init__(
        self,
        spawner: Spawner,
        attendance: Attendance,
        tickets: Tickets,
        stocks: Mapping[str, Stock],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._spawner = spawner
        self._attendance = attendance
        self._tickets = tickets
        self._stocks = stocks
        self._clock = clock
        self._wake = asyncio.Event()

    # --------------------------------------------------------------------- giving away

    async def claim(self, key: Key, spec: Spec) -> Key | None:
        """Take one out of the pool that is like this and ready; None if there is none.

        Parameters
        ----------
        key
            What it is to become.
        """
        for record in self._idle():
            presence = self._attendance.of(record)
            there = presence is not None and presence.able
            if record.state != "ready" or not there or record.spec.digest != spec.digest:
                continue
            with contextlib.suppress(StaleError, SpawnerError):  # somebody else was faster
                await self._spawner.write(record.having(lent=key, since=self._clock()))
                self._wake.set()
                return record.key
        return None

    async def hand_over(self, lender: Record, record: Record) -> bool:
        """Have one that was claimed become another one, if it is not yet.

        Returns
        -------
        bool
            Whether it has to.
        """
        presence = self._attendance.of(lender)
        if presence is None:
            return False
        await self._attendance.assign(lender.key, self._tickets.certificate(record, presence.key))
        return True

    # ------------------------------------------------------------------------- keeping

    def changed(self, key: Key) -> None:
        """Look soon: something happened to a server."""
        if key.user.startswith(_OWNER):
            self._wake.set()

    async def run(self) -> None:
        """Keep as many as there are to be, until cancelled."""
        while True:
            self._wake.clear()
            if self._spawner.leads:
                with contextlib.suppress(StaleError):
                    try:
                        await self._keep()
                    except SpawnerError as error:
                        _log.warning("servers cannot be kept ready: %s", error)
                        await asyncio.sleep(EVERY)
            # Not asyncio.wait_for: that of Python 3.11 may forget that it was cancelled.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await self._wake.wait()

    async def _keep(self) -> None:
        kept: Counter[str] = Counter()
        for record in self._idle():
            stock = self._stocks.get(record.pool)
            if stock is None or self._spoiled(record, stock) or kept[record.pool] >= stock.number:
                await self._spawner.write(record.having(wanted="stopped"))
            else:
                kept[record.pool] += 1
        for name, stock in self._stocks.items():
            for _ in range(stock.number - kept[name]):
                await self._add(name, stock.spec)

    def _spoiled(self, record: Record, stock: Stock) -> bool:
        failed = record.state == "failed" and self._clock() - record.since > FAILED_SECONDS
        return failed or record.spec.digest != stock.spec.digest

    async def _add(self, pool: str, spec: Spec) -> None:
        now = self._clock()
        record = Record(
            user=_OWNER + new_id(),
            name=_NAME,
            spec=spec,
            username=f"kept ready ({pool})",
            generation=max(1, int(now)),
            created=now,
            pool=pool,
        )
        await self._spawner.write(record.entering(now, "requested", "Kept ready."))

    def _idle(self) -> list[Record]:
        """Return those that are nobody's yet, ready ones first, and the oldest of them."""
        found = (
            self._spawner.record(key)
            for key in self._spawner.keys()  # noqa: SIM118 - it is no mapping
            if key.user.startswith(_OWNER)
        )
        idle = [
            record
            for record in found
            if record is not None and record.pool and not record.lent and record.wanted == "running"
        ]
        return sorted(idle, key=lambda record: (record.state != "ready", record.created))

    def counts(self) -> Iterator[tuple[str, str, int]]:
        """Yield profile, state and number of those that are nobody's yet."""
        counted = Counter((record.pool, record.state) for record in self._idle())
        for (pool, state), number in sorted(counted.items()):
            yield pool, state, number


def stocks_of(profiles: Profiles, python: str) -> dict[str, Stock]:
    """Return what is to be kept of each profile.

    Parameters
    ----------
    python
        As in `profiles.spec_of`.
    """
    return {
        profile.name: Stock(_endless(spec_of(profile, Wanted(), _PLAIN, python=python)), number)
        for profile in profiles.profiles
        if (number := profile.warm)
    }


_PLAIN = Environment("", ())


def _endless(spec: Spec) -> Spec:
    return spec.having(**dict.fromkeys(CLOCKS, 0.0))
