"""What is remembered of tokens: for how long, how much, and never the tokens themselves."""

import gc
import time

import pytest

from rexec_jupyter.auth import authenticator as module
from rexec_jupyter.auth.cache import ExpiringCache, Fingerprints
from rexec_jupyter.auth.errors import RefusedError, UnavailableError
from tests.endpoint.authentication import asking
from tests.endpoint.canary import MARK, secret
from tests.endpoint.identity_service import VALIDATION, IdentityService


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture(scope="module")
def identity():
    with IdentityService() as service:
        yield service


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that the caches of the next authenticator go by."""
    clock = Clock()
    monkeypatch.setattr(module, "ExpiringCache", lambda size: ExpiringCache(size, clock))
    return clock


@pytest.fixture
def ask(identity, clock):
    with asking(auth_api_url=identity.url) as authenticator:
        yield authenticator


def test_a_token_that_is_known_is_not_asked_for_again(identity, ask, clock):
    token = identity.token("viewer")
    before = identity.calls[VALIDATION]
    ask.identify(token)
    clock.now += 59
    ask.identify(token)
    assert identity.calls[VALIDATION] == before + 1


def test_after_its_time_a_token_is_asked_for_again(identity, ask, clock):
    person = identity.add("changing", roles=["ndp_viewer"])
    ask.identify(person.token)
    person.roles = ["ndp_writer"]
    clock.now += 61
    assert ask.identify(person.token).roles == {"ndp_writer"}


def test_a_token_that_is_known_survives_an_outage_but_not_for_long(identity, ask, clock):
    token = identity.token("viewer")
    ask.identify(token)
    with identity.down():
        assert ask.identify(token).username == "viewer"
        clock.now += 61
        with pytest.raises(UnavailableError):
            ask.identify(token)


def test_a_refusal_is_remembered_for_seconds_only(identity, ask, clock):
    person = identity.add("late")
    token, person.token = person.token, secret()
    before = identity.calls[VALIDATION]
    for _ in range(3):
        with pytest.raises(RefusedError):
            ask.identify(token)
    assert identity.calls[VALIDATION] == before + 1
    person.token = token
    clock.now += 6
    assert ask.identify(token).username == "late"


def test_an_outage_is_not_remembered(identity, ask):
    token = identity.add("lucky").token
    with identity.saying(500, ""), pytest.raises(UnavailableError):
        ask.identify(token)
    assert ask.identify(token).username == "lucky"


def test_without_a_time_nothing_is_remembered(identity):
    with asking(auth_api_url=identity.url, auth_cache_seconds=0) as ask:
        before = identity.calls[VALIDATION]
        for _ in range(2):
            ask.identify(identity.token("viewer"))
            with pytest.raises(RefusedError):
                ask.identify("unknown")
    assert identity.calls[VALIDATION] == before + 4


def test_a_signed_token_is_not_remembered_past_its_end_even_if_a_service_validates_it(
    identity, ask, clock
):
    person = identity.add("signed")
    person.token = identity.jwt("signed", exp=int(time.time()) + 50)
    before = identity.calls[VALIDATION]
    ask.identify(person.token)
    clock.now += 20
    ask.identify(person.token)
    assert identity.calls[VALIDATION] == before + 1
    clock.now += 31
    ask.identify(person.token)
    assert identity.calls[VALIDATION] == before + 2


@pytest.mark.parametrize("end", [0, -1, 1e300, "soon", True, [1]])
def test_a_token_that_lies_about_its_end_does_no_harm(identity, ask, end):
    person = identity.add("lying")
    person.token = identity.jwt("lying", exp=end) if isinstance(end, int) else secret()
    assert ask.identify(person.token).username == "lying"


def test_there_is_an_end_to_what_is_remembered(identity, monkeypatch):
    monkeypatch.setattr(module, "_MOST_REMEMBERED", 3)
    with asking(auth_api_url=identity.url) as ask:
        tokens = [identity.add(f"person-{number}").token for number in range(4)]
        for token in (*tokens[:3], tokens[0], tokens[3]):
            ask.identify(token)
        before = identity.calls[VALIDATION]
        for token in (tokens[0], tokens[2], tokens[3]):
            ask.identify(token)
        assert identity.calls[VALIDATION] == before
        ask.identify(tokens[1])
        assert identity.calls[VALIDATION] == before + 1


def test_refused_tokens_do_not_drive_out_valid_ones(identity, monkeypatch):
    monkeypatch.setattr(module, "_MOST_REMEMBERED", 2)
    monkeypatch.setattr(module, "_MOST_REFUSALS", 2)
    with asking(auth_api_url=identity.url) as ask:
        ask.identify(identity.token("viewer"))
        for _ in range(5):
            with pytest.raises(RefusedError):
                ask.identify(secret())
        before = identity.calls[VALIDATION]
        ask.identify(identity.token("viewer"))
        assert identity.calls[VALIDATION] == before


def test_no_token_stays_in_memory_of_the_authenticator(identity):
    with asking(auth_api_url=identity.url) as ask:
        ask.identify(identity.token("viewer"))
        with pytest.raises(RefusedError):
            ask.identify(secret())
        held = list(reachable(ask.authenticator))
    assert len(held) > 5
    assert not [text for text in held if MARK in text]


def reachable(root):
    """Yield every text that hangs on an object, through the objects of the auth module."""
    seen, waiting = set(), [root]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, str):
            yield thing
        elif isinstance(thing, bytes):
            yield thing.decode("latin-1")
        elif isinstance(thing, dict | list | tuple | set | frozenset) or type(
            thing
        ).__module__.startswith(("rexec_jupyter.auth", "collections", "builtins.mappingproxy")):
            waiting += gc.get_referents(thing)


def test_the_same_token_has_another_key_in_every_process():
    first, second = Fingerprints(), Fingerprints()
    assert first.of("token") == first.of("token")
    assert first.of("token") != second.of("token")
    assert first.of("token") != first.of("Token")
    assert len(first.of("x" * 20_000)) == 32
