"""A notebook kernel with rexec loaded, on an embedded backend of the tests' own."""

import os

import pytest

from tests.backend.embedding import private_backend
from tests.notebook.kernel import running_kernel


@pytest.fixture(scope="package")
def backend():
    """An embedded backend that is private to these tests."""
    with private_backend() as backend:
        yield backend


@pytest.fixture(scope="package")
def environment(backend):
    """The environment of kernels that use it."""
    del backend
    return dict(os.environ)


@pytest.fixture(scope="package")
def kernel(environment):
    with running_kernel(**environment) as kernel:
        kernel.run("%load_ext rexec_jupyter")
        yield kernel


@pytest.fixture
def gate(tmp_path):
    """What the cells that are held wait for; `touch` lets them end."""
    path = tmp_path / "gate"
    yield path
    path.touch()  # whatever went wrong, nothing runs on
