"""The broker's state machine, without sockets and with a clock of our own."""

import json
from dataclasses import replace

import pytest

from rexec_broker.limits import Limits
from rexec_broker.metrics import Metrics
from rexec_broker.routing import Port, Router
from rexec_jupyter.core import framing, trust
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.credentials import SigningKey, Verifier

SIGNING = SigningKey.generate()
EPOCH = "e" * 32
LIMITS = Limits()


JOB = trust.new_id()


class World:
    """A router, a clock, and what each peer has received."""

    def __init__(self, limits=LIMITS):
        self.now = 1000.0
        self.metrics = Metrics()
        verifier = Verifier([SIGNING.public_pem])
        self.router = Router(epoch=EPOCH, verifier=verifier, limits=limits, metrics=self.metrics)
        self.sent = []
        self._mailboxes = {}
        self._peers = 0

    def peer(self, kind, **settings):
        self._peers += 1
        peer = kind(self, b"%d" % self._peers, **settings)
        self._mailboxes[peer.port, peer.name] = peer
        return peer

    def client(self, user="ada", **settings):
        return self.peer(Client, user=user, **settings)

    def server(self, user="ada", **settings):
        return self.peer(Server, user=user, **settings)

    def deliver(self):
        for sending in self.router.outgoing():
            self.sent.append(sending)
            box = self._mailboxes.get((sending.port, sending.peer))
            if box is not None:
                box.arrived += [message for message, _ in box.unpacker.unpack(sending.frames)]

    def move(self, peer, name):
        """Let a peer have a new connection."""
        del self._mailboxes[peer.port, peer.name]
        peer.name = name
        self._mailboxes[peer.port, name] = peer

    def pass_time(self, seconds, *alive):
        """Let time pass in small steps, in which the peers named send heartbeats."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + p.HEARTBEAT)
            for peer in alive:
                peer.send(p.Heartbeat())
            assert self.router.tick(self.now) > self.now
            self.deliver()
        for peer in alive:
            peer.arrived = [each for each in peer.arrived if not isinstance(each, p.Heartbeat)]


class Peer:
    accepts = None
    port = None

    def __init__(self, world, name):
        self.world = world
        self.name = name
        self.key = trust.new_keypair().public.decode()
        self.arrived = []
        self.unpacker = framing.Unpacker(self.accepts)

    def send(self, *parcels):
        pairs = [each if isinstance(each, tuple) else (each, None) for each in parcels]
        for frames in framing.pack(pairs):
            self.send_frames(frames)

    def send_frames(self, frames):
        self.world.router.receive(self.world.now, self.port, self.name, self.key, frames)
        self.world.deliver()

    def take(self):
        arrived, self.arrived = self.arrived, []
        return arrived


class Client(Peer):
    accepts = p.ToClient
    port = Port.CLIENT

    def __init__(self, world, name, *, user, **ticket):
        super().__init__(world, name)
        self.user = user
        self.instance = trust.new_id()
        self.ticket = SIGNING.ticket(**{"user": user, "key": self.key} | ticket)

    def hello(self, versions=p.VERSIONS):
        self.send(p.ClientHello(versions=versions, ticket=self.ticket, instance=self.instance))

    def join(self):
        self.hello()
        return self.take()


class Server(Peer):
    accepts = p.ToServer
    port = Port.SERVER

    def __init__(self, world, name, *, user, epoch=1, journal=None, key=None, **certificate):
        super().__init__(world, name)
        self.key = key or self.key
        self.epoch = epoch
        self.journal = journal or trust.new_id()
        claims = {"user": user, "server": "main", "key": self.key} | certificate
        self.certificate = SIGNING.certificate(**claims)

    def hello(self, versions=p.VERSIONS):
        self.send(
            p.ServerHello(
                versions=versions,
                certificate=self.certificate,
                journal=self.journal,
                epoch=self.epoch,
                python="3.11",
                slots=2,
                exchange="/exchange",
                machine="here",
            )
        )

    def join(self):
        self.hello()
        return self.take()


@pytest.fixture
def world():
    return World()


@pytest.fixture
def pair(world):
    """A client and a server of one user, both known to the broker."""
    server = world.server()
    server.join()
    client = world.client()
    client.join()
    return client, server


PAYLOAD = p.Payload(sizes=[4], digest=bytes(32))


def submit(server, job=None, session="default"):
    job = job or trust.new_id()
    message = p.Submit(
        frames=1,
        job=job,
        session=session,
        journal=server.journal,
        kind="call",
        key=bytes(32),
        payload=PAYLOAD,
    )
    return message, b"work"


def done(job, seq):
    return p.Done(frames=1, job=job, seq=seq, payload=PAYLOAD, mac=bytes(32)), b"gold"


def ack(job, seq):
    return p.Ack(job=job, session="default", seq=seq, credit=100)


def attach(job, session="default"):
    return p.Attach(job=job, session=session, seq=0)


def start_job(client, server, job=None):
    parcel = submit(server, job)
    client.send(parcel)
    assert server.take() == [parcel[0]]
    return parcel[0].job


def states(messages):
    return [(each.state, each.session) for each in messages if isinstance(each, p.ServerState)]


def refusal(messages):
    (message,) = messages
    assert isinstance(message, p.Refused)
    return message.code


# ------------------------------------------------------------------------------- hellos


def test_a_client_is_welcomed_and_told_that_there_is_no_server(world):
    welcome, state = world.client().join()
    assert (welcome.version, welcome.epoch, welcome.user) == (2, EPOCH, "ada")
    assert 890 < welcome.expires_in <= 900
    assert state == p.ServerState(state="absent")


def test_a_client_is_told_of_each_server_of_its_user_alone(world):
    world.server().join()
    world.server(server="big", session="big").join()
    world.server("bob", server="his", session="his").join()
    _, *told = world.client().join()
    assert states(told) == [("ready", "big"), ("ready", "")]
    (_, state) = told
    assert (state.server, state.python, state.slots) == ("main", "3.11", 2)
    assert (state.exchange, state.machine) == ("/exchange", "here")


def test_clients_are_told_of_every_registration_of_a_server(world):
    client = world.client()
    client.join()
    server = world.server()
    (welcome,) = server.join()
    assert (welcome.user, welcome.expires_in) == ("ada", float("inf"))
    assert states(client.take()) == [("ready", "")]
    server.join()
    assert states(client.take()) == [("ready", "")]


@pytest.mark.parametrize("versions", [(3, 4), (0, 0), (4, 3)])
def test_a_peer_without_a_common_version_is_refused(world, versions):
    for peer in (world.client(), world.server()):
        peer.hello(versions)
        (refused,) = peer.take()
        assert refused.code == "R12"
        assert "protocol" in refused.message
    assert world.metrics.refused["version"] == 2


@pytest.mark.parametrize(("versions", "common"), [((1, 7), 2), ((2, 3), 2), ((1, 1), 1)])
def test_a_peer_of_another_age_that_speaks_one_of_our_versions_is_welcome(world, versions, common):
    client = world.client()
    client.hello(versions)
    assert client.take()[0].version == common


def test_a_ticket_of_another_key_is_refused(world):
    victim, thief = world.client(), world.client()
    thief.ticket = victim.ticket
    thief.hello()
    assert refusal(thief.take()) == "R02"
    assert world.metrics.refused["ticket"] == 1


def test_a_certificate_is_no_ticket_and_a_ticket_no_certificate(world):
    client, server = world.client(), world.server()
    client.ticket = SIGNING.certificate(user="ada", server="main", key=client.key)
    server.certificate = SIGNING.ticket(user="ada", key=server.key)
    client.hello()
    server.hello()
    assert (refusal(client.take()), refusal(server.take())) == ("R02", "R02")


def test_a_server_hello_on_the_client_port_is_malformed(world):
    server = world.server()
    server.port = Port.CLIENT
    server.hello()
    assert world.sent == []
    assert world.metrics.dropped["malformed"] == 1


def test_nothing_but_a_hello_is_taken_from_a_stranger(world, pair):
    _, server = pair
    stranger = world.client()
    stranger.send(submit(server), attach(trust.new_id()), p.Goodbye())
    assert stranger.take() == [p.Resync()]
    assert server.take() == []
    assert world.metrics.dropped["unknown_peer"] == 3


def test_a_stranger_is_asked_for_a_hello_at_most_once_a_second(world):
    stranger = world.client()
    for _ in range(10):
        stranger.send(p.Heartbeat())
    assert stranger.take() == [p.Resync()]
    world.now += 1.0
    stranger.send(p.Heartbeat())
    assert stranger.take() == [p.Resync()]
    assert world.metrics.resyncs == 2


def test_a_hello_and_what_follows_it_may_share_an_envelope(world):
    server = world.server()
    server.join()
    client = world.client()
    hello = p.ClientHello(versions=(1, 1), ticket=client.ticket, instance=client.instance)
    parcel = submit(server)
    client.send(hello, parcel)
    assert server.take() == [parcel[0]]


def test_an_envelope_without_a_verified_key_is_dropped(world):
    client = world.client()
    client.key = ""
    client.hello()
    assert world.sent == []
    assert world.metrics.dropped["unidentified"] == 1


def test_a_connection_that_took_over_a_routing_id_is_a_stranger(world, pair):
    client, server = pair
    job = start_job(client, server)
    client.key = trust.new_keypair().public.decode()
    client.send(ack(job, 1))
    assert client.take() == [p.Resync()]
    assert server.take() == [p.Detached(job=job)]


def test_a_reconnected_client_keeps_its_jobs(world, pair):
    client, server = pair
    job = start_job(client, server)
    world.move(client, b"new")
    client.join()
    server.send(p.Started(job=job, seq=1))
    assert client.take() == [p.Started(job=job, seq=1)]
    assert server.take() == []
    assert world.metrics.clients == 1


def test_the_number_of_clients_is_limited():
    world = World(replace(LIMITS, clients=2, peers=3))
    for _ in range(2):
        world.client().join()
    assert refusal(world.client().join()) == "R05"
    world.client("bob").join()
    assert refusal(world.client("eve").join()) == "R05"
    assert world.metrics.refused["limit"] == 2


# ------------------------------------------------------------------------- credentials


def test_a_ticket_that_is_not_renewed_ends_the_connection(world, pair):
    client, server = pair
    job = start_job(client, server)
    world.pass_time(900 + LIMITS.credential_grace - 10, client, server)
    assert client.take() == []
    world.pass_time(20, client, server)
    refused, resync, *_ = client.take()
    assert (refused.code, resync) == ("R02", p.Resync())
    assert server.take() == [p.Detached(job=job)]
    assert world.metrics.refused["expired"] == 1


def test_a_renewed_ticket_keeps_the_connection_and_its_jobs(world, pair):
    client, server = pair
    job = start_job(client, server)
    world.pass_time(800, client, server)
    client.ticket = SIGNING.ticket(user="ada", key=client.key, ttl=2000)
    welcome, *_ = client.join()
    assert welcome.expires_in > 1900
    world.pass_time(1000, client, server)
    server.send(p.Started(job=job, seq=1))
    assert client.take() == [p.Started(job=job, seq=1)]


def test_repeating_the_old_ticket_renews_nothing(world, pair):
    client, server = pair
    world.pass_time(800, client, server)
    welcome, *_ = client.join()
    assert 0 < welcome.expires_in <= 100
    world.pass_time(200, client, server)
    assert "R02" in [each.code for each in client.take() if isinstance(each, p.Refused)]


def test_a_refused_renewal_leaves_the_connection_until_the_old_ticket_ends(world, pair):
    client, server = pair
    job = start_job(client, server)
    client.ticket = "rubbish"
    assert refusal(client.join()) == "R02"
    server.send(p.Started(job=job, seq=1))
    assert client.take() == [p.Started(job=job, seq=1)]


def test_a_certificate_that_is_not_renewed_ends_the_connection(world):
    client = world.client(ttl=9000)
    client.join()
    server = world.server(ttl=100)
    server.join()
    client.take()
    world.pass_time(200, client, server)
    refused, resync, *_ = server.take()
    assert (refused.code, resync) == ("R02", p.Resync())
    assert states(client.take()) == [("suspect", "")]


# ------------------------------------------------------------------------------ routing


def test_a_job_runs_from_submission_to_acknowledgement(world, pair):
    client, server = pair
    job = start_job(client, server)
    assert world.metrics.jobs == 1
    server.send(p.Journaled(job=job), p.Started(job=job, seq=1), done(job, 2))
    assert [type(each) for each in client.take()] == [p.Journaled, p.Started, p.Done]
    client.send(ack(job, 1))
    assert world.metrics.jobs == 1
    client.send(ack(job, 2))
    assert server.take() == [ack(job, 1), ack(job, 2)]
    assert world.metrics.jobs == 0


def test_an_envelope_for_one_receiver_is_passed_on_as_it_came(world, pair):
    client, server = pair
    frames = next(framing.pack([submit(server), submit(server)]))
    opaque = [frames[0], object(), object()]
    world.router.receive(world.now, client.port, client.name, client.key, opaque)
    (sending,) = world.router.outgoing()
    assert (sending.port, sending.peer) == (server.port, server.name)
    assert sending.frames is opaque


def test_an_envelope_for_several_receivers_is_split_in_order(world, pair):
    client, server = pair
    other = world.server(server="big", session="big")
    other.join()
    first, second, third = submit(server), submit(other, session="big"), submit(server)
    client.send(first, second, p.Heartbeat(), third)
    assert server.take() == [first[0], third[0]]
    assert other.take() == [second[0]]
    frames = [sending.frames[1:] for sending in world.sent[-4:]]
    assert frames == [[b"work"], [b"work"], [], [b"work"]]


def test_events_for_several_clients_are_split(world, pair):
    client, server = pair
    other = world.client()
    other.join()
    mine, theirs = start_job(client, server), start_job(other, server)
    server.send(done(mine, 1), done(theirs, 1), p.Journaled(job=mine))
    assert [each.job for each in client.take() if not isinstance(each, p.ServerState)] == [mine] * 2
    assert [each.job for each in other.take()] == [theirs]


def test_a_session_with_a_server_of_its_own_is_routed_there(world, pair):
    client, server = pair
    other = world.server(server="big", session="big")
    other.join()
    parcel = submit(other, session="big")
    client.send(parcel)
    assert other.take() == [parcel[0]]
    assert server.take() == []


def test_a_client_hears_last_of_the_server_for_all_other_sessions(world, pair):
    for session in ("maps", "train"):
        world.server(server=session, session=session).join()
    assert [session for _, session in states(world.client().join())] == ["maps", "train", ""]


def test_a_job_gets_to_the_server_it_was_meant_for_when_another_came_meanwhile(world, pair):
    client, server = pair
    own = world.server(server="train", session="train")
    own.join()
    parcel = submit(server, session="train")  # on its way when the other one registered
    client.send(parcel)
    assert (server.take(), own.take()) == ([parcel[0]], [])
    server.send(done(parcel[0].job, 1))
    assert isinstance(client.take()[-1], p.Done)
    # One that was meant for a server that is gone is told so by the one that is there.
    parcel = submit(world.server(), session="train")
    client.send(parcel)
    assert own.take() == [parcel[0]]


def test_a_job_stays_with_its_server_when_its_session_gets_another(world, pair):
    client, server = pair
    parcel = submit(server, session="big")
    client.send(parcel)
    job = parcel[0].job
    other = world.server(server="big", session="big")
    other.join()
    server.take()
    client.send(p.Interrupt(job=job, session="big"))
    assert server.take() == [p.Interrupt(job=job, session="big")]
    other.send(p.Started(job=job, seq=1))
    assert other.take()[-1] == p.Detached(job=job)


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (p.ListJobs, lambda request: p.JobList(request=request, jobs=[])),
        (p.ListSessions, lambda request: p.SessionList(request=request, sessions=[])),
        (p.EndSession, lambda request: p.SessionEnded(request=request, existed=True)),
        (
            lambda **fields: p.ReadLog(job=JOB, **fields),
            lambda request: p.LogPage(request=request, job=JOB, known=True),
        ),
        (p.ReadUsage, lambda request: p.Usage(request=request, known=False)),
    ],
)
def test_requests_are_answered_once(world, pair, ask, answer):
    client, server = pair
    request = trust.new_id()
    message = ask(request=request, session="default")
    client.send(message)
    assert server.take() == [message]
    answer = answer(request)
    server.send(answer)
    server.send(answer)
    assert client.take() == [answer]
    assert world.metrics.jobs == 0
    assert server.take() == []


@pytest.mark.parametrize(
    ("reply", "left"),
    [
        (lambda job: p.Nack(job=job, code="draining", message=""), 0),
        (lambda job: p.Nack(job=job, code="conflict", message=""), 1),
        (lambda job: p.Unknown(job=job, journal="0" * 32), 0),
    ],
)
def test_a_job_that_was_not_accepted_is_forgotten(world, pair, reply, left):
    client, server = pair
    job = start_job(client, server)
    server.send(reply(job))
    assert client.take() == [reply(job)]
    assert world.metrics.jobs == left


def test_a_message_without_a_server_is_dropped_and_counted(world):
    client = world.client()
    client.join()
    client.send(submit(world.server()))
    assert client.take() == []
    assert world.metrics.dropped["no_server"] == 1
    assert world.metrics.jobs == 0


def test_an_event_that_nobody_reads_detaches_its_job(world, pair):
    client, server = pair
    job = trust.new_id()
    server.send(p.Started(job=job, seq=1), done(job, 2))
    assert server.take() == [p.Detached(job=job)]
    assert client.take() == []
    assert world.metrics.dropped["no_reader"] == 2


def test_attaching_moves_a_job_to_another_client_of_the_user(world, pair):
    client, server = pair
    job = start_job(client, server)
    other = world.client()
    other.join()
    other.send(attach(job))
    assert server.take() == [attach(job)]
    server.send(p.Started(job=job, seq=1))
    assert (client.take(), other.take()) == ([], [p.Started(job=job, seq=1)])
    client.send(p.Goodbye())
    assert server.take() == []


def test_jobs_of_one_user_beyond_the_limit_wait_with_their_client():
    world = World(replace(LIMITS, jobs=2))
    server, client = world.server(), world.client()
    server.join()
    client.join()
    jobs = [start_job(client, server) for _ in range(2)]
    parcel = submit(server)
    client.send(parcel)
    assert (server.take(), client.take()) == ([], [])
    assert world.metrics.dropped["jobs_full"] == 1
    server.send(done(jobs[0], 1))
    client.send(ack(jobs[0], 1))
    server.take()
    client.send(parcel)
    assert server.take() == [parcel[0]]


# ----------------------------------------------------------------------------- isolation


def test_no_message_finds_its_way_to_another_user(world, pair):
    client, server = pair
    job = start_job(client, server)
    eve, her_server = world.client("eve"), world.server("eve")
    her_server.join()
    eve.join()
    eve.send(
        submit(server, job),
        attach(job),
        ack(job, 5),
        p.Interrupt(job=job, session="default"),
        p.Cancel(job=job, session="default"),
        (p.Chunk(frames=1, job=job, session="default", seq=0, offset=0), b"x"),
        p.ChunkAck(job=job, session="default", seq=0, received=0),
        p.ListJobs(request=job, session="default"),
    )
    her_server.send(p.Journaled(job=job), done(job, 1), p.Goodbye())
    assert (client.take(), server.take()) == ([], [])
    server.send(done(job, 1))
    assert [type(each) for each in client.take()] == [p.Done]
    assert [type(each) for each in eve.take()] == [p.Journaled, p.Done, p.ServerState]


def test_an_instance_chosen_alike_takes_nothing_from_another_user(world, pair):
    client, server = pair
    job = start_job(client, server)
    eve = world.client("eve")
    eve.instance = client.instance
    eve.join()
    server.send(p.Started(job=job, seq=1))
    assert (client.take(), eve.take()) == ([p.Started(job=job, seq=1)], [])


# ---------------------------------------------------------------------- server life cycle


def test_an_older_start_of_a_server_is_superseded(world, pair):
    client, server = pair
    newer = world.server(journal=server.journal, epoch=2)
    newer.join()
    assert refusal(server.take()) == "superseded"
    server.send(p.Heartbeat())
    assert server.take() == []
    server.hello()
    assert refusal(server.take()) == "superseded"
    parcel = submit(newer)
    client.send(parcel)
    assert (server.take(), newer.take()) == ([], [parcel[0]])


def test_an_older_generation_of_a_server_is_superseded(world, pair):
    client, server = pair
    newer = world.server(generation=2)
    newer.join()
    assert refusal(server.take()) == "superseded"
    server.epoch = 99
    assert refusal(server.join()) == "superseded"
    state = client.take()[-1]
    assert (state.state, state.journal) == ("ready", newer.journal)
    newer.send(p.Goodbye())
    assert refusal(server.join()) == "superseded"
    assert world.metrics.refused["superseded"] == 3


def test_an_older_generation_stays_out_when_the_newer_one_and_the_client_have_left(world, pair):
    client, server = pair
    newer = world.server(generation=2)
    newer.join()
    newer.send(p.Goodbye())
    client.send(p.Goodbye())
    world.pass_time(p.HEARTBEAT)
    assert world.router._directory.users == {}
    server.take()
    server.epoch = 99
    assert refusal(server.join()) == "superseded"
    assert isinstance(world.server(generation=3).join()[0], p.Welcome)


def test_an_older_generation_stays_out_however_many_other_servers_there_were(world):
    older, newer = world.server(), world.server(generation=2)
    newer.join()
    for number in range(100):
        other = world.server(server=f"other-{number}", session=f"other-{number}")
        other.join()
        other.send(p.Goodbye())
    assert refusal(older.join()) == "superseded"


def test_what_is_remembered_of_users_who_left_is_bounded(world, monkeypatch):
    monkeypatch.setattr("rexec_broker.directory._FENCES", 3)
    for number in range(6):
        server = world.server(user=f"user-{number}", generation=2)
        server.join()
        server.send(p.Goodbye())
        world.pass_time(p.HEARTBEAT)
    assert list(world.router._directory._fences) == ["user-3", "user-4", "user-5"]


def test_a_server_that_lost_its_journal_replaces_the_one_before(world, pair):
    client, server = pair
    job = start_job(client, server)
    server.epoch = 7
    server.join()
    client.take()
    fresh = world.server(epoch=1, key=server.key)
    fresh.join()
    (state,) = client.take()
    assert (state.state, state.journal) == ("ready", fresh.journal)
    assert refusal(server.take()) == "superseded"
    assert refusal(server.join()) == "superseded"
    assert world.metrics.jobs == 0
    client.send(attach(job))
    assert fresh.take() == [attach(job)]
    server.epoch = 8
    assert isinstance(server.join()[0], p.Welcome)


def test_a_reconnected_server_is_ready_again_and_keeps_its_jobs(world, pair):
    client, server = pair
    job = start_job(client, server)
    world.move(server, b"new")
    (welcome,) = server.join()
    assert isinstance(welcome, p.Welcome)
    assert states(client.take()) == [("ready", "")]
    server.send(p.Started(job=job, seq=1))
    assert client.take() == [p.Started(job=job, seq=1)]
    assert world.metrics.refused["superseded"] == 0


def listed(world):
    """Return what the list of servers tells."""
    world.router.tick(world.now)
    return json.loads(world.router.roll.told("", -1, 0))


def test_the_list_tells_of_a_suspect_server_and_no_longer_of_a_lost_one(world, pair):
    client, server = pair
    world.pass_time(1, client, server)
    before = listed(world)
    assert [each["state"] for each in before["servers"]] == ["ready"]
    world.pass_time(p.SUSPECT + p.HEARTBEAT, client)
    suspect = listed(world)
    assert [each["state"] for each in suspect["servers"]] == ["suspect"]
    assert suspect["seq"] > before["seq"]
    world.pass_time(p.LOST, client)
    assert listed(world)["servers"] == []


def test_the_list_is_not_written_for_each_of_many_changes(world):
    servers = [world.server(user=f"user-{number}") for number in range(500)]
    before = listed(world)["seq"]
    for number, server in enumerate(servers):
        server.join()
        world.now += 0.001
        world.router.tick(world.now)
        server.send(p.Heartbeat(running=number % 2))
    world.now += 1
    told = listed(world)
    assert sum(each["running"] for each in told["servers"]) == 250
    assert told["seq"] - before < 50


def test_a_silent_server_is_suspect_then_lost(world, pair):
    client, server = pair
    job = start_job(client, server)
    world.pass_time(p.SUSPECT, client)
    assert client.take() == []
    world.pass_time(p.HEARTBEAT, client)
    assert states(client.take()) == [("suspect", "")]
    assert world.metrics.servers == {"ready": 0, "suspect": 1, "draining": 0}
    world.pass_time(p.LOST - p.SUSPECT - p.HEARTBEAT, client)
    assert client.take() == []
    world.pass_time(p.HEARTBEAT, client)
    (state,) = client.take()
    assert (state.state, state.journal) == ("lost", server.journal)
    assert world.metrics.servers == {"ready": 0, "suspect": 0, "draining": 0}
    assert world.metrics.jobs == 0
    server.send(p.Started(job=job, seq=1))
    assert server.take() == [p.Resync()]
    assert states(world.client().join()) == [("absent", "")]


def test_a_suspect_server_that_speaks_again_is_ready(world, pair):
    client, server = pair
    world.pass_time(p.SUSPECT + p.HEARTBEAT, client)
    client.take()
    server.send(p.Heartbeat(running=1))
    assert server.take() == [p.Heartbeat(epoch=EPOCH)]
    assert states(client.take()) == [("ready", "")]


def test_a_partition_shorter_than_the_lease_costs_nothing(world, pair):
    client, server = pair
    job = start_job(client, server)
    world.pass_time(p.LOST - 5, client)
    server.send(p.Started(job=job, seq=1))
    assert client.take()[-1] == p.Started(job=job, seq=1)


def test_a_server_that_cannot_be_reached_is_suspect_at_once(world, pair):
    client, server = pair
    world.router.undeliverable(world.now, server.port, server.name)
    world.deliver()
    assert states(client.take()) == [("suspect", "")]
    client.send(submit(server))
    assert server.take() == []
    assert world.metrics.dropped["no_server"] == 1
    server.send(p.Heartbeat())
    assert server.take() == [p.Resync()]
    server.join()
    assert states(client.take()) == [("ready", "")]


def test_a_server_that_says_goodbye_is_absent(world, pair):
    client, server = pair
    start_job(client, server)
    server.send(p.Goodbye())
    (state,) = client.take()
    assert (state.state, state.journal) == ("absent", server.journal)
    assert world.metrics.jobs == 0


def test_a_goodbye_counts_that_is_read_after_the_connection_is_known_to_be_gone(world, pair):
    client, server = pair
    world.router.undeliverable(world.now, server.port, server.name)
    server.send(p.Goodbye())
    assert server.take() == []
    assert states(client.take()) == [("suspect", ""), ("absent", "")]
    assert world.metrics.servers == {"ready": 0, "suspect": 0, "draining": 0}


def test_such_a_goodbye_does_not_count_from_another_key_or_once_the_server_is_back(world, pair):
    client, server = pair
    before, key = server.name, server.key
    world.router.undeliverable(world.now, server.port, before)
    server.key = "other"
    server.send(p.Goodbye())
    server.key = key
    world.move(server, b"new")
    server.join()
    assert states(client.take()) == [("suspect", ""), ("ready", "")]
    world.move(server, before)
    server.send(p.Goodbye())
    assert client.take() == []


def test_a_draining_server_stays_so_through_silence_and_reconnection(world, pair):
    client, server = pair
    server.send(p.Drain(grace=60))
    world.pass_time(p.SUSPECT + p.HEARTBEAT, client)
    server.send(p.Heartbeat())
    world.move(server, b"new")
    server.join()
    told = [state for state, _ in states(client.take())]
    assert told == ["draining", "suspect", "draining", "ready", "draining"]


# ------------------------------------------------------------------------ clients that go


def leave_with_a_goodbye(world, client):
    client.send(p.Goodbye())


def leave_by_losing_the_connection(world, client):
    world.router.undeliverable(world.now, client.port, client.name)


def leave_by_not_reading(world, client):
    world.router.congested(world.now, client.port, client.name)


@pytest.mark.parametrize(
    "leave", [leave_with_a_goodbye, leave_by_losing_the_connection, leave_by_not_reading]
)
def test_the_jobs_of_a_client_that_left_are_detached(world, pair, leave):
    client, server = pair
    job = start_job(client, server)
    leave(world, client)
    world.deliver()
    assert server.take() == [p.Detached(job=job)]
    assert (world.metrics.clients, world.metrics.jobs) == (0, 0)


def test_the_jobs_of_a_silent_client_are_detached(world, pair):
    client, server = pair
    job = start_job(client, server)
    world.pass_time(p.LOST, server)
    assert server.take() == []
    world.pass_time(p.HEARTBEAT, server)
    assert server.take() == [p.Detached(job=job)]


def test_a_client_that_does_not_read_is_asked_to_say_hello_again(world, pair):
    client, server = pair
    job = start_job(client, server)
    world.router.congested(world.now, client.port, client.name)
    world.deliver()
    assert client.take() == [p.Resync()]
    client.join()
    client.send(attach(job))
    assert server.take() == [p.Detached(job=job), attach(job)]


def test_a_server_that_does_not_read_is_asked_to_say_hello_again(world, pair):
    client, server = pair
    world.router.congested(world.now, server.port, server.name)
    world.deliver()
    assert server.take() == [p.Resync()]
    assert states(client.take()) == [("suspect", "")]


# ---------------------------------------------------------------------- hostile and broken


def test_a_key_whose_error_budget_is_spent_is_ignored_for_a_while(world, pair):
    client, server = pair
    for _ in range(LIMITS.errors):
        client.send_frames([b"rubbish"])
    assert world.router.budget.ignores(world.now, client.key)
    client.send(submit(server))
    assert server.take() == []
    assert world.metrics.dropped["malformed"] == LIMITS.errors
    assert world.metrics.dropped["ignored"] == 1
    world.pass_time(LIMITS.penalty, server)
    client.send(submit(server))
    assert len(server.take()) == 1


def test_errors_far_apart_are_forgiven(world, pair):
    client, server = pair
    for _ in range(2 * LIMITS.errors):
        world.pass_time(10, client, server)
        client.send_frames([b"rubbish"])
    assert not world.router.budget.ignores(world.now, client.key)


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b""],
        [b"\x90"],
        [b"\x91\x90"],
        [b"\x91\x91\xa6submit"],
        [b"\xc1" * 40],
        [b"\x91" * 5000],
        [bytes(p.MAX_HEADER + 1)],
        [b"\x91\x92\xa9heartbeat\x01"],
        [b"\x91\x92\xa9heartbeat\x00", b"left over"],
        [b"\x91\x92\xa9heartbeat\x00"] + [b""] * 300,
    ],
)
def test_what_is_not_of_the_protocol_is_dropped_and_counted(world, pair, frames):
    for peer in pair:
        peer.send_frames(frames)
        assert peer.take() == []
    assert world.metrics.dropped["malformed"] == 2


def test_a_draining_broker_takes_no_hellos_and_goes_on_forwarding(world, pair):
    client, server = pair
    world.router.drain(world.now)
    newcomer = world.client()
    newcomer.hello()
    assert newcomer.take() == []
    assert world.metrics.dropped["draining"] == 1
    job = start_job(client, server)
    server.send(done(job, 1))
    assert [type(each) for each in client.take()] == [p.Done]


def test_a_user_of_whom_nothing_is_connected_leaves_no_trace(world, pair):
    client, server = pair
    start_job(client, server)
    client.send(p.Goodbye())
    server.send(p.Goodbye())
    world.pass_time(p.HEARTBEAT)
    directory = world.router._directory
    assert (directory.users, directory.clients, directory.servers) == ({}, {}, {})
    assert world.metrics.jobs == 0
