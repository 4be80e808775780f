"""What the first user of the embedded backend decides."""

from __future__ import annotations

from dataclasses import dataclass

LINGER = 10.0
"""Seconds the backend outlives its last user unless told otherwise."""
ORPHAN_LIMIT = 3600.0
"""Seconds that running or waiting jobs may hold up its end."""


@dataclass(frozen=True)
class Settings:
    """What the first user of the backend decides.

    Attributes
    ----------
    workers
        Functions that run at once.
    memory
        Bytes that all remote code together may use; 0 for no limit.
    directory
        Working directory of the code that is run; empty for a private one.
    linger
        Seconds the backend outlives its last user.
    orphan_limit
        Seconds that jobs nobody waits for may hold up the end.
    """

    workers: int
    memory: int = 0
    directory: str = ""
    linger: float = LINGER
    orphan_limit: float = ORPHAN_LIMIT
