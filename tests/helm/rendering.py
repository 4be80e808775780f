"""What helm makes of the chart, without a cluster."""

import functools
import subprocess
from pathlib import Path

import yaml

from tests.helm.schemas import VERSION

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm/rexec"
PARTS = ("broker", "deploy-api", "ep-api", "postgresql")
EXAMPLES = sorted(path.stem for path in (CHART / "examples").glob("*.yaml"))
MONITORS = "monitoring.coreos.com/v1/PodMonitor"
WORKLOADS = ("Deployment", "StatefulSet", "Job", "Pod", "CronJob")

# Whatever the chart can be asked for, beside the examples.
VARIANTS = {
    "defaults": (),
    "shared namespace": ("deploy-api.sharedNamespace=rexec-users",),
    "database of its own": ("global.postgresql.enabled=true", "ep-api.replicaCount=2"),
    "database by address": (
        "ep-api.database.url=postgresql://user:hidden@db/x",
        "ep-api.backup.enabled=true",
    ),
    "nothing optional": (
        *("global.networkPolicy.enabled=false", "test.enabled=false"),
        *("global.keys.create=false", "ep-api.persistence.enabled=false"),
    ),
    "everything kept": (
        *("global.keepOnUninstall={keys,users,catalog}", "ep-api.backup.enabled=true"),
        *("dashboard.enabled=true", "global.keys.rotation=second"),
    ),
    "exposed": (
        *("global.host=rexec.example.org", "global.ingress.enabled=true"),
        *("global.gateway.enabled=true", "global.gateway.parentRefs[0].name=public"),
        *("global.tls.enabled=true", "global.tls.certManager.issuer=letsencrypt"),
        *("global.broker.type=LoadBalancer", "global.broker.loadBalancerSourceRanges={10.0.0.0/8}"),
    ),
    "from a registry": (
        *("global.image.registry=registry.example.org", "global.imagePullSecrets[0].name=pull"),
        "broker.image.digest=sha256:" + "0" * 64,
    ),
}


class HelmError(RuntimeError):
    """Helm did not do it; the text is what it said."""


def run(*arguments):
    """Run helm; return what it wrote."""
    done = subprocess.run(["helm", *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        raise HelmError(done.stderr + done.stdout)
    return done.stdout


@functools.cache
def rendered(*values, chart=CHART, example="", name="rexec", namespace="rexec"):
    """Return the objects that an installation with these values has."""
    text = run(
        *("template", name, str(chart), "--namespace", namespace, "--kube-version", VERSION),
        *("--api-versions", MONITORS),
        *(("--values", str(CHART / f"examples/{example}.yaml")) if example else ()),
        *(part for each in values for part in ("--set", each)),
    )
    return [each for each in yaml.safe_load_all(text) if each]


def every():
    """Yield the name and the objects of each example and variant."""
    for example in EXAMPLES:
        yield example, rendered(example=example)
    for name, values in VARIANTS.items():
        yield name, rendered(*values)


def one(objects, kind, name):
    """Return an object."""
    found = [e for e in objects if e["kind"] == kind and e["metadata"]["name"] == name]
    assert len(found) == 1, (kind, name, len(found))
    return found[0]


def pod_of(workload):
    """Return the pod's specification in a workload."""
    spec = workload["spec"]
    if workload["kind"] == "Pod":
        return spec
    if workload["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return spec["template"]["spec"]


def containers(objects):
    """Yield the name of a workload, its pod and a container of it, for each."""
    for each in objects:
        if each["kind"] in WORKLOADS:
            pod = pod_of(each)
            for container in (*pod.get("initContainers", ()), *pod["containers"]):
                yield f"{each['kind']} {each['metadata']['name']}", pod, container


def variables(objects, workload, container=0):
    """Return the variables of a container of a Deployment, by name."""
    pod = pod_of(one(objects, "Deployment", workload))
    return {
        e["name"]: e.get("value", e.get("valueFrom")) for e in pod["containers"][container]["env"]
    }
