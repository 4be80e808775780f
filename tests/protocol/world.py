"""Clients, a broker and servers as they are, on a network and with user code that are played.

Everything is driven by hand: nothing is delivered, run or lost unless a test says so.
"""

from collections import Counter

from rexec_broker.limits import Limits
from rexec_broker.metrics import Metrics
from rexec_broker.routing import Port, Router
from rexec_jupyter.core import framing, trust, values
from rexec_jupyter.core import notices as n
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.credentials import SigningKey, Verifier
from rexec_jupyter.core.exchange import Exchange
from rexec_server import handoff as h
from rexec_server.agent.machine import AgentMachine, Identity
from rexec_server.agent.memory import MemoryJournal, MemoryLogFiles, MemorySpool

SIGNING = SigningKey.generate()
VERIFIER = Verifier([SIGNING.public_pem])
TERMINAL_NOTES = (n.Ended, n.Rejected)


class World:
    """The whole system; `users` have one server and as many clients as told."""

    def __init__(self, users):
        self.now = 1000.0
        self.started = Counter()
        """How often the code of each job was started, anywhere."""
        self.owner = {}
        """The user of each job."""
        self._names = 0
        self.start_broker()
        self.servers = [Server(self, user) for user in users]
        self.clients = [Client(self, user) for user, count in users.items() for _ in range(count)]
        self.carry()

    @property
    def peers(self):
        return [*self.servers, *self.clients]

    def new_name(self):
        self._names += 1
        return b"%d" % self._names

    def start_broker(self):
        self.router = Router(
            epoch=trust.new_id(), verifier=VERIFIER, limits=Limits(), metrics=Metrics()
        )

    def restart_broker(self):
        self.start_broker()
        for peer in self.peers:
            peer.reconnect()

    def carry(self):
        """Put what everybody has to say on its way."""
        for peer in self.peers:
            peer.speak()
        boxes = {(peer.port, peer.name): peer for peer in self.peers}
        for sending in self.router.outgoing():
            if peer := boxes.get((sending.port, sending.peer)):
                peer.inbound.append(list(sending.frames))
            else:
                self.router.undeliverable(self.now, sending.port, sending.peer)

    def pass_time(self, seconds):
        self.now += seconds
        self.router.tick(self.now)
        for peer in self.peers:
            peer.machine.tick(self.now)
        self.carry()

    def settle(self):
        """Deliver everything and let all code end, until nothing moves any more."""
        while True:
            moved = False
            for peer in self.peers:
                while peer.outbound or peer.inbound:
                    peer.deliver_out()
                    peer.deliver_in()
                    moved = True
            for server in self.servers:
                while server.running:
                    server.finish(next(iter(server.running)))
                    moved = True
            self.carry()
            if not moved and not any(peer.outbound or peer.inbound for peer in self.peers):
                return

    def heal(self, seconds=400):
        """Let a time pass in which nothing fails."""
        for _ in range(seconds):
            self.pass_time(1.0)
            self.settle()
            unanswered = any(None in client.asked.values() for client in self.clients)
            if not unanswered and not any(client.machine.open_jobs for client in self.clients):
                return


class Peer:
    """One end of a connection to the broker; envelopes wait in `outbound` and `inbound`."""

    port = None
    accepts = None

    def __init__(self, world, user):
        self.world = world
        self.user = user
        self.unpacker = framing.Unpacker(self.accepts)
        self.key = trust.new_keypair().public.decode()
        self.inbound = []
        self.outbound = []
        self.name = world.new_name()

    def reconnect(self):
        """Lose the connection, with what was under way, and make another."""
        self.inbound.clear()
        self.outbound.clear()
        self.name = self.world.new_name()
        self.machine.disconnected(self.world.now)
        self.connect()
        self.world.carry()

    def speak(self):
        self.outbound += [list(frames) for frames in framing.pack(self.machine.outgoing())]

    def deliver_out(self):
        if self.outbound:
            envelope = self.outbound.pop(0)
            self.world.router.receive(self.world.now, self.port, self.name, self.key, envelope)
            self.world.carry()

    def deliver_in(self):
        if self.inbound:
            for message, frame in self.unpacker.unpack(self.inbound.pop(0)):
                self.check(message)
                self.machine.receive(self.world.now, message, frame)
            self.listen()
            self.world.carry()

    def check(self, message):
        """Nothing of another user's ever arrives."""
        owner = self.world.owner.get(getattr(message, "job", None), self.user)
        assert owner == self.user


