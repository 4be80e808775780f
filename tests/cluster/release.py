"""An installation of the chart on the cluster, with users of an identity service of its own."""

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from tests.cluster import backend as b
from tests.cluster.broker import PREFIX, PYTHON, TAG, image
from tests.cluster.kube import apply, get, is_ready, kubectl, until

CHART = Path(__file__).parents[2] / "helm/rexec"
NAME = "rexec"
# From the ports that Kubernetes gives to nobody by itself unless all others are taken.
NODE_PORTS = {"broker": 30059, "deploy-api": 30081, "ep-api": 30080}
PATIENCE = 240
INSTALLER = "REXEC_KUBERNETES_INSTALLER"
# With which nodes may fetch images from a registry that is not there.
PULL = json.dumps({"auths": {"registry.example.org": {"auth": "bm9ib2R5Om5vdGhpbmc="}}})


class HelmError(RuntimeError):
    """Helm did not do it; the text is what it said."""


def helm(*arguments, kubeconfig="", timeout=PATIENCE):
    """Run helm; return what it wrote."""
    done = subprocess.run(
        ["helm", *arguments, *([f"--kubeconfig={kubeconfig}"] if kubeconfig else ())],
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if done.returncode:
        raise HelmError(f"{done.stdout}\n{done.stderr}")
    return done.stdout


class Release(b.Backend):
    """The chart, installed.

    Parameters
    ----------
    namespace
        Where.
    name, chart
        What it is called, and which chart it is of.
    """

    def __init__(self, namespace, name=NAME, chart=CHART):
        super().__init__()
        self.namespace = namespace
        self.name = name
        self.chart = chart
        self.ports = dict(NODE_PORTS)
        self.through()
        self.instance = f"{namespace}-{name}"

    def prepare_namespace(self):
        """Have the namespace, and the identity service in it."""
        kubectl("create", "namespace", self.namespace)
        kubectl(
            "label", "namespace", self.namespace, "pod-security.kubernetes.io/enforce=restricted"
        )
        content = {"identity.py": b.IDENTITY, "token": b.token("helm-test")}
        apply(
            self.service("identity", 8080, kind="ClusterIP"),
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": self.meta("identity"),
                "data": {"identity.py": content["identity.py"]},
            },
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": self.meta("test-token"),
                "stringData": {"token": content["token"]},
            },
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": self.meta("pull"),
                "type": "kubernetes.io/dockerconfigjson",
                "stringData": {".dockerconfigjson": PULL},
            },
            self.workload(
                "identity",
                image("deploy-api"),
                [PYTHON, "/identity/identity.py"],
                port=8080,
                path="/",
                volumes=[{"name": "identity", "configMap": {"name": "identity"}}],
            ),
        )
        self.await_rollout("identity")

    def values(self):
        """Return what the tests install."""
        installer = json.loads(b.package_settings().get(INSTALLER, "{}"))
        registry, _, _ = PREFIX.rpartition("/")
        return {
            "global": {
                "authApiUrl": f"http://identity.{self.namespace}:8080/validate",
                "image": {"registry": registry, "tag": TAG},
                "imagePullSecrets": [{"name": "pull"}],
                "broker": {
                    "type": "NodePort",
                    "host": self.node,
                    "nodePort": self.ports["broker"],
                },
                "deployApi": {"nodePort": self.ports["deploy-api"], "url": self.api},
                "epApi": {"nodePort": self.ports["ep-api"], "url": self.endpoint},
            },
            "deploy-api": {
                "env": {"REXEC_KUBERNETES_LEASE_SECONDS": 5},
                "servers": {
                    "cpuRequest": 0.02,
                    "memoryRequest": 0.1,
                    "drainGrace": 3,
                    "cache": {"size": "1Gi"},
                    "installer": installer,
                    "profiles": [{"name": "small", "cpu": 1, "memory": "1GiB"}],
                },
            },
            "ep-api": {"persistence": {"size": "100Mi"}},
            "test": {"tokenSecret": "test-token"},
        }

    def put(self, *changes, kubeconfig="", values=None):
        """Install it, or upgrade it with some values changed; wait until all of it is ready."""
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "values.json"
            file.write_text(json.dumps(values or self.values()))
            told = helm(
                *("upgrade", "--install", self.name, str(self.chart), "-n", self.namespace),
                *("--values", str(file), "--wait", "--timeout", "180s"),
                *(part for each in changes for part in ("--set", each)),
                kubeconfig=kubeconfig,
            )
        # Helm waits for what is new, and not for the end of what was there before.
        deployments = get("deployments", namespace=self.namespace, selector=self._selector())
        self.await_rollout(*(each["metadata"]["name"] for each in deployments))
        return told

    def _selector(self, part=""):
        component = f",app.kubernetes.io/component={part}" if part else ""
        return f"app.kubernetes.io/instance={self.name}{component}"

    def test(self, kubeconfig=""):
        """Run `helm test`; return what it wrote."""
        return helm(
            *("test", self.name, "-n", self.namespace, "--logs", "--timeout", "200s"),
            kubeconfig=kubeconfig,
        )

    def timed(self):
        """Install and test it; return the seconds that took and what the test wrote."""
        began = time.monotonic()
        self.put()
        told = self.test()
        return time.monotonic() - began, told

    def inside(self, part, places, patience):
        """Return which of these hosts and ports a pod of a part reaches in so many seconds each."""
        source = (
            "import json, socket, sys\n"
            "def reaches(place):\n"
            f"    try: socket.create_connection(place, {patience}).close()\n"
            "    except OSError: return False\n"
            "    return True\n"
            "places = json.loads(sys.argv[1])\n"
            "print(json.dumps([place for place in places if reaches(place)]))\n"
        )
        pod = f"deploy/{part if part == 'identity' else f'{self.name}-{part}'}"
        where = ("exec", "-n", self.namespace, pod, "--", PYTHON, "-c", source)
        return [tuple(each) for each in json.loads(kubectl(*where, json.dumps(places)))]

    def pod(self, part):
        """Return the pod of a part that is ready."""

        def ready():
            for each in get("pods", namespace=self.namespace, selector=self._selector(part)):
                if is_ready(each) and not each["metadata"].get("deletionTimestamp"):
                    return each
            return None

        return until(ready, f"a pod of {part} is ready")

    def remains(self):
        """Return what is left of the release and its users in the cluster."""
        kinds = (
            "all,secrets,configmaps,serviceaccounts,roles,rolebindings,networkpolicies,"
            "persistentvolumeclaims,poddisruptionbudgets"
        )
        here = get(kinds, namespace=self.namespace)
        cluster = get(
            "clusterroles,clusterrolebindings,validatingadmissionpolicies,"
            "validatingadmissionpolicybindings"
        )
        # Another release of this name has other names for what it has in the cluster.
        ours = [
            f"{each['kind']} {each['metadata']['name']}"
            for found, prefixes in (
                (
                    here,
                    (f"{self.name}-", f"data-{self.name}-", f"sh.helm.release.v1.{self.name}."),
                ),
                (cluster, (f"{self.instance}-",)),
            )
            for each in found
            if each["metadata"]["name"].startswith(prefixes)
            and not each["metadata"].get("deletionTimestamp")
        ]
        users = get("namespaces", selector=f"rexec.dev/instance={self.instance}")
        return ours + [f"Namespace {each['metadata']['name']}" for each in users]

    def remove(self):
        """Take away everything, whatever state it is in."""
        if not os.environ.get("REXEC_TEST_KEEP"):
            helm(
                *("uninstall", self.name, "-n", self.namespace),
                *("--ignore-not-found", "--no-hooks"),
            )
            roles = ("clusterroles,clusterrolebindings", f"{self.instance}-leaving")
            kubectl("delete", "--ignore-not-found", *roles)
            b.clear(self.namespace, f"rexec.dev/instance={self.instance}")
