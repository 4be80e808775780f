"""The way through to registered services: all that belongs to a request, and nothing else."""

import http.client
import ipaddress
import threading

import pytest

from rexec_ep_api.proxy import reachable, target
from tests.endpoint.canary import watch
from tests.endpoint.forwarded import BIG, ForwardedService
from tests.endpoint.service import PATIENCE, Endpoint, until
from tests.ports import closed_port


@pytest.fixture(scope="module")
def service():
    with ForwardedService() as running:
        yield running


@pytest.fixture(scope="module")
def proxying(identity, tmp_path_factory):
    """An endpoint that leads to services on this machine too."""
    directory = tmp_path_factory.mktemp("proxying")
    watch(directory)
    settings = {
        "AUTH_API_URL": identity.url,
        "REXEC_EP_REDIRECT_PRIVATE": "true",
        "ROOT_PATH": "/ep",
        "ENABLE_GROUP_BASED_ACCESS": "true",
        "GROUP_NAMES": "rain",
    }
    identity.add("member", groups=["/rain"])
    with Endpoint(directory, settings) as running, running.client(identity.token("admin")) as admin:
        running.admin = admin
        yield running


@pytest.fixture
def call(proxying):
    """A client without a token."""
    with proxying.client() as client:
        yield client


@pytest.fixture
def register(proxying, service, fresh):
    """Register the service under some path of its own; return the name."""

    def registered(base="/base", url=None, **extras):
        body = {
            "service_name": fresh("service"),
            "service_title": "T",
            "owner_org": "services",
            "service_url": url or service.url + base,
            "extras": extras,
        }
        answer = proxying.admin.post("/services", json=body)
        assert answer.status_code == 201, answer.text
        return body["service_name"]

    return registered


def raw(endpoint, method, path, headers=()):
    """Send a request whose path no client library tidies up."""
    host, port = endpoint.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def detail(answer, status):
    assert answer.status_code == status, answer.text
    assert isinstance(answer.json()["detail"], str)
    return answer.json()["detail"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("prefix", ["", "/ep"])
def test_a_request_arrives_as_it_was_sent(call, register, method, prefix):
    name = register()
    answer = call.request(
        method,
        f"{prefix}/services/redirect/{name}/a%20b/c%2Fd",
        params={"q": "x y", "r": ["1", "2"]},
        content=b"" if method == "GET" else "größer".encode(),
        headers={"Accept": "text/x-any", "X-Own": "kept", "Content-Type": "text/plain"},
    )
    assert answer.status_code == 200, answer.text
    seen = answer.json()
    assert seen["method"] == method
    assert seen["path"] == "/base/a%20b/c%2Fd?q=x+y&r=1&r=2"
    assert seen["body"] == ("" if method == "GET" else "größer")
    kept = {"accept": "text/x-any", "x-own": "kept", "content-type": "text/plain"}
    assert kept.items() <= seen["headers"].items()


@pytest.mark.parametrize(
    ("base", "added", "arrives"),
    [
        ("/base", "", "/base"),
        ("/base", "/", "/base/"),
        ("/base/", "", "/base/"),
        ("/base/", "/x", "/base/x"),
        ("", "", "/"),
        ("", "/x", "/x"),
        ("/base?key=1", "", "/base?key=1"),
        ("/base?key=1", "/x?more=2", "/base/x?key=1&more=2"),
        ("/base", "//x", "/base//x"),
    ],
)
def test_paths_are_added_to_the_address(call, register, base, added, arrives):
    answer = call.get(f"/services/redirect/{register(base)}{added}")
    assert answer.json()["path"] == arrives


def test_the_service_is_named_by_its_identifier_too(call, register):
    identifier = call.get(f"/dataset/{register()}").json()["id"]
    assert call.get(f"/services/redirect/{identifier}/x").json()["path"] == "/base/x"


def test_a_body_of_unknown_length_arrives(call, register):
    answer = call.post(f"/services/redirect/{register()}", content=iter([b"one ", b"two"]))
    assert answer.json()["body"] == "one two"


def test_what_the_service_answers_comes_back(call, register):
    answer = call.get(f"/services/redirect/{register()}/teapot")
    assert (answer.status_code, answer.text) == (418, "short and stout")
    assert answer.headers["X-Kettle"] == "on"


def test_redirections_are_not_followed(call, register):
    answer = call.get(f"/services/redirect/{register()}/moved")
    assert answer.status_code == 302
    assert answer.headers["Location"] == "https://elsewhere.example.org/"


def test_much_comes_back_whole(call, register):
    answer = call.get(f"/services/redirect/{register()}/big")
    assert len(answer.content) == BIG
    assert answer.headers["Content-Length"] == str(BIG)


def test_defect_05_what_belongs_to_the_endpoint_stays_there(call, register, identity):
    answer = call.get(
        f"/services/redirect/{register()}",
        headers={
            "Authorization": f"Bearer {identity.token('writer')}",
            "Cookie": "session=endpoint",
            "Proxy-Authorization": "Basic eA==",
            "X-Forwarded-For": "192.0.2.7",
            "X-Secret": "named",
            "Connection": "X-Secret",
        },
    )
    headers = answer.json()["headers"]
    kept_back = {"authorization", "cookie", "proxy-authorization", "x-forwarded-for", "x-secret"}
    assert kept_back.isdisjoint(headers)
    assert headers["host"].startswith("127.0.0.1:")


def test_what_belongs_to_the_service_does_not_reach_the_pages_of_the_endpoint(call, register):
    answer = call.get(f"/services/redirect/{register()}")
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")
    assert len(answer.headers.get_list("X-Correlation-ID")) == 1


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "../admin",
        "a/../../admin",
        "%2e%2e/admin",
        "..%2fadmin",
        "..%2f..%2fadmin",
        "%2E%2e%2Fadmin",
        "%252e%252e%252fadmin",
        "..%5cadmin",
        "..\\admin",
        "..;/admin",
        "a/./b",
        "%2525252525252e",
    ],
)
def test_defect_05_no_path_climbs_out_of_the_address(proxying, service, register, path):
    name = register()
    count = len(service.asked)
    status, body = raw(proxying, "GET", f"/services/redirect/{name}/{path}")
    assert status == 400, body
    assert service.asked[count:] == []


