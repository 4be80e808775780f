"""The few requests to Kubernetes that are needed, with objects as it writes them.

The official client finds the cluster, authenticates and encrypts; its models are left out,
because thousands of objects pass by of which a few fields are read.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Literal, NamedTuple

import aiohttp
from kubernetes.aio import client, config

from rexec_deploy_api.spawner.kubernetes.names import MANAGER

Object = dict[str, Any]

_PATIENCE = 20.0
_FAILURES = (aiohttp.ClientError, TimeoutError, OSError)
_log = logging.getLogger(__name__)


class ApiError(RuntimeError):
    """Kubernetes did not do what it was asked for.

    Attributes
    ----------
    status
        HTTP status; 0 if it did not answer.
    reason
        In one word, such as ``AlreadyExists``.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class Kind(NamedTuple):
    """A kind of objects: its group with version, its plural, and its name."""

    group: str
    plural: str
    name: str

    def path(self, namespace: str = "", name: str = "") -> str:
        """Return where objects, or one object, of it are."""
        root = f"/api/{self.group}" if "/" not in self.group else f"/apis/{self.group}"
        within = f"/namespaces/{namespace}" if namespace else ""
        return f"{root}{within}/{self.plural}" + (f"/{name}" if name else "")


NAMESPACES = Kind("v1", "namespaces", "Namespace")
PODS = Kind("v1", "pods", "Pod")
CONFIG_MAPS = Kind("v1", "configmaps", "ConfigMap")
SECRETS = Kind("v1", "secrets", "Secret")
CLAIMS = Kind("v1", "persistentvolumeclaims", "PersistentVolumeClaim")
QUOTAS = Kind("v1", "resourcequotas", "ResourceQuota")
LIMITS = Kind("v1", "limitranges", "LimitRange")
POLICIES = Kind("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy")
ROLES = Kind("rbac.authorization.k8s.io/v1", "roles", "Role")
BINDINGS = Kind("rbac.authorization.k8s.io/v1", "rolebindings", "RoleBinding")
ACCOUNTS = Kind("v1", "serviceaccounts", "ServiceAccount")
JOBS = Kind("batch/v1", "jobs", "Job")
EVENTS = Kind("v1", "events", "Event")
LEASES = Kind("coordination.k8s.io/v1", "leases", "Lease")


