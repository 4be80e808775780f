"""`rexec start`, `stop`, `servers`, `profiles` and `extend` at an endpoint."""

import pytest

from tests.backend.brokering import until
from tests.backend.commanding import rexec, told
from tests.deploy.whole import TOKEN, broker_in, deploy_api
from tests.endpoint.answering import Answering
from tests.places import short_directory


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


def test_servers_are_listed_extended_and_all_ended(there):
    until(lambda: told("servers", **there) == [], "the end of the others")
    assert "No server. One starts with" in rexec("servers", **there).stdout
    assert told("start", "train", "--idle-timeout", "30m", **there)["session"] == "train"
    (server,) = told("servers", **there)
    assert (server["name"], server["state"]) == ("train", "ready")
    assert "train" in rexec("servers", **there).stdout
    extended = told("extend", "train", "2h", **there)
    assert extended["server"] == "train"
    assert extended["ends_in"] is None or extended["ends_in"] > 7000
    missing = rexec("extend", "2h", **there)
    assert (missing.returncode, missing.stdout) == (4, "")
    assert "`rexec servers` lists those there are" in missing.stderr
    assert told("stop", "--all", "-f", **there) == {"ended": ["train"]}
    assert told("stop", "--all", **there) == {"ended": []}


@pytest.mark.parametrize("words", [["sessions"], ["jobs"], ["stop", "train"]])
def test_a_command_that_asks_starts_no_server_and_says_so_at_once(there, words):
    until(lambda: told("servers", **there) == [], "the end of the others")
    result = rexec(*words, **there)
    assert result.returncode == 4
    assert "No server of yours runs at" in result.stderr
    assert "`rexec start` starts one" in result.stderr
    assert told("servers", **there) == []


def test_profiles_are_listed(there):
    assert [profile["name"] for profile in told("profiles", **there)] == ["default"]
    assert "rexec start NAME -p PROFILE" in rexec("profiles", **there).stdout


@pytest.mark.parametrize("words", [["long"], ["a", "b", "2h"], []])
def test_extend_wants_a_name_and_a_time(there, words):
    assert rexec("extend", *words, **there).returncode == 2


def test_on_this_computer_there_is_one_server_without_an_end():
    here = {"REXEC_URL": "local"}
    assert "embedded backend has one server" in rexec("servers", **here).stdout
    assert told("profiles", **here)[0]["where"] == "this computer"
    assert "Nothing to extend" in rexec("extend", "2h", **here).stdout


def test_what_cannot_be_had_is_told(there):
    wrong = rexec("start", "-r", "not ok", **there)
    assert (wrong.returncode, wrong.stdout) == (3, "")
    assert "is no requirement" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_options_of_servers_are_for_endpoints(tmp_path):
    result = rexec("start", "--cpu", "2", REXEC_URL="local", REXEC_RUNTIME_DIR=str(tmp_path))
    assert result.returncode == 2
    assert "for an endpoint" in result.stderr
