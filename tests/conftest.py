"""What holds for every test: no test reads or writes the developer's own settings.

Of tests that run in several processes (`--numprocesses`), those of a file stay together, as do
all that share what takes long to start.
"""

import re

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

# No secret that a test makes may appear in anything that a test or a service writes.
pytest_plugins = ["tests.endpoint.canary"]

# On a busy two-core machine a slow example says nothing about the code. Each run tries the same
# examples, so that what it says is about the change; `--hypothesis-profile=explore` tries others.
settings.register_profile(
    "rexec", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", settings.get_profile("rexec"), derandomize=False)
settings.load_profile("rexec")

# One JupyterLab, one kernel, one Jupyter server for all.
_TOGETHER = ("browser", "notebook", "labapp")


@pytest.fixture(scope="session", autouse=True)
def own_settings(tmp_path_factory):
    home = tmp_path_factory.mktemp("jupyter")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(home / "ipython"))
        patch.setenv("JUPYTER_CONFIG_DIR", str(home / "config"))
        patch.setenv("JUPYTER_DATA_DIR", str(home / "data"))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(home / "runtime"))
        patch.setenv("REXEC_CONFIG_DIR", str(home / "rexec"))
        yield


def pytest_xdist_make_scheduler(config, log):
    return Groups(config, log)


def pytest_collection_modifyitems(config, items):
    """Begin with what lasts longest in one process, or that would end long after the others."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _group(item.nodeid) not in _TOGETHER)


class Groups(LoadScopeScheduling):
    """Gives the tests out by group."""

    def _split_scope(self, nodeid):
        return _group(nodeid)


def _group(nodeid):
    file, _, test = nodeid.partition("::")
    folder = file.split("/")[1]
    if folder in _TOGETHER:
        return folder
    # Each kind of database has an endpoint of its own.
    kind = re.search(r"\[(sqlite|postgresql)\b", test)
    return f"{folder}, {kind[1]}" if folder == "endpoint" and kind else file