class Client(Peer):
    port = Port.CLIENT
    accepts = p.ToClient

    def __init__(self, world, user):
        super().__init__(world, user)
        self.machine = Exchange(instance=trust.new_id())
        self.ticket = SIGNING.ticket(user=user, key=self.key, ttl=1e6)
        self.notes = {}
        """The notices of each job, in order."""
        self.asked = {}
        """The answer to each request, once it is there."""
        self.connect()

    def connect(self):
        self.machine.connected(self.world.now, self.ticket)

    def listen(self):
        while notes := self.machine.notices():
            for note in notes:
                self._take(note)

    def _take(self, note):
        job = getattr(note, "job", None)
        if isinstance(note, n.Answered):
            assert self.asked[note.message.request] is None, "answered twice"
            self.asked[note.message.request] = note
        if isinstance(note, n.Contact | n.ServerChanged) or job is None:
            return
        seen = self.notes[job]
        assert not any(isinstance(each, TERMINAL_NOTES) for each in seen), (
            f"more after the end: {seen} {note}"
        )
        seen.append(note)
        if isinstance(note, n.Happened) and note.frame is not None:
            assert bytes(note.frame).startswith(job.encode()), "somebody else's output"
            self.machine.consumed(self.world.now, job, len(note.frame))

    def submit(self, *, kind="call", session="default", nbytes=0, **spec):
        value = (self.user, b"x" * nbytes)
        parts = values.dump(value) if kind == "call" else values.dump_cell("x", {"v": value})
        job = trust.new_id()
        submit = p.Submit(
            job=job,
            session=session,
            journal="",
            kind=kind,
            key=trust.job_key(bytes(32), job),
            payload=values.describe(parts),
            **spec,
        )
        self.world.owner[job] = self.user
        self.notes[job] = []
        self.machine.submit(self.world.now, submit, parts)
        self.world.carry()
        return job

    def ask(self, kind, session="default", **fields):
        request = kind(request=trust.new_id(), session=session, **fields)
        self.asked[request.request] = None
        self.machine.ask(self.world.now, request)
        self.world.carry()
        return request.request

    def tell(self, method, job):
        getattr(self.machine, method)(self.world.now, job)
        self.listen()
        self.world.carry()

    def end_of(self, job):
        ends = [note for note in self.notes[job] if isinstance(note, TERMINAL_NOTES)]
        assert len(ends) <= 1
        return ends[0] if ends else None


