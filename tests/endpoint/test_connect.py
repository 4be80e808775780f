"""`connect(url, token=…)`: from an endpoint to a function that ran, through real parts."""

import getpass
import json
import sys
import threading
import types
from pathlib import Path

import pytest

import rexec_jupyter as rexec
from rexec_jupyter.core.link import Link
from rexec_jupyter.core.logins import Logins
from rexec_jupyter.core.settings import current
from rexec_jupyter.endpoint import EndpointClient
from rexec_jupyter.endpoint.backend import EndpointBackend
from tests.backend.embedding import private_backend
from tests.endpoint.answering import Answering, Reply
from tests.endpoint.canary import MARK, secret, watch
from tests.endpoint.deploying import deploying, servers_of
from tests.endpoint.packages import offer
from tests.endpoint.service import PATIENCE, Endpoint, until

PYTHON = f"python=={sys.version_info.major}.{sys.version_info.minor}"
BROKER = {
    "broker_external_host": "127.0.0.1",
    "broker_external_port": 9,
    "curve_public_key": "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7",
}
PROFILES = {"profiles": [{"name": "plain"}, {"name": "large"}]}
SERVERS, TICKETS = "/rexec/v1/servers", "/rexec/v1/tickets"


@pytest.fixture(scope="module")
def index():
    """A package index beside the usual one, which has what a test gives it."""
    with Answering() as index:
        yield index


@pytest.fixture(scope="module")
def front(identity, index, tmp_path_factory):
    """A real deploy API, and what it is asked through."""
    file = tmp_path_factory.mktemp("profiles") / "profiles.json"
    file.write_text(json.dumps(PROFILES))
    settings = {"REXEC_DEPLOY_PROFILES": str(file), "UV_INDEX": f"{index.url}/simple"}
    with deploying(identity, **settings) as front:
        yield front


@pytest.fixture
def user(identity, fresh):
    """Somebody new, who has no server yet."""
    return identity.add(fresh("writer"), roles=["ndp_writer"])


@pytest.fixture
def token(user):
    return user.token


@pytest.fixture
def deploy(front):
    front.forget()
    return front


@pytest.fixture
def there(front, user):
    """The servers of that user, of whom none is left."""
    with servers_of(front, user) as servers:
        yield servers


@pytest.fixture
def endpoint(deploy, there):
    """An endpoint that leads to it."""
    with Answering() as server:
        server.answer("GET", "/status/", {"api_version": "1.0.0"})
        server.answer("GET", "/status/rexec", {"deployment_api_url": deploy.url})
        yield server


@pytest.fixture
def older(deploy):
    """A deploy API that has no servers as resources."""
    for method in ("GET", "POST"):
        deploy.answer(method, SERVERS, Reply(404, {"detail": "Not Found"}))
    return deploy


