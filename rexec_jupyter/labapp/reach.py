"""The panel's connection to the broker: sessions, jobs and usage come through it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.backend import Backend
from rexec_jupyter.core.client import Client
from rexec_jupyter.core.errors import ConnectionLostError, RexecError
from rexec_jupyter.core.link import Link
from rexec_jupyter.core.states import OPEN
from rexec_jupyter.core.survey import Survey, aged, by_name, newest_first
from rexec_jupyter.labapp.lines import Lines
from rexec_jupyter.labapp.messages import Usage
from rexec_jupyter.labapp.polling import Poll
from rexec_jupyter.labapp.seen import Standing

PATIENCE = 5.0
"""Seconds that a server may take to answer."""
DEFAULT = "default"
"""The server of all sessions that have none of their own."""

_PAUSE, _SOON = 0.8, 0.1
_DETAILS_PAUSE = 2.0
_HISTORY = 300
"""Measurements that are kept: some minutes of a server or two."""


@dataclass(frozen=True)
class Look:
    """What was seen at a moment, by the clock of this process.

    Attributes
    ----------
    state
        As in `standing.Status`; ``away`` if nothing is to be reached.
    trouble
        What is wrong, if something is.
    """

    state: str = "away"
    trouble: str = ""
    at: float = 0.0
    servers: list[p.ServerState] = field(default_factory=list)
    sessions: list[p.SessionInfo] = field(default_factory=list)
    jobs: list[p.JobInfo] = field(default_factory=list)


class Reach:
    """Keeps a client as long as there is something to reach, and looks through it.

    Parameters
    ----------
    pool
        Threads for what has to be waited for.
    changed
        Called when there is something new.

    Attributes
    ----------
    poll
        What looks.
    details
        What reads the rest, which must not hold up the news of jobs.
    lines
        What the running jobs show.
    usage
        What the servers took, the oldest first.
    measured
        How many measurements there were.
    """

    def __init__(self, pool: ThreadPoolExecutor, changed: Callable[[], None]) -> None:
        self.poll: Poll[Look] = Poll("sessions and jobs", self._look, changed)
        self.details: Poll[None] = Poll("usage", self._look_closer, changed, pause=_DETAILS_PAUSE)
        self.lines = Lines()
        self.usage: deque[Usage] = deque(maxlen=_HISTORY)
        self.measured = 0
        self._pool = pool
        self._wanted: tuple[str, Callable[[], Backend]] | None = None
        self._open_for = ""
        self._client: Client | None = None
        self._told: dict[str, tuple[float, Survey]] = {}
        self._cpu: dict[str, tuple[float, float]] = {}

    @property
    def look(self) -> Look:
        """What was seen last."""
        return self.poll.answer or Look()

    def standing(self) -> Standing:
        """Return how one stands with what is to be reached."""
        if (error := self.poll.error) is not None:
            return Standing.of("reconnecting", error)
        look = self.look
        if look.state == "connected":
            return Standing("connected", "Connected.")
        if look.state == "reconnecting":
            return Standing("reconnecting", look.trouble or "The connection is made again.")
        return Standing("connecting", look.trouble or "Connecting …")

    def aim(self, key: str, make: Callable[[], Backend]) -> None:
        """Reach a backend; another one if the key is another."""
        before, self._wanted = self._wanted, (key, make)
        if before is None or before[0] != key:
            self.poll.nudge()

    def leave(self) -> None:
        """Reach nothing."""
        if self._wanted is not None:
            self._wanted = None
            self.poll.nudge()

    def work(self) -> list[Coroutine[Any, Any, None]]:
        """Return what has to run while somebody looks."""
        return [self.poll.run(), self.details.run()]

    @property
    def aimed(self) -> bool:
        """Whether there is something to reach."""
        return self._wanted is not None

    @property
    def connected(self) -> bool:
        """Whether there is a client that is connected."""
        return self._client is not None and self._client.status().state == "connected"

    def client(self) -> Client:
        """Return the client.

        Raises
        ------
        ConnectionLostError
            If there is none that is connected.
        """
        client = self._client
        if client is None or not self.connected:
            raise ConnectionLostError(
                "The server cannot be reached now.",
                hint="The panel tells why, and tries again by itself.",
            )
        return client

    async def close(self) -> None:
        """End the connection."""
        client, self._client = self._client, None
        if client is not None:
            await asyncio.get_running_loop().run_in_executor(self._pool, client.close)

    # -------------------------------------------------------------------------- looking

    async def _look(self) -> Look:
        self.poll.pause = _PAUSE
        wanted = self._wanted
        key = wanted[0] if wanted else ""
        if key != self._open_for:
            await self.close()
            self._open_for = key
            self.poll.answer = None  # that was somewhere else
            self._told.clear()
            self._cpu.clear()
            self.lines = Lines()
        if wanted is None:
            return Look()
        if self._client is None:
            self._client = Client(Link(wanted[1]()))
        client = self._client
        try:
            client.check()
        except RexecError:
            await self.close()  # the next one may fare better
            raise
        status = client.status()
        there = any(server.state in ("ready", "draining") for server in status.servers)
        if status.state != "connected" or not there:
            self.poll.pause = _SOON if not self.look.at else _PAUSE
            before = self.look
            return Look(
                status.state,
                status.detail,
                before.at,
                status.servers,
                before.sessions,
                before.jobs,
            )
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._ask, client)

    def _ask(self, client: Client) -> Look:
        asked = time.monotonic()
        surveys = client.survey(timeout=PATIENCE)
        servers = client.status().servers
        self._told |= {each.server.session: (asked, each) for each in surveys}
        # What a server told that is silent now is shown until it is known to be gone.
        there = {server.session for server in servers if server.state not in ("absent", "lost")}
        self._told = {scope: told for scope, told in self._told.items() if scope in there}
        told = [aged(survey, asked - then) for then, survey in self._told.values()]
        sessions = by_name(row for each in told for row in each.sessions)
        jobs = newest_first(row for each in told for row in each.jobs)
        return Look("connected", "", time.time(), servers, sessions, jobs)

    async def _look_closer(self) -> None:
        client = self._client
        if client is None or not self.connected:
            return
        running = [job for job in self.look.jobs if job.state in OPEN and job.started_ago >= 0]
        with suppress(ConnectionLostError):  # whatever it is, the other poll tells it
            await asyncio.get_running_loop().run_in_executor(
                self._pool, self._read, client, running
            )

    def _read(self, client: Client, running: list[p.JobInfo]) -> None:
        self.lines.read(client, running, PATIENCE)
        self._measure(client)

    def _measure(self, client: Client) -> None:
        for server, told in client.usage(timeout=2.0):
            if not told.known:
                continue
            name, now = server.session or DEFAULT, time.monotonic()
            cpu, then = self._cpu.get(name, (told.cpu, now))
            self._cpu[name] = (told.cpu, now)
            self.usage.append(
                Usage(
                    server=name,
                    at=round(time.time(), 1),
                    cores=round(max(told.cpu - cpu, 0.0) / (now - then), 3) if now > then else 0.0,
                    cores_limit=told.cores,
                    memory=told.memory,
                    memory_limit=told.memory_limit,
                )
            )
            self.measured += 1
