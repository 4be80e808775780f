"""A real agent and a real exec as processes; the broker is played by the test."""

import json
import os
import signal
import subprocess
import sys
import time

import zmq

from rexec_jupyter.core import framing, trust, values
from rexec_jupyter.core import protocol as p
from tests.backend.brokering import PATIENCE, until

KEY = b"k" * 32


class Process:
    """A child process whose stderr is kept."""

    def __init__(self, command, log):
        self.command = [sys.executable, "-m", *map(str, command)]
        self.log = log
        self.process = None

    def start(self, **options):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options
            )
        return self

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)


class Site:
    """One agent, one exec, and a ROUTER in the broker's place that knows everybody."""

    def __init__(self, directory, *arguments, handoff=None, workers=2):
        self.directory = directory
        self.handoff = handoff or directory / "handoff"
        self.handoff.mkdir(mode=0o700, exist_ok=True)
        self.work = directory / "work"
        self.work.mkdir()
        self.keys, server = trust.new_keypair(), trust.new_keypair()
        trust.write_keypair(directory / "server.key", server)
        (directory / "certificate").write_text("certificate\n")
        self.context = zmq.Context()
        self.epoch = trust.new_id()
        self.unpacker = framing.Unpacker(p.FromServer)
        self.inbox = []
        self.endpoint = "tcp://127.0.0.1:*"
        self.bind()
        self.agent = Process(
            [
                *("rexec_server", "agent", "--broker", self.endpoint),
                *("--broker-key", self.keys.public.decode()),
                *("--curve-key-file", directory / "server.key"),
                *("--certificate-file", directory / "certificate"),
                *("--directory", directory / "state", "--handoff", self.handoff),
                *("--slots", workers, *arguments),
            ],
            directory / "agent.log",
        )
        self.exec = Process(
            [
                *("rexec_server", "exec", "--handoff", self.handoff),
                *("--workers", workers, "--directory", self.work),
            ],
            directory / "exec.log",
        )

    # ------------------------------------------------------------------------- the broker

    def bind(self):
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.curve_server = True
        self.socket.curve_secretkey = self.keys.secret
        until(self.bound, "the port")
        self.endpoint = self.socket.last_endpoint.decode().rstrip("\0")
        self.peer = None

    def bound(self):
        try:
            self.socket.bind(self.endpoint)
        except zmq.ZMQError:
            return False  # the port of the one before is being closed
        return True

    def restart_broker(self):
        self.socket.close(linger=0)
        self.epoch = trust.new_id()
        self.bind()

    def say(self, message, frame=None):
        (envelope,) = framing.pack([(message, frame)])
        self.socket.send_multipart([self.peer, *envelope])

    def receive(self, patience=PATIENCE):
        """Return the next message and its frame; hellos and heartbeats answer themselves."""
        deadline = time.monotonic() + patience
        while not self.inbox:
            left = deadline - time.monotonic()
            assert left > 0, "nothing arrived\n" + self.agent.log.read_text()
            if self.socket.poll(left * 1000):
                self.peer, *envelope = self.socket.recv_multipart()
                self.inbox += [self.known(*parcel) for parcel in self.unpacker.unpack(envelope)]
                self.inbox = [parcel for parcel in self.inbox if parcel]
        return self.inbox.pop(0)

    def known(self, message, frame):
        if isinstance(message, p.ServerHello):
            self.hello = message
            self.say(p.Welcome(version=1, epoch=self.epoch, user="ann", expires_in=float("inf")))
        elif isinstance(message, p.Heartbeat):
            self.say(p.Heartbeat(epoch=self.epoch))
            return None
        return message, frame

    def await_(self, kind, job=None, patience=PATIENCE):
        """Return the next message of a kind, and drop what comes before it."""
        deadline = time.monotonic() + patience
        while True:
            message, frame = self.receive(max(0.01, deadline - time.monotonic()))
            if isinstance(message, kind) and job in (None, getattr(message, "job", None)):
                return message, frame

    def events(self, job):
        """Return all that is said of a job, up to its end."""
        found = []
        while not found or not isinstance(found[-1][0], p.TERMINAL):
            found.append(self.await_((p.Event,), job))
        return found

    # -------------------------------------------------------------------------- the parts

    def start(self, *, exec_=True):
        self.start_agent()
        if exec_:
            self.exec.start()
        return self

    def start_agent(self, **options):
        read, write = os.pipe()
        command = self.agent.command
        self.agent.command = [*command, "--ready-fd", str(write)]
        try:
            self.agent.start(pass_fds=[write], **options)
        finally:
            self.agent.command = command
            os.close(write)
        self.await_(p.ServerHello)
        with os.fdopen(read) as ready:
            line = ready.readline()
        assert line, self.agent.log.read_text()
        self.ready = json.loads(line)

    def stop(self):
        self.context.destroy(linger=0)
        if self.exec.process is not None:
            self.exec.kill()  # it ends its children however it ends
        if self.agent.process is not None:
            self.agent.stop()

    # ---------------------------------------------------------------------------- the jobs

    def submit(self, function, *args, **fields):
        """Submit a call; return its number."""
        parts = values.dump((function, args, {}))
        return self.submit_parts(
            "call", parts, python=".".join(map(str, sys.version_info[:2])), **fields
        )

    def submit_cell(self, source, **fields):
        return self.submit_parts("cell", values.dump_cell(source, {}), **fields)

    def submit_parts(self, kind, parts, **fields):
        fields.setdefault("job", trust.new_id())
        fields.setdefault("session", "default")
        message = p.Submit(
            frames=1,
            journal=self.hello.journal,
            kind=kind,
            key=KEY,
            payload=values.describe(parts),
            **fields,
        )
        self.say(message, values.join(parts))
        return message.job

    def attach(self, job, seq=0, **fields):
        self.say(p.Attach(job=job, session="default", seq=seq, **fields))

    def ack(self, job, seq, credit=p.CREDIT):
        self.say(p.Ack(job=job, session="default", seq=seq, credit=credit))

    def status(self):
        return json.loads((self.directory / "state" / "status.json").read_text())

    def value(self, done, frame):
        assert isinstance(done, p.Done), done
        assert trust.mac_matches(KEY, done.job, done.seq, done.payload, done.mac)
        return values.load(values.split(frame, done.payload.sizes))
