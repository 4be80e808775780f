"""The chart, installed by somebody who has rights in two namespaces and nowhere else."""

import json

import pytest

from tests.cluster.kube import apply, delete, kubectl, until
from tests.cluster.release import NAME, HelmError, Release, helm

pytestmark = pytest.mark.timeout(400)

WHERE, USERS = "rexec-narrow", "rexec-narrow-users"


@pytest.fixture(scope="module")
def release(cluster):
    there = Release(WHERE)
    there.remove()
    delete("namespace", USERS)
    there.prepare_namespace()
    kubectl("create", "namespace", USERS)
    kubectl("label", "namespace", USERS, "pod-security.kubernetes.io/enforce=restricted")
    try:
        yield there
    finally:
        there.remove()
        delete("namespace", USERS)


@pytest.fixture(scope="module")
def administrator(release, tmp_path_factory):
    """A configuration file of somebody who is `admin` of the two namespaces."""
    account = {"kind": "ServiceAccount", "name": "administrator", "namespace": WHERE}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"}
    apply(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "administrator", "namespace": WHERE},
        },
        *(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": "administrator", "namespace": namespace},
                "roleRef": role,
                "subjects": [account],
            }
            for namespace in (WHERE, USERS)
        ),
    )
    # What was just allowed takes a moment to get around.
    somebody = f"--as=system:serviceaccount:{WHERE}:administrator"
    for namespace in (WHERE, USERS):
        asked = ("auth", "can-i", "create", "deployments", "-n", namespace, somebody)
        until(lambda asked=asked: kubectl(*asked, check=False).strip() == "yes", "allowed")
    token = kubectl("create", "token", "administrator", "-n", WHERE).strip()
    told = json.loads(kubectl("config", "view", "--raw", "--minify", "-o", "json"))
    file = tmp_path_factory.mktemp("administrator") / "kubeconfig"
    file.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": told["clusters"][0]["cluster"]}],
                "users": [{"name": "u", "user": {"token": token}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    return str(file)


def test_it_is_refused_what_reaches_beyond(release, administrator):
    with pytest.raises(HelmError, match="clusterroles"):
        release.put(kubeconfig=administrator)
    helm("uninstall", NAME, "-n", WHERE, "--ignore-not-found", "--no-hooks")


def test_in_a_shared_namespace_all_of_it_works_and_goes(release, administrator):
    release.put(f"deploy-api.sharedNamespace={USERS}", kubeconfig=administrator)
    assert "All is well." in release.test(administrator)
    release.spawn("left")
    release.reaches("left", "ready")
    helm(*("uninstall", NAME, "-n", WHERE, "--wait", "--timeout", "200s"), kubeconfig=administrator)
    until(lambda: not release.remains(), "nothing is left")

    def of_users():
        told = kubectl(
            *("get", "pods,configmaps,secrets,pvc,networkpolicies,roles,rolebindings"),
            *("-n", USERS, "-l", "app.kubernetes.io/name=rexec", "-o", "name"),
        )
        return told.split()

    until(lambda: not of_users(), "nothing of users is left")
