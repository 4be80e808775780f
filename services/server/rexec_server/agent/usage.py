"""What exec takes, for whoever asks."""

from __future__ import annotations

from rexec_jupyter.core import protocol as p
from rexec_server import handoff as h
from rexec_server.agent.job import Shared
from rexec_server.agent.schedule import MANAGER, Schedule
from rexec_server.agent.timers import Timer

PATIENCE = 0.8
"""Seconds that exec may take to answer."""


class Usage:
    """Answers `protocol.ReadUsage`: those who ask together with one look of exec."""

    def __init__(self, shared: Shared, schedule: Schedule) -> None:
        self._shared = shared
        self._schedule = schedule
        self._waiting: dict[str, None] = {}
        self._timer: Timer | None = None

    def ask(self, now: float, message: p.ReadUsage, frame: object) -> None:
        """Ask exec, unless it is asked already or is not there."""
        del frame
        self._waiting[message.request] = None
        if not self._schedule.manager:
            self.unknown(now)
        elif self._timer is None:
            self._shared.commands.append((MANAGER, h.Measure(), b""))
            self._timer = self._shared.timers.at(now + PATIENCE, self.unknown)

    def measured(self, message: h.Measured) -> None:
        """Tell everybody what exec says."""
        for request in self._take():
            self._shared.send(
                p.Usage(
                    request=request,
                    known=True,
                    cpu=message.cpu,
                    cores=message.cores,
                    memory=message.memory,
                    memory_limit=message.memory_limit,
                )
            )

    def unknown(self, _now: float) -> None:
        """Tell everybody that it does not say."""
        for request in self._take():
            self._shared.send(p.Usage(request=request, known=False))

    def clear(self) -> None:
        """Forget who waits: they ask again."""
        self._take()

    def _take(self) -> list[str]:
        if self._timer is not None:
            self._shared.timers.cancel(self._timer)
            self._timer = None
        waiting, self._waiting = list(self._waiting), {}
        return waiting
