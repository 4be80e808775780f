"""Many at once, in threads and in processes: nothing is lost, doubled or half there."""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from rexec_ep_api.catalog.errors import (
    DuplicateError,
    NotFoundError,
    OccupiedError,
    UnknownOrganizationError,
)
from rexec_ep_api.catalog.records import (
    Dataset,
    DatasetChange,
    NewDataset,
    NewOrganization,
    NewResource,
    Organization,
    ResourceChange,
)
from rexec_ep_api.catalog.store import Catalog
from tests.endpoint.catalogs import check_agreement, opened

PROCESSES = 3
MANY = 30
SOME = 12


def kinds(outcomes):
    """Count what came out by its type."""
    return Counter(type(outcome) for outcome in outcomes)


def test_a_name_is_given_once_however_many_ask_at_once(shared_catalog, fresh):
    name = fresh()
    catalog = shared_catalog.catalog
    made = shared_catalog.together(
        *(catalog.create_organization(NewOrganization(name, str(n))) for n in range(MANY))
    )
    assert kinds(made) == {Organization: 1, DuplicateError: MANY - 1}
    made = shared_catalog.together(
        *(catalog.create_dataset(NewDataset(name, str(n), name)) for n in range(MANY))
    )
    assert kinds(made) == {Dataset: 1, DuplicateError: MANY - 1}
    (kept,) = (one for one in made if isinstance(one, Dataset))
    assert shared_catalog.dataset(name) == kept


def test_a_name_is_taken_once_however_many_are_renamed_at_once(shared_catalog, fresh):
    name = fresh()
    datasets = [shared_catalog.add() for _ in range(MANY)]
    change = DatasetChange(name=name)
    outcomes = shared_catalog.together(
        *(shared_catalog.catalog.update_dataset(one.id, change, patch=True) for one in datasets)
    )
    assert kinds(outcomes) == {Dataset: 1, DuplicateError: MANY - 1}
    assert shared_catalog.names(name) == [name]


def test_no_change_of_a_dataset_is_lost(shared_catalog):
    resource = NewResource("https://h/first", "first")
    made = shared_catalog.add(resources=(resource,))
    catalog = shared_catalog.catalog
    calls = []
    for number in range(MANY):
        more = NewResource(f"https://h/{number}", f"r{number}")
        change = DatasetChange(extras={f"k{number}": number}, resources=(more,))
        calls.append(catalog.update_dataset(made.id, change, patch=True))
        if number % 3 == 0:
            renamed = ResourceChange(description=str(number))
            calls.append(catalog.patch_resource(made.resources[0].id, renamed))
    assert DuplicateError not in kinds(shared_catalog.together(*calls))
    after = shared_catalog.dataset(made.id)
    assert after.extras == {f"k{number}": number for number in range(MANY)}
    urls = {one.url for one in after.resources}
    assert urls == {"https://h/first", *(f"https://h/{number}" for number in range(MANY))}
    assert len(after.resources) == MANY + 1
    check_agreement(shared_catalog)


def test_resources_go_once_and_the_others_stay(shared_catalog):
    parts = tuple(NewResource(f"https://h/{number}", f"r{number}") for number in range(10))
    made = shared_catalog.add(resources=parts)
    delete = shared_catalog.catalog.delete_resource
    outcomes = shared_catalog.together(*(delete(one.id) for one in made.resources[:6] * 3))
    assert kinds(outcomes) == {type(None): 6, NotFoundError: 12}
    assert shared_catalog.dataset(made.id).resources == made.resources[6:]
    check_agreement(shared_catalog)


def test_a_dataset_that_moves_is_found_by_all_who_change_it(shared_catalog, fresh):
    owners = [fresh("owner") for _ in range(3)]
    for name in owners:
        shared_catalog.create_organization(NewOrganization(name, name))
    made = shared_catalog.add()
    calls = []
    for number in range(MANY):
        change = DatasetChange(owner_org=owners[number % 3], extras={f"k{number}": number})
        calls.append(shared_catalog.catalog.update_dataset(made.id, change, patch=True))
    assert kinds(shared_catalog.together(*calls)) == {Dataset: MANY}
    assert len(shared_catalog.dataset(made.name).extras) == MANY


