"""The panel's server side at an endpoint: all of it real, before it something that misbehaves."""

import contextlib
import json
import os
import threading
import time

import pytest

from rexec_jupyter._connect import connect
from tests.backend.brokering import PATIENCE, until
from tests.backend.embedding import private_backend
from tests.endpoint.answering import Answering, Reply
from tests.endpoint.canary import MARK, secret
from tests.endpoint.ckan_server import CkanServer
from tests.endpoint.deploying import Front, deploying, servers_of
from tests.endpoint.identity_service import IdentityService
from tests.endpoint.packages import offer
from tests.endpoint.service import Endpoint
from tests.labapp.jupyter import Jupyter
from tests.notebook.kernel import running_kernel

PROFILES = {
    "profiles": [
        {"name": "plain", "description": "for most things", "memory": "2GiB", "cpu": 2},
        {"name": "brief", "max_lifetime": "4min"},
    ]
}
SERVERS = "/rexec/v1/servers"
SILENCE = 9.0  # seconds; after ten nobody waits any more


class Moody(Front):
    """Passes everything on, unless it is told to be silent or to refuse."""

    def __init__(self, url, broker):
        super().__init__(url, broker)
        self._status = 0
        self._speaks = threading.Event()
        self._speaks.set()

    def reply(self, asked):
        if asked.path.startswith(SERVERS) and asked.method == "GET":
            self._speaks.wait(SILENCE)
            if self._status:
                return Reply(self._status, {"detail": "It is in a mood."})
        return super().reply(asked)

    @contextlib.contextmanager
    def being_silent(self):
        self._speaks.clear()
        try:
            yield
        finally:
            self._speaks.set()

    @contextlib.contextmanager
    def answering(self, status):
        self._status = status
        try:
            yield
        finally:
            self._status = 0


@pytest.fixture(scope="module")
def identity():
    with IdentityService() as service:
        service.add("ann", roles=["ndp_writer"])
        yield service


@pytest.fixture(scope="module")
def index():
    """A package index beside the usual one."""
    with Answering() as index:
        yield index


@pytest.fixture(scope="module")
def deploy(identity, index, tmp_path_factory):
    """A deploy API and a broker, behind something moody."""
    file = tmp_path_factory.mktemp("profiles") / "profiles.json"
    file.write_text(json.dumps(PROFILES))
    settings = {"REXEC_DEPLOY_PROFILES": str(file), "UV_INDEX": f"{index.url}/simple"}
    with deploying(identity, **settings) as front, Moody(front.behind, front.broker) as moody:
        yield moody


@pytest.fixture(scope="module")
def catalogs():
    """The global catalog, and that before publication."""
    with CkanServer() as everybody, CkanServer(secret("api-key")) as before:
        yield everybody, before


@pytest.fixture(scope="module")
def endpoint(identity, deploy, catalogs, tmp_path_factory):
    """The endpoint that leads there."""
    directory = tmp_path_factory.mktemp("endpoint")
    settings = {
        "AUTH_API_URL": identity.url,
        "REXEC_EP_DATABASE_URL": f"sqlite:///{directory}/catalog.sqlite3",
        "REXEC_CONNECTION": "true",
        "REXEC_DEPLOYMENT_API_URL": deploy.url,
        "CKAN_GLOBAL_URL": catalogs[0].url,
        "PRE_CKAN_ENABLED": "true",
        "PRE_CKAN_URL": catalogs[1].url,
        "PRE_CKAN_API_KEY": catalogs[1].key,
    }
    with Endpoint(directory, settings) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def jupyter(endpoint, tmp_path_factory):
    """A Jupyter server without any settings."""
    with private_backend(), Jupyter(tmp_path_factory.mktemp("jupyter")) as jupyter:
        yield jupyter


@pytest.fixture
def ann(identity, endpoint, jupyter, deploy):
    """Somebody who is logged in there, and none of whose servers is left afterwards."""
    person = identity.people["ann"]
    jupyter.do("POST", "login", url=endpoint.url, token=person.token)
    yield person
    with servers_of(deploy, person):
        pass