@pytest.fixture(autouse=True)
def no_settings(monkeypatch, tmp_path):
    monkeypatch.setenv("REXEC_CONFIG_DIR", str(tmp_path))
    for name in ("REXEC_URL", "REXEC_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def names(there):
    return [server["name"] for server in there.every()]


# --------------------------------------------------------------------------- what works


def test_a_function_runs_through_the_endpoint_the_deploy_api_and_the_broker(
    endpoint, deploy, there, token
):
    with rexec.connect(endpoint.url, token=token) as client:
        assert client.run(lambda a, b: a * b, 6, 7) == 42
        assert endpoint.url in client.status().backend
        assert MARK not in f"{client!r}{client.status()}"
    assert names(there) == ["default"]
    (asked,) = (
        each.json for each in deploy.asked if each.method == "POST" and each.path == SERVERS
    )
    assert asked["requirements"] == [PYTHON]
    assert deploy.count("POST", "/spawn") == 0


def test_a_server_that_is_there_is_used_as_it_is(endpoint, deploy, there, token):
    there.begin("default", profile="large", idle_timeout=3600.0)
    with rexec.connect(endpoint.url, token=token) as client:
        assert client.run(getpass.getuser)
    with rexec.connect(endpoint.url, token=token, profile="plain") as client:
        assert client.run(getpass.getuser)
    assert deploy.count("POST", "/v1/servers") == 0


def test_a_server_of_another_session_is_enough(endpoint, deploy, there, token):
    there.begin("train", idle_timeout=3600.0)
    with rexec.connect(endpoint.url, token=token) as client:
        assert client.session("train").run_cell("6 * 7", value=True).value == 42
    assert names(there) == ["train"]


def test_a_server_is_started_with_what_is_required(endpoint, there, token, tmp_path):
    file = tmp_path / "requirements.txt"
    file.write_text("# for the paper\niniconfig>=2  # small\n\n")
    with rexec.connect(endpoint.url, token=token, requirements=file) as client:
        assert client.run(lambda: __import__("iniconfig").__name__) == "iniconfig"
    assert there.find("default")["requirements"] == ["iniconfig>=2"]
    with (
        pytest.raises(rexec.SessionMismatchError, match=r"R04.*other requirements"),
        rexec.connect(endpoint.url, token=token, requirements=["pandas"]),
    ):
        pass


def test_a_profile_goes_along(endpoint, there, token):
    with rexec.connect(endpoint.url, token=token, profile="large"):
        assert there.find("default")["profile"] == "large"


def test_another_process_of_the_user_reads_the_results(endpoint, token, tmp_path):
    gate = str(tmp_path / "gate")

    def held():
        import time
        from pathlib import Path

        while not Path(gate).exists():
            time.sleep(0.01)
        return "made for one"

    with rexec.connect(endpoint.url, token=token) as client:
        job = client.submit(held)
        until(lambda: job.state == "running", "the job to start")
    with rexec.connect(endpoint.url, token=token) as other:
        Path(gate).touch()
        assert other.attach(job.id).result(PATIENCE) == "made for one"


@pytest.mark.parametrize("listing", [None, Reply(404, {"detail": "Not Found"})])
def test_an_older_deploy_api_is_asked_in_the_way_it_knows(endpoint, older, there, token, listing):
    if listing is not None:
        older.answer("GET", "/rexec/v1/sessions", listing)
    with rexec.connect(endpoint.url, token=token, profile="large") as client:
        assert client.run(len, "abc") == 3
    assert older.count("POST", "/spawn") == 1
    (asked,) = (each.form for each in older.asked if each.path == "/rexec/spawn")
    assert (asked["requirments"], asked["profile"]) == ([PYTHON], ["large"])
    assert there.find("default")["profile"] == "large"
    with rexec.connect(endpoint.url, token=token, start=False) as client:
        assert client.run(len, "abc") == 3
    assert older.count("POST", "/spawn") == 1
    with pytest.raises(rexec.SessionMismatchError, match=r"R04.*other requirements"):
        rexec.connect(endpoint.url, token=token, profile="large", requirements=["pandas"])


def test_the_deploy_api_may_be_named_with_its_path(endpoint, deploy, token):
    endpoint.answer("GET", "/status/rexec", {"deployment_api_url": f"{deploy.url}/rexec/"})
    with rexec.connect(endpoint.url, token=token) as client:
        assert client.run(len, "abc") == 3


def test_everything_between_notebook_and_worker_is_real(front, identity, there, user, tmp_path):
    watch(tmp_path)
    settings = {
        "AUTH_API_URL": identity.url,
        "REXEC_CONNECTION": "true",
        "REXEC_DEPLOYMENT_API_URL": front.behind,
    }
    with Endpoint(tmp_path, settings) as service:
        with rexec.connect(service.url, token=user.token) as client:
            assert list(client.map(lambda x: x * x, range(4))) == [0, 1, 4, 9]
        with pytest.raises(rexec.AuthenticationError, match=r"R02.*writer or admin role"):
            rexec.connect(service.url, token=identity.token("viewer"))


# ---------------------------------------------------------------------- while a server starts


STREAM = {"content-type": "text/event-stream"}


def event(state, kind, text, hint):
    told = {"seq": 1, "kind": kind, "state": state, "text": text, "hint": hint}
    return f"id: 1\nevent: {kind}\ndata: {json.dumps(told)}\n\n".encode()


def following(deploy):
    return deploy.count("GET", "/v1/servers/default/events")


def test_who_waits_is_told_at_once_and_asks_no_clock(endpoint, deploy, there, token):
    backend = EndpointBackend(endpoint.url, lambda: token)
    with deploy.broker.held():  # so it takes as long as the test likes
        link = Link(backend)
        until(lambda: backend.progress == "your server starts …", "the phase")
        asked = len(deploy.asked)
        until(lambda: following(deploy), "somebody who follows")
    link.wait_ready(PATIENCE)
    link.close()
    assert following(deploy) == 1
    paths = [each.path.removeprefix("/rexec") for each in deploy.asked[asked:]]
    assert paths.count("/v1/servers/default") <= 1  # that it is ready
    assert backend.progress == ""


def test_what_the_installer_says_is_told_as_it_says_it(endpoint, index, token):
    go_on = threading.Event()
    offer(index, "held", go_on)
    backend = EndpointBackend(endpoint.url, lambda: token, requirements=["held"])
    link = Link(backend)
    told = "your server installs the packages: Resolved 1 package"
    until(lambda: backend.progress.startswith(told), "what the installer says")
    go_on.set()
    link.wait_ready(PATIENCE)
    link.close()
    with rexec.connect(endpoint.url, token=token, requirements=["held"]) as client:
        assert client.run(lambda: __import__("held").answer) == 42


def test_why_a_server_does_not_start_is_told_with_what_to_do(endpoint, there, token):
    lacking = ["rexec-no-such-package-at-all"]
    with pytest.raises(rexec.StartError, match=r"R06.*There is no package.*Check its spelling"):
        rexec.connect(endpoint.url, token=token, requirements=lacking)


def test_what_holds_a_server_up_is_told_with_what_to_do(endpoint, deploy, token):
    events = Reply(200, event("starting", "problem", "No node has room.", "Wait."), STREAM)
    deploy.answer("GET", f"{SERVERS}/default/events", events)
    deploy.answer("GET", f"{SERVERS}/default", {"state": "starting"})
    backend = EndpointBackend(endpoint.url, lambda: token)
    link = Link(backend)
    told = "your server starts: No node has room. Wait"
    until(lambda: backend.progress == told, "the problem")
    link.close()


def test_a_server_that_is_ended_while_it_starts_is_not_waited_for(endpoint, deploy, there, token):
    with deploy.broker.held():
        link = Link(EndpointBackend(endpoint.url, lambda: token))
        until(lambda: following(deploy), "somebody who follows")
        there.end("default")
        with pytest.raises(rexec.StartError, match="was ended while it started"):
            link.wait_ready(PATIENCE)
        link.close()


# ---------------------------------------------------------------- where the token comes from


def test_a_login_or_the_environment_has_the_token(endpoint, token, monkeypatch):
    Logins().add(f"{endpoint.url}/", token)
    with rexec.connect(endpoint.url) as client:
        assert client.run(len, "abc") == 3
    Logins().remove()
    monkeypatch.setenv("REXEC_TOKEN", token)
    monkeypatch.setenv("REXEC_URL", endpoint.url)
    with rexec.connect() as client:
        assert client.run(len, "abc") == 3


def test_the_token_of_the_environment_is_for_the_endpoint_of_the_environment(
    endpoint, token, monkeypatch
):
    monkeypatch.setenv("REXEC_TOKEN", token)
    monkeypatch.setenv("REXEC_URL", "https://other.example.org")
    with pytest.raises(rexec.AuthenticationError, match=r"R02.*There is no token") as caught:
        rexec.connect(endpoint.url)
    assert f"%rexec login --url {endpoint.url}" in str(caught.value)
    assert endpoint.asked == []


def test_the_token_of_the_environment_is_not_for_the_endpoint_of_the_users_file(
    endpoint, token, monkeypatch
):
    monkeypatch.setenv("REXEC_TOKEN", token)
    monkeypatch.setenv("REXEC_URL", "https://other.example.org")
    settings = current()
    monkeypatch.setitem(settings._command, "url", endpoint.url)  # as `%rexec config url` does
    with pytest.raises(rexec.AuthenticationError, match=r"R02.*There is no token"):
        rexec.connect()
    assert endpoint.asked == []


def test_the_embedded_backend_stays_the_default_whoever_is_logged_in(token):
    Logins().add("https://ep.example.org", token)
    assert current().now().url == ""
    with private_backend() as backend, rexec.connect() as client:
        assert client.status().backend == "embedded backend"
        assert backend.processes()
    with pytest.raises(rexec.NotConfiguredError, match="takes no token"):
        rexec.connect("local", token=token)


# ------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    "url",
    ["nonsense", "http://ep.example.org", "https://a:b@ep.example.org", "ftp://x", "https://x?t=1"],
)
def test_an_address_that_cannot_be_used_is_r01(url, token):
    with pytest.raises(rexec.NotConfiguredError, match="R01") as caught:
        rexec.connect(url, token=token)
    assert MARK not in str(caught.value)


