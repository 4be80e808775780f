"""The agent's one thread: waits for broker, exec and time, and lets the machine decide."""

from __future__ import annotations

import logging
import os
import select
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.sockets import FORSAKEN
from rexec_jupyter.core.startup import report_ready
from rexec_jupyter.core.trust import KeyPair
from rexec_server.agent.certificates import Certificates
from rexec_server.agent.exec_port import ExecPort, Handler
from rexec_server.agent.link import BrokerLink, Change
from rexec_server.agent.machine import AgentMachine
from rexec_server.agent.signs import Signs

STATUS_EVERY = 1.0
"""Seconds between two writings of the status file."""
FAREWELL = 1.0
"""Seconds that clients have to acknowledge the last events of an agent that ends."""
PATIENCE = 0.001
"""Seconds that news which is not urgent may wait for more to go along."""

_BURST = 16  # messages, before exec has its turn again: it shall not wait for work
_log = logging.getLogger(__name__)


class StoppedError(Exception):
    """The agent cannot go on; the text tells why."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the agent finds what it needs.

    Attributes
    ----------
    ready
        File descriptor to write a line of JSON to once a broker has welcomed the agent.
    ready_file, liveness_file
        See `signs.Signs`.
    """

    endpoint: str
    broker_key: bytes
    keys: KeyPair
    certificates: Certificates
    handoff: Path
    status: Path
    ready: int | None = None
    ready_file: Path | None = None
    liveness_file: Path | None = None


