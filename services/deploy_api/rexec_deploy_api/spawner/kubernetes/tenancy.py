"""What surrounds the servers of one user: their namespace, its limits, and who may enter."""

from __future__ import annotations

import asyncio
import time

from rexec_deploy_api.spawner.kubernetes.api import (
    BINDINGS,
    CLAIMS,
    LIMITS,
    NAMESPACES,
    POLICIES,
    QUOTAS,
    ApiError,
    Cluster,
    Kind,
    Object,
)
from rexec_deploy_api.spawner.kubernetes.names import HOME, INSTANCE, MANAGER, SUBJECT, Names
from rexec_deploy_api.spawner.kubernetes.settings import KubernetesSettings

_FRESH = 600.0
# Until every API server knows of a new role binding.
_ADMISSION = 5.0


class Tenancy:
    """Makes the surroundings of users, and keeps them as they should be.

    Parameters
    ----------
    cluster
        Where.
    settings, names
        How they are to be.
    """

    def __init__(
        self,
        cluster: Cluster,
        settings: KubernetesSettings,
        names: Names,
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._names = names
        self._entered: set[str] = set()
        self._furnished: dict[str, float] = {}

    def forget(self, namespace: str) -> None:
        """Look anew at a namespace that went, or that was changed."""
        self._entered.discard(namespace)
        self._furnished.pop(namespace, None)

    async def enter(self, user: str, namespace: str, *, home: bool = False) -> None:
        """See to it that a user's namespace is there, and that this process may write to it.

        Raises
        ------
        ApiError
            If it cannot be.
        """
        if self._settings.shared_namespace or (namespace in self._entered and not home):
            return
        there = await self._cluster.get(NAMESPACES, "", namespace)
        if there is not None:
            self._check(user, namespace, there)
            home = home or HOME in (there["metadata"].get("annotations") or {})
        await self._cluster.apply(NAMESPACES, "", self._namespace(user, namespace, home=home))
        await self._cluster.apply(BINDINGS, namespace, self._binding())
        self._entered.add(namespace)

    async def furnish(self, user: str, namespace: str) -> None:
        """Put limits and policies in place, unless that was done a moment ago.

        Raises
        ------
        ApiError
            If one cannot be.
        """
        if time.monotonic() - self._furnished.get(namespace, -_FRESH) < _FRESH:
            return
        wanted: list[tuple[Kind, Object]] = [(POLICIES, each) for each in self._policies()]
        if not self._settings.shared_namespace:
            wanted += [(QUOTAS, self._quota()), (LIMITS, self._limits())]
        if self._settings.cache:
            wanted.append((CLAIMS, self._cache(user)))
        await asyncio.gather(
            *(self._patiently(kind, namespace, content) for kind, content in wanted)
        )
        self._furnished[namespace] = time.monotonic()

    async def home(self, namespace: str, claim: str, labels: dict[str, str], size: int) -> None:
        """See to it that there is a home directory that outlives servers.

        Raises
        ------
        ApiError
            If it cannot be made.
        """
        if await self._cluster.get(CLAIMS, namespace, claim) is None:
            content = self._claim(claim, labels, size)
            await self._cluster.apply(CLAIMS, namespace, content)

    async def _patiently(self, kind: Kind, namespace: str, content: Object) -> None:
        """Apply, once the permission to do so has got around."""
        until = time.monotonic() + _ADMISSION
        while True:
            try:
                await self._cluster.apply(kind, namespace, content)
            except ApiError as error:
                if _immutable(kind, error):
                    return
                if error.status != 403 or time.monotonic() > until:
                    raise
                await asyncio.sleep(0.1)
            else:
                return

    # --------------------------------------------------------------------------- objects

    def _check(self, user: str, namespace: str, there: Object) -> None:
        metadata = there["metadata"]
        labels, notes = metadata.get("labels") or {}, metadata.get("annotations") or {}
        if labels.get(INSTANCE) != self._settings.instance or notes.get(SUBJECT) != user:
            raise ApiError(
                409, "Foreign", f"the namespace {namespace} is there, and it is not this user's"
            )
        if metadata.get("deletionTimestamp"):
            raise ApiError(409, "Terminating", f"the namespace {namespace} is just being removed")

    def _namespace(self, user: str, namespace: str, *, home: bool) -> Object:
        levels = ("enforce", "audit", "warn")
        return {
            "metadata": {
                "name": namespace,
                "labels": self._names.labels(user)
                | {f"pod-security.kubernetes.io/{level}": "restricted" for level in levels},
                "annotations": {SUBJECT: user} | ({HOME: "true"} if home else {}),
            }
        }

    def _binding(self) -> Object:
        settings = self._settings
        account = {"namespace": settings.namespace, "name": settings.service_account}
        return {
            "metadata": {"name": MANAGER, "labels": self._common()},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": settings.session_role,
            },
            "subjects": [{"kind": "ServiceAccount", **account}],
        }

    def _common(self) -> dict[str, str]:
        return {
            "app.kubernetes.io/name": "rexec",
            "app.kubernetes.io/managed-by": MANAGER,
            INSTANCE: self._settings.instance,
        }

    def _quota(self) -> Object:
        settings = self._settings
        hard: dict[str, str] = {"pods": str(settings.quota_pods)}
        if settings.quota_cpu:
            hard["limits.cpu"] = f"{round(settings.quota_cpu * 1000)}m"
        if settings.quota_memory:
            hard["limits.memory"] = str(settings.quota_memory)
        if settings.quota_storage:
            hard["requests.storage"] = str(settings.quota_storage)
        # Nothing that opens a way in, whoever may have got the right to make it.
        hard |= {"services.nodeports": "0", "services.loadbalancers": "0"}
        return {"metadata": {"name": "rexec", "labels": self._common()}, "spec": {"hard": hard}}

    def _limits(self) -> Object:
        settings = self._settings
        least = {"cpu": "10m", "memory": "32Mi"}
        return {
            "metadata": {"name": "rexec", "labels": self._common()},
            "spec": {
                "limits": [
                    {
                        "type": "Container",
                        "default": {
                            "cpu": f"{round(settings.default_cpu * 1000)}m",
                            "memory": str(settings.default_memory),
                        },
                        "defaultRequest": least,
                    }
                ]
            },
        }

    def _policies(self) -> list[Object]:
        """Nothing comes in; out go names, the broker and, if allowed, the Internet."""
        settings = self._settings
        session = {
            "matchLabels": {
                "app.kubernetes.io/component": "session",
                INSTANCE: settings.instance,
            }
        }
        deny = {
            "metadata": {"name": "rexec-deny", "labels": self._common()},
            "spec": {
                "podSelector": session if settings.shared_namespace else {},
                "policyTypes": ["Ingress", "Egress"],
            },
        }
        out: list[Object] = [
            {
                "to": [
                    {"namespaceSelector": _named(settings.dns_namespace)},
                    *({"ipBlock": {"cidr": each}} for each in settings.dns_networks),
                ],
                "ports": [{"protocol": each, "port": 53} for each in ("UDP", "TCP")],
            },
            {
                "to": [
                    {
                        "namespaceSelector": _named(settings.namespace),
                        "podSelector": {"matchLabels": settings.broker_labels},
                    }
                ],
                "ports": [{"protocol": "TCP", "port": settings.broker_port}],
            },
        ]
        if settings.internet:
            out.append({"to": [_block(each, settings.egress_denied) for each in _EVERYWHERE]})
        if settings.egress_allowed:
            out.append({"to": [{"ipBlock": {"cidr": each}} for each in settings.egress_allowed]})
        allow = {
            "metadata": {"name": "rexec-allow", "labels": self._common()},
            "spec": {"podSelector": session, "policyTypes": ["Egress"], "egress": out},
        }
        return [deny, allow]

    def _cache(self, user: str) -> Object:
        labels = self._names.labels(user)
        return self._claim(self._names.cache(user), labels, self._settings.cache)

    def _claim(self, name: str, labels: dict[str, str], size: int) -> Object:
        settings = self._settings
        spec: Object = {
            "accessModes": [settings.access_mode],
            "resources": {"requests": {"storage": str(size)}},
        }
        if settings.storage_class:
            spec["storageClassName"] = settings.storage_class
        return {"metadata": {"name": name, "labels": labels}, "spec": spec}


_EVERYWHERE = ("0.0.0.0/0", "::/0")


def _named(namespace: str) -> Object:
    return {"matchLabels": {"kubernetes.io/metadata.name": namespace}}


def _block(network: str, denied: tuple[str, ...]) -> Object:
    block: Object = {"cidr": network}
    if within := [each for each in denied if (":" in each) == (":" in network)]:
        block["except"] = within
    return {"ipBlock": block}


def _immutable(kind: Kind, error: ApiError) -> bool:
    """Whether a claim is there that was made with another size or class: it stays as it is."""
    return kind is CLAIMS and error.status in (403, 422) and "immutable" in str(error).lower()
