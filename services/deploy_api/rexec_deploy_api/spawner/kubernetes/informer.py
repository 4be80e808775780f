"""A copy of some objects of a cluster that a watch keeps up to date."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from rexec_deploy_api.spawner.kubernetes.api import ApiError, Cluster, Kind, Object

RELIST = 600.0
"""Seconds after which everything is read anew, whatever the watch said."""
SILENCE = 90.0
"""Seconds without a word, not even a bookmark, after which a watch is thought to be dead."""

_FIRST_DELAY, _LAST_DELAY = 0.2, 5.0
_log = logging.getLogger(__name__)

T = TypeVar("T")


class Name(NamedTuple):
    """What tells an object from all others of its kind."""

    namespace: str
    name: str


class Informer(Generic[T]):
    """Follows the objects of one kind.

    Parameters
    ----------
    cluster
        Where they are.
    kind, namespace, selector
        Which ones; an empty namespace stands for all.
    keep
        Makes what is kept of an object.
    changed
        Called with what was kept before and what is kept now, None if there is nothing.

    Attributes
    ----------
    synced
        Whether the copy has been complete once.
    current
        Whether the cluster answered lately.
    relists
        How often everything was read.
    """

    def __init__(
        self,
        cluster: Cluster,
        kind: Kind,
        namespace: str,
        selector: str,
        keep: Callable[[Object], T],
        changed: Callable[[Name, T | None, T | None], None],
    ) -> None:
        self.objects: dict[Name, T] = {}
        self.synced = self.current = False
        self.relists = 0
        self._cluster = cluster
        self._kind = kind
        self._namespace = namespace
        self._selector = selector
        self._keep = keep
        self._changed = changed
        self._version = ""
        self._seen: dict[Name, int] = {}
        self._first = asyncio.Event()

    async def wait(self) -> None:
        """Wait until the copy is complete."""
        await self._first.wait()

    async def run(self) -> None:
        """Follow until cancelled."""
        loop = asyncio.get_running_loop()
        delay, listed = _FIRST_DELAY, -RELIST
        while True:
            try:
                if not self._version or loop.time() - listed > RELIST:
                    await self._list()
                    listed = loop.time()
                delay = _FIRST_DELAY
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(listed + RELIST):
                        await self._watch()
            except ApiError as error:
                if error.status == 410:
                    self._version = ""
                    continue
                if self.current:
                    _log.warning("%s are out of sight: %s", self._kind.plural, error)
                self.current = False
                await asyncio.sleep(delay * random.uniform(0.7, 1.3))  # noqa: S311 - no secret
                delay = min(delay * 2, _LAST_DELAY)

    async def _list(self) -> None:
        told = await self._cluster.list(self._kind, self._namespace, self._selector)
        there = {_name(each): each for each in told.get("items") or ()}
        for name in self.objects.keys() - there.keys():
            self._forget(name)
        for name, each in there.items():
            self._take(name, each)
        self._version = told["metadata"]["resourceVersion"]
        self.relists += 1
        self.synced = self.current = True
        self._first.set()

    async def _watch(self) -> None:
        events = self._cluster.watch(
            self._kind, self._namespace, self._selector, self._version, patience=SILENCE
        )
        async with contextlib.aclosing(events):
            async for event, each in events:
                self.current = True
                if event == "CONNECTED":
                    continue
                self._version = each["metadata"]["resourceVersion"]
                if event == "BOOKMARK":
                    continue
                name = _name(each)
                if event == "DELETED":
                    self._forget(name)
                else:
                    self._take(name, each)

    def learn(self, each: Object) -> T:
        """Take note of an object that was just written, before the watch tells of it."""
        name = _name(each)
        self._take(name, each)
        return self.objects[name]

    def _take(self, name: Name, each: Object) -> None:
        version = _number(each["metadata"]["resourceVersion"])
        if version < self._seen.get(name, 0):
            return  # older than what was learnt meanwhile
        before = self.objects.get(name)
        if before is not None and version == self._seen.get(name):
            return
        self._seen[name] = version
        self.objects[name] = now = self._keep(each)
        self._changed(name, before, now)

    def _forget(self, name: Name) -> None:
        self._seen.pop(name, None)
        before = self.objects.pop(name, None)
        if before is not None:
            self._changed(name, before, None)


def _name(each: Object) -> Name:
    return Name(each["metadata"].get("namespace", ""), each["metadata"]["name"])


def _number(version: str) -> int:
    # Opaque by contract, a growing number in every cluster there is; others count as news.
    return int(version) if version.isdigit() else 0
