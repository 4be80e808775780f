"""Which job runs where and when: workers for calls, one kernel a session for cells."""

from __future__ import annotations

from collections import deque
from functools import partial

from rexec_jupyter.core import protocol as p
from rexec_server import handoff as h
from rexec_server.agent.delivery import Delivery
from rexec_server.agent.job import Job, Shared
from rexec_server.agent.payloads import Payloads
from rexec_server.agent.records import Begun

MANAGER = 0
"""Where commands to the exec manager go; other numbers are pids of workers."""
GRACE = 5.0
"""Seconds between an interrupt and the end of a process that does not react."""
FRESH = 8
"""Cells with an interpreter of their own that run at once."""
TOLD = 64
"""Cells at the front of a session's queue that are told whenever they move up."""


class Worker:
    """One worker process. ``closed``: its connection ended, the reason is not known yet."""

    __slots__ = ("closed", "job", "pid")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.job: Job | None = None
        self.closed = False


class _Cells:
    """The cells of one session. ``running`` is with exec, even if its job has ended.

    ``waiting`` is how many of the queue have not ended and are not hidden.
    """

    __slots__ = ("queue", "running", "waiting")

    def __init__(self) -> None:
        self.queue: deque[Job] = deque()
        self.running: Job | None = None
        self.waiting = 0

    @property
    def busy(self) -> bool:
        return self.running is not None and not self.running.submit.hidden


