"""What exec says of a job, turned into what the client is told."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

from rexec_jupyter.core import protocol as p
from rexec_server import handoff as h
from rexec_server.agent.delivery import Delivery
from rexec_server.agent.job import NOTHING, Job, Shared
from rexec_server.agent.schedule import MANAGER, Schedule, Worker
from rexec_server.agent.sessions import Sessions

REASON_WAIT = 2.0
"""Seconds to wait for the reason when a worker's connection ended."""

_TRACEBACK = 128 * 1024
_MOST_PARTS = 10_000
_log = logging.getLogger(__name__)


class Outcome:
    """Follows the jobs that exec has."""

    def __init__(
        self, shared: Shared, delivery: Delivery, schedule: Schedule, sessions: Sessions
    ) -> None:
        self._shared = shared
        self._delivery = delivery
        self._schedule = schedule
        self._sessions = sessions
        self._from_worker: dict[type, Callable[[float, Job, Any, bytes], bool]] = {
            h.Streaming: self._streaming,
            h.Yielded: self._yielded,
            h.Returned: self._returned,
            h.Raised: self._raised,
            h.Interrupted: self._interrupted,
        }

    # ------------------------------------------------------------------------- messages

    def worker_says(self, now: float, pid: int, message: Any, payload: bytes) -> None:
        """Take a message of a worker; what is not about its job is ignored."""
        worker = self._schedule.workers.get(pid)
        job = worker.job if worker is not None else None
        handler = self._from_worker.get(type(message))
        if worker is None or job is None or handler is None or job.id != message.job:
            _log.debug("worker %d says something unexpected", pid)
            return
        if handler(now, job, message, payload):
            self._schedule.release(now, worker)

    def manager_says(self, now: float, message: Any, payload: bytes) -> None:
        """Take a message of the manager."""
        if isinstance(message, h.WorkerGone):
            self._worker_gone(now, message)
            return
        if isinstance(message, h.KernelState):
            self._sessions.changed(now, message)
            return
        job = self._schedule.cell(getattr(message, "job", ""))
        if job is None:
            _log.debug("the exec manager says something unexpected")
        elif isinstance(message, h.CellStarted):
            self._cell_started(now, job, message)
        elif isinstance(message, h.CellOutput):
            self._cell_output(now, job, message, payload)
        elif isinstance(message, h.CellGone):
            self._cell_gone(now, job, message)
        elif self._from_worker[type(message)](now, job, message, payload):
            self._release_cell(now, job)

    def _release_cell(self, now: float, job: Job) -> None:
        self._sessions.cell_ended(now, job)
        self._schedule.release_cell(now, job)

    def _cell_started(self, now: float, job: Job, message: h.CellStarted) -> None:
        if not job.terminal:
            job.started = now
            event = p.Started(job=job.id, seq=job.seq + 1, incarnation=message.incarnation)
            self._delivery.add(job, event)
            self._schedule.limit(now, job)

    def _cell_output(self, now: float, job: Job, message: h.CellOutput, payload: bytes) -> None:
        if job.terminal:
            return
        if message.stream in ("stdout", "stderr"):
            self._delivery.write(now, job, message.stream, payload)
        else:
            self._delivery.show(now, job, message.stream, payload)

    # -------------------------------------------------------------------------- results

    def _streaming(self, now: float, job: Job, message: h.Streaming, payload: bytes) -> bool:
        del message, payload
        if job.outputs is not None:
            job.outputs.flush(now)
        self._delivery.add(job, p.Streaming(job=job.id, seq=job.seq + 1))
        return False

    def _yielded(self, now: float, job: Job, message: h.Yielded, payload: bytes) -> bool:
        found = self._payload(message.result, payload)
        if job.outputs is not None:
            job.outputs.flush(now)
        if isinstance(found, str):
            # An item cannot be left out: the generator is as good as broken.
            job.tail += f"\n{found}\n".encode()
            self._schedule.kill(job, now)
        else:
            self._delivery.item(job, found, payload)
        return False

    def _returned(self, now: float, job: Job, message: h.Returned, payload: bytes) -> bool:
        found = self._payload(message.result, payload)
        if job.terminal:
            self._discard(message.result)
        elif isinstance(found, str):
            self._fail(now, job, "RuntimeError", found, [], code="R11")
        else:
            duration = max(0.0, message.duration)
            event = p.Done(job=job.id, seq=1, payload=found, mac=_UNSET, duration=duration)
            self._schedule.finish(now, job, event, payload)
        return True

    def _raised(self, now: float, job: Job, message: h.Raised, payload: bytes) -> bool:
        if job.terminal:
            self._discard(message.result)
            return True
        traceback = _shorten(message.traceback)
        if job.stop in ("timeout", "cancel"):
            self._discard(message.result)
            self._stopped(now, job, traceback, message.duration)
            return True
        found = self._payload(message.result, payload)
        if isinstance(found, str):
            found, payload = NOTHING, b""
        event = p.Failed(
            job=job.id,
            seq=1,
            error=message.error[:200],
            message=message.message[:4000],
            traceback=traceback,
            payload=found,
            mac=_UNSET,
            code=message.code[:8],
            duration=max(0.0, message.duration),
        )
        self._schedule.finish(now, job, event, payload)
        return True

    def _interrupted(self, now: float, job: Job, message: h.Interrupted, payload: bytes) -> bool:
        del payload
        if job.terminal:
            return True
        traceback = _shorten(message.traceback)
        if job.stop:
            self._stopped(now, job, traceback, message.duration)
        else:
            self._fail(now, job, "KeyboardInterrupt", "", traceback, duration=message.duration)
        return True

    def _fail(
        self,
        now: float,
        job: Job,
        error: str,
        text: str,
        traceback: list[str],
        *,
        code: str = "",
        duration: float = 0.0,
    ) -> None:
        event = p.Failed(
            job=job.id,
            seq=1,
            error=error,
            message=text,
            traceback=traceback,
            payload=NOTHING,
            mac=_UNSET,
            code=code,
            duration=max(0.0, duration),
        )
        self._schedule.finish(now, job, event)

    def _stopped(self, now: float, job: Job, traceback: list[str], duration: float) -> None:
        duration = max(0.0, duration)
        event: p.TimedOut | p.Cancelled
        if job.stop == "timeout":
            event = p.TimedOut(
                job=job.id,
                seq=1,
                timeout=job.submit.timeout,
                traceback=traceback,
                duration=duration,
            )
        else:
            event = p.Cancelled(
                job=job.id, seq=1, executed=True, traceback=traceback, duration=duration
            )
        self._schedule.finish(now, job, event)

    def _payload(self, result: h.Result, payload: bytes) -> p.Payload | str:
        """Return where a result is, or why it cannot be had."""
        where = result.where
        nbytes = sum(where.sizes)
        if not 0 < len(where.sizes) <= _MOST_PARTS:
            return f"the value has {len(where.sizes):,} separate buffers, more than can be sent"
        if where.file:
            problem = self._shared.spool.check(where.file, nbytes, foreign=False)
            if problem:
                return f"the file of the result is not accepted: {problem}"
            return p.Payload(
                sizes=where.sizes, digest=result.digest, carrier="segment", segment=where.file
            )
        if len(payload) != nbytes or nbytes > p.CHUNK:
            return "exec sent a result of another length than it said"
        return p.Payload(sizes=where.sizes, digest=result.digest)

    def _discard(self, result: h.Result) -> None:
        if result.where.file:
            self._shared.spool.remove(result.where.file)

    # -------------------------------------------------------------------------- crashes

    def worker_closed(self, now: float, pid: int) -> None:
        """Note that a worker's connection ended; the manager will say why."""
        worker = self._schedule.workers.get(pid)
        if worker is None:
            return
        if worker.job is None:
            self._schedule.remove(now, worker)
        else:
            self._schedule.retire(worker)
            self._shared.timers.at(now + REASON_WAIT, partial(self._without_reason, worker))

    def _without_reason(self, worker: Worker, now: float) -> None:
        if worker.job is not None and self._schedule.workers.get(worker.pid) is worker:
            self._worker_gone(now, h.WorkerGone(pid=worker.pid))

    def _worker_gone(self, now: float, message: h.WorkerGone) -> None:
        worker = self._schedule.workers.get(message.pid)
        if worker is None:
            return
        job = worker.job
        if job is not None and not job.terminal:
            if job.killing and job.stop:
                self._stopped(now, job, [], now - job.started)
            else:
                self.crash(now, job, _reason("worker process", message), message)
        self._schedule.remove(now, worker)

    def _cell_gone(self, now: float, job: Job, message: h.CellGone) -> None:
        if job.terminal:
            pass
        elif job.killing and job.stop:
            if message.started:
                self._stopped(now, job, [], now - job.started)
            else:
                self._schedule.finish(now, job, p.Cancelled(job=job.id, seq=1, executed=False))
        else:
            reason = _reason("session's kernel", message)
            if not message.started:
                reason = f"The cell did not run. {reason}"
            self.crash(now, job, reason, message)
        self._release_cell(now, job)

    def manager_down(self, now: float, reason: str, *, oom: bool) -> None:
        """Exec is gone, and everything that ran there with it."""
        how = h.WorkerGone(pid=MANAGER, oom=oom)
        for job in self._schedule.manager_down():
            self.crash(now, job, reason, how)
        self._sessions.manager_down(now)

    def crash(
        self, now: float, job: Job, reason: str, how: h.WorkerGone | h.CellGone | None
    ) -> None:
        """End a job whose process ended under it."""
        if job.outputs is not None:
            job.outputs.flush(now, final=True)
        event = p.Crashed(
            job=job.id,
            seq=1,
            reason=reason[:4000],
            exit_code=how.exit_code if how else 0,
            signal=how.signal if how else 0,
            oom=bool(how and how.oom),
            log=job.last_lines(),
            duration=max(0.0, now - job.started) if job.started >= 0 else 0.0,
        )
        self._schedule.finish(now, job, event)

    # -------------------------------------------------------------------------- stopping

    def interrupt(self, now: float, job: Job) -> None:
        """Do what Ctrl-C would: withdraw a job that waits, interrupt one that runs."""
        if job.terminal:
            return
        if job.state == "queued":
            event = p.Cancelled(job=job.id, seq=1, executed=False)
            self._schedule.finish(now, job, event)
        else:
            job.stop = job.stop or "interrupt"
            self._schedule.interrupt(job)

    def make_way(self, now: float, session: str) -> None:
        """Withdraw the cells that wait in a session, and interrupt the one that runs."""
        cells = self._schedule.waiting_in(session)
        running = self._schedule.running_in(session)
        for job in [*cells, running]:
            if job is not None and not job.submit.hidden:
                self.interrupt(now, job)

    def cancel(self, now: float, job: Job, grace: float) -> None:
        """End a job; a call that does not react loses its process after `grace` seconds."""
        if not job.terminal and job.state != "queued" and job.stop != "timeout":
            job.stop = "cancel"
            self._shared.timers.at(now + grace, partial(self._schedule.kill, job))
        self.interrupt(now, job)

    def grant_items(self, job: Job) -> None:
        """Let a generator go on as far as its client has taken items."""
        upto = job.acked_items + p.ITEM_WINDOW
        enough = upto - job.items_granted >= p.ITEM_WINDOW // 4
        if not job.terminal and job.pid and (enough or job.items >= job.items_granted < upto):
            job.items_granted = upto
            self._shared.commands.append((job.pid, h.MoreItems(job=job.id, upto=upto), b""))


_UNSET = bytes(32)
"""Stands for a MAC until the event has its number."""


def _reason(what: str, message: h.WorkerGone | h.CellGone) -> str:
    if message.reason:
        whole = message.reason[0].isupper()
        return message.reason if whole else f"The {what} is gone: {message.reason.rstrip('.')}."
    if message.oom:
        return f"The {what} was killed because it took more memory than there is."
    if message.signal:
        try:
            name = signal.Signals(message.signal).name
        except ValueError:
            name = "unknown"
        return f"The {what} was ended by signal {message.signal} ({name})."
    if message.exit_code:
        return f"The {what} exited with code {message.exit_code}."
    return f"The {what} ended; why is not known."


def _shorten(traceback: list[str]) -> list[str]:
    """Return what fits into an event: the beginning, and more of the end."""
    if sum(map(len, traceback)) <= _TRACEBACK // 4 and len(traceback) < 1000:
        return traceback
    lines = [line[:1000] for line in traceback]
    return [*lines[:10], "…", *lines[-20:]] if len(lines) > 31 else lines
