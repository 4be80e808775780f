"""What Binder is given: files it understands, and that agree with the rest of the repository."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jupyterlab
import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.backend.embedding import private_backend

ROOT = Path(__file__).parents[2]
BINDER = ROOT / "binder"
DEMO = ROOT / "examples" / "demo.ipynb"
SCRIPTS = ("postBuild", "start")


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def wanted(requirements):
    found = map(Requirement, requirements)
    return {canonicalize_name(each.name): each.specifier for each in found}


# ------------------------------------------------------------------------- the environment


def test_the_python_is_one_that_rexec_runs_with(project):
    (version,) = re.fullmatch(r"python-(3\.\d+)\n", (BINDER / "runtime.txt").read_text()).groups()
    assert SpecifierSet(project["requires-python"]).contains(version)
    assert f"Programming Language :: Python :: {version}" in project["classifiers"]


def test_the_packages_are_pinned_as_rexec_asks_for_them(project):
    lines = (BINDER / "requirements.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    needs = wanted(project["dependencies"])
    demo = wanted(project["optional-dependencies"]["demo"])
    for pin in pins:
        ((operator, version),) = [(each.operator, each.version) for each in pin.specifier]
        assert operator == "=="
        assert (needs | demo)[canonicalize_name(pin.name)].contains(version), pin
    names = [canonicalize_name(pin.name) for pin in pins]
    assert len(names) == len(set(names))
    assert needs.keys() <= set(names)


def test_every_import_of_the_notebook_is_there():
    found = re.findall(r"^(?:import|from) (\w+)", sources(), re.MULTILINE)
    names = {name for name in found if name not in sys.stdlib_module_names}
    pinned = (BINDER / "requirements.txt").read_text()
    assert {name for name in names if f"\n{name}==" not in pinned} == {"rexec_jupyter"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_scripts_can_be_run(name):
    script = BINDER / name
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/bin/bash\n")
    subprocess.run(["bash", "-n", script], check=True)


def test_nothing_that_goes_wrong_in_the_build_is_passed_over():
    assert "\nset -euo pipefail\n" in (BINDER / "postBuild").read_text()


# ------------------------------------------------------------------------------- the start


def started(*command, **environment):
    """Return what a command prints that Binder starts."""
    done = subprocess.run(
        [BINDER / "start", *command],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout


def test_the_start_becomes_the_command_it_is_given():
    assert started("printf", "%s|", "a b", "$c", "") == "a b|$c||"
    assert started("sh", "-c", "echo $PPID") == f"{os.getpid()}\n"
    failed = subprocess.run([BINDER / "start", "sh", "-c", "exit 7"], check=False)
    assert failed.returncode == 7


def test_the_start_bounds_the_embedded_backend():
    set_ = dict(line.split("=", 1) for line in started("env").splitlines())
    assert set_["REXEC_LOCAL_WORKERS"] == "2"
    with private_backend() as backend, pytest.MonkeyPatch.context() as patch:
        for name in ("WORKERS", "MEMORY", "LINGER"):
            patch.setenv(f"REXEC_LOCAL_{name}", set_[f"REXEC_LOCAL_{name}"])
        settings = backend.start().status()["settings"]
    assert settings["workers"] == 2
    assert 300e6 < settings["memory"] < 700e6
    assert settings["linger"] >= 300


# ------------------------------------------------------------------------------ JupyterLab


def test_the_settings_are_some_that_jupyterlab_has():
    schemas = Path(sys.prefix) / "share/jupyter/lab/schemas"
    assert jupyterlab.__version__.startswith("4.")
    for plugin, settings in json.loads((BINDER / "overrides.json").read_text()).items():
        package, _, name = plugin.partition(":")
        known = json.loads((schemas / package / f"{name}.json").read_text())["properties"]
        assert settings.keys() <= known.keys(), plugin


def test_the_workspace_opens_the_notebook_and_the_panel():
    workspace = json.loads((BINDER / "demo.jupyterlab-workspace").read_text())
    layout = workspace["data"]["layout-restorer:data"]
    assert layout["main"]["current"] == "notebook:examples/demo.ipynb"
    opened = workspace["data"][layout["main"]["current"]]["data"]
    assert (ROOT / opened["path"]) == DEMO
    panel = (ROOT / "labextension/src/panel.tsx").read_text()
    assert f"this.id = '{layout['left']['current']}'" in panel


# ------------------------------------------------------------------------------- the tour


def cells():
    notebook = nbformat.read(DEMO, as_version=4)
    nbformat.validate(notebook)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def sources():
    return "\n".join(cell.source for cell in cells())


def test_the_notebook_has_no_outputs_and_marks_the_error_it_makes_on_purpose():
    assert not [cell for cell in cells() if cell.outputs or cell.execution_count]
    marked = [cell for cell in cells() if "raises-exception" in cell.metadata.get("tags", [])]
    assert len(marked) == 1
    assert marked[0].source.startswith("%%rexec\n")


@pytest.mark.parametrize(
    "sign",
    [
        *("%load_ext rexec_jupyter", "\n%rexec\n", "flush=True", "tqdm(", "plt.show()"),
        *("--explain", "-o samples", "--noblock", "job.done()", "%rexec attach", "time.sleep(0.5)"),
        *("@rexec.remote", "executor.map("),
    ],
)
def test_the_tour_shows(sign):
    assert sign in f"\n{sources()}\n"


@pytest.mark.slow
def test_the_tour_runs_and_no_cell_takes_long():
    with private_backend() as backend:
        done = subprocess.run(
            [
                *(BINDER / "start", sys.executable, ROOT / "scripts/quickstart.py", DEMO),
                *("--patience", "30"),  # that none takes 5 s is shown in its container
            ],
            env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=250,
        )
        backend.stop()
    assert done.returncode == 0, done.stdout + done.stderr


# ------------------------------------------------------------------------------- the link


def test_the_badge_leads_to_a_page_that_is_there():
    badge = re.search(r"\[!\[[^]]*\]\((\S+)\)\]\((\S+)\)", (ROOT / "README.md").read_text())
    assert all((ROOT / path).is_file() for path in badge.groups())


@pytest.mark.parametrize(
    ("remote", "where"),
    [
        ("git@github.com:ann/tools.git", "gh/ann/tools"),
        ("https://github.com/ann/tools", "gh/ann/tools"),
        ("ssh://git@gitlab.com:22/lab/ann/tools.git", "gl/lab%2Fann%2Ftools"),
        (
            "https://git.example.org/ann/tools.git",
            "git/https%3A%2F%2Fgit.example.org%2Fann%2Ftools.git",
        ),
        ("https://ann:secret@git.example.org/tools", "git/https%3A%2F%2Fgit.example.org%2Ftools"),
    ],
)
def test_the_link_is_made_from_the_address_of_the_clone(tmp_path, remote, where):
    def git(*arguments):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True, capture_output=True)

    def link(*arguments):
        command = [sys.executable, ROOT / "scripts/binder_link.py", *arguments]
        return subprocess.check_output(command, cwd=tmp_path, text=True).strip()

    git("init")
    git("remote", "add", "origin", remote)
    git("-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--allow-empty", "-mx")
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=tmp_path, text=True).strip()
    start, end = "https://mybinder.org/v2", "?urlpath=lab/tree/examples/demo.ipynb"
    assert link() == f"{start}/{where}/{commit}{end}"
    git("tag", "v1.0")
    assert link() == f"{start}/{where}/v1.0{end}"
    assert link("--markdown").endswith(f"(docs/binder.svg)]({start}/{where}/v1.0{end})")


def test_an_address_that_nobody_else_can_fetch_is_refused(tmp_path):
    command = [sys.executable, ROOT / "scripts/binder_link.py", "--remote", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no address on the web" in done.stderr
