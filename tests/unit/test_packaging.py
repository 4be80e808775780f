"""The one wheel: what is in it, and what importing it costs."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from rexec_jupyter._version import __version__
from tests.bench.panel import code_size

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "rexec_jupyter": ROOT / "rexec_jupyter",
    "rexec_broker": ROOT / "services/broker/rexec_broker",
    "rexec_deploy_api": ROOT / "services/deploy_api/rexec_deploy_api",
    "rexec_ep_api": ROOT / "services/ep_api/rexec_ep_api",
    "rexec_server": ROOT / "services/server/rexec_server",
}


def python(code, **environment):
    result = subprocess.run(
        [sys.executable, "-P", "-c", code],  # -P: not from the working directory
        env=os.environ | environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return result.stdout.split()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    # Node is beside Python, for a panel whose sources changed since it was built.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path}
    command += ["--directory", str(directory)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    (path,) = directory.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def files(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return [PurePosixPath(name) for name in archive.namelist()]


def test_the_wheel_holds_exactly_the_packages(files):
    stem = f"rexec_jupyter-{__version__}"
    assert {file.parts[0] for file in files} == {*PACKAGES, f"{stem}.dist-info", f"{stem}.data"}


def test_the_wheel_brings_the_panel_and_has_its_server_extension_enabled(wheel, files):
    data = PurePosixPath(f"rexec_jupyter-{__version__}.data/data")
    panel = data / "share/jupyter/labextensions/rexec-jupyter"
    static = {file.name for file in files if file.parent == panel / "static"}
    assert {"style.js", "third-party-licenses.json"} < static
    for name in static:
        assert f"{name}.map" in static or not name.endswith(".js") or name == "style.js"
    with zipfile.ZipFile(wheel) as archive:
        about = json.loads(archive.read(str(panel / "package.json")))
        install = json.loads(archive.read(str(panel / "install.json")))
        config = archive.read(str(data / "etc/jupyter/jupyter_server_config.d/rexec_jupyter.json"))
    assert about["version"] == __version__
    assert about["jupyterlab"]["_build"]["load"].removeprefix("static/") in static
    assert {f"schemas/rexec-jupyter/{name}.json" for name in ("panel", "commands")} <= {
        str(file.relative_to(panel)) for file in files if file.is_relative_to(panel)
    }
    assert install["packageName"] == "rexec-jupyter"
    extensions = json.loads(config)["ServerApp"]["jpserver_extensions"]
    assert extensions == {"rexec_jupyter.labapp": True}


def test_the_panel_is_small():
    assert 50_000 < code_size() < 150_000


def test_the_panels_types_are_those_of_the_server():
    check = [sys.executable, str(ROOT / "scripts/panel_types.py"), "--check"]
    subprocess.run(check, check=True)


def test_the_lock_file_names_no_place_to_fetch_from():
    lock = json.loads((ROOT / "package-lock.json").read_text())
    assert lock["version"] == __version__
    assert not [name for name, each in lock["packages"].items() if "resolved" in each]


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_whole(files, package):
    folder = PACKAGES[package]
    modules = {path.relative_to(folder.parent).as_posix() for path in folder.rglob("*.py")}
    assert modules == {
        str(file) for file in files if file.parts[0] == package and file.suffix == ".py"
    }


def test_the_wheel_holds_no_tests(files):
    assert [file for file in files if "tests" in file.parts or file.name == "conftest.py"] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_imports_from_the_wheel(wheel, package):
    (file,) = python(f"import {package}; print({package}.__file__)", PYTHONPATH=str(wheel))
    assert file.startswith(str(wheel))


def test_importing_the_client_loads_nothing_heavy():
    loaded = python("import sys, rexec_jupyter; print(*sys.modules)")
    assert {"zmq", "IPython", "ipykernel", "ipywidgets", "numpy", "pandas"}.isdisjoint(loaded)
