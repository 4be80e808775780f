"""The chart on the cluster: installed, used, upgraded, rolled back, and taken away."""

import base64
import contextlib
import sys

import cloudpickle
import nbclient
import nbformat
import pytest
from click.testing import CliRunner

import rexec_jupyter as rexec
from rexec_deploy_api.installing import secret
from rexec_jupyter.core.happenings import TextOutput
from tests.cluster import backend as b
from tests.cluster.kube import completes, delete, get, kubectl, until
from tests.cluster.release import NAME, HelmError, Release, helm

pytestmark = pytest.mark.timeout(400)

# The servers have no tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

NOTEBOOK = """
%load_ext rexec_jupyter
---
values = [1, 2, 3]
---
%%rexec -o total
total = sum(values)
print("computed", total)
---
assert total == 6
"""
# Goes on until the file is there; each line tells its number.
COUNTING = """
import pathlib, time
lines = 0
while not pathlib.Path({gate!r}).exists():
    print("line", lines, flush=True)
    lines += 1
    time.sleep(0.1)
lines
"""
SESSIONS = 5


@pytest.fixture(scope="module")
def release(cluster):
    """The chart, installed and tested; what that took is in ``seconds`` and ``told``."""
    there = Release("rexec-chart")
    there.remove()
    there.prepare_namespace()
    try:
        there.seconds, there.told = there.timed()
        yield there
    finally:
        there.remove()


@contextlib.contextmanager
def connected(release, user):
    with rexec.connect(release.endpoint, token=b.token(user), timeout=150) as client:
        yield client


@contextlib.contextmanager
def counting(client, name):
    """Run jobs in some sessions; afterwards all of them must have ended without a line missing."""
    gate = f"/tmp/{name}"
    sessions = [client.session(f"{name}-{number}") for number in range(SESSIONS)]
    jobs = [
        session.submit_cell(COUNTING.format(gate=gate), value=True, stream=True)
        for session in sessions
    ]
    shown = [[] for _ in jobs]

    def take():
        for job, seen in zip(jobs, shown, strict=True):
            seen.extend(printed(job.take(0.1) or ()))
        return all(shown)

    until(take, "all jobs run")
    yield
    client.run(_touch, gate)
    for job, seen in zip(jobs, shown, strict=True):
        while (more := job.take(30)) is not None:
            seen.extend(printed(more))
        job.result(60)
        numbers = [int(line.split()[1]) for line in "".join(seen).splitlines()]
        assert len(numbers) > 20
        assert numbers == list(range(len(numbers)))
    for session in sessions:
        session.stop()


def printed(happenings):
    outputs = [each for each in happenings if isinstance(each, TextOutput)]
    return [each.text for each in outputs if each.stream == "stdout"]


def address(host, port):
    name, _, namespace = host.partition(".")
    return get("service", name, namespace)["spec"]["clusterIP"], port


def keys(release):
    return get("secret", f"{NAME}-keys", release.namespace)["data"]


def _touch(path):
    import pathlib

    pathlib.Path(path).touch()


def test_it_is_installed_and_tested_in_time(release):
    assert release.seconds < 90, release.told
    for line in ("logged in as helm-test", "a cell ran", "the server is gone", "All is well."):
        assert line in release.told


def test_the_job_shows_none_of_the_keys_that_it_makes(release):
    asked = ("shown", "--namespace", release.namespace, "--with", "development-token")
    told = CliRunner().invoke(secret, asked, catch_exceptions=False).output
    assert "wrote broker, " in told
    for name, value in get("secret", "shown", release.namespace)["data"].items():
        content = base64.b64decode(value)
        shown = [value, content.hex(), *content.decode(errors="replace").splitlines()]
        assert not any(each in told for each in shown if len(each) > 20), name
    delete("secret", "shown", release.namespace)


def test_a_notebook_outside_runs_cells_through_a_node_port(release, monkeypatch):
    monkeypatch.setenv("REXEC_URL", release.endpoint)
    monkeypatch.setenv("REXEC_TOKEN", b.token("outside"))
    cells = [nbformat.v4.new_code_cell(each.strip()) for each in NOTEBOOK.split("---")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=150, kernel_name="python3").execute()
    assert "computed 6" in str(notebook.cells[2].outputs)
    release.ends("outside")


