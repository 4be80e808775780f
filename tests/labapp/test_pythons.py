"""Whose Python runs the embedded backend that the panel starts."""

import json
import os
import site
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpec

from rexec_jupyter import __version__
from rexec_jupyter._connect import connect
from rexec_jupyter.core.errors import StartError
from rexec_jupyter.labapp import pythons
from rexec_jupyter.labapp.pythons import Python, python_of
from tests.labapp.jupyter import Jupyter, Kernel, await_end

LAUNCH = ("-m", "ipykernel_launcher", "-f", "{connection_file}")


def write_spec(jupyter, name, *argv, language="python", **environment):
    folder = jupyter.directory / ".local/share/jupyter/kernels" / name
    folder.mkdir(parents=True, exist_ok=True)
    spec = {"argv": [str(word) for word in argv], "display_name": name, "language": language}
    spec["env"] = environment
    (folder / "kernel.json").write_text(json.dumps(spec))


def make_environment(place, *lines):
    """Make an environment that has what these lines of a ``.pth`` file name; return its Python."""
    venv.create(place, with_pip=False, symlinks=True)
    python = place / "bin/python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    folder = subprocess.run([python, "-c", where], check=True, capture_output=True, text=True)
    Path(folder.stdout.strip(), "rest.pth").write_text("\n".join(lines))
    return python


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """The Python of another environment, which has all that is installed here."""
    (packages,) = site.getsitepackages()
    return make_environment(
        tmp_path_factory.mktemp("second"), f"import site; site.addsitedir({packages!r})"
    )


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """The Python of an environment that has nothing."""
    return make_environment(tmp_path_factory.mktemp("bare"))


@pytest.fixture
def startable(stopped, jupyter):
    """The embedded backend, which does not run; nor will it with a Python of these tests."""
    yield stopped
    jupyter.ask("POST", "embedded/stop", {"force": True})
    await_end(stopped)


def test_the_kernels_python_runs_it_and_runs_it_again(startable, jupyter, tab, second):
    write_spec(jupyter, "second", second, *LAUNCH, OF_SPEC="a ${HOME}")
    assert str(second) in jupyter.do("POST", "embedded/start", kernel="second")
    told = tab.until(lambda tab: tab.state == "connected" and tab.server())
    assert told["facts"]["runs with"] == str(second)
    kernel = Kernel(jupyter, "second")
    try:
        kernel.run("import sys, rexec_jupyter\nclient = rexec_jupyter.connect(start=False)")
        kernel.run(f"assert sys.prefix == {str(second.parents[1])!r}")
        kernel.run("assert client.run(lambda: __import__('sys').prefix) == sys.prefix")
    finally:
        kernel.end()
    # It runs already: who wants to keep it is told with what.
    assert str(second) in jupyter.do("POST", "embedded/start")
    assert str(second) in jupyter.do("POST", "servers/default/restart", force=True)
    tab.until(lambda tab: tab.state == "connected")
    assert Path(startable.status()["python"]) == second
    with connect("local", start=False) as client:
        assert client.run(os.getenv, "OF_SPEC") == f"a {jupyter.directory}"


@pytest.mark.parametrize("name", ["", "python3", "other"])
def test_the_jupyter_servers_own_runs_it_for_usual_kernels_and_other_languages(
    startable, jupyter, tab, name
):
    write_spec(jupyter, "other", "/nowhere/bin/R", "--slave", language="R")
    assert sys.executable in jupyter.do("POST", "embedded/start", kernel=name)
    tab.until(lambda tab: tab.state == "connected" and tab.server())
    assert "runs with" not in tab.server()["facts"]


def test_none_runs_it_silently_in_the_place_of_one_that_cannot(startable, jupyter, tab, bare):
    write_spec(jupyter, "bare", bare, *LAUNCH)
    write_spec(jupyter, "gone", "/nowhere/bin/python", *LAUNCH)
    write_spec(jupyter, "wrapped", "/usr/bin/env", "python", *LAUNCH)

    def refused(name):
        problem = jupyter.refused(502, "POST", "embedded/start", kernel=name)
        assert problem["code"] == "R06"
        assert f"“{name}”" in problem["message"]
        return problem

    problem = refused("bare")
    assert "has no rexec" in problem["message"]
    assert f"{bare} -m pip install rexec-jupyter" in problem["hint"]
    assert "/nowhere/bin/python" in refused("gone")["message"]
    assert "%%rexec" in refused("wrapped")["hint"]
    jupyter.refused(404, "POST", "embedded/start", kernel="nobody")
    jupyter.refused(404, "POST", "embedded/start", kernel="../../bare")
    # No path is taken from a browser.
    jupyter.refused(404, "POST", "embedded/start", kernel=sys.executable)
    jupyter.refused(422, "POST", "embedded/start", python=sys.executable)
    assert not startable.processes("supervisor")
    assert tab.until(lambda tab: tab.state == "stopped")


