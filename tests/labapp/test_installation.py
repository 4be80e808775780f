"""What `pip install` of the wheel gives a Jupyter server, in an environment of its own."""

import os
import re
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python of an environment with the wheel; all it depends on is that of these tests."""
    place = tmp_path_factory.mktemp("installed")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run(
        [*build, "--directory", str(place)], cwd=ROOT, env=os.environ | {"PATH": path}, check=True
    )
    (wheel,) = place.glob("*.whl")
    venv.create(place / "venv", with_pip=False, symlinks=True)
    own = place / "venv/bin/python"
    install = [sys.executable, "-m", "pip", "--python", str(own), "install", "--quiet"]
    subprocess.run([*install, "--no-deps", "--no-index", str(wheel)], check=True)
    purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
    where = subprocess.run([own, "-c", purelib], check=True, capture_output=True, text=True)
    # Behind what was installed. As text: the editable installation there is not followed.
    Path(where.stdout.strip(), "rest.pth").write_text("\n".join(site.getsitepackages()))
    return own


def listed(python, module, *words):
    environment = {key: value for key, value in os.environ.items() if "JUPYTER" not in key}
    done = subprocess.run(
        [python, "-m", module, *words, "list"],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        cwd=python.parent,
    )
    return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)


def test_jupyterlab_has_the_panel(python):
    told = listed(python, "jupyterlab.labextensions")
    assert re.search(r"rexec-jupyter v[0-9.]+ enabled OK \(python, rexec-jupyter\)", told), told
    # From there, and not from the checkout.
    assert str(python.parent.parent / "share/jupyter/labextensions") in told


def test_the_jupyter_server_has_its_extension(python):
    told = listed(python, "jupyter_server.extension.serverextension")
    assert re.search(r"rexec_jupyter\.labapp +[0-9.]* OK", told), told


def test_what_runs_is_what_was_installed(python):
    where = subprocess.run(
        [python, "-P", "-c", "import rexec_jupyter; print(rexec_jupyter.__file__)"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert where.stdout.startswith(str(python.parent.parent))
