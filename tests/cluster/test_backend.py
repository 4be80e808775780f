"""What a user of the backend on the cluster sees, through the client and over HTTP."""

import concurrent.futures
import contextlib
import os
import sys
import time

import cloudpickle
import pytest

import rexec_jupyter as rexec
from rexec_jupyter.core.errors import RexecError
from tests.cluster import backend as b
from tests.cluster.kube import get, kubectl, until

pytestmark = pytest.mark.timeout(400)

# The servers have no tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
HOSTILE = [
    "Ann.O'Neil+tag@Example.ORG",
    "CN=Ü ß 中文 🚀,O=../../kube-system",
    '";$(id)`id`{{7*7}}%s',
    "-" * 200,
]


@contextlib.contextmanager
def connected(backend, user, **options):
    with rexec.connect(backend.endpoint, token=b.token(user), timeout=120, **options) as client:
        yield client


@pytest.fixture(scope="module")
def ann(backend):
    """A user who has a server."""
    backend.spawn("ann")
    backend.reaches("ann", "ready")
    yield "ann"
    backend.ends("ann")


# ----------------------------------------------------------------------------- what works


def test_from_nothing_to_a_result_and_a_cell(backend):
    with connected(backend, "first") as client:
        assert client.run(lambda x: x * 2, 21) == 42
        assert client.run(os.getuid) == 10001
        session = client.session("default")
        session.run_cell("x = 20")
        session.run_cell("assert x + 1 == 21")
    backend.reaches("first", "ready")
    backend.ends("first")
    assert backend.namespace_of("first")  # kept for the packages; only a time later it goes
    assert not get("pods", namespace=backend.namespace_of("first"))


def test_many_requests_in_the_same_moment_give_one_server(backend):
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: backend.spawn("crowd"), range(12)))
    assert len({each["created"] for each in answers}) == 1
    backend.reaches("crowd", "ready")
    assert len(backend.pods("crowd")) == 1
    backend.ends("crowd")


def test_events_tell_the_phases_in_order_and_resume(backend, ann):
    events = backend.events(ann, "ready")
    states = [each["state"] for each in events if each["kind"] == "state"]
    assert states[0] == "requested"
    assert states[-1] == "ready"
    assert [each["seq"] for each in events] == list(range(1, len(events) + 1))
    assert backend.events(ann, "ready", after=events[-2]["seq"]) == events[-1:]


def test_the_logs_of_each_part_can_be_read(backend, ann):
    agent = backend.ask("GET", "/v1/servers/default/logs?part=agent", ann, status=200).text
    assert agent.strip()
    assert b.token(ann) not in agent
    backend.ask("GET", "/v1/servers/default/logs?part=exec&tail=5", ann, status=200)
    answer = backend.ask("GET", "/v1/servers/default/logs?part=other", ann)
    assert answer.status_code in (404, 422)


def test_nobody_sees_the_servers_of_others(backend, ann):
    for method, path in (
        ("GET", "/v1/servers/default"),
        ("GET", "/v1/servers/default/events"),
        ("GET", "/v1/servers/default/logs"),
        ("DELETE", "/v1/servers/default"),
        ("POST", "/v1/servers/default/restart"),
    ):
        assert backend.ask(method, path, "stranger").status_code == 404
    assert backend.ask("GET", "/v1/servers", "stranger").json() == {"servers": []}
    assert backend.server(ann)["state"] == "ready"


@pytest.mark.parametrize("user", HOSTILE)
def test_any_user_id_is_safe(backend, user):
    with connected(backend, user) as client:
        assert client.run(lambda: 7) == 7
    namespace = backend.namespace_of(user)
    assert namespace.startswith("rexec-u-")
    assert len(namespace) <= 63
    backend.ends(user)


def test_a_server_of_a_session_runs_beside_the_default_one(backend, ann):
    backend.spawn(ann, name="second")
    backend.reaches(ann, "ready", name="second")
    with connected(backend, ann) as client:
        client.session("default").run_cell("where = 'default'")
        second = client.session("second")
        second.run_cell("import os; assert os.uname().nodename.startswith('rexec-second-')")
    assert len(backend.pods(ann, "second")) == 1
    backend.ends(ann, "second")
    assert backend.server(ann)["state"] == "ready"


# -------------------------------------------------------------------------- environments


