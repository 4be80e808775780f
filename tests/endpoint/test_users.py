"""Who the caller is, logging in, and asking for access, over HTTP."""

import concurrent.futures
import hashlib

import pytest

from tests.endpoint.canary import MARK, secret, watch
from tests.endpoint.identity_service import VALIDATION, IdentityService
from tests.endpoint.service import Endpoint, until

REQUESTS = "/user/access-requests"


@pytest.fixture
def person(identity, fresh):
    """Return a function that makes somebody known to the identity service."""
    return lambda **given: identity.add(fresh("person"), **given)


@pytest.fixture
def client(endpoint):
    """Return a function that returns a client of somebody."""
    with_ = []

    def client(person):
        with_.append(endpoint.client(person.token))
        return with_[-1]

    yield client
    for one in with_:
        one.close()


def detail(answer, status):
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) >= {"error", "detail", "correlation_id", "timestamp", "path"}
    assert isinstance(body["detail"], str)
    return body["detail"]


# Who the caller is


def test_the_information_is_what_the_identity_service_says_and_what_it_means_here(person, client):
    ann = person(roles=["ndp_writer"], groups=["/lab"], department="Hydrology")
    answer = client(ann).get("/user/info")
    assert answer.status_code == 200
    assert answer.json() == ann.claims | {
        "ndp_user_id": hashlib.sha256(ann.sub.encode()).hexdigest()[:16],
        "effective_role": "writer",
    }
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("roles", "role"),
    [
        (["ndp_admin"], "admin"),
        (["ndp_viewer", "ndp_editor"], "writer"),
        (["ndp_viewer"], "viewer"),
        (["group:elsewhere:admin"], "none"),
        ([], "none"),
    ],
)
def test_the_role_is_the_one_that_counts_here(person, client, roles, role):
    assert client(person(roles=roles)).get("/user/info").json()["effective_role"] == role


def test_what_the_identity_service_says_is_not_overridden(person, client):
    ann = person(effective_role="captain", ndp_user_id="7")
    found = client(ann).get("/user/info").json()
    assert (found["effective_role"], found["ndp_user_id"]) == ("captain", "7")


def test_secrets_that_the_identity_service_sends_along_are_not_shown(person, client):
    ann = person(refresh_token=secret(), nested={"password": secret()})
    answer = client(ann).get("/user/info")
    assert answer.status_code == 200
    assert MARK not in answer.text


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Basic abc", "token", "Bearer a b", "Bearer \xff"]
)
def test_without_a_token_nothing_is_told(anonymous, header):
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    answer = anonymous.get("/user/info", headers=headers)
    detail(answer, 401)
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_the_name_of_the_scheme_may_be_written_in_any_case(anonymous, identity):
    headers = {"Authorization": f"bEaReR {identity.token('viewer')}"}
    assert anonymous.get("/user/info", headers=headers).status_code == 200


def test_an_invalid_token_is_refused(endpoint):
    with endpoint.client(secret("invalid")) as client:
        answer = client.get("/user/info")
    assert detail(answer, 401) == "Invalid or expired token"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_defect_11_a_token_without_a_subject_is_refused(identity, person, client):
    ghost = person(roles=["ndp_admin"])
    ghost.sub = None
    detail(client(ghost).get("/user/info"), 401)
    detail(client(ghost).post("/organization", json={"name": "x", "title": "x"}), 401)


# Logging in: two forms of one thing


@pytest.fixture(params=["json", "form"])
def login(request, anonymous):
    """Log in, by either route."""

    def login(**given):
        if request.param == "json":
            return anonymous.post("/user/login", json=given)
        return anonymous.post("/token", data=given)

    return login


def test_a_login_returns_what_the_identity_service_gives(identity, login):
    answer = login(username="writer", password=identity.password("writer"))
    assert answer.status_code == 200
    assert answer.json() == {
        "access_token": identity.token("writer"),
        "token_type": "Bearer",
        "expires_in": 300,
    }
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_wrong_password_is_a_401(login):
    assert detail(login(username="writer", password=secret()), 401) == (
        "Invalid username or password"
    )


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"username": "writer"},
        {"password": "x"},
        {"username": "", "password": "x"},
        {"username": "writer", "password": ""},
        {"username": "x" * 501, "password": "x"},
    ],
)
def test_a_login_needs_both(login, given):
    detail(login(**given), 422)


def test_a_password_that_is_too_long_is_not_repeated(login):
    answer = login(username="writer", password=secret() * 500)
    detail(answer, 422)
    assert MARK not in answer.text


@pytest.mark.parametrize("password", ["schlüssel ☃ 🌧", "' OR 1=1 --", "\n\t", "a&b=c%20"])
def test_a_password_is_passed_on_as_it_is(identity, login, person, password):
    ann = person()
    ann.password = password + MARK
    answer = login(username=ann.username, password=ann.password)
    assert answer.status_code == 200, answer.text


