"""What the client does with one request: retries, redirects, refusals, and where tokens go."""

import asyncio
import contextlib
import inspect
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from rexec_jupyter.endpoint import AsyncEndpointClient, EndpointClient
from rexec_jupyter.endpoint import errors as e
from rexec_jupyter.endpoint.address import base
from rexec_jupyter.endpoint.exchange import Answer, Pause, Request, conversation, retry_after
from tests.endpoint.answering import Answering, Reply
from tests.endpoint.canary import MARK, secret
from tests.endpoint.service import until

OK = {"api_version": "0.34.17"}
BUSY = Reply(503, {"detail": "Try later."}, {"Retry-After": "0"})


@pytest.fixture
def server():
    with Answering() as server:
        server.answer("GET", "/", "API is running successfully.")
        server.answer("GET", "/status/", OK)
        yield server


@pytest.fixture
def token():
    return secret("token")


@pytest.fixture
def client(server, token):
    with EndpointClient(server.url, token) as client:
        server.asked.clear()
        yield client


# ----------------------------------------------------------------- requests that are repeated


def steps(request):
    """One request; what it comes to."""
    answer = yield request
    return answer.status


def played(request, *happenings, retries=3):
    """Play a conversation without any network; return what was asked and paused, and the end."""
    talk = conversation(steps(request), "http://127.0.0.1:1", retries)
    said = []
    happenings = list(happenings)
    try:
        item = next(talk)
        while True:
            said.append(item)
            if isinstance(item, Pause):
                item = talk.send(None)
                continue
            happening = happenings.pop(0)
            if isinstance(happening, Exception):
                item = talk.throw(happening)
            else:
                item = talk.send(happening)
    except StopIteration as stop:
        return said, stop.value


def pauses(said):
    return [item.seconds for item in said if isinstance(item, Pause)]


def answer(status, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, headers, b"{}", "/x")


GET, POST = Request("GET", "/x"), Request("POST", "/x", json={})
DELETE, SEARCH = Request("DELETE", "/x"), Request("POST", "/x", json={}, repeatable=True)
LOST, UNSENT = e.UnreachableError("lost", sent=True), e.UnreachableError("refused")


@pytest.mark.parametrize(
    ("request_", "trouble", "repeated"),
    [
        (GET, answer(503), True),
        (GET, answer(502), True),
        (GET, LOST, True),
        (GET, UNSENT, True),
        (GET, Answer(503, {}, b"<html>nginx</html>", "/x"), True),
        (GET, Answer(503, {}, b'{"detail": "S3 is not configured."}', "/x"), False),
        (GET, Answer(503, {"retry-after": "1"}, b'{"detail": "Later."}', "/x"), True),
        (GET, answer(500), False),
        (GET, answer(404), False),
        (SEARCH, LOST, True),
        (DELETE, answer(503), True),
        (DELETE, UNSENT, True),
        (DELETE, LOST, False),
        (DELETE, answer(504), False),
        (POST, answer(503), False),
        (POST, LOST, False),
        (Request("PATCH", "/x", json={}), answer(503), False),
        (Request("POST", "/x", files={"file": ("a", b"")}, repeatable=True), LOST, False),
    ],
)
def test_only_what_may_be_done_twice_is_repeated(request_, trouble, repeated):
    if isinstance(trouble, Exception) and not repeated:
        with pytest.raises(e.UnreachableError):
            played(request_, trouble)
        return
    said, status = played(request_, trouble, answer(200))
    assert (status == 200) == repeated
    assert len(pauses(said)) == repeated


def test_the_pauses_grow_and_end():
    said, status = played(GET, *[answer(503)] * 6, retries=5)
    assert status == 503
    for number, pause in enumerate(pauses(said)):
        most = min(0.2 * 2**number, 5.0)
        assert most / 2 <= pause <= most
    assert len(pauses(said)) == 5


