"""`%rexec start`, `stop`, `extend`, `servers` and `profiles` at an endpoint, all of it real."""

import json
import os
import re
import time

import pytest

from rexec_jupyter.endpoint.servers import Servers
from tests.backend.brokering import until
from tests.deploy.whole import PATIENCE, TOKEN, broker_in, deploy_api
from tests.endpoint.answering import Answering
from tests.notebook.kernel import running_kernel
from tests.places import short_directory

PROFILES = {
    "profiles": [
        {"name": "plain", "description": "for most things"},
        {"name": "roomy", "memory": "8GiB", "max_lifetime": "1d", "idle_timeout": "2h"},
    ]
}

# Whoever waited for an answer that cannot come would wait for ten seconds.
PROMPT = 9.0


@pytest.fixture(scope="module")
def directory():
    with short_directory() as directory:
        yield directory


@pytest.fixture(scope="module")
def broker(directory):
    with broker_in(directory) as broker:
        yield broker


@pytest.fixture(scope="module")
def url(directory, broker):
    """The address of an endpoint that leads to a deploy API."""
    with Answering() as endpoint:
        (directory / "profiles.json").write_text(json.dumps(PROFILES))
        more = {
            "APP_ROOT_PATH": "/rexec",
            "REXEC_DEPLOY_PROFILES": "profiles.json",
            "REXEC_DEPLOY_MAX_SERVERS": "2",
        }
        with deploy_api(directory, broker, **more) as deploy:
            endpoint.answer("GET", "/status/", {"api_version": "1.0.0"})
            endpoint.answer("GET", "/status/rexec", {"deployment_api_url": deploy})
            yield endpoint.url


@pytest.fixture(scope="module")
def kernel(url, tmp_path_factory):
    """A notebook whose backend is that endpoint."""
    settings = str(tmp_path_factory.mktemp("settings"))
    environment = dict(os.environ, REXEC_URL=url, REXEC_TOKEN=TOKEN, REXEC_CONFIG_DIR=settings)
    with running_kernel(**environment) as kernel:
        kernel.run("%load_ext rexec_jupyter")
        yield kernel


@pytest.fixture(autouse=True)
def none_left(kernel):
    yield
    kernel.run("%rexec stop --all -f", PATIENCE)
    deadline = time.monotonic() + PATIENCE
    while servers(kernel):
        assert time.monotonic() < deadline


def servers(kernel):
    rows = json.loads(kernel.run("%rexec servers --json").stdout)
    return {row["name"]: row["state"] for row in rows}


def test_a_server_is_started_and_its_phases_are_shown(kernel, broker):
    with broker.held():  # or it may be ready before there is a line
        cell = kernel.start("%rexec start")
        cell.wait_for_status("⟳ server default · starts")
    cell.wait()
    assert "Server default is ready." in cell.text
    assert any(re.match(r"✓ server default · ", line) for line in cell.status)
    assert servers(kernel) == {"default": "ready"}
    assert kernel.value("%rx 6 * 7") == "42"
    assert "Server default runs already." in kernel.run("%rexec start").text
    assert "default" in kernel.run("%rexec servers").text


def test_the_first_cell_starts_one_and_stop_ends_it_unless_something_would_be_lost(kernel):
    kernel.run("%%rexec\nprecious = 1", PATIENCE)
    cell = kernel.run("%rexec stop")
    assert "1 variable (precious)" in cell.stderr
    assert "%rexec stop default -f" in cell.stderr
    assert kernel.value("%rx precious") == "1"
    assert "Stopped: server default." in kernel.run("%rexec stop -f").text
    # The next cell starts another one, with nothing in it.
    assert "NameError" in kernel.run("%rx precious", PATIENCE).error


def test_a_session_gets_a_server_of_its_own_if_anything_is_asked_of_it(kernel):
    cell = kernel.run("%rexec start train -p roomy --mem 4GiB --idle-timeout 30m", PATIENCE)
    assert "Server train is ready." in cell.text
    assert "4GiB" in cell.text
    assert "30m" in cell.text
    assert "%rexec use train" in cell.text
    assert kernel.run("%%rexec -s train\nwhere = 'train'\nwhere").text == "'train'"
    different = kernel.run("%rexec start train -p plain")
    assert "[R04]" in different.error
    assert "--force" in different.error
    cell = kernel.run("%rexec start train -p plain --force", PATIENCE)
    assert "is ready" in cell.text
    assert "NameError" in kernel.run("%%rexec -s train\nwhere").error
    assert "Stopped: server train." in kernel.run("%rexec stop train").text


def test_a_session_without_wishes_shares_the_default_server(kernel):
    assert "Server default is ready." in kernel.run("%rexec start maps", PATIENCE).text
    assert servers(kernel) == {"default": "ready"}
    kernel.run("%%rexec -s maps\nx = 1")
    assert "Stopped: maps" in kernel.run("%rexec stop maps -f").text
    assert servers(kernel) == {"default": "ready"}


