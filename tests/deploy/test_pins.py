"""Each service runs with exactly the versions of its requirements file, and with nothing else."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from itertools import chain, combinations
from pathlib import Path

import httpx
import pytest
from packaging.requirements import Requirement

from rexec_jupyter.core import protocol as p
from tests.backend.agenting import Site
from tests.endpoint.canary import secret
from tests.endpoint.service import Endpoint, clean_environment

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
SERVICES = ("broker", "deploy_api", "ep_api", "server")
# What a new environment may hold without having been asked for.
TOOLS = {"pip", "setuptools"}
IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if ".migrations." not in found.name and not found.name.endswith("__main__"):
        importlib.import_module(found.name)
"""


def name_of(text):
    return re.sub(r"[-_.]+", "-", text).lower()


def requirements(service):
    return ROOT / "services" / service / "requirements.txt"


def pins(file):
    lines = [line for line in file.read_text().splitlines() if line and line[0] != "#"]
    found = [re.fullmatch(r"([A-Za-z0-9._-]+)(\[\w+\])?==([A-Za-z0-9.]+)", line) for line in lines]
    assert all(found), lines
    return {name_of(match[1]): match[3] for match in found}


@pytest.fixture(scope="module")
def interpreters(tmp_path_factory):
    """Return what makes an environment with the pinned packages and our code beside them."""
    made = {}

    def interpreter(service):
        if service not in made:
            made[service] = environment(tmp_path_factory.mktemp(service) / "venv", service)
        return made[service]

    return interpreter


def environment(directory, service):
    python = directory / "bin" / "python"
    pinned = requirements(service)
    if uv := shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"):
        commands = [
            [uv, "venv", "--quiet", "--python", sys.executable, directory],
            [uv, "pip", "install", "--quiet", "--python", python, "--requirement", pinned],
        ]
    else:
        pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        commands = [
            [sys.executable, "-m", "venv", directory],
            [*pip, "install", "--requirement", pinned],
        ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    (packages,) = directory.glob("lib/python*/site-packages")
    (packages / "rexec.pth").write_text(f"{ROOT}\n{ROOT / 'services' / service}\n")
    return python


# ------------------------------------------------------------------------- each of them


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.slow
def test_the_pins_are_complete_and_no_module_needs_more(service, interpreters):
    python = interpreters(service)
    (packages,) = python.parents[1].glob("lib/python*/site-packages")
    installed = {
        name_of(found.metadata["Name"]): found.version
        for found in distributions(path=[str(packages)])
    }
    expected = pins(requirements(service))
    assert {name: installed[name] for name in installed.keys() - TOOLS} == expected
    done = subprocess.run(
        [python, "-P", "-W", "ignore", "-c", IMPORT_ALL, f"rexec_{service}"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_broker_starts_with_its_pins(interpreters, tmp_path):
    from rexec_jupyter.core.credentials import SigningKey

    (tmp_path / "verify.pem").write_bytes(SigningKey.generate().public_pem)
    command = [interpreters("broker"), "-m", "rexec_broker", "--verify-key-file", "verify.pem"]
    with (
        serving(command, tmp_path) as ready,
        httpx.Client(base_url=f"http://{ready['health']}", timeout=PATIENCE) as client,
    ):
        assert client.get("/readyz").status_code == 200
        assert "rexec_broker" in client.get("/metrics").text


@pytest.mark.slow
def test_a_server_runs_calls_and_cells_with_its_pins(interpreters, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(interpreters("server")))
    site = Site(tmp_path, workers=1)
    try:
        site.start()
        job = site.submit(len, "four")
        assert site.value(*site.events(job)[-1]) == 4
        job = site.submit_cell("import ipywidgets; print(6 * 7)")
        events = site.events(job)
        assert isinstance(events[-1][0], p.Done), events[-1]
    finally:
        site.stop()
    assert (interpreters("server").parent / "uv").exists()


@pytest.mark.slow
def test_a_deploy_api_starts_with_its_pins(interpreters, tmp_path):
    python = interpreters("deploy_api")
    keys = subprocess.run(
        [python, "-m", "rexec_deploy_api", "keys"], cwd=tmp_path, capture_output=True, check=False
    )
    assert keys.returncode == 0, keys.stderr
    settings = {
        "REXEC_DEPLOY_SPAWNER": "process",
        "REXEC_DEPLOY_BROKER_KEY_FILE": "keys/broker.pub",
        "REXEC_DEPLOY_BROKER_HEALTH_URL": "http://127.0.0.1:9",
    }
    command = [python, "-m", "rexec_deploy_api", "serve", "--port", "0"]
    with (
        serving(command, tmp_path, settings) as ready,
        httpx.Client(base_url=ready["url"], timeout=PATIENCE) as client,
    ):
        assert client.get("/health").status_code == 200
        assert client.get("/v1/servers").status_code == 401


class serving:  # noqa: N801 - used as a function
    """Runs a command that reports on ``--ready-fd``; gives what it reports."""

    def __init__(self, command, directory, settings=None):
        self.command = command
        self.directory = directory
        self.environment = clean_environment() | (settings or {})

    def __enter__(self):
        read, write = os.pipe()
        with (self.directory / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [*self.command, "--ready-fd", str(write)],
                cwd=self.directory,
                env=self.environment,
                pass_fds=[write],
                stderr=log,
            )
        os.close(write)
        with os.fdopen(read) as ready:
            line = ready.readline()
        if not line:
            self.process.wait(PATIENCE)
        assert line, (self.directory / "log").read_text()
        return json.loads(line)

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0, (self.directory / "log").read_text()


@pytest.mark.slow
def test_defect_27_an_endpoint_starts_with_exactly_its_pins(interpreters, tmp_path):
    interpreter = interpreters("ep_api")
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


# -------------------------------------------------------------------------- all of them


@pytest.mark.parametrize("service", SERVICES)
def test_the_pins_are_within_what_the_package_asks_for(service):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = pins(requirements(service))
    optional = chain.from_iterable(project["optional-dependencies"].values())
    for text in (*project["dependencies"], *optional):
        asked = Requirement(text)
        version = pinned.get(name_of(asked.name))
        assert version is None or asked.specifier.contains(version), f"{asked} and {version}"


def test_what_several_services_need_is_the_same_in_all():
    every = {service: pins(requirements(service)) for service in SERVICES}
    every["build"] = pins(ROOT / "services/build-requirements.txt")
    for one, other in combinations(every, 2):
        shared = every[one].keys() & every[other].keys()
        assert {name: every[one][name] for name in shared} == {
            name: every[other][name] for name in shared
        }
