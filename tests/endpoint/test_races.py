"""Many clients at once, and several worker processes: nothing is lost, doubled or torn."""

import itertools
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, Event

import httpx
import pytest

from tests.endpoint.canary import watch
from tests.endpoint.service import PATIENCE, Endpoint

CLIENTS = 12
# A dataset that is registered again within a second has no other name left.
TAKEN = {400, 409}


@pytest.fixture(scope="module")
def endpoint(database_url, identity, tmp_path_factory):
    """The service with several workers, which share a database."""
    directory = tmp_path_factory.mktemp("endpoint-of-races")
    watch(directory)
    settings = {"AUTH_API_URL": identity.url, "REXEC_EP_DATABASE_URL": database_url}
    with Endpoint(directory, settings, "--workers", 3) as running:
        yield running


@pytest.fixture
def lab(as_writer, fresh):
    name = fresh("lab")
    assert as_writer.post("/organization", json={"name": name, "title": "L"}).status_code == 201
    return name


@pytest.fixture
def at_once(endpoint, identity):
    """Return what calls a function for each item, each with a client of its own, at one time."""

    def run(function, items):
        items = list(items)
        barrier = Barrier(len(items))

        def one(item):
            with endpoint.client(identity.token("writer")) as client:
                client.get("/health")  # so that it is connected
                barrier.wait()
                return function(client, item)

        with ThreadPoolExecutor(len(items)) as pool:
            return list(pool.map(one, items))

    return run


def named(client, name):
    """Return the hits whose name begins so."""
    found = client.get("/search", params={"terms": name, "keys": "name"}).json()
    return [hit for hit in found if hit["name"].startswith(name)]


def general(lab, name, **more):
    return {"name": name, "title": "T", "owner_org": lab, **more}


REGISTRATIONS = {
    "/organization": lambda lab, name: {"name": name, "title": "T"},
    "/url": lambda lab, name: {
        "resource_name": name,
        "resource_title": "T",
        "owner_org": lab,
        "resource_url": "https://data.example.org/x",
    },
    "/s3": lambda lab, name: {
        "resource_name": name,
        "resource_title": "T",
        "owner_org": lab,
        "resource_s3": "s3://bucket/x",
    },
    "/kafka": lambda lab, name: {
        "dataset_name": name,
        "dataset_title": "T",
        "owner_org": lab,
        "kafka_topic": "x",
        "kafka_host": "kafka.example.org",
        "kafka_port": 9092,
    },
    "/services": lambda lab, name: {
        "service_name": name,
        "service_title": "T",
        "owner_org": "services",
        "service_url": "https://x.example.org",
    },
}


@pytest.mark.parametrize("path", REGISTRATIONS)
def test_of_many_who_register_one_name_exactly_one_succeeds(at_once, as_writer, lab, fresh, path):
    name = fresh("one")
    body = REGISTRATIONS[path](lab, name)
    answers = at_once(lambda client, _: client.post(path, json=body), range(CLIENTS))
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(201) == 1, statuses
    assert set(statuses) <= {201, *TAKEN}
    if path == "/organization":
        assert as_writer.get("/organization", params={"name": name}).json() == [name]
    else:
        assert len(named(as_writer, name)) == 1


def test_datasets_of_one_name_get_others_or_are_refused_but_none_is_lost(
    at_once, as_writer, lab, fresh
):
    name = fresh("many")
    answers = at_once(
        lambda client, _: client.post("/dataset", json=general(lab, name)), range(CLIENTS)
    )
    assert {answer.status_code for answer in answers} <= {201, 409}
    made = sorted(answer.json()["name"] for answer in answers if answer.status_code == 201)
    assert name in made
    assert made == sorted(hit["name"] for hit in named(as_writer, name))


def test_of_many_who_rename_to_one_name_exactly_one_succeeds(at_once, as_writer, lab, fresh):
    names = [fresh("before") for _ in range(CLIENTS)]
    after = fresh("after")
    for name in names:
        as_writer.post("/dataset", json=general(lab, name)).raise_for_status()
    answers = at_once(
        lambda client, name: client.patch(f"/dataset/{name}", json={"name": after}), names
    )
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) == 1, statuses
    assert statuses.count(409) == CLIENTS - 1
    assert len(named(as_writer, after)) == 1


def test_many_registrations_at_once_are_all_there(at_once, as_writer, lab, fresh):
    prefix = fresh("all")

    def register(client, number):
        for each in range(10):
            body = general(lab, f"{prefix}-{number}-{each}", extras={"by": number})
            client.post("/dataset", json=body).raise_for_status()

    at_once(register, range(CLIENTS))
    expected = {
        f"{prefix}-{one}-{two}" for one, two in itertools.product(range(CLIENTS), range(10))
    }
    assert {hit["name"] for hit in named(as_writer, prefix)} == expected


