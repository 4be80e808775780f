"""What the service account of the deploy API may do, tried with its own token."""

import json

import pytest

from tests.cluster import backend as b
from tests.cluster.kube import KubectlError, delete, kubectl, until

pytestmark = pytest.mark.timeout(400)  # the first one waits for the whole backend


@pytest.fixture(scope="module")
def user_namespace(backend):
    """A namespace that the deploy API made for a user, with a server in it."""
    backend.spawn("access")
    backend.reaches("access", "ready")
    yield backend.namespace_of("access")
    backend.ends("access")


@pytest.fixture(scope="module")
def foreign_namespace(cluster):
    name = "rexec-test-foreign"
    kubectl("create", "namespace", name)
    yield name
    delete("namespace", name)


@pytest.fixture(scope="module")
def tried(backend):
    """Run kubectl with nothing but the token of the account; return what it says."""
    token = kubectl("create", "token", "rexec-deploy-api", "-n", b.NAMESPACE).strip()
    config = json.loads(kubectl("config", "view", "--raw", "--minify", "-o", "json"))
    server = config["clusters"][0]["cluster"]

    def attempt(*arguments, stdin=None):
        import tempfile

        bare = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": server}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(bare, file)
            file.flush()
            return kubectl(f"--kubeconfig={file.name}", *arguments, stdin=stdin)

    return attempt


def may(tried, verb, what, namespace=""):
    where = ["-n", namespace] if namespace else ["-A"]
    what, _, part = what.partition("/")
    where += [f"--subresource={part}"] if part else []
    try:
        return tried("auth", "can-i", verb, what, *where).strip() == "yes"
    except KubectlError as error:
        assert "no" in str(error) or not str(error)  # noqa: PT017 - its answer is an exit code
        return False


def refused(tried, *arguments, stdin=None):
    with pytest.raises(KubectlError) as told:
        tried(*arguments, stdin=stdin)
    assert "forbidden" in str(told.value).lower() or "denied" in str(told.value).lower()
    return str(told.value)


def test_it_reads_no_secret_anywhere(tried, user_namespace):
    for namespace in (b.NAMESPACE, user_namespace, "kube-system"):
        for verb in ("get", "list", "watch"):
            assert not may(tried, verb, "secrets", namespace)
    refused(tried, "get", "secrets", "-A")
    refused(tried, "get", "secret", "keys", "-n", b.NAMESPACE)


def test_it_enters_no_container_and_sees_no_node(tried, user_namespace, backend):
    pod = backend.pods("access")[0]["metadata"]["name"]
    refused(tried, "exec", "-n", user_namespace, pod, "-c", "agent", "--", "cat", "/keys/curve")
    refused(tried, "get", "nodes")
    for what in ("pods/attach", "pods/portforward", "pods/ephemeralcontainers", "nodes/proxy"):
        assert not may(tried, "create", what, user_namespace)
    assert not may(tried, "impersonate", "users")


def test_it_sees_events_of_users_alone(tried, user_namespace):
    assert may(tried, "list", "events", user_namespace)
    for verb in ("get", "watch", "create", "patch", "delete"):
        assert not may(tried, verb, "events", user_namespace)
    for namespace in (b.NAMESPACE, "kube-system", "default"):
        assert not may(tried, "list", "events", namespace)


def test_it_gives_nobody_rights(tried, user_namespace):
    for verb in ("create", "update", "patch", "delete", "escalate"):
        assert not may(tried, verb, "clusterroles")
        assert not may(tried, verb, "clusterrolebindings")
        assert not may(tried, verb, "roles", user_namespace)
    assert not may(tried, "create", "serviceaccounts/token", b.NAMESPACE)
    refused(
        *(tried, "create", "rolebinding", "more", "--clusterrole=cluster-admin"),
        *(f"--serviceaccount={b.NAMESPACE}:rexec-deploy-api", "-n", user_namespace),
    )
    told = refused(
        *(tried, "create", "rolebinding", "others", "--clusterrole=rexec-deploy-api-sessions"),
        *("--serviceaccount=default:default", "-n", user_namespace),
    )
    assert "only to itself" in told


def test_it_gives_itself_its_role_in_no_other_namespace(tried, foreign_namespace):
    for namespace in (foreign_namespace, "kube-system", "default", b.NAMESPACE):
        told = refused(
            *(tried, "create", "rolebinding", "mine", "--clusterrole=rexec-deploy-api-sessions"),
            *(f"--serviceaccount={b.NAMESPACE}:rexec-deploy-api", "-n", namespace),
        )
        assert "outside of the namespaces of its users" in told


