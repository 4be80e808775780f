"""One endpoint for each kind of database, shared by all tests that change no settings."""

import functools
import itertools
import uuid

import pytest

from tests.endpoint.canary import inspect_service, watch
from tests.endpoint.catalogs import shared_catalog  # noqa: F401 - a fixture
from tests.endpoint.identity_service import IdentityService
from tests.endpoint.postgres import catalog_url, postgres_server  # noqa: F401 - fixtures
from tests.endpoint.released import install
from tests.endpoint.service import Endpoint


@pytest.fixture(scope="session")
def identity():
    """An identity service with the people `admin`, `writer`, `viewer` and `outsider`."""
    with IdentityService() as service:
        yield service


@pytest.fixture(scope="session")
def released(tmp_path_factory):
    """Return the interpreter of an environment with this version of the released client."""

    @functools.cache
    def python(version):
        directory = tmp_path_factory.mktemp("released") / "venv"
        return install(directory, f"ndp-ep[rexec]=={version}")

    return python


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def backend(request):
    """The kind of database behind the endpoint."""
    return request.param


@pytest.fixture(scope="session")
def database_url(backend, request, tmp_path_factory):
    """The address of an empty database."""
    if backend == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('catalog')}/catalog.sqlite3"
    return request.getfixturevalue("postgres_server").new_database()


@pytest.fixture(scope="session")
def deployment_url():
    """Where the endpoint says that remote execution starts."""
    return "http://127.0.0.1:9/rexec"


@pytest.fixture(scope="session")
def endpoint(database_url, identity, deployment_url, tmp_path_factory):
    """The service in a process of its own, and nothing optional configured."""
    directory = tmp_path_factory.mktemp("endpoint")
    watch(directory)
    settings = {
        "AUTH_API_URL": identity.url,
        "ENABLE_ACCESS_REQUESTS": "true",
        # All tests come from one address.
        "REXEC_EP_LOGIN_FAILURES": "100000",
        "REXEC_EP_DATABASE_URL": database_url,
        "REXEC_CONNECTION": "true",
        "REXEC_DEPLOYMENT_API_URL": deployment_url,
    }
    with Endpoint(directory, settings) as running:
        yield running
        with running.client() as client:
            inspect_service(client)


@pytest.fixture
def anonymous(endpoint):
    """A client without a token."""
    with endpoint.client() as client:
        yield client


@pytest.fixture
def as_viewer(endpoint, identity):
    """A client of somebody who may read."""
    with endpoint.client(identity.token("viewer")) as client:
        yield client


@pytest.fixture
def as_writer(endpoint, identity):
    """A client of somebody who may change things."""
    with endpoint.client(identity.token("writer")) as client:
        yield client


@pytest.fixture
def as_admin(endpoint, identity):
    """A client of an administrator."""
    with endpoint.client(identity.token("admin")) as client:
        yield client


@pytest.fixture
def fresh():
    """Return names that nothing else has: `fresh("rain")`."""
    mark = uuid.uuid4().hex[:8]
    count = itertools.count(1)
    return lambda prefix="x": f"{prefix}-{mark}-{next(count)}"
