"""A notebook kernel with rexec loaded, on an embedded backend of the tests' own."""

import os

import pytest

from tests.notebook.kernel import running_kernel


@pytest.fixture(scope="package")
def environment(tmp_path_factory):
    """The environment of kernels whose backend is private to these tests."""
    home = tmp_path_factory.mktemp("rexec")
    home.chmod(0o700)
    return os.environ | {"REXEC_RUNTIME_DIR": str(home)}


@pytest.fixture(scope="package")
def kernel(environment):
    with running_kernel(**environment) as kernel:
        kernel.run("%load_ext rexec_jupyter")
        yield kernel