def test_what_is_no_json_is_no_login(anonymous):
    headers = {"Content-Type": "application/json"}
    answer = anonymous.post("/user/login", content=b'{"username": ', headers=headers)
    detail(answer, 422)


# An endpoint of its own, whose identity service fails


@pytest.fixture(scope="module")
def failing():
    with IdentityService() as service:
        yield service


def starting(directory, failing, **more):
    """Return an endpoint that remembers nobody and lets three logins fail."""
    watch(directory)
    settings = {
        "AUTH_API_URL": failing.url,
        "REXEC_EP_AUTH_TIMEOUT": "60",
        "REXEC_EP_AUTH_CACHE_SECONDS": "0",
        "REXEC_EP_LOGIN_FAILURES": "3",
        "ENABLE_GROUP_BASED_ACCESS": "True",
        "GROUP_NAMES": "/ndp_ep/ep-1, lab",
    }
    return Endpoint(directory, settings | more)


@pytest.fixture(scope="module")
def hurt(failing, tmp_path_factory):
    """Such an endpoint."""
    with starting(tmp_path_factory.mktemp("hurt"), failing) as running:
        yield running


@pytest.fixture(scope="module")
def hasty(failing, tmp_path_factory):
    """One that does not wait long for the identity service."""
    brief = {"REXEC_EP_AUTH_TIMEOUT": "0.3"}
    with starting(tmp_path_factory.mktemp("hasty"), failing, **brief) as running:
        yield running


FAULTS = {
    "down": lambda service: service.down(),
    "slow": lambda service: service.slow(),
    "hangs up": lambda service: service.hanging_up(),
    "endless": lambda service: service.endless(),
    "500": lambda service: service.saying(500, "oops"),
    "html": lambda service: service.saying(200, "<html>", "text/html"),
    "empty": lambda service: service.saying(200, ""),
    "list": lambda service: service.saying(200, []),
    "no texts": lambda service: service.saying(200, {"sub": {"$ne": 1}, "access_token": 7}),
    "surrogates": lambda service: service.saying(200, '{"sub": "\\ud800", "access_token": 1}'),
    "deep": lambda service: service.saying(
        200, '{"sub": "x", "a": ' + "[" * 5000 + "]" * 5000 + "}"
    ),
}


@pytest.fixture(params=FAULTS)
def fault(request):
    return request.param


@pytest.fixture
def struck(fault, request):
    """The endpoint that such a fault happens to."""
    return request.getfixturevalue("hasty" if fault == "slow" else "hurt")


def test_an_identity_service_that_fails_is_a_503_and_nobody_else_suffers(failing, struck, fault):
    with struck.client(failing.token("admin")) as client, FAULTS[fault](failing):
        answer = client.get("/user/info")
        assert detail(answer, 503).startswith("Authentication service")
        assert int(answer.headers["Retry-After"]) >= 1
        login = {"username": "admin", "password": failing.password("admin")}
        answer = client.post("/user/login", json=login)
        assert detail(answer, 503).startswith("Authentication service")
        assert client.get("/health").status_code == 200
        # What everybody may see does not need to know who asks.
        assert client.get("/organization").json() == ["services"]
    with struck.client(failing.token("admin")) as client:
        # Who does not wait long may have to ask more than once.
        until(lambda: client.get("/user/info").status_code == 200, "the identity service")


def test_nothing_is_written_while_it_is_not_known_who_writes(failing, struck, fault, fresh):
    name = fresh("half")
    with struck.client(failing.token("admin")) as client:
        with FAULTS[fault](failing):
            answer = client.post("/organization", json={"name": name, "title": "x"})
            detail(answer, 503)
        assert name not in client.get("/organization").json()


def test_defect_08_guessing_passwords_is_slowed_down(failing, hurt):
    wrong = {"username": "writer", "password": secret()}
    with hurt.client() as client:
        answers = [client.post("/user/login", json=wrong) for _ in range(3)]
        answers.append(client.post("/token", data=wrong))
        right = {"username": "writer", "password": failing.password("writer")}
        answers.append(client.post("/user/login", json=right))
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
    assert "Try again in" in detail(answers[3], 429)
    assert 1 <= int(answers[3].headers["Retry-After"]) <= 60


