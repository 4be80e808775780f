"""Another server in place of one that ended: once somebody has something for it, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from rexec_jupyter.core.backend import Backend
from rexec_jupyter.core.connection import Connection
from rexec_jupyter.core.errors import ConnectionLostError, RexecError
from rexec_jupyter.core.exchange import Exchange

if TYPE_CHECKING:
    from rexec_jupyter.core.job import Job

MOMENT = 1.0
"""Seconds that a server which starts again in place may be away."""
_LAST_PAUSE = 30.0
_AWAY = (None, "absent", "lost")


class Revival:
    """Has a server started for jobs that no server takes. Lives on the link's event loop.

    A server that ended because nobody needed it must not come back by itself: it would never end.

    Parameters
    ----------
    jobs
        Those that have not ended, by id.
    start
        Runs a coroutine in the background.
    flush
        Passes on what the exchange has to say.
    """

    def __init__(
        self,
        backend: Backend,
        exchange: Exchange,
        connection: Connection,
        jobs: Mapping[str, Job[Any]],
        *,
        start: Callable[[Coroutine[Any, Any, None]], None],
        flush: Callable[[], None],
    ) -> None:
        self._backend = backend
        self._exchange = exchange
        self._connection = connection
        self._jobs = jobs
        self._start = start
        self._flush = flush
        self._works = False

    def check(self) -> None:
        """Begin if there is a need to."""
        if self._jobs and not self._works and self._connection.tried and self._needed():
            self._works = True
            self._start(self._work())

    def _needed(self) -> bool:
        """Whether a job waits for a server that does not exist."""
        if self._connection.ended:
            return bool(self._jobs)
        if not self._connection.contact:
            return False  # nobody knows
        states: dict[str, str] = {each.session: each.state for each in self._exchange.servers}
        if states.get("") not in _AWAY:
            return False
        waiting = {job.session for job in self._jobs.values() if job.state == "waiting"}
        return any(states.get(session) in _AWAY for session in waiting)

    async def _work(self) -> None:
        pause = MOMENT
        try:
            await asyncio.sleep(MOMENT)
            while self._jobs and self._needed():
                try:
                    await self._backend.revive()
                except ConnectionLostError as error:
                    self._connection.trouble = error.message
                except RexecError as error:
                    self._exchange.end_all(error.code, f"{error.message} {error.hint}".strip())
                    self._flush()
                    return
                else:
                    await self._connection.resume()
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LAST_PAUSE)
        finally:
            self._works = False
