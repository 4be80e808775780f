"""The endpoint with a full catalog: searching, registering, its memory, what a token costs."""

import asyncio
import itertools
import random
import statistics
import tempfile
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import psutil
import psycopg

from rexec_ep_api.catalog import datasets, organizations
from rexec_ep_api.catalog.store import Catalog
from tests.bench import catalog_data
from tests.bench.harness import check
from tests.bench.http_load import Load, UnexpectedError
from tests.bench.results import Row, quantiles
from tests.endpoint.identity_service import IdentityService
from tests.endpoint.postgres import PostgresServer, programs
from tests.endpoint.service import Endpoint

DATASETS = 100_000
CLIENTS = 20
SEARCHES = 20_000
REGISTRATIONS = 3000
WORKERS = 2

_BATCH = 500


def sqlite(bench):
    """Measure an endpoint on SQLite."""
    with tempfile.TemporaryDirectory(prefix="rexec-bench-") as directory:
        yield from _rows(bench, "SQLite", f"sqlite:///{directory}/catalog.sqlite3")


def postgresql(bench):
    """Measure an endpoint on PostgreSQL."""
    found = programs()
    check(found, "PostgreSQL is not installed (on Debian: apt-get install postgresql)")
    with PostgresServer(found, durable=True) as server:
        url = server.new_database()
        yield from _rows(bench, "PostgreSQL", url, partial(_settle, url))


def _rows(bench, database, url, settle=lambda: None):
    count = bench.count(DATASETS)
    asyncio.run(_fill(url, count))
    settle()
    with _service(url) as (endpoint, token):
        try:
            yield from _searching(bench, database, endpoint, count)
            yield from _registering(bench, database, endpoint, token, count)
            yield from _token_cost(bench, database, endpoint, token, count)
        except UnexpectedError as error:
            check(correct=False, otherwise=str(error))
        yield Row(
            name=f"memory of the service, {database}",
            note=f"{WORKERS} workers, after all of that",
            ours=_memory(endpoint.process.pid) / 1e6,
            unit="MB",
            limit=250,
        )


def _searching(bench, database, endpoint, count):
    load = Load(endpoint.url, CLIENTS)
    queries = catalog_data.queries(count)
    load.run(queries, bench.count(2000))
    taken, together = load.run(queries, bench.count(SEARCHES))
    p50, p99 = quantiles(taken)
    named = f"search among {count:,}, {database}"
    in_ms = {"note": f"{CLIENTS} clients", "unit": "ms"}
    yield Row(name=f"{named}, p50", ours=p50 * 1e3, limit=15, **in_ms)
    yield Row(name=f"{named}, p99", ours=p99 * 1e3, limit=60, **in_ms)
    yield Row(name=f"{named}, rate", ours=len(taken) / together, unit="/s")


def _registering(bench, database, endpoint, token, count):
    chance = random.Random(catalog_data.SEED + 2)
    owner = catalog_data.organizations()[0].name
    bodies = (
        ("POST", "/dataset", _body(catalog_data.dataset(chance, owner, number)))
        for number in itertools.count(count)
    )
    load = Load(endpoint.url, CLIENTS, token)
    load.run(bodies, bench.count(200), status=201)
    taken, together = load.run(bodies, bench.count(REGISTRATIONS), status=201)
    yield Row(
        name=f"registrations, {database}",
        note=f"{CLIENTS} clients",
        ours=len(taken) / together,
        unit="/s",
        limit=300,
        at_most=False,
    )


def _token_cost(bench, database, endpoint, token, count):
    """Compare a search with a token to the same without, by one client, in turns."""
    name = next(catalog_data.datasets(1)).name
    same = itertools.repeat(("GET", "/search", {"terms": [name], "keys": ["name"]}))
    taken = {None: [], token: []}
    for _, each in itertools.product(range(10), taken):
        taken[each] += Load(endpoint.url, 1, each).run(same, bench.count(1000))[0][5:]
    without, with_token = (statistics.median(seconds) for seconds in taken.values())
    yield Row(
        name=f"cached authentication adds, {database}",
        ours=(with_token - without) * 1e3,
        unit="ms",
        limit=1,
    )


async def _fill(url, count):
    """Fill a catalog by its own means, but many datasets in one transaction."""
    catalog = await Catalog.open(url)
    try:
        for organization in catalog_data.organizations():
            await catalog.write(partial(organizations.create, new=organization))
        for batch in _batches(catalog_data.datasets(count), _BATCH):
            await catalog.write(partial(_create, batch))
    finally:
        await catalog.close()


def _settle(url):
    """Do at once what PostgreSQL does by itself within minutes after so much was written."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")


def _create(batch, connection):
    for new in batch:
        datasets.create(connection, new)


def _batches(items, size):
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch


@contextmanager
def _service(url):
    """Run the service, and the identity service that it asks; yield it and a writer's token."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rexec-bench-")))
        identity = stack.enter_context(IdentityService())
        settings = {"AUTH_API_URL": identity.url, "REXEC_EP_DATABASE_URL": url}
        endpoint = stack.enter_context(Endpoint(directory, settings, "--workers", WORKERS))
        yield endpoint, identity.token("writer")


def _body(new):
    return {
        "name": new.name,
        "title": new.title,
        "owner_org": new.owner_org,
        "notes": new.notes,
        "extras": dict(new.extras),
        "tags": list(new.tags),
        "version": new.version,
        "resources": [
            {
                "name": resource.name,
                "url": resource.url,
                "description": resource.description,
                "format": resource.format,
                "size": resource.size,
            }
            for resource in new.resources
        ],
    }


def _memory(pid):
    """Return the bytes that a process and its children hold; what they share counts once."""
    process = psutil.Process(pid)
    return sum(each.memory_full_info().pss for each in [process, *process.children(recursive=True)])
