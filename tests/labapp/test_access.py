"""Who may ask the panel's server side, and what."""

import re

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from rexec_jupyter.labapp.handlers import ROUTES
from tests.labapp.jupyter import BASE_URL, Jupyter

CHANGES = (
    ("POST", "connection"),
    ("POST", "login"),
    ("POST", "logout"),
    ("POST", "embedded/start"),
    ("POST", "embedded/stop"),
    ("POST", "servers"),
    ("DELETE", "servers/a"),
    ("POST", "servers/a/restart"),
    ("POST", "servers/a/extend"),
    ("POST", "sessions"),
    ("DELETE", "sessions/a"),
    ("POST", "sessions/a/restart"),
    ("POST", "sessions/a/interrupt"),
    ("POST", "jobs/a/interrupt"),
    ("POST", "jobs/a/cancel"),
)
LOOKS = ("state", "profiles", "servers/a/log", "jobs/a/log", "catalogs", "catalog")


@pytest.fixture
def stranger(jupyter):
    """Somebody without a token."""
    with httpx.Client(base_url=f"http://{jupyter.host}{BASE_URL}", verify=False) as client:
        yield client


def test_every_route_is_tried_here():
    tried = ["events", "nothing", *LOOKS, *(path for _, path in CHANGES)]
    for pattern, handler in ROUTES:
        assert any(re.fullmatch(pattern, f"rexec/api/{path}") for path in tried), handler


@pytest.mark.parametrize(("method", "path"), CHANGES + tuple(("GET", path) for path in LOOKS))
def test_strangers_are_told_nothing(stranger, method, path):
    answer = stranger.request(method, f"/rexec/api/{path}")
    assert answer.status_code == 403
    assert answer.json()["message"]
    assert stranger.request(method, f"/rexec/api/{path}?token=wrong").status_code == 403


@pytest.fixture
def browser(jupyter, stranger):
    """A browser whose user logged in; it has cookies in place of a token."""
    stranger.get("/login")
    answer = stranger.get("/api/status", params={"token": jupyter.token})
    assert answer.status_code == 200
    return stranger


def test_a_browser_that_is_logged_in_needs_what_is_not_forged_too(browser):
    assert browser.get("/rexec/api/state").status_code == 200
    answer = browser.post("/rexec/api/logout", json={})
    assert answer.status_code == 403
    assert answer.json()["message"]
    proof = {"X-XSRFToken": browser.cookies["_xsrf"]}
    assert browser.post("/rexec/api/logout", json={}, headers=proof).status_code == 200
    elsewhere = proof | {"Origin": "https://elsewhere.example.org"}
    assert browser.post("/rexec/api/logout", json={}, headers=elsewhere).status_code == 404


def test_neither_strangers_nor_other_pages_hear_anything(jupyter, browser):
    url = f"ws://{jupyter.host}{BASE_URL}/rexec/api/events"
    cookies = {"Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}
    with connect(url, additional_headers=cookies, open_timeout=60) as socket:
        assert "hello" in socket.recv(60)
    for headers in ({}, cookies | {"Origin": "https://elsewhere.example.org"}):
        with (
            pytest.raises(InvalidStatus) as caught,
            connect(url, additional_headers=headers, open_timeout=60),
        ):
            pass
        assert caught.value.response.status_code == 403


def test_what_there_is_not_is_a_problem_like_any_other(jupyter):
    for method, path in (("GET", "nothing"), ("POST", "jobs/a/start"), ("DELETE", "x/y/z")):
        assert jupyter.refused(404, method, path)["hint"]
    assert jupyter.refused(405, "GET", "login")["hint"]


def test_where_nothing_may_be_changed_everything_may_be_seen(embedded, tmp_path):
    with Jupyter(tmp_path, "--RexecPanel.read_only=True") as jupyter:
        for method, path in CHANGES:
            assert "read_only" in jupyter.refused(403, method, path)["hint"]
        with jupyter.stream() as tab:
            tab.until(lambda tab: tab.state is not None)
            assert tab.messages[0]["read_only"]
        assert jupyter.get("state")["connection"]["backend"] == "embedded"
        assert jupyter.get("profiles")["profiles"]