class Cluster:
    """Asks one cluster.

    Parameters
    ----------
    configuration
        Of the official client: where the cluster is, and who asks.
    """

    def __init__(self, configuration: client.Configuration) -> None:
        self._client = client.ApiClient(configuration)

    @classmethod
    async def connect(cls, kubeconfig: str = "") -> Cluster:
        """Return the cluster that this process runs in, or that the configuration file names.

        Raises
        ------
        OSError
            If there is neither.
        """
        configuration = client.Configuration()
        try:
            if kubeconfig or "KUBERNETES_SERVICE_HOST" not in os.environ:
                await config.load_kube_config(
                    config_file=kubeconfig or None, client_configuration=configuration
                )
            else:
                config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException as error:
            raise OSError(f"no Kubernetes cluster is configured: {error}") from None
        return cls(configuration)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Return an object as it is now; None if there is none.

        Raises
        ------
        ApiError
            If it cannot be read.
        """
        try:
            return await self._ask("GET", kind.path(namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def list(
        self,
        kind: Kind,
        namespace: str = "",
        selector: str = "",
        *,
        fields: str = "",
        most: int = 0,
    ) -> Object:
        """Return objects of a kind, with the version of the list.

        Parameters
        ----------
        kind, namespace, selector, fields
            Which ones: where, with which labels, and with which fields. Empty stands for all.
        most
            How many; 0 for all.

        Raises
        ------
        ApiError
            If they cannot be read.
        """
        wanted = {"labelSelector": selector, "fieldSelector": fields, "limit": str(most or "")}
        query = {name: value for name, value in wanted.items() if value}
        return await self._ask("GET", kind.path(namespace), query)

    async def create(self, kind: Kind, namespace: str, content: Object) -> Object:
        """Make an object.

        Raises
        ------
        ApiError
            If it cannot be made; status 409 if it is there.
        """
        query = {"fieldManager": MANAGER}
        return await self._ask("POST", kind.path(namespace), query, _typed(kind, content))

    async def replace(self, kind: Kind, namespace: str, content: Object) -> Object:
        """Write an object whose version is given.

        Raises
        ------
        ApiError
            If it cannot be written; status 409 if it has another version.
        """
        path = kind.path(namespace, content["metadata"]["name"])
        return await self._ask("PUT", path, {"fieldManager": MANAGER}, _typed(kind, content))

    async def apply(self, kind: Kind, namespace: str, content: Object) -> Object:
        """Have an object with these fields, whoever else has written to it.

        Raises
        ------
        ApiError
            If it cannot be written.
        """
        path = kind.path(namespace, content["metadata"]["name"])
        query = {"fieldManager": MANAGER, "force": "true"}
        # The server reads this as YAML, which knows no surrogates: no character may be escaped
        # as JSON does it. The parameter keeps the client from encoding what is encoded.
        body = json.dumps(_typed(kind, content), ensure_ascii=False).encode()
        headers = {"Content-Type": "application/apply-patch+yaml; charset=utf-8"}
        return await self._ask("PATCH", path, query, body, headers)

    async def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        version: str = "",
        grace: int | None = None,
    ) -> None:
        """Have an object go, if it is there and is the one with that uid and version.

        Raises
        ------
        ApiError
            If it cannot be; status 409 if it is another one.
        """
        wanted = {"uid": uid, "resourceVersion": version}
        options: Object = {"propagationPolicy": "Background"}
        if conditions := {name: value for name, value in wanted.items() if value}:
            options["preconditions"] = conditions
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        try:
            await self._ask("DELETE", kind.path(namespace, name), body=options)
        except ApiError as error:
            if error.status != 404:
                raise

    async def watch(
        self, kind: Kind, namespace: str, selector: str, version: str, *, patience: float
    ) -> AsyncGenerator[tuple[str, Object]]:
        """Yield what happens to objects of a kind after a version of their list.

        The first is ``CONNECTED``, of no object: from then on nothing is missed.
        Ends by itself after some minutes, and when nothing came for `patience` seconds.

        Raises
        ------
        ApiError
            If it cannot be told; status 410 if the version is too old.
        """
        query = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": "300",
        } | ({"labelSelector": selector} if selector else {})
        quiet = aiohttp.ClientTimeout(sock_connect=_PATIENCE, sock_read=patience)
        response = await self._open(kind.path(namespace), query, quiet)
        try:
            yield "CONNECTED", {}
            async for line in response.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise _error(event["object"].get("code", 0), line, event["object"])
                yield event["type"], event["object"]
        except (aiohttp.ServerTimeoutError, TimeoutError):
            return
        except (*_FAILURES, ValueError, KeyError) as error:
            raise ApiError(0, "Unreachable", f"the watch broke off: {_named(error)}") from None
        finally:
            _break_off(response)

    async def log(
        self, namespace: str, pod: str, container: str, query: Mapping[str, str]
    ) -> AsyncGenerator[bytes]:
        """Yield pieces of the log of a container.

        Raises
        ------
        ApiError
            If there is none.
        """
        path = PODS.path(namespace, pod) + "/log"
        endless = aiohttp.ClientTimeout(sock_connect=_PATIENCE)
        response = await self._open(path, {"container": container, **query}, endless)
        try:
            async for piece in response.content.iter_any():
                yield piece
        except _FAILURES as error:
            raise ApiError(0, "Unreachable", f"the log broke off: {_named(error)}") from None
        finally:
            _break_off(response)

    # ---------------------------------------------------------------------------- asking

    async def _open(
        self, path: str, query: Mapping[str, str], patience: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        response: aiohttp.ClientResponse = await self._call("GET", path, query, patience=patience)
        if response.status != 200:
            content = await response.read()
            response.close()
            raise _error(response.status, content)
        return response

    async def _ask(
        self,
        method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"],
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Object:
        patience = aiohttp.ClientTimeout(total=_PATIENCE)
        response = await self._call(method, path, query or {}, body, headers, patience=patience)
        try:
            content = await response.read()
        except _FAILURES as error:
            raise ApiError(0, "Unreachable", f"no answer: {_named(error)}") from None
        if not 200 <= response.status < 300:
            raise _error(response.status, content)
        answer: Object = json.loads(content)
        return answer

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Object | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        patience: aiohttp.ClientTimeout,
    ) -> Any:
        try:
            return await self._client.call_api(
                path,
                method,
                query_params=list(query.items()),
                header_params={"Accept": "application/json", **(headers or {})},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=patience,
            )
        except _FAILURES as error:
            raise ApiError(0, "Unreachable", f"no answer: {_named(error)}") from None


def _break_off(response: aiohttp.ClientResponse) -> None:
    """Close a connection on which more was to come, without a word that may find nobody."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()


def _typed(kind: Kind, content: Object) -> Object:
    return {"apiVersion": kind.group, "kind": kind.name, **content}


def _error(status: int, content: bytes, told: Object | None = None) -> ApiError:
    if told is None:
        try:
            told = json.loads(content)
        except ValueError:
            told = {}
    if not isinstance(told, dict):
        told = {}
    message = str(told.get("message") or content[:200].decode(errors="replace"))
    return ApiError(status, str(told.get("reason") or ""), message)


def _named(error: BaseException) -> str:
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return "it took too long"
    return type(error).__name__