def test_a_token_that_is_not_accepted_is_r02(endpoint, deploy, token):
    endpoint.answer("GET", "/status/rexec", Reply(401, {"detail": "Expired"}))
    with pytest.raises(rexec.AuthenticationError, match=r"R02.*does not accept the token: Expired"):
        rexec.connect(endpoint.url, token=token)
    endpoint.answer("GET", "/status/rexec", Reply(403, {"detail": "Only writers."}))
    with pytest.raises(rexec.AuthenticationError, match=r"R02.*no right to run code.*Only writers"):
        rexec.connect(endpoint.url, token=token)
    assert deploy.asked == []


def test_a_token_that_only_the_deploy_api_refuses_is_r02(endpoint, deploy):
    with pytest.raises(rexec.AuthenticationError, match=r"R02.*does not accept the token"):
        rexec.connect(endpoint.url, token=secret("other"))


def test_no_server_and_none_to_be_started_is_r03(endpoint, deploy, there, token):
    for requirements in (None, ["numpy"]):
        with pytest.raises(rexec.NoSessionError, match=r"R03.*start=True"):
            rexec.connect(endpoint.url, token=token, start=False, requirements=requirements)
    assert there.every() == []


def test_no_server_and_none_to_be_started_is_r03_at_an_older_deploy_api_too(
    endpoint, older, there, token
):
    with pytest.raises(rexec.NoSessionError, match=r"R03.*start=True"):
        rexec.connect(endpoint.url, token=token, start=False)
    assert there.every() == []


