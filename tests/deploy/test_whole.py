"""The whole way over HTTP: a server is asked for, becomes ready, and runs calls."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import pytest

from rexec_jupyter._connect import connect_to
from rexec_jupyter.core.backend import Address
from rexec_jupyter.core.trust import new_keypair
from tests.backend.brokering import running
from tests.deploy.serving import events_in
from tests.endpoint.service import clean_environment

PATIENCE = 40.0
TOKEN = "a-token-for-trying-this-out"


class Reached:
    """How a client reaches the broker, as the deploy API tells."""

    description = "a server over HTTP"
    progress = ""

    def __init__(self, client):
        self._client = client
        self._told = None

    async def locate(self):
        await self.ticket(new_keypair().public.decode())  # the secret comes with any
        told = self._client.get("/broker-config").json()
        return Address(f"tcp://{told['broker_external_url']}", told["curve_public_key"])

    async def ticket(self, key):
        answer = self._client.post("/v1/tickets", json={"client_pubkey": key})
        self._told = answer.raise_for_status().json()
        return self._told["ticket"], self._told["expires_in"]

    def job_secret(self):
        return bytes.fromhex(self._told["job_secret"])

    async def close(self):
        pass


@pytest.fixture
def directory():
    # The paths of sockets are short.
    made = Path(tempfile.mkdtemp(prefix="rx-", dir="/tmp"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def broker(directory):
    with running(directory) as broker:
        broker.signing.write(directory / "signing.pem")
        yield broker


@pytest.fixture
def client(directory, broker):
    (directory / "secret").write_bytes(os.urandom(32))
    (directory / "token").write_text(TOKEN)
    (directory / "token").chmod(0o600)
    settings = {
        "REXEC_DEPLOY_SIGNING_KEY_FILE": "signing.pem",
        "REXEC_DEPLOY_SECRET_FILE": "secret",
        "REXEC_DEPLOY_BROKER_KEY": broker.keys.public.decode(),
        "REXEC_DEPLOY_BROKER_PORT": broker.ready["client"].rpartition(":")[2],
        "REXEC_DEPLOY_BROKER_SERVERS": broker.ready["server"],
        "REXEC_DEPLOY_BROKER_HEALTH_URL": f"http://{broker.ready['health']}",
        "REXEC_DEPLOY_DEVELOPMENT": "true",
        "REXEC_DEPLOY_DEVELOPMENT_TOKEN_FILE": "token",
        "REXEC_DEPLOY_DIRECTORY": "servers",
    }
    read, write = os.pipe()
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "rexec_deploy_api", "serve", "--port=0", f"--ready-fd={write}"],
            cwd=directory,
            env=clean_environment() | settings,
            pass_fds=[write],
            stdout=log,
            stderr=log,
        )
    os.close(write)
    try:
        with os.fdopen(read) as ready:
            url = json.loads(ready.readline())["url"]
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=url, headers=headers, timeout=PATIENCE) as client:
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0, (directory / "log").read_text()


def states(client, until):
    with client.stream("GET", "/v1/servers/default/events") as stream:
        for _, event in events_in(stream.iter_lines()):
            yield event["state"]
            if event["state"] in (until, "failed"):
                return


def test_from_a_form_to_a_result_and_to_the_end(client):
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    form = {"requirments": [f"python=={version}"], "token": TOKEN}
    assert client.post("/spawn", data=form).json()["Status"].endswith("created.")
    assert list(states(client, "ready"))[-1] == "ready"
    with connect_to(Reached(client), timeout=PATIENCE) as session:
        assert session.submit(pow, 2, 10).result(PATIENCE) == 1024
        told = client.get("/v1/servers/default").json()
        assert (told["state"], told["warning"]) == ("ready", "")
    logs = client.get("/v1/servers/default/logs", params={"part": "agent"})
    assert logs.status_code == 200
    assert client.request("DELETE", "/terminate", data={"token": TOKEN}).status_code == 200
    assert list(states(client, "gone"))[-2:] == ["stopping", "gone"]
    assert client.get("/v1/servers").json() == {"servers": []}
