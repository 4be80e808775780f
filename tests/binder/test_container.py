"""The demo as Binder starts it: an image of this repository, in which a visitor takes the tour."""

import json
import re
import secrets
import shutil
import subprocess
import time
import urllib.request

import pytest

from tests.cluster.images import BASE, MB, ROOT, docker

pytestmark = [pytest.mark.container, pytest.mark.timeout(900)]

MEMORY = 1024 * 1024 * 1024
PEAK = """
import pathlib, time
from rexec_server.exec.container import Container

group, peak = Container.find(), 0
print(group.limit(), flush=True)
while not pathlib.Path("/tmp/enough").exists():
    peak = max(peak, group.taken())
    time.sleep(0.05)
print(peak)
"""


@pytest.fixture(scope="module", autouse=True)
def docker_runs():
    if not shutil.which("docker") or "Server" not in docker("version", check=False):
        pytest.fail("there is no Docker: set DOCKER_HOST")


def copy_of_repository(place):
    """Copy what a clone would have, with what is about to be added."""
    listed = subprocess.check_output(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=ROOT, text=True
    )
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and name != ".dockerignore":  # which is about the services
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)
    return place


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    repository = copy_of_repository(tmp_path_factory.mktemp("repository"))
    python = (repository / "binder/runtime.txt").read_text().strip().removeprefix("python-")
    tag = f"rexec-binder-{secrets.token_hex(4)}"
    docker(
        *("build", "--quiet", "--tag", tag, "--file", repository / "tests/binder/Dockerfile"),
        *("--build-arg", f"BASE_IMAGE={re.sub(r'3[.][0-9]+', python, BASE)}", repository),
        timeout=800,
    )
    yield tag
    docker("rmi", tag)


class Visit:
    """JupyterLab in a container that may take as much as Binder promises."""

    def __init__(self, image):
        began = time.monotonic()
        self.token = secrets.token_hex(16)
        self.id = docker(
            *("run", "--detach", "--memory", MEMORY, "--memory-swap", MEMORY),
            *("--env", f"JUPYTER_TOKEN={self.token}", "--publish", "127.0.0.1::8888", image),
        ).strip()
        self.url = f"http://{docker('port', self.id, '8888/tcp').split()[0]}"
        while True:
            try:
                self.get("/api/status")
                break
            except OSError:
                assert time.monotonic() < began + 60, docker("logs", self.id, check=False)
                time.sleep(0.1)

    def get(self, path):
        """Ask JupyterLab's server."""
        headers = {"Authorization": f"token {self.token}"}
        asked = urllib.request.Request(self.url + path, headers=headers)
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return json.loads(answer.read())

    def run(self, *command, **options):
        """Run a command as Binder would; return what it wrote, errors and all."""
        return docker("exec", self.id, "./binder/start", *command, **options)


@pytest.fixture(scope="module")
def visit(image):
    visit = Visit(image)
    yield visit
    docker("rm", "--force", "--volumes", visit.id)


def test_jupyterlab_has_the_panel_and_its_server_extension(visit):
    assert visit.run("id", "-u").strip() == "1000"
    listed = visit.run("sh", "-c", "jupyter labextension list 2>&1")
    assert re.search(r"rexec-jupyter v\S+ \S*enabled\S* \S*OK", listed), listed
    listed = visit.run("sh", "-c", "jupyter server extension list 2>&1")
    assert re.search(r"rexec_jupyter\.labapp\s+\S*\s*\S*OK", listed), listed
    assert "rexec-jupyter" in visit.run("pip", "list")
    visit.run("pip", "check")


def test_the_notebook_and_the_panel_are_what_a_visitor_sees(visit):
    layout = visit.get("/lab/api/workspaces/default")["data"]["layout-restorer:data"]
    assert layout["left"]["current"] == "rexec-panel"
    assert layout["main"]["current"] == "notebook:examples/demo.ipynb"
    asked = visit.get("/lab/api/settings/@jupyterlab/apputils-extension:notification")
    assert asked["schema"]["properties"]["fetchNews"]["default"] == "false"
    assert visit.get("/api/contents/examples/demo.ipynb?content=0")["type"] == "notebook"


def test_nothing_of_the_build_is_left(visit):
    assert visit.run("sh", "-c", "ls -d build node_modules ~/.cache/pip ~/.npm 2>&1 || true") == (
        "".join(
            f"ls: cannot access '{name}': No such file or directory\n"
            for name in ("build", "node_modules", "/home/jovyan/.cache/pip", "/home/jovyan/.npm")
        )
    )


def test_the_tour_takes_less_than_binder_promises(visit, capsys):
    watching = subprocess.Popen(
        ["docker", "exec", visit.id, "python", "-c", PEAK], stdout=subprocess.PIPE, text=True
    )
    try:
        assert int(watching.stdout.readline()) == MEMORY
        tour = visit.run(
            *("python", "scripts/quickstart.py", "examples/demo.ipynb", "--patience", "5"),
            timeout=200,
        )
    finally:
        visit.run("touch", "/tmp/enough")
        told, _ = watching.communicate(timeout=30)
    with capsys.disabled():
        print(f"\n{tour}At most {int(told) / MB:.0f} MB of {MEMORY / MB:.0f} MB were taken.")
    assert "All of them ran" in tour
    assert int(told) < 0.8 * MEMORY


def test_a_cell_that_takes_too_much_is_told_so_and_jupyterlab_goes_on(visit):
    source = """
import rexec_jupyter as rexec
try:
    rexec.run("kept = bytearray()\\nwhile True: kept += b'x' * 2**20")
except rexec.RexecError as error:
    print(error)
print(rexec.run("x = 1 + 1", out="x"))
"""
    told = visit.run("python", "-c", source, timeout=100)
    assert "out of memory" in told
    assert told.endswith("{'x': 2}\n")
    assert visit.get("/api/status")["kernels"] == 0
    assert json.loads(docker("inspect", visit.id))[0]["State"]["OOMKilled"] is False
