"""The whole way over HTTP: a server is asked for, becomes ready, and runs calls."""

import contextlib
import sys

import httpx
import pytest

from rexec_jupyter._connect import connect_to
from rexec_jupyter.core.backend import Address
from rexec_jupyter.core.trust import new_keypair
from tests.deploy.serving import events_in
from tests.deploy.whole import PATIENCE, TOKEN, broker_in, deploy_api
from tests.places import short_directory


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

    async def revive(self):
        pass

    async def ticket(self, key):
        answer = self._client.post("/v1/tickets", json={"client_pubkey": key})
        self._told = answer.raise_for_status().json()
        return self._told["ticket"], self._told["expires_in"]

    def job_secret(self):
        return bytes.fromhex(self._told["job_secret"])

    async def close(self):
        pass


@pytest.fixture
def client():
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with (
        short_directory() as directory,
        broker_in(directory) as broker,
        deploy_api(directory, broker) as url,
        httpx.Client(base_url=url, headers=headers, timeout=PATIENCE) as client,
    ):
        yield client


@contextlib.contextmanager
def states(client):
    """Give the states that a server had and enters; it is followed from now on."""
    with client.stream("GET", "/v1/servers/default/events") as stream:
        yield (event["state"] for _, event in events_in(stream.iter_lines()))


def test_from_a_form_to_a_result_and_to_the_end(client):
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    form = {"requirments": [f"python=={version}"], "token": TOKEN}
    assert client.post("/spawn", data=form).json()["Status"].endswith("created.")
    with states(client) as told:
        assert next(state for state in told if state in ("ready", "failed")) == "ready"
    with connect_to(Reached(client), timeout=PATIENCE) as session:
        assert session.submit(pow, 2, 10).result(PATIENCE) == 1024
        told = client.get("/v1/servers/default").json()
        assert (told["state"], told["warning"]) == ("ready", "")
    logs = client.get("/v1/servers/default/logs", params={"part": "agent"})
    assert logs.status_code == 200
    with states(client) as told:
        assert client.request("DELETE", "/terminate", data={"token": TOKEN}).status_code == 200
        assert list(told)[-2:] == ["stopping", "gone"]
    assert client.get("/v1/servers").json() == {"servers": []}
