"""The cluster that `KUBECONFIG` names, asked through kubectl."""

import json
import os
import subprocess
import time

PATIENCE = 150.0


class KubectlError(RuntimeError):
    """Kubectl did not do it; the text is what it said."""


def kubectl(*arguments, stdin=None, check=True, timeout=PATIENCE):
    """Run kubectl; return what it wrote."""
    done = subprocess.run(
        ["kubectl", *arguments],
        check=False,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if check and done.returncode:
        raise KubectlError(done.stderr.strip())
    return done.stdout if done.returncode == 0 else done.stderr


def apply(*objects):
    """Have these objects."""
    listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    return kubectl(
        "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(listed)
    )


def get(kind, name="", namespace="", selector="", everywhere=False):
    """Return an object, or a list of some; None if there is none."""
    where = ["-A"] if everywhere else (["-n", namespace] if namespace else [])
    which = ([name] if name else []) + (["-l", selector] if selector else [])
    told = kubectl("get", kind, *which, *where, "-o", "json", "--ignore-not-found")
    found = json.loads(told) if told.strip() else None
    if not name:
        return (found or {}).get("items", [])
    return found


def is_ready(pod):
    """Tell whether a pod takes requests."""
    conditions = pod["status"].get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def completes(job, namespace):
    """Wait until a job is done; return what it wrote."""
    where = ("-n", namespace)
    kubectl(
        *("wait", "--for=condition=complete", f"job/{job}", "--timeout=150s", *where), timeout=180
    )
    return kubectl("logs", f"job/{job}", *where)


def delete(kind, name, namespace="", *, wait=True, grace=None):
    """Have an object go."""
    where = ["-n", namespace] if namespace else []
    how = [f"--wait={str(wait).lower()}", "--ignore-not-found"]
    how += [f"--grace-period={grace}"] if grace is not None else []
    kubectl("delete", kind, name, *where, *how, timeout=180)


def until(condition, what, patience=PATIENCE, every=0.2):
    """Wait until `condition()` is true; return what it returned."""
    end = time.monotonic() + patience
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"{what}: not within {patience:g} s"
        time.sleep(every)


def node_address():
    """Return where the ports of a node can be reached from here."""
    if given := os.environ.get("REXEC_TEST_NODE"):
        return given
    for node in get("nodes"):
        for each in node["status"]["addresses"]:
            if each["type"] == "InternalIP":
                return each["address"]
    raise AssertionError("no node has an address")
