"""Storage that was promised to servers and cannot be used."""

import pytest

from tests.cluster.kube import apply, delete, kubectl, until

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def broken_claim(backend):
    """A user, and in the namespace of that a claim whose volume cannot be mounted."""
    user, size = "broken", {"storage": "1Mi"}
    backend.spawn(user)
    backend.reaches(user, "ready")
    backend.ends(user)
    there = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "",
        "volumeName": "rexec-test-broken",
        "resources": {"requests": size},
    }
    place = {"path": "/rexec-is-not-there", "type": "Directory"}
    volume = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": size,
        "hostPath": place,
        "persistentVolumeReclaimPolicy": "Retain",
    }
    claim = {"name": "rexec-broken", "namespace": backend.namespace_of(user)}
    apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": "rexec-test-broken"},
            "spec": volume,
        },
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": claim, "spec": there},
    )
    # A scheduler that looks while the claim is being bound may look again only after minutes.
    bound = ("--for=jsonpath={.status.phase}=Bound", "--timeout=60s")
    kubectl("wait", "persistentvolumeclaim", claim["name"], "-n", claim["namespace"], *bound)
    yield user
    delete("persistentvolumeclaim", **claim)
    delete("persistentvolume", "rexec-test-broken")


def test_storage_that_cannot_be_mounted_is_told(backend, broken_claim):
    backend.spawn(broken_claim, profile="broken")
    until(lambda: backend.caused(broken_claim).get("message"), "the cause")
    failed = backend.reaches(broken_claim, "failed")
    assert failed["cause"]["reason"] == "configuration"
    assert "/rexec-is-not-there is not a directory" in failed["cause"]["message"]
    assert failed["cause"]["hint"]
    told = [
        each["text"] for each in backend.events(broken_claim, "failed") if each["kind"] == "problem"
    ]
    # What the pod waited for before that may have been seen as well; nothing is told twice.
    assert told[-1] == failed["cause"]["message"]
    assert len(set(told)) == len(told)
    until(lambda: not backend.pods(broken_claim), "nothing is left running")
