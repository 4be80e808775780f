"""Exec in an environment of the user's packages."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from rexec_server import handoff as h
from rexec_server.environment.place import places
from rexec_server.environment.room import make_room
from tests.backend.executing import Agent


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    file = cache.parent / "requirements.txt"
    file.write_text("six==1.16.0\ntabulate\n")
    command = [sys.executable, "-m", "rexec_server", "environment", "--requirements", file]
    subprocess.run([*command, "--cache", cache, "--digest", "d1"], check=True)
    return cache


@pytest.fixture
def agent(cache, tmp_path):
    agent = Agent(tmp_path, "--cache", str(cache), "--environment", "d1")
    yield agent
    agent.close()


def versions():
    import six
    import tabulate

    script = shutil.which("tabulate") or ""
    return six.__version__, sys.executable, script, os.environ["VIRTUAL_ENV"], tabulate.__file__


def test_calls_and_cells_run_with_the_packages(agent, cache):
    (place,) = places(cache)
    six, python, script, environment, module = agent.run(versions)
    assert six == "1.16.0"
    assert python == str(place.python)
    assert environment == str(place.directory)
    assert script == f"{place.directory}/bin/tabulate"
    assert module.startswith(environment)
    job = agent.cell("import six, tabulate, sys\nprint(six.__version__, sys.executable)")
    agent.answer(job)
    assert agent.shown(job) == [("stdout", f"1.16.0 {python}\n")]


def test_it_is_the_same_process(agent):
    (hello,) = agent.wait(lambda: agent.of_type(h.ManagerHello), "the manager")
    assert hello.pid == agent.process.pid


def test_the_environment_stays_while_it_is_used(agent, cache):
    (place,) = places(cache)
    agent.run(versions)
    os.utime(cache / "locks" / place.key, (1, 1))
    make_room(cache, 0, lambda _: None, lambda _: None)
    assert place.complete


def refused(*arguments):
    command = [sys.executable, "-m", "rexec_server", "exec", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 3
    return json.loads(ended.stderr.splitlines()[-1])


def test_packages_that_are_not_installed(tmp_path, cache):
    failure = refused("--handoff", tmp_path, "--cache", cache, "--environment", "other")
    assert failure["reason"] == "package"
    assert "there is no environment other" in failure["message"]
    assert "rexec_server environment" in failure["hint"]


def test_another_python(tmp_path, cache):
    arguments = ("--cache", cache, "--environment", "d1", "--python", "3.8")
    failure = refused("--handoff", tmp_path, *arguments)
    assert failure["reason"] == "configuration"
    assert "no Python 3.8" in failure["message"]


def test_a_digest_is_no_path(tmp_path, cache):
    command = [sys.executable, "-m", "rexec_server", "exec", "--handoff", tmp_path]
    command += ["--cache", cache, "--environment", "../../x"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "letters and digits" in ended.stderr
