"""Development mode: off by default, loud when it is on, and closed to others."""

import logging
import os

import pytest

from rexec_jupyter.auth import development as module
from rexec_jupyter.auth.authenticator import Authenticator
from rexec_jupyter.auth.development import Development, DevelopmentError
from rexec_jupyter.auth.errors import RefusedError, UnavailableError
from rexec_jupyter.auth.roles import Access
from tests.endpoint.authentication import asking, settings
from tests.endpoint.canary import MARK, secret
from tests.endpoint.identity_service import VALIDATION, IdentityService


@pytest.fixture(scope="module")
def identity():
    with IdentityService() as service:
        yield service


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "token"
    path.write_text(secret() + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.DEBUG)
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


def loud(lines):
    return [text for level, text in lines if level == "WARNING" and "DEVELOPMENT MODE" in text]


def test_by_default_nobody_gets_in_and_nothing_is_said(said):
    with asking() as ask:
        for token in ("testing_token", "", "test", "None"):
            with pytest.raises((RefusedError, UnavailableError)):
                ask.identify(token)
    assert not loud(said())


def test_defect_02_no_token_that_everybody_knows_opens_anything(identity):
    with asking(auth_api_url=identity.url) as ask, pytest.raises(RefusedError):
        ask.identify("testing_token")


def test_a_test_token_alone_opens_nothing_and_that_is_said(identity, said):
    token = secret()
    given = {"auth_api_url": identity.url, "test_token": token}
    with asking(**given) as ask, pytest.raises(RefusedError):
        ask.identify(token)
    lines = said()
    assert not loud(lines)
    assert [text for level, text in lines if level == "WARNING" and "TEST_TOKEN" in text]


def test_a_test_token_in_development_mode_may_do_everything_and_that_is_loud(said):
    token = secret()
    given = {"development": True, "test_token": token}
    with asking(**given) as ask:
        assert len(loud(said())) == 1
        found = ask.identify(token)
    assert (found.sub, found.username, found.groups) == ("test_user", "Test User", frozenset())
    rules = Access(settings(**given, enable_group_based_access=True))
    rules.admin(found)
    rules.writer(found)
    assert len(loud(said())) == 2


def test_its_use_is_told_once_a_minute(said):
    now = [0.0]
    token = secret()
    known = Development(settings(development=True, test_token=token), lambda: now[0])
    for seconds in (0, 1, 59, 60, 61, 119, 120):
        now[0] = float(seconds)
        assert known.identity(token)
    assert len(loud(said())) == 1 + 3


def test_the_token_of_a_file_opens_everything(token_file):
    with asking(development=True, development_token_file=token_file) as ask:
        found = ask.identify(token_file.read_text().strip())
        assert found.sub == "local_user"
        assert found.roles == {"ndp_admin"}
        with pytest.raises(UnavailableError):
            ask.identify(secret())


def test_other_tokens_are_still_asked_for(identity, token_file):
    with asking(
        auth_api_url=identity.url, development=True, development_token_file=token_file
    ) as ask:
        before = identity.calls[VALIDATION]
        assert ask.identify(identity.token("viewer")).roles == {"ndp_viewer"}
        assert identity.calls[VALIDATION] == before + 1
        ask.identify(token_file.read_text().strip())
        assert identity.calls[VALIDATION] == before + 1


@pytest.mark.parametrize("change", ["cut", "longer", "case", "empty"])
def test_only_the_whole_token_opens(token_file, change):
    token = token_file.read_text().strip()
    wrong = {"cut": token[:-1], "longer": f"{token}x", "case": token.swapcase(), "empty": ""}
    given = {"development": True, "development_token_file": token_file}
    with asking(**given) as ask, pytest.raises((RefusedError, UnavailableError)):
        ask.identify(wrong[change])


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o666, 0o777])
def test_a_file_that_others_can_read_is_refused(token_file, mode):
    token_file.chmod(mode)
    with pytest.raises(DevelopmentError, match="chmod 600") as error:
        Authenticator(settings(development=True, development_token_file=token_file))
    assert MARK not in str(error.value)


def test_a_file_of_somebody_else_is_refused(token_file, monkeypatch):
    monkeypatch.setattr(module.os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(DevelopmentError):
        Development(settings(development=True, development_token_file=token_file))


@pytest.mark.parametrize("text", ["", "short", "two words that are long enough", "a\nb" * 20])
def test_a_file_without_a_proper_token_is_refused(token_file, text):
    token_file.write_text(text)
    with pytest.raises(DevelopmentError, match="at least 16 characters"):
        Development(settings(development=True, development_token_file=token_file))


def test_a_file_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(DevelopmentError, match="cannot be read"):
        Development(settings(development=True, development_token_file=tmp_path / "none"))


@pytest.mark.parametrize("token", ["", "   "])
def test_development_mode_needs_a_token(token):
    with pytest.raises(ValueError, match="no token that everybody knows"):
        settings(development=True, test_token=token)


def test_nothing_shows_the_token(said, token_file):
    token = secret()
    found = settings(development=True, test_token=token, development_token_file=token_file)
    assert MARK not in repr(found)
    with asking(development=True, test_token=token, development_token_file=token_file) as ask:
        ask.identify(token)
        assert MARK not in repr(vars(ask.authenticator))
    assert not [text for _, text in said() if MARK in text]