class Schedule:
    """Queues of jobs, and the processes that take them.

    A job that was withdrawn stays in its queue and is skipped there.
    """

    def __init__(
        self, shared: Shared, payloads: Payloads, delivery: Delivery, *, slots: int
    ) -> None:
        self._shared = shared
        self._delivery = delivery
        self._payloads = payloads
        self._slots = slots
        self.manager = False
        self.workers: dict[int, Worker] = {}
        self._idle: list[Worker] = []
        self._calls: dict[str, deque[Job]] = {}
        self._cells: dict[str, _Cells] = {}
        self._waiting: dict[str, None] = {}  # sessions whose next cell may be sent
        self._held: set[str] = set()  # sessions whose kernel is being ended
        self._given: dict[str, Job] = {}  # cells that exec has
        self._fresh: set[str] = set()  # those of them that have an interpreter of their own
        self._fresh_queue: deque[Job] = deque()
        self.queued = 0
        self.running = 0
        self._busy = 0

    # ----------------------------------------------------------------------------- queues

    def enqueue(self, now: float, job: Job) -> None:
        """Take a job that came into custody."""
        self.queued += 1
        session = job.submit.session
        if job.submit.kind == "call":
            self._calls.setdefault(session, deque()).append(job)
        elif job.submit.fresh:
            self._fresh_queue.append(job)
        else:
            cells = self._cells.setdefault(session, _Cells())
            cells.queue.append(job)
            cells.waiting += not job.submit.hidden
            self._waiting[session] = None
        self.dispatch(now)

    def ahead_of(self, job: Job) -> int:
        """Return how many cells run or wait before one that is about to be enqueued."""
        submit = job.submit
        if submit.kind == "call" or submit.fresh:
            return 0
        cells = self._cells.get(submit.session)
        return cells.waiting + cells.busy if cells is not None else 0

    def busy_with(self, session: str) -> Job | None:
        """Return the cell that runs in a session, or the first one that waits there."""
        cells = self._cells.get(session)
        if cells is None:
            return None
        if cells.busy:
            return cells.running
        return next((job for job in self.waiting_in(session) if not job.submit.hidden), None)

    def waiting_in(self, session: str) -> list[Job]:
        """Return the cells that wait in a session."""
        cells = self._cells.get(session)
        return [job for job in cells.queue if not job.terminal] if cells is not None else []

    def running_in(self, session: str) -> Job | None:
        """Return the cell that a session's kernel has."""
        cells = self._cells.get(session)
        return cells.running if cells is not None else None

    def sessions(self) -> list[str]:
        """Return the sessions that have cells."""
        return [name for name, cells in self._cells.items() if cells.busy or cells.waiting]

    def dispatch(self, now: float) -> None:
        """Start what can be started."""
        if not self.manager or self._shared.draining:
            return
        while self._idle and self._calls and self._busy < self._slots:
            job = self._next_call()
            if job is not None:
                self._start_call(now, job, self._idle.pop())
        while self._waiting:
            session = next(iter(self._waiting))
            del self._waiting[session]
            self._next_cell(now, session)
        while self._fresh_queue and len(self._fresh) < FRESH:
            job = self._fresh_queue.popleft()
            if not job.terminal and self._start_cell(now, job):
                self._fresh.add(job.id)

    def _next_call(self) -> Job | None:
        session, queue = next(iter(self._calls.items()))
        del self._calls[session]
        job = queue.popleft()
        if queue:
            self._calls[session] = queue  # behind the others: each session has its turn
        return None if job.terminal else job

    def _next_cell(self, now: float, session: str) -> None:
        cells = self._cells[session]
        if cells.running is not None or session in self._held:
            return
        while cells.queue:
            job = cells.queue.popleft()
            if not job.terminal and self._start_cell(now, job):
                cells.running = job
                cells.waiting -= not job.submit.hidden
                self._tell_ahead(cells)
                return
        del self._cells[session]

    def _tell_ahead(self, cells: _Cells) -> None:
        """Tell those who wait how many still are before them."""
        queue = cells.queue
        while queue and queue[0].terminal:
            queue.popleft()
        ahead = int(cells.busy)
        told = 0
        for job in queue:
            if job.terminal:
                continue
            if job.ahead != ahead:
                job.ahead = ahead
                if job.attached:
                    self._shared.send(p.Journaled(job=job.id, ahead=ahead))
            ahead += not job.submit.hidden
            told += 1
            if told == TOLD:
                return

    def _start_call(self, now: float, job: Job, worker: Worker) -> None:
        ready = self._payload(now, job)
        if ready is None:
            self._idle.append(worker)
            return
        where, content = ready
        self._delivery.add(job, p.Started(job=job.id, seq=job.seq + 1))
        job.started = now
        job.pid = worker.pid
        worker.job = job
        self._busy += 1
        self._begin(job)
        command = h.RunCall(
            nbytes=len(content), job=job.id, where=where, digest=job.submit.payload.digest
        )
        self._shared.commands.append((worker.pid, command, content))
        self.limit(now, job)

    def _start_cell(self, now: float, job: Job) -> bool:
        ready = self._payload(now, job)
        if ready is None:
            return False
        where, content = ready
        self._shared.journal.append(Begun(job.id), live=False)
        self._begin(job)
        self._given[job.id] = job
        job.started = now
        submit = job.submit
        command = h.RunCell(
            nbytes=len(content),
            job=job.id,
            session=submit.session,
            where=where,
            digest=submit.payload.digest,
            outputs=submit.outputs,
            max_recv=submit.max_recv,
            value=submit.value,
            value_limit=submit.value_limit,
            fresh=submit.fresh,
            known=submit.known,
            hidden=submit.hidden,
        )
        self._shared.commands.append((MANAGER, command, content))
        return True

    def _begin(self, job: Job) -> None:
        job.state = "running"
        job.ahead = 0
        self.queued -= 1
        self.running += 1

    def _payload(self, now: float, job: Job) -> tuple[h.Where, bytes] | None:
        try:
            return self._payloads.take(job)
        except OSError as error:
            self.finish(now, job, p.Crashed(job=job.id, seq=1, reason=f"not run: {error}"))
            return None

    # ----------------------------------------------------------------------------- the end

    def adopt(self, job: Job) -> None:
        """Count a job that ran when the agent was restarted, so that it can be ended."""
        job.state = "running"
        self.running += 1

    def finish(self, now: float, job: Job, event: object, content: bytes = b"") -> None:
        """Give a job its terminal event."""
        queued = job.state == "queued"
        if queued:
            self.queued -= 1
            self._payloads.release(job)
        else:
            self.running -= 1
        self._delivery.end(now, job, event, content)
        if queued and job.submit.kind == "cell" and not job.submit.fresh:
            cells = self._cells[job.submit.session]
            cells.waiting -= not job.submit.hidden
            self._tell_ahead(cells)

    def release(self, now: float, worker: Worker) -> None:
        """Have a worker take the next call."""
        if worker.job is not None:
            worker.job = None
            self._busy -= 1
            if not worker.closed:
                self._idle.append(worker)
        self.dispatch(now)

    def release_cell(self, now: float, job: Job) -> None:
        """Have a session's kernel take the next cell: exec does not have this one any more."""
        session = job.submit.session
        self._given.pop(job.id, None)
        if job.submit.fresh:
            self._fresh.discard(job.id)
        elif (cells := self._cells.get(session)) is not None:
            cells.running = None
            self._waiting[session] = None
        self.dispatch(now)

    def cell(self, job: str) -> Job | None:
        """Return the cell `job` if exec has it; its client may be done with it long since."""
        return self._given.get(job)

    def hold(self, session: str) -> None:
        """Give the kernel of a session nothing to do: it is being ended."""
        self._held.add(session)

    def let_go(self, now: float, session: str) -> None:
        """Go on with a session."""
        self._held.discard(session)
        if session in self._cells:
            self._waiting[session] = None
        self.dispatch(now)

    def running_jobs(self) -> list[Job]:
        """Return the jobs that exec has and that have not ended."""
        jobs = [worker.job for worker in self.workers.values() if worker.job is not None]
        jobs += self._given.values()
        return [job for job in jobs if not job.terminal]

    # --------------------------------------------------------------------------- processes

    def manager_up(self, now: float) -> None:
        """Note that exec is there."""
        self.manager = True
        self._waiting.update(dict.fromkeys(self._cells))
        self.dispatch(now)

    def manager_down(self) -> list[Job]:
        """Forget exec and all its processes; return the jobs that ran there."""
        lost = self.running_jobs()
        self.manager = False
        self.workers.clear()
        self._idle.clear()
        self._busy = 0
        self._given.clear()
        self._fresh.clear()
        for cells in self._cells.values():
            cells.running = None
        return lost

    def worker_up(self, now: float, pid: int) -> None:
        """Take a worker into service."""
        worker = Worker(pid)
        self.workers[pid] = worker
        self._idle.append(worker)
        self.dispatch(now)

    def retire(self, worker: Worker) -> None:
        """Give a worker that is closing nothing more to do."""
        worker.closed = True
        if worker in self._idle:
            self._idle.remove(worker)

    def remove(self, now: float, worker: Worker) -> None:
        """Forget a worker that is gone."""
        self.retire(worker)
        self.workers.pop(worker.pid, None)
        self.release(now, worker)

    # ------------------------------------------------------------------------- stopping

    def limit(self, now: float, job: Job) -> None:
        """Start the clock of a job that has a timeout."""
        if job.submit.timeout:
            when = now + job.submit.timeout
            job.timer = self._shared.timers.at(when, partial(self._time_out, job))

    def _time_out(self, job: Job, now: float) -> None:
        if not job.terminal and job.stop != "cancel":
            job.stop = "timeout"
            self.interrupt(job)
            self._shared.timers.at(now + GRACE, partial(self.kill, job))

    def interrupt(self, job: Job) -> None:
        """Raise KeyboardInterrupt in a job that runs."""
        command = h.InterruptJob(job=job.id, pid=job.pid, session=job.submit.session)
        self._shared.commands.append((MANAGER, command, b""))

    def kill(self, job: Job, now: float) -> None:
        """End the process of a call that did not react; leave a session's kernel alone."""
        if job.terminal:
            return
        if job.submit.kind == "call" or job.submit.fresh:
            job.killing = True
            command = h.KillJob(job=job.id, pid=job.pid, session=job.submit.session)
            self._shared.commands.append((MANAGER, command, b""))
        elif job.stop == "timeout":
            self.finish(
                now,
                job,
                p.TimedOut(
                    job=job.id,
                    seq=1,
                    timeout=job.submit.timeout,
                    stuck=True,
                    duration=now - job.started,
                ),
            )
