"""Which of several deploy APIs acts: the one that holds a Lease.

No two clocks are compared. A lease counts as held as long as it changes within its duration, by
the clock of whoever looks at it; its holder gives up earlier than that if it cannot renew it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from rexec_deploy_api.spawner.kubernetes.api import LEASES, ApiError, Cluster, Object

_log = logging.getLogger(__name__)


class Election:
    """Takes part in one election.

    Parameters
    ----------
    cluster, namespace, name
        Where the Lease is.
    identity
        Tells this process from the others.
    seconds
        How long a holder that is silent stays one.
    changed
        Called whenever this process begins or ceases to lead.
    """

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        name: str,
        identity: str,
        seconds: float,
        changed: Callable[[], None],
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._seconds = seconds
        self._changed = changed
        self._until = 0.0
        self._told = ("", 0.0)
        self._led = False

    @property
    def leads(self) -> bool:
        """Whether this process leads now; ceases by itself unless it is confirmed."""
        return time.monotonic() < self._until

    async def run(self) -> None:
        """Take part until cancelled; then step back, so that another need not wait."""
        try:
            while True:
                began = time.monotonic()
                try:
                    await self._attempt(began)
                except ApiError as error:
                    _log.warning("the lease %s cannot be renewed: %s", self._name, error)
                self._notice()
                await asyncio.sleep(self._seconds / (5 if self.leads else 7))
        finally:
            if self.leads:
                self._until = 0.0
                with contextlib.suppress(ApiError):
                    await asyncio.shield(self._release())

    def _notice(self) -> None:
        if self.leads != self._led:
            self._led = self.leads
            _log.info("this process %s", "leads" if self._led else "leads no more")
            self._changed()

    async def _attempt(self, began: float) -> None:
        lease = await self._cluster.get(LEASES, self._namespace, self._name)
        if lease is None:
            content = {"metadata": {"name": self._name}, "spec": self._spec(0)}
            with _unless_lost():
                await self._cluster.create(LEASES, self._namespace, content)
                self._until = began + self._seconds * 2 / 3
            return
        spec = lease.get("spec") or {}
        holder, version = spec.get("holderIdentity") or "", lease["metadata"]["resourceVersion"]
        if version != self._told[0]:
            self._told = (version, began)
        silent = began - self._told[1]
        if holder not in ("", self._identity) and silent < self._seconds:
            self._until = 0.0
            return
        changes = int(spec.get("leaseTransitions") or 0) + (holder != self._identity)
        content = {
            "metadata": {"name": self._name, "resourceVersion": version},
            "spec": self._spec(changes),
        }
        with _unless_lost():
            await self._cluster.replace(LEASES, self._namespace, content)
            self._until = began + self._seconds * 2 / 3

    async def _release(self) -> None:
        lease = await self._cluster.get(LEASES, self._namespace, self._name)
        if lease is None or (lease.get("spec") or {}).get("holderIdentity") != self._identity:
            return
        content = {
            "metadata": {
                "name": self._name,
                "resourceVersion": lease["metadata"]["resourceVersion"],
            },
            "spec": self._spec(0) | {"holderIdentity": ""},
        }
        await self._cluster.replace(LEASES, self._namespace, content)

    def _spec(self, changes: int) -> Object:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._seconds)),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": changes,
        }


@contextlib.contextmanager
def _unless_lost() -> Iterator[None]:
    """Let it be if another one was quicker."""
    try:
        yield
    except ApiError as error:
        if error.status != 409:
            raise
