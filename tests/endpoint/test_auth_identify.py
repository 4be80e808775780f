"""Whose token it is, by an identity service that works, fails, hangs or lies."""

import asyncio
import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from rexec_jupyter import auth
from rexec_jupyter.auth.errors import RefusedError, UnavailableError
from tests.endpoint.authentication import asking
from tests.endpoint.canary import MARK, secret
from tests.endpoint.identity_service import VALIDATION, IdentityService
from tests.endpoint.service import PATIENCE, until


@pytest.fixture(scope="module")
def identity():
    with IdentityService() as service:
        yield service


@pytest.fixture
def ask(identity):
    with asking(auth_api_url=identity.url, auth_timeout=30) as authenticator:
        yield authenticator


@pytest.fixture
def ask_briefly(identity):
    with asking(auth_api_url=identity.url, auth_timeout=0.2) as authenticator:
        yield authenticator


def calls(identity):
    return identity.calls[VALIDATION]


# What works


def test_a_valid_token_tells_everything_about_its_owner(identity, ask):
    person = identity.add("ann", roles=["ndp_writer"], groups=["/lab"], department="Hydrology")
    found = ask.identify(person.token)
    assert found.sub == "sub-of-ann"
    assert found.username == "ann"
    assert found.email == "ann@example.org"
    assert found.roles == {"ndp_writer"}
    assert found.groups == {"/lab"}
    assert found.claims["department"] == "Hydrology"


def test_the_identity_service_is_asked_as_its_contract_says(identity, ask):
    ask.identify(identity.token("viewer"))
    path, headers, body = identity.requests[-1]
    assert path == VALIDATION
    assert headers["Content-Type"] == "application/json"
    assert "Authorization" not in headers
    assert json.loads(body) == {"token": identity.token("viewer")}


def test_the_identifiers_for_the_catalog_come_from_the_subject(identity, ask):
    found = ask.identify(identity.add("known", sub="abc").token)
    assert found.user_id == "ba7816bf8f01cfea"
    assert found.creator_md5 == "900150983cd24fb0d6963f7d28e17f72"


@pytest.mark.parametrize(
    ("claims", "username"),
    [
        ({"username": "a", "preferred_username": "b"}, "a"),
        ({"preferred_username": "b"}, "b"),
        ({"username": "", "preferred_username": "b"}, "b"),
        ({"username": 7, "preferred_username": ["b"]}, ""),
        ({}, ""),
    ],
)
def test_the_name_is_that_of_the_account_else_the_preferred_one(identity, ask, claims, username):
    with identity.saying(body={"sub": "s"} | claims):
        assert ask.identify(secret()).username == username


def test_groups_may_be_texts_or_objects_with_a_path_or_a_name(identity, ask):
    listed = ["/a", {"path": "/b", "name": "x"}, {"name": "c"}, {"path": 3}, {}, 7, None, ""]
    with identity.saying(body={"sub": "s", "groups": listed}):
        assert ask.identify(secret()).groups == {"/a", "/b", "c"}


def test_what_is_no_text_among_the_roles_gives_no_right(identity, ask):
    with identity.saying(body={"sub": "s", "roles": ["ndp_viewer", 1, None, {"ndp_admin": 1}]}):
        assert ask.identify(secret()).roles == {"ndp_viewer"}


def test_only_roles_count_as_roles(identity, ask):
    more = {"realm_access": {"roles": ["ndp_admin"]}, "role": "ndp_admin", "Roles": ["ndp_admin"]}
    with identity.saying(body={"sub": "s"} | more):
        assert ask.identify(secret()).roles == frozenset()


def test_secrets_that_the_identity_service_sends_along_are_removed(identity, ask):
    token = secret()
    body = {
        "sub": "s",
        "access_token": secret(),
        "token": token,
        "nested": {"Refresh-Token": secret(), "kept": 1, "list": [{"password": secret()}, token]},
        "note": f"for {token}",
        token: "as a name",
    }
    with identity.saying(body=body):
        found = ask.identify(token)
    assert MARK not in json.dumps(dict(found.claims))
    assert found.claims["nested"]["kept"] == 1