def test_an_organization_goes_with_all_its_datasets_or_stays_with_them(shared_catalog, fresh):
    catalog = shared_catalog.catalog
    for cascade in (True, False):
        name = fresh("going")
        shared_catalog.create_organization(NewOrganization(name, name))
        calls = []
        for number in range(MANY):
            calls.append(catalog.create_dataset(NewDataset(f"{name}-{number}", "T", name)))
            if number % 10 == 5:
                calls.append(catalog.delete_organization(name, cascade=cascade))
        outcomes = shared_catalog.together(*calls)
        allowed = {Dataset, UnknownOrganizationError, NotFoundError, OccupiedError, int}
        assert set(kinds(outcomes)) <= allowed
        made = [one.name for one in outcomes if isinstance(one, Dataset)]
        went = [one for one in outcomes if isinstance(one, int)]
        left = shared_catalog.names(name)
        if went:
            # What was registered before it went is gone, and was counted.
            assert left == []
            assert went == [len(made)]
        else:
            assert sorted(left) == sorted(made)
        check_agreement(shared_catalog)


def test_moving_datasets_and_deleting_organizations_do_not_stand_in_each_others_way(
    shared_catalog, fresh
):
    first, second = fresh("first"), fresh("second")
    catalog = shared_catalog.catalog
    for _ in range(3):
        for name in (first, second):
            shared_catalog.create_organization(NewOrganization(name, name))
        datasets = [
            shared_catalog.add(owner_org=name) for name in (first, second) for _ in range(8)
        ]
        calls = [
            catalog.update_dataset(
                one.id,
                DatasetChange(owner_org=second if one.owner_org == first else first),
                patch=True,
            )
            for one in datasets
        ]
        calls.insert(5, catalog.delete_organization(first, cascade=True))
        calls.insert(12, catalog.delete_organization(second, cascade=True))
        outcomes = shared_catalog.together(*calls)
        allowed = {Dataset, UnknownOrganizationError, NotFoundError, int}
        assert set(kinds(outcomes)) <= allowed, outcomes
        check_agreement(shared_catalog)


async def work(catalog, number):
    """What each process does; it is run by the test below."""
    told = Counter()

    async def attempt(call, *refusals):
        try:
            await call
        except refusals as error:
            told[type(error).__name__] += 1
        else:
            told["done"] += 1

    await attempt(catalog.create_organization(NewOrganization("lab", "Lab")), DuplicateError)
    await attempt(catalog.create_dataset(NewDataset("shared", "S", "lab")), DuplicateError)
    told.clear()
    for one in range(SOME):
        new = NewDataset(f"rain-{one}", "T", "lab", resources=(NewResource("https://h", "r"),))
        change = DatasetChange(
            extras={f"{number}-{one}": one},
            resources=(NewResource(f"https://h/{number}/{one}", f"{number}-{one}"),),
        )
        await asyncio.gather(
            attempt(catalog.create_dataset(new), DuplicateError),
            catalog.update_dataset("shared", change, patch=True),
        )
    return told


_PROCESS = """
import json, sys
from tests.endpoint.catalogs import opened
from tests.endpoint.test_catalog_races import work
print("ready", flush=True)
sys.stdin.readline()
with opened(sys.argv[1]) as catalog:
    print(json.dumps(catalog.run(work(catalog.catalog, sys.argv[2]))))
"""


def test_processes_that_open_a_new_catalog_at_once_share_it(catalog_url):
    path = os.pathsep.join(map(str, [Path.cwd(), *sys.path]))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PROCESS, catalog_url, str(number)],
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    told = Counter()
    try:
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        for process in processes:
            told.update(json.loads(process.communicate()[0]))
            assert process.returncode == 0
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    # Each name was given once, whoever was first.
    assert told == {"done": SOME, "DuplicateError": SOME * (PROCESSES - 1)}
    with opened(catalog_url) as catalog:
        assert len(catalog.names("rain-")) == SOME
        shared = catalog.dataset("shared")
        assert len(shared.extras) == len(shared.resources) == SOME * PROCESSES
        assert catalog.organization_names() == ["lab", "services"]
        check_agreement(catalog)


def test_a_new_catalog_opened_many_times_at_once_is_one(catalog_url):
    async def open_all():
        catalogs = await asyncio.gather(*(Catalog.open(catalog_url) for _ in range(8)))
        try:
            return [await one.organization_names() for one in catalogs]
        finally:
            await asyncio.gather(*(one.close() for one in catalogs))

    assert asyncio.run(open_all()) == [["services"]] * 8
