"""The agent's state machine: no sockets and no clock, only what comes in and what goes out.

It is driven by `loop`, and by tests. Every method that is told the time takes it as `now`,
in seconds on a clock that never goes back and that goes on over restarts as well as it can.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.framing import Parcel
from rexec_jupyter.core.versions import minor
from rexec_server import handoff as h
from rexec_server.agent.delivery import Delivery
from rexec_server.agent.intake import Intake, same
from rexec_server.agent.job import Job, Limits, Shared
from rexec_server.agent.lists import Lists
from rexec_server.agent.log_files import LogFiles
from rexec_server.agent.log_pages import LogPages
from rexec_server.agent.logs import Logs
from rexec_server.agent.membership import Membership
from rexec_server.agent.outcome import Outcome
from rexec_server.agent.payloads import Payloads
from rexec_server.agent.pulls import Pulls
from rexec_server.agent.records import Journal
from rexec_server.agent.recovery import Recovery
from rexec_server.agent.schedule import MANAGER, Schedule
from rexec_server.agent.sessions import Sessions
from rexec_server.agent.spool import Spool
from rexec_server.agent.usage import Usage
from rexec_server.trace import GONE

HOUSEKEEPING = 1.0
"""Seconds between two looks at what is neither urgent nor precise."""

MANY = 16
"""Waiting jobs from which on sending much at once counts more than sending it soon."""

_PATIENT = frozenset({p.Journaled, p.Started})
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """What the agent tells the broker of itself; see `protocol.ServerHello`.

    ``python`` holds until exec says what it runs.
    """

    python: str
    slots: int
    exchange: str = ""
    machine: str = ""


class AgentMachine:
    """The agent without its input and output.

    Parameters
    ----------
    now
        The time.
    journal, spool, logs
        Where jobs, events, payloads and logs are kept. What the journal holds is taken up again.
    certificate
        Shown to the broker; may be replaced at any time.

    Attributes
    ----------
    assigned
        Whether that is one which the broker brought.
    """

    def __init__(
        self,
        now: float,
        *,
        journal: Journal,
        spool: Spool,
        logs: LogFiles,
        certificate: str,
        identity: Identity,
        limits: Limits | None = None,
    ) -> None:
        self.certificate = certificate
        self.assigned = False
        self._identity = identity
        shared = self._shared = Shared(journal, spool, logs, limits or Limits())
        self._logs = Logs(shared)
        self._log_pages = LogPages(shared, self._logs)
        self._delivery = Delivery(shared, self._logs)
        self._payloads = Payloads(shared)
        self._schedule = Schedule(shared, self._payloads, self._delivery, slots=identity.slots)
        self._intake = Intake(
            shared,
            self._payloads,
            python=minor(identity.python),
            share=bool(identity.exchange),
            accepted=self._accept,
            busy_with=self._schedule.busy_with,
        )
        sessions = Sessions(shared, self._schedule)
        lists = Lists(shared, sessions)
        self._usage = Usage(shared, self._schedule)
        self._outcome = Outcome(shared, self._delivery, self._schedule, sessions)
        self._recovery = Recovery(shared, self._logs, self._schedule, self._outcome)
        self._pulls = Pulls(shared)
        self._link = Membership(shared, hello=self._hello, beat=self._beat, lose=self._lose_readers)
        self._look_at = now
        self._able = False
        self._handlers: dict[type, Callable[[float, Any, Any], None]] = {
            p.Submit: self._submit,
            p.Attach: self._attach,
            p.Ack: self._ack,
            p.Interrupt: self._interrupt,
            p.Cancel: self._cancel,
            p.Chunk: self._intake.chunk,
            p.ChunkAck: self._chunk_ack,
            p.ListJobs: lists.jobs,
            p.ListSessions: lists.sessions,
            p.EndSession: sessions.end,
            p.ReadLog: self._log_pages.ask,
            p.ReadUsage: self._usage.ask,
            p.Detached: self._detached,
            p.Welcome: self._link.welcome,
            p.Refused: self._link.refuse,
            p.Assign: self._assign,
            p.Resync: self._link.resync,
            p.Heartbeat: self._link.heartbeat,
        }
        self._recovery.restore(now)

    # --------------------------------------------------------------------------- counters

    @property
    def welcomed(self) -> bool:
        """Whether a broker has accepted this connection."""
        return self._shared.ready

    @property
    def running(self) -> int:
        """Jobs that run."""
        return self._schedule.running

    @property
    def queued(self) -> int:
        """Jobs that wait."""
        return self._schedule.queued

    @property
    def unfetched(self) -> int:
        """Jobs that have ended and whose client does not know yet."""
        return len(self._shared.unacked)

    @property
    def unacknowledged(self) -> int:
        """Jobs whose end was sent to somebody who has not said yet that it arrived."""
        return sum(job.attached for job in self._shared.unacked.values())

    @property
    def more(self) -> bool:
        """Whether `outgoing` has more to give than it gave last time."""
        return bool(self._pulls)

    @property
    def patient(self) -> bool:
        """Whether what there is to send would lose little by being sent a moment later.

        A job that has just started may be about to end, and where many wait it does not
        matter when exactly the end of one is known.
        """
        parcels = self._shared.parcels
        if not parcels or self._link.parcels or self._pulls:
            return False
        return self.queued >= MANY or all(type(message) in _PATIENT for message, _ in parcels)

    @property
    def refused(self) -> p.Refused | None:
        """The last refusal, until a broker welcomes this agent."""
        return self._link.refused

    def silent(self, now: float) -> bool:
        """Tell whether the broker has said nothing for too long: time to reconnect."""
        return now >= self._link.silent_at

    # ------------------------------------------------------------------------- connection

    def connected(self, now: float) -> None:
        """Note that the connection to the broker is there."""
        self._link.connected(now)

    def disconnected(self, now: float) -> None:
        """Note that the connection is gone, and with it everybody who read."""
        del now
        self._link.disconnected()

    def _lose_readers(self) -> None:
        self._shared.ready = False
        self._shared.parcels.clear()
        self._pulls.clear()
        self._log_pages.clear()
        self._usage.clear()
        for job in self._shared.jobs.values():
            job.attached = False

    def _hello(self) -> p.ServerHello:
        journal = self._shared.journal
        return p.ServerHello(
            versions=p.VERSIONS,
            certificate=self.certificate,
            journal=journal.id,
            epoch=journal.epoch,
            python=self._intake.python,
            slots=self._identity.slots,
            exchange=self._identity.exchange,
            machine=self._identity.machine,
        )

    def _beat(self) -> p.Heartbeat:
        return p.Heartbeat(running=self.running, queued=self.queued, able=self._able)

    # ----------------------------------------------------------------- from the broker

    def receive(self, now: float, message: Any, frame: p.Buffer | None) -> None:
        """Take a message of `protocol.ToServer`."""
        self._link.heard = now
        self._handlers[type(message)](now, message, frame)

    def _assign(self, now: float, message: p.Assign, frame: object) -> None:
        """Become the server of somebody, unless it is somebody's already."""
        del frame
        if self._shared.jobs or self._shared.forgotten:
            _log.warning("the broker gives this server, which was used, to somebody else: refused")
            return
        self.certificate, self.assigned = message.certificate, True
        self._link.say_hello(now)

    def _submit(self, now: float, message: p.Submit, frame: p.Buffer | None) -> None:
        job = self._shared.jobs.get(message.job)
        if job is None:
            if message.job not in self._shared.forgotten:
                self._intake.submit(now, message, frame)
        elif same(job.submit, message):
            self._shared.send(p.Journaled(job=job.id, ahead=job.ahead))
            self._delivery.attach(now, job, job.acked, message.credit, local=message.local)
        else:
            text = "another job has this number already"
            self._shared.send(p.Nack(job=message.job, code="conflict", message=text))

    def _accept(self, now: float, job: Job) -> None:
        """Take up a job that came into custody."""
        cell = job.submit.kind == "cell"
        self._logs.begin(now, job, self._payloads.source(job) if cell else None)
        if cell:
            if job.submit.if_busy == "interrupt" and not job.submit.fresh:
                self._outcome.make_way(now, job.submit.session)
            job.ahead = self._schedule.ahead_of(job)
        self._shared.send(p.Journaled(job=job.id, ahead=job.ahead))
        self._schedule.enqueue(now, job)

    def _known(self, job_id: str) -> Job | None:
        job = self._shared.jobs.get(job_id)
        if job is None:
            self._shared.send(p.Unknown(job=job_id, journal=self._shared.journal.id))
        return job

    def _attach(self, now: float, message: p.Attach, frame: object) -> None:
        del frame
        job = self._known(message.job)
        if job is not None:
            self._shared.send(p.Journaled(job=job.id, ahead=job.ahead))
            self._delivery.attach(now, job, message.seq, message.credit, local=message.local)

    def _ack(self, now: float, message: p.Ack, frame: object) -> None:
        del frame
        job = self._shared.jobs.get(message.job)
        if job is None:
            return
        if self._delivery.ack(now, job, message.seq, message.credit):
            self._pulls.forget(job.id)
        elif job.items:
            self._outcome.grant_items(job)

    def _interrupt(self, now: float, message: p.Interrupt, frame: object) -> None:
        del frame
        self._intake.withdraw(now, message.job)
        job = self._known(message.job)
        if job is not None:
            self._outcome.interrupt(now, job)

    def _cancel(self, now: float, message: p.Cancel, frame: object) -> None:
        del frame
        self._intake.withdraw(now, message.job)
        job = self._known(message.job)
        if job is not None:
            self._outcome.cancel(now, job, message.grace)

    def _chunk_ack(self, now: float, message: p.ChunkAck, frame: object) -> None:
        del now, frame
        job = self._shared.jobs.get(message.job)
        if job is not None:
            self._pulls.ask(job, message)

    def _detached(self, now: float, message: p.Detached, frame: object) -> None:
        del now, frame
        job = self._shared.jobs.get(message.job)
        if job is not None:
            job.attached = False

    # ------------------------------------------------------------------------- from exec

    def manager_up(self, now: float, python: str = "") -> None:
        """Note that the exec manager is there; its workers run that Python."""
        if python and python != self._intake.python:
            self._intake.python = python
            if self._shared.ready:
                self._link.say_hello(now)
        self._schedule.manager_up(now)
        self._able = True
        self._link.beat(now)

    def manager_down(self, now: float, reason: str = GONE, *, oom: bool = False) -> None:
        """Note that exec is gone; whatever its workers still said must have been told before."""
        self._outcome.manager_down(now, reason, oom=oom)
        self._usage.unknown(now)
        self._able = False
        self._link.beat(now)

    def worker_up(self, now: float, pid: int) -> None:
        """Note that a worker is there, and idle."""
        if pid in self._schedule.workers:  # the system gave its number to another one
            self._outcome.manager_says(now, h.WorkerGone(pid=pid), b"")
        self._schedule.worker_up(now, pid)

    def worker_gone(self, now: float, pid: int) -> None:
        """Note that a worker's connection ended; `handoff.WorkerGone` may follow."""
        self._outcome.worker_closed(now, pid)

    def from_exec(self, now: float, source: int, message: Any, payload: bytes) -> None:
        """Take a message of the worker with the pid `source`, or of the manager if it is 0."""
        if source == MANAGER and isinstance(message, h.Measured):
            self._usage.measured(message)
        elif source == MANAGER:
            self._outcome.manager_says(now, message, payload)
        else:
            self._outcome.worker_says(now, source, message, payload)

    def output(self, now: float, pid: int, stream: str, data: bytes) -> None:
        """Take what was read from a worker's pipe; between two jobs it belongs to none."""
        worker = self._schedule.workers.get(pid)
        if worker is not None and worker.job is not None:
            self._delivery.write(now, worker.job, stream, data)

    # ------------------------------------------------------------------------------ time

    def tick(self, now: float) -> float:
        """Do what is due; return when there is something to do again."""
        self._shared.timers.run(now)
        if now >= self._look_at:
            self._look_at = now + HOUSEKEEPING
            self._delivery.resend(now)
            self._delivery.expire(now)
            self._logs.expire(now)
            self._recovery.compact()
        transfers = self._intake.deadline
        if transfers <= now:
            self._intake.tick(now)
            transfers = self._intake.deadline
        look = self._look_at if self._shared.unacked else float("inf")
        return min(self._shared.timers.next, transfers, look, self._link.tick(now))

    def drain(self, now: float, grace: float = 0.0) -> None:
        """Take no more jobs and start none; those that run may end within `grace` seconds."""
        if not self._shared.draining:
            self._shared.draining = True
            self._intake.drain(now)
            if self._shared.ready:
                self._link.parcels.append((p.Drain(grace=grace), None))

    def end_running(self, now: float) -> None:
        """End what still runs: the agent is about to."""
        for job in self._schedule.running_jobs():
            reason = "The server was shut down while the code ran, which ended it."
            self._outcome.crash(now, job, reason, None)

    def goodbye(self) -> None:
        """Take leave of the broker, which may know this server before its welcome arrives."""
        if self._shared.ready:
            self._shared.send(p.Goodbye())
        else:
            self._link.parcels.append((p.Goodbye(), None))

    # ---------------------------------------------------------------------------- output

    def outgoing(self) -> list[Parcel]:
        """Return messages for the broker, and forget them.

        Nothing is confirmed that is not in the journal. Large results come bit by bit; there
        is more where `more` says so.
        """
        self._pulls.send()
        shared = self._shared
        if not self._link.parcels and not shared.parcels:
            shared.journal.flush()  # what nobody reads has to outlive this process too
            return []
        parcels = self._link.take()
        if shared.journal.flush():
            parcels += shared.parcels
        else:
            parcels += [entry for entry in shared.parcels if not isinstance(entry[0], p.Journaled)]
        shared.parcels = []
        return parcels

    def commands(self) -> list[tuple[int, h.ToWorker | h.ToManager, p.Buffer]]:
        """Return commands for exec, and forget them: to a worker's pid or to 0, the manager.

        None leaves before the journal has it.
        """
        commands = self._shared.commands
        if not commands or not self._shared.journal.flush():
            return []
        self._shared.commands = []
        return commands
