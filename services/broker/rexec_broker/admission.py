"""Who may connect at all: the ZAP handler, its self-test and its watchdog.

Threat model
------------
ZeroMQ asks a handler bound to an address within the process whether to accept a CURVE key.
If nobody is bound there it accepts every key, silently; so the handler is bound and proved to
refuse before a port opens, and goes on being proved to work while the ports are open.

The handler admits any CURVE key in the broker's own domains, except those whose error budget
is spent. It cannot know more: which user a key belongs to is said by a ticket or certificate,
and that comes later. A connection therefore means nothing; the gate is the hello. It is signed
and bound to the CURVE key, the router compares it with the key that ZeroMQ verified for that
very envelope, and takes nothing from a peer before it. Should the handler die all the same,
envelopes come without a verified key and are dropped.

What an attacker without a credential can still do is to use up what a connection costs: file
descriptors, handshakes, and memory for an envelope whose end never comes, which ZeroMQ does
not bound. And ZeroMQ ends the process when a peer claims the routing id that it is about to
give to the next connection; `unpredictable_routing_ids` leaves that to luck of one in 2³² a
try. The broker's state is soft so that a restart heals both; a port that faces the open
Internet wants a limit on connections an address in front of it.
"""

from __future__ import annotations

import ctypes
import logging
import secrets
import threading
import time
from collections.abc import Callable, Collection

import zmq
from zmq.utils import z85

from rexec_broker.ports import router_socket
from rexec_jupyter.core.sockets import happened
from rexec_jupyter.core.trust import new_keypair

_ENDPOINT = "inproc://zeromq.zap.01"
_VERSION = b"1.0"
_CANARY = b"rexec.canary"
_TEST_SECONDS = 5.0
_WATCH_SECONDS = 30.0

_log = logging.getLogger(__name__)
Context = zmq.Context[zmq.Socket[bytes]]


class AdmissionError(RuntimeError):
    """The ZAP handler does not do its duty; no port may be open."""


class Admission:
    """Answers ZeroMQ's questions about new connections, in a thread of its own.

    Parameters
    ----------
    domains
        Domains of the broker's ports; connections of others are refused.
    allows
        Tells whether a CURVE key (Z85) may connect. Called in the handler's thread; if it
        raises, the answer is no.
    """

    def __init__(
        self, context: Context, domains: Collection[bytes], allows: Callable[[str], bool]
    ) -> None:
        self._context = context
        self._domains = frozenset(domains)
        self._allows = allows
        self._end = threading.Event()
        self._tested_at = float("-inf")
        self._handler = threading.Thread(target=self._handle, name="zap", daemon=True)
        self._watchdog = threading.Thread(target=self._watch, name="zap-watchdog", daemon=True)

    def start(self) -> None:
        """Bind the handler, prove that it works, and go on proving it.

        Raises
        ------
        AdmissionError
            If it does not refuse what it must refuse or accept what it must accept.
        """
        self._socket = self._context.socket(zmq.REP)
        self._socket.linger = 0
        stop = f"inproc://rexec.zap.{secrets.token_hex(8)}"
        self._stopped = self._context.socket(zmq.PAIR)
        self._stopped.bind(stop)
        self._stopper = self._context.socket(zmq.PAIR)
        self._stopper.connect(stop)
        try:
            self._socket.bind(_ENDPOINT)
            self._handler.start()
            self.test()
        except zmq.ZMQError as error:
            raise AdmissionError(f"the ZAP handler cannot start: {error}") from error
        finally:
            if not self._handler.is_alive():
                self._close_handler()
        self._watchdog.start()

    def stop(self) -> None:
        """End both threads."""
        self._end.set()
        if self._handler.is_alive():
            self._stopper.send(b"")
            self._handler.join()
        self._stopper.close(linger=0)
        if self._watchdog.is_alive():
            self._watchdog.join()

    def problem(self, now: float) -> str:
        """Return what is wrong with the handler, or nothing."""
        if not self._handler.is_alive():
            return "the ZAP handler is dead"
        if now - self._tested_at > 2 * _WATCH_SECONDS + _TEST_SECONDS:
            return "the ZAP handler failed its test"
        return ""

    # ---------------------------------------------------------------------- handler

    def _handle(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._stopped, zmq.POLLIN)
        try:
            while self._stopped not in dict(poller.poll()):
                request = self._socket.recv_multipart()
                self._socket.send_multipart(self._answer(request))
        finally:
            self._close_handler()

    def _close_handler(self) -> None:
        self._socket.close()
        self._stopped.close()

    def _answer(self, request: list[bytes]) -> list[bytes]:
        number = request[1] if len(request) > 1 else b""
        try:
            key = self._verdict(request)
        except Exception as error:  # noqa: BLE001 - whatever it is, the answer is no
            _log.error("refused a connection: deciding raised %s", type(error).__name__)
            return [_VERSION, number, b"500", b"internal error", b"", b""]
        if key is None:
            return [_VERSION, number, b"400", b"not admitted", b"", b""]
        return [_VERSION, number, b"200", b"OK", key, b""]

    def _verdict(self, request: list[bytes]) -> bytes | None:
        """Return the CURVE key of the request (Z85) if it may connect."""
        version, _, domain, _, _, mechanism, *credentials = request
        if version != _VERSION or mechanism != b"CURVE" or domain not in self._domains:
            return None
        (raw,) = credentials
        key: bytes = z85.encode(raw)
        return key if self._allows(key.decode()) else None

    # --------------------------------------------------------------------- watchdog

    def test(self) -> None:
        """Prove that the handler refuses a foreign domain and accepts one of ours.

        Raises
        ------
        AdmissionError
            If it does not.
        """
        if self._outcome(_CANARY) != zmq.Event.HANDSHAKE_FAILED_AUTH:
            raise AdmissionError("the ZAP handler does not refuse what it must refuse")
        for domain in self._domains:
            if self._outcome(domain) != zmq.Event.HANDSHAKE_SUCCEEDED:
                raise AdmissionError("the ZAP handler does not accept what it must accept")
        self._tested_at = time.monotonic()

    def _outcome(self, domain: bytes) -> int:
        """Return how a handshake with a throw-away port of this domain ends; 0 if it does not."""
        server, client = new_keypair(), new_keypair()
        outcomes = zmq.Event.HANDSHAKE_SUCCEEDED | zmq.Event.HANDSHAKE_FAILED_AUTH
        with (
            router_socket(self._context, server, domain) as port,
            self._context.socket(zmq.DEALER) as visitor,
            port.get_monitor_socket(outcomes) as monitor,
        ):
            visitor.linger = 0
            visitor.curve_publickey, visitor.curve_secretkey = client
            visitor.curve_serverkey = server.public
            visitor.reconnect_ivl = -1
            port.bind("tcp://127.0.0.1:*")
            visitor.connect(port.get_string(zmq.LAST_ENDPOINT))
            outcome = 0
            if monitor.poll(int(_TEST_SECONDS * 1000)):
                outcome, _ = happened(monitor.recv_multipart())
            port.disable_monitor()
        return outcome

    def _watch(self) -> None:
        while not self._end.wait(_WATCH_SECONDS):
            try:
                self.test()
            except (AdmissionError, zmq.ZMQError) as error:
                _log.error("the watchdog of the ZAP handler: %s", error)


def unpredictable_routing_ids() -> None:
    """Let the routing ids of this process start at random.

    ZeroMQ counts them up from C's ``rand``, which nobody seeds. To be called before the first
    socket is made.
    """
    ctypes.CDLL(None).srand(secrets.randbits(32))
