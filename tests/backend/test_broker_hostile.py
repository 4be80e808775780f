"""Peers that are wrong, broken or malicious: refused or dropped, counted, and survived."""

import contextlib
import ctypes
import itertools
import random
import socket
import threading

import psutil
import pytest
import zmq

from rexec_broker.limits import Limits
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import trust
from rexec_jupyter.core.credentials import SigningKey
from tests.backend.brokering import PATIENCE, Client, Peer, Server, done, running, submission, until

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with running(tmp_path_factory.mktemp("broker"), "--egress-mib", 4) as process:
        yield process


@pytest.fixture
def grown(broker):
    """Tells by how much a metric has grown since the test began."""
    before = {}

    def remember(name, **labels):
        key = (name, *sorted(labels.items()))
        value = broker.metric(name, **labels)
        return value - before.setdefault(key, value)

    return remember


class Bystander:
    """A user whose jobs must go on whatever others do."""

    def __init__(self, broker):
        self.user = f"bystander-{trust.new_id()}"
        self.client = Client(broker, self.user)
        self.server = Server(broker, self.user)
        self.server.join()
        assert self.client.join().state == "ready"

    def run_job(self):
        parcel = submission(self.server.journal)
        job = parcel[0].job
        self.client.send(parcel)
        message, frame = self.server.receive()
        assert (message, bytes(frame)) == parcel
        self.server.send(p.Journaled(job=job), p.Started(job=job, seq=1), done(job, 2))
        arrived = []
        while len(arrived) < 3:
            message, _ = self.client.receive()
            if not isinstance(message, p.ServerState):  # a slow machine may look like silence
                arrived.append(type(message))
        assert arrived == [p.Journaled, p.Started, p.Done]
        self.client.send(p.Ack(job=job, session="default", seq=2, credit=0))
        assert isinstance(self.server.receive()[0], p.Ack)

    def close(self):
        self.client.__exit__()
        self.server.__exit__()


@pytest.fixture
def bystander(broker):
    peers = Bystander(broker)
    yield peers
    peers.run_job()
    peers.close()
    assert broker.process.poll() is None
    assert broker.get("/healthz")[0] == 200


# --------------------------------------------------------------------------- credentials


def other_signature(broker, client):
    return SigningKey.generate().ticket(user="ada", key=client.key)


def other_key(broker, client):
    return broker.signing.ticket(user="ada", key=trust.new_keypair().public.decode())


def expired(broker, client):
    return broker.signing.ticket(user="ada", key=client.key, ttl=-120)


def other_audience(broker, client):
    return broker.signing.ticket(user="ada", key=client.key, audience="elsewhere")


def certificate(broker, client):
    return broker.signing.certificate(user="ada", server="main", key=client.key)


def rubbish(broker, client):
    return "rubbish"


@pytest.mark.parametrize(
    "ticket", [other_signature, other_key, expired, other_audience, certificate, rubbish]
)
def test_a_wrong_ticket_is_refused(broker, grown, bystander, ticket):
    grown("refused_total", reason="ticket")
    with Client(broker, bystander.user) as client:
        client.ticket = ticket(broker, client)
        client.hello()
        (refused, _) = client.receive()
        assert (type(refused), refused.code) == (p.Refused, "R02")
        client.send(submission(bystander.server.journal))
        assert client.receive(0.2) is None
    assert grown("refused_total", reason="ticket") == 1


def test_a_stolen_certificate_is_refused(broker, grown, bystander):
    grown("refused_total", reason="certificate")
    with Server(broker, bystander.user) as thief:
        thief.certificate = bystander.server.certificate
        thief.hello()
        assert thief.receive()[0].code == "R02"
    assert grown("refused_total", reason="certificate") == 1


# ----------------------------------------------------------------------------- transport


@pytest.mark.parametrize("port", ["client", "server"])
def test_a_plaintext_peer_does_not_get_in(broker, grown, bystander, port):
    def failed():  # which of the two depends on which side sees the difference first
        outcomes = ("not_curve", "broken_off")
        return sum(grown("handshakes_total", outcome=outcome) for outcome in outcomes)

    failed()
    grown("envelopes_total", direction="in", port=port)
    with zmq.Context() as context, context.socket(zmq.DEALER) as plain:
        plain.linger = 0
        plain.connect(broker.ready[port])
        plain.send(b"hello")
        until(failed, "a failed handshake")
        assert plain.poll(0) == 0
    assert grown("envelopes_total", direction="in", port=port) == 0


