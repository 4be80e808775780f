"""What the operator sets of servers in Kubernetes; all names begin with ``REXEC_KUBERNETES_``."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

GiB = 1 << 30
MiB = 1 << 20

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_PRIVATE = (
    "10.0.0.0/8",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
    "fe80::/10",
)

Names = Annotated[tuple[str, ...], NoDecode]


class KubernetesSettings(BaseSettings):
    """Where pods run, what they may take, and whom they may reach."""

    model_config = SettingsConfigDict(
        env_prefix="REXEC_KUBERNETES_", env_file=".env", extra="ignore", frozen=True
    )

    # Tells this deployment's objects from those of another in the same cluster.
    instance: str = "rexec"
    # The namespace of the deploy API and the broker, and the account of the former.
    namespace: str = "rexec"
    service_account: str = "rexec-deploy-api"
    # The ClusterRole that it gives itself in the namespaces of users, and nowhere else.
    session_role: str = "rexec-deploy-api-sessions"
    # Another cluster than the one that this process runs in.
    kubeconfig: str = ""
    # One namespace for all servers, in place of one a user.
    shared_namespace: str = ""
    # Seconds after which the namespace of a user without servers goes; never if it has a home.
    namespace_ttl: float = Field(default=7 * 24 * 3600.0, gt=0)

    # The image of the agent, and of code whose profile names none.
    image: str = "rexec-server:latest"
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    # Files like Docker's config.json, with which nodes may fetch images: each user's namespace gets
    # them as Secrets.
    pull_files: Names = ()
    runtime_class: str = ""
    priority_class: str = ""
    gpu_resource: str = "nvidia.com/gpu"

    # What code is promised, as a share of what it may take.
    cpu_request: float = Field(default=0.1, gt=0, le=1)
    memory_request: float = Field(default=0.5, gt=0, le=1)
    # For code whose profile sets no limit.
    default_cpu: float = Field(default=2.0, gt=0)
    default_memory: int = Field(default=2 * GiB, ge=64 * MiB)
    agent_memory: int = Field(default=512 * MiB, ge=128 * MiB)
    spool: int = Field(default=2 * GiB, ge=64 * MiB)
    scratch: int = Field(default=4 * GiB, ge=64 * MiB)
    drain_grace: float = Field(default=30.0, ge=0, le=3600)

    # What all servers of a user may take together; 0 for what their number allows.
    quota_cpu: float = Field(default=0.0, ge=0)
    quota_memory: int = Field(default=0, ge=0)
    quota_storage: int = Field(default=0, ge=0)
    quota_pods: int = Field(default=20, ge=1)

    # Packages that users ask for: kept in a volume of the user's, or with the pod if it is 0.
    cache: int = Field(default=10 * GiB, ge=0)
    storage_class: str = ""
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"] = "ReadWriteOnce"
    # Variables of the installer, such as UV_INDEX_URL.
    installer: dict[str, str] = {}

    # Networks beside the Internet that user code may reach, and those of the Internet it may not.
    egress_allowed: Names = ()
    egress_denied: Names = _PRIVATE
    internet: bool = True
    broker_labels: dict[str, str] = {
        "app.kubernetes.io/name": "rexec",
        "app.kubernetes.io/component": "broker",
    }
    broker_port: int = Field(default=5560, ge=1, le=65535)
    # Where name servers are: pods of this namespace, and port 53 of these networks, for in some
    # clusters they are processes of the nodes.
    dns_namespace: str = "kube-system"
    dns_networks: Names = (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "169.254.20.10/32",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "fc00::/7",
    )

    # Leader election: how long a leader that is silent stays one.
    lease: str = "rexec-deploy-api"
    lease_seconds: float = Field(default=15.0, ge=2)

    @field_validator("pull_files", "egress_allowed", "egress_denied", "dns_networks", mode="before")
    @classmethod
    def _separated_by_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("egress_allowed", "egress_denied", "dns_networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ipaddress.ip_network(each)) for each in value)

    @field_validator("instance")
    @classmethod
    def _label(cls, value: str) -> str:
        if not _LABEL.fullmatch(value):
            raise ValueError("it is part of names: lower-case letters, digits and '-', up to 40")
        return value
