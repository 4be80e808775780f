"""Servers as pods, and their records as ConfigMaps beside them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NoReturn

import msgspec

from rexec_deploy_api.records import Cause, Key, Observed, Record
from rexec_deploy_api.spawner.base import Credential, LogQuery, NoLogError, SpawnerError, StaleError
from rexec_deploy_api.spawner.kubernetes import records
from rexec_deploy_api.spawner.kubernetes.api import (
    CONFIG_MAPS,
    PODS,
    SECRETS,
    ApiError,
    Cluster,
    Kind,
    Object,
)
from rexec_deploy_api.spawner.kubernetes.complaints import Complaints
from rexec_deploy_api.spawner.kubernetes.election import Election
from rexec_deploy_api.spawner.kubernetes.informer import Informer, Name
from rexec_deploy_api.spawner.kubernetes.names import SERVER, USER, Names
from rexec_deploy_api.spawner.kubernetes.observing import Pod, observed, refused, spec_of
from rexec_deploy_api.spawner.kubernetes.pods import AGENT, ENVIRONMENT, EXEC, Pods
from rexec_deploy_api.spawner.kubernetes.settings import KubernetesSettings
from rexec_deploy_api.spawner.kubernetes.tenancy import Tenancy
from rexec_deploy_api.spawner.kubernetes.upkeep import Upkeep
from rexec_jupyter.core.trust import new_id

_ADMISSION = 5.0
_log = logging.getLogger(__name__)


class KubernetesSpawner:
    """Runs servers in one cluster; see `base.Spawner`.

    Parameters
    ----------
    cluster
        Where.
    settings
        What its operator decided.
    salt
        Keys the names of namespaces; it must never change.
    """

    def __init__(self, cluster: Cluster, settings: KubernetesSettings, salt: bytes) -> None:
        self._cluster = cluster
        self._settings = settings
        self._names = Names(settings, salt)
        self._pods_of = Pods(settings, self._names)
        self._tenancy = Tenancy(cluster, settings, self._names)
        self._told: Callable[[Key], None] = lambda _: None
        self._tasks: list[asyncio.Task[None]] = []
        self._users: dict[str, set[Key]] = {}
        self._where: dict[Key, Name] = {}
        self._keys: dict[tuple[str, str], Key] = {}
        self._running: dict[tuple[str, str], dict[Name, Pod]] = {}
        self._leaving: dict[str, float] = {}
        namespace, selector = settings.shared_namespace, self._names.selector()
        self._records = Informer(
            cluster, CONFIG_MAPS, namespace, selector, self._keep_record, self._record_changed
        )
        self._pods = Informer(cluster, PODS, namespace, selector, _keep_pod, self._pod_changed)
        self._complaints = Complaints(cluster, self._pods.objects, self._tell)
        self._election = Election(
            cluster,
            settings.namespace,
            settings.lease,
            f"{os.uname().nodename}-{new_id()[:8]}",
            settings.lease_seconds,
            self._leadership_changed,
        )
        self._upkeep = Upkeep(cluster, settings, self._names, self._tenancy)

    @classmethod
    async def connect(
        cls, salt: bytes, settings: KubernetesSettings | None = None
    ) -> KubernetesSpawner:
        """Return the spawner that the environment of this process sets.

        Raises
        ------
        OSError
            If no cluster is configured.
        """
        settings = settings or KubernetesSettings()
        return cls(await Cluster.connect(settings.kubeconfig), settings, salt)

    # -------------------------------------------------------------------------- watching

    @property
    def ready(self) -> bool:
        """Whether the copy is complete."""
        return self._records.synced and self._pods.synced

    @property
    def leads(self) -> bool:
        """Whether this process is the one that acts on records."""
        return self.ready and self._election.leads

    async def open(self, changed: Callable[[Key], None]) -> None:
        """Begin to watch."""
        self._told = changed
        for work in (self._records.run, self._pods.run, self._election.run, self._look_after):
            self._tasks.append(asyncio.create_task(work()))

    async def close(self) -> None:
        """Stop watching; the servers go on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._cluster.close()

    async def _look_after(self) -> None:
        await asyncio.gather(self._records.wait(), self._pods.wait())
        upkeep = self._upkeep.run(
            leads=lambda: self.leads,
            used=lambda: {name.namespace: key.user for key, name in self._where.items()},
            strays=self._strays,
        )
        await asyncio.gather(upkeep, self._complaints.run(lambda: self.leads))

    def _strays(self) -> list[tuple[Name, Pod]]:
        """Return pods that belong to no record."""
        return [
            (name, pod)
            for place, pods in self._running.items()
            if place not in self._keys
            for name, pod in pods.items()
        ]

    def _leadership_changed(self) -> None:
        for key in list(self._where):
            self._told(key)

    def _keep_record(self, each: Object) -> records.Kept | None:
        return records.kept(each, self._names)

    def _record_changed(
        self, name: Name, before: records.Kept | None, now: records.Kept | None
    ) -> None:
        if before is not None and (now is None or now.key != before.key):
            self._where.pop(before.key, None)
            self._keys.pop((self._names.hash(before.key.user), before.key.name), None)
            self._users.get(before.key.user, set()).discard(before.key)
            self._told(before.key)
        if now is not None:
            key = now.key
            self._where[key] = name
            self._keys[self._names.hash(key.user), key.name] = key
            self._users.setdefault(key.user, set()).add(key)
            self._told(key)

    def _pod_changed(self, name: Name, before: Pod | None, now: Pod | None) -> None:
        for pod, there in ((before, False), (now, True)):
            if pod is None:
                continue
            place = (pod.user, pod.server)
            pods = self._running.setdefault(place, {})
            if there:
                pods[name] = pod
                if pod.seen.leaving >= 0:
                    self._leaving.setdefault(pod.seen.id, time.monotonic())
            else:
                pods.pop(name, None)
                if not pods:
                    del self._running[place]
        if now is None and before is not None:
            self._leaving.pop(before.seen.id, None)
        if (last := now or before) is not None:
            self._tell(last)

    def _tell(self, pod: Pod) -> None:
        if key := self._keys.get((pod.user, pod.server)):
            self._told(key)

    # --------------------------------------------------------------------------- reading

    def keys(self) -> Sequence[Key]:
        """Return every server of which there is a record."""
        return list(self._where)

    def record(self, key: Key) -> Record | None:
        """Return a record from the copy."""
        name = self._where.get(key)
        there = self._records.objects.get(name) if name else None
        return self._read(there) if there else None

    def _read(self, there: records.Kept) -> Record:
        return there.record or records.rebuilt(there, list(self._there(there.key).values()))

    def records_of(self, user: str) -> Sequence[Record]:
        """Return the records of one user, by name."""
        found = (self.record(key) for key in sorted(self._users.get(user, ())))
        return [record for record in found if record is not None]

    async def fetch(self, key: Key) -> Record | None:
        """Return a record as it is now."""
        namespace, name = self._names.namespace(key.user), self._names.record(key)
        try:
            each = await self._cluster.get(CONFIG_MAPS, namespace, name)
        except ApiError as error:
            _fail(error, "your servers' records")
        there = self._records.learn(each) if each is not None else None
        if there is not None and there.key != key:
            text = f"The place of your server in {namespace} is taken by somebody else's."
            raise SpawnerError(Cause("backend", text, "Ask whoever runs the cluster.", final=True))
        return self._read(there) if there else None

    def observe(self, key: Key) -> Sequence[Observed]:
        """Return what is there for a record, every generation of it."""
        now = time.monotonic()
        return [
            msgspec.structs.replace(pod.seen, leaving=now - self._leaving[pod.seen.id])
            if pod.seen.id in self._leaving
            else self._complaints.of(pod.seen)
            for pod in self._there(key).values()
        ]

    def _there(self, key: Key) -> dict[Name, Pod]:
        return self._running.get((self._names.hash(key.user), key.name), {})

    async def logs(self, record: Record, query: LogQuery) -> AsyncIterator[bytes]:
        """Yield pieces of a log."""
        if query.part not in (AGENT, EXEC, ENVIRONMENT):
            raise NoLogError(_no_log(f"There is no part {query.part!r} of a server."))
        pods = sorted(self._there(record.key).items(), key=lambda each: each[1].seen.generation)
        if not pods:
            raise NoLogError(_no_log("Nothing runs for this server, so there is no log."))
        name = pods[-1][0]
        asked = {"follow": str(query.follow).lower(), "previous": str(query.previous).lower()}
        if query.tail >= 0:
            asked["tailLines"] = str(query.tail)
        try:
            async with contextlib.aclosing(
                self._cluster.log(name.namespace, name.name, query.part, asked)
            ) as pieces:
                async for piece in pieces:
                    yield piece
        except ApiError as error:
            if error.status in (400, 404):
                raise NoLogError(_no_log(f"There is no such log: {error}.")) from None
            _fail(error, "the log")

    # --------------------------------------------------------------------------- writing

    async def write(self, record: Record) -> Record:
        """Write a record; a new one if its version is empty."""
        namespace = self._names.namespace(record.user)
        content = records.content(record, self._names)
        try:
            if record.version:
                each = await self._cluster.replace(CONFIG_MAPS, namespace, content)
            else:
                await self._tenancy.enter(record.user, namespace, home=bool(record.spec.home))
                each = await self._created(namespace, content)
        except ApiError as error:
            if error.status == 409 and error.reason in ("AlreadyExists", "Conflict"):
                raise StaleError from None
            if error.status == 404:
                self._tenancy.forget(namespace)
                raise StaleError from None
            _fail(error, "the record of the server")
        there = self._records.learn(each)
        if there is None:
            raise SpawnerError(Cause("backend", "The record could not be read back."))
        return self._read(there)

    async def _created(self, namespace: str, content: Object) -> Object:
        """Make a record, once the permission to do so has got around."""
        until = time.monotonic() + _ADMISSION
        while True:
            try:
                return await self._cluster.create(CONFIG_MAPS, namespace, content)
            except ApiError as error:
                if error.status != 403 or time.monotonic() > until:
                    raise
                await asyncio.sleep(0.05)

    async def erase(self, record: Record) -> None:
        """Remove a record; what belongs to it follows."""
        namespace, name = self._names.namespace(record.user), self._names.record(record.key)
        try:
            await self._cluster.delete(CONFIG_MAPS, namespace, name, version=record.version)
        except ApiError as error:
            if error.status == 409:
                raise StaleError from None
            _fail(error, "the record of the server")

    async def place(self, record: Record, credential: Callable[[], Credential]) -> None:
        """Start the generation of the record, unless it is there."""
        where = self._where.get(record.key)
        there = self._records.objects.get(where) if where else None
        if there is None or where is None:
            raise StaleError
        namespace, shown = where.namespace, credential()
        try:
            await self._tenancy.furnish(record.user, namespace)
            if record.spec.home:
                claim, labels = self._names.home(record.key), self._names.labels_of(record.key)
                await self._tenancy.home(namespace, claim, labels, record.spec.home)
            # One that is there is from an attempt that was cut off: its pod will show it.
            pulls = self._pods_of.pulls(record, there.owner)
            for each in (self._pods_of.secret(record, there.owner, shown), *pulls):
                await self._unless_there(SECRETS, namespace, each)
            pod = self._pods_of.pod(record, there.owner, shown, pulls)
            if (made := await self._unless_there(PODS, namespace, pod)) is not None:
                self._pods.learn(made)
        except ApiError as error:
            self._tenancy.forget(namespace)
            raise SpawnerError(refused(error, "the server")) from None

    async def _unless_there(self, kind: Kind, namespace: str, content: Object) -> Object | None:
        try:
            return await self._cluster.create(kind, namespace, content)
        except ApiError as error:
            if error.status == 409 and error.reason == "AlreadyExists":
                return None
            raise

    async def displace(self, record: Record, observed: Observed) -> None:
        """Have a generation end in good order."""
        for name, pod in list(self._there(record.key).items()):
            if pod.seen.id != observed.id:
                continue
            try:
                await self._cluster.delete(PODS, name.namespace, name.name, uid=observed.id)
                await self._cluster.delete(SECRETS, name.namespace, name.name)
            except ApiError as error:
                if error.status != 409:  # it is another one by now
                    _fail(error, "the server")


def _keep_pod(each: Object) -> Pod:
    labels = each["metadata"].get("labels") or {}
    return Pod(observed(each), labels.get(USER, ""), labels.get(SERVER, ""), spec_of(each))


def _no_log(message: str) -> Cause:
    return Cause("backend", message, "`%rexec status` tells how far the server is.")


def _fail(error: ApiError, what: str) -> NoReturn:
    raise SpawnerError(refused(error, what)) from None
