"""The service runs with exactly the versions of its requirements file, and with nothing else."""

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

from tests.endpoint.canary import secret
from tests.endpoint.service import Endpoint

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "services/ep_api/requirements.txt"
# What a new environment may hold without having been asked for.
TOOLS = {"pip", "setuptools"}


def name_of(text):
    return re.sub(r"[-_.]+", "-", text).lower()


@pytest.fixture(scope="module")
def pins():
    lines = [line for line in REQUIREMENTS.read_text().splitlines() if line and line[0] != "#"]
    found = [re.fullmatch(r"([A-Za-z0-9._-]+)(\[\w+\])?==([A-Za-z0-9.]+)", line) for line in lines]
    assert all(found), lines
    return {name_of(match[1]): match[3] for match in found}


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory):
    """The interpreter of an environment with the pinned packages, and our code beside them."""
    directory = tmp_path_factory.mktemp("pinned") / "venv"
    python = directory / "bin" / "python"
    if uv := shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"):
        commands = [
            [uv, "venv", "--quiet", "--python", sys.executable, directory],
            [uv, "pip", "install", "--quiet", "--python", python, "--requirement", REQUIREMENTS],
        ]
    else:
        pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        commands = [
            [sys.executable, "-m", "venv", directory],
            [*pip, "install", "--requirement", REQUIREMENTS],
        ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    (packages,) = directory.glob("lib/python*/site-packages")
    (packages / "rexec.pth").write_text(f"{ROOT}\n{ROOT / 'services/ep_api'}\n")
    return python


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_defect_27_an_environment_with_exactly_the_pins_starts_the_service(
    interpreter, pins, tmp_path
):
    (packages,) = interpreter.parents[1].glob("lib/python*/site-packages")
    installed = {
        name_of(found.metadata["Name"]): found.version
        for found in distributions(path=[str(packages)])
    }
    assert {name: installed[name] for name in installed.keys() - TOOLS} == pins

    token = tmp_path / "token"
    token.write_text(secret("token"))
    token.chmod(0o600)
    settings = {
        "REXEC_EP_DEVELOPMENT": "true",
        "REXEC_EP_DEVELOPMENT_TOKEN_FILE": str(token),
        # What the optional parts need must be there too, though nobody answers them.
        "CKAN_GLOBAL_URL": "http://127.0.0.1:9",
        "PELICAN_ENABLED": "true",
        "S3_ENABLED": "true",
        "S3_ENDPOINT": "127.0.0.1:9",
        "S3_ACCESS_KEY": secret("access"),
        "S3_SECRET_KEY": secret("key"),
    }
    with Endpoint(tmp_path, settings, python=interpreter) as endpoint:
        with endpoint.client() as client:
            assert client.get("/").json() == "API is running successfully."
            assert client.get("/ready").json()["status"] == "ready"
            assert "/dataset" in client.get("/openapi.json").json()["paths"]
        with endpoint.client(token.read_text()) as client:
            new = {"name": "lab", "title": "Lab"}
            assert client.post("/organization", json=new).status_code == 201
            assert client.get("/status/").json()["local_catalog_backend"] == "sqlite"
            assert client.get("/s3/buckets/").status_code == 503
        backup = endpoint.run("backup", tmp_path / "backup")
        assert backup.returncode == 0, backup.stderr
    settings |= {"REXEC_EP_DATABASE_URL": "postgresql://somebody@127.0.0.1:9/catalog"}
    refused = Endpoint(tmp_path, settings, python=interpreter).run("migrate")
    assert refused.returncode == 1
    assert "connect" in refused.stderr


def test_the_pins_are_within_what_the_package_asks_for(pins):
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    extras = [*optional["postgresql"], *optional["s3"], *optional["pelican"]]
    for text in (*project["dependencies"], *extras):
        asked = Requirement(text)
        pinned = pins.get(name_of(asked.name))
        assert pinned is None or asked.specifier.contains(pinned), f"{asked} and {pinned}"
