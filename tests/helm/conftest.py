"""What the tests of the chart share. Those that use helm run with the tests on a cluster."""

import shutil

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if "helm" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def helm():
    """Make sure that there is a helm; where these tests run its absence is an error."""
    if not shutil.which("helm"):
        pytest.fail("helm is not on the PATH")