def test_what_the_endpoint_says_of_when_to_come_back_is_kept_to():
    said, _ = played(GET, answer(503, retry_after="7"), answer(200))
    assert pauses(said) == [7.0]
    said, status = played(GET, answer(503, retry_after="3600"))
    assert (pauses(said), status) == ([], 503)
    assert retry_after(answer(503, retry_after="Wed, 21 Oct 2015 07:28:00 GMT")) == 0.0
    for nonsense in ("soon", "-5", "nan", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"):
        assert retry_after(answer(503, retry_after=nonsense)) is None


def test_a_search_is_repeated_until_it_is_answered(server, client):
    server.answer("GET", "/search", BUSY, Reply(broken=0), [])
    assert client.search_datasets(["rain"]) == []
    assert len(server.asked) == 3


def test_what_is_written_is_sent_once_and_said_to_be_uncertain(server, client):
    server.answer("POST", "/organization", Reply(broken=0))
    with pytest.raises(e.UnreachableError, match="Look whether it was done") as caught:
        client.register_organization({"name": "a", "title": "A"})
    assert isinstance(caught.value, ValueError | ConnectionError)
    assert len(server.asked) == 1


def test_an_answer_that_breaks_off_is_an_error_and_no_half_answer(server, client):
    server.answer("GET", "/s3/objects/b/k", Reply(content=b"x" * 100, broken=10))
    with pytest.raises(e.UnreachableError):
        client.download_object("b", "k")


def test_an_endpoint_that_is_silent_is_given_up(token):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with (
            EndpointClient(url, token, timeout=0.2, retries=0) as client,
            pytest.raises(e.UnreachableError, match="did not answer in time"),
        ):
            client.list_organizations()


@pytest.fixture
def dripping(server, monkeypatch):
    """Have an endpoint that says a little every now and then, and never has done."""
    ended = threading.Event()

    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(OSError):
            while not ended.wait(0.01):
                handler.wfile.write(b" " * 1000)
        handler.close_connection = True

    server.answer("GET", "/organization", Reply(content=drip))
    yield
    ended.set()


def test_an_answer_that_never_ends_is_given_up(server, dripping, token, monkeypatch):
    # All of it may take less time than any part of it, so that no part can be what is given up.
    monkeypatch.setattr("rexec_jupyter.endpoint.transport._SLOW", 0.01)

    async def asynchronously():
        async with AsyncEndpointClient(server.url, token, retries=0) as client:
            await client.list_organizations()

    with (
        EndpointClient(server.url, token, retries=0) as client,
        pytest.raises(e.UnreachableError, match="did not answer in time"),
    ):
        client.list_organizations()
    with pytest.raises(e.UnreachableError, match="did not answer in time"):
        asyncio.run(asynchronously())
    monkeypatch.setattr("rexec_jupyter.endpoint.transport._LARGEST", 5000)
    with (
        EndpointClient(server.url, token) as client,
        pytest.raises(e.NotUnderstoodError, match=r"longer than 5,000 bytes.*Ask for less"),
    ):
        client.list_organizations()


def test_a_client_that_is_closed_says_so(server, token):
    client = EndpointClient(server.url, token)
    client.close()
    with pytest.raises(e.EndpointError, match="The client is closed"):
        client.list_organizations()


def test_an_asynchronous_client_belongs_to_one_event_loop(server, token):
    server.answer("GET", "/organization", [])
    client = AsyncEndpointClient(server.url, token)
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(client.list_organizations())
        with pytest.raises(e.EndpointError, match="another event loop"):
            second.run(client.list_organizations())
        first.run(client.close())


def test_after_a_fork_each_process_has_connections_of_its_own(server, client):
    server.answer("GET", "/organization", ["x"])
    client.list_organizations()
    child = os.fork()
    if not child:
        os._exit(client.list_organizations() != ["x"])
    assert os.waitpid(child, 0)[1] == 0
    client.list_organizations()
    mine, childs, again = (
        asked.headers["x-port"] for asked in server.asked if asked.path == "/organization"
    )
    assert mine == again != childs


def test_ctrl_c_ends_a_call_and_the_client_goes_on(server, client, dripping):
    def interrupt():
        until(lambda: server.asked, "the request")
        signal.raise_signal(signal.SIGINT)

    with ThreadPoolExecutor() as pool:
        pool.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            client.list_organizations()
    server.answer("GET", "/search", [])
    assert client.search_datasets(["x"]) == []


# ------------------------------------------------------------------------- where tokens go


def test_a_redirect_within_the_endpoint_is_followed(server, client, token):
    server.answer("GET", "/organization", Reply(307, {}, {"Location": "/organization/?a=1"}))
    server.answer("GET", "/organization/", ["x"])
    assert client.list_organizations() == ["x"]
    assert server.asked[-1].query == {"a": ["1"]}
    assert server.asked[-1].token == token


def test_no_token_follows_a_redirect_elsewhere(server, client, token):
    with Answering() as other:
        there = {"Location": f"{other.url}/organization"}
        server.answer("GET", "/organization", Reply(302, {}, there))
        with pytest.raises(e.EndpointError, match="leads elsewhere") as caught:
            client.list_organizations()
        assert other.asked == []
    assert token not in str(caught.value)


def test_redirects_in_a_circle_end(server, client):
    server.answer("GET", "/organization", Reply(307, {}, {"Location": "/organization"}))
    with pytest.raises(e.EndpointError, match="leads elsewhere"):
        client.list_organizations()
    assert len(server.asked) < 10


def test_a_token_is_not_sent_in_plain_text(token):
    with pytest.raises(e.UnsafeAddressError, match="plain text"):
        EndpointClient("http://ep.example.org", token)
    with pytest.raises(e.UnsafeAddressError, match="plain text"):
        EndpointClient("http://ep.example.org", username="ann", password=secret("password"))


def test_no_proxy_stands_between_on_this_computer(server, token, monkeypatch):
    with Answering() as proxy:
        for name in ("http_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        with EndpointClient(server.url, token) as client:
            client.get_system_status()
        assert proxy.asked == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [("SSL_CERT_FILE", "/no/such/file"), ("https_proxy", f"nonsense://me:{MARK}@proxy")],
)
def test_certificates_and_proxies_that_cannot_be_used_are_told(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(e.EndpointError, match=variable) as caught:
        EndpointClient("https://ep.example.org", "t")
    assert MARK not in str(caught.value)


def test_nothing_shows_a_token(server, token, caplog):
    caplog.set_level(logging.DEBUG)
    server.answer("GET", "/organization", Reply(500, {"detail": "broken"}))
    with EndpointClient(server.url, token) as client:
        with pytest.raises(e.UnavailableError) as caught:
            client.list_organizations()
        shown = f"{client!r}{client._driver!r}{caught.value!r}{caught.value}{caplog.text}"
        shown += repr(Request("GET", "/x", token=token, form={"token": token}, json=[token]))
    assert MARK not in shown
    assert "logged in" in repr(client)


def test_an_endpoint_that_repeats_the_token_is_not_repeated(server, client, token):
    for content in ({"detail": f"Bad token: {token}"}, f"bad: {token}".encode()):
        server.answer("GET", "/organization", Reply(401, content))
        with pytest.raises(e.NotAuthenticatedError) as caught:
            client.list_organizations()
        assert MARK not in f"{caught.value}{vars(caught.value)}"


def test_httpx_is_not_loaded_before_it_is_used():
    script = "import rexec_jupyter, rexec_jupyter._connect, rexec_jupyter.endpoint, sys; "
    script += "from rexec_jupyter.magics.commands import auth; "
    script += "assert not {'httpx', 'pelicanfs', 'websockets'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_what_can_be_no_token_is_not_sent(server):
    client = EndpointClient(server.url, f"two words {MARK}")
    with client, pytest.raises(e.NotAuthenticatedError, match="no token") as caught:
        client.get_user_info()
    assert MARK not in str(caught.value)


# ------------------------------------------------------------------------------ addresses


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("localhost:8000", "http://localhost:8000"),
        ("127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("ep.example.org", "https://ep.example.org"),
        ("ep.example.org:8443/api/", "https://ep.example.org:8443/api"),
        ("https://ep.example.org/api", "https://ep.example.org/api"),
        ("http://ep.example.org", "http://ep.example.org"),
        ("HTTPS://ep.example.org", "https://ep.example.org"),
        ("HTTP://ep.example.org", "http://ep.example.org"),
    ],
)
def test_defect_29_an_address_without_a_scheme_gets_one(given, used):
    assert base(given) == used


@pytest.mark.parametrize("given", ["", "ftp://x", "https://", "https://a:b@x", "https://x/?t=1"])
def test_what_is_no_address_is_refused(given):
    with pytest.raises(e.UnsafeAddressError, match="cannot be used"):
        base(given)


def test_defect_29_every_request_has_a_timeout(server, token):
    with EndpointClient(server.url, token) as client:
        put = client._driver._put(Request("GET", server.url))
    assert all(seconds for seconds in put["timeout"].as_dict().values())


# --------------------------------------------------------------------------- constructors


def test_without_a_token_there_has_to_be_an_endpoint(server):
    EndpointClient(server.url).close()
    assert server.paths() == ["GET /"]
    server.answer("GET", "/", Reply(404, {"detail": "Not Found"}))
    with pytest.raises(ValueError, match="API connection check failed with status code 404"):
        EndpointClient(server.url)
    with pytest.raises(ValueError, match="Failed to connect to the API at http://127"):
        EndpointClient("http://127.0.0.1:9", retries=0)


def test_with_a_token_the_version_is_looked_at_and_nothing_else_matters(server, token):
    with EndpointClient(server.url, token) as client:
        assert client.api_version == "0.34.17"
        assert client.token == token
    server.answer("GET", "/status/", Reply(401, {"detail": "no"}))
    with EndpointClient(server.url, token) as client:
        assert client.api_version is None


@pytest.mark.parametrize(
    ("told", "warned"),
    [("0.1.9", True), ("0.2.0", False), ("0.1.0rc1", False), ("1", False), ("", False)],
)
def test_an_old_endpoint_is_warned_of(server, token, told, warned):
    server.answer("GET", "/status/", {"version": told})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        EndpointClient(server.url, token).close()
    assert [str(each.message).startswith("API version compatibility") for each in caught] == (
        [True] if warned else []
    )
    assert all(each.filename == __file__ for each in caught)


def test_a_name_and_a_password_become_a_token(server, token):
    password = secret("password")
    server.answer("POST", "/user/login", {"access_token": token})
    with EndpointClient(server.url, username="ann", password=password) as client:
        assert client.token == token
        assert MARK not in repr(vars(client))
    assert server.asked[0].json == {"username": "ann", "password": password}
    server.answer("POST", "/user/login", Reply(401, {"detail": "Wrong."}))
    with pytest.raises(ValueError, match=r"Authentication failed: Invalid username or password\."):
        EndpointClient(server.url, username="ann", password=password)
    server.answer("POST", "/user/login", {"token": "x"})
    with pytest.raises(ValueError, match=r"Authentication failed: No access token received\."):
        EndpointClient(server.url, username="ann", password=password)


def test_an_endpoint_of_an_older_version_is_asked_for_a_token_in_its_own_way(server, token):
    server.answer("POST", "/token", {"access_token": token})
    with EndpointClient(server.url, username="ann", password="p") as client:
        assert client.token == token
    assert server.asked[1].form == {"username": ["ann"], "password": ["p"]}


def test_a_token_and_a_name_together_are_refused(server):
    with pytest.raises(ValueError, match="Provide either a token or username/password, not both"):
        EndpointClient(server.url, "t", "ann", "p")


# -------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("reply", "kind", "text"),
    [
        (Reply(400, {"detail": "Bad."}), e.InvalidError, "Error listing organizations: Bad."),
        (Reply(401, {"detail": "Expired"}), e.NotAuthenticatedError, "Get a new token"),
        (Reply(403, {"detail": "No."}), e.ForbiddenError, "Ask whoever runs"),
        (Reply(404, b"<html>nginx</html>"), e.NotFoundError, "404 Not Found"),
        (Reply(409, {"error": "Duplicate Dataset", "detail": "x"}), e.ConflictError, "x"),
        (Reply(409, {"detail": {"error": "Duplicate Dataset", "detail": "x"}}), e.ConflictError,
         "Duplicate Dataset: x"),
        (Reply(429, {"detail": "Slow."}, {"Retry-After": "99"}), e.UnavailableError, "in 99 s"),
        (Reply(500, b"broken"), e.UnavailableError, "broken"),
        (Reply(418, []), e.EndpointError, ""),
        (Reply(422, {"detail": [{"loc": 5, "msg": "Odd."}]}), e.InvalidError, "Odd."),
        (Reply(400, b"[" * 100_000), e.InvalidError, "[[["),
        (Reply(200, b"[" * 100_000), e.NotUnderstoodError, "does not answer in JSON"),
        (Reply(302, [], {"Location": "http://x:99999/"}), e.EndpointError, "leads elsewhere"),
        (Reply(302, [], {"Location": "http://[x"}), e.EndpointError, "leads elsewhere"),
        (Reply(200, b"<html>"), e.NotUnderstoodError, "does not answer in JSON"),
        (Reply(200, {"a": 1}), e.NotUnderstoodError, "answers dict in place of list"),
        (Reply(200, b"\xff\xfe"), e.NotUnderstoodError, "does not answer in JSON"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_and_why_and_what_to_do(server, client, reply, kind, text):
    server.answer("GET", "/organization", reply)
    with pytest.raises(kind) as caught:
        client.list_organizations()
    assert isinstance(caught.value, ValueError)
    assert text in str(caught.value)
    assert caught.value.status == reply.status


def test_a_refusal_is_neither_endless_nor_gives_orders_to_the_terminal(server, client, token):
    for content in (
        {"detail": f"a\x1b[31m\x9b{'x' * 100_000}"},
        f"a\x1b{'x' * 4_000_000}".encode(),
    ):
        server.answer("GET", "/organization", Reply(400, content))
        with pytest.raises(e.InvalidError) as caught:
            client.list_organizations()
        assert len(str(caught.value)) < 3000
        assert "\x1b" not in str(caught.value)
        assert "\x9b" not in str(caught.value)
    # A token that stands where the text is cut.
    server.answer("GET", "/organization", Reply(400, f"{'x' * 1995}{token}".encode()))
    with pytest.raises(e.InvalidError) as caught:
        client.list_organizations()
    assert token[:3] not in str(caught.value)


def test_defect_30_problems_in_a_list_are_told_as_text(server, client):
    problems = [{"loc": ["body", "url"], "msg": "Field required", "type": "missing"}]
    server.answer("PATCH", "/resource/r", Reply(422, {"detail": problems}))
    with pytest.raises(e.InvalidError, match=r"body\.url: Field required"):
        client.patch_resource("r", name="n")


def test_defect_30_a_connection_that_cannot_be_made_is_an_error_like_all_others(token):
    with (
        EndpointClient("http://127.0.0.1:9", token, retries=0) as client,
        pytest.raises(ValueError, match="Error searching for datasets: Failed to connect"),
    ):
        client.search_datasets(["x"])


def test_the_id_of_the_request_helps_whoever_runs_the_endpoint(server, client):
    reply = Reply(500, {"detail": "broken"}, {"X-Correlation-ID": "abc"})
    server.answer("GET", "/organization", reply)
    with pytest.raises(e.UnavailableError) as caught:
        client.list_organizations()
    assert caught.value.correlation_id == "abc"


# ------------------------------------------------------------------------- event loops


def test_the_asynchronous_client_does_the_same(server, token):
    server.answer("GET", "/search", BUSY, [{"id": "1"}])
    server.answer("GET", "/organization", Reply(401, {"detail": "no"}))

    async def session():
        async with AsyncEndpointClient(server.url, token) as client:
            assert client.api_version == "0.34.17"
            found = await asyncio.gather(*(client.search_datasets(["x"]) for _ in range(5)))
            assert found == [[{"id": "1"}]] * 5
            with pytest.raises(e.NotAuthenticatedError):
                await client.list_organizations()
            return client

    client = asyncio.run(session())
    assert "AsyncEndpointClient" in repr(client)


def test_the_asynchronous_client_logs_in(server, token):
    server.answer("POST", "/user/login", {"access_token": token})
    server.answer("GET", "/user/info", {"sub": "1", "username": "ann"})

    async def session():
        async with AsyncEndpointClient(server.url, username="ann", password="p") as client:
            return (await client.get_user_info())["username"]

    assert asyncio.run(session()) == "ann"
    assert server.asked[-1].token == token


def test_an_operation_does_nothing_before_it_is_driven():
    from rexec_jupyter.endpoint import catalog

    assert inspect.isgenerator(catalog.list_organizations())