@pytest.mark.parametrize(
    ("roles", "groups", "info", "rexec", "write"),
    [
        (["ndp_admin"], [], 200, 404, 201),
        (["group:ndp_ep/ep-1:editor"], ["/ndp_ep/ep-1"], 200, 404, 201),
        (["group:ndp_ep/ep-1:viewer"], ["/NDP_EP/EP-1"], 200, 403, 403),
        (["ndp_writer"], ["elsewhere"], 403, 403, 403),
        ([], ["lab"], 200, 403, 403),
    ],
)
def test_the_gate_and_the_tiers_hold_over_http(
    failing, hurt, fresh, roles, groups, info, rexec, write
):
    name = fresh("person")
    person = failing.add(name, roles=roles, groups=groups)
    with hurt.client(person.token) as client:
        assert client.get("/user/info").status_code == info
        # This endpoint has no remote execution, which only writers are told.
        assert client.get("/status/rexec").status_code == rexec
        assert client.get("/status/").status_code == 200
        body = {"name": name, "title": "x"}
        assert client.post("/organization", json=body).status_code == write


def test_defect_08_no_other_way_in_is_open_and_no_other_site_gets_one(failing, hurt):
    origin = {"Origin": "https://elsewhere.example.org"}
    asking = origin | {"Access-Control-Request-Method": "POST"}
    with hurt.client() as client:
        assert client.post("/mcp", json={"method": "initialize"}).status_code == 404
        for answer in (
            client.get("/status/", headers=origin),
            client.options("/user/login", headers=asking),
        ):
            assert not [name for name in answer.headers if name.startswith("access-control")]


def test_defect_09_the_log_tells_neither_groups_nor_who_was_refused(failing, hurt, fresh):
    group, name = fresh("group"), fresh("person")
    person = failing.add(name, roles=["ndp_writer"], groups=[group])
    with hurt.client(person.token) as client:
        detail(client.get("/user/info"), 403)
        detail(client.post("/organization", json={"name": name, "title": "x"}), 403)
        path = f"/{fresh('marker')}"
        client.get(path)
    until(lambda: path in hurt.log.read_text(), "the log of the last request")
    written = hurt.log.read_text()
    for secret_ in (group, name, person.sub, person.token):
        assert secret_ not in written


def test_a_token_in_many_requests_is_asked_for_once(identity, endpoint, person):
    ann = person()
    before = identity.calls[VALIDATION]
    with endpoint.client(ann.token) as client:
        assert client.get("/user/info").status_code == 200
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: client.get("/user/info"), range(40)))
    assert {answer.status_code for answer in answers} == {200}
    assert identity.calls[VALIDATION] == before + 1


# Asking for access


@pytest.fixture
def asked(person, client):
    """Somebody who has asked for access, and the request."""
    ann = person()
    answer = client(ann).post(REQUESTS, json={"justification": "I register gauges ☔."})
    assert answer.status_code == 201, answer.text
    return ann, answer.json()


def test_a_request_tells_who_asks_and_waits(asked):
    ann, request = asked
    created = request.pop("created_at")
    assert created.endswith("Z")
    assert request.pop("id")
    assert request == {
        "user_sub": ann.sub,
        "username": ann.username,
        "email": f"{ann.username}@example.org",
        "status": "pending",
        "justification": "I register gauges ☔.",
        "decided_at": None,
        "decided_by_sub": None,
        "decided_by_username": None,
        "grant_type": None,
        "decision_notes": None,
    }


def test_nobody_asks_twice_at_a_time(asked, client):
    ann, _ = asked
    assert "already have a pending" in detail(client(ann).post(REQUESTS, json={}), 409)


def test_many_requests_at_once_become_one(endpoint, person):
    ann = person()
    with endpoint.client(ann.token) as client, concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post(REQUESTS, json={}), range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


def test_somebody_without_a_name_cannot_be_given_access(person, client):
    ghost = person()
    ghost.username = ""
    assert "Cannot identify" in detail(client(ghost).post(REQUESTS, json={}), 400)


@pytest.mark.parametrize(
    "body", [{"justification": "x" * 2001}, {"justification": 7}, {"justification": "\0"}, [], None]
)
def test_a_request_that_is_not_as_it_should_be_is_a_422(person, client, body):
    detail(client(person()).post(REQUESTS, json=body), 422)


def test_requests_are_listed_for_administrators_the_newest_first(
    asked, person, client, as_admin, as_writer
):
    _, first = asked
    second = client(person()).post(REQUESTS, json={}).json()
    listed = [one["id"] for one in as_admin.get(REQUESTS).json()]
    assert listed.index(second["id"]) < listed.index(first["id"])
    assert detail(as_writer.get(REQUESTS), 403) == "Administrator role required."