def test_one_that_is_not_there(call, proxying, fresh):
    assert "Service not found" in detail(call.get(f"/services/redirect/{fresh('none')}"), 404)
    organization, dataset = fresh("lab"), fresh("data")
    answer = proxying.admin.post("/organization", json={"name": organization, "title": "L"})
    assert answer.status_code == 201
    body = {"resource_name": dataset, "resource_title": "T", "owner_org": organization}
    body["resource_url"] = "https://data.example.org/"
    assert proxying.admin.post("/url", json=body).status_code == 201
    assert "Service not found" in detail(call.get(f"/services/redirect/{dataset}"), 404)


@pytest.mark.parametrize("value", [True, "true", "YES", "1", 1, "on"])
def test_a_service_may_ask_for_a_token(call, proxying, register, identity, value):
    path = f"/services/redirect/{register(requires_auth=value)}/x"
    answer = call.get(path)
    assert detail(answer, 401)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    with proxying.client("not a token") as nobody:
        assert detail(nobody.get(path), 401)
    with proxying.client(identity.token("member")) as member:
        answer = member.get(path)
        assert answer.status_code == 200
        assert "authorization" not in answer.json()["headers"]


def test_a_private_service_is_there_only_for_those_who_see_it(
    call, proxying, register, identity, fresh
):
    name = register()
    assert proxying.admin.patch(f"/dataset/{name}", json={"private": True}).status_code == 200
    path, nothing = f"/services/redirect/{name}", fresh("none")
    assert proxying.admin.get(path).status_code == 200
    said = detail(call.get(f"/services/redirect/{nothing}"), 404)
    with proxying.client(identity.token("member")) as member:
        for client in (call, member):
            assert detail(client.get(path), 404).replace(name, nothing) == said


def test_what_is_no_service_is_not_led_to_even_if_it_has_an_address(call, proxying, service, fresh):
    organization, dataset = fresh("lab"), fresh("data")
    answer = proxying.admin.post("/organization", json={"name": organization, "title": "L"})
    assert answer.status_code == 201
    body = {"name": dataset, "title": "T", "owner_org": organization}
    body["resources"] = [{"url": service.url, "name": "table", "format": "CSV"}]
    assert proxying.admin.post("/dataset", json=body).status_code == 201
    assert "Service not found" in detail(call.get(f"/services/redirect/{dataset}"), 404)


