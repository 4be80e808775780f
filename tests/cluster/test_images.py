"""Each image holds what its service needs, nothing else, and lets it run with few rights."""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess

import httpx
import pytest

import rexec_jupyter as rexec
from rexec_jupyter._version import __version__
from rexec_jupyter.core.credentials import SigningKey
from rexec_jupyter.core.trust import new_keypair, read_keypair
from tests.cluster.broker import PREFIX, TAG, image
from tests.cluster.images import (
    BASE,
    MB,
    MOST,
    ROOT,
    SERVICES,
    Container,
    about,
    build,
    docker,
    made,
    pins,
    python,
    run,
)

pytestmark = pytest.mark.timeout(600)

TOOLS = """
import importlib.util, json, os, shutil, sys
found = [name for name in ("pip", "pip3", "gcc", "cc", "g++", "make") if shutil.which(name)]
found += [name for name in ("pip", "setuptools", "wheel") if importlib.util.find_spec(name)]
print(json.dumps(found))
"""
PACKAGES = """
import json, re
from importlib.metadata import distributions
print(json.dumps({
    re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower(): found.version
    for found in distributions()
    if str(found.locate_file("")).startswith("/opt/rexec")
}))
"""
BYTECODE = """
import importlib.util, json, os, pathlib, sysconfig
without, checked = [], []
for path in pathlib.Path("/opt/rexec/lib").rglob("*.py"):
    cache = pathlib.Path(importlib.util.cache_from_source(str(path)))
    if not cache.exists():
        without.append(str(path))
    elif cache.read_bytes()[4:8] != b"\\x01\\0\\0\\0":
        checked.append(str(path))
library = pathlib.Path(sysconfig.get_path("stdlib"))
for name in ("os.py", "json/__init__.py", "asyncio/base_events.py"):
    cache = importlib.util.cache_from_source(str(library / name))
    if not os.path.exists(cache):
        without.append(cache)
print(json.dumps([without, checked]))
"""
CONTENT = "cd /opt/rexec && find . -type f -exec sha256sum {} + | sort"


@pytest.fixture(scope="module", autouse=True)
def docker_runs():
    if shutil.which("docker") and "Server" in docker("version", check=False):
        return
    if os.environ.get("CI"):
        pytest.fail("there is no Docker: set DOCKER_HOST")
    pytest.skip("there is no Docker: set DOCKER_HOST")