def test_a_peer_with_the_wrong_broker_key_does_not_get_in(broker, grown, bystander):
    grown("handshakes_total", outcome="wrong_key")
    with Peer(broker.ready["client"], trust.new_keypair().public, p.ToClient) as lost:
        lost.send(p.Heartbeat())
        until(lambda: grown("handshakes_total", outcome="wrong_key") > 0, "a failed handshake")


@pytest.mark.parametrize("port", ["client", "server"])
def test_bytes_that_are_not_zeromq_do_no_harm(broker, bystander, port):
    host, _, number = broker.ready[port].removeprefix("tcp://").rpartition(":")
    noise = random.Random(port)
    for _ in range(50):
        with socket.create_connection((host, int(number))) as raw:
            raw.sendall(noise.randbytes(noise.randrange(1, 2000)))
    bystander.run_job()


def test_a_frame_that_is_too_large_ends_the_connection_that_sent_it(broker, bystander):
    with Client(broker, "huge") as client:
        client.join()
        monitor = client.socket.get_monitor_socket(zmq.Event.DISCONNECTED)
        client.socket.send_multipart([b"\x90", bytes(p.MAX_FRAME + 1)])
        assert monitor.poll(PATIENCE * 1000)
        client.socket.disable_monitor()
        monitor.close()


def unseeded_routing_ids(count):
    """Where ZeroMQ's routing ids begin in a process that never called ``srand``."""
    libc = ctypes.CDLL(None)
    libc.srand(1)
    numbers = [libc.rand() for _ in range(count + 1)]
    return [low | (high << 31) & 0xFFFFFFFF for low, high in itertools.pairwise(numbers)]


def test_a_peer_that_guesses_the_next_routing_id_does_not_end_the_broker(tmp_path):
    with running(tmp_path) as broker, contextlib.ExitStack() as squatters:
        for guess in unseeded_routing_ids(60):  # ZeroMQ aborts when the next one is taken
            squatter = Client(broker, "mallory", identity=b"\0" + guess.to_bytes(4))
            squatters.enter_context(squatter).join()
        with Client(broker) as client:
            assert client.join().state == "absent"
        assert broker.process.poll() is None


# ------------------------------------------------------------------------------- garbage


def noise(count):
    """Random multipart messages: bytes, and headers that are almost right."""
    dice = random.Random(count)
    beginnings = [b"", b"\x91\x92\xa6submit", b"\x91\x92\xa9heartbeat", b"\x91\x94\xabclienthello"]
    for _ in range(count):
        header = dice.choice(beginnings) + dice.randbytes(dice.randrange(0, 200))
        yield [header, *(dice.randbytes(dice.randrange(0, 300)) for _ in range(dice.randrange(4)))]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("kind", [Client, Server])
def test_ten_thousand_random_messages_disturb_nobody(broker, grown, bystander, kind, known):
    dropped = [{"reason": reason} for reason in ("malformed", "ignored", "unknown_peer")]

    def counted():
        return sum(grown("dropped_total", **reason) for reason in dropped)

    counted()
    with kind(broker, "mallory") as peer:
        if known:
            peer.join()
        flood = threading.Thread(
            target=lambda: [peer.socket.send_multipart(frames) for frames in noise(10_000)]
        )
        flood.start()
        try:
            while flood.is_alive():
                bystander.run_job()
        finally:
            flood.join()
        until(lambda: counted() >= 10_000, "all of them to be counted")
    assert grown("dropped_total", reason="malformed") >= Limits().errors - 1


@pytest.mark.parametrize("frames", [[b""] * 5000, [b"", *[bytes(MIB)] * 3]])
def test_an_envelope_beyond_all_limits_is_dropped_whole(broker, grown, bystander, frames):
    grown("dropped_total", reason="malformed")
    with Client(broker, "mallory") as client:
        client.join()
        client.socket.send_multipart(frames)
        assert client.silent()
    assert grown("dropped_total", reason="malformed") == 1


def test_a_key_that_made_too_many_errors_cannot_connect_again(broker, grown, bystander):
    grown("handshakes_total", outcome="denied")
    with Client(broker, "mallory") as client:
        client.join()
        for _ in range(Limits().errors):
            client.socket.send(b"rubbish")
        client.hello()
        assert client.receive(0.2) is None
        with Client(broker, "mallory", keys=client.keys) as again:
            again.hello()
            until(lambda: grown("handshakes_total", outcome="denied") > 0, "a denied handshake")