@pytest.fixture
def tab(ann, jupyter):
    with jupyter.stream() as stream:
        stream.until(lambda tab: tab.state == "idle")
        yield stream


@pytest.fixture
def server(jupyter, tab):
    """Her server, once it is ready."""
    jupyter.do("POST", "servers", profile="plain")
    tab.until(lambda tab: tab.state == "connected")
    return tab.server()


def test_who_is_not_logged_in_is_told_and_no_secret_comes_back(identity, endpoint, jupyter):
    person = identity.people["ann"]
    jupyter.do("POST", "logout")
    with jupyter.stream() as tab:
        tab.until(lambda tab: tab.state == "stopped")
        jupyter.do("POST", "connection", url=endpoint.url)
        tab.until(lambda tab: tab.state == "login" and tab.connection["url"] == endpoint.url)
        assert tab.connection["code"] == "R02"
        alert = tab.until(lambda tab: tab.alert("login:"))
        assert (alert["action"], alert["subject"]) == ("login", endpoint.url)
        wrong = {"url": endpoint.url, "username": "ann", "password": "wrong"}
        assert jupyter.refused(502, "POST", "login", **wrong)
        problem = jupyter.refused(502, "POST", "login", url=endpoint.url, token="no-such-token")
        assert problem["code"] == "R02"
        for bad in ({"token": "a b"}, {}, {"username": "ann"}):
            jupyter.refused(422, "POST", "login", url=endpoint.url, **bad)
        jupyter.refused(422, "POST", "login", url="http://a.example.org", token="x")
        right = {"url": endpoint.url, "username": "ann", "password": person.password}
        assert "ann" in jupyter.do("POST", "login", **right)
        tab.until(lambda tab: tab.state == "idle" and tab.connection["user"] == "ann")
        assert tab.connection["logins"] == [endpoint.url]
        config = jupyter.directory / "rexec" / "config.toml"
        assert endpoint.url in config.read_text()
        assert person.password not in (config.parent / "logins.json").read_text()
        assert endpoint.url in jupyter.do("POST", "logout", url=endpoint.url)
        tab.until(lambda tab: tab.state == "login")
        jupyter.do("POST", "connection", url="local")
        tab.until(lambda tab: tab.state == "stopped")


def test_a_server_from_its_form_to_its_end(jupyter, tab, index):
    told = jupyter.get("profiles")
    assert told["several"]
    assert [each["name"] for each in told["profiles"]] == ["plain", "brief"]
    fields = {each["name"]: each for each in told["profiles"][0]["fields"]}
    assert fields["memory"]["maximum"] == 2
    go_on = threading.Event()
    offer(index, "held", go_on)
    memory = 1.5 * fields["memory"]["factor"]
    jupyter.do("POST", "servers", name="lab", requirements=["held", ""], options={"memory": memory})
    # What the installer writes is followed only as long as it works.
    tab.until(lambda tab: tab.server("lab", state="installing") and tab.installing.get("lab"))
    assert tab.state == "connecting"
    assert tab.server("lab")["memory"] == memory
    assert "held" in tab.server("lab")["requirements"]
    go_on.set()
    tab.until(lambda tab: tab.server("lab", state="ready") and tab.state == "connected")
    log = jupyter.get("servers/lab/log", tail=100)
    assert any("held" in line for line in log["lines"])
    assert not log["going_on"]
    tab.until(lambda tab: tab.server("lab")["slots"])
    assert not tab.session("default")  # it would have a server of its own
    jupyter.do("POST", "servers", name="lab", requirements=["held"], options={"memory": memory})
    jupyter.refused(409, "POST", "servers", name="lab", requirements=["nothing-like-that"])
    jupyter.do("DELETE", "servers/lab")
    tab.until(lambda tab: not tab.server("lab") and tab.state == "idle")
    jupyter.refused(404, "DELETE", "servers/lab")
    jupyter.refused(404, "GET", "servers/lab/log")