def test_packages_are_installed_once_and_then_taken_from_the_cache(backend):
    wanted = {"requirements": [f"python=={MINOR}", "tabulate==0.9.0"]}
    backend.spawn("packer", **wanted)
    backend.reaches("packer", "ready")
    with connected(backend, "packer", start=False) as client:
        assert client.run(_tabulated) == "0.9.0"
    log = backend.ask("GET", "/v1/servers/default/logs?part=environment", "packer", status=200)
    assert "tabulate" in log.text
    assert backend.spawn("packer", status=(200,), **wanted)["state"] == "ready"
    told = backend.ask("POST", "/v1/servers", "packer", json={"requirements": ["humanize"]})
    assert told.status_code == 409
    assert "requirements" in told.json()["detail"]
    # Another server of the same user, at the same time, from the same cache.
    backend.spawn("packer", name="second", **wanted)
    backend.reaches("packer", "ready", name="second")
    log = backend.ask("GET", "/v1/servers/second/logs?part=environment", "packer", status=200)
    assert "there already" in log.text
    new = backend.spawn("packer", force=True, requirements=["humanize>=4"])
    backend.reaches("packer", "ready", generation=new["generation"])
    with connected(backend, "packer", start=False) as client:
        assert client.run(_humanized)
    for name in ("default", "second"):
        backend.ends("packer", name)


def _tabulated():
    import tabulate

    return tabulate.__version__


def _humanized():
    import humanize

    return humanize.intcomma(1000)


def test_a_package_that_does_not_exist_is_named(backend):
    backend.spawn("lost", requirements=["rexec-no-such-package-exists==1.0"])
    server = backend.reaches("lost", "failed")
    assert server["cause"]["reason"] == "package"
    assert "rexec-no-such-package-exists" in server["cause"]["message"]
    assert server["cause"]["hint"]
    backend.ends("lost")


@pytest.mark.parametrize(
    "lines",
    [
        ["numpy; os.system('id')"],
        ["numpy && id"],
        ["numpy`id`"],
        ["$(id)"],
        ["numpy\n--index-url http://127.0.0.1"],
        ["--index-url http://127.0.0.1"],
        ["-r /etc/passwd"],
        ["-e ."],
        ["numpy @ file:///etc"],
        ["git+https://example.org/x.git"],
        ["/keys/curve"],
        ["numpy\x00"],
        ["name" * 100],
    ],
)
def test_what_is_no_requirement_is_refused_in_plain_words(backend, lines):
    answer = backend.ask("POST", "/v1/servers", "injector", json={"requirements": lines})
    assert answer.status_code == 422
    assert "Line 1" in answer.json()["detail"]
    assert backend.namespace_of("injector") is None


def test_ten_thousand_requirements_are_refused_at_once(backend):
    began = time.monotonic()
    lines = [f"package-{number}" for number in range(10_000)]
    answer = backend.ask("POST", "/v1/servers", "injector", json={"requirements": lines})
    assert answer.status_code == 422
    assert time.monotonic() - began < 10


def test_markers_are_kept_and_heeded(backend):
    lines = ["tabulate; python_version >= '3.0'", "no-such-thing-at-all; python_version < '3.0'"]
    backend.spawn("marked", requirements=lines)
    backend.reaches("marked", "ready")
    with connected(backend, "marked", start=False) as client:
        assert client.run(_tabulated)
    backend.ends("marked")


# ----------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("profile", "reason", "told"),
    [
        ("vast", "unschedulable", "memory"),
        ("imageless", "image", "rexec-none:missing"),
        ("unclaimed", "unschedulable", "rexec-missing"),
    ],
)
def test_what_cannot_start_says_why_while_it_waits_and_when_it_gave_up(
    backend, profile, reason, told
):
    user = f"hopeless-{profile}"
    backend.spawn(user, profile=profile)
    until(lambda: backend.caused(user).get("reason") == reason, "the cause")
    failed = backend.reaches(user, "failed")
    assert told in failed["cause"]["message"]
    assert failed["cause"]["hint"]
    assert any(told in each["text"] for each in backend.events(user, "failed"))
    until(lambda: not backend.pods(user), "nothing is left running")
    # Asked for otherwise, it starts.
    backend.spawn(user, profile="small")
    backend.reaches(user, "ready")
    backend.ends(user)


def test_code_out_of_memory_ends_its_job_and_not_the_server(backend):
    backend.spawn("greedy", profile="tiny")
    before = backend.reaches("greedy", "ready")
    with connected(backend, "greedy", start=False) as client:
        job = client.submit(_devour)
        with pytest.raises(RexecError) as told:
            job.result(timeout=90)
        assert "memory" in str(told.value).lower()
        assert client.run(lambda: "alive") == "alive"
    after = backend.server("greedy")
    assert after["generation"] == before["generation"]
    assert after["state"] == "ready"
    backend.ends("greedy")


def _devour():
    held = []
    while True:
        held.append(bytearray(os.urandom(1 << 20)) * 8)


