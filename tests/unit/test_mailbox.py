"""Envelopes through real ZeroMQ sockets, and when their descriptors may be waited for."""

import select

import pytest
import zmq

from rexec_jupyter.core.mailbox import COPIED, Mailbox


@pytest.fixture
def sockets():
    context = zmq.Context()
    router, dealer = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    router.router_mandatory = True
    router.linger = dealer.linger = 0
    port = router.bind_to_random_port("tcp://127.0.0.1")
    dealer.connect(f"tcp://127.0.0.1:{port}")
    yield router, dealer
    context.destroy(linger=0)


def await_one(mailbox, socket):
    """Do as an event loop does: wait only where that is allowed."""
    poll = select.poll()
    poll.register(socket.fileno(), select.POLLIN)
    while True:
        if (envelope := mailbox.receive()) is not None:
            return envelope
        if not mailbox.pending:
            assert poll.poll(60_000), "nothing came"
            mailbox.arrived()


@pytest.mark.parametrize("size", [0, 1, COPIED - 1, COPIED, 3 * COPIED])
def test_an_envelope_arrives_as_it_was_sent(sockets, size):
    router, dealer = sockets
    frames = [b"header", bytes(size), b"x" * size, b"end"]
    Mailbox(dealer).send(frames)
    _, *received = await_one(Mailbox(router), router)
    assert [bytes(frame) for frame in received] == frames


def test_what_sending_swallows_is_noticed_before_waiting(sockets):
    router, dealer = sockets
    server, client = Mailbox(router), Mailbox(dealer)
    client.send([b"hello"])
    peer, _ = await_one(server, router)
    # Each side sends before it waits, which takes the news of what has arrived meanwhile.
    for number in range(1000):
        server.send([peer, b"%d" % number])
        client.send([b"%d" % number])
        assert await_one(client, dealer) == [b"%d" % number]
        assert await_one(server, router)[1] == b"%d" % number


def test_all_that_arrived_is_received_without_waiting_again(sockets):
    router, dealer = sockets
    server, client = Mailbox(router), Mailbox(dealer)
    for number in range(500):
        client.send([b"%d" % number])
    received = [await_one(server, router)[1] for _ in range(500)]
    assert received == [b"%d" % number for number in range(500)]
    assert server.receive() is None
    assert not server.pending


def test_what_cannot_be_sent_is_not_begun(sockets):
    router, dealer = sockets
    server, client = Mailbox(router), Mailbox(dealer)
    with pytest.raises(zmq.ZMQError):
        server.send([b"nobody", b"header", b"payload"])
    client.send([b"one", b"two"])
    assert await_one(server, router)[1:] == [b"one", b"two"]
    with (
        zmq.Context() as context,
        context.socket(zmq.DEALER) as alone,
        pytest.raises(zmq.Again),
    ):
        Mailbox(alone).send([b"one", b"two"])


class Between:
    """A dealer whose other side goes between the first frame of an envelope and the second."""

    def __init__(self, dealer, router):
        self._dealer = dealer
        self._router = router
        self.getsockopt = dealer.getsockopt

    def recv(self, *given, **more):
        frame = self._dealer.recv(*given, **more)
        if not self._router.closed:
            with self._dealer.get_monitor_socket(zmq.Event.CONNECT_RETRIED) as monitor:
                self._router.close(linger=0)
                assert monitor.poll(60_000), "it was not noticed"
                self._dealer.disable_monitor()
            # The socket hears of it, asks for the end of the pipe, and hears that it is there.
            self._dealer.getsockopt(zmq.EVENTS)
            select.select([self._dealer.fileno()], [], [], 1.0)
            self._dealer.getsockopt(zmq.EVENTS)
        return frame


def test_an_envelope_that_is_torn_is_none_and_no_other_is_received_after_it():
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        router = context.socket(zmq.ROUTER)
        # As those of clients and servers: what waits is dropped with its connection.
        dealer.immediate = True
        dealer.linger = 0
        port = router.bind_to_random_port("tcp://127.0.0.1")
        dealer.connect(f"tcp://127.0.0.1:{port}")
        dealer.send(b"hello")
        peer, _ = router.recv_multipart()
        router.send_multipart([peer, b"header", b"payload", b"end"])
        mailbox = Mailbox(Between(dealer, router))
        assert dealer.poll(60_000)
        mailbox.arrived()
        assert mailbox.receive() is None
        assert mailbox.torn
        mailbox.arrived()
        assert not mailbox.pending
        assert mailbox.receive() is None
