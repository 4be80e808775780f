"""One of the two encrypted ports: its options, and envelopes in and out within bounds."""

from __future__ import annotations

import enum
import errno
import re
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import zmq

from rexec_broker.limits import Limits
from rexec_broker.metrics import Metrics, Traffic
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.mailbox import COPIED, Mailbox
from rexec_jupyter.core.sockets import happened, harden
from rexec_jupyter.core.trust import KeyPair

_QUEUE = 64  # envelopes, each of up to a MiB
_BURST = 64
_MAX_ENVELOPE = p.MAX_HEADER + 2 * p.CHUNK
_OVERHEAD = 256
_FIRST_RETRY = 0.001
_LAST_RETRY = 0.05
_IPV4 = re.compile(r"tcp://\d+\.\d+\.\d+\.\d+:")

_HANDSHAKES: dict[int, str] = {
    zmq.Event.HANDSHAKE_SUCCEEDED: "accepted",
    zmq.Event.HANDSHAKE_FAILED_AUTH: "denied",
    zmq.Event.HANDSHAKE_FAILED_NO_DETAIL: "broken_off",
}
_PROTOCOL_ERRORS: dict[int, str] = {
    zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH: "not_curve",
    zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC: "wrong_key",
}


class Arrival(NamedTuple):
    """An envelope that came in, as `Router.receive` takes it."""

    peer: bytes
    key: str
    frames: list[Any]


class Fate(enum.Enum):
    """What became of an envelope that was to be sent.

    ``GONE``: the connection does not exist any more. ``CONGESTED``: too much was waiting for
    the peer; all of that and the envelope were thrown away.
    """

    SENT = enum.auto()
    WAITING = enum.auto()
    GONE = enum.auto()
    CONGESTED = enum.auto()


class _Queue:
    """What waits for a peer that does not read."""

    __slots__ = ("delay", "envelopes", "nbytes", "retry_at")

    def __init__(self, now: float) -> None:
        self.envelopes: deque[list[Any]] = deque()
        self.nbytes = 0
        self.delay = _FIRST_RETRY
        self.retry_at = now + self.delay