# ----------------------------------------------------------------------------- isolation


def test_two_users_never_see_each_others_messages(broker, bystander):
    parcel = submission(bystander.server.journal)
    job = parcel[0].job
    bystander.client.send(parcel)
    bystander.server.expect(p.Submit)
    with Client(broker, "eve") as eve, Server(broker, "eve") as her_server:
        her_server.join()
        eve.join()
        eve.send(
            submission(bystander.server.journal, job),
            p.Attach(job=job, session="default", seq=0),
            p.Interrupt(job=job, session="default"),
            p.Cancel(job=job, session="default"),
            p.Ack(job=job, session="default", seq=99, credit=0),
            p.ListJobs(request=job, session="default"),
        )
        her_server.expect(p.ListJobs)
        her_server.send(p.Journaled(job=job), done(job, 1, b"forged"), p.Goodbye())
        assert bytes(eve.expect(p.Done)[1]) == b"forged"
        assert bystander.client.silent()
        assert bystander.server.silent()
        bystander.server.send(done(job, 1, b"secret"))
        assert bytes(bystander.client.expect(p.Done)[1]) == b"secret"
        eve.expect(p.ServerState, state="absent")
        assert eve.silent()


def test_a_superseded_server_is_fenced(broker, bystander):
    with (
        Client(broker, "ada") as client,
        Server(broker, "ada") as old,
        Server(broker, "ada", generation=2) as new,
    ):
        old.join()
        client.join()
        new.join()
        assert client.expect(p.ServerState)[0].journal == new.journal
        assert old.expect(p.Refused)[0].code == "superseded"
        old.hello()
        assert old.expect(p.Refused)[0].code == "superseded"
        parcel = submission(new.journal)
        job = parcel[0].job
        client.send(parcel)
        new.expect(p.Submit)
        old.send(done(job, 1, b"stale"))
        new.send(done(job, 1, b"fresh"))
        assert bytes(client.expect(p.Done)[1]) == b"fresh"


# -------------------------------------------------------------------------------- memory


def test_memory_stays_flat_when_a_client_stops_reading(broker, grown, bystander):
    process = psutil.Process(broker.process.pid)
    grown("congestions_total")
    with Client(broker, "sloth", reads=False) as sloth, Server(broker, "sloth") as server:
        server.join()
        sloth.join()
        job = trust.new_id()
        attach = p.Attach(job=job, session="default", seq=0)
        sloth.send(attach)
        server.expect(p.Attach)
        before = process.memory_info().rss
        peak, block = before, bytes(64 * 1024)
        for seq in range(1, 4000):  # 250 MB
            server.send((p.Output(frames=1, job=job, seq=seq, stream="stdout"), block))
            if seq % 100 == 0:
                bystander.run_job()
                assert broker.metric("egress_bytes") <= 4 * MIB
                peak = max(peak, process.memory_info().rss)
        server.expect(p.Detached, job=job)
        server.send(p.Heartbeat())
        server.expect(p.Heartbeat)  # all of it has arrived
        assert max(peak, process.memory_info().rss) - before < 40 * MIB
        assert grown("congestions_total") == 1

        sloth.expect(p.Resync)  # it reads again
        assert sloth.join().state == "ready"
        sloth.send(attach)
        server.expect(p.Attach)
        server.send(done(job, 4000))
        assert bytes(sloth.expect(p.Done)[1]) == b"result"
    until(lambda: broker.metric("egress_bytes") == 0, "nothing to wait any more")


def test_memory_stays_flat_when_a_server_stops_reading(broker, grown, bystander):
    grown("congestions_total")
    with Client(broker, "haste") as client, Server(broker, "haste", reads=False) as server:
        server.join()
        client.join()
        block = bytes(64 * 1024)
        for _ in range(1000):
            client.send(submission(server.journal, frame=block))
        client.expect(p.ServerState, state="suspect")
        bystander.run_job()
        assert grown("congestions_total") == 1
        server.expect(p.Resync)  # it reads again
        server.join()
        client.expect(p.ServerState, state="ready")


def test_memory_stays_flat_over_many_jobs(broker, grown, bystander):
    grown("jobs")
    process = psutil.Process(broker.process.pid)
    for _ in range(500):
        bystander.run_job()
    before = process.memory_info().rss
    for _ in range(3000):
        bystander.run_job()
    assert process.memory_info().rss - before < 2 * MIB
    assert grown("jobs") == 0
