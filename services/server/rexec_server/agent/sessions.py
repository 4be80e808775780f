"""The interpreters of sessions, as far as exec tells, and their end on request."""

from __future__ import annotations

from typing import Literal

from rexec_jupyter.core import protocol as p
from rexec_server import handoff as h
from rexec_server.agent.job import Job, Shared
from rexec_server.agent.schedule import MANAGER, Schedule

ANSWERED = 256
"""Requests whose late repetitions are answered as before."""


class _Kernel:
    __slots__ = ("idle_since", "incarnation", "ready", "since")

    def __init__(self, incarnation: int, *, since: float, ready: bool) -> None:
        self.incarnation = incarnation
        self.ready = ready
        self.since = since
        self.idle_since = -1.0


class _Ending:
    """The end of a kernel that is under way; ``again`` if another one is wanted after all."""

    __slots__ = ("again", "requests", "restart")

    def __init__(self, *, restart: bool) -> None:
        self.restart = restart
        self.again = False
        self.requests: dict[str, None] = {}


class Sessions:
    """Follows the kernels, and ends them."""

    def __init__(self, shared: Shared, schedule: Schedule) -> None:
        self._shared = shared
        self._schedule = schedule
        self._kernels: dict[str, _Kernel] = {}
        self._ending: dict[str, _Ending] = {}
        self._answered: dict[str, p.SessionEnded] = {}

    # ------------------------------------------------------------------------ from exec

    def changed(self, now: float, message: h.KernelState) -> None:
        """Take what exec says of a kernel."""
        if message.state == "gone":
            self._gone(now, message.session)
            return
        kernel = self._kernels.get(message.session)
        ready = message.state == "ready"
        if kernel is None or kernel.ready != ready or kernel.incarnation != message.incarnation:
            kernel = _Kernel(message.incarnation, since=now, ready=ready)
            self._kernels[message.session] = kernel

    def _gone(self, now: float, session: str) -> None:
        self._kernels.pop(session, None)
        ending = self._ending.pop(session, None)
        if ending is None:
            return
        if ending.again:
            self._stop(session, restart=True)
        for request in ending.requests:
            self._answer(request, existed=True)
        self._schedule.let_go(now, session)

    def cell_ended(self, now: float, job: Job) -> None:
        """Note that a session has nothing to do for now."""
        kernel = self._kernels.get(job.submit.session)
        if kernel is not None and not job.submit.fresh and not job.submit.hidden:
            kernel.idle_since = now

    def manager_down(self, now: float) -> None:
        """Forget all kernels: exec is gone, and they with it."""
        self._kernels.clear()
        for session in list(self._ending):
            self._ending[session].again = False
            self._gone(now, session)

    # ------------------------------------------------------------------------- requests

    def end(self, now: float, message: p.EndSession, frame: object) -> None:
        """End a session: its cells, those that wait and the one that runs, and its kernel."""
        del frame
        session = message.session
        before = self._answered.get(message.request)
        if before is not None:
            self._shared.send(before)
            return
        ending = self._ending.get(session)
        if ending is None:
            for job in self._schedule.waiting_in(session):
                event = p.Cancelled(job=job.id, seq=1, executed=False)
                self._schedule.finish(now, job, event)
            running = self._schedule.running_in(session)
            if running is not None:
                running.stop = "cancel"
                running.killing = True
            existed = running is not None or session in self._kernels
            if self._schedule.manager and (existed or message.restart):
                self._stop(session, restart=message.restart)
            if not existed:
                self._answer(message.request, existed=False)
                return
            ending = self._ending[session] = _Ending(restart=message.restart)
            self._schedule.hold(session)
        ending.again |= message.restart and not ending.restart
        ending.requests[message.request] = None

    def _stop(self, session: str, *, restart: bool) -> None:
        command = h.StopKernel(session=session, restart=restart)
        self._shared.commands.append((MANAGER, command, b""))

    def _answer(self, request: str, *, existed: bool) -> None:
        answer = p.SessionEnded(request=request, existed=existed)
        self._answered[request] = answer
        if len(self._answered) > ANSWERED:
            del self._answered[next(iter(self._answered))]
        self._shared.send(answer)

    def rows(self, now: float) -> list[p.SessionInfo]:
        """Return what there is to know of each session, by name."""
        names = set(self._kernels) | set(self._schedule.sessions())
        return [self._row(now, name) for name in sorted(names)]

    def _row(self, now: float, session: str) -> p.SessionInfo:
        kernel = self._kernels.get(session)
        running = self._schedule.running_in(session)
        busy = running is not None and not running.submit.hidden
        info = p.SessionInfo(
            session=session,
            state="stopped" if running is None else "starting",
            running=running.id if running is not None and busy else "",
            queued=sum(not job.submit.hidden for job in self._schedule.waiting_in(session)),
        )
        if kernel is None:
            return info
        state: Literal["starting", "idle", "busy"] = "starting"
        if kernel.ready:
            state = "busy" if busy else "idle"
        idle = kernel.ready and not busy and kernel.idle_since >= 0
        return p.SessionInfo(
            session=session,
            state=state,
            incarnation=kernel.incarnation,
            running=info.running,
            queued=info.queued,
            started_ago=max(0.0, now - kernel.since) if kernel.ready else -1.0,
            idle_for=max(0.0, now - kernel.idle_since) if idle else -1.0,
        )
