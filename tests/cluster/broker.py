"""A broker on the cluster, and the pieces that whatever is installed there is made of."""

import base64
import os
import tempfile
from pathlib import Path

from rexec_deploy_api.tickets import Broker, Tickets
from rexec_jupyter.core.credentials import SigningKey
from rexec_jupyter.core.trust import new_keypair
from tests.cluster.kube import apply, get, kubectl, node_address

PREFIX = os.environ.get("REXEC_IMAGE_PREFIX", "")
TAG = os.environ.get("REXEC_IMAGE_TAG", "dev")
PYTHON = "/opt/rexec/bin/python"
LABELS = {"app.kubernetes.io/name": "rexec"}
KEYS = {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o440}}


def image(name):
    """Return the name of an image of this project."""
    return f"{PREFIX}rexec-{name}:{TAG}"


def clear(namespace, users):
    """Remove a namespace, and those of users that a selector names."""
    found = [each["metadata"]["name"] for each in get("namespaces", selector=users)]
    kubectl("delete", "namespace", "--ignore-not-found", namespace, *found, timeout=300)


class BrokerThere:
    """A broker in a namespace, with keys of its own.

    Attributes
    ----------
    namespace
        Where it is.
    node
        Where ports of the cluster are reached from here.
    ports
        By the names of services.
    """

    def __init__(self, namespace):
        self.namespace = namespace
        self.node = node_address()
        self.signing = SigningKey.generate()
        self.broker_keys = new_keypair()
        self.secret = os.urandom(32)
        self.ports = {}

    @property
    def clients(self):
        """Endpoint of the broker's port for clients."""
        return f"tcp://{self.node}:{self.ports['broker']}"

    @property
    def health(self):
        """Address of the broker's health port."""
        return f"http://{self.node}:{self.ports['broker-health']}"

    @property
    def servers(self):
        """Endpoint of the broker's port for servers, from within the cluster."""
        return f"tcp://broker-servers.{self.namespace}:5560"

    def tickets(self):
        """Return what signs for this broker."""
        public = self.broker_keys.public.decode()
        where = Broker(self.node, self.ports["broker"], self.servers, public)
        return Tickets(self.signing, self.secret, where)

    def install(self):
        """Install it, and wait until it is there."""
        kubectl("create", "namespace", self.namespace)
        self.prepare()
        apply(self.broker())
        self.await_rollout("broker")
        return self

    def prepare(self, *more):
        """Have keys, services, and more than these; take note of the ports."""
        apply(
            self._keys(),
            self.service("broker", 5559),
            self.service("broker-servers", 5560, "broker", kind="ClusterIP"),
            self.service("broker-health", 8080, "broker"),
            *more,
        )
        for service in get("services", namespace=self.namespace):
            self.ports[service["metadata"]["name"]] = service["spec"]["ports"][0].get("nodePort")

    def await_rollout(self, *names):
        """Wait until these workloads are there."""
        where = ("-n", self.namespace)
        for name in names:
            kubectl(*(*where, "rollout", "status", f"deploy/{name}", "--timeout=150s"), timeout=160)

    # ------------------------------------------------------------------------- manifests

    def meta(self, name, component=""):
        """Return the metadata of an object."""
        labels = {"app.kubernetes.io/component": component} if component else {}
        return {"name": name, "namespace": self.namespace, "labels": LABELS | labels}

    def service(self, name, port, component="", *, kind="NodePort"):
        """Return a service of a workload, which is called like it unless that is said."""
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": self.meta(name),
            "spec": {
                "type": kind,
                "selector": {"app.kubernetes.io/component": component or name},
                "ports": [{"port": port, "targetPort": port}],
            },
        }

    def broker(self):
        """Return the workload."""
        return self.workload(
            "broker",
            image("broker"),
            [
                *(PYTHON, "-m", "rexec_broker", "--client-address", "tcp://0.0.0.0:5559"),
                *("--server-address", "tcp://0.0.0.0:5560", "--health-address", "0.0.0.0:8080"),
                *("--curve-key-file", "/keys/broker", "--verify-key-file", "/keys/verify.pem"),
            ],
            port=8080,
            path="/healthz",
            volumes=[KEYS],
        )

    def _keys(self):
        with tempfile.TemporaryDirectory(prefix="rexec-keys-") as directory:
            signing = Path(directory) / "signing.pem"
            self.signing.write(signing)
            keys = {
                "broker": self.broker_keys.public + b"\n" + self.broker_keys.secret + b"\n",
                "signing.pem": signing.read_bytes(),
                "verify.pem": self.signing.public_pem,
                "secret": self.secret,
            }
        encoded = {name: base64.b64encode(each).decode() for name, each in keys.items()}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": self.meta("keys"),
            "data": encoded,
        }

    def workload(self, name, image, command, *, port, path, volumes=(), replicas=1, **pod):
        """Return a Deployment as the chart would make it: nothing that is not needed."""
        container = {
            "name": name,
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": command,
            "env": [{"name": key, "value": value} for key, value in pod.get("env", {}).items()],
            "ports": [{"containerPort": port}],
            "readinessProbe": {
                "httpGet": {"path": path, "port": port}, "periodSeconds": 1, "timeoutSeconds": 3,
            },
            "resources": {
                "requests": {"cpu": "100m", "memory": "64Mi"},
                "limits": {"memory": "512Mi"},
            },
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [
                *({"name": each["name"], "mountPath": f"/{each['name']}"} for each in volumes),
                {"name": "tmp", "mountPath": "/tmp"},
            ],
        }  # fmt: skip
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": self.meta(name, name),
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app.kubernetes.io/component": name}},
                "template": {
                    "metadata": {"labels": self.meta(name, name)["labels"]},
                    "spec": {
                        "serviceAccountName": pod.get("account", "default"),
                        "automountServiceAccountToken": "account" in pod,
                        "enableServiceLinks": False,
                        "terminationGracePeriodSeconds": 10,
                        "securityContext": {
                            "runAsNonRoot": True,
                            "runAsUser": 10001,
                            "runAsGroup": 10001,
                            "fsGroup": 10001,
                            "seccompProfile": {"type": "RuntimeDefault"},
                        },
                        "containers": [container],
                        "volumes": [*volumes, {"name": "tmp", "emptyDir": {}}],
                    },
                },
            },
        }
