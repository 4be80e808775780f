"""`Servers`: what a deploy API may answer, in order and out of order."""

import json

import pytest

import rexec_jupyter as rexec
from rexec_jupyter.endpoint import tending as module
from rexec_jupyter.endpoint.feed import Feed, News
from rexec_jupyter.endpoint.servers import Servers
from tests.endpoint.answering import Answering, Reply
from tests.endpoint.canary import MARK, secret

STREAM = {"content-type": "text/event-stream"}


@pytest.fixture
def endpoint():
    with Answering() as server:
        server.answer("GET", "/status/rexec", {"deployment_api_url": server.url})
        yield server


@pytest.fixture
def there(endpoint, monkeypatch):
    monkeypatch.setattr(module, "_PAUSE", 0.01)
    token = secret("token")
    with Servers(endpoint.url, lambda: token) as servers:
        yield servers


def event(number, state, kind="state", text=""):
    told = {"seq": number, "kind": kind, "state": state, "text": text, "hint": ""}
    return f"id: {number}\nevent: {kind}\ndata: {json.dumps(told)}\n\n".encode()


def stream(*parts, **reply):
    return Reply(200, b"retry: 1000\n\n" + b"".join(parts), STREAM, **reply)


SERVERS, SERVER = "/rexec/v1/servers", "/rexec/v1/servers/default"
EVENTS = f"{SERVER}/events"


def test_a_server_is_followed_over_interruptions(endpoint, there):
    first = stream(event(1, "requested"), event(2, "installing"), event(3, "starting"))
    endpoint.answer(
        "GET",
        EVENTS,
        Reply(200, first.content, STREAM, broken=len(first.content) - 10),  # in an event's midst
        Reply(503, {"detail": "restarts"}),
        stream(b": still here\n\n", event(3, "starting"), event(4, "ready")),
    )
    endpoint.answer("GET", SERVER, {"state": "starting"}, {"state": "starting"}, {"state": "ready"})
    told = []
    assert there.wait_ready("default", told.append) == {"state": "ready"}
    numbers = [news.number for news in told if news is not None]
    assert numbers == [1, 2, 3, 4]
    asked = [a.headers.get("last-event-id") for a in endpoint.asked if a.path == EVENTS]
    assert asked[0] is None
    assert asked[-1] == "2"


def test_what_was_ready_before_it_was_asked_for_again_does_not_count(endpoint, there):
    endpoint.answer("GET", EVENTS, stream(*(event(n, s) for n, s in enumerate(("ready",) * 2, 1))))
    endpoint.answer(
        "GET", SERVER, {"state": "requested"}, {"state": "starting"}, {"state": "ready"}
    )
    assert there.wait_ready("default", lambda _: None) == {"state": "ready"}


@pytest.mark.parametrize(
    ("cause", "kind", "text"),
    [
        (
            {"reason": "image", "message": "The image x cannot be pulled", "hint": "Ask."},
            rexec.StartError,
            r"\[R06\] .*The image x cannot be pulled\. Ask\.",
        ),
        ({"reason": "quota", "message": "No room."}, rexec.QuotaError, r"\[R05\] .*No room\."),
        (None, rexec.StartError, "does not say why"),
        ("odd", rexec.StartError, "does not say why"),
    ],
)
def test_why_it_failed_is_told_with_what_to_do(endpoint, there, cause, kind, text):
    endpoint.answer("GET", EVENTS, stream(event(1, "failed")))
    endpoint.answer("GET", SERVER, {"state": "failed", "cause": cause})
    with pytest.raises(kind, match=text):
        there.wait_ready("default", lambda _: None)


def test_a_server_that_somebody_ended_is_waited_for_no_longer(endpoint, there):
    endpoint.answer("GET", EVENTS, Reply(404, {"detail": "You have no server named 'default'."}))
    endpoint.answer("GET", SERVER, Reply(404, {"detail": "You have no server named 'default'."}))
    with pytest.raises(rexec.StartError, match="was ended while it started"):
        there.wait_ready("default", lambda _: None)


