"""`rexec start` and `stop` at an endpoint."""

import pytest

from tests.backend.commanding import rexec, told
from tests.deploy.whole import TOKEN, broker_in, deploy_api, short_directory
from tests.endpoint.answering import Answering


@pytest.fixture(scope="module")
def there():
    """The settings of an endpoint that leads to a deploy API."""
    with (
        short_directory() as directory,
        broker_in(directory) as broker,
        deploy_api(directory, broker, APP_ROOT_PATH="/rexec") as deploy,
        Answering() as endpoint,
    ):
        endpoint.answer("GET", "/status/", {"api_version": "1.0.0"})
        endpoint.answer("GET", "/status/rexec", {"deployment_api_url": deploy})
        yield {"REXEC_URL": endpoint.url, "REXEC_TOKEN": TOKEN, "REXEC_CONFIG_DIR": str(directory)}


def test_a_server_is_started_used_and_ended(there, tmp_path):
    assert told("start", "train", "--idle-timeout", "30m", **there)["session"] == "train"
    script = tmp_path / "script.py"
    script.write_text("kept = 6 * 7\nprint(kept)")
    assert rexec("run", "-s", "train", script, **there).stdout == "42\n"
    different = rexec("start", "train", "--cpu", "2", **there)
    assert different.returncode == 2
    assert "[R04]" in different.stderr
    lost = rexec("stop", "train", **there)
    assert lost.returncode == 2
    assert "kept" in lost.stderr
    assert told("stop", "train", "-f", **there) == {"ended": ["train"]}


def test_what_cannot_be_had_is_told(there):
    wrong = rexec("start", "-r", "not ok", **there)
    assert (wrong.returncode, wrong.stdout) == (3, "")
    assert "is no requirement" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_options_of_servers_are_for_endpoints(tmp_path):
    result = rexec("start", "--cpu", "2", REXEC_URL="local", REXEC_RUNTIME_DIR=str(tmp_path))
    assert result.returncode == 2
    assert "for an endpoint" in result.stderr
