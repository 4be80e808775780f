"""Servers of a pool that run in place of somebody's own.

Two records belong to such a server: the pool's, which owns what runs, and the user's, which
says what is to become of it. Each names the other. The pool's is written first, so whoever is
ended in between leaves a server that nobody waits for, and that is ended soon.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rexec_deploy_api.records import Observed, Record
from rexec_deploy_api.spawner.base import Spawner


def lender_of(spawner: Spawner, record: Record) -> Record | None:
    """Return the pool's record of what runs for this one; None if it has its own."""
    lender = spawner.record(record.borrowed) if record.borrowed else None
    return lender if lender is not None and lender.lent == record.key else None


def observe_lent(spawner: Spawner, lender: Record | None, record: Record) -> Sequence[Observed]:
    """Return what runs in place of this generation of a server."""
    if lender is None:
        return ()
    return [
        msgspec.structs.replace(each, generation=record.generation)
        for each in spawner.observe(lender.key)
    ]