def test_a_deploy_api_that_stays_away_is_given_up(endpoint, there, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    endpoint.answer("GET", EVENTS, Reply(503, {"detail": "Away."}))
    with pytest.raises(rexec.ConnectionLostError, match="Away"):
        there.wait_ready("default", lambda _: None)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (409, {"detail": "It is different."}, rexec.SessionMismatchError),
        (409, {"detail": "No.", "cause": {"reason": "quota"}}, rexec.QuotaError),
        (429, {"detail": "As many as one may have."}, rexec.QuotaError),
        (422, {"detail": "cpu: at most 2."}, rexec.StartError),
        (500, {"detail": "Odd."}, rexec.StartError),
        (401, {"detail": "Expired."}, rexec.AuthenticationError),
        (403, {"detail": "Only writers."}, rexec.AuthenticationError),
        (404, {"detail": "Not Found"}, rexec.NotConfiguredError),
        (405, {"detail": "Method Not Allowed"}, rexec.NotConfiguredError),
        (200, [], rexec.NotConfiguredError),
    ],
)
def test_what_is_refused_is_told_with_its_code(endpoint, there, status, body, kind):
    endpoint.answer("POST", "/rexec/v1/servers", Reply(status, body, {"retry-after": "999"}))
    with pytest.raises(kind) as caught:
        there.begin("default")
    assert MARK not in str(caught.value)


def test_what_is_asked_for_goes_along_and_nothing_else(endpoint, there):
    endpoint.answer("POST", "/rexec/v1/servers", Reply(201, {"state": "requested"}))
    _, begun = there.begin("train", requirements=["python==3.11"], cpu=2.0, gpu=None)
    assert begun
    (asked,) = (a for a in endpoint.asked if a.method == "POST")
    assert asked.json == {
        "name": "train",
        "requirements": ["python==3.11"],
        "cpu": 2.0,
        "force": False,
    }


def server(name, state="ready"):
    return {"name": name, "state": state}


def listed(endpoint, *servers):
    endpoint.answer("GET", SERVERS, {"servers": list(servers)})


def test_a_session_for_which_nothing_is_asked_gets_what_is_there(endpoint, there):
    own, usual = server("train"), server("default", "starting")
    listed(endpoint, own, usual, server("old", "failed"))
    assert there.have("train") == (own, False)
    assert there.have("maps") == (usual, False)
    endpoint.answer("POST", SERVERS, Reply(201, server("old", "requested")))
    assert there.have("old", usual="plain")[1]
    assert endpoint.asked[-1].json["name"] == "old"
    assert endpoint.asked[-1].json["profile"] == "plain"
    listed(endpoint, own)
    endpoint.answer("POST", SERVERS, Reply(201, server("default", "requested")))
    assert there.have("maps") == (server("default", "requested"), True)
    assert there.have("default", other=True) == (own, False)


@pytest.mark.parametrize("wanted", [{"gpu": 0}, {"requirements": ["x"]}, {"force": True}])
def test_whoever_asks_for_something_gets_a_server_of_the_name(endpoint, there, wanted):
    listed(endpoint, server("train"), server("default"))
    endpoint.answer("POST", SERVERS, Reply(200, server("train")))
    assert there.have("train", **wanted) == (server("train"), False)
    assert endpoint.asked[-1].method == "POST"
    assert there.have("train", start=False, **wanted) == (server("train"), False)
    assert endpoint.asked[-1].method == "GET"


def test_who_asked_for_nothing_takes_what_somebody_else_began_meanwhile(endpoint, there):
    listed(endpoint)
    endpoint.answer("POST", SERVERS, Reply(409, {"detail": "It has other requirements."}))
    endpoint.answer("GET", SERVER, server("default", "starting"))
    assert there.have("default") == (server("default", "starting"), False)
    with pytest.raises(rexec.SessionMismatchError):
        there.have("default", requirements=["numpy"])
    with pytest.raises(rexec.NoSessionError, match="none may be started"):
        there.have("default", start=False)


def test_a_name_that_would_lead_elsewhere_leads_nowhere(there):
    for name in ("..", "", "."):
        with pytest.raises(rexec.RexecError):
            there.find(name)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"data\n\n",
        b"data: {\n\n",
        b"data: []\n\n",
        b"id: x\n\n\n",
        b"id: " + b"9" * 5000 + b"\n\n",
        b"\xff\xfe: \xff\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
        b"x" * 10_000_000,
    ],
)
def test_what_is_no_news_is_passed_over(content):
    feed = Feed()
    list(feed.take(content))
    assert list(feed.take(b"\n\n" + event(1, "ready"))) == [News(1, "state", "ready", "")]
    first, rest = event(7, "ready", text="ü")[:60], event(7, "ready", text="ü")[60:]
    told = [*feed.take(first), *feed.take(rest)]
    assert told == [News(7, "state", "ready", "ü")]
