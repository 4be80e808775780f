"""How a client stands with its backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rexec_jupyter.core import protocol as p


@dataclass(frozen=True, slots=True)
class Status:
    """How a client stands.

    Attributes
    ----------
    backend
        What it is connected to, for people.
    endpoint
        Address of the broker; empty before it is known.
    state
        ``connecting``, ``connected``, ``reconnecting``, ``failed`` or ``closed``.
    silence
        Seconds since the broker was heard of.
    servers
        The user's servers: ``session`` (empty: all that have none of their own), ``state``,
        ``python``, ``slots``, ….
    jobs
        Jobs of this client that have not ended.
    detail
        What is wrong, if something is.
    """

    backend: str
    endpoint: str
    state: Literal["connecting", "connected", "reconnecting", "failed", "closed"]
    silence: float
    servers: list[p.ServerState]
    jobs: int
    detail: str = ""