class EncryptedPort:
    """A ROUTER socket that speaks CURVE and nothing else.

    Parameters
    ----------
    domain
        Under which the ZAP handler is asked about connections.
    traffic
        The counters of this port.

    Attributes
    ----------
    socket, monitor
        To be polled for input.
    mailbox
        Tells whether that may be waited for.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        keys: KeyPair,
        domain: bytes,
        limits: Limits,
        metrics: Metrics,
        traffic: Traffic,
    ) -> None:
        self._limits = limits
        self._metrics = metrics
        self._traffic = traffic
        self._queues: dict[bytes, _Queue] = {}
        self.socket = router_socket(context, keys, domain)
        self.mailbox = Mailbox(self.socket)
        self.monitor = self.socket.get_monitor_socket(
            zmq.Event.HANDSHAKE_SUCCEEDED
            | zmq.Event.HANDSHAKE_FAILED_AUTH
            | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
            | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
        )

    def bind(self, address: str) -> str:
        """Open the port.

        Returns
        -------
        str
            The address with the real port number.

        Raises
        ------
        zmq.ZMQError
            If the address is taken or cannot be used.
        """
        # An IPv4 address bound by an IPv6 socket would come back in a mapped form.
        self.socket.ipv6 = _IPV4.match(address) is None
        self.socket.bind(address)
        return self.socket.get_string(zmq.LAST_ENDPOINT)

    def close(self, linger: float) -> None:
        """Close the port, giving what was sent `linger` seconds to leave."""
        self.socket.disable_monitor()
        self.monitor.close(linger=0)
        self.socket.close(linger=int(linger * 1000))

    # ------------------------------------------------------------------------- input

    def arrivals(self) -> Iterator[Arrival]:
        """Yield what has come in, at most as much as leaves the other port its turn."""
        for _ in range(_BURST):
            first = self.mailbox.first()
            if first is None:
                return
            frames, nbytes = self._rest(first)
            self._traffic.envelopes_in += 1
            self._traffic.bytes_in += nbytes
            try:
                key = str(first.get("User-Id"))
            except zmq.ZMQError:
                key = ""
            yield Arrival(first.bytes, key, frames)

    def _rest(self, first: zmq.Frame) -> tuple[list[Any], int]:
        """Receive the rest of an envelope; one beyond all limits arrives empty."""
        receive = self.mailbox.next
        frames: list[Any] = []
        nbytes = 0
        more = first.more
        while more:
            frame = receive()
            more = frame.more
            size = len(frame)
            nbytes += size
            if nbytes <= _MAX_ENVELOPE and len(frames) <= p.MAX_FRAMES + 1:
                frames.append(frame if frames and size >= COPIED else frame.bytes)
        return (frames if nbytes <= _MAX_ENVELOPE else []), nbytes

    def watch(self) -> None:
        """Count the handshakes that happened."""
        while True:
            try:
                event, value = happened(self.monitor.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                return
            outcome = _HANDSHAKES.get(event)
            if outcome is None:
                outcome = _PROTOCOL_ERRORS.get(value, "broken_off")
            self._metrics.handshakes[outcome] += 1

    # ------------------------------------------------------------------------ output

    def send(self, now: float, peer: bytes, frames: list[Any]) -> Fate:
        """Send an envelope, or let it wait if the peer does not read."""
        queue = self._queues.get(peer)
        if queue is None:
            fate = self._transmit(peer, frames)
            if fate is not Fate.WAITING:
                return fate
            queue = self._queues[peer] = _Queue(now)
        cost = _cost(frames)
        total = self._metrics.egress_bytes
        if queue.envelopes and (
            queue.nbytes + cost > self._limits.egress_bytes
            or total + cost > self._limits.egress_total
        ):
            self._metrics.dropped["congested"] += len(queue.envelopes) + 1
            self._discard(queue)
            return Fate.CONGESTED
        queue.envelopes.append(frames)
        queue.nbytes += cost
        self._metrics.egress_bytes += cost
        return Fate.WAITING

    def retry(self, now: float) -> list[bytes]:
        """Send what waits, where it is time to try.

        Returns
        -------
        list of bytes
            Peers that turned out to be gone.
        """
        gone = []
        for peer, queue in list(self._queues.items()):
            if now < queue.retry_at:
                continue
            fate = self._drain(peer, queue)
            if fate is Fate.WAITING:
                queue.retry_at = now + queue.delay
                queue.delay = min(2 * queue.delay, _LAST_RETRY)
                continue
            del self._queues[peer]
            if fate is Fate.GONE:
                self._discard(queue)
                gone.append(peer)
        return gone

    @property
    def congested(self) -> bool:
        """Whether anything waits for a peer that does not read."""
        return bool(self._queues)

    @property
    def retry_at(self) -> float:
        """When `retry` has something to do, in monotonic seconds."""
        return min((queue.retry_at for queue in self._queues.values()), default=float("inf"))

    def _drain(self, peer: bytes, queue: _Queue) -> Fate:
        while queue.envelopes:
            fate = self._transmit(peer, queue.envelopes[0])
            if fate is not Fate.SENT:
                return fate
            cost = _cost(queue.envelopes.popleft())
            queue.nbytes -= cost
            queue.delay = _FIRST_RETRY
            self._metrics.egress_bytes -= cost
        return Fate.SENT

    def _discard(self, queue: _Queue) -> None:
        self._metrics.egress_bytes -= queue.nbytes
        queue.envelopes.clear()
        queue.nbytes = 0

    def _transmit(self, peer: bytes, frames: list[Any]) -> Fate:
        try:
            self.mailbox.send([peer, *frames])
        except zmq.Again:
            return Fate.WAITING
        except zmq.ZMQError as error:
            if error.errno != errno.EHOSTUNREACH:
                raise
            self._metrics.dropped["unreachable"] += 1
            return Fate.GONE
        self._traffic.envelopes_out += 1
        self._traffic.bytes_out += sum(map(len, frames))
        return Fate.SENT


def _cost(frames: list[Any]) -> int:
    return sum(map(len, frames)) + _OVERHEAD * len(frames)


def router_socket(
    context: zmq.Context[zmq.Socket[bytes]], keys: KeyPair, domain: bytes
) -> zmq.Socket[bytes]:
    """Make a ROUTER socket that accepts CURVE connections of `domain` alone."""
    socket = context.socket(zmq.ROUTER)
    harden(socket)
    socket.curve_server = True
    socket.curve_publickey = keys.public
    socket.curve_secretkey = keys.secret
    socket.zap_domain = domain
    socket.router_mandatory = True
    socket.sndhwm = socket.rcvhwm = _QUEUE
    socket.backlog = 1024
    return socket