def test_one_that_cannot_run_it_again_is_told_before_anything_ends(startable, jupyter, tmp_path):
    (packages,) = site.getsitepackages()
    python = make_environment(tmp_path / "v", f"import site; site.addsitedir({packages!r})")
    write_spec(jupyter, "passing", python, *LAUNCH)
    jupyter.do("POST", "embedded/start", kernel="passing")
    (pth,) = (tmp_path / "v").rglob("rest.pth")
    pth.unlink()
    problem = jupyter.refused(502, "POST", "servers/default/restart", force=True)
    assert str(python) in problem["message"]
    assert startable.status()["ready"]


def test_one_with_another_version_or_that_does_not_answer(tmp_path, monkeypatch):
    old = make_environment(tmp_path / "old", str(tmp_path))
    (tmp_path / "rexec_jupyter").mkdir()
    (tmp_path / "rexec_jupyter/__init__.py").touch()
    (tmp_path / "rexec_jupyter/_version.py").write_text("print('hello')\n__version__ = '0.0.1'")
    with pytest.raises(StartError, match=r"has rexec 0\.0\.1, and the Jupyter server") as caught:
        pythons._check(Python(str(old), os.environ), "a Python")
    assert f"rexec-jupyter=={__version__}" in caught.value.hint

    def script(name, text):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o700)
        return Python(str(path), os.environ)

    with pytest.raises(StartError, match="it ended with 3"):
        pythons._check(script("broken", "exit 3"), "a Python")
    monkeypatch.setattr(pythons, "_SECONDS", 0.2)
    began = time.monotonic()
    with pytest.raises(StartError, match="did not answer"):
        pythons._check(script("slow", "exec sleep 60"), "a Python")
    assert time.monotonic() - began < 30


def test_where_kernels_run_elsewhere_it_is_the_jupyter_servers_own(startable, tmp_path):
    with Jupyter(tmp_path, "--GatewayClient.url=http://127.0.0.1:9") as jupyter:
        assert sys.executable in jupyter.do("POST", "embedded/start", kernel="any")


OWN, THERE = sys.executable, "/there/bin/python3.12"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("python", *LAUNCH), OWN),
        (("python3", "-Xfrozen_modules=off", *LAUNCH), OWN),
        ((OWN, *LAUNCH), OWN),
        ((OWN, "-X", "frozen_modules=off", *LAUNCH), OWN),
        (("{prefix}/bin/python", *LAUNCH), f"{sys.prefix}/bin/python"),
        (("{resource_dir}/python", *LAUNCH), ""),
        # Wrappers that are Python themselves, and name another one.
        (("/base/bin/python", "-m", "runner", "/there", THERE, *LAUNCH), ""),
        (("/base/bin/python", "-m", "runner", "/there", OWN, *LAUNCH), OWN),
        (("conda", "run", "-n", "there", "python", *LAUNCH), ""),
        (("/usr/bin/sh", "-c", "python -m ipykernel_launcher"), ""),
        ((OWN, "/there/kernel.py"), OWN),
        ((), ""),
    ],
)
def test_the_interpreter_that_a_kernel_spec_names(argv, expected):
    spec = KernelSpec(argv=list(argv), language="python", resource_dir="/there", display_name="x")
    if expected:
        assert python_of(spec).path == expected
    else:
        with pytest.raises(StartError) as caught:
            python_of(spec)
        assert caught.value.hint


def test_the_environment_of_the_kernel_finds_it(tmp_path):
    (tmp_path / "python3.99").symlink_to(sys.executable)
    spec = KernelSpec(argv=["python3.99", *LAUNCH], language="python", env={"PATH": str(tmp_path)})
    assert python_of(spec).path == str(tmp_path / "python3.99")