def test_the_whole_exec_container_is_killed_and_the_agent_tells(backend):
    backend.spawn("killed")
    before = backend.reaches("killed", "ready")
    pod = backend.pods("killed")[0]["metadata"]
    with connected(backend, "killed", start=False) as client:
        job = client.submit(time.sleep, 600)
        until(lambda: backend.server("killed")["running"] == 1, "the job runs")
        script = "import os, signal; os.kill(1, signal.SIGTERM); os.kill(-1, signal.SIGKILL)"
        kubectl(
            *("exec", "-n", pod["namespace"], pod["name"], "-c", "exec", "--"),
            *(b.PYTHON, "-c", script),
            check=False,
        )
        with pytest.raises(RexecError):
            job.result(timeout=90)
        assert client.run(lambda: "alive") == "alive"
    assert backend.server("killed")["generation"] == before["generation"]
    assert backend.pods("killed")[0]["metadata"]["uid"] == pod["uid"]
    backend.ends("killed")


def test_a_deploy_api_that_is_killed_while_a_server_starts_matters_to_nobody(backend):
    backend.spawn("survivor")
    backend.kill("deploy-api")
    backend.reaches("survivor", "ready")
    assert len(backend.pods("survivor")) == 1
    backend.ends("survivor")


def test_a_broker_that_is_killed_ends_no_server(backend, ann):
    before = backend.server(ann)
    with connected(backend, ann) as client:
        job = client.submit(_slowly)
        until(lambda: backend.server(ann)["running"] == 1, "the job runs")
        backend.kill("broker")
        assert job.result(timeout=90) == "done"
    after = backend.reaches(ann, "ready")
    assert after["generation"] == before["generation"]


def _slowly():
    time.sleep(15)
    return "done"


def test_too_many_servers_and_quota_are_told(backend):
    for number in range(5):
        backend.spawn("hoarder", name=f"s{number}")
    for number in range(5):
        backend.reaches("hoarder", "ready", name=f"s{number}")
    # By now every deploy API knows of all of them.
    answer = backend.ask("POST", "/v1/servers", "hoarder", json={"name": "more"})
    assert answer.status_code == 429
    assert "s0" in answer.json()["detail"]
    for number in range(5):
        backend.ask("DELETE", f"/v1/servers/s{number}", "hoarder")
    until(lambda: not backend.ask("GET", "/v1/servers", "hoarder").json()["servers"], "all end")


def test_an_idle_server_is_warned_of_and_ended(backend):
    with connected(backend, "idler", profile="brief") as client:
        job = client.submit(time.sleep, 16)  # longer than it may be idle
        job.result(timeout=150)
        ready = backend.events("idler", "ready")[-1]
    told = backend.events("idler", "gone", after=ready["seq"])
    warned = next(each for each in told if each["kind"] == "warning")
    stopping = next(each for each in told if each["state"] == "stopping")
    assert warned["seq"] < stopping["seq"]
    assert warned["at"] - ready["at"] > 16
    until(lambda: backend.server("idler") is None, "it ends")
    assert not backend.pods("idler")


def test_a_server_is_extended(backend):
    backend.spawn("extender", idle_timeout=60)
    backend.reaches("extender", "ready")
    backend.ask("POST", "/v1/servers/default/extend", "extender", json={"seconds": 600}, status=200)
    until(lambda: backend.server("extender")["ends_in"] > 300, "it is longer")
    backend.ends("extender")


def test_a_home_outlives_its_server(backend):
    for number in range(2):
        backend.spawn("homely", profile="lasting")
        backend.reaches("homely", "ready")
        with connected(backend, "homely", start=False) as client:
            session = client.session("default")
            if number == 0:
                session.run_cell("open('kept.txt', 'w').write('kept')")
            else:
                session.run_cell("assert open('kept.txt').read() == 'kept'")
        backend.ends("homely")


# --------------------------------------------------------------------- the existing client


def test_the_historical_interface_works_at_both_roots(backend):
    import httpx

    for root in ("", "/rexec"):
        url, user = backend.api + root, f"historical{root}"
        form = {"requirments": [f"python=={MINOR}"], "token": b.token(user)}
        spawned = httpx.post(f"{url}/spawn", data=form, timeout=30)
        assert spawned.status_code == 200, spawned.text
        assert "Status" in spawned.json()
        form["requirments"].append("tabulate")
        assert httpx.post(f"{url}/spawn", data=form, timeout=30).status_code == 409
        config = httpx.get(f"{url}/broker-config", timeout=30).json()
        assert config["curve_public_key"] == backend.broker_keys.public.decode()
        backend.reaches(user, "ready")
        header = {"Authorization": f"Bearer {b.token(user)}"}
        assert httpx.delete(f"{url}/terminate", headers=header, timeout=30).status_code == 200
        until(lambda user=user: backend.server(user) is None, "it ends")
