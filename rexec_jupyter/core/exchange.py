"""The client's side of the protocol as a state machine: no sockets, files or clock of its own.

The owner tells it what happened (`Exchange.connected`, `Exchange.receive`, `Exchange.tick`, …)
and takes what is to be sent (`Exchange.outgoing`) and what there is to know or to do
(`Exchange.notices`). Every instant is the owner's monotonic clock, in seconds.

Whatever gets lost, on whichever leg, heals: unanswered submissions are sent again, silent jobs
are asked for, and after every reconnection or restart the whole state is offered anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from rexec_jupyter.core import notices as n
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.custody import Custody, Phase
from rexec_jupyter.core.framing import Parcel
from rexec_jupyter.core.presence import Presence
from rexec_jupyter.core.reception import Desk
from rexec_jupyter.core.roster import Roster, Server

SCAN = 1.0
"""Seconds between two looks at the open jobs."""
ASK_AGAIN = 3.0
"""Seconds after which an unanswered `protocol.Request` is repeated."""
ACK_DELAY = 0.02
"""Seconds that the acknowledgement of an end may wait for others to travel with."""
REMEMBERED = 4096
"""Ended jobs whose late repetitions are still answered."""
_REACK = 30.0
"""An acknowledgement sent this many seconds before a connection broke may have been lost."""
_NEVER = float("inf")


class Exchange:
    """All jobs of one client, over one connection at a time.

    Parameters
    ----------
    instance
        Random id of this client process.
    lost_after
        Seconds without the broker, or without a server, after which waiting jobs end.
    can_share
        As in `Roster`.

    Attributes
    ----------
    deadline
        When `tick` is due.
    """

    def __init__(
        self,
        *,
        instance: str,
        lost_after: float = p.LOST,
        can_share: Callable[[p.ServerState], bool] = lambda _: False,
    ) -> None:
        self.deadline = _NEVER
        self._lost_after = lost_after
        self._presence = Presence(instance)
        self._roster = Roster(can_share)
        self._desk = Desk()
        self._jobs: dict[str, Custody] = {}
        self._finished: dict[str, tuple[p.Ack, float]] = {}
        self._requests: dict[str, tuple[p.Request, float]] = {}
        self._now = -_NEVER
        self._scan_at = _NEVER
        self._ack_at = _NEVER
        self._handlers: dict[type, Callable[[float, Any], None]] = {
            p.Welcome: self._on_welcome,
            p.Refused: lambda _, message: self._presence.refused(message),
            p.Resync: lambda now, _: self._presence.resync(now),
            p.Heartbeat: lambda now, message: self._presence.heartbeat(now, message.epoch),
            p.ServerState: self._on_server,
        }
        self._job_handlers: dict[type, Callable[[Custody, float, Any], None]] = {
            p.Journaled: lambda custody, now, message: custody.accept(now, message.ahead),
            p.Nack: self._on_nack,
            p.Unknown: lambda custody, now, message: custody.unknown(now, message.journal),
            p.ChunkAck: Custody.pull,
        }

    # ------------------------------------------------------------------------- the state

    @property
    def live(self) -> bool:
        """Whether the broker has welcomed this connection."""
        return self._presence.live

    @property
    def version(self) -> int:
        """Protocol number in use with the broker, as of its last welcome; 0 before."""
        return self._presence.version

    @property
    def servers(self) -> list[p.ServerState]:
        """The user's servers, as last heard of."""
        return [server.state for server in self._roster]

    @property
    def open_jobs(self) -> int:
        """Jobs that have not ended."""
        return sum(not job.ended for job in self._jobs.values())

    def silence(self, now: float) -> float:
        """Return for how many seconds the broker has said nothing."""
        return self._presence.silence(now)

    def _server_for(self, session: str) -> Server | None:
        return self._roster.ready_for(session) if self._presence.live else None

    # ---------------------------------------------------------------------- the connection

    def connected(self, now: float, ticket: str) -> None:
        """Say hello: a connection was made, whose key this ticket is bound to."""
        self._presence.open(now, ticket)
        self._wake(self._presence.deadline(now))

    def disconnected(self, now: float) -> None:
        """Forget what was under way: the connection is gone."""
        self._presence.close(now)

    def renew(self, now: float, ticket: str) -> None:
        """Show the broker another ticket for the connection that there is."""
        self._presence.renew(now, ticket)

    def close(self) -> None:
        """Say goodbye. The jobs go on; their results stay with the server."""
        if self._presence.connected:
            self._flush()
            self._desk.out.append((p.Goodbye(), None))

    # ------------------------------------------------------------------------ the owner's

    def submit(self, now: float, submit: p.Submit, parts: n.Parts) -> None:
        """Take charge of a new job.

        Parameters
        ----------
        submit
            What to run; journal, carrier and credit are filled in here.
        parts
            The payload, which must not change until it is accepted.
        """
        self._add(now, Custody(self._desk, submit.job, submit.session, submit.key, submit, parts))

    def attach(self, now: float, job: str, session: str, key: bytes) -> None:
        """Follow a job that was submitted by another process of the user, from its start."""
        self._add(now, Custody(self._desk, job, session, key))

    def _add(self, now: float, custody: Custody) -> None:
        self._jobs[custody.job] = custody
        if self._scan_at == _NEVER:
            self._scan_at = now + SCAN
        self._wake(self._scan_at)
        self._offer(now, custody)

    def interrupt(self, now: float, job: str) -> None:
        """Raise KeyboardInterrupt in the code of a job."""
        if custody := self._jobs.get(job):
            self._ask(now, custody, p.Interrupt(job=job, session=custody.session))

    def cancel(self, now: float, job: str, grace: float = 5.0) -> None:
        """End a job; ``grace`` seconds after interrupting it, by force."""
        if custody := self._jobs.get(job):
            self._ask(now, custody, p.Cancel(job=job, session=custody.session, grace=grace))

    def tell(self, _now: float, message: p.Interrupt | p.Cancel) -> None:
        """Say something about a job that is not followed here; once, if there is a server."""
        if self._server_for(message.session):
            self._desk.out.append((message, None))

    def _ask(self, now: float, custody: Custody, message: p.Interrupt | p.Cancel) -> None:
        custody.ask(now, message, self._server_for(custody.session))
        self._ack_soon(now)

    def ask(self, now: float, request: p.Request) -> None:
        """Ask the server of a session beside its jobs; `notices.Answered` answers."""
        self._requests[request.request] = (request, now + ASK_AGAIN)
        self._wake(now + ASK_AGAIN)
        if self._server_for(request.session):
            self._desk.out.append((request, None))

    def forget(self, _now: float, request: str) -> None:
        """Wait no longer for an answer to `ask`."""
        self._requests.pop(request, None)

    def consumed(self, _now: float, job: str, nbytes: int) -> None:
        """Grant credit: so much output of a job was dealt with."""
        if custody := self._jobs.get(job):
            custody.reception.consumed(nbytes)

    def item_consumed(self, now: float, job: str, seq: int) -> None:
        """Let a generator go on: its items up to this event were dealt with."""
        if custody := self._jobs.get(job):
            custody.item_consumed(now, seq)
            self._ack_soon(now)

    def segment_written(self, now: float, job: str, directory: str, name: str | None) -> None:
        """Answer `notices.WriteSegment`: the file's name, or None if it could not be written."""
        custody = self._jobs.get(job)
        if custody is not None and custody.phase is Phase.WRITING:
            custody.written(now, self._server_for(custody.session), directory, name)
        elif name is not None:
            self._desk.notes.append(n.DropSegment(directory, name))

    def segment_read(
        self, now: float, job: str, seq: int, buffer: p.Buffer | None, *, authentic: bool = False
    ) -> None:
        """Answer `notices.ReadSegment`: its content, or None if it cannot be read here."""
        if custody := self._jobs.get(job):
            custody.segment_read(now, seq, buffer, authentic=authentic)
            self._ack_soon(now)

    def end_all(self, code: str, message: str) -> None:
        """End every job here, with one error. They go on where they run."""
        for custody in self._jobs.values():
            if not custody.ended:
                custody.reject(code, message)

    # ------------------------------------------------------------------------------ output

    def outgoing(self) -> list[Parcel]:
        """Return, once, what is to be sent."""
        desk = self._desk
        if desk.touched or (desk.ended and (desk.out or len(desk.ended) >= p.MAX_FRAMES)):
            self._flush()
        hellos = self._presence.outgoing()
        out, desk.out = desk.out, []
        # Before the welcome nothing else is listened to; it is all said anew after it.
        return hellos + out if self._presence.live else hellos

    def notices(self) -> list[n.Notice]:
        """Return, once, what there is to know and to do, in order."""
        notes, self._desk.notes = self._desk.notes, []
        return self._presence.notices() + notes

    def _flush(self) -> None:
        """Acknowledge what is due, and put away the jobs that are done with."""
        desk = self._desk
        self._ack_at = _NEVER
        for job in desk.touched | desk.ended:
            custody = self._jobs.get(job)
            if custody is None:
                continue
            if not custody.mute:
                ack = custody.reception.ack()
                desk.out.append((ack, None))
                if custody.settled:
                    self._remember(job, ack)
            if custody.settled:
                del self._jobs[job]
        desk.touched.clear()
        desk.ended.clear()

    def _remember(self, job: str, ack: p.Ack) -> None:
        # Unless it can be sent now it is as good as lost.
        self._finished[job] = (ack, self._now if self._presence.live else _NEVER)
        if len(self._finished) > REMEMBERED:
            del self._finished[next(iter(self._finished))]

    # ---------------------------------------------------------------------------- messages

    def receive(self, now: float, message: Any, frame: p.Buffer | None) -> None:
        """Take one message of the broker."""
        if not self._presence.connected:
            return
        self._now = now
        self._presence.heard(now)
        if isinstance(message, p.Event):
            custody = self._jobs.get(message.job)
            if custody is not None:
                custody.event(now, cast("p.JobEvent", message), frame)
            elif isinstance(message, p.TERMINAL) and message.job in self._finished:
                ack, _ = self._finished[message.job]
                self._desk.out.append((ack, None))
        elif (handler := self._handlers.get(type(message))) is not None:
            handler(now, message)
        elif isinstance(message, p.Answer):
            if self._requests.pop(message.request, None):
                self._desk.notes.append(n.Answered(message, frame))
        elif (custody := self._jobs.get(message.job)) is not None:
            if isinstance(message, p.Chunk):
                custody.chunk(now, message, frame)
            else:
                self._job_handlers[type(message)](custody, now, message)
        self._ack_soon(now)

    def _ack_soon(self, now: float) -> None:
        if self._desk.ended and self._ack_at == _NEVER:
            self._ack_at = now + ACK_DELAY
            self._wake(self._ack_at)

    def _on_welcome(self, now: float, message: p.Welcome) -> None:
        if self._presence.welcome(now, message):
            self._roster.forget(now)
            for job, (ack, sent) in self._finished.items():
                if sent > now - _REACK:
                    self._desk.out.append((ack, None))
                    self._finished[job] = (ack, min(sent, now))
        else:
            self._roster.expect_repetition()
        self._wake(self._presence.deadline(now))

    def _on_server(self, now: float, message: p.ServerState) -> None:
        scope = message.session
        server, registered = self._roster.update(now, message)
        self._desk.notes.append(n.ServerChanged(message))
        if message.state == "lost":
            self._lose(scope, "its server was lost", journal=message.journal)
        elif registered:
            for custody in self._jobs.values():
                if custody.scope == scope and custody.phase in (Phase.SENT, Phase.HELD):
                    custody.meet(now, server)
        for custody in self._jobs.values():
            self._offer(now, custody)

    def _offer(self, now: float, custody: Custody) -> None:
        """Send a job that was sent nowhere, if there is a server that takes it."""
        if custody.phase is Phase.NEW and (server := self._server_for(custody.session)):
            custody.meet(now, server)

    def _lose(self, scope: str, why: str, journal: str = "") -> None:
        for custody in self._jobs.values():
            there = custody.scope == scope and custody.journal == (journal or custody.journal)
            if there and custody.phase in (Phase.SENT, Phase.HELD):
                custody.lose(why)

    def _on_nack(self, custody: Custody, now: float, message: p.Nack) -> None:
        scope = custody.scope
        custody.refuse(message)
        if message.code == "draining" and (state := self._roster.draining(now, scope)):
            self._desk.notes.append(n.ServerChanged(state))
        self._offer(now, custody)

    # ------------------------------------------------------------------------------- time

    def _wake(self, at: float) -> None:
        self.deadline = min(self.deadline, at)

    def tick(self, now: float) -> float:
        """Do what is due; return when to be called again, at the latest."""
        self._now = now
        late = now - self.deadline
        if late > p.HEARTBEAT:
            # This process slept (stopped, or something held the interpreter); the others did
            # not fall silent.
            self._presence.excuse(late)
            self._roster.excuse(late)
        if self._presence.tick(now):
            self._desk.out.append((p.Heartbeat(), None))
        self._give_up(now)
        if now >= self._ack_at:
            self._flush()
        if now >= self._scan_at:
            self._scan(now)
        if self._presence.live:
            for message, due in list(self._requests.values()):
                if now >= due:
                    self._requests[message.request] = (message, now + ASK_AGAIN)
                    self._desk.out.append((message, None))
        asked = (due for _, due in self._requests.values() if self._presence.live)
        self.deadline = min(
            self._presence.deadline(now), self._scan_at, self._ack_at, min(asked, default=_NEVER)
        )
        return self.deadline

    def _give_up(self, now: float) -> None:
        """End the jobs that have waited for too long for the broker, or for a server."""
        silence = self._presence.silence(now)
        if silence >= self._lost_after:
            self.end_all("R07", f"The broker has not answered for {silence:.0f} seconds.")
        if not self._presence.live:
            return
        for server in self._roster:
            if not server.ready and now - server.since >= self._lost_after:
                scope = server.state.session
                if not server.reachable:
                    self._lose(scope, "its server did not come back")
                self._starve(scope, now - server.since)

    def _starve(self, scope: str, away: float) -> None:
        for custody in self._jobs.values():
            meant = not scope or custody.session == scope
            if meant and custody.phase is Phase.NEW and not self._server_for(custody.session):
                custody.reject("R06", f"No server has been ready for {away:.0f} seconds.")

    def _scan(self, now: float) -> None:
        self._scan_at = now + SCAN if self._jobs else _NEVER
        self._ack_soon(now)
        if not self._presence.live:
            return
        for custody in self._jobs.values():
            if custody.reception.owes_ack and not custody.mute:
                self._desk.touched[custody.job] = None
            if custody.due <= now:
                server = self._roster.get(custody.scope)
                if server is not None and server.reachable:
                    custody.probe(now)
