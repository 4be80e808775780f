"""Why pods sit still that do not tell so themselves: asked of the events about them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

import msgspec

from rexec_deploy_api.records import Cause, Observed
from rexec_deploy_api.spawner.kubernetes.api import EVENTS, ApiError, Cluster
from rexec_deploy_api.spawner.kubernetes.informer import Name
from rexec_deploy_api.spawner.kubernetes.observing import Pod, complaint

EVERY = 1.0
"""Seconds between two rounds."""

_FIRST_DELAY, _LAST_DELAY = 3.0, 30.0
_AT_ONCE = 20
_MOST = 100
_log = logging.getLogger(__name__)


class Complaints:
    """Asks for the events of pods that sit still, each pod less and less often.

    Parameters
    ----------
    cluster
        Where they are.
    pods
        What is kept of them.
    changed
        Called with a pod of which something new was found out.
    """

    def __init__(
        self, cluster: Cluster, pods: Mapping[Name, Pod], changed: Callable[[Pod], None]
    ) -> None:
        self._cluster = cluster
        self._pods = pods
        self._changed = changed
        self._due: dict[str, tuple[float, float]] = {}
        self._found: dict[str, Cause] = {}
        self._allowed = True

    def of(self, seen: Observed) -> Observed:
        """Return what is observed of a pod, with what holds it up if that was found out."""
        cause = self._found.get(seen.id)
        return msgspec.structs.replace(seen, cause=cause) if cause and _silent(seen) else seen

    async def run(self, leads: Callable[[], bool]) -> None:
        """Go on until cancelled; ask only while this process acts."""
        while True:
            await asyncio.sleep(EVERY)
            if leads():
                await self._round(time.monotonic())

    async def _round(self, now: float) -> None:
        silent = {pod.seen.id: (name, pod) for name, pod in self._pods.items() if _silent(pod.seen)}
        for uid in self._due.keys() - silent.keys():
            del self._due[uid]
            self._found.pop(uid, None)
        for uid in silent.keys() - self._due.keys():
            self._due[uid] = (now + _FIRST_DELAY, _FIRST_DELAY)
        due = sorted((at, uid) for uid, (at, _) in self._due.items() if at <= now)
        for _, uid in due[:_AT_ONCE]:
            delay = min(self._due[uid][1] * 2, _LAST_DELAY)
            self._due[uid] = (now + delay, delay)
            await self._ask(*silent[uid])

    async def _ask(self, name: Name, pod: Pod) -> None:
        which = f"involvedObject.uid={pod.seen.id}"
        try:
            told = await self._cluster.list(EVENTS, name.namespace, fields=which, most=_MOST)
        except ApiError as error:
            if error.status != 403 or self._allowed:
                _log.warning("what holds up %s/%s cannot be read: %s", *name, error)
            self._allowed = error.status != 403
            return
        cause = complaint(told.get("items") or ())
        if cause == self._found.get(pod.seen.id):
            return
        if cause is None:
            del self._found[pod.seen.id]
        else:
            self._found[pod.seen.id] = cause
        self._changed(pod)


def _silent(seen: Observed) -> bool:
    return seen.phase in ("scheduling", "pulling") and seen.cause is None and seen.leaving < 0