@pytest.mark.parametrize(
    "told",
    [Reply(404, {"detail": "Not Found"}), {"deployment_api_url": ""}, {}, [], Reply(200, b"x")],
)
def test_an_endpoint_without_remote_execution_is_r01(endpoint, token, told):
    endpoint.answer("GET", "/status/rexec", told)
    with pytest.raises(rexec.NotConfiguredError, match=r"R01.*has no remote execution"):
        rexec.connect(endpoint.url, token=token)


def test_an_endpoint_that_cannot_be_reached_is_r07(token):
    with pytest.raises(rexec.ConnectionLostError, match=r"R07.*Failed to connect"):
        rexec.connect("http://127.0.0.1:9", token=token)


@pytest.mark.parametrize(
    ("path", "answer", "kind", "text"),
    [
        ("/broker-config", (500, {"detail": "?"}), rexec.ConnectionLostError, "where the broker"),
        ("/broker-config", (200, {}), rexec.NotConfiguredError, "does not tell where its broker"),
        (
            "/broker-config",
            (200, {"broker_external_url": "127.0.0.1:5559"}),
            rexec.VersionMismatchError,
            "no key of its broker",
        ),
        *(
            ("/broker-config", (200, BROKER | lie), kind, text)
            for lie, kind, text in [
                ({"curve_public_key": "\x7f" * 40}, rexec.VersionMismatchError, "no key"),
                ({"broker_external_host": "ipc:///tmp/x"}, rexec.NotConfiguredError, "its broker"),
                ({"broker_external_host": "a\x00b"}, rexec.NotConfiguredError, "its broker"),
                ({"broker_external_host": ["x"]}, rexec.NotConfiguredError, "its broker"),
                ({"broker_external_port": 99999}, rexec.NotConfiguredError, "its broker"),
                ({"broker_external_port": -1}, rexec.NotConfiguredError, "its broker"),
            ]
        ),
        ("/v1/tickets", (409, {"detail": "None."}), rexec.NoSessionError, "No server of yours"),
        ("/v1/tickets", (200, {"ticket": 1}), rexec.NotConfiguredError, "not that of a deploy API"),
        ("/v1/tickets", (403, {"detail": "No."}), rexec.AuthenticationError, "No"),
        (
            "/v1/tickets",
            (200, {"ticket": "x", "expires_in": 60, "job_secret": "short"}),
            rexec.NotConfiguredError,
            "not that of a deploy API",
        ),
    ],
)
def test_what_is_wrong_with_the_deploy_api_is_told(
    endpoint, deploy, there, token, path, answer, kind, text
):
    there.begin("default")
    for method in ("GET", "POST"):
        deploy.answer(method, f"/rexec{path}", Reply(*answer, {"Retry-After": "999"}))
    with pytest.raises(kind, match=text) as caught:
        rexec.connect(endpoint.url, token=token)
    assert MARK not in str(caught.value)


REFUSALS = [
    (400, {"detail": "No such package"}, rexec.StartError, "No such package"),
    (429, {"detail": "Full."}, rexec.QuotaError, "Full"),
    (500, {"detail": "No nodes."}, rexec.StartError, "No nodes"),
]


