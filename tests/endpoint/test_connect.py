"""`connect(url, token=…)`: from an endpoint to a function that ran, through real parts."""

import getpass
import sys
import types
from pathlib import Path

import pytest

import rexec_jupyter as rexec
from rexec_jupyter.core.logins import Logins
from rexec_jupyter.core.settings import current
from rexec_jupyter.endpoint import EndpointClient
from rexec_jupyter.endpoint.backend import EndpointBackend
from tests.backend.brokering import until
from tests.backend.embedding import private_backend
from tests.endpoint.answering import Answering, Reply
from tests.endpoint.canary import MARK, secret, watch
from tests.endpoint.deploying import DeployAPI
from tests.endpoint.service import Endpoint

PYTHON = f"python=={sys.version_info.major}.{sys.version_info.minor}"


BROKER = {
    "broker_external_host": "127.0.0.1",
    "broker_external_port": 9,
    "curve_public_key": "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7",
}


@pytest.fixture(scope="module")
def token():
    return secret("token")


@pytest.fixture(scope="module")
def embedded():
    with private_backend() as backend:
        yield backend.start()


@pytest.fixture(scope="module")
def running(token, embedded):
    with DeployAPI({token: "ann"}.get, embedded) as api:
        yield api


@pytest.fixture
def deploy(running):
    """A deploy API in front of a real broker, at which ann has no server yet."""
    running.servers.clear()
    running.warnings.clear()
    running.answers.clear()
    running.seen.clear()
    return running


@pytest.fixture
def endpoint(deploy):
    """An endpoint that leads to it."""
    with Answering() as server:
        server.answer("GET", "/status/", {"api_version": "1.0.0"})
        server.answer("GET", "/status/rexec", {"deployment_api_url": deploy.url})
        yield server


