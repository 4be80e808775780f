"""The broker's loop: one plain thread between the sockets and the state machine."""

from __future__ import annotations

import logging
import os
import queue
import select
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from operator import attrgetter
from typing import TypeVar

from rexec_broker.ports import EncryptedPort, Fate
from rexec_broker.routing import Port, Router

T = TypeVar("T")

_QUIET_SECONDS = 0.05

_pending = attrgetter("mailbox.pending")
_log = logging.getLogger(__name__)


class Loop:
    """Carries envelopes between the ports and the router.

    Parameters
    ----------
    ports
        The two ports, bound already.
    drain_grace
        Seconds that `stop` gives to what is under way.

    Attributes
    ----------
    beat
        When the loop last went round, in monotonic seconds.
    draining
        Whether it is about to end.
    """

    def __init__(
        self, router: Router, ports: dict[Port, EncryptedPort], *, drain_grace: float
    ) -> None:
        self._router = router
        self._ports = ports
        self._drain_grace = drain_grace
        self._wake_read, self._wake_write = os.pipe()
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stopping = False
        # ZeroMQ's own poller would ask each socket twice at each wait.
        self._poll = select.epoll()
        self._wakers: dict[int, Callable[[], None]] = {self._wake_read: self._woken}
        for port in ports.values():
            self._wakers[port.socket.fileno()] = port.mailbox.arrived
            self._wakers[port.monitor.fileno()] = port.watch
            port.watch()  # ZeroMQ signals only what comes after somebody looked
        for descriptor in self._wakers:
            self._poll.register(descriptor, select.EPOLLIN)
        self.beat = time.monotonic()
        self.draining = False

    def stop(self) -> None:
        """End the loop, after what is under way. For signal handlers and other threads."""
        self._stopping = True
        os.write(self._wake_write, b"\0")

    def call(self, function: Callable[[], T], timeout: float) -> T:
        """Call a function in the loop's thread and return its result. For other threads.

        Raises
        ------
        TimeoutError
            If the loop does not get to it.
        """
        outcome: Future[T] = Future()

        def run() -> None:
            if outcome.set_running_or_notify_cancel():
                try:
                    outcome.set_result(function())
                except Exception as error:  # noqa: BLE001 - it belongs to the caller
                    outcome.set_exception(error)

        self._calls.put(run)
        os.write(self._wake_write, b"\0")
        try:
            return outcome.result(timeout)
        finally:
            outcome.cancel()

    def run(self) -> None:
        """Go round until `stop`."""
        while not self.draining:
            self._turn(float("inf"))
        self._drain()

    def close(self) -> None:
        """Release what wakes it."""
        os.close(self._wake_read)
        os.close(self._wake_write)
        self._poll.close()

    def _drain(self) -> None:
        now = time.monotonic()
        _log.info("draining")
        self._router.drain(now)
        end, quiet_at = now + self._drain_grace, now + _QUIET_SECONDS
        while self.beat < end and self.beat < quiet_at:
            busy = self._turn(min(quiet_at, end))
            if busy or any(port.retry_at < end for port in self._ports.values()):
                quiet_at = self.beat + _QUIET_SECONDS

    def _turn(self, until: float) -> bool:
        """Do what is to be done; wait, but not beyond `until`, if that was nothing."""
        now = self.beat = time.monotonic()
        busy = False
        for kind, port in self._ports.items():
            if port.mailbox.pending and self._receive(now, kind, port):
                busy = True
                self._send(now)
        deadline = min(self._router.tick(now), until)
        for kind, port in self._ports.items():
            if port.congested:
                for peer in port.retry(now):
                    self._router.undeliverable(now, kind, peer)
                deadline = min(deadline, port.retry_at)
        self._send(now)
        if not any(map(_pending, self._ports.values())):
            self._wait(deadline - now)
        return busy

    def _receive(self, now: float, kind: Port, port: EncryptedPort) -> bool:
        receive = self._router.receive
        arrived = False
        for peer, key, frames in port.arrivals():
            arrived = True
            try:
                receive(now, kind, peer, key, frames)
            except Exception as error:  # noqa: BLE001 - no peer may end the loop
                self._router.failed(now, key)
                where = traceback.extract_tb(error.__traceback__)[-1]
                # Not the message: it could show what a peer sent.
                _log.error(
                    "bug: %s at %s:%d", type(error).__name__, where.filename, where.lineno or 0
                )
        return arrived

    def _send(self, now: float) -> None:
        router = self._router
        complete = False
        while not complete:
            complete = True
            for kind, peer, frames in router.outgoing():
                fate = self._ports[kind].send(now, peer, frames)
                if fate is Fate.GONE:
                    router.undeliverable(now, kind, peer)
                    complete = False
                elif fate is Fate.CONGESTED:
                    router.congested(now, kind, peer)
                    complete = False

    def _wait(self, seconds: float) -> None:
        for descriptor, _ in self._poll.poll(max(0.0, seconds)):
            self._wakers[descriptor]()

    def _woken(self) -> None:
        os.read(self._wake_read, 64)
        self.draining = self._stopping
        while not self._calls.empty():
            self._calls.get()()
