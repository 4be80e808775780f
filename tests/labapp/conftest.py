"""One Jupyter server beside one embedded backend for all tests that need no others."""

import contextlib

import pytest

from rexec_jupyter._connect import connect
from rexec_jupyter.core.errors import RexecError
from tests.backend.brokering import until
from tests.backend.embedding import private_backend
from tests.labapp.jupyter import Jupyter, await_end


@pytest.fixture(scope="package")
def embedded():
    """The embedded backend, which need not run."""
    with private_backend() as backend:
        yield backend


@pytest.fixture(scope="package")
def jupyter(embedded, tmp_path_factory):
    """A Jupyter server whose panel is about it."""
    assert embedded.root  # in the environment
    with Jupyter(tmp_path_factory.mktemp("jupyter")) as jupyter:
        yield jupyter


@pytest.fixture
def tab(jupyter):
    """A browser tab."""
    with jupyter.stream() as stream:
        yield stream


@pytest.fixture
def stopped(embedded, jupyter):
    """The embedded backend, which does not run."""
    jupyter.ask("POST", "embedded/stop", {"force": True})
    await_end(embedded)
    return embedded


@pytest.fixture
def running(embedded, jupyter):
    """The embedded backend, which runs; nothing of a test is left there."""
    jupyter.do("POST", "embedded/start")
    # Only then it can be asked for anything.
    until(lambda: jupyter.get("state")["connection"]["state"] == "connected", "the connection")
    yield embedded
    with contextlib.suppress(RexecError), connect("local", start=False) as client:
        for session in client.sessions():
            client.session(session.session).stop()


@pytest.fixture
def kernel(running):
    """A client of another process, as far as the panel knows."""
    with connect("local", start=False) as client:
        yield client


@pytest.fixture
def gate(tmp_path):
    """What remote cells wait for; `touch` lets them go on."""
    path = tmp_path / "gate"
    yield path
    path.touch()
