"""The agent's one connection to the broker: encrypted, and made again when it breaks."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from enum import Enum

import zmq

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.framing import Frame, FramingError, Parcel, Unpacker, pack
from rexec_jupyter.core.mailbox import Mailbox
from rexec_jupyter.core.sockets import WATCHED, dealer, happened
from rexec_jupyter.core.trust import KeyPair

_RECONNECT_MOST_MS = 4000
_FAREWELL_MS = 500
_log = logging.getLogger(__name__)


class Change(Enum):
    """What happened to the connection."""

    MADE = "made"
    LOST = "lost"
    RETRIED = "retried"


class BrokerLink:
    """A DEALER socket and its monitor.

    Parameters
    ----------
    endpoint
        Server port of the broker, such as ``tcp://broker:5560``.
    broker_key
        The broker's public CURVE key, in Z85: nobody else can answer.
    keys
        The agent's own CURVE keys, which its certificate names.
    """

    def __init__(self, endpoint: str, broker_key: bytes, keys: KeyPair) -> None:
        self._endpoint = endpoint
        self._broker_key = broker_key
        self._keys = keys
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._unsent: deque[list[Frame]] = deque()
        self._arrived: deque[Parcel] = deque()
        self._unpacker: Unpacker[p.ToServer] = Unpacker(p.ToServer)
        self._complained = False
        self._open()

    def _open(self) -> None:
        socket = dealer(self._context, self._broker_key, self._keys, _RECONNECT_MOST_MS)
        self._socket = socket
        self._mailbox = Mailbox(socket)
        self._monitor = socket.get_monitor_socket(WATCHED)
        self._news = Mailbox(self._monitor)
        socket.connect(self._endpoint)

    @property
    def descriptors(self) -> tuple[int, int]:
        """File descriptors of the socket and its monitor; readable is a hint to look."""
        return self._socket.fileno(), self._monitor.fileno()

    @property
    def pending(self) -> bool:
        """Whether something may have arrived that no descriptor tells."""
        return bool(self._arrived) or self._mailbox.pending

    def arrived(self) -> None:
        """Note that the socket's descriptor is readable."""
        self._mailbox.arrived()

    @property
    def torn(self) -> bool:
        """Whether nothing more is received until it is opened again; see `Mailbox`."""
        return self._mailbox.torn

    @property
    def blocked(self) -> bool:
        """Whether what was sent waits for the network."""
        return bool(self._unsent)

    def changes(self) -> Iterator[Change]:
        """Yield what happened to the connection since the last call."""
        self._news.arrived()
        while message := self._news.receive():
            event, _ = happened(message)
            if event == zmq.Event.HANDSHAKE_SUCCEEDED:
                self._complained = False
                self._forget()
                yield Change.MADE
            elif event == zmq.Event.DISCONNECTED:
                self._forget()
                yield Change.LOST
            elif event == zmq.Event.CONNECT_RETRIED:
                yield Change.RETRIED
            elif not self._complained:
                self._complained = True
                _log.warning("%s does not answer as a broker with that key", self._endpoint)

    def receive(self, most: int) -> Iterator[Parcel]:
        """Yield messages that have arrived, at most so many."""
        for _ in range(most):
            while not self._arrived:
                envelope = self._mailbox.receive()
                if envelope is None:
                    return
                self._open_envelope(envelope)
            yield self._arrived.popleft()

    def _open_envelope(self, envelope: list[Frame]) -> None:
        try:
            self._arrived.extend(self._unpacker.unpack(envelope))
        except FramingError as error:
            _log.warning("the broker sent something that is not understood: %s", error)

    def send(self, parcels: list[Parcel]) -> None:
        """Send messages; what the network does not take now waits for `flush`."""
        self._unsent.extend(pack(parcels))
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the network takes it."""
        while self._unsent:
            try:
                self._mailbox.send(self._unsent[0])
            except zmq.Again:
                return
            self._unsent.popleft()

    def reopen(self) -> None:
        """Give the connection up and make another one."""
        self._forget()
        self._close(linger=0)
        self._open()

    def _forget(self) -> None:
        """Drop what belongs to a connection that is gone."""
        self._unsent.clear()
        self._arrived.clear()

    def _close(self, linger: int) -> None:
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=linger)

    def close(self) -> None:
        """Close the connection, after what was sent has left if that is soon."""
        self._close(_FAREWELL_MS)
        self._context.term()
