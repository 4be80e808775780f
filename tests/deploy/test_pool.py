"""Servers that are kept ready: real ones, of a real deploy API, at a real broker."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from rexec_deploy_api.pool import Pool
from rexec_deploy_api.presence import Attendance
from rexec_deploy_api.records import Key
from rexec_jupyter._connect import connect_to
from tests.backend.brokering import until
from tests.deploy.memory_spawner import MemorySpawner
from tests.deploy.test_whole import Reached
from tests.deploy.whole import PATIENCE, TOKEN, broker_in, deploy_api
from tests.places import short_directory

MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
PROFILES = [{"name": "quick", "cpu": 2, "warm": 1}, {"name": "slow", "cpu": 2}]


class Place:
    """A deploy API that may be started anew, beside a broker that goes on."""

    def __init__(self, directory, broker):
        self.directory = directory
        self.broker = broker

    def profiles(self, profiles):
        (self.directory / "profiles.json").write_text(json.dumps(profiles))

    def api(self):
        return deploy_api(self.directory, self.broker, REXEC_DEPLOY_PROFILES="profiles.json")


@contextlib.contextmanager
def a_place():
    with short_directory() as directory, broker_in(directory) as broker:
        made = Place(directory, broker)
        made.profiles(PROFILES)
        yield made


@pytest.fixture(scope="module")
def place():
    with a_place() as made:
        yield made


def at(url):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return httpx.Client(base_url=url, headers=headers, timeout=PATIENCE)


@pytest.fixture(scope="module")
def client(place):
    with place.api() as url, at(url) as client:
        yield client


@pytest.fixture(autouse=True)
def none_left(request):
    yield
    if "client" in request.fixturenames:
        end_all(request.getfixturevalue("client"))


def end_all(client):
    for each in client.get("/v1/servers").json()["servers"]:
        client.delete(f"/v1/servers/{each['name']}")
    until(lambda: not client.get("/v1/servers").json()["servers"], "the end of all")


def kept(client, state="ready", profile="quick"):
    """Return how many are kept ready."""
    wanted = f'rexec_deploy_warm{{profile="{profile}",state="{state}"}}'
    lines = client.get("/metrics").text.splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(wanted)), 0)


def begin(client, name="default", **asked):
    answer = client.post("/v1/servers", json={"name": name, **asked})
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def ready(client, name="default"):
    def look():
        told = client.get(f"/v1/servers/{name}").json()
        assert told["state"] != "failed", told
        return told["state"] == "ready" and told

    return until(look, f"{name} is ready")


def agents(place):
    """Return the numbers of the processes of all agents of this place."""
    found = set()
    for number in Path("/proc").glob("[0-9]*"):
        try:
            parts = (number / "cmdline").read_text().split("\0")
        except OSError:  # it ended
            continue
        if "agent" in parts and any(str(place.directory) in part for part in parts):
            found.add(int(number.name))
    return found


def test_who_comes_gets_one_at_once_and_another_one_is_made_ready(client, place):
    until(lambda: kept(client) == 1, "one is ready")
    before = agents(place)
    assert len(before) == 1
    begin(client, requirements=[f"python=={MINOR}"])
    assert ready(client)["profile"] == "quick"
    assert before <= agents(place)
    with connect_to(Reached(client), timeout=PATIENCE) as session:
        assert session.submit(pow, 2, 10).result(PATIENCE) == 1024
    until(lambda: kept(client) == 1, "the next one is ready")
    until(lambda: len(agents(place)) == 2, "an agent for each")
    logs = client.get("/v1/servers/default/logs", params={"part": "agent"})
    assert "the broker knows this server" in logs.text
    assert client.delete("/v1/servers/default").is_success
    # What somebody used is nobody else's.
    until(lambda: not before & agents(place), "the end of its process")
    until(lambda: not client.get("/v1/servers").json()["servers"], "the end of its record")


def test_one_is_given_to_one_alone(client, place):
    until(lambda: kept(client) == 1, "one is ready")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: begin(client, f"s{number}"), range(4)))
    for number in range(4):
        ready(client, f"s{number}")
    until(lambda: kept(client) == 1, "the next one is ready")
    until(lambda: len(agents(place)) == 5, "an agent for each")


@pytest.mark.parametrize("asked", [{"profile": "slow"}, {"cpu": 1}, {"environment": {"A": "1"}}])
def test_who_asks_for_something_else_gets_one_that_is_so(client, place, asked):
    until(lambda: kept(client) == 1, "one is ready")
    until(lambda: len(agents(place)) == 1, "the end of what others had")
    before = agents(place)
    begin(client, **asked)
    ready(client)
    assert kept(client) == 1
    assert len(agents(place) - before) == 1


def test_it_waits_for_a_broker_that_is_away(client, place):
    until(lambda: kept(client) == 1, "one is ready")
    with place.broker.held():
        begin(client)
    ready(client)
    with connect_to(Reached(client), timeout=PATIENCE) as session:
        assert session.submit(pow, 2, 10).result(PATIENCE) == 1024


def test_its_agent_may_be_started_again(client, place):
    until(lambda: kept(client) == 1, "one is ready")
    until(lambda: len(agents(place)) == 1, "the end of what others had")
    (number,) = agents(place)
    begin(client)
    ready(client)
    os.kill(number, signal.SIGKILL)
    until(lambda: number not in agents(place), "its end")
    with connect_to(Reached(client), timeout=PATIENCE) as session:
        assert session.submit(pow, 2, 10).result(PATIENCE) == 1024


def test_it_ends_although_something_happens_in_the_same_moment():
    async def work():
        attendance = Attendance("http://127.0.0.1:9", str, lambda _: None)
        pool = Pool(MemorySpawner(), attendance, None, {})
        running = asyncio.create_task(pool.run())
        await asyncio.sleep(0.05)  # it waits by then
        pool.changed(Key("~warm/1", "default"))
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running], timeout=PATIENCE)
        assert running.cancelled()

    asyncio.run(work())


def test_after_a_restart_there_is_one_as_the_profile_is_now():
    with a_place() as place:
        with place.api() as url, at(url) as client:
            until(lambda: kept(client) == 1, "one is ready")
            begin(client)
            generation = ready(client)["generation"]
        place.profiles([PROFILES[0] | {"cpu": 1, "warm": 2}])
        with place.api() as url, at(url) as client:
            # Processes end with the deploy API, so it gets one of its own.
            again = until(
                lambda: (told := ready(client))["generation"] > generation and told, "another one"
            )
            assert again["cpu"] == 2
            until(lambda: kept(client) == 2, "two are ready")
            until(lambda: len(agents(place)) == 3, "nothing else runs")