def test_what_python_shows_of_an_identity_has_no_claims(identity, ask):
    assert "claims" not in repr(ask.identify(identity.token("viewer")))


# What is refused


def test_an_unknown_token_is_refused(ask):
    with pytest.raises(RefusedError, match="Invalid or expired token"):
        ask.identify(secret("unknown"))


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (401, {"error": "no"}, "Invalid or expired token"),
        (401, "<html>", "Invalid or expired token"),
        (403, {}, "Token does not have sufficient permissions"),
        (200, {"error": "revoked", "sub": "s"}, "Invalid token: revoked"),
        (200, {"error": None, "sub": "s"}, "Invalid token"),
        (200, {"error": {"code": 1}, "sub": "s"}, "Invalid token"),
        (200, {"username": "x", "roles": ["ndp_admin"]}, "does not say whose it is"),
        (200, {"sub": None, "roles": ["ndp_admin"]}, "does not say whose it is"),
        (200, {}, "does not say whose it is"),
    ],
)
def test_a_refusal_is_told_as_one(identity, ask, status, body, text):
    with identity.saying(status, body), pytest.raises(RefusedError, match=text):
        ask.identify(secret())


def test_defect_11_nobody_without_a_subject_is_let_in(identity, ask):
    ghost = {"roles": ["ndp_admin"], "username": "ghost"}
    with identity.saying(body=ghost), pytest.raises(RefusedError):
        ask.identify(secret())


@pytest.mark.parametrize(
    "token", ["", " ", "two words", "line\nbreak", "nul\0", "schlüssel", "x" * 20_000]
)
def test_what_cannot_be_a_token_is_refused_without_asking(identity, ask, token):
    before = calls(identity)
    with pytest.raises(RefusedError):
        ask.identify(token)
    assert calls(identity) == before


def test_a_reason_is_shown_short_and_without_the_token(identity, ask):
    token = secret()
    reason = f"the token {token}\r\nX-Injected: 1 " + "ä" * 5000
    with identity.saying(body={"error": reason}), pytest.raises(RefusedError) as refusal:
        ask.identify(token)
    text = str(refusal.value)
    assert MARK not in text
    assert len(text) < 300
    assert text.isprintable()


# What cannot be known


@pytest.mark.parametrize("status", [500, 502, 503, 504, 404, 400, 418, 429, 302, 204, 201])
def test_any_other_answer_is_an_outage(identity, ask, status):
    elsewhere = {"Location": identity.url} if status == 302 else {}
    with identity.saying(status, "", **elsewhere), pytest.raises(UnavailableError) as outage:
        ask.identify(secret())
    assert outage.value.retry_after >= 1


def test_a_token_does_not_follow_a_redirect(identity, ask):
    before = len(identity.requests)
    elsewhere = f"{identity.issuer}/elsewhere"
    with identity.saying(307, "", Location=elsewhere), pytest.raises(UnavailableError):
        ask.identify(secret())
    assert [path for path, *_ in identity.requests[before:]] == [VALIDATION]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html><body>Bad gateway</body></html>",
        "[]",
        "null",
        '"sub"',
        "7",
        '{"sub": "s"',
        b'\xff\xfe{"sub": "s"}',
        '{"sub": "\\ud800"}',
        '{"sub": NaN}',
        '{"sub": "s", "load": 1e999}',
        "[" * 100_000,
        '{"sub": "s", "deep": ' + "[" * 900 + "]" * 900 + "}",
        '{"sub": "s", "deep": ' + "[" * 40 + "]" * 40 + "}",
        {"sub": ""},
        {"sub": "   "},
        {"sub": 7},
        {"sub": ["s"]},
        {"sub": {"id": "s"}},
        {"sub": True},
        {"sub": "s\0"},
        {"sub": "s\n"},
        {"sub": "s" * 300},
        {"sub": "s", "roles": "ndp_admin"},
        {"sub": "s", "roles": {"ndp_admin": True}},
        {"sub": "s", "roles": 1},
        {"sub": "s", "groups": "lab"},
        {"sub": "s", "groups": {"path": "/lab"}},
    ],
    ids=lambda body: str(body)[:30],
)
def test_an_answer_that_makes_no_sense_is_an_outage_and_gives_no_right(identity, ask, body):
    with identity.saying(body=body), pytest.raises(UnavailableError):
        ask.identify(secret())


