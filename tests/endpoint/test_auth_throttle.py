"""Guessing passwords is slowed down, and nobody else is."""

import pytest

from rexec_jupyter.auth import throttle as module
from rexec_jupyter.auth.errors import RefusedError, UnavailableError
from rexec_jupyter.auth.throttle import LoginThrottle, TooManyError


class Door:
    """A throttle, and a clock that tests turn."""

    def __init__(self):
        self.now = 1000.0
        self.throttle = LoginThrottle(3, lambda: self.now)

    def login(self, address="192.0.2.1", error=RefusedError):
        try:
            with self.throttle.attempt(address):
                if error:
                    raise error("no")
        except (RefusedError, UnavailableError):
            return False
        return True


@pytest.fixture
def door():
    return Door()


def test_after_some_failures_nothing_is_let_through_for_a_while(door):
    for _ in range(3):
        assert not door.login()
        door.now += 10
    with pytest.raises(TooManyError, match="Try again in 30 seconds") as error:
        door.login(error=None)
    assert error.value.retry_after == 30
    door.now += 30
    assert door.login(error=None)


def test_logins_that_succeed_do_not_count(door):
    assert all(door.login(error=None) for _ in range(100))


def test_a_failing_identity_service_does_not_count(door):
    assert not any(door.login(error=UnavailableError) for _ in range(100))
    assert door.login(error=None)


def test_a_success_does_not_wipe_out_failures(door):
    for _ in range(3):
        door.login()
        door.now += 1
        if _ < 2:
            door.login(error=None)
    with pytest.raises(TooManyError):
        door.login(error=None)


def test_many_at_once_do_not_pass_before_they_fail(door):
    attempts = [door.throttle.attempt("192.0.2.1") for _ in range(4)]
    for attempt in attempts[:3]:
        attempt.__enter__()
    with pytest.raises(TooManyError):
        attempts[3].__enter__()
    for attempt in attempts[:3]:
        attempt.__exit__(None, None, None)
    assert door.login(error=None)


@pytest.mark.parametrize(
    ("address", "same"),
    [
        ("192.0.2.2", False),
        ("::ffff:192.0.2.1", True),
        ("2001:db8::1", False),
        ("", False),
        ("unix", False),
    ],
)
def test_one_address_does_not_count_for_another(door, address, same):
    for _ in range(3):
        door.login()
    if same:
        with pytest.raises(TooManyError):
            door.login(address)
    else:
        assert not door.login(address)


def test_a_network_of_ipv6_counts_as_one_address(door):
    for last in range(3):
        door.login(f"2001:db8:0:1::{last}")
    with pytest.raises(TooManyError):
        door.login("2001:db8:0:1:ffff::")
    assert not door.login("2001:db8:0:2::1")


def test_there_is_an_end_to_what_is_counted(door, monkeypatch):
    monkeypatch.setattr(module, "_MOST_ADDRESSES", 10)
    for number in range(50):
        door.login(f"192.0.2.{number}")
    assert len(door.throttle._counted) <= 10
