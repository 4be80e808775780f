"""A whole broker, put together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Self

import zmq

from rexec_broker import assigning, roll
from rexec_broker.admission import Admission, unpredictable_routing_ids
from rexec_broker.health import Answers, HealthServer
from rexec_broker.limits import Limits
from rexec_broker.loop import Loop
from rexec_broker.metrics import Exposition, Metrics
from rexec_broker.ports import EncryptedPort
from rexec_broker.routing import Port, Router
from rexec_jupyter.core.credentials import Verifier
from rexec_jupyter.core.trust import KeyPair, new_id

_STALLED = 5.0
_PATIENCE = 2.0
_LINGER = 0.5
_OLDEST_ZEROMQ = (4, 3, 5)


class StartError(RuntimeError):
    """The broker cannot start; the text says why."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to run a broker.

    Attributes
    ----------
    client_address, server_address
        ZeroMQ addresses to bind.
    health_host, health_port
        Where to answer over HTTP.
    drain_grace
        Seconds that an orderly end may take.
    """

    keys: KeyPair
    verify_pems: Sequence[bytes]
    audience: str = "rexec"
    client_address: str = "tcp://127.0.0.1:0"
    server_address: str = "tcp://127.0.0.1:0"
    health_host: str = "127.0.0.1"
    health_port: int = 0
    drain_grace: float = 5.0
    io_threads: int = 2
    limits: Limits = field(default_factory=Limits)


class Broker:
    """A broker whose ports are open, until it is closed.

    Attributes
    ----------
    client_address, server_address, health_address
        With the real port numbers.

    Raises
    ------
    StartError
        If an address or a key cannot be used.
    AdmissionError
        If connections could not be controlled.
    """

    def __init__(self, settings: Settings) -> None:
        if zmq.zmq_version_info() < _OLDEST_ZEROMQ or not zmq.has("curve"):
            raise StartError(f"ZeroMQ {zmq.zmq_version()} is too old or has no CURVE")
        try:
            verifier = Verifier(settings.verify_pems, settings.audience)
        except ValueError as error:
            raise StartError(f"a verification key cannot be used: {error}") from error
        unpredictable_routing_ids()
        metrics = Metrics()
        router = Router(epoch=new_id(), verifier=verifier, limits=settings.limits, metrics=metrics)
        with ExitStack() as cleanup:
            context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(settings.io_threads)
            cleanup.callback(context.term)
            self.admission = Admission(
                context,
                [_domain(port) for port in Port],
                lambda key: not router.budget.ignores(time.monotonic(), key),
            )
            cleanup.callback(self.admission.stop)
            self.admission.start()
            ports = {}
            for port in Port:
                traffic = metrics.client if port is Port.CLIENT else metrics.server
                ports[port] = EncryptedPort(
                    context, settings.keys, _domain(port), settings.limits, metrics, traffic
                )
                cleanup.callback(ports[port].close, _LINGER)
            self.client_address = _bind(ports[Port.CLIENT], settings.client_address)
            self.server_address = _bind(ports[Port.SERVER], settings.server_address)
            self._loop = Loop(router, ports, drain_grace=settings.drain_grace)
            cleanup.callback(self._loop.close)
            exposition = Exposition(metrics)
            answers = Answers(
                healthy=self.problem,
                ready=self._unready,
                metrics=exposition.text,
                content_type=exposition.content_type,
                servers=partial(roll.answer, router.roll, verifier),
                assign=partial(assigning.answer, self._assign(router), verifier),
            )
            health = _serve_health(settings, answers)
            cleanup.callback(health.stop)
            self.health_address = health.address
            health.start()
            self._cleanup = cleanup.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cleanup.close()

    def run(self) -> None:
        """Route until `stop`, in the calling thread."""
        self._loop.run()

    def stop(self) -> None:
        """Let `run` end in good order. For signal handlers and other threads."""
        self._loop.stop()

    def _assign(self, router: Router) -> assigning.Assign:
        """Return what has the router assign a server, for other threads."""

        def assign(user: str, server: str, certificate: str) -> bool:
            return self._loop.call(partial(router.assign, user, server, certificate), _PATIENCE)

        return assign

    def problem(self) -> str:
        """Return what is wrong with this broker, or nothing."""
        now = time.monotonic()
        if now - self._loop.beat > _STALLED:
            return "the loop is stalled"
        return self.admission.problem(now)

    def _unready(self) -> str:
        return "draining" if self._loop.draining else self.problem()


def _domain(port: Port) -> bytes:
    return f"rexec.{port.value}".encode()


def _bind(port: EncryptedPort, address: str) -> str:
    try:
        return port.bind(address)
    except zmq.ZMQError as error:
        raise StartError(f"cannot bind {address}: {error}") from error


def _serve_health(settings: Settings, answers: Answers) -> HealthServer:
    host, port = settings.health_host, settings.health_port
    try:
        return HealthServer(host, port, answers)
    except OSError as error:
        raise StartError(f"cannot answer health checks on {host}:{port}: {error}") from error