@pytest.fixture(params=SERVICES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A directory with the keys of a deployment, made by the command for that."""
    directory = tmp_path_factory.mktemp("keys")
    directory.chmod(0o777)
    mounted = ("--volume", f"{directory}:/keys")
    command = ("-m", "rexec_deploy_api", "keys", "--directory", "/keys")
    run("deploy-api", *command, entrypoint="python", options=mounted)
    return directory


@pytest.fixture(scope="module")
def network():
    with made("network", f"rexec-test-{secrets.token_hex(4)}") as name:
        yield name


@pytest.fixture(scope="module")
def broker(keys, network):
    options = (
        *("--network", network, "--network-alias", "broker", "--volume", f"{keys}:/keys:ro"),
        *("--publish", "127.0.0.1::5562"),
    )
    with Container("broker", options=options) as container:
        yield container.healthy()


# ------------------------------------------------------------------------ what is in them


def test_it_is_described_and_small(name, capsys):
    told = about(image(name))
    config = told["Config"]
    labels = {
        key.removeprefix("org.opencontainers.image."): value
        for key, value in config["Labels"].items()
    }
    assert labels["title"] == f"rexec-{name}"
    assert labels["licenses"] == "BSD-3-Clause"
    assert labels["version"] == __version__
    assert all(labels[each] for each in ("description", "revision", "source"))
    assert config["User"] == "10001:10001"
    assert config["Healthcheck"]["Test"]
    assert not any("PIP_" in each or "SOURCE_DATE" in each for each in config["Env"])
    base = about(BASE)
    layers = base["RootFS"]["Layers"]
    assert told["RootFS"]["Layers"][: len(layers)] == layers, f"it is not made from {BASE}"
    over = told["Size"] - base["Size"]
    with capsys.disabled():
        print(f"\nrexec-{name}: {over / MB:.0f} MB over its base")
    assert over <= MOST[name]


def test_nothing_in_it_installs_or_compiles(name):
    assert json.loads(python(name, TOOLS)) == []
    found = run(name, "-c", "find / -xdev -name 'pip*' -path '*-packages/*' 2>/dev/null || true")
    assert not [line for line in found.splitlines() if line.endswith(("/pip", "/pip3"))]


def test_it_holds_exactly_the_pinned_packages(name):
    assert json.loads(python(name, PACKAGES)) == pins(name) | {"rexec-jupyter": __version__}


def test_nothing_is_compiled_when_it_starts(name):
    without, checked = json.loads(python(name, BYTECODE))
    assert (without, checked) == ([], [])


def test_it_runs_as_a_user_who_may_write_nothing(name):
    assert run(name, "-c", "id -u; id -g").split() == ["10001", "10001"]
    for place in ("/opt/rexec", "/", "/usr"):
        asked = run(name, "-c", f"test -w {place} && echo yes || echo no")
        assert asked.strip() == "no", place
    # Nor without the read-only root.
    writable = docker(
        *("run", "--rm", "--network", "none", "--entrypoint", "/bin/sh", image(name)),
        *("-c", "find /opt /usr /etc -writable -not -type l 2>/dev/null | head; true"),
    )
    assert writable == ""


@pytest.mark.slow
def test_built_again_it_is_the_same():
    found = []
    for options in ((), ("--no-cache",)):
        tag = f"rexec-test-{secrets.token_hex(4)}"
        build("broker", tag, *options)
        try:
            asked = docker("run", "--rm", "--entrypoint", "/bin/sh", tag, "-c", CONTENT)
        finally:
            docker("rmi", tag)
        found.append(set(asked.splitlines()))
    assert len(found[0]) > 1000
    assert not found[0] ^ found[1]


# --------------------------------------------------------------------------- they all run


def test_the_keys_are_made_once(keys):
    before = {path.name: path.read_bytes() for path in keys.iterdir()}
    assert before.keys() == {"broker", "broker.pub", "signing.pem", "verify.pem", "secret"}
    assert read_keypair(keys / "broker").public == before["broker.pub"].strip()
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in keys.iterdir())
    mounted = ("--volume", f"{keys}:/keys")
    command = ("-m", "rexec_deploy_api", "keys", "--directory", "/keys")
    assert "already" in run("deploy-api", *command, entrypoint="python", options=mounted)
    assert {path.name: path.read_bytes() for path in keys.iterdir()} == before


def test_the_endpoint_starts():
    with Container("ep-api", options=("--network", "none")) as endpoint:
        assert endpoint.healthy().stop() == 0


def test_the_deploy_api_starts(keys):
    options = (
        *("--network", "none", "--volume", f"{keys}:/keys:ro", "--tmpfs", "/data:uid=10001"),
        *("--env", "REXEC_DEPLOY_SPAWNER=process"),
        *("--env", "REXEC_DEPLOY_BROKER_KEY_FILE=/keys/broker.pub"),
    )
    with Container("deploy-api", options=options) as api:
        assert api.healthy().stop() == 0
    # Kubernetes is what it is for: nothing is missing there either.
    assert python("deploy-api", "import rexec_deploy_api.spawner.kubernetes.spawner") == ""


def test_the_broker_and_a_server_start_and_meet(broker, keys, network, tmp_path):
    pair = new_keypair()
    signing = SigningKey.read(keys / "signing.pem")
    certificate = signing.certificate(user="ann", server="default", key=pair.public.decode())
    (tmp_path / "curve").write_bytes(pair.public + b"\n" + pair.secret + b"\n")
    (tmp_path / "certificate").write_text(certificate)
    tmp_path.chmod(0o755)
    feed = f"http://{docker('port', broker.id, '5562/tcp').strip()}/servers"

    def able():
        headers = {"Authorization": f"Bearer {signing.status_token()}"}
        answer = httpx.get(feed, headers=headers, timeout=60).raise_for_status()
        servers = answer.json()["servers"]
        return [server["able"] for server in servers]

    owned = "uid=10001,gid=10001,mode=700"
    with made("volume", f"rexec-test-{secrets.token_hex(4)}") as handoff:
        shared = ("--volume", f"{handoff}:/handoff")
        of_agent = (
            *("agent", "--broker", "tcp://broker:5560", "--handoff", "/handoff"),
            *("--broker-key", (keys / "broker.pub").read_text().strip(), "--directory", "/journal"),
            *("--curve-key-file", "/keys/curve", "--certificate-file", "/keys/certificate"),
            *("--liveness-file", "/run/rexec/alive"),
        )
        options = (
            *(*shared, "--network", network, "--volume", f"{tmp_path}:/keys:ro"),
            *("--tmpfs", f"/journal:{owned}", "--tmpfs", f"/run/rexec:{owned}"),
        )
        with Container("server", *of_agent, options=options) as agent:
            agent.healthy().until(lambda: able() == [False], "welcomed by the broker")
            of_exec = ("exec", "--handoff", "/handoff", "--workers", "1")
            options = (*shared, "--network", "none", "--tmpfs", f"/home/rexec:{owned},exec")
            with Container("server", *of_exec, options=options) as execs:
                agent.until(lambda: able() == [True], "able to run code")
                execs.healthy().run("uv", "--version")
                assert execs.stop() == 0
            agent.until(lambda: able() == [False], "without exec")
            assert agent.stop() == 0


def test_a_broker_ends_in_good_order(keys):
    options = ("--network", "none", "--volume", f"{keys}:/keys:ro")
    with Container("broker", options=options) as one:
        assert one.healthy().stop() == 0


# ------------------------------------------------------------------------- all on one machine


def free_ports(count):
    """Return ports that are free, none of those that systems give to whoever connects."""
    found = set()
    while len(found) < count:
        port = 20_000 + secrets.randbelow(10_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.add(port)
    return found


@pytest.fixture
def compose(tmp_path, monkeypatch):
    """Return what runs compose for a project of its own, which is taken away afterwards."""
    command = [shutil.which("docker-compose")]
    if not command[0]:
        if "Docker Compose" not in docker("compose", "version", check=False):
            pytest.fail("Docker's compose is missing (on Debian: apt-get install docker-compose)")
        command = ["docker", "compose"]
    project = f"rexec-test-{secrets.token_hex(4)}"
    command += ["--project-name", project, "--file", str(ROOT / "services/compose.yaml")]

    def run(*arguments):
        done = subprocess.run(
            [*command, *arguments], check=False, capture_output=True, text=True, timeout=280
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    yield run
    run("down", "--volumes")


@pytest.mark.slow
def test_compose_runs_the_whole_backend(compose, tmp_path, monkeypatch):
    token = f"test-{secrets.token_hex(16)}"
    port, deploy, broker = free_ports(3)
    settings = {
        "REXEC_EP_DEVELOPMENT": "true",
        "TEST_TOKEN": token,
        "REXEC_PORT": port,
        "REXEC_DEPLOY_PORT": deploy,
        "REXEC_BROKER_PORT": broker,
        "REXEC_DEPLOYMENT_API_URL": f"http://127.0.0.1:{deploy}",
        "REXEC_IMAGE_PREFIX": PREFIX,
        "REXEC_IMAGE_TAG": TAG,
        "REXEC_CONFIG_DIR": tmp_path,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    compose("build", "--build-arg", f"BASE_IMAGE={BASE}", "keys")
    compose("up", "--detach")
    url = f"http://127.0.0.1:{port}"
    with rexec.connect(url, token=token, timeout=150) as client:
        assert client.run(os.getuid) == 10001
        client.session("default").run_cell("x = 41")
    compose("restart")
    # The same keys and the same server's journal: whoever knew this backend still does.
    with rexec.connect(url, token=token, timeout=150) as client:
        assert client.run(os.getuid) == 10001
    assert token not in compose("logs")
