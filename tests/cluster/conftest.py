"""What the tests on a cluster share."""

import os
import shutil
from pathlib import Path

import pytest

from tests.cluster.backend import Backend, remove
from tests.cluster.kube import kubectl

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch, tmp_path):
    """Leave the settings of whoever runs the tests alone."""
    monkeypatch.setenv("REXEC_CONFIG_DIR", str(tmp_path))
    for name in ("REXEC_URL", "REXEC_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def cluster():
    """Make sure that there is a cluster; in CI its absence is an error."""
    if not shutil.which("kubectl") or not os.environ.get("KUBECONFIG"):
        pytest.fail("there is no cluster: set KUBECONFIG, and have kubectl on the PATH")
    kubectl("version")


@pytest.fixture(scope="package")
def backend(cluster):
    """Install the backend; it is taken away after the last of these tests."""
    there = Backend()
    try:
        yield there.install()
    finally:
        if not os.environ.get("REXEC_TEST_KEEP"):
            remove()
