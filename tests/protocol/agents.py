"""An agent's machine with everything around it played by the test, on a clock of the test's."""

from rexec_jupyter.core import logs, trust, values
from rexec_jupyter.core import protocol as p
from rexec_server import handoff as h
from rexec_server.agent.job import Limits
from rexec_server.agent.machine import AgentMachine, Identity
from rexec_server.agent.memory import MemoryJournal, MemoryLogFiles, MemorySpool

EPOCH = "e" * 32
KEY = b"k" * 32
WORKER = 4711
MIB = 1024 * 1024


def payload(content=b"call", carrier="inline", segment="", sizes=None):
    return p.Payload(
        sizes=sizes or [len(content)],
        digest=trust.payload_digest([content]),
        carrier=carrier,
        segment=segment,
    )


class Agent:
    """A machine, and shorthands for what its surroundings would do."""

    def __init__(self, *, limits=None, slots=2, share=True, journal=None, spool=None, logs=None):
        self.now = 1000.0
        self.journal = journal or MemoryJournal()
        self.spool = spool or MemorySpool()
        self.logs = logs or MemoryLogFiles()
        self.limits = limits or Limits()
        self.identity = Identity("3.11.7", slots, "/exchange" if share else "", "machine")
        self.start()

    def start(self):
        self.machine = AgentMachine(
            self.now,
            journal=self.journal,
            spool=self.spool,
            logs=self.logs,
            certificate="certificate",
            identity=self.identity,
            limits=self.limits,
        )

    def restart(self):
        """Start again from what was on disk."""
        self.journal.reopen()
        self.start()

    def connect(self, epoch=EPOCH):
        self.machine.connected(self.now)
        self.say(p.Welcome(version=1, epoch=epoch, user="ann", expires_in=float("inf")))
        return self.sent()

    def exec_up(self, *pids):
        link, before = self.machine._link, list(self.machine._link.parcels)
        self.machine.manager_up(self.now)
        # The broker is told at once that code can run; few tests are about that.
        told = link.parcels[len(before) :]
        link.parcels = before + [each for each in told if not isinstance(each[0], p.Heartbeat)]
        for pid in pids:
            self.machine.worker_up(self.now, pid)

    def ready(self, *pids):
        """Be connected on both sides, and return what was not heard."""
        self.connect()
        self.exec_up(*(pids or (WORKER,)))
        return self

    # -------------------------------------------------------------------- from the broker

    def say(self, message, frame=None):
        self.machine.receive(self.now, message, frame)

    def submit(self, content=b"call", **fields):
        """Submit a job; return its number."""
        fields.setdefault("job", trust.new_id())
        fields.setdefault("session", "default")
        fields.setdefault("journal", self.journal.id)
        fields.setdefault("kind", "call")
        fields.setdefault("key", KEY)
        fields.setdefault("payload", payload(content))
        inline = fields["payload"].carrier == "inline"
        message = p.Submit(frames=int(inline), **fields)
        self.say(message, content if inline else None)
        return message.job

    def attach(self, job, seq=0, **fields):
        self.say(p.Attach(job=job, session="default", seq=seq, **fields))

    def ack(self, job, seq, credit=p.CREDIT):
        self.say(p.Ack(job=job, session="default", seq=seq, credit=credit))

    def interrupt(self, job):
        self.say(p.Interrupt(job=job, session="default"))

    def cancel(self, job, grace=5.0):
        self.say(p.Cancel(job=job, session="default", grace=grace))

    def chunk(self, job, offset, data, seq=0):
        message = p.Chunk(frames=1, job=job, session="default", seq=seq, offset=offset)
        self.say(message, data)

    def list(self):
        self.say(p.ListJobs(request="f" * 32, session="default"))
        return self.sent(p.JobList)[-1].jobs

    def ask(self, kind, session="default", **fields):
        """Ask something; return the number of the request."""
        request = fields.setdefault("request", trust.new_id())
        self.say(kind(session=session, **fields))
        return request

    def sessions(self):
        self.ask(p.ListSessions)
        return self.sent(p.SessionList)[-1].sessions

    def log(self, job, **fields):
        """Return the page that answers a `protocol.ReadLog` at once, and its records."""
        self.ask(p.ReadLog, job=job, **fields)
        return self.page()

    def page(self):
        """Return the next page that was sent, and its records."""
        ((page, frame),) = [each for each in self.parcels() if isinstance(each[0], p.LogPage)]
        return page, list(logs.unpack(frame or b""))

    # ------------------------------------------------------------------------- from exec

    def cell(self, content="x = 1", **fields):
        """Submit a cell; return its number."""
        return self.submit(values.dump_cell(content, {})[0], kind="cell", **fields)

    def started(self, job, incarnation=1):
        self.manager(h.CellStarted(job=job, incarnation=incarnation))

    def shows(self, job, content=b"text\n", stream="stdout"):
        self.manager(h.CellOutput(job=job, stream=stream, nbytes=len(content)), content)

    def kernel(self, state, session="default", incarnation=1):
        self.manager(h.KernelState(session=session, state=state, incarnation=incarnation))

    def worker(self, message, content=b"", pid=WORKER):
        self.machine.from_exec(self.now, pid, message, content)

    def manager(self, message, content=b""):
        self.machine.from_exec(self.now, 0, message, content)

    def returns(self, job, content=b"value", pid=WORKER, file="", nbytes=0):
        if file:
            result = h.Result(h.Where([nbytes], file), trust.payload_digest([b""]))
            content = b""
        else:
            result = h.Result(h.Where([len(content)]), trust.payload_digest([content]))
        message = h.Returned(nbytes=len(content), job=job, result=result, duration=0.5)
        self.machine.from_exec(self.now, pid, message, content)

    def yields(self, job, content=b"item", pid=WORKER):
        result = h.Result(h.Where([len(content)]), trust.payload_digest([content]))
        self.worker(h.Yielded(nbytes=len(content), job=job, result=result), content, pid)

    def raises(self, job, pid=WORKER, **fields):
        nothing = h.Result(h.Where([0]), trust.payload_digest([b""]))
        fields = {"error": "ValueError", "message": "no", "traceback": ["line"]} | fields
        message = h.Raised(job=job, result=nothing, **fields)
        self.machine.from_exec(self.now, pid, message, b"")

    def prints(self, text, pid=WORKER, stream="stdout"):
        data = text if isinstance(text, bytes) else text.encode()
        self.machine.output(self.now, pid, stream, data)

    # ----------------------------------------------------------------------------- outcome

    def wait(self, seconds):
        """Let time pass, in the steps the machine asks for."""
        end = self.now + seconds
        while (due := self.machine.tick(self.now)) < end:
            self.now = max(due, self.now)
        self.now = end
        self.machine.tick(self.now)

    def parcels(self):
        parcels = self.machine.outgoing()
        while self.machine.more:
            parcels += self.machine.outgoing()
        for message, frame in parcels:
            assert message.frames == (frame is not None)
        return parcels

    def sent(self, *kinds):
        """Return what was sent since last time; of some kinds if any are named."""
        return [m for m, _ in self.parcels() if not kinds or isinstance(m, kinds)]

    def commands(self, *kinds):
        return [m for _, m, _ in self.machine.commands() if not kinds or isinstance(m, kinds)]


def texts(parcels, stream="stdout"):
    return [
        bytes(frame).decode()
        for message, frame in parcels
        if isinstance(message, p.Output) and message.stream == stream
    ]


def big(agent, content, **fields):
    return agent.submit(payload=payload(content, "chunks"), **fields)


def large(agent, nbytes, job, **fields):
    name = trust.new_id()
    agent.spool.files[name] = bytearray(bytes(range(256)) * (nbytes // 256))
    agent.returns(job, file=name, nbytes=nbytes, **fields)
    return name
