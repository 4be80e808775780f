"""Backends for the tests: the embedded one, and a broker with the servers of two users."""

import pytest

from tests.backend.embedding import private_backend
from tests.backend.sharing import running_site


@pytest.fixture(scope="module")
def embedded():
    """A running embedded backend, which `rexec_jupyter.connect` uses; nothing is left of it."""
    with private_backend() as backend:
        yield backend.start()


@pytest.fixture
def fresh():
    """An embedded backend for one test alone; not started yet."""
    with private_backend() as backend:
        yield backend


@pytest.fixture(scope="module")
def two_users(tmp_path_factory):
    """A broker and the servers of ann and bob, each a process of its own."""
    with running_site(tmp_path_factory.mktemp("site"), "ann", "bob") as site:
        yield site
