"""What has to be looked at now and then: strays, limits that were changed, empty namespaces."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rexec_deploy_api.spawner.kubernetes.api import NAMESPACES, PODS, ApiError, Cluster, Object
from rexec_deploy_api.spawner.kubernetes.informer import Name
from rexec_deploy_api.spawner.kubernetes.names import HOME, INSTANCE, UNUSED, Names
from rexec_deploy_api.spawner.kubernetes.settings import KubernetesSettings
from rexec_deploy_api.spawner.kubernetes.tenancy import Tenancy

EVERY = 60.0
"""Seconds between two rounds."""

_log = logging.getLogger(__name__)


class Upkeep:
    """Goes its rounds in the process that leads.

    Parameters
    ----------
    cluster, settings, names, tenancy
        Of the deployment.
    """

    def __init__(
        self, cluster: Cluster, settings: KubernetesSettings, names: Names, tenancy: Tenancy
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._names = names
        self._tenancy = tenancy
        self._suspects: set[str] = set()

    async def run(
        self,
        leads: Callable[[], bool],
        used: Callable[[], Mapping[str, str]],
        strays: Callable[[], Sequence[tuple[Name, Any]]],
    ) -> None:
        """Go on until cancelled.

        Parameters
        ----------
        leads
            Whether this process acts.
        used
            Namespaces with records, and whose they are.
        strays
            Pods of ours that belong to no record.
        """
        while True:
            if leads():
                try:
                    await self._end_strays(strays())
                    for namespace, user in used().items():
                        await self._tenancy.furnish(user, namespace)
                    if not self._settings.shared_namespace:
                        await self._end_unused(used())
                except ApiError as error:
                    _log.warning("a round was broken off: %s", error)
            await asyncio.sleep(EVERY)

    async def _end_strays(self, strays: Sequence[tuple[Name, Any]]) -> None:
        """End pods that had no record in two rounds: the record may be on its way."""
        there = {pod.seen.id: (name, pod) for name, pod in strays}
        for uid in self._suspects & there.keys():
            name, pod = there[uid]
            if pod.seen.leaving < 0:
                _log.warning("%s/%s belongs to no record, and is ended", *name)
                await self._cluster.delete(PODS, name.namespace, name.name, uid=uid)
        self._suspects = set(there)

    async def _end_unused(self, used: Mapping[str, str]) -> None:
        selector = f"{INSTANCE}={self._settings.instance}"
        told = await self._cluster.list(NAMESPACES, selector=selector)
        for each in told.get("items") or ():
            metadata = each["metadata"]
            name, notes = metadata["name"], metadata.get("annotations") or {}
            if name in used or HOME in notes or metadata.get("deletionTimestamp"):
                continue
            since = _number(notes.get(UNUSED, ""))
            if since <= 0:
                await self._note_unused(each)
            elif time.time() - since > self._settings.namespace_ttl:
                _log.info("the namespace %s was not used for long, and is removed", name)
                self._tenancy.forget(name)
                await self._cluster.delete(
                    NAMESPACES, "", name, version=metadata["resourceVersion"]
                )

    async def _note_unused(self, each: Object) -> None:
        metadata = each["metadata"]
        self._tenancy.forget(metadata["name"])  # whoever enters it again takes the note away
        notes = {**(metadata.get("annotations") or {}), UNUSED: f"{time.time():.0f}"}
        content = {"metadata": {**metadata, "annotations": notes, "managedFields": None}}
        await self._cluster.replace(NAMESPACES, "", content)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
