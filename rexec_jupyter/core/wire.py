"""The socket to the broker, on an event loop: encrypted, and saying when it is connected."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import zmq

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.backend import Address
from rexec_jupyter.core.mailbox import Mailbox
from rexec_jupyter.core.sockets import FORSAKEN, WATCHED, dealer, happened
from rexec_jupyter.core.trust import KeyPair

_BATCH = 64
"""Envelopes taken before others get their turn."""
_REFUSALS = 3
"""Handshakes in a row that the other side broke off before it is taken for unwilling."""
_RECONNECT_MOST_MS = 10_000


class Wire:
    """One DEALER socket with its monitor. Create and use it on the running event loop.

    Parameters
    ----------
    on_message
        Takes each envelope.
    on_writable
        Called after envelopes were taken, and when more can be sent.
    on_connected, on_disconnected
        Called after each handshake, and when the connection it made is gone.
    on_refused
        Takes the reason why the other side does not complete the handshake.
    on_forsaken
        Called if ZeroMQ does not try again, or not rightly: another one is needed.
    """

    def __init__(
        self,
        address: Address,
        keys: KeyPair,
        *,
        on_message: Callable[[list[p.Buffer]], None],
        on_writable: Callable[[], None],
        on_connected: Callable[[], None],
        on_disconnected: Callable[[], None],
        on_refused: Callable[[str], None],
        on_forsaken: Callable[[], None],
    ) -> None:
        self.address = address
        self._on_message = on_message
        self._on_writable = on_writable
        self._on_connected = on_connected
        self._on_disconnected = on_disconnected
        self._on_refused = on_refused
        self._on_forsaken = on_forsaken
        self._forsaken: asyncio.TimerHandle | None = None
        self._refusals = 0
        self._established = False
        self._again = False
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        broker_key = address.broker_key.encode()
        self._socket = dealer(self._context, broker_key, keys, _RECONNECT_MOST_MS)
        self._mailbox = Mailbox(self._socket)
        self._monitor = self._socket.get_monitor_socket(WATCHED)
        self._news = Mailbox(self._monitor)
        self._socket.connect(address.endpoint)
        self._loop.add_reader(self._monitor.fileno(), self._watch)
        self._loop.add_reader(self._socket.fileno(), self._arrived)
        self._watch()

    def close(self, linger: float = 0.0) -> None:
        """Give the socket up; what was sent may take `linger` seconds to leave."""
        if self._closed:
            return
        self._closed = True
        self._try_on()
        self._loop.remove_reader(self._monitor.fileno())
        self._loop.remove_reader(self._socket.fileno())
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=int(linger * 1000))
        self._context.term()

    def send(self, envelopes: deque[list[p.Buffer]]) -> None:
        """Send from the front of a queue what can be sent now."""
        if self._closed:
            return
        try:
            while envelopes:
                self._mailbox.send(envelopes[0])
                envelopes.popleft()
        except zmq.Again:
            pass
        self._pump_soon()

    def _pump_soon(self) -> None:
        if not self._again and not self._closed and self._mailbox.pending:
            self._again = True
            self._loop.call_soon(self._pump)

    def _arrived(self) -> None:
        self._mailbox.arrived()
        if not self._again:
            self._pump()

    def _pump(self) -> None:
        self._again = False
        if self._closed:
            return
        for _ in range(_BATCH):
            envelope = self._mailbox.receive()
            if envelope is None:
                break
            self._on_message(envelope)
        if self._mailbox.torn and not self._closed:
            self._lost()
            self._on_forsaken()
            return
        self._on_writable()
        self._pump_soon()

    def _watch(self) -> None:
        self._news.arrived()
        while not self._closed and (message := self._news.receive()):
            event, _ = happened(message)
            self._on_event(event)

    def _lost(self) -> None:
        if self._established:
            self._established = False
            self._on_disconnected()

    def _try_on(self) -> None:
        if self._forsaken is not None:
            self._forsaken.cancel()
            self._forsaken = None

    def _on_event(self, event: int) -> None:
        if event == zmq.EVENT_DISCONNECTED:
            self._try_on()
            self._forsaken = self._loop.call_later(FORSAKEN, self._on_forsaken)
        if event == zmq.EVENT_CONNECT_RETRIED:
            self._try_on()
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._established = True
            self._refusals = 0
            self._on_connected()
        elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            self._on_refused("it does not accept the key of this client")
        elif event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
            self._on_refused("it does not speak this protocol")
        elif self._established:
            if event == zmq.EVENT_DISCONNECTED:
                self._lost()
        elif event in (zmq.EVENT_DISCONNECTED, zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL):
            self._refusals += 1
            if self._refusals >= _REFUSALS:
                self._on_refused("it breaks off the handshake")
