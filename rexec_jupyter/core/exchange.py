"""The client's side of the protocol as a state machine: no sockets, files or clock of its own.

The owner tells it what happened (`Exchange.connected`, `Exchange.receive`, `Exchange.tick`, …)
and takes what is to be sent (`Exchange.outgoing`) and what there is to know or to do
(`Exchange.notices`). Every instant is the owner's monotonic clock, in seconds.

Whatever gets lost, on whichever leg, heals: unanswered submissions are sent again, silent jobs
are asked for, and after every reconnection or restart the whole state is offered anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from rexec_jupyter.core import notices as n
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.custody import Custody, Phase, Server
from rexec_jupyter.core.framing import Parcel
from rexec_jupyter.core.reception import Desk

SCAN = 1.0
"""Seconds between two looks at the open jobs."""
HELLO_AGAIN = 3.0
"""Seconds after which an unanswered hello is repeated."""
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
        Tells whether files can be handed to a server through its exchange directory; asked
        once for each time it registers.
    """

    def __init__(
        self,
        *,
        instance: str,
        lost_after: float = p.LOST,
        can_share: Callable[[p.ServerState], bool] = lambda _: False,
    ) -> None:
        self._instance = instance
        self._lost_after = lost_after
        self._can_share = can_share
        self._desk = Desk()
        self._hellos: list[Parcel] = []
        self._jobs: dict[str, Custody] = {}
        self._finished: dict[str, tuple[p.Ack, float]] = {}
        self._servers: dict[str, Server] = {}
        self._requests: dict[str, tuple[p.ListJobs, float]] = {}
        self._connected = False
        self._live = False
        self._ticket = ""
        self._epoch = ""
        self._hello_at = -_NEVER
        self._heard_at: float | None = None
        self._renew_at = _NEVER
        self._renewing = False
        self._unchanged: set[str] = set()
        self._beat_at = _NEVER
        self._scan_at = _NEVER
        self._ack_at = _NEVER
        self.deadline = _NEVER
        """When `tick` is due."""
        self._handlers: dict[type, Callable[[float, Any, p.Buffer | None], None]] = {
            p.Welcome: self._on_welcome,
            p.Refused: self._on_refused,
            p.Resync: self._on_resync,
            p.Heartbeat: self._on_heartbeat,
            p.ServerState: self._on_server,
            p.Journaled: self._on_journaled,
            p.Nack: self._on_nack,
            p.Unknown: self._on_unknown,
            p.JobList: self._on_list,
            p.Chunk: self._on_chunk,
            p.ChunkAck: self._on_chunk_ack,
        }

    # ------------------------------------------------------------------------- the state

    @property
    def live(self) -> bool:
        """Whether the broker has welcomed this connection."""
        return self._live

    @property
    def servers(self) -> list[p.ServerState]:
        """The user's servers, as last heard of."""
        return [server.state for server in self._servers.values()]

    @property
    def open_jobs(self) -> int:
        """Jobs that have not ended."""
        return sum(not job.ended for job in self._jobs.values())

    def silence(self, now: float) -> float:
        """Return for how many seconds the broker has said nothing."""
        return 0.0 if self._heard_at is None else now - self._heard_at

    def server_for(self, session: str) -> Server | None:
        """Return the server that takes jobs of a session now, if there is one."""
        server = self._servers.get(session)
        if server is None or server.state.state == "absent":
            server = self._servers.get("")
        return server if self._live and server and server.ready else None

    # ---------------------------------------------------------------------- the connection

    def connected(self, now: float, ticket: str) -> None:
        """Say hello: a connection was made, whose key this ticket is bound to."""
        self._connected = True
        self._live = False
        self._ticket = ticket
        self._hello(now)

    def disconnected(self, now: float) -> None:
        """Forget what was under way: the connection is gone."""
        self._connected = False
        self._hellos.clear()
        if self._live:
            self._live = False
            self._desk.notes.append(n.Contact(connected=False, silence=self.silence(now)))

    def renew(self, now: float, ticket: str) -> None:
        """Show the broker another ticket for the connection that there is."""
        self._ticket = ticket
        self._renew_at = _NEVER
        if self._connected:
            self._renewing = self._live
            self._hello(now)

    def _hello(self, now: float) -> None:
        self._hello_at = now
        if self._heard_at is None:
            self._heard_at = now
        hello = p.ClientHello(versions=p.VERSIONS, ticket=self._ticket, instance=self._instance)
        self._hellos = [(hello, None)]
        self._wake(now + HELLO_AGAIN)

    def close(self) -> None:
        """Say goodbye. The jobs go on; their results stay with the server."""
        if self._connected:
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
        server = self.server_for(custody.session)
        if server is not None:
            custody.meet(now, server)

    def interrupt(self, now: float, job: str) -> None:
        """Raise KeyboardInterrupt in the code of a job."""
        if custody := self._jobs.get(job):
            self._ask(now, custody, p.Interrupt(job=job, session=custody.session))

    def cancel(self, now: float, job: str, grace: float = 5.0) -> None:
        """End a job; ``grace`` seconds after interrupting it, by force."""
        if custody := self._jobs.get(job):
            self._ask(now, custody, p.Cancel(job=job, session=custody.session, grace=grace))

    def _ask(self, now: float, custody: Custody, message: p.Interrupt | p.Cancel) -> None:
        custody.ask(now, message, self.server_for(custody.session))
        self._ack_soon(now)

    def list_jobs(self, now: float, request: str, session: str) -> None:
        """Ask the server of a session for its jobs; `notices.Listed` answers."""
        message = p.ListJobs(request=request, session=session)
        self._requests[request] = (message, now + HELLO_AGAIN)
        self._wake(now + HELLO_AGAIN)
        if self.server_for(session):
            self._desk.out.append((message, None))

    def forget_list(self, _now: float, request: str) -> None:
        """Wait no longer for an answer to `list_jobs`."""
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
            custody.written(now, self.server_for(custody.session), directory, name)
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
        if not self._live:
            # Whatever else there is will be said anew once this connection is welcome.
            desk.out.clear()
            out, self._hellos = self._hellos, []
            return out
        out = self._hellos + desk.out if self._hellos else desk.out
        desk.out = []
        self._hellos = []
        return out

    def notices(self) -> list[n.Notice]:
        """Return, once, what there is to know and to do, in order."""
        notes = self._desk.notes
        self._desk.notes = []
        return notes

    def _flush(self) -> None:
        out = self._desk.out
        self._ack_at = _NEVER
        for job in self._desk.touched | self._desk.ended:
            custody = self._jobs.get(job)
            if custody is None:
                continue
            if not custody.mute:
                ack = custody.reception.ack()
                out.append((ack, None))
                if custody.settled:
                    self._remember(job, ack)
            if custody.settled:
                del self._jobs[job]
        self._desk.touched.clear()
        self._desk.ended.clear()

    def _remember(self, job: str, ack: p.Ack) -> None:
        # Unless it can be sent now it is as good as lost.
        self._finished[job] = (ack, self._heard_at or 0.0 if self._live else _NEVER)
        if len(self._finished) > REMEMBERED:
            del self._finished[next(iter(self._finished))]

    # ---------------------------------------------------------------------------- messages

    def receive(self, now: float, message: Any, frame: p.Buffer | None) -> None:
        """Take one message of the broker."""
        if not self._connected:
            return
        self._heard_at = now
        if isinstance(message, p.Event):
            custody = self._jobs.get(message.job)
            if custody is not None:
                custody.event(now, cast("p.JobEvent", message), frame)
            elif isinstance(message, p.TERMINAL) and message.job in self._finished:
                ack, _ = self._finished[message.job]
                self._desk.out.append((ack, None))
        else:
            self._handlers[type(message)](now, message, frame)
        self._ack_soon(now)

    def _ack_soon(self, now: float) -> None:
        if self._desk.ended and self._ack_at == _NEVER:
            self._ack_at = now + ACK_DELAY
            self._wake(self._ack_at)

    def _on_welcome(self, now: float, message: p.Welcome, _: p.Buffer | None) -> None:
        renewed = self._renewing and self._live and message.epoch == self._epoch
        self._renewing = False
        self._renew_at = now + message.expires_in / 2
        self._beat_at = now + p.HEARTBEAT
        self._wake(min(self._beat_at, self._renew_at))
        if renewed:
            self._unchanged = set(self._servers)
            return
        self._unchanged.clear()
        self._epoch = message.epoch
        if not self._live:
            self._live = True
            self._desk.notes.append(n.Contact(connected=True, silence=0.0))
        # What it knows of the servers follows; until then, nothing is known.
        for scope in self._servers or [""]:
            self._servers[scope] = Server(p.ServerState(state="absent", session=scope), now)
        for job, (ack, sent) in self._finished.items():
            if sent > now - _REACK:
                self._desk.out.append((ack, None))
                if sent == _NEVER:
                    self._finished[job] = (ack, now)

    def _on_refused(self, _now: float, message: p.Refused, _: p.Buffer | None) -> None:
        self._live = False
        self._connected = False
        self._desk.notes.append(n.Denied(message.code, message.message))

    def _on_resync(self, now: float, _message: p.Resync, _: p.Buffer | None) -> None:
        if self._live:
            self._live = False
            self._hello(now)
        elif now - self._hello_at > SCAN:
            self._hello(now)

    def _on_heartbeat(self, now: float, message: p.Heartbeat, _: p.Buffer | None) -> None:
        if self._live and message.epoch != self._epoch:
            self._live = False
            self._hello(now)

    def _on_server(self, now: float, message: p.ServerState, _: p.Buffer | None) -> None:
        scope = message.session
        before = self._servers.get(scope)
        server = Server(message, now)
        if before is not None and not before.ready and message.state != "ready":
            server.since = before.since
        server.local = server.ready and self._can_share(message)
        self._servers[scope] = server
        self._desk.notes.append(n.ServerChanged(message))
        if message.state == "lost":
            self._lose(scope, "its server was lost", journal=message.journal)
        elif server.ready:
            same = before is not None and before.state == message
            if not (same and scope in self._unchanged):
                self._meet(now, scope, server)
        self._unchanged.discard(scope)

    def _meet(self, now: float, scope: str, server: Server) -> None:
        for custody in list(self._jobs.values()):
            if custody.journal or custody.phase is Phase.WRITING:
                if custody.scope == scope:
                    custody.meet(now, server)
            elif self.server_for(custody.session) is server:
                custody.meet(now, server)
        for message, _ in self._requests.values():
            if self.server_for(message.session) is server:
                self._desk.out.append((message, None))

    def _lose(self, scope: str, why: str, journal: str = "") -> None:
        for custody in self._jobs.values():
            there = custody.scope == scope and custody.journal == (journal or custody.journal)
            if there and custody.phase in (Phase.SENT, Phase.HELD):
                custody.lose(why)

    def _on_journaled(self, now: float, message: p.Journaled, _: p.Buffer | None) -> None:
        if custody := self._jobs.get(message.job):
            custody.accept(now)

    def _on_nack(self, now: float, message: p.Nack, _: p.Buffer | None) -> None:
        custody = self._jobs.get(message.job)
        if custody is None:
            return
        scope = custody.scope
        custody.refuse(message)
        if custody.phase is not Phase.NEW:
            return
        server = self._servers.get(scope)
        if message.code == "draining" and server is not None and server.ready:
            state = p.ServerState(state="draining", session=scope, journal=server.state.journal)
            self._servers[scope] = Server(state, now)
            self._desk.notes.append(n.ServerChanged(state))
        elif server := self.server_for(custody.session):
            custody.meet(now, server)

    def _on_unknown(self, now: float, message: p.Unknown, _: p.Buffer | None) -> None:
        if custody := self._jobs.get(message.job):
            custody.unknown(now, message.journal)

    def _on_list(self, _now: float, message: p.JobList, _: p.Buffer | None) -> None:
        if self._requests.pop(message.request, None):
            self._desk.notes.append(n.Listed(message.request, message.jobs))

    def _on_chunk(self, now: float, message: p.Chunk, frame: p.Buffer | None) -> None:
        if custody := self._jobs.get(message.job):
            custody.chunk(now, message, frame)

    def _on_chunk_ack(self, now: float, message: p.ChunkAck, _: p.Buffer | None) -> None:
        if custody := self._jobs.get(message.job):
            custody.pull(now, message)

    # ------------------------------------------------------------------------------- time

    def _wake(self, at: float) -> None:
        self.deadline = min(self.deadline, at)

    def tick(self, now: float) -> float:
        """Do what is due; return when to be called again, at the latest."""
        late = now - self.deadline
        if late > p.HEARTBEAT:
            self._excuse(late)
        if self._live and now >= self._beat_at:
            self._desk.out.append((p.Heartbeat(), None))
            self._beat_at = now + p.HEARTBEAT
        if self._connected and not self._live and now >= self._hello_at + HELLO_AGAIN:
            self._hello(now)
        if self._live and now >= self._renew_at:
            self._renew_at = now + p.SUSPECT
            self._desk.notes.append(n.NeedTicket())
        self._watch(now)
        if now >= self._ack_at:
            self._flush()
        if now >= self._scan_at:
            self._scan(now)
        self.deadline = min(self._deadlines(now))
        return self.deadline

    def _deadlines(self, now: float) -> Iterable[float]:
        yield min(self._scan_at, self._ack_at)
        if self._connected and not self._live:
            yield self._hello_at + HELLO_AGAIN
        elif self._live:
            yield min(self._beat_at, self._renew_at)
            yield from (due for _, due in self._requests.values())
        if self._heard_at is not None and self.silence(now) >= p.SUSPECT:
            yield now + SCAN
        yield now + p.HEARTBEAT

    def _excuse(self, late: float) -> None:
        # This process slept (stopped, or something held the interpreter); the others did not
        # fall silent.
        if self._heard_at is not None:
            self._heard_at += late
        for server in self._servers.values():
            server.since += late

    def _watch(self, now: float) -> None:
        """Look at how long broker and servers have been away."""
        silence = self.silence(now)
        if silence >= p.SUSPECT:
            self._desk.notes.append(n.Contact(connected=False, silence=silence))
            if self._connected and now >= self._hello_at + p.HEARTBEAT:
                self._live = False
                self._hello(now)
        if silence >= self._lost_after:
            self.end_all("R07", f"The broker has not answered for {silence:.0f} seconds.")
        if not self._live:
            return
        for scope, server in list(self._servers.items()):
            if not server.ready and now - server.since >= self._lost_after:
                if server.state.state != "draining":
                    self._lose(scope, "its server did not come back")
                self._starve(now, scope)
        for message, due in list(self._requests.values()):
            if now >= due:
                self._requests[message.request] = (message, now + HELLO_AGAIN)
                self._desk.out.append((message, None))

    def _starve(self, now: float, scope: str) -> None:
        for custody in self._jobs.values():
            meant = not scope or custody.session == scope
            if meant and custody.phase is Phase.NEW and not self.server_for(custody.session):
                away = now - self._servers[scope].since
                custody.reject("R06", f"No server has been ready for {away:.0f} seconds.")

    def _scan(self, now: float) -> None:
        self._scan_at = now + SCAN if self._jobs else _NEVER
        self._ack_soon(now)
        if not self._live:
            return
        touched = self._desk.touched
        for custody in list(self._jobs.values()):
            if custody.reception.owes_ack and not custody.mute:
                touched[custody.job] = None
            if custody.due <= now and self._bound_server(custody):
                custody.probe(now)

    def _bound_server(self, custody: Custody) -> bool:
        server = self._servers.get(custody.scope)
        return server is not None and server.state.state in ("ready", "draining")
