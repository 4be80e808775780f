"""One deploy API for all tests that change no settings."""

import json

import pytest

from tests.deploy.serving import serving
from tests.endpoint.identity_service import IdentityService

PROFILES = {
    "default": "small",
    "profiles": [
        {
            "name": "small",
            "image": "rexec-server:1",
            "images": ["other:2"],
            "cpu": 2,
            "memory": "4GiB",
            "idle_timeout": "1h",
            "environment": {"OMP_NUM_THREADS": "2"},
        },
        {"name": "big", "cpu": 16, "memory": "64GiB", "gpu": 2, "max_lifetime": "1d"},
        {"name": "brief", "max_lifetime": "20min"},
    ],
}


@pytest.fixture(scope="session")
def identity():
    """An identity service."""
    with IdentityService() as service:
        for name in ("ann", "bob"):
            service.add(name)
        yield service


@pytest.fixture(scope="session")
def running(identity, tmp_path_factory):
    """The service."""
    directory = tmp_path_factory.mktemp("deploy")
    file = directory / "profiles.json"
    file.write_text(json.dumps(PROFILES))
    with serving(directory, identity, profiles=file, max_servers=3) as service:
        yield service


@pytest.fixture
def service(running):
    """The service without any server."""
    running.clean()
    return running


@pytest.fixture
def ann(service, identity):
    """A client of a user."""
    with service.client(identity.token("ann")) as client:
        yield client


@pytest.fixture
def bob(service, identity):
    """A client of another user."""
    with service.client(identity.token("bob")) as client:
        yield client


@pytest.fixture
def user(identity):
    """What identifies the first of them."""
    return identity.people["ann"].sub


@pytest.fixture
def anonymous(service):
    """A client without a token."""
    with service.client() as client:
        yield client