def test_what_fails_says_why_and_what_to_do(jupyter, tab, index):
    index.answer("GET", "/simple/gone/", Reply(404, {}))
    jupyter.do("POST", "servers", requirements=["no-such-package-as-this==99"])
    alert = tab.until(lambda tab: tab.alert("server:"))
    assert (alert["severity"], alert["subject"]) == ("error", "default")
    assert alert["action"] in ("install-log", "restart")
    assert "no-such-package" in alert["cause"]
    assert alert["hint"]
    assert tab.server()["state"] == "failed"
    jupyter.refused(422, "POST", "servers", options={"wheels": 4})
    assert jupyter.refused(502, "POST", "servers", profile="nothing")["code"] == "R06"


def test_sessions_jobs_and_losses(ann, endpoint, server, jupyter, tab):
    assert server["profile"] == "plain"
    tab.until(lambda tab: tab.usage and tab.usage[-1]["server"] == "default")
    with connect(endpoint.url, token=ann.token, start=False) as kernel:
        job = kernel.session("train").submit_cell("x = 1\nprint('here')")
        job.result(60)
        tab.until(lambda tab: tab.job(id=job.id, open=False) and tab.session("train"))
        assert tab.session("train")["server"] == "default"
        assert jupyter.refused(409, "DELETE", "servers/default")["losses"]
        assert jupyter.refused(409, "POST", "servers/default/restart")["losses"]
        log = jupyter.get(f"jobs/{job.id}/log")
        assert log["pieces"] == [{"kind": "stdout", "text": "here\n"}]
    jupyter.do("POST", "servers/default/restart", force=True)
    # That it was away meanwhile may go by unseen.
    tab.until(lambda tab: tab.state == "connected" and not tab.session("train"))


def test_a_kernel_goes_where_the_panel_goes(ann, endpoint, jupyter, tab):
    jupyter.do("POST", "connection", url="local")
    directory = str(jupyter.directory / "rexec")
    with running_kernel(**dict(os.environ, REXEC_CONFIG_DIR=directory)) as kernel:
        kernel.run("%load_ext rexec_jupyter")
        kernel.run("here = 7")
        assert kernel.run("%%rexec\nprint(here)", PATIENCE).stdout == "7\n"
        tab.until(lambda tab: tab.connection["backend"] == "embedded" and tab.jobs)
        jupyter.do("POST", "connection", url=endpoint.url)
        assert kernel.run("%%rexec\nprint(2 * here)", PATIENCE).stdout == "14\n"
        tab.until(lambda tab: tab.connection["url"] == endpoint.url and tab.server())
        tab.until(lambda tab: len(tab.jobs) == 1 and tab.session("default"))
        # What the kernel saves holds for it, and for the panel.
        kernel.run("%rexec config url local --save")
        tab.until(lambda tab: tab.connection["backend"] == "embedded")
        jupyter.do("POST", "connection", url=endpoint.url)
        assert endpoint.url in kernel.run("%rexec config url").text


def test_a_near_end_is_told_and_put_off(jupyter, tab):
    jupyter.do("POST", "servers", profile="brief")
    alert = tab.until(lambda tab: tab.alert("ends:"))
    assert (alert["action"], alert["subject"]) == ("extend", "default")
    assert 0 < tab.server()["ends"] - time.time() < 300
    assert "extend" in tab.server()["can"]
    jupyter.do("POST", "servers/default/extend", seconds=1800)
    tab.until(lambda tab: not tab.alert("ends:"))
    assert tab.server()["ends"] - time.time() > 1000
    jupyter.refused(422, "POST", "servers/default/extend", seconds=0)
    jupyter.refused(404, "POST", "servers/nobody/extend", seconds=60)


def test_a_backend_in_a_mood_is_told_and_comes_back(deploy, jupyter, server, tab):
    before = len(jupyter.log.read_text())
    with deploy.being_silent():
        tab.until(lambda tab: tab.alert("slow:"))
        began = time.monotonic()
        assert jupyter.get("state")["servers"]
        assert time.monotonic() - began < 5
    tab.until(lambda tab: not tab.alert("slow:"))
    for status, state in ((500, "reconnecting"), (401, "login")):
        with deploy.answering(status):
            tab.until(
                lambda tab, state=state: tab.state == state and "mood" in tab.connection["text"]
            )
            assert tab.connection["hint"]
            assert tab.server()["state"] == "ready"
        tab.until(lambda tab: tab.state == "connected")
    lines = jupyter.log.read_text()[before:].splitlines()
    (told,) = (line for line in lines if "cannot list the servers now" in line)
    assert told.startswith("[W ")
    assert any("works again" in line for line in lines)