class AgentLoop:
    """Runs an agent.

    Parameters
    ----------
    clock
        As `AgentMachine` wants it.
    grace
        Seconds that running jobs get after `stop`.
    """

    def __init__(
        self,
        machine: AgentMachine,
        places: Places,
        clock: Callable[[], float],
        *,
        grace: float,
        ready_line: dict[str, object],
    ) -> None:
        self._machine = machine
        self._places = places
        self._clock = clock
        self._grace = grace
        self._ready = places.ready
        self._ready_line = ready_line
        self._poll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll.register(self._wake, select.EPOLLIN)
        self._handlers[self._wake] = lambda _: self._hear_wake()
        self._port = ExecPort(places.handoff, machine, self._poll, self._handlers, clock)
        self._link = BrokerLink(places.endpoint, places.broker_key, places.keys)
        self._forsaken_at = float("inf")  # when the connection will not come back by itself
        self._watch_link()
        self._hold_until = 0.0
        self._stopping = 0
        self._signs = Signs(places.ready_file, places.liveness_file)
        self._known = False  # to the broker, as it was last logged
        self._status = (0, 0, 0, False)
        self._status_at = float("-inf")
        self._welcomed = False  # ever
        self._refused: p.Refused | None = None

    def stop(self) -> None:
        """Have the agent drain and end; the second time without any grace. For signals."""
        self._stopping += 1
        os.eventfd_write(self._wake, 1)

    def run(self) -> None:
        """Run until `stop`.

        Raises
        ------
        StoppedError
            If the broker does not accept this agent.
        """
        try:
            while not self._stopping:
                self._step()
            self._drain()
        finally:
            machine = self._machine
            self._status = (machine.running, machine.queued, machine.unfetched, False)
            self._write_status()
            self._signs.remove()
            self._port.close()
            self._link.close()
            self._poll.close()
            os.close(self._wake)

    def _drain(self) -> None:
        now = self._clock()
        self._machine.drain(now, self._grace)
        deadline = now + self._grace
        while self._machine.running and self._clock() < deadline and self._stopping < 2:
            self._step(deadline)
        now = self._clock()
        self._machine.end_running(now)
        deadline = now + FAREWELL
        while (
            (self._machine.unacknowledged or self._link.blocked)
            and self._clock() < deadline
            and self._stopping < 2
        ):
            self._step(deadline)
        self._machine.goodbye()
        self._send(float("inf"))

    # ------------------------------------------------------------------------- one round

    def _step(self, latest: float = float("inf")) -> None:
        now = self._clock()
        deadline = min(self._machine.tick(now), self._port.tick(now), latest)
        if self._machine.silent(now):
            _log.warning("the broker is silent; connecting again")
            self._reconnect(now)
        elif now >= self._forsaken_at or self._link.torn:
            self._reconnect(now)
        deadline = min(deadline, self._send(now), self._tell_status(now), self._forsaken_at)
        welcomed = self._machine.welcomed
        if welcomed != self._known:
            self._known = welcomed
            _log.info("the broker %s this server", "knows" if welcomed else "does not know")
        deadline = min(deadline, self._signs.show(now, welcomed=welcomed))
        more = self._machine.more and not self._link.blocked
        wait = 0.0 if more or self._link.pending else max(0.0, deadline - self._clock())
        for descriptor, events in self._poll.poll(min(wait, 3600.0)):
            handler = self._handlers.get(descriptor)  # an earlier one may have closed it
            if handler is not None:
                handler(events)
        if self._link.pending:
            self._receive()
        self._send(self._clock())  # before anything that is due: somebody waits for it

    def _command(self) -> None:
        for target, message, payload in self._machine.commands():
            self._port.send(target, message, payload)

    def _send(self, now: float) -> float:
        """Send what is to be sent; return when to look again."""
        self._command()
        if self._link.blocked:
            self._link.flush()
        if self._link.blocked:
            return float("inf")
        if self._machine.patient:
            if not self._hold_until:
                self._hold_until = now + PATIENCE
            if now < self._hold_until:
                return self._hold_until
        self._hold_until = 0.0
        if parcels := self._machine.outgoing():
            self._link.send(parcels)
        return float("inf")

    def _receive(self) -> None:
        now = self._clock()
        for message, frame in self._link.receive(_BURST):
            self._machine.receive(now, message, frame)
            if self._machine.assigned:
                self._places.certificates.keep(self._machine.certificate)
                self._machine.assigned = False
            self._command()  # exec works while the other messages are read
        self._watch_welcome()

    def _hear_wake(self) -> None:
        os.eventfd_read(self._wake)

    # ------------------------------------------------------------------------ the broker

    def _watch_link(self) -> None:
        socket, monitor = self._link.descriptors
        for descriptor, handler in ((socket, self._link_arrived), (monitor, self._link_changed)):
            self._handlers[descriptor] = handler
            self._poll.register(descriptor, select.EPOLLIN)
        self._link_changed(0)  # ZeroMQ signals only what comes after somebody looked

    def _link_arrived(self, events: int) -> None:
        del events
        self._link.arrived()

    def _link_changed(self, events: int) -> None:
        del events
        for change in self._link.changes():
            now = self._clock()
            self._forsaken_at = float("inf")
            if change is Change.MADE:
                self._machine.certificate = self._places.certificates.read()
                self._machine.connected(now)
            elif change is Change.LOST:
                self._forsaken_at = now + FORSAKEN
                self._machine.disconnected(now)

    def _reconnect(self, now: float) -> None:
        self._machine.disconnected(now)
        self._forsaken_at = float("inf")
        for descriptor in self._link.descriptors:
            del self._handlers[descriptor]
            self._poll.unregister(descriptor)
        self._link.reopen()
        self._watch_link()

    def _watch_welcome(self) -> None:
        refused = self._machine.refused
        if self._machine.welcomed and not self._welcomed:
            self._welcomed = True
            if self._ready is not None:
                self._tell_ready(self._ready)
                self._ready = None
        elif refused is not None and refused is not self._refused:
            self._refused = refused
            if refused.code == "superseded":
                self._machine.end_running(self._clock())
                self._machine.commands()  # flushes the journal
                raise StoppedError(f"another server took this one's place: {refused.message}")
            if not self._welcomed:
                raise StoppedError(f"the broker refused this server: {refused.message}")
            # It was fine before: a renewed certificate may come, and the jobs go on until then.
            _log.warning("the broker refuses this server for now: %s", refused.message)
            self._machine.certificate = self._places.certificates.read()

    def _tell_ready(self, descriptor: int) -> None:
        try:
            report_ready(descriptor, self._ready_line)
        except OSError as error:
            _log.warning("nobody wants to know that the agent is ready: %s", error.strerror)

    # ------------------------------------------------------------------------ the status

    def _tell_status(self, now: float) -> float:
        """Write the status if it changed, not too often; return when to look again."""
        machine = self._machine
        status = (machine.running, machine.queued, machine.unfetched, machine.welcomed)
        if status == self._status:
            return float("inf")
        if now - self._status_at < STATUS_EVERY:
            return self._status_at + STATUS_EVERY
        self._status_at = now
        self._status = status
        self._write_status()
        return float("inf")

    def _write_status(self) -> None:
        running, queued, unfetched, connected = self._status
        status = {
            "running": running,
            "queued": queued,
            "unfetched": unfetched,
            "connected": connected,
        }
        draft = self._places.status.with_suffix(".draft")
        try:
            draft.write_bytes(msgspec.json.encode(status))
            draft.replace(self._places.status)
        except OSError as error:
            _log.warning("the status cannot be written: %s", error.strerror)
