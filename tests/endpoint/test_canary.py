"""The canary sings: a run in which a secret gets out fails, however it gets out."""

import subprocess
import sys
import tempfile
import textwrap
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.endpoint import canary
from tests.endpoint.service import PATIENCE

ROOT = Path(__file__).parents[2]

_CONFTEST = """
from tests.endpoint.canary import no_secret_gets_out, pytest_runtest_makereport
"""


@pytest.fixture
def run():
    """Return a function that runs a test with the canary, and returns its exit code and output."""
    # Not where the canary of this run looks.
    with tempfile.TemporaryDirectory() as directory:
        yield partial(run_in, Path(directory))


def run_in(directory, test):
    (directory / "conftest.py").write_text(_CONFTEST)
    (directory / "test_it.py").write_text(textwrap.dedent(test))
    done = subprocess.run(
        [
            sys.executable,
            *("-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib"),
            *("--rootdir", str(directory), f"--basetemp={directory / 'base'}", "test_it.py"),
        ],
        cwd=directory,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_run_without_a_leak_passes(run):
    code, said = run(
        """
        import logging
        from tests.endpoint.canary import secret

        def test_quiet(tmp_path):
            token = secret()
            print(len(token))
            logging.warning("nothing")
            (tmp_path / "service.log").write_text("nothing")
        """
    )
    assert code == 0, said


_TOKENS = """
    import logging, os, subprocess, sys
    import jwt, pytest
    from tests.endpoint import canary

    SIGNED = jwt.encode(canary.marked_claim() | {"sub": "x"}, "k" * 32)

    pytestmark = pytest.mark.parametrize("token", [canary.secret(), SIGNED], ids=["plain", "jwt"])
"""


def test_each_test_that_shows_a_secret_fails(run):
    code, said = run(
        _TOKENS
        + """
    def test_output(token):
        print(token)

    def test_errors(token):
        print(token, file=sys.stderr)

    def test_output_below_python(token):
        os.write(1, token.encode())

    def test_processes(token):
        subprocess.run(["echo", token])

    def test_logs(token, caplog):
        caplog.set_level(logging.DEBUG)
        logging.getLogger("any").debug("with %s", token)

    def test_tracebacks_in_logs(token):
        logging.getLogger("any").warning("x", exc_info=ValueError(token))

    def test_nothing(token):
        print(len(token))
        """
    )
    assert code == 1
    assert "12 failed, 2 passed" in said


def test_each_place_where_a_secret_was_left_is_told_in_the_end(run):
    code, said = run(
        _TOKENS
        + """
    def test_files(token, tmp_path):
        (tmp_path / "service.log").write_text(token)

    def test_databases(token, tmp_path):
        (tmp_path / "catalog.sqlite3").write_bytes(b"\\0\\xff" + token.encode())

    def test_metrics(token):
        canary.inspect(token.encode(), "metrics")
        """
    )
    assert code == 1
    assert "6 passed, 1 error" in said
    for place in ("service.log", "catalog.sqlite3", "metrics"):
        assert said.count(f"{place}: '") == 2


def test_a_leak_into_a_file_that_is_watched_is_found_wherever_it_lies(run, tmp_path):
    elsewhere = tmp_path / "any.name"
    code, said = run(
        f"""
        from pathlib import Path
        from tests.endpoint import canary

        def test_leaking():
            canary.watch({str(elsewhere)!r})
            Path({str(elsewhere)!r}).write_text(canary.secret())
        """
    )
    assert code != 0
    assert "Secrets reached" in said


@pytest.fixture
def findings(monkeypatch):
    """Keep what this test finds from failing the run."""
    found = []
    monkeypatch.setattr(canary, "_findings", found)
    return found


def test_an_error_that_repeats_a_token_is_found(findings):
    token = canary.secret()
    request = httpx.Request("GET", f"http://127.0.0.1/x?token={token}")
    canary.inspect_response(httpx.Response(400, text=f"no {token}", request=request))
    canary.inspect_response(httpx.Response(302, headers={"Location": token}, request=request))
    canary.inspect_response(httpx.Response(500, headers={"X-Seen": token}, request=request))
    canary.inspect_response(httpx.Response(200, text=token, request=request))
    assert len(findings) == 2


def test_metrics_that_repeat_a_token_are_found(findings):
    def answer(request):
        return httpx.Response(200, text=f'requests{{path="{canary.secret()}"}} 1')

    with httpx.Client(transport=httpx.MockTransport(answer), base_url="http://127.0.0.1") as client:
        canary.inspect_service(client)
    assert len(findings) == 1
