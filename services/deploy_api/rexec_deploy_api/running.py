"""What goes on in a deploy API whether anybody asks or not."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import Self

from prometheus_client.core import GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from rexec_deploy_api.controller import Controller
from rexec_deploy_api.pool import Pool, stocks_of
from rexec_deploy_api.presence import Attendance
from rexec_deploy_api.profiles import Profiles
from rexec_deploy_api.records import Key
from rexec_deploy_api.service import Servers
from rexec_deploy_api.settings import DeploySettings
from rexec_deploy_api.spawner.base import Spawner
from rexec_deploy_api.tickets import Tickets

_log = logging.getLogger(__name__)


async def open_spawner(settings: DeploySettings, tickets: Tickets) -> Spawner:
    """Return what runs servers, as the operator chose.

    Raises
    ------
    OSError
        If it cannot be had.
    """
    # Each needs packages that the other does not.
    if settings.spawner == "kubernetes":
        from rexec_deploy_api.spawner.kubernetes.spawner import KubernetesSpawner  # noqa: PLC0415

        return await KubernetesSpawner.connect(tickets.salt("kubernetes"))
    from rexec_deploy_api.spawner.process import ProcessSpawner  # noqa: PLC0415

    return ProcessSpawner(settings.directory)


class Running:
    """The parts that look after servers; use it in an ``async with`` statement.

    Parameters
    ----------
    spawner
        Runs servers; it is opened and closed here.
    tickets, profiles, settings
        As the operator set them.

    Attributes
    ----------
    servers
        What requests ask.
    """

    def __init__(
        self, spawner: Spawner, tickets: Tickets, profiles: Profiles, settings: DeploySettings
    ) -> None:
        self.spawner = spawner
        self.attendance = Attendance(
            settings.broker_health_url, tickets.status_token, self._heard_of
        )
        stocks = stocks_of(profiles, settings.python)
        self.pool = Pool(spawner, self.attendance, tickets, stocks)
        self.servers = Servers(
            spawner, self.attendance.of, most=settings.max_servers, claim=self.pool.claim
        )
        self.controller = Controller(
            spawner, self.attendance.of, tickets.credential, self.pool.hand_over
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = AsyncExitStack()

    @property
    def alive(self) -> bool:
        """Whether nothing of it has ended."""
        return not any(task.done() for task in self._tasks)

    async def __aenter__(self) -> Self:
        self._stack.push_async_callback(self.spawner.close)
        try:
            await self.spawner.open(self._changed)
        except BaseException:
            await self._stack.aclose()
            raise
        self._stack.push_async_callback(self._end)
        self._begin(self.attendance.follow())
        self._begin(self.controller.run())
        self._begin(self.pool.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _begin(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(_tell)
        self._tasks.append(task)

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _changed(self, key: Key) -> None:
        self.controller.changed(key)
        self.servers.changed(key)
        self.pool.changed(key)

    def _heard_of(self, key: Key) -> None:
        self.controller.changed(key)


class Counts(Collector):
    """What there is and was done, for Prometheus.

    Parameters
    ----------
    running
        Of what.
    """

    def __init__(self, running: Running) -> None:
        self._running = running

    def collect(self) -> Iterator[Metric]:
        """Yield what is counted."""
        spawner, controller = self._running.spawner, self._running.controller
        yield SummaryMetricFamily(
            "rexec_deploy_step_seconds",
            "Seconds that looks at servers took",
            count_value=controller.steps,
            sum_value=controller.seconds,
        )
        yield GaugeMetricFamily(
            "rexec_deploy_leads", "Whether this process acts on records", float(spawner.leads)
        )
        yield GaugeMetricFamily(
            "rexec_deploy_broker_known",
            "Whether the broker tells who is there",
            float(self._running.attendance.known),
        )
        records = (spawner.record(key) for key in spawner.keys())  # noqa: SIM118 - no mapping
        states = Counter(record.state for record in records if record is not None)
        servers = GaugeMetricFamily("rexec_deploy_servers", "Servers", labels=["state"])
        for state, count in sorted(states.items()):
            servers.add_metric([state], count)
        yield servers
        warm = GaugeMetricFamily(
            "rexec_deploy_warm", "Servers kept ready", labels=["profile", "state"]
        )
        for pool, phase, number in self._running.pool.counts():
            warm.add_metric([pool, phase], number)
        yield warm


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.critical("a part that looks after servers ended", exc_info=error)
