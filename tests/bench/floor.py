"""What ZeroMQ alone takes on this machine, now: a client, a proxy written in C and an echo.

Three processes on loopback TCP, as in rexec (client, broker, server), that do nothing but
pass messages on. Measured with CURVE, as rexec speaks, and in plaintext.
"""

import time
from contextlib import ExitStack, contextmanager

import zmq

from tests.bench.processes import elsewhere

SMALL = bytes(256)
"""A small message; about as long as a call of a function without arguments."""
CHUNK = 1024 * 1024

_LAST, _MORE = b"\0", b"\1"  # an echo is due at once, or only after more has come


class FloorError(Exception):
    """The floor itself did not work: what came back is not what was sent."""


class Floor:
    """A client connected to an echo through a proxy, and what can be measured there."""

    def __init__(self, socket):
        self._socket = socket
        self._exchange(SMALL)

    def round_trips(self, count):
        """Return how long each of `count` small messages took there and back, in seconds."""
        for _ in range(max(count // 10, 1)):
            self._exchange(SMALL)
        taken = []
        for _ in range(count):
            began = time.perf_counter()
            self._exchange(SMALL)
            taken.append(time.perf_counter() - began)
        return taken

    def rate(self, count):
        """Return how many small messages a second go there and back without waiting for any."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        began = time.perf_counter()
        sent = received = 0
        while received < count:
            while sent < min(count, received + 1000):
                self._socket.send_multipart((_LAST, SMALL))
                sent += 1
            poller.poll()
            try:
                while True:
                    self._socket.recv_multipart(zmq.DONTWAIT)
                    received += 1
            except zmq.Again:
                pass
        return count / (time.perf_counter() - began)

    def bulk(self, content):
        """Return the seconds in which `content` went there as a whole and came back.

        The better of one large frame and of chunks.
        """
        return min(self._bulk_whole(content), self._bulk_chunks(content))

    def _exchange(self, frame):
        self._socket.send_multipart((_LAST, frame))
        if len(self._socket.recv_multipart()[1]) != len(frame):
            raise FloorError("a message came back with another length")

    def _bulk_whole(self, content):
        began = time.perf_counter()
        self._socket.send_multipart((_LAST, content), copy=False)
        _, back = self._socket.recv_multipart(copy=False)
        taken = time.perf_counter() - began
        if back.buffer != memoryview(content):
            raise FloorError("a large message came back changed")
        return taken

    def _bulk_chunks(self, content):
        view = memoryview(content)
        target = memoryview(bytearray(len(view)))
        began = time.perf_counter()
        for at in range(0, len(view), CHUNK):
            flag = _MORE if at + CHUNK < len(view) else _LAST
            self._socket.send_multipart((flag, view[at : at + CHUNK]), copy=False)
        for at in range(0, len(view), CHUNK):
            target[at : at + CHUNK] = self._socket.recv_multipart(copy=False)[1].buffer
        taken = time.perf_counter() - began
        if target != view:
            raise FloorError("chunks came back changed")
        return taken


@contextmanager
def running_floor(*, curve):
    """Start the proxy and the echo; give the `Floor`; stop them."""
    keys = zmq.curve_keypair() if curve else None
    with ExitStack() as stack:
        _, pipe = stack.enter_context(elsewhere(_proxy, keys))
        addresses = pipe.recv()
        _, pipe = stack.enter_context(elsewhere(_echo, keys, addresses["echo"]))
        pipe.recv()
        context = stack.enter_context(zmq.Context())
        yield Floor(stack.enter_context(_dealer(context, keys, addresses["client"])))


def _proxy(pipe, keys):
    context = zmq.Context()
    front, back = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    for socket in (front, back):
        socket.set_hwm(0)
        if keys:
            socket.curve_publickey, socket.curve_secretkey = keys
            socket.curve_server = True
        socket.bind("tcp://127.0.0.1:*")
    pipe.send({"client": front.last_endpoint, "echo": back.last_endpoint})
    zmq.proxy(front, back)


def _echo(pipe, keys, address):
    socket = _dealer(zmq.Context(), keys, address)
    pipe.send("ready")
    held = []
    while True:
        held.append(socket.recv_multipart(copy=False))
        if held[-1][1].bytes == _LAST:
            for message in held:
                socket.send_multipart(message, copy=False)
            held.clear()


def _dealer(context, keys, address):
    socket = context.socket(zmq.DEALER)
    socket.set_hwm(0)
    socket.linger = 0
    if keys:
        socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
        socket.curve_serverkey = keys[0]
    socket.connect(address)
    return socket