def test_an_endless_answer_is_an_outage(identity, ask):
    with identity.endless(), pytest.raises(UnavailableError, match="too long"):
        ask.identify(secret())


def test_a_service_that_is_down_is_an_outage_until_it_is_back(identity, ask):
    with identity.down(), pytest.raises(UnavailableError, match="cannot be reached"):
        ask.identify(identity.token("viewer"))
    assert ask.identify(identity.token("viewer")).username == "viewer"


def test_a_connection_that_was_closed_meanwhile_is_opened_again(identity, ask):
    ask.identify(identity.token("viewer"))
    with identity.down():
        pass
    assert ask.identify(identity.token("writer")).username == "writer"


def test_a_service_that_hangs_up_is_an_outage(identity, ask):
    with identity.hanging_up(), pytest.raises(UnavailableError):
        ask.identify(secret())


def test_a_service_that_hangs_is_not_waited_for(identity, ask_briefly):
    with identity.slow(), pytest.raises(UnavailableError, match="too long to answer"):
        ask_briefly.identify(secret())

    def identified():
        with contextlib.suppress(UnavailableError):  # so brief a wait may be too brief
            return ask_briefly.identify(identity.token("viewer"))

    assert until(identified, "an answer in time").username == "viewer"


def test_the_wait_that_the_service_asks_for_is_passed_on(identity, ask):
    with identity.saying(429, "", Retry_After="30"), pytest.raises(UnavailableError) as outage:
        ask.identify(secret())
    assert outage.value.retry_after == 30


@pytest.mark.parametrize("wait", ["soon", "-5", "1e9", "9" * 5000, "0", ""])
def test_a_wait_that_makes_no_sense_is_bounded(identity, ask, wait):
    with identity.saying(503, "", Retry_After=wait), pytest.raises(UnavailableError) as outage:
        ask.identify(secret())
    assert 1 <= outage.value.retry_after <= 3600


def test_without_any_configuration_no_token_is_accepted(identity):
    with asking() as authenticator:
        for token in (identity.token("admin"), "testing_token"):
            with pytest.raises(UnavailableError, match="AUTH_API_URL"):
                authenticator.identify(token)


# Many at once


def test_one_token_in_many_requests_at_once_is_asked_for_once(identity, ask):
    person = identity.add("many")
    before = calls(identity)

    async def all_at_once(authenticator):
        return await asyncio.gather(*(authenticator.identify(person.token) for _ in range(50)))

    assert {found.username for found in ask.run(all_at_once)} == {"many"}
    assert calls(identity) == before + 1


def test_a_refusal_reaches_everybody_who_waited_for_it(identity, ask):
    token = secret()
    before = calls(identity)

    async def all_at_once(authenticator):
        asked = (authenticator.identify(token) for _ in range(20))
        return await asyncio.gather(*asked, return_exceptions=True)

    assert all(isinstance(one, RefusedError) for one in ask.run(all_at_once))
    assert calls(identity) == before + 1


def test_whoever_leaves_takes_the_answer_from_nobody(identity, ask):
    person = identity.add("patient")

    async def one_leaves(authenticator, go_on):
        first = asyncio.create_task(authenticator.identify(person.token))
        second = asyncio.create_task(authenticator.identify(person.token))
        await asyncio.to_thread(go_on.arrived.wait, PATIENCE)
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
        assert first.cancelled()
        go_on.set()
        return await second

    before = calls(identity)
    with identity.slow() as go_on:
        assert ask.run(one_leaves, go_on).username == "patient"
    assert calls(identity) == before + 1


