"""What a generation of a server is made of: a Secret, and a pod with two containers."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from pathlib import Path

from rexec_deploy_api.records import Cause, Record, Spec, encoded
from rexec_deploy_api.spawner.base import Credential, SpawnerError
from rexec_deploy_api.spawner.kubernetes.api import Object
from rexec_deploy_api.spawner.kubernetes.names import GENERATION, SPEC, SUBJECT, USERNAME, Names
from rexec_deploy_api.spawner.kubernetes.settings import KubernetesSettings, MiB

AGENT, EXEC, ENVIRONMENT = "agent", "exec", "environment"
USER_ID = 10001
"""User and group of all processes, in every image of a server."""

_HANDOFF, _HOME, _CACHE = "/handoff", "/home/rexec", "/cache"
_REQUIREMENTS = "requirements.txt"
_PYTHON = "/opt/rexec/bin/python"
_HELP = "Ask whoever runs the cluster."
_ALIVE = "/run/rexec/alive"
_ALIVE_CHECK = f"test $(($(date +%s) - $(stat -c %Y {_ALIVE}))) -lt 60"


class Pods:
    """Makes the objects of servers.

    Parameters
    ----------
    settings, names
        How they are to be, and how they are called.
    """

    def __init__(self, settings: KubernetesSettings, names: Names) -> None:
        self._settings = settings
        self._names = names

    def secret(self, record: Record, owner: Object, credential: Credential) -> Object:
        """Return the Secret of a generation: what the agent shows the broker, and nothing else.

        The requirements lie in it as well, because it is as short-lived and as immutable.
        """
        content = {
            "curve": credential.public + b"\n" + credential.secret + b"\n",
            "certificate": credential.certificate.encode(),
            _REQUIREMENTS: "".join(f"{line}\n" for line in record.spec.requirements).encode(),
        }
        return {
            "metadata": self._metadata(record, owner),
            "type": "rexec.dev/credential",
            "immutable": True,
            "data": {name: base64.b64encode(each).decode() for name, each in content.items()},
        }

    def pulls(self, record: Record, owner: Object) -> list[Object]:
        """Return the Secrets with which nodes fetch a server's images; they go with its record.

        Raises
        ------
        SpawnerError
            If a file of them cannot be read.
        """
        try:
            contents = [Path(each).read_bytes() for each in self._settings.pull_files]
        except OSError as error:
            text = f"What images are fetched with cannot be read: {error}."
            raise SpawnerError(Cause("configuration", text, _HELP)) from None
        return [
            {
                "metadata": self._metadata(record, owner)
                | {"name": self._names.pull(record.key, each)},
                "type": "kubernetes.io/dockerconfigjson",
                "immutable": True,
                "data": {".dockerconfigjson": base64.b64encode(each).decode()},
            }
            for each in contents
        ]

    def pod(
        self, record: Record, owner: Object, credential: Credential, pulls: Sequence[Object] = ()
    ) -> Object:
        """Return the pod of a generation, whose images are fetched with these Secrets."""
        settings, spec = self._settings, record.spec
        metadata = self._metadata(record, owner)
        metadata["annotations"] = {
            SUBJECT: record.user,
            USERNAME: record.username,
            # From this a record that was damaged is made anew.
            SPEC: encoded(record.having(events=(), placed="")).decode(),
        }
        body: Object = {
            "restartPolicy": "Always",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "shareProcessNamespace": False,
            "terminationGracePeriodSeconds": math.ceil(settings.drain_grace) + 10,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER_ID,
                "runAsGroup": USER_ID,
                "fsGroup": USER_ID,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "initContainers": [self._environment(spec)] if spec.requirements_digest else [],
            "containers": [self._agent(spec, credential), self._exec(spec)],
            "volumes": self._volumes(record),
        }
        if spec.node_selector:
            body["nodeSelector"] = spec.node_selector
        if settings.runtime_class:
            body["runtimeClassName"] = settings.runtime_class
        if settings.priority_class:
            body["priorityClassName"] = settings.priority_class
        if pulls:
            body["imagePullSecrets"] = [{"name": each["metadata"]["name"]} for each in pulls]
        return {"metadata": metadata, "spec": body}

    def _metadata(self, record: Record, owner: Object) -> Object:
        return {
            "name": self._names.placed(record),
            "labels": self._names.labels_of(record.key) | {GENERATION: str(record.generation)},
            "ownerReferences": [
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "name": owner["name"],
                    "uid": owner["uid"],
                    "blockOwnerDeletion": False,
                }
            ],
        }

    # ------------------------------------------------------------------------ containers

    def _container(self, name: str, image: str, command: list[str]) -> Object:
        return {
            "name": name,
            "image": image or self._settings.image,
            "imagePullPolicy": self._settings.pull_policy,
            "command": [_PYTHON, "-m", "rexec_server", name, *command],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }

    def _agent(self, spec: Spec, credential: Credential) -> Object:
        settings = self._settings
        return self._container(
            AGENT,
            "",
            [
                *("--broker", credential.broker, "--broker-key", credential.broker_key),
                *("--curve-key-file", "/keys/curve", "--certificate-file", "/keys/certificate"),
                *("--directory", "/journal", "--handoff", _HANDOFF),
                *("--slots", str(self._slots(spec)), "--liveness-file", _ALIVE),
                *("--drain-grace", f"{settings.drain_grace:g}"),
                *("--spool-limit", str(settings.spool // 2)),
            ],
        ) | {
            "resources": {
                "requests": {"cpu": "20m", "memory": str(64 * MiB)},
                "limits": {"cpu": "1", "memory": str(settings.agent_memory)},
            },
            "livenessProbe": {
                "exec": {"command": ["/bin/sh", "-c", _ALIVE_CHECK]},
                "initialDelaySeconds": 30,
                "periodSeconds": 30,
                "timeoutSeconds": 5,
                "failureThreshold": 3,
            },
            "volumeMounts": [
                {"name": "keys", "mountPath": "/keys", "readOnly": True},
                {"name": "handoff", "mountPath": _HANDOFF},
                {"name": "journal", "mountPath": "/journal"},
                {"name": "run", "mountPath": "/run/rexec"},
            ],
        }

    def _exec(self, spec: Spec) -> Object:
        command = ["--handoff", _HANDOFF, "--directory", _HOME]
        command += ["--workers", str(self._slots(spec))]
        command += ["--drain-grace", f"{self._settings.drain_grace:g}"]
        mounts: list[Object] = [
            {"name": "handoff", "mountPath": _HANDOFF},
            {"name": "home", "mountPath": _HOME},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
        ]
        if spec.requirements_digest:
            command += ["--cache", _CACHE, "--environment", spec.requirements_digest]
            command += self._python(spec)
            mounts.append({"name": "cache", "mountPath": _CACHE})
        mounts += [
            {"name": f"volume-{number}", "mountPath": each.path, "readOnly": each.read_only}
            for number, each in enumerate(spec.volumes)
        ]
        variables = {**spec.environment, "HOME": _HOME}
        return self._container(EXEC, spec.image, command) | {
            "workingDir": _HOME,
            "env": [{"name": name, "value": value} for name, value in variables.items()],
            "resources": self._resources(spec),
            "volumeMounts": mounts,
        }

    def _environment(self, spec: Spec) -> Object:
        """Return the container that installs packages before the others start."""
        settings = self._settings
        variables = {**settings.installer, "HOME": _HOME}
        command = [
            *("--requirements", f"/requirements/{_REQUIREMENTS}", "--cache", _CACHE),
            *("--digest", spec.requirements_digest, "--report", "/dev/termination-log"),
            *self._python(spec),
        ]
        if settings.cache:
            command += ["--limit", str(settings.cache * 8 // 10)]
        return self._container(ENVIRONMENT, spec.image, command) | {
            "env": [{"name": name, "value": value} for name, value in variables.items()],
            "resources": self._resources(spec, gpu=False),
            "volumeMounts": [
                {"name": "requirements", "mountPath": "/requirements", "readOnly": True},
                {"name": "cache", "mountPath": _CACHE},
                {"name": "home", "mountPath": _HOME},
                {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
            ],
        }

    def _python(self, spec: Spec) -> list[str]:
        return ["--python", spec.python] if spec.python else []

    def _slots(self, spec: Spec) -> int:
        return max(1, math.floor(spec.cpu or self._settings.default_cpu))

    def _resources(self, spec: Spec, *, gpu: bool = True) -> Object:
        settings = self._settings
        cpu = spec.cpu or settings.default_cpu
        memory = spec.memory or settings.default_memory
        limits = {"cpu": _cores(cpu), "memory": str(memory)}
        requests = {
            "cpu": _cores(cpu * settings.cpu_request),
            "memory": str(round(memory * settings.memory_request)),
        }
        if gpu and spec.gpu:
            limits[settings.gpu_resource] = requests[settings.gpu_resource] = str(spec.gpu)
        return {"limits": limits, "requests": requests}

    # --------------------------------------------------------------------------- volumes

    def _volumes(self, record: Record) -> list[Object]:
        settings, spec = self._settings, record.spec
        secret = self._names.placed(record)
        found: list[Object] = [
            _items("keys", secret, ["curve", "certificate"]),
            _empty("handoff", settings.spool),
            _empty("journal", settings.spool),
            _empty("run", MiB),
            _empty("tmp", settings.scratch),
        ]
        if spec.home:
            found.append(_claimed("home", self._names.home(record.key)))
        else:
            found.append(_empty("home", settings.scratch))
        if spec.requirements_digest:
            found.append(_items("requirements", secret, [_REQUIREMENTS]))
            found.append(
                _claimed("cache", self._names.cache(record.user))
                if settings.cache
                else _empty("cache", settings.scratch)
            )
        found += [
            _claimed(f"volume-{number}", each.claim, read_only=each.read_only)
            for number, each in enumerate(spec.volumes)
        ]
        return found


def _cores(count: float) -> str:
    return f"{max(1, round(count * 1000))}m"


def _items(name: str, secret: str, items: list[str]) -> Object:
    listed = [{"key": each, "path": each} for each in items]
    return {
        "name": name,
        "secret": {"secretName": secret, "defaultMode": 0o440, "items": listed},
    }


def _empty(name: str, size: int) -> Object:
    return {"name": name, "emptyDir": {"sizeLimit": str(size)}}


def _claimed(name: str, claim: str, *, read_only: bool = False) -> Object:
    return {
        "name": name,
        "persistentVolumeClaim": {"claimName": claim, "readOnly": read_only},
    }
