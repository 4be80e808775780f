"""The panel's server side in a JupyterHub: under its addresses, for those whom it allows."""

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.backend.embedding import private_backend
from tests.labapp.hub import Hub, Visitor, events
from tests.labapp.jupyter import await_end


@pytest.fixture(scope="module")
def embedded():
    """The embedded backend of this hub's users alone; not started."""
    with private_backend() as backend:
        yield backend


@pytest.fixture(scope="module")
def hub(embedded, tmp_path_factory):
    """A hub that gives its users JupyterLabs."""
    assert embedded.root  # in the environment
    with Hub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture(scope="module")
def ann(hub):
    """A user whose server runs."""
    with Visitor(hub, "ann") as ann:
        ann.start_server()
        yield ann


@pytest.fixture(scope="module")
def bob(hub):
    """A user without a server."""
    with Visitor(hub, "bob") as bob:
        yield bob


def state(hub, **headers):
    """Ask ann's server how things stand, without a cookie."""
    url = f"{hub.url}/user/ann/rexec/api/state"
    return httpx.get(url, headers=headers, verify=False, timeout=60)


def hears(hub, query="", **headers):
    """Tell whether ann's server lets one listen."""
    try:
        with events(hub, "ann", query, headers) as socket:
            return "hello" in socket.recv(60)
    except InvalidStatus as refusal:
        if refusal.response.status_code == 403:
            return False
        raise


def test_its_cookie_and_its_tokens_open_the_state(hub, ann):
    assert ann.ask("GET", "state").json()["connection"]["backend"] == "embedded"
    answer = state(hub, Authorization=f"token {ann.new_token()}")
    assert answer.json()["connection"]["backend"] == "embedded"


def test_nobody_else_is_told_anything(hub, ann, bob):
    token = {"Authorization": f"token {bob.new_token()}"}
    for headers in ({}, {"Authorization": "token wrong"}, token):
        answer = state(hub, **headers)
        assert answer.status_code == 403
        assert answer.json()["message"]
        assert not hears(hub, **headers)
    assert not hears(hub, f"?token={bob.new_token()}")
    # Nor does the hub give a cookie for it to somebody else.
    assert bob.enter("ann").status_code == 403


def test_events_pass_its_proxy(hub, ann):
    with ann.stream() as tab:
        tab.until(lambda tab: tab.state is not None)
        assert tab.messages[0]["type"] == "hello"
    token = ann.new_token()
    assert hears(hub, f"?token={token}")
    assert hears(hub, Authorization=f"token {token}")


def test_what_a_page_asks_needs_what_is_not_forged(ann):
    fetched = {"Sec-Fetch-Mode": "cors"}
    for method, path in (("GET", "state"), ("POST", "embedded/start")):
        for proof in ({}, {"X-XSRFToken": "forged"}, ann.proof("hub")):
            answer = ann.ask(method, path, headers=fetched | proof)
            assert answer.status_code == 403
            assert answer.json()["message"]
    assert ann.ask("GET", "state", headers=fetched | ann.proof()).status_code == 200


def test_the_embedded_backend_is_started_and_stopped(ann, embedded):
    with ann.stream() as tab:
        tab.until(lambda tab: tab.state == "stopped")
        assert ann.ask("POST", "embedded/start", headers=ann.proof()).status_code == 200
        tab.until(lambda tab: tab.state == "connected")
        stop = ann.ask("POST", "embedded/stop", {"force": True}, headers=ann.proof())
        assert stop.status_code == 200
        tab.until(lambda tab: tab.state == "stopped")
    await_end(embedded)