@pytest.fixture(autouse=True)
def no_settings(monkeypatch, tmp_path):
    monkeypatch.setenv("REXEC_CONFIG_DIR", str(tmp_path))
    for name in ("REXEC_URL", "REXEC_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def spawned(deploy):
    return [body for method, path, _, body in deploy.seen if (method, path) == ("POST", "/spawn")]


# --------------------------------------------------------------------------- what works


def test_a_function_runs_through_the_endpoint_the_deploy_api_and_the_broker(
    endpoint, deploy, token
):
    with rexec.connect(endpoint.url, token=token) as client:
        assert client.run(lambda a, b: a * b, 6, 7) == 42
        assert endpoint.url in client.status().backend
        assert MARK not in f"{client!r}{client.status()}"
    assert deploy.servers == {"ann": [PYTHON]}
    assert len(spawned(deploy)) == 1


def test_a_server_that_is_there_is_used_as_it_is(endpoint, deploy, token):
    deploy.servers["ann"] = ["numpy==2", PYTHON]
    with rexec.connect(endpoint.url, token=token) as client:
        assert client.run(getpass.getuser)
    assert spawned(deploy) == []


def test_a_server_is_started_with_what_is_required(endpoint, deploy, token, tmp_path):
    file = tmp_path / "requirements.txt"
    file.write_text("# for the paper\nnumpy>=2  # arrays\n\n")
    with rexec.connect(endpoint.url, token=token, requirements=file):
        assert deploy.servers == {"ann": ["numpy>=2", PYTHON]}
    with (
        pytest.raises(rexec.SessionMismatchError, match=r"R04.*other requirements"),
        rexec.connect(endpoint.url, token=token, requirements=["pandas"]),
    ):
        pass


def test_a_profile_goes_along(endpoint, deploy, token):
    with rexec.connect(endpoint.url, token=token, profile="large"):
        pass
    assert b"profile=large" in spawned(deploy)[0]


def test_another_process_of_the_user_reads_the_results(endpoint, deploy, token, tmp_path):
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
        assert other.attach(job.id).result(30) == "made for one"


def test_a_deploy_api_that_lists_no_sessions_is_asked_for_a_server(endpoint, deploy, token):
    deploy.answers["/v1/sessions"] = 404, {"detail": "Not Found"}, {}
    with rexec.connect(endpoint.url, token=token, start=True):
        assert len(spawned(deploy)) == 1


def test_the_deploy_api_may_be_named_with_its_path(endpoint, deploy, token):
    endpoint.answer("GET", "/status/rexec", {"deployment_api_url": f"{deploy.url}/rexec/"})
    with rexec.connect(endpoint.url, token=token) as client:
        assert client.run(len, "abc") == 3


def test_everything_between_notebook_and_worker_is_real(identity, embedded, tmp_path):
    whose = {identity.token("writer"): "ann"}
    with DeployAPI(whose.get, embedded) as deploy:
        watch(tmp_path)
        settings = {
            "AUTH_API_URL": identity.url,
            "REXEC_CONNECTION": "true",
            "REXEC_DEPLOYMENT_API_URL": deploy.url,
        }
        with Endpoint(tmp_path, settings) as service:
            with rexec.connect(service.url, token=identity.token("writer")) as client:
                assert list(client.map(lambda x: x * x, range(4))) == [0, 1, 4, 9]
            with pytest.raises(rexec.AuthenticationError, match=r"R02.*writer or admin role"):
                rexec.connect(service.url, token=identity.token("viewer"))


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


def test_the_embedded_backend_stays_the_default_whoever_is_logged_in(token, embedded):
    Logins().add("https://ep.example.org", token)
    assert current().now().url == ""
    with rexec.connect() as client:
        assert client.status().backend == "embedded backend"
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
    assert deploy.seen == []


def test_a_token_that_only_the_deploy_api_refuses_is_r02(endpoint, deploy):
    with pytest.raises(rexec.AuthenticationError, match=r"R02.*Invalid or expired token"):
        rexec.connect(endpoint.url, token=secret("other"))


def test_no_server_and_none_to_be_started_is_r03(endpoint, deploy, token):
    with pytest.raises(rexec.NoSessionError, match=r"R03.*start=True"):
        rexec.connect(endpoint.url, token=token, start=False)
    assert spawned(deploy) == []


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
        ("/spawn", (400, {"detail": "No such package"}), rexec.StartError, "No such package"),
        ("/spawn", (429, {"detail": "Full."}), rexec.QuotaError, "Full"),
        ("/spawn", (500, {"detail": "No nodes."}), rexec.StartError, "No nodes"),
        ("/spawn", (404, {"detail": "Not Found"}), rexec.NotConfiguredError, "start a server"),
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
    endpoint, deploy, token, path, answer, kind, text
):
    deploy.answers[path] = (*answer, {"Retry-After": "999"})
    with pytest.raises(kind, match=text) as caught:
        rexec.connect(endpoint.url, token=token)
    assert MARK not in str(caught.value)


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


def in_trouble(client, embedded, text):
    """Have the broker start anew, and wait until the client says what is wrong."""
    embedded.kill("broker")
    until(lambda: text in client.status().detail, text)
    return client.submit(len, "abcd")


def test_a_deploy_api_that_was_away_when_the_connection_came_back_is_asked_again(
    session, deploy, embedded
):
    deploy.answers["/v1/tickets"] = 503, {"detail": "Later."}, {"Retry-After": "999"}
    job = in_trouble(session, embedded, "Later.")
    deploy.answers.clear()
    assert job.result(30) == 4


def test_a_session_whose_token_expired_goes_on_with_the_next_login(
    session, endpoint, deploy, embedded, monkeypatch
):
    new = secret("new-token")
    monkeypatch.setattr(deploy, "accepts", {new: "ann"}.get)
    job = in_trouble(session, embedded, "does not accept the token")
    Logins().add(endpoint.url, new)
    assert job.result(30) == 4


def test_a_server_that_was_ended_meanwhile_is_started_again(session, deploy, embedded):
    deploy.servers.clear()
    embedded.kill("broker")
    assert session.submit(len, "abcd").result(30) == 4
    assert deploy.servers == {"ann": [PYTHON]}