def test_defect_05_a_token_from_outside_of_the_group_is_not_enough(proxying, register, identity):
    path = f"/services/redirect/{register(requires_auth='true')}"
    with proxying.client(identity.token("writer")) as outside:
        assert "permission" in detail(outside.get(path), 403)


@pytest.mark.parametrize("value", [False, "false", "0", "no", ""])
def test_a_service_that_asks_for_no_token(call, register, value):
    assert call.get(f"/services/redirect/{register(requires_auth=value)}").status_code == 200


def test_a_service_that_is_down(call, register):
    with closed_port() as port:
        name = register(url=f"http://127.0.0.1:{port}/")
        assert "cannot be reached" in detail(call.get(f"/services/redirect/{name}"), 502)


def test_a_service_whose_host_nobody_knows(call, register):
    name = register(url="http://no-such-host.invalid/")
    assert "cannot be reached" in detail(call.get(f"/services/redirect/{name}"), 502)


def test_a_service_that_does_not_speak_http(call, register):
    assert detail(call.get(f"/services/redirect/{register()}/garbage"), 502)


def test_an_answer_that_breaks_off_is_not_taken_for_the_whole(proxying, register):
    path = f"/services/redirect/{register()}/short"
    with pytest.raises(http.client.IncompleteRead):
        raw(proxying, "GET", path)


def test_a_caller_who_leaves_ends_the_request(call, service, register):
    service.left.clear()
    with call.stream("GET", f"/services/redirect/{register()}/endless") as answer:
        assert next(answer.iter_raw()).startswith(b"data: more")
    assert service.left.wait(PATIENCE)


def test_a_service_that_hangs_holds_up_nobody_else(call, proxying, service, register):
    name = register()
    service.hanging.clear()
    count = len(service.asked)
    answers = []

    def hang():
        with proxying.client() as client:
            answers.append(client.get(f"/services/redirect/{name}/hang").text)

    waiting = threading.Thread(target=hang)
    waiting.start()
    try:
        until(lambda: ("GET", "/base/hang") in service.asked[count:], "the request that hangs")
        assert call.get("/health").status_code == 200
        assert call.get(f"/services/redirect/{name}/x").status_code == 200
        assert answers == []
    finally:
        service.hanging.set()
        waiting.join()
    assert answers == ["at last"]


def test_a_service_that_leads_back_here_goes_round_once_only(call, proxying, register):
    name = register()
    path = f"/services/redirect/{name}"
    change = {"service_url": f"{proxying.url}{path}"}
    assert proxying.admin.put(f"/services/{name}", json=change).status_code == 200
    answer = call.get(path)
    assert "circles" in detail(answer, 502)


def test_a_body_that_is_too_large_is_refused(call, register):
    name = register()
    content = iter([bytes(1024 * 1024)] * 17)
    assert detail(call.post(f"/services/redirect/{name}", content=content), 413)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "10.0.0.1", "169.254.169.254", "2130706433"],
)
def test_defect_05_nothing_leads_into_private_networks_unless_it_may(
    as_admin, anonymous, fresh, host
):
    body = {
        "service_name": fresh("inside"),
        "service_title": "T",
        "owner_org": "services",
        "service_url": f"http://{host}:8000/",
    }
    assert as_admin.post("/services", json=body).status_code == 201
    answer = anonymous.get(f"/services/redirect/{body['service_name']}")
    assert "private network" in detail(answer, 403)


@pytest.mark.parametrize(
    ("address", "public", "private"),
    [
        ("93.184.216.34", True, True),
        ("2606:2800:220:1:248:1893:25c8:1946", True, True),
        ("127.0.0.1", False, True),
        ("::1", False, True),
        ("10.1.2.3", False, True),
        ("100.64.0.1", False, True),
        ("fd00::1", False, True),
        ("::ffff:10.1.2.3", False, True),
        ("64:ff9b::a01:203", False, True),
        ("2002:a01:203::1", False, True),
        ("169.254.169.254", False, False),
        ("fe80::1", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("0.0.0.0", False, False),
        ("224.0.0.1", False, False),
    ],
)
def test_which_addresses_are_reached(address, public, private):
    address = ipaddress.ip_address(address)
    assert reachable(address, private=False) is public
    assert reachable(address, private=True) is private


def test_user_names_in_an_address_are_not_sent():
    url = target("https://user:word@h.example.org/a#part", b"b", b"q=1")
    assert str(url) == "https://h.example.org/a/b?q=1"
