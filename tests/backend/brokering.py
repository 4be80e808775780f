"""A real broker process, and bare peers that speak the protocol to it."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import zmq

from rexec_jupyter.core import framing, trust
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.backend import Address
from rexec_jupyter.core.credentials import SigningKey
from tests.waiting import PATIENCE, until


class BrokerProcess:
    """`python -m rexec_broker` with keys of its own."""

    def __init__(self, directory, *arguments, signing=None):
        self.signing = signing or SigningKey.generate()
        self.keys = trust.new_keypair()
        trust.write_keypair(directory / "broker.key", self.keys)
        (directory / "verify.pem").write_bytes(self.signing.public_pem)
        self.arguments = [
            *("--curve-key-file", directory / "broker.key"),
            *("--verify-key-file", directory / "verify.pem"),
            *arguments,
        ]
        self.log = directory / "broker.log"
        self.start()

    def start(self, *arguments):
        """Start it, once an address that it had before is free again."""
        until(lambda: self.started(*arguments), "the addresses")

    def started(self, *arguments):
        """Start it, and tell whether it could have the addresses."""
        read, write = os.pipe()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rexec_broker", "--ready-fd", str(write)]
                + [str(argument) for argument in (*self.arguments, *arguments)],
                pass_fds=[write],
                stderr=log,
            )
        os.close(write)
        with os.fdopen(read) as ready:
            line = ready.readline()
        if not line:
            self.process.wait(PATIENCE)
            said = self.log.read_text()
            assert "Address already in use" in said.splitlines()[-1], said
            return False
        self.ready = json.loads(line)
        return True

    def get(self, path):
        """Return status and text of a page of the health server."""
        try:
            with urllib.request.urlopen(f"http://{self.ready['health']}{path}") as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, name, **labels):
        """Return the value of a metric."""
        pairs = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        wanted = f"rexec_broker_{name}" + (f"{{{pairs}}}" if pairs else "")
        for line in self.get("/metrics")[1].splitlines():
            sample, _, value = line.rpartition(" ")
            if sample == wanted:
                return float(value)
        raise KeyError(wanted)

    @contextlib.contextmanager
    def held(self):
        """Have it stand still; it knows nothing of that afterwards."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(PATIENCE)


class Peer:
    """One connection to a broker, with nothing of rexec's own client or agent."""

    def __init__(self, address, broker_key, accepts, *, keys=None, reads=True, identity=b""):
        self.keys = keys or trust.new_keypair()
        self.key = self.keys.public.decode()
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.sndhwm = 0
        self.socket.rcvhwm = 0 if reads else 1  # 0: ZeroMQ reads ahead without a limit
        self.socket.curve_publickey, self.socket.curve_secretkey = self.keys
        self.socket.curve_serverkey = broker_key
        if identity:
            self.socket.routing_id = identity
        self.socket.connect(address)
        self.unpacker = framing.Unpacker(accepts)
        self.inbox = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.destroy(linger=0)

    def send(self, *parcels):
        """Send messages, or pairs of a message and its frame, in as few envelopes as may be."""
        pairs = [each if isinstance(each, tuple) else (each, None) for each in parcels]
        for frames in framing.pack(pairs):
            self.socket.send_multipart(frames)

    def receive(self, patience=PATIENCE):
        """Return the next message and its frame; None if none comes."""
        if not self.inbox:
            if not self.socket.poll(int(patience * 1000)):
                return None
            self.inbox += self.unpacker.unpack(self.socket.recv_multipart())
        return self.inbox.pop(0)

    def expect(self, kind, patience=PATIENCE, **fields):
        """Return the next message of a kind and its frame, skipping others."""
        deadline = time.monotonic() + patience
        while (left := deadline - time.monotonic()) > 0:
            arrived = self.receive(left)
            if arrived is None:
                break
            message = arrived[0]
            if isinstance(message, kind) and all(
                getattr(message, name) == value for name, value in fields.items()
            ):
                return arrived
        raise AssertionError(f"no {kind} {fields} within {patience} s")

    def silent(self):
        """Tell whether nothing has come by the time the broker answered a heartbeat."""
        self.send(p.Heartbeat())
        message, _ = self.receive()
        return isinstance(message, p.Heartbeat)


class Client(Peer):
    def __init__(self, broker, user="ada", **connection):
        super().__init__(broker.ready["client"], broker.keys.public, p.ToClient, **connection)
        self.instance = trust.new_id()
        self.ticket = broker.signing.ticket(user=user, key=self.key)

    def hello(self):
        self.send(p.ClientHello(versions=p.VERSIONS, ticket=self.ticket, instance=self.instance))

    def join(self):
        self.hello()
        self.expect(p.Welcome)
        return self.expect(p.ServerState)[0]


class Server(Peer):
    def __init__(self, broker, user="ada", *, reads=True, **certificate):
        super().__init__(broker.ready["server"], broker.keys.public, p.ToServer, reads=reads)
        self.journal = trust.new_id()
        self.certificate = broker.signing.certificate(
            **{"user": user, "server": "main", "key": self.key} | certificate
        )

    def hello(self):
        self.send(
            p.ServerHello(
                versions=p.VERSIONS,
                certificate=self.certificate,
                journal=self.journal,
                epoch=1,
                python="3.11",
                slots=2,
            )
        )

    def join(self):
        self.hello()
        return self.expect(p.Welcome)[0]


class Backend:
    """Leads a client of rexec to such a broker."""

    description = "test backend"
    progress = ""

    def __init__(self, broker, signing=None):
        self.broker = broker
        self.signing = signing or broker.signing
        self.key = broker.keys.public.decode()
        self.secret = secrets.token_bytes(32)
        self.located = 0
        self.closed = False

    async def locate(self):
        self.located += 1
        return Address(self.broker.ready["client"], self.key)

    async def revive(self):
        pass

    async def ticket(self, key):
        return self.signing.ticket(user="ada", key=key, ttl=900), 900.0

    async def close(self):
        self.closed = True

    def job_secret(self):
        return self.secret


def submission(journal, job=None, session="default", frame=b"work", **fields):
    """Return a Submit and its frame."""
    payload = p.Payload(sizes=[len(frame)], digest=trust.payload_digest([frame]))
    values = {"job": job or trust.new_id(), "kind": "call", "key": bytes(32)} | fields
    return p.Submit(frames=1, session=session, journal=journal, payload=payload, **values), frame


def done(job, seq, frame=b"result"):
    """Return a Done and its frame."""
    payload = p.Payload(sizes=[len(frame)], digest=trust.payload_digest([frame]))
    return p.Done(frames=1, job=job, seq=seq, payload=payload, mac=bytes(32)), frame


@contextlib.contextmanager
def running(directory, *arguments):
    broker = BrokerProcess(directory, *arguments)
    try:
        yield broker
    finally:
        broker.stop()
