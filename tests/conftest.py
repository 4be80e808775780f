"""What holds for every test: no test reads or writes the developer's own settings."""

import pytest
from hypothesis import settings

# No secret that a test makes may appear in anything that a test or a service writes.
pytest_plugins = ["tests.endpoint.canary"]

# On a busy two-core machine a slow example says nothing about the code.
settings.register_profile("rexec", deadline=None)
settings.load_profile("rexec")


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
