"""The one wheel: what is in it, and what importing it costs."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from rexec_jupyter._version import __version__

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
    subprocess.run([*command, "--directory", str(directory)], cwd=ROOT, check=True)
    (path,) = directory.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def files(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return [PurePosixPath(name) for name in archive.namelist()]


def test_the_wheel_holds_exactly_the_packages(files):
    metadata = f"rexec_jupyter-{__version__}.dist-info"
    assert {file.parts[0] for file in files} == {*PACKAGES, metadata}


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
