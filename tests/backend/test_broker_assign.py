"""Servers that nobody uses yet become somebody's, through a real broker."""

import http.client
import json
import threading

import pytest

from rexec_broker.assigning import LONGEST
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.credentials import SigningKey
from rexec_jupyter.core.trust import new_keypair
from rexec_server.agent.certificates import Certificates
from tests.backend.brokering import PATIENCE, Client, Server, running, until
from tests.backend.test_broker_feed import listed


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with running(tmp_path_factory.mktemp("broker")) as process:
        yield process


def post(broker, body, *, token=None, path="/servers/assign", **headers):
    """Return the status of a request, and what is answered."""
    connection = http.client.HTTPConnection(broker.ready["health"], timeout=PATIENCE)
    headers = {"Authorization": f"Bearer {token or broker.signing.status_token()}", **headers}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        connection.request("POST", path, content, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def certificate(broker, server, **changes):
    """Return a certificate of a server's key for somebody."""
    named = {"user": "ann", "server": "default", "key": server.key, "generation": 7} | changes
    return broker.signing.certificate(**named)


def asked(server_certificate, user="~warm/1", server="default"):
    return {"user": user, "server": server, "certificate": server_certificate}


def test_a_server_becomes_somebodys_and_its_client_sees_it(broker):
    with Server(broker, "~warm/1", server="default") as server, Client(broker, "ann") as client:
        server.join()
        assert client.join().state == "absent"
        there = until(lambda: listed(broker, "~warm/1").get("default"), "the server")
        assert there["key"] == server.key
        wanted = certificate(broker, server)
        assert post(broker, asked(wanted))[0] == 202
        assert server.expect(p.Assign)[0].certificate == wanted
        server.certificate = wanted
        server.hello()
        assert server.expect(p.Welcome)[0].user == "ann"
        assert client.expect(p.ServerState, state="ready")[0].server == "default"
        until(lambda: not listed(broker, "~warm/1"), "its leaving")
        assert listed(broker, "ann")["default"]["generation"] == 7
        assert post(broker, asked(wanted))[0] == 404


def test_what_is_no_certificate_for_this_server_never_reaches_it(broker):
    strange = SigningKey.generate()
    with Server(broker, "~warm/2", server="default") as server:
        server.join()
        for wrong in (
            "x",
            certificate(broker, server, key=new_keypair().public.decode()),
            strange.certificate(user="ann", server="default", key=server.key),
            broker.signing.ticket(user="ann", key=server.key),
        ):
            assert post(broker, asked(wrong, "~warm/2"))[0] == 400
        assert server.silent()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        ({"user": "a"}, 400),
        (asked("x") | {"more": 1}, 400),
        (asked("x", user="a" * 2000), 400),
        (asked("x", user="nobody"), 404),
        (b"x" * (LONGEST + 1), 413),
    ],
)
def test_bad_requests_are_refused(broker, body, status):
    assert post(broker, body)[0] == status


def test_only_the_deployment_may_assign(broker):
    with Server(broker, "~warm/3", server="default") as server:
        server.join()
        body = asked(certificate(broker, server), "~warm/3")
        for token in ("x", SigningKey.generate().status_token(), certificate(broker, server)):
            assert post(broker, body, token=token)[0] == 401
        assert post(broker, body, path="/servers")[0] == 404
        assert server.silent()


def test_many_threads_assign_at_once(broker):
    with Server(broker, "~warm/4", server="default") as server:
        server.join()
        body = asked(certificate(broker, server), "~warm/4")
        statuses = []
        threads = [
            threading.Thread(target=lambda: statuses.append(post(broker, body)[0]))
            for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [202] * 20
        for _ in range(20):
            server.expect(p.Assign)


def test_an_assigned_certificate_is_kept_as_long_as_the_given_one_stays(tmp_path):
    given = tmp_path / "certificate"
    given.write_text("first\n")
    kept = Certificates(given, tmp_path)
    assert kept.read() == "first"
    kept.keep("assigned")
    assert Certificates(given, tmp_path).read() == "assigned"
    assert {file.stat().st_mode & 0o777 for file in tmp_path.glob("assigned-*")} == {0o600}
    given.write_text("renewed")
    assert kept.read() == "renewed"