def test_it_changes_nothing_outside_of_the_namespaces_of_users(tried, foreign_namespace):
    for verb in ("create", "delete", "update"):
        for what in ("pods", "configmaps", "secrets", "deployments", "services"):
            assert not may(tried, verb, what, foreign_namespace)
    refused(tried, "delete", "namespace", foreign_namespace, "--wait=false")
    refused(tried, "delete", "namespace", "kube-system", "--wait=false")
    refused(tried, "label", "namespace", foreign_namespace, "app.kubernetes.io/managed-by=x")
    refused(tried, "create", "namespace", "other-than-a-users")
    refused(tried, "create", "namespace", "rexec-u-without-labels")


def test_it_takes_over_no_namespace_that_is_called_like_a_users(tried):
    name = "rexec-u-somebody-elses"
    kubectl("create", "namespace", name)
    try:
        told = refused(
            *(tried, "label", "namespace", name, "app.kubernetes.io/managed-by=rexec-deploy-api"),
            "pod-security.kubernetes.io/enforce=restricted",
        )
        assert "belongs to somebody else" in told
        refused(tried, "delete", "namespace", name, "--wait=false")
    finally:
        delete("namespace", name)


def test_a_pod_that_it_makes_has_no_account_and_no_part_in_the_node(tried, user_namespace):
    def pod(**spec):
        secure = {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        container = {"name": "c", "image": "x", "securityContext": secure}
        body = {"automountServiceAccountToken": False, "containers": [container], **spec}
        metadata = {"name": "tried", "namespace": user_namespace}
        return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": body})

    def make(**spec):
        return tried("create", "--dry-run=server", "-f", "-", stdin=pod(**spec))

    assert "created" in make()
    for spec in (
        {"automountServiceAccountToken": True},
        {"serviceAccountName": "other"},
        {"hostNetwork": True},
        {"hostPID": True},
        {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]},
        {"volumes": [{"name": "v", "projected": {"sources": []}}]},
        {"securityContext": {"runAsUser": 0}},
    ):
        refused(tried, "create", "--dry-run=server", "-f", "-", stdin=pod(**spec))


def test_it_does_what_it_has_to(tried, user_namespace):
    assert may(tried, "create", "pods", user_namespace)
    assert may(tried, "create", "secrets", user_namespace)
    assert may(tried, "list", "pods")
    assert "default" in tried("get", "configmaps", "-n", user_namespace)


def test_pods_of_users_have_no_account(backend, user_namespace):
    pod = backend.pods("access")[0]
    assert pod["spec"]["automountServiceAccountToken"] is False
    mounts = [m for c in pod["spec"]["containers"] for m in c["volumeMounts"]]
    assert not any("serviceaccount" in each["mountPath"] for each in mounts)
    inside = [each["name"] for each in pod["spec"]["containers"] if each["name"] == "exec"]
    assert inside == ["exec"]
    held = {each["name"] for c in pod["spec"]["containers"] if c["name"] == "exec"
            for each in c["volumeMounts"]}  # fmt: skip
    assert "keys" not in held


def test_where_users_share_a_namespace_it_has_no_right_beyond_it(cluster, backend):
    """The other manifest, with a name of its own for the account."""
    shared = b.access("shared-access.yaml").replace("rexec-deploy-api", "rexec-shared-api")
    shared = shared.replace("rexec-users", "rexec-test-users")
    kubectl("apply", "-f", "-", stdin=shared)
    try:
        account = f"system:serviceaccount:{b.NAMESPACE}:rexec-shared-api"

        def can(verb, what, *where):
            return kubectl("auth", "can-i", verb, what, *where, f"--as={account}", check=False)

        # What was just allowed takes a moment to get around.
        until(lambda: can("create", "pods", "-n", "rexec-test-users").strip() == "yes", "allowed")
        for namespace in ("kube-system", b.NAMESPACE, "default"):
            for what in ("pods", "configmaps", "secrets"):
                assert can("list", what, "-n", namespace).strip() != "yes"
        assert can("create", "namespaces").strip() != "yes"
        assert can("get", "secrets", "-n", "rexec-test-users").strip() != "yes"
    finally:
        kubectl("delete", "--ignore-not-found", "-f", "-", stdin=shared)


def test_the_manifests_are_taken_again_and_again(backend):
    assert "created" not in kubectl(
        "apply", "-f", "-", stdin=b.access("access.yaml", "admission.yaml")
    )