def test_different_tokens_do_not_wait_for_each_other(identity, ask):
    waiting, known = identity.add("waiting"), identity.add("cached")
    ask.identify(known.token)

    async def both(authenticator, go_on):
        slow = asyncio.create_task(authenticator.identify(waiting.token))
        await asyncio.to_thread(go_on.arrived.wait, PATIENCE)
        quick = await authenticator.identify(known.token)
        assert not slow.done()
        go_on.set()
        return quick, await slow

    with identity.slow() as go_on:
        quick, slow = ask.run(both, go_on)
    assert (quick.username, slow.username) == ("cached", "waiting")


def test_closing_tells_those_who_wait(identity):
    async def close_while_waiting(authenticator, go_on):
        waiting = asyncio.create_task(authenticator.identify(secret()))
        await asyncio.to_thread(go_on.arrived.wait, PATIENCE)
        await authenticator.close()
        with pytest.raises(UnavailableError, match="closing"):
            await waiting

    with asking(auth_api_url=identity.url) as authenticator, identity.slow() as go_on:
        authenticator.run(close_while_waiting, go_on)


# Logging in


def test_a_login_returns_what_the_identity_service_gives(identity, ask):
    given = ask.login("writer", identity.password("writer"))
    assert given == {
        "access_token": identity.token("writer"),
        "token_type": "Bearer",
        "expires_in": 300,
    }


def test_a_wrong_password_is_refused(identity, ask):
    with pytest.raises(RefusedError, match="Invalid username or password"):
        ask.login("writer", secret())


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"error": "Account locked"}, "Account locked"),
        ({"detail": "Account disabled"}, "Account disabled"),
        ({"error": ["no"], "detail": 7}, "Invalid username or password"),
        ("<html>", "Invalid username or password"),
        ([], "Invalid username or password"),
    ],
)
def test_the_reason_of_a_refused_login_is_shown(identity, ask, status, body, text):
    with identity.saying(status, body), pytest.raises(RefusedError, match=text):
        ask.login("writer", secret())


def test_the_reason_of_a_refused_login_does_not_repeat_the_password(identity, ask):
    password = secret()
    said = {"error": f"{password!r} is wrong"}
    with identity.saying(401, said), pytest.raises(RefusedError) as refusal:
        ask.login("writer", password)
    assert MARK not in str(refusal.value)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, {}),
        (404, {}),
        (200, "<html>"),
        (200, []),
        (200, {}),
        (200, {"access_token": ""}),
        (200, {"access_token": None}),
        (200, {"access_token": {"x": 1}}),
    ],
)
def test_a_login_without_a_token_is_an_outage(identity, ask, status, body):
    with identity.saying(status, body), pytest.raises(UnavailableError):
        ask.login("writer", identity.password("writer"))


def test_a_login_says_what_to_configure_if_there_is_no_identity_service():
    with asking() as authenticator, pytest.raises(UnavailableError, match="AUTH_API_URL"):
        authenticator.login("writer", secret())


# Settings


@pytest.mark.parametrize("url", ["idp.example.org", "ftp://idp.example.org/x", "https://", "/x"])
def test_an_address_that_is_none_is_refused_at_once(url):
    with pytest.raises(ValueError, match="begins with http"):
        asking(auth_api_url=url).__enter__()


def test_an_address_holds_no_password():
    password = secret()
    with pytest.raises(ValueError, match="must not hold a name or password") as error:
        asking(auth_api_url=f"https://me:{password}@idp.example.org/").__enter__()
    assert MARK not in str(error.value)


def test_a_service_that_is_no_web_application_needs_no_framework():
    modules = [path.stem for path in Path(auth.__path__[0]).glob("*.py")]
    modules.remove("dependencies")
    assert "authenticator" in modules
    program = "".join(f"import rexec_jupyter.auth.{name}\n" for name in modules)
    program += "import sys; sys.exit('fastapi' in sys.modules or 'starlette' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
