"""One watcher for all browsers of a Jupyter server; it works only while somebody looks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice

import msgspec

from rexec_jupyter.core.errors import NotConfiguredError
from rexec_jupyter.labapp.embedded import Embedded
from rexec_jupyter.labapp.files import Files
from rexec_jupyter.labapp.messages import Connection, News, State, Usage
from rexec_jupyter.labapp.remote import Remote
from rexec_jupyter.labapp.seen import Seen, everything, named, news

GRACE = 10.0
"""Seconds that it goes on after the last one looked away."""
FIRST = 3.0
"""Seconds that `Watcher.state` waits for what is not known yet."""

_TICK = 0.5
_log = logging.getLogger(__name__)

Hear = Callable[[News], None]


class Watcher:
    """Looks at the backend of the settings, and tells what changes. Lives on the event loop.

    Parameters
    ----------
    pool
        Threads for what has to be waited for.
    """

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.pool = pool
        self.source: Embedded | Remote | None = None
        self._target = ""
        self._work: list[asyncio.Task[None]] = []
        self._task: asyncio.Task[None] | None = None
        self._hearers: set[Hear] = set()
        self._seen = _unknown()
        self._known = False
        self._turned = asyncio.Condition()
        self._stir = asyncio.Event()
        self._until = 0.0
        self._measured = 0
        self._files = Files()

    # ------------------------------------------------------------------------ for others

    def listen(self, hear: Hear) -> None:
        """Tell `hear` everything now, and from now on what changes."""
        self._hearers.add(hear)
        self._begin()
        hear(self.everything())

    def leave(self, hear: Hear) -> None:
        """Tell `hear` nothing any more."""
        self._hearers.discard(hear)
        self._until = time.monotonic() + GRACE

    def everything(self) -> News:
        """Return all that there is."""
        return everything(self._seen, time.time(), self._usage())

    async def state(self) -> State:
        """Return how things stand; look for it if nobody did."""
        self._begin()
        await self.until(lambda: self._known, FIRST)
        seen = self._seen
        return State(
            connection=seen.connection,
            elsewhere=seen.elsewhere,
            alerts=seen.alerts,
            servers=seen.servers,
            sessions=seen.sessions,
            jobs=seen.jobs,
            usage=self._usage(),
        )

    @property
    def connection(self) -> Connection:
        """How one stands with the backend."""
        return self._seen.connection

    async def known(self) -> Embedded | Remote:
        """Return what looks at the backend, once it has looked.

        Raises
        ------
        NotConfiguredError
            If the settings name no backend.
        """
        await self.state()
        if self.source is None:
            raise self._files.trouble or NotConfiguredError("There is no backend.")
        return self.source

    async def until(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Wait until something is so, but no longer; tell whether it is."""
        self._stir.set()
        async with self._turned:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._turned.wait_for(ready), seconds)
        return ready()

    async def settle(self, target: str) -> None:
        """Wait until it looks at what the settings name now, an address or ``local``."""
        self._begin()
        await self.until(lambda: self._target == target and self._known, FIRST)

    def nudge(self) -> None:
        """Look at once: something was done."""
        if self.source is not None:
            self.source.nudge()
        self._stir.set()

    async def close(self) -> None:
        """Look no more."""
        self._hearers.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # -------------------------------------------------------------------------- working

    def _begin(self) -> None:
        self._until = time.monotonic() + GRACE
        if self._task is None or self._task.done():
            self._known = False
            self._task = asyncio.create_task(self._run())

    def _needed(self) -> bool:
        return bool(self._hearers) or time.monotonic() < self._until

    async def _run(self) -> None:
        try:
            while self._needed():
                await self._turn()
                if not self._needed():
                    await self._let_go()  # meanwhile somebody may come
                    self._seen = _unknown()  # what was seen is not so any more then
        finally:
            if self.source is not None:
                await asyncio.shield(self._let_go())

    async def _turn(self) -> None:
        """Look once, and wait until there is a reason to look again."""
        try:
            await self._aim()
            self._tell()
        except Exception as error:  # noqa: BLE001 - it goes on whatever happens
            _log.error("a look failed", exc_info=error)
        async with self._turned:
            self._turned.notify_all()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stir.wait(), _TICK)
        self._stir.clear()

    async def _aim(self) -> None:
        """Look at what the settings name by now."""
        before, self._files = (
            self._files,
            await asyncio.get_running_loop().run_in_executor(self.pool, Files.read),
        )
        target = self._files.target
        if target != self._target or (target and self.source is None):
            await self._let_go()
            self._target = target
            if target:
                make = Embedded if target == "local" else partial(Remote, target)
                self.source = make(self.pool, self._stir.set)
                self._work = [asyncio.create_task(work) for work in self.source.work()]
        elif self._files != before and self.source is not None:
            self.source.nudge()

    async def _let_go(self) -> None:
        source, self.source = self.source, None
        self._target = ""
        self._measured = 0
        self._known = False
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        self._work = []
        if source is not None:
            await source.close()

    # -------------------------------------------------------------------------- telling

    def _tell(self) -> None:
        seen, now = self._look(), time.time()
        source = self.source
        usage, installing = self._new_usage(), {}
        if isinstance(source, Remote):
            installing = source.installing()
        if source is None or source.ready:
            self._known = True
        before, self._seen = self._seen, seen
        told = news(before, seen, now, usage=usage, installing=installing)
        if told is not None:
            for hear in list(self._hearers):
                hear(told)

    def _look(self) -> Seen:
        files = self._files
        seen = Seen(_unknown().connection) if self.source is None else self.source.seen()
        connection = seen.connection
        if (error := files.trouble) is not None:
            text, hint, code = error.message, error.hint, error.code
            connection = Connection(state="failed", text=text, hint=hint, code=code)
        connection = msgspec.structs.replace(connection, logins=files.logins)
        alerts = named([*seen.alerts, *files.alerts])
        return replace(seen, connection=connection, elsewhere=files.elsewhere, alerts=alerts)

    def _usage(self) -> list[Usage]:
        return list(self.source.reach.usage) if self.source is not None else []

    def _new_usage(self) -> list[Usage]:
        if self.source is None:
            return []
        reach = self.source.reach
        new, self._measured = reach.measured - self._measured, reach.measured
        return list(reversed(list(islice(reversed(reach.usage), new))))


def _unknown() -> Seen:
    return Seen(Connection(state="connecting", text="Looking …"))
