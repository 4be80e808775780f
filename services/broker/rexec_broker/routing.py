"""The broker as a state machine: no sockets, no clock of its own.

Envelopes come in through `Router.receive`, with the CURVE key that was verified for that very
envelope, and go out through `Router.outgoing`. Time is passed in, in monotonic seconds.

Everything is looked up through the `User` of the verified sender, so that no message can name
its way to somebody else. An envelope for one receiver is passed on as it came: its header is
decoded once, to be routed, and never encoded again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rexec_broker.directory import Directory
from rexec_broker.limits import Limits
from rexec_broker.membership import Membership, Origin
from rexec_broker.metrics import Metrics
from rexec_broker.outbox import Outbox, Sending, header
from rexec_broker.roll import Roll
from rexec_broker.tables import Client, Port, Server
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.credentials import Verifier
from rexec_jupyter.core.framing import FramingError, Unpacker, pack

__all__ = ["Port", "Router", "Sending"]

_SWEEP = 1.0
_CONTROL = frozenset({p.ClientHello, p.ServerHello, p.Heartbeat, p.Goodbye, p.Drain})
_REQUESTS = frozenset(p.Request.__subclasses__())
_ANSWERS = frozenset(p.Answer.__subclasses__())
_LOOKS = frozenset({p.ListJobs, p.ListSessions, p.ReadUsage})
_OPENING = frozenset({p.Submit, p.Attach}) | _REQUESTS
_TERMINAL = frozenset(p.TERMINAL)
_CLOSING = frozenset({p.Nack, p.Unknown}) | _ANSWERS

Peer = Client | Server


class Router:
    """Routes between the clients and the servers of each user.

    Parameters
    ----------
    epoch
        Random id of this run of the broker.
    verifier
        Checks tickets and certificates.
    limits
        Bounds.
    metrics
        Where to count.

    Attributes
    ----------
    budget
        The errors of each key, for whoever decides about new connections.
    roll
        Who is there, for whoever follows it from another thread.
    """

    def __init__(self, *, epoch: str, verifier: Verifier, limits: Limits, metrics: Metrics) -> None:
        self._limits = limits
        self._metrics = metrics
        self._directory = Directory(metrics)
        self._clients = self._directory.clients
        self._servers = self._directory.servers
        self._outbox = Outbox()
        self._members = Membership(epoch, verifier, limits, metrics, self._directory, self._outbox)
        self.budget = self._members.budget
        self.roll = Roll(epoch)
        self._from_client: Unpacker[p.FromClient] = Unpacker(p.FromClient)
        self._from_server: Unpacker[p.FromServer] = Unpacker(p.FromServer)
        self._heartbeat = header(p.Heartbeat(epoch=epoch))
        self._told_detached: set[str] = set()
        self._sweep_at = 0.0
        self._draining = False

    def receive(self, now: float, port: Port, peer: bytes, key: str, envelope: list[Any]) -> None:
        """Take an envelope.

        Parameters
        ----------
        peer
            ZeroMQ's name of the connection.
        key
            CURVE key (Z85) that was verified for this envelope; empty if none was.
        envelope
            Header frame (bytes) and payload frames (anything with a length).
        """
        if not key:
            self._metrics.dropped["unidentified"] += 1
            return
        if self.budget.ignored and self.budget.ignores(now, key):
            self._metrics.dropped["ignored"] += 1
            return
        messages: list[Any]
        sender: Peer | None
        try:
            if port is Port.CLIENT:
                messages = self._from_client.messages(envelope)
                sender = self._clients.get(peer)
            else:
                messages = self._from_server.messages(envelope)
                sender = self._servers.get(peer)
        except FramingError:
            self._metrics.dropped["malformed"] += 1
            self.budget.charge(now, key)
            return
        if sender is not None:
            if sender.key != key:  # ZeroMQ gave the name of a dead connection to another one
                self._members.unreachable(sender)
                sender = None
            else:
                sender.seen = now
                if isinstance(sender, Server) and sender.state == "suspect":
                    self._members.heard(sender)
        self._dispatch(Origin(now, port, peer, key), sender, messages, envelope)

    def outgoing(self) -> list[Sending]:
        """Return what is to be sent, in order, and forget it."""
        return self._outbox.take()

    def tick(self, now: float) -> float:
        """Act on silence and on expired credentials, and tell who is there.

        Returns
        -------
        float
            When to call again at the latest.
        """
        if now >= self._sweep_at:
            self._sweep_at = now + _SWEEP
            self._members.sweep(now)
        return min(self._sweep_at, self.roll.keep(now, self._directory))

    def undeliverable(self, _now: float, port: Port, peer: bytes) -> None:
        """Note that the connection of a peer is gone."""
        sender = self._sender(port, peer)
        if sender is not None:
            self._members.unreachable(sender)

    def congested(self, now: float, port: Port, peer: bytes) -> None:
        """Note that a peer does not read and that what waited for it was thrown away.

        It is asked to say hello again; that request is the first thing it will find.
        """
        self._metrics.congestions += 1
        self.undeliverable(now, port, peer)
        self._outbox.send(port, peer, p.Resync())

    def failed(self, now: float, key: str) -> None:
        """Note that handling an envelope of this key raised."""
        self._metrics.dropped["failed"] += 1
        self.budget.charge(now, key)

    def assign(self, user: str, server: str, certificate: str) -> bool:
        """Tell a server which other one it is to be from now on, see `Membership.assign`."""
        return self._members.assign(user, server, certificate)

    def drain(self, _now: float) -> None:
        """Accept no more hellos: whoever comes now belongs to the next run of the broker."""
        self._draining = True

    def _sender(self, port: Port, peer: bytes) -> Peer | None:
        return self._clients.get(peer) if port is Port.CLIENT else self._servers.get(peer)

    # --------------------------------------------------------------------- forwarding

    def _dispatch(
        self, origin: Origin, sender: Peer | None, messages: list[Any], envelope: list[Any]
    ) -> None:
        """Handle the messages in order; pass on runs of them that have the same receiver."""
        find: Callable[[Any, Any], Peer | None] = (
            self._server_for if origin.port is Port.CLIENT else self._reader_of
        )
        start = 0
        target: Peer | None = None
        for index, message in enumerate(messages):
            if sender is None or message.__class__ in _CONTROL:
                self._forward(target, messages, envelope, start, index)
                sender = self._handle(origin, sender, message)
                start, target = index + 1, None
            elif (receiver := find(sender, message)) is not target:
                self._forward(target, messages, envelope, start, index)
                start, target = index, receiver
        if start == 0 and target is not None and target.peer is not None:
            self._outbox.forward(target.port, target.peer, envelope)
        else:
            self._forward(target, messages, envelope, start, len(messages))
        if self._told_detached:
            self._told_detached.clear()

    def _forward(
        self, target: Peer | None, messages: list[Any], envelope: list[Any], start: int, stop: int
    ) -> None:
        if target is None or target.peer is None or start == stop:
            return
        at = 1 + sum(message.frames for message in messages[:start])
        parcels = []
        for message in messages[start:stop]:
            parcels.append((message, envelope[at] if message.frames else None))
            at += message.frames
        for frames in pack(parcels):
            self._outbox.forward(target.port, target.peer, frames)

    def _server_for(self, client: Client, message: Any) -> Server | None:
        """Return the server that a client's message is for."""
        user = client.user
        kind = message.__class__
        job = message.request if kind in _REQUESTS else message.job
        route = user.jobs.get(job)
        if route is None:
            server = user.server_for(message.session)
            if kind is p.Submit and server is not None and server.hello.journal != message.journal:
                server = user.server_with(message.journal) or server
        else:
            server = user.servers.get(route.scope)
        if server is None or server.peer is None:
            self._metrics.dropped["no_server"] += 1
            return None
        if kind in _OPENING:
            if route is None:
                if len(user.jobs) >= self._limits.jobs:
                    self._metrics.dropped["jobs_full"] += 1
                    return None
                looks = kind in _LOOKS
                self._directory.route(client, job, server.session, looks=looks)
                if not looks:
                    server.used = client.seen
            elif route.client is not client:
                self._directory.take_over(route, client, job)
        elif kind is p.Ack and route is not None and 0 < route.terminal <= message.seq:
            self._directory.unroute(user, job)
        return server

    def _reader_of(self, server: Server, message: Any) -> Client | None:
        """Return the client that a server's message is for."""
        user = server.user
        kind = message.__class__
        job = message.request if kind in _ANSWERS else message.job
        route = user.jobs.get(job)
        if route is None or route.scope != server.session:
            self._metrics.dropped["no_reader"] += 1
            if kind not in _CLOSING and job not in self._told_detached:
                self._told_detached.add(job)
                self._outbox.detach(server, [job])
            return None
        if kind in _TERMINAL:
            route.terminal = message.seq
        elif kind in _CLOSING and not (kind is p.Nack and message.code == "conflict"):
            self._directory.unroute(user, job)
        return route.client

    def _handle(self, origin: Origin, sender: Peer | None, message: Any) -> Peer | None:
        """Handle a message to the broker itself; return its sender as known from now on."""
        match message:
            case p.ClientHello() | p.ServerHello() if self._draining:
                self._metrics.dropped["draining"] += 1
            case p.ClientHello():
                self._members.client_hello(origin, message)
            case p.ServerHello():
                self._members.server_hello(origin, message)
            case p.Goodbye() if sender is None and self._members.farewell(origin):
                pass
            case _ if sender is None:
                self._metrics.dropped["unknown_peer"] += 1
                self._members.challenge(origin)
            case p.Heartbeat():
                if isinstance(sender, Server):
                    beat = message
                    self._directory.load(sender, beat.running, beat.queued, able=beat.able)
                self._outbox.forward(origin.port, origin.peer, [self._heartbeat])
            case p.Goodbye() if isinstance(sender, Client):
                self._members.forget(sender)
            case p.Goodbye() if isinstance(sender, Server):
                self._members.remove(sender, "absent")
            case p.Drain() if isinstance(sender, Server):
                sender.draining = True
                self._members.announce(sender, "draining")
        return self._sender(origin.port, origin.peer)