def test_tokens_and_passwords_reach_neither_browsers_nor_the_log(identity, jupyter, tab):
    person = identity.people["ann"]
    jupyter.get("state")
    jupyter.get("catalog", q="nothing")
    until(lambda: tab.messages, "a message")
    for place in (bytes(jupyter.received), jupyter.log.read_bytes()):
        assert len(place) > 500
        for hidden in (person.token, person.password, MARK, jupyter.token):
            assert hidden.encode() not in place


def test_the_catalog_is_searched(identity, endpoint, ann, jupyter):
    with endpoint.client(identity.token("admin")) as admin:
        organization = {"name": "rivers", "title": "Rivers"}
        assert admin.post("/organization", json=organization).status_code == 201
        for number in range(3):
            dataset = {
                "name": f"gauge-{number}",
                "title": f"Gauge <{number}>",
                "owner_org": "rivers",
                "notes": "levels",
                "resources": [
                    {"name": "levels", "url": f"https://example.org/{number}.csv", "format": "CSV"}
                ],
            }
            answer = admin.post("/dataset", json=dataset)
            assert answer.status_code == 201, answer.text
    found = jupyter.get("catalog", q="gauge levels", limit=2)
    assert (len(found["datasets"]), found["more"]) == (2, True)
    (resource,) = found["datasets"][0]["resources"]
    assert "read_csv" in resource["code"]
    rest = jupyter.get("catalog", q="gauge", offset=2, limit=2)
    assert (len(rest["datasets"]), rest["more"], rest["total"]) == (1, False, 3)
    assert jupyter.get("catalog", q="gauge nowhere")["datasets"] == []
    assert jupyter.get("catalog")["datasets"]
    jupyter.refused(422, "GET", "catalog?limit=many")


def test_the_other_catalogs_are_searched_as_well(catalogs, ann, jupyter):
    everybody, before = catalogs
    resources = [
        {"name": "sums", "url": "https://example.org/sums.csv", "format": "CSV"},
        {"name": None, "url": None, "format": None},
        {"name": "page", "url": "/dataset/page.html", "format": "HTML"},
    ]
    lab = everybody.add_organization("snow-lab")
    for number in range(3):
        everybody.add_package(f"snow-{number}", lab, resources=resources if number == 2 else [])
    before.add_package("snow-draft", before.add_organization("snow-lab"), notes="deep, new snow")
    assert jupyter.get("catalogs") == {"names": ["local", "global", "pre_ckan"]}
    assert jupyter.get("catalog", q="snow")["datasets"] == []
    found = jupyter.get("catalog", **{"q": "snow", "in": "global", "limit": 2})
    assert ([one["name"] for one in found["datasets"]], found["more"]) == (
        ["snow-2", "snow-1"],
        True,
    )
    codes = [one["code"] for one in found["datasets"][0]["resources"]]
    assert "read_csv" in codes[0]
    assert codes[1:] == ["", ""]
    rest = jupyter.get("catalog", **{"q": "snow", "in": "global", "offset": 2, "limit": 2})
    assert (len(rest["datasets"]), rest["more"], rest["total"]) == (1, False, 3)
    for query in ("snow", "new snow", ""):
        (draft,) = jupyter.get("catalog", **{"q": query, "in": "pre_ckan"})["datasets"]
        assert draft["name"] == "snow-draft"
    assert jupyter.get("catalog", **{"q": "rain", "in": "pre_ckan"})["total"] == 0
    everybody.reply = (500, b"")
    try:
        problem = jupyter.refused(503, "GET", "catalog?in=global")
    finally:
        everybody.reply = None
    assert "cannot search the global catalog now" in problem["message"]
    jupyter.refused(422, "GET", "catalog?in=elsewhere")