def test_what_is_not_given_is_told_with_its_code(kernel):
    assert "there are: plain, roomy" in kernel.run("%rexec start -p huge").error
    assert "[R06]" in kernel.run("%rexec start -p roomy --mem 16GiB").error
    assert "[R06]" in kernel.run("%rexec start 'my own' -p roomy").error
    for name in ("one", "two"):
        kernel.run(f"%rexec start {name} -p plain --no-wait")
    assert "[R05]" in kernel.run("%rexec start three -p plain").error
    assert "is no number of cores" in kernel.run("%rexec start --cpu many").stderr


def test_a_package_that_does_not_exist_is_told_with_what_to_do(kernel):
    cell = kernel.run("%rexec start lacking -r rexec-no-such-package-at-all", PATIENCE)
    assert "[R06]" in cell.error
    assert "There is no package rexec-no-such-package-at-all" in cell.error
    assert "Check its spelling" in cell.error


def test_stop_ends_the_waiting_alone(kernel, broker):
    with broker.held():  # so it takes as long as the test likes
        cell = kernel.start("%rexec start slow -p plain")
        cell.wait_for_status("server slow · starts")
        kernel.interrupt()
        cell.wait()
    assert "KeyboardInterrupt" in cell.error
    assert "`%rexec start slow` waits for it again" in cell.error
    assert re.match(r"⇢ server slow · detached", cell.status[-1])
    assert "Server slow" in kernel.run("%rexec start slow", PATIENCE).text
    assert servers(kernel) == {"slow": "ready"}


def test_the_first_cell_shows_what_its_server_does_and_can_be_stopped(kernel, broker):
    kernel.run("%rexec start", PATIENCE)
    kernel.run("%rexec stop -f")
    until(lambda: not servers(kernel), "its end")
    with broker.held():
        cell = kernel.start("%%rexec\n6 * 7")
        cell.wait_for_status("starting (your server starts)")
        kernel.interrupt()
        cell.wait()
    assert "KeyboardInterrupt: Nobody waits for your server any more" in cell.error
    assert cell.stderr == ""
    assert kernel.run("%%rexec\n6 * 7", PATIENCE).text == "42"


def test_a_server_is_let_live_longer(kernel):
    assert "[R03]" in kernel.run("%rexec extend 2h").error
    kernel.run("%rexec start -p roomy", PATIENCE)
    assert "does not end within" in kernel.run("%rexec extend 2h").text
    assert "seconds" in kernel.run("%rexec extend 900d").error


def test_a_server_that_ended_comes_back_with_the_next_cell(kernel, url):
    kernel.run("%rexec start", PATIENCE)
    kernel.run("%%rexec\nx = 1")
    with Servers(url, lambda: TOKEN) as there:
        there.end("default")  # as the clocks do, and other notebooks
        until(lambda: not there.every(), "its end")
        assert kernel.value("%rx 6 * 7") == "42"
        assert [server["name"] for server in there.every()] == ["default"]
        there.end("default")
        there.begin("train")
        there.wait_ready("train", lambda _: None)
        until(lambda: len(there.every()) == 1, "its end")
        assert kernel.value("%rx 6 * 7") == "42"
        assert kernel.run("%%rexec -s train\n6 * 7").text == "42"
        assert len(there.every()) == 2


@pytest.mark.parametrize("line", ["sessions", "jobs", "stop"])
def test_who_has_no_server_is_told_at_once_and_gets_none(kernel, line):
    kernel.run("%%rexec\nx = 1", PATIENCE)
    kernel.run("%rexec stop -f", PATIENCE)
    until(lambda: not servers(kernel), "its end")
    began = time.monotonic()
    cell = kernel.run(f"%rexec {line}")
    assert time.monotonic() - began < PROMPT
    assert "No server of yours runs at" in cell.text
    assert (cell.error, cell.stderr) == ("", "")
    assert servers(kernel) == {}


def test_a_notebook_whose_server_ended_by_itself_is_told_so_at_once(kernel, url):
    kernel.run("%%rexec\nx = 1", PATIENCE)
    with Servers(url, lambda: TOKEN) as there:
        there.end("default")  # as the clocks do
        until(lambda: not there.every(), "its end")
    for line in ("sessions", "jobs"):
        began = time.monotonic()
        assert "No server of yours runs at" in kernel.run(f"%rexec {line}").text
        assert time.monotonic() - began < PROMPT
    assert json.loads(kernel.run("%rexec jobs --json").stdout) == []
    assert servers(kernel) == {}


def test_profiles_and_servers_are_listed(kernel):
    cell = kernel.run("%rexec profiles")
    assert "for most things" in cell.text
    assert "8GiB" in cell.text
    assert [row["name"] for row in json.loads(kernel.run("%rexec profiles --json").stdout)] == [
        "plain",
        "roomy",
    ]
    assert "No server" in kernel.run("%rexec servers").text