def test_policies_let_through_what_must_and_nothing_else(release):
    where = release.namespace
    reached = {
        "deploy-api": [(f"{NAME}-broker-health.{where}", 5562), ("kubernetes.default", 443),
                       (f"identity.{where}", 8080)],
        "ep-api": [(f"identity.{where}", 8080)],
        "identity": [(f"{NAME}-broker.{where}", 5559), (f"{NAME}-ep-api.{where}", 8000),
                     (f"{NAME}-deploy-api.{where}", 8000)],
    }  # fmt: skip
    refused = {
        "broker": [("kubernetes.default", 443), (f"{NAME}-ep-api.{where}", 8000),
                   (f"identity.{where}", 8080)],
        "deploy-api": [(f"{NAME}-broker.{where}", 5559), (f"{NAME}-ep-api.{where}", 8000)],
        "identity": [(f"{NAME}-broker-servers.{where}", 5560),
                     (f"{NAME}-broker-health.{where}", 5562)],
    }  # fmt: skip
    # Addresses, for who may not ask name servers would wait for them long.
    for part in reached.keys() | refused.keys():
        right = [address(*place) for place in reached.get(part, ())]
        wrong = [address(*place) for place in refused.get(part, ())]
        assert release.inside(part, right, 20) == right, part
        assert release.inside(part, wrong, 2) == [], part


def test_an_upgrade_and_a_rollback_cost_no_job_and_no_output(release):
    with connected(release, "upgrading") as client:
        with counting(client, "upgrade"):
            before, signing = release.pod("broker")["metadata"]["uid"], keys(release)
            # All parts start anew, and what signs changes.
            release.put(
                *("broker.logLevel=debug", "deploy-api.logLevel=debug", "ep-api.logLevel=debug"),
                *("global.keys.rotation=first", "deploy-api.servers.maxPerUser=4"),
            )
            assert release.pod("broker")["metadata"]["uid"] != before
            assert keys(release)["signing.pem"] == signing["signing-next.pem"]
            assert keys(release)["broker"] == signing["broker"]
            assert client.run(len, "four") == 4
        with counting(client, "rollback"):
            helm("rollback", NAME, "1", "-n", release.namespace, "--wait", "--timeout", "180s")
            assert client.run(len, "four") == 4
    release.ends("upgrading")


def test_the_broker_goes_five_times_and_no_job_is_lost(release):
    with connected(release, "patient") as client, counting(client, "broker"):
        for number in range(5):
            name = release.pod("broker")["metadata"]["name"]
            # In good order, and at once.
            delete("pod", name, release.namespace, grace=0 if number % 2 else None)
            release.pod("broker")
            assert client.run(len, "four") == 4
    release.ends("patient")


def test_wrong_values_leave_the_release_as_it_is(release):
    revision = helm("history", NAME, "-n", release.namespace, "--output", "json")
    where = ("-n", release.namespace)
    kubectl("create", "secret", "generic", "hollow", "--from-literal=token=", *where)
    for change, told in (
        ("broker.replicaCount=two", "replicaCount"),
        ("ep-api.persistance.size=1Gi", "persistance"),
        ("test.tokenSecret=absent", "test.tokenSecret: there is no Secret"),
        ("test.tokenSecret=hollow", 'test.tokenSecret: the Secret "hollow"'),
        ("ep-api.secretEnv.S3_SECRET_KEY.name=hollow,ep-api.secretEnv.S3_SECRET_KEY.key=token",
         "ep-api.secretEnv.S3_SECRET_KEY: the Secret"),
        ("global.imagePullSecrets[0].name=hollow", "global.imagePullSecrets: the Secret"),
        ("global.keys.create=false,global.keys.secret=hollow", "global.keys.secret: the Secret"),
    ):  # fmt: skip
        with pytest.raises(HelmError, match=told):
            release.put(change)
    kubectl("delete", "secret", "hollow", *where)
    assert helm("history", NAME, "-n", release.namespace, "--output", "json") == revision


def test_a_backup_is_made_when_it_is_asked_for(release):
    release.put("ep-api.backup.enabled=true", "ep-api.backup.size=100Mi")
    where = ("-n", release.namespace)
    kubectl("create", "job", "now", f"--from=cronjob/{NAME}-backup", *where)
    assert "holds" in completes("now", release.namespace)
    kubectl("delete", "job", "now", *where)


def test_uninstalled_only_what_is_to_be_kept_is_left_and_then_nothing(release):
    release.put("global.keepOnUninstall={keys,users,catalog}")
    release.spawn("left")
    release.reaches("left", "ready")
    before, namespace = keys(release), release.namespace_of("left")
    uninstall = ("uninstall", NAME, "-n", release.namespace, "--wait", "--timeout", "200s")
    helm(*uninstall)
    kept = {f"Secret {NAME}-keys", f"PersistentVolumeClaim {NAME}-ep-api"}
    users = {f"Namespace {namespace}"}

    def left():
        # Other users of these tests have namespaces as well.
        return {each for each in release.remains() if not each.startswith("Namespace")} | (
            users & set(release.remains())
        )

    until(lambda: left() == kept | users, "what is to be kept is left, and nothing else")
    release.put()
    release.await_answers()
    assert keys(release) == before
    release.reaches("left", "ready")
    helm(*uninstall)
    until(lambda: not release.remains(), "nothing is left")
    assert get("secret", "test-token", release.namespace)  # not the chart's