@pytest.mark.parametrize(("status", "body", "kind", "text"), REFUSALS)
def test_why_no_server_is_started_is_told(endpoint, deploy, token, status, body, kind, text):
    deploy.answer("POST", SERVERS, Reply(status, body, {"Retry-After": "999"}))
    with pytest.raises(kind, match=text):
        rexec.connect(endpoint.url, token=token)


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [*REFUSALS, (404, {"detail": "Not Found"}, rexec.NotConfiguredError, "start a server")],
)
def test_why_an_older_deploy_api_starts_none_is_told(
    endpoint, older, token, status, body, kind, text
):
    older.answer("POST", "/rexec/spawn", Reply(status, body, {"Retry-After": "999"}))
    with pytest.raises(kind, match=text):
        rexec.connect(endpoint.url, token=token)


def test_a_requirement_that_is_none_is_told_before_anybody_is_asked(endpoint, token):
    with pytest.raises(ValueError, match="'not ok' is no requirement"):
        rexec.connect(endpoint.url, token=token, requirements=["not ok"])
    assert endpoint.asked == []


# ------------------------------------------------------------------- in the middle of a session


@pytest.fixture
def session(endpoint, token, monkeypatch):
    """A client that has a login and no ticket to spare."""
    monkeypatch.setattr("rexec_jupyter.core.connection.LOCATE_AFTER", 0.2)
    Logins().add(endpoint.url, token)
    with rexec.connect(endpoint.url) as client:
        assert client.run(len, "abc") == 3
        client._link.connection._ticket = None
        yield client


def restart(broker):
    addresses = [
        f"--{part}-address={broker.ready[part]}" for part in ("client", "server", "health")
    ]
    broker.stop()
    broker.start(*addresses)


def in_trouble(client, deploy, text):
    """Have the broker start anew, and wait until the client says what is wrong."""
    restart(deploy.broker)
    until(lambda: text in client.status().detail, text)
    return client.submit(len, "abcd")


def test_a_deploy_api_that_was_away_when_the_connection_came_back_is_asked_again(session, deploy):
    deploy.answer("POST", TICKETS, Reply(503, {"detail": "Later."}, {"Retry-After": "999"}))
    job = in_trouble(session, deploy, "Later.")
    deploy.forget()
    assert job.result(PATIENCE) == 4


def test_a_session_whose_token_expired_goes_on_with_the_next_login(session, endpoint, deploy, user):
    user.token = secret("new-token")
    job = in_trouble(session, deploy, "does not accept the token")
    Logins().add(endpoint.url, user.token)
    assert job.result(PATIENCE) == 4


def end(there):
    there.end("default")
    until(lambda: not there.every(), "its end")


def test_a_server_that_was_ended_meanwhile_is_started_again(session, there):
    end(there)
    assert session.submit(len, "abcd").result(PATIENCE) == 4
    assert names(there) == ["default"]


def test_a_server_that_ended_comes_back_for_a_job_alone(session, deploy, there):
    end(there)
    restart(deploy.broker)
    until(lambda: "No server of yours" in session.status().detail, "the refusal")
    refused = len(deploy.asked)
    until(lambda: len(deploy.asked) > refused + 3, "more attempts")
    assert there.every() == []  # whoever ended it is not outdone by a notebook that is open
    assert session.submit(len, "abcd").result(PATIENCE) == 4
    assert names(there) == ["default"]


def test_a_server_that_cannot_be_started_again_ends_the_jobs_that_wait(session, deploy, there):
    deploy.answer("POST", SERVERS, Reply(429, {"detail": "Full."}, {"Retry-After": "999"}))
    end(there)
    with pytest.raises(rexec.QuotaError, match=r"R05.*Full"):
        session.submit(len, "abcd").result(PATIENCE)


def test_warnings_of_a_near_end_are_told_once_each(endpoint, deploy, there, token, capsys):
    there.begin("default")
    there.wait_ready("default", lambda _: None)

    def warn(*warnings):
        deploy.also(TICKETS, warnings=list(warnings))

    warn("This server ends in 9 min, because by then it had nothing to do.")
    with rexec.connect(endpoint.url, token=token) as client:
        connection = client._link.connection

        def renew():
            before = connection._ticket
            client._link._loop.call_soon_threadsafe(connection.renew)
            until(lambda: connection._ticket is not before, "another ticket")
            assert client.run(len, "abc") == 3

        warn("This server ends in 5 min, because by then it had nothing to do.")
        renew()
        warn(
            "This server ends in 5 min, because by then it had nothing to do.",
            "Exec ran out of memory.",
        )
        renew()
        renew()
    told = capsys.readouterr().err
    assert told.count("rexec: This server ends in 9 min") == 1
    assert "in 5 min" not in told
    assert told.count("rexec: Exec ran out of memory.") == 1