class Server(Peer):
    """A server whose workers and kernels do what a test tells them."""

    port = Port.SERVER
    accepts = p.ToServer

    def __init__(self, world, user):
        super().__init__(world, user)
        self.certificate = SIGNING.certificate(user=user, server="main", key=self.key)
        self.lines = Counter()
        """Lines of output that each job has written."""
        self._pids = 0
        self.wiped = False
        self.journal = MemoryJournal()
        self.spool = MemorySpool()
        self.logs = MemoryLogFiles()
        self.start()

    def start(self):
        self.machine = AgentMachine(
            self.world.now,
            journal=self.journal,
            spool=self.spool,
            logs=self.logs,
            certificate=self.certificate,
            identity=Identity(python="3.11", slots=2),
        )
        self.connect()
        self.start_exec()

    def connect(self):
        self.machine.connected(self.world.now)

    def start_exec(self):
        self.running = {}
        """Jobs by where they run: a worker's pid, or the name of a session."""
        self.kernels = set()
        self.machine.manager_up(self.world.now)
        self._new_worker()
        self._new_worker()
        self._obey()

    def _new_worker(self):
        self._pids += 1
        self.machine.worker_up(self.world.now, self._pids)

    def restart(self, *, wiped=False):
        """Kill the agent, and exec with it; start it again, on an empty disk if `wiped`."""
        self.inbound.clear()
        self.outbound.clear()
        self.name = self.world.new_name()
        if wiped:
            self.wiped = True
            self.journal, self.spool = MemoryJournal(), MemorySpool()
            self.logs = MemoryLogFiles()
        else:
            self.journal.reopen()
        self.start()
        self.world.carry()

    def kill_exec(self):
        self.running = {}
        self.machine.manager_down(self.world.now)
        self.start_exec()
        self.world.carry()

    def listen(self):
        self._obey()

    def speak(self):
        self._obey()
        super().speak()

    def _obey(self):
        while commands := self.machine.commands():
            for pid, command, payload in commands:
                self._do(pid, command, payload)

    def _do(self, pid, command, payload):
        match command:
            case h.RunCall():
                self._start(pid, command, payload)
            case h.RunCell(session=session, job=job):
                place = f"fresh {job}" if command.fresh else session
                if not command.fresh and session not in self.kernels:
                    self._tell_kernel(session, "starting")
                    self._tell_kernel(session, "ready")
                self._start(place, command, payload)
                self._say(place, h.CellStarted(job=job, incarnation=1))
            case h.StopKernel(session=session):
                if session in self.running:
                    self.crash(session)
                self._tell_kernel(session, "gone")
                if command.restart:
                    self._tell_kernel(session, "ready")
            case h.InterruptJob(job=job):
                for place in [place for place, each in self.running.items() if each == job]:
                    del self.running[place]
                    self._say(place, h.Interrupted(job=job, traceback=[]))
            case h.KillJob(job=job):
                for place in [place for place, each in self.running.items() if each == job]:
                    self.crash(place)

    def _tell_kernel(self, session, state):
        self.kernels.add(session) if state != "gone" else self.kernels.discard(session)
        self._say("", h.KernelState(session=session, state=state, incarnation=1))

    def _start(self, place, command, payload):
        assert place not in self.running, "two at once"
        job = command.job
        assert self.world.owner[job] == self.user
        content = self.spool.files[command.where.file] if command.where.file else payload
        parts = values.split(content, command.where.sizes)
        assert trust.payload_digest(parts) == command.digest
        self.world.started[job] += 1
        self.running[place] = job

    def _say(self, place, message, payload=b""):
        source = place if isinstance(place, int) else 0
        self.machine.from_exec(self.world.now, source, message, payload)

    def write(self, place, count):
        """Let the code that runs somewhere write lines, each of which tells its job."""
        job = self.running[place]
        for _ in range(count):
            line = b"%s line %d\n" % (job.encode(), self.lines[job])
            self.lines[job] += 1
            if isinstance(place, int):
                self.machine.output(self.world.now, place, "stdout", line)
            else:
                output = h.CellOutput(job=job, stream="stdout", nbytes=len(line))
                self._say(place, output, line)
        self.world.carry()

    def finish(self, place, nbytes=0):
        """Let the code that runs somewhere return what tells its job and its lines."""
        job = self.running.pop(place)
        parts = values.dump((job, self.lines[job], b"y" * nbytes))
        content = b"".join(parts)
        described = values.describe(parts)
        large = len(content) > p.INLINE
        where = h.Where(described.sizes, trust.new_id() if large else "")
        if large:
            self.spool.files[where.file] = bytearray(content)
        message = h.Returned(
            job=job,
            result=h.Result(where, described.digest),
            duration=1.0,
            nbytes=0 if large else len(content),
        )
        self._say(place, message, b"" if large else content)
        self.world.carry()

    def crash(self, place):
        """Let the process that runs code die."""
        job = self.running.pop(place)
        if isinstance(place, int):
            self._say("", h.WorkerGone(pid=place, signal=11))
            self.machine.worker_gone(self.world.now, place)
            self._new_worker()
        else:
            self._say(place, h.CellGone(job=job, signal=11))
            if place in self.kernels:
                self._tell_kernel(place, "gone")
        self.world.carry()


def result_of(note):
    """Return what `Server.finish` let the code return, out of a client's last notice."""
    assert isinstance(note.event, p.Done)
    return values.load(note.parts)


def lines_of(notes):
    """Return the lines of output among notices."""
    frames = [
        bytes(note.frame)
        for note in notes
        if isinstance(note, n.Happened)
        and isinstance(note.event, p.Output)
        and note.event.stream == "stdout"
    ]
    return b"".join(frames).decode().splitlines()
