"""What the broker wants to have sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from rexec_broker.tables import Port, Server
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.framing import pack


class Sending(NamedTuple):
    """An envelope to be sent: frames are bytes, or whatever `Router.receive` was given."""

    port: Port
    peer: bytes
    frames: list[Any]


class Outbox:
    """Collects envelopes in order."""

    def __init__(self) -> None:
        self._sendings: list[Sending] = []

    def take(self) -> list[Sending]:
        """Return what was collected, and forget it."""
        sendings = self._sendings
        if sendings:
            self._sendings = []
        return sendings

    def forward(self, port: Port, peer: bytes, frames: list[Any]) -> None:
        """Send an envelope as it is."""
        self._sendings.append(Sending(port, peer, frames))

    def send(self, port: Port, peer: bytes, message: p.ToClient | p.ToServer) -> None:
        """Send one message without payload."""
        self._sendings.append(Sending(port, peer, [header(message)]))

    def detach(self, server: Server, jobs: Iterable[str]) -> None:
        """Tell a server, if it can be reached, that nobody reads these jobs."""
        if server.peer is not None:
            for frames in pack((p.Detached(job=job), None) for job in jobs):
                self._sendings.append(Sending(Port.SERVER, server.peer, frames))


def header(message: Any) -> Any:
    """Return the header frame that holds one message."""
    return next(pack([(message, None)]))[0]