# ------------------------------------------------------------------------ what is not told


def test_defect_34_the_token_goes_to_the_endpoint_and_the_deploy_api_alone(endpoint, deploy, token):
    with Answering() as stranger:
        elsewhere = {"Location": f"{stranger.url}/broker-config"}
        deploy.answer("GET", "/rexec/broker-config", Reply(307, {}, elsewhere))
        with pytest.raises(rexec.NotConfiguredError, match="leads elsewhere"):
            rexec.connect(endpoint.url, token=token)
        assert stranger.asked == []
    for bad in ("http://deploy.example.org", "https://u:p@deploy.example.org", "file:///etc"):
        endpoint.answer("GET", "/status/rexec", {"deployment_api_url": bad})
        with pytest.raises(rexec.NotConfiguredError, match="R01"):
            rexec.connect(endpoint.url, token=token)


def test_nothing_of_the_backend_shows_the_token(token):
    backend = EndpointBackend("https://ep.example.org", lambda: token)
    assert MARK not in f"{backend!r}{backend.description}"


# --------------------------------------------------------- the environment, as of `ndp_ep`


@pytest.fixture
def client(endpoint, token):
    with EndpointClient(endpoint.url, token, retries=0) as client:
        yield client


def test_an_environment_is_set_up_used_and_ended(client, endpoint, there, token, user):
    told = client.setup_rexec_environment(["iniconfig>=2", PYTHON])
    assert told["Username"] == user.username
    assert there.find("default")["requirements"] == ["iniconfig>=2"]
    with rexec.connect(endpoint.url, token=token, start=False) as connected:
        assert connected.run(lambda: __import__("iniconfig").__name__) == "iniconfig"
    assert client.terminate_rexec_environment()["Status"].endswith("terminated.")
    until(lambda: not there.every(), "its end")
    assert "is not there" in client.terminate_rexec_environment()["Status"]


def test_defect_33_a_server_that_is_not_started_is_an_error(client, deploy):
    client.setup_rexec_environment(["iniconfig"])
    with pytest.raises(ValueError, match="other requirements"):
        client.setup_rexec_environment(["pandas"])
    for status in (403, 409, 500):
        deploy.answer("POST", "/rexec/spawn", Reply(status, {"detail": "No.", "Status": "No."}))
        with pytest.raises(ValueError, match="Failed to start the Rexec environment: No"):
            client.setup_rexec_environment(["iniconfig"])


def test_defect_33_a_server_with_other_requirements_can_be_replaced(client, there):
    client.setup_rexec_environment(["pandas"])
    client.setup_rexec_environment(["iniconfig"], force_reinstall=True)
    assert there.find("default")["requirements"] == ["iniconfig"]


def test_another_package_named_like_scidx_rexec_does_no_harm(client, user, monkeypatch):
    for name in ("rexec", "rexec.client_api"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    told = client.setup_rexec_environment([PYTHON], api_path="")
    assert told["Username"] == user.username


def test_defect_33_a_token_that_is_given_is_the_one_that_is_used(endpoint, deploy, token):
    endpoint.answer("GET", "/", "running")
    with EndpointClient(endpoint.url) as nobody:
        with pytest.raises(ValueError, match="Token is required"):
            nobody.setup_rexec_environment([PYTHON])
        nobody.setup_rexec_environment([PYTHON], token)
        nobody.terminate_rexec_environment(token)
    assert {asked.token for asked in endpoint.asked if asked.path == "/status/rexec"} == {"", token}
    assert {asked.token for asked in deploy.asked} == {token}


@pytest.mark.parametrize(
    ("requirements", "text"),
    [
        ("/no/such/file", "Requirements file not found: /no/such/file"),
        (["numpy=>2"], "is no requirement"),
        (["-r other.txt"], "is no requirement"),
        (["python>=3.11"], "does not say which Python"),
        (["python==3.11,!=3.11.2"], "does not say which Python"),
    ],
)
def test_requirements_that_cannot_be_understood_are_told(client, deploy, requirements, text):
    with pytest.raises(ValueError, match=text):
        client.setup_rexec_environment(requirements)
    assert deploy.asked == []