def test_changes_of_one_dataset_at_once_all_take_effect(at_once, as_writer, lab, fresh):
    name = fresh("shared")
    as_writer.post("/dataset", json=general(lab, name)).raise_for_status()

    def change(client, number):
        resource = {"url": f"https://data.example.org/{number}", "name": f"part-{number}"}
        body = {"extras": {f"key-{number}": number}, "resources": [resource]}
        client.patch(f"/dataset/{name}", json=body).raise_for_status()

    at_once(change, range(CLIENTS))
    (hit,) = named(as_writer, name)
    assert {f"key-{number}": number for number in range(CLIENTS)}.items() <= hit["extras"].items()
    parts = sorted(f"part-{number}" for number in range(CLIENTS))
    assert sorted(each["name"] for each in hit["resources"]) == parts
    whole = as_writer.get(f"/dataset/{name}").json()
    assert sorted(each["name"] for each in whole["resources"]) == parts


def test_changes_of_resources_of_one_dataset_at_once_are_all_found(at_once, as_writer, lab, fresh):
    name = fresh("parts")
    parts = [
        {"url": f"https://data.example.org/{number}", "name": f"part-{number}"}
        for number in range(CLIENTS)
    ]
    as_writer.post("/dataset", json=general(lab, name, resources=parts)).raise_for_status()
    (hit,) = named(as_writer, name)

    def change(client, resource):
        if resource["name"] == "part-0":
            answer = client.delete(f"/resource/{resource['id']}")
        else:
            about = {"description": f"{name} of {resource['name']}"}
            answer = client.patch(f"/resource/{resource['id']}", json=about)
        answer.raise_for_status()

    at_once(change, hit["resources"])
    (hit,) = named(as_writer, name)
    told = {each["name"]: each["description"] for each in hit["resources"]}
    assert told == {f"part-{number}": f"{name} of part-{number}" for number in range(1, CLIENTS)}
    found = as_writer.get("/resources/search", params={"description": name}).json()
    assert found["count"] == CLIENTS - 1
    terms = {"terms": [f"{name} of part-7"]}
    assert [each["name"] for each in as_writer.get("/search", params=terms).json()] == [name]


def test_an_organization_that_goes_takes_all_its_datasets_along(at_once, as_writer, lab, fresh):
    prefix = fresh("orphan")

    def work(client, number):
        if number == 0:
            return client.delete(f"/organization/{lab}").status_code
        bodies = (general(lab, f"{prefix}-{number}-{each}") for each in range(5))
        return {client.post("/dataset", json=body).status_code for body in bodies}

    deleted, *registered = at_once(work, range(CLIENTS))
    assert deleted == 200
    assert set().union(*registered) <= {201, 400}
    assert named(as_writer, prefix) == []


def test_deleting_one_thing_twice_at_once_succeeds_once(at_once, as_writer, lab, fresh):
    name = fresh("gone")
    as_writer.post("/dataset", json=general(lab, name)).raise_for_status()
    answers = at_once(lambda client, _: client.delete(f"/resource/{name}"), range(CLIENTS))
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) == 1, statuses
    assert statuses.count(404) == CLIENTS - 1


def test_searches_see_whole_datasets_while_others_change_them(at_once, as_writer, lab, fresh):
    name = fresh("whole")
    done = Event()

    def version(number):
        parts = [
            {"url": f"https://data.example.org/{number}/{each}", "name": f"{number}-{each}"}
            for each in range(3)
        ]
        return {"title": f"Version {number}", "resources": parts}

    as_writer.post("/dataset", json=general(lab, name) | version(0)).raise_for_status()

    def work(client, number):
        if number == 0:
            try:
                for each in range(1, 25):
                    client.put(f"/dataset/{name}", json=version(each)).raise_for_status()
            finally:
                done.set()
            return
        while not done.is_set():
            (hit,) = named(client, name)
            seen = {hit["title"].split()[1], *(one["name"][:-2] for one in hit["resources"])}
            assert len(seen) == 1, hit
            assert len(hit["resources"]) == 3

    at_once(work, range(4))


def test_a_service_that_is_killed_keeps_whole_what_it_had_confirmed(
    database_url, identity, lab, fresh, tmp_path
):
    settings = {"AUTH_API_URL": identity.url, "REXEC_EP_DATABASE_URL": database_url}
    prefix = fresh("kept")
    confirmed = []
    begun = Event()
    parts = [{"url": f"https://data.example.org/{each}", "name": f"p{each}"} for each in range(5)]

    def register(service, number):
        with (
            service.client(identity.token("writer")) as client,
            suppress(httpx.TransportError),
        ):
            for each in itertools.count():
                body = general(lab, f"{prefix}-{number}-{each}", resources=parts)
                client.post("/dataset", json=body).raise_for_status()
                confirmed.append(body["name"])
                if len(confirmed) > 20:
                    begun.set()

    with Endpoint(tmp_path, settings) as service, ThreadPoolExecutor(4) as pool:
        tasks = [pool.submit(register, service, number) for number in range(4)]
        assert begun.wait(PATIENCE)
        service.stop(signal.SIGKILL)
        for task in tasks:
            task.result()
    with Endpoint(tmp_path, settings) as service, service.client() as client:
        hits = named(client, prefix)
        assert {hit["name"] for hit in hits} >= set(confirmed)
        # What was under way is there as a whole or not at all.
        assert {len(hit["resources"]) for hit in hits} == {5}
        found = client.get("/resources/search", params={"q": "data.example.org", "limit": 1})
        assert found.status_code == 200