def test_an_approval_is_granted_by_the_identity_service_and_recorded(
    identity, granting, as_granting_admin
):
    ann = identity.add(f"{granting.name}-ann")
    with granting.client(ann.token) as client:
        request = client.post(REQUESTS, json={}).json()
    body = {"grant_type": "writer", "notes": "Welcome."}
    answer = as_granting_admin.post(f"{REQUESTS}/{request['id']}/approve", json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["status"] == "approved"
    assert found["grant_type"] == "writer"
    assert found["decision_notes"] == "Welcome."
    assert found["decided_by_username"] == "admin"
    assert found["decided_at"] >= found["created_at"]
    assert ann.groups == ["/ep-7"]
    assert ann.roles == ["group:ep-7:writer"]
    with granting.client(ann.token) as client:
        body = {"name": f"{granting.name}-lab", "title": "Now I may"}
        assert client.post("/organization", json=body).status_code == 201
    listed = as_granting_admin.get(REQUESTS, params={"status": "approved"}).json()
    assert [one["id"] for one in listed] == [request["id"]]
    again = as_granting_admin.post(f"{REQUESTS}/{request['id']}/approve", json=found)
    assert "already approved" in detail(again, 409)


@pytest.fixture(scope="module")
def granting(identity, tmp_path_factory):
    """An endpoint that has a group of its own, and remembers nobody."""
    directory = tmp_path_factory.mktemp("granting")
    settings = {
        "AUTH_API_URL": identity.url,
        "AFFINITIES_EP_UUID": "ep-7",
        "ENABLE_ACCESS_REQUESTS": "true",
        "REXEC_EP_AUTH_CACHE_SECONDS": "0",
    }
    with Endpoint(directory, settings) as running:
        running.name = "granting"
        yield running


@pytest.fixture
def as_granting_admin(identity, granting):
    with granting.client(identity.token("admin")) as client:
        yield client


@pytest.mark.parametrize("kind", ["viewer", "member"])
def test_who_becomes_a_member_gets_no_role(identity, granting, as_granting_admin, kind, fresh):
    ann = identity.add(fresh("person"))
    with granting.client(ann.token) as client:
        request = client.post(REQUESTS, json={}).json()
    path = f"{REQUESTS}/{request['id']}/approve"
    assert as_granting_admin.post(path, json={"grant_type": kind}).status_code == 200
    assert (ann.groups, ann.roles) == (["/ep-7"], [])


def test_what_the_identity_service_does_not_grant_stays_pending(
    identity, granting, as_granting_admin, fresh
):
    # Somebody administers this endpoint, but not the group at the identity service.
    local = identity.add(fresh("person"), roles=["group:ep-7:admin"])
    ann = identity.add(fresh("person"))
    with granting.client(ann.token) as client:
        request = client.post(REQUESTS, json={}).json()
    path = f"{REQUESTS}/{request['id']}/approve"
    with granting.client(local.token) as client:
        answer = client.post(path, json={"grant_type": "writer"})
        assert detail(answer, 403) == "You do not administer this group."
    pending = as_granting_admin.get(REQUESTS).json()
    assert request["id"] in [one["id"] for one in pending]
    assert as_granting_admin.post(path, json={"grant_type": "writer"}).status_code == 200


def test_without_a_group_nothing_can_be_granted(asked, as_admin):
    _, request = asked
    answer = as_admin.post(f"{REQUESTS}/{request['id']}/approve", json={"grant_type": "viewer"})
    assert "AFFINITIES_EP_UUID" in detail(answer, 503)


def test_a_rejection_is_recorded_and_one_may_ask_again(asked, client, as_admin):
    ann, request = asked
    path = f"{REQUESTS}/{request['id']}/reject"
    answer = as_admin.post(path, json={"notes": "Ask your lab."})
    assert answer.status_code == 200
    assert answer.json()["status"] == "rejected"
    assert answer.json()["decision_notes"] == "Ask your lab."
    assert answer.json()["grant_type"] is None
    assert "already rejected" in detail(as_admin.post(path, json={}), 409)
    assert client(ann).post(REQUESTS, json={}).status_code == 201
    everything = as_admin.get(REQUESTS, params={"status": "all"}).json()
    assert [one["status"] for one in everything if one["user_sub"] == ann.sub] == [
        "pending",
        "rejected",
    ]


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_only_administrators_decide_and_only_about_what_exists(asked, as_writer, as_admin, verb):
    _, request = asked
    body = {"grant_type": "viewer"}
    detail(as_writer.post(f"{REQUESTS}/{request['id']}/{verb}", json=body), 403)
    for unknown in ("none", "00000000-0000-0000-0000-000000000000", "' OR 1=1 --"):
        detail(as_admin.post(f"{REQUESTS}/{unknown}/{verb}", json=body), 404)


def test_what_can_be_granted_is_known(asked, as_admin):
    _, request = asked
    path = f"{REQUESTS}/{request['id']}/approve"
    for body in ({}, {"grant_type": "owner"}, {"grant_type": None}):
        detail(as_admin.post(path, json=body), 422)


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", ""), ("POST", "/x/reject")])
def test_an_endpoint_that_takes_no_requests_says_so(failing, hurt, method, path):
    with hurt.client(failing.token("admin")) as client:
        answer = client.request(method, f"{REQUESTS}{path}", json={})
        assert "ENABLE_ACCESS_REQUESTS" in detail(answer, 503)