def test_a_server_that_ended_comes_back_for_a_job_alone(session, deploy, embedded):
    deploy.servers.clear()
    embedded.kill("broker")
    until(lambda: "No server of yours" in session.status().detail, "the refusal")
    refused = len(deploy.seen)
    until(lambda: len(deploy.seen) > refused + 3, "more attempts")
    assert deploy.servers == {}  # whoever ended it is not outdone by a notebook that is open
    assert session.submit(len, "abcd").result(30) == 4
    assert deploy.servers == {"ann": [PYTHON]}


def test_a_server_that_cannot_be_started_again_ends_the_jobs_that_wait(session, deploy, embedded):
    deploy.servers.clear()
    deploy.answers["/spawn"] = 429, {"detail": "Full."}, {"Retry-After": "999"}
    embedded.kill("broker")
    with pytest.raises(rexec.QuotaError, match=r"R05.*Full"):
        session.submit(len, "abcd").result(30)


def test_warnings_of_a_near_end_are_told_once_each(endpoint, deploy, token, capsys):
    deploy.warnings.append("This server ends in 9 min, because by then it had nothing to do.")
    with rexec.connect(endpoint.url, token=token) as client:
        connection = client._link.connection

        def renew():
            tickets = sum(path == "/v1/tickets" for _, path, _, _ in deploy.seen)
            client._link._loop.call_soon_threadsafe(connection.renew)
            until(
                lambda: sum(path == "/v1/tickets" for _, path, _, _ in deploy.seen) > tickets,
                "another ticket",
            )
            assert client.run(len, "abc") == 3

        deploy.warnings[:] = ["This server ends in 5 min, because by then it had nothing to do."]
        renew()
        deploy.warnings.append("Exec ran out of memory.")
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
        deploy.answers["/broker-config"] = 307, {}, elsewhere
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


def test_an_environment_is_set_up_used_and_ended(client, endpoint, deploy, token):
    told = client.setup_rexec_environment(["numpy>=2", PYTHON])
    assert told["Username"] == "ann"
    assert deploy.servers == {"ann": ["numpy>=2", PYTHON]}
    with rexec.connect(endpoint.url, token=token, start=False) as connected:
        assert connected.run(len, "abc") == 3
    assert "terminated" in client.terminate_rexec_environment()["Status"]
    assert deploy.servers == {}
    assert "terminated" in client.terminate_rexec_environment()["Status"]


def test_defect_33_a_server_that_is_not_started_is_an_error(client, deploy):
    client.setup_rexec_environment(["numpy"])
    with pytest.raises(ValueError, match="other requirements"):
        client.setup_rexec_environment(["pandas"])
    for status in (403, 409, 500):
        deploy.answers["/spawn"] = status, {"detail": "No.", "Status": "No."}, {}
        with pytest.raises(ValueError, match="Failed to start the Rexec environment: No"):
            client.setup_rexec_environment(["numpy"])


def test_defect_33_a_server_with_other_requirements_can_be_replaced(client, deploy):
    client.setup_rexec_environment(["numpy"])
    client.setup_rexec_environment(["pandas"], force_reinstall=True)
    assert deploy.servers == {"ann": ["pandas", PYTHON]}


def test_another_package_named_like_scidx_rexec_does_no_harm(client, deploy, monkeypatch):
    for name in ("rexec", "rexec.client_api"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    assert client.setup_rexec_environment(["numpy"], api_path="")["Username"] == "ann"


def test_defect_33_a_token_that_is_given_is_the_one_that_is_used(endpoint, deploy, token):
    endpoint.answer("GET", "/", "running")
    with EndpointClient(endpoint.url) as nobody:
        with pytest.raises(ValueError, match="Token is required"):
            nobody.setup_rexec_environment(["numpy"])
        nobody.setup_rexec_environment(["numpy"], token)
        nobody.terminate_rexec_environment(token)
    assert {asked.token for asked in endpoint.asked if asked.path == "/status/rexec"} == {"", token}
    assert all(headers["authorization"].endswith(token) for _, _, headers, _ in deploy.seen)


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
    assert deploy.seen == []
