"""How much of everything the broker takes before it says no."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one broker.

    Attributes
    ----------
    peers
        Clients that may be connected at once.
    clients
        Clients of one user.
    jobs
        Jobs of one user that have a reader. What comes beyond waits with its client, which
        repeats it.
    credential_grace
        Seconds that a connection outlives its ticket or certificate.
    resync
        Least number of seconds between two `Resync` to the same key.
    errors
        Errors one key may make within ``error_window`` seconds before all it says is ignored,
        and its new connections refused, for ``penalty`` seconds.
    egress_bytes
        Bytes that may wait for one peer that does not read.
    egress_total
        Bytes that may wait for all such peers together.
    """

    peers: int = 20_000
    clients: int = 256
    jobs: int = 65_536
    credential_grace: float = 60.0
    resync: float = 1.0
    errors: int = 20
    error_window: float = 60.0
    penalty: float = 60.0
    egress_bytes: int = 32 * MIB
    egress_total: int = 512 * MIB
