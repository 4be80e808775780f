"""The catalog without the service in front, called as if it were not asynchronous."""

import asyncio
import uuid
from contextlib import contextmanager

import pytest
from sqlalchemy import select, text

from rexec_ep_api.catalog import texts
from rexec_ep_api.catalog.datasets import COLUMNS, of_rows
from rexec_ep_api.catalog.models import datasets, organizations
from rexec_ep_api.catalog.records import EVERYTHING, NewDataset, NewOrganization, Query, Term
from rexec_ep_api.catalog.store import Catalog

ORGANIZATION = "lab"


class Opened:
    """A catalog; its methods return what they give."""

    def __init__(self, runner, catalog):
        self.catalog = catalog
        self._runner = runner

    def run(self, awaitable):
        """Wait for something that concerns the catalog."""

        async def awaited():
            return await awaitable

        return self._runner.run(awaited())

    def together(self, *awaitables):
        """Wait for many; return what each gave or raised."""

        async def gathered():
            return await asyncio.gather(*awaitables, return_exceptions=True)

        return self._runner.run(gathered())

    def names(self, *terms, **query):
        """Return the names of the datasets that a search finds."""
        asked = Query(tuple(map(_term, terms)), **{"viewer": EVERYTHING, **query})
        return [dataset.name for dataset in self.search(asked)]

    def add(self, name=None, **fields):
        """Register a dataset of `ORGANIZATION`."""
        fields = {"title": "T", "owner_org": ORGANIZATION, **fields}
        return self.create_dataset(NewDataset(name or f"d-{uuid.uuid4().hex}", **fields))

    def __getattr__(self, name):
        method = getattr(self.catalog, name)
        return lambda *args, **options: self.run(method(*args, **options))


def _term(given):
    return given if isinstance(given, Term) else Term(given)


@contextmanager
def opened(url):
    """Open a catalog, which is closed with the context."""
    with asyncio.Runner() as runner:
        catalog = runner.run(Catalog.open(url))
        try:
            yield Opened(runner, catalog)
        finally:
            runner.run(catalog.close())


@contextmanager
def opened_with_lab(url):
    """Open an empty catalog and register `ORGANIZATION`."""
    with opened(url) as catalog:
        catalog.create_organization(NewOrganization(ORGANIZATION, "Lab"))
        yield catalog


@pytest.fixture(scope="session")
def shared_catalog(backend, request, tmp_path_factory):
    """A catalog of either kind, with `ORGANIZATION`; others have other names in it."""
    if backend == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('shared')}/catalog.sqlite3"
    else:
        url = request.getfixturevalue("postgres_server").new_database()
    with opened_with_lab(url) as catalog:
        yield catalog


def check_agreement(catalog):
    """Fail unless what searches read agrees with the tables that it was made from."""
    catalog.read(_check)


def _check(connection):
    query = select(*COLUMNS).join(organizations, organizations.c.id == datasets.c.organization_id)
    rows = connection.execute(query.order_by(datasets.c.seq)).mappings().all()
    prepared = select(
        datasets.c.hit, datasets.c.search_text, datasets.c.fields, datasets.c.timestamp
    ).order_by(datasets.c.seq)
    for dataset, found in zip(
        of_rows(connection, rows), connection.execute(prepared).mappings(), strict=True
    ):
        fields = texts.fields(dataset)
        assert found["hit"] == texts.dump(texts.hit(dataset))
        assert found["search_text"] == texts.search_text(fields)
        assert found["fields"] == fields
        assert found["timestamp"] == texts.timestamp(dataset.extras)
    if connection.dialect.name == "sqlite":
        # Compares every word of the index with the texts themselves; raises if one is not right.
        check = "INSERT INTO dataset_search (dataset_search, rank) VALUES ('integrity-check', 1)"
        connection.execute(text(check))
        assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
        assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
        return
    words = "SELECT seq, tsvector_to_array(words) FROM dataset_search ORDER BY seq"
    indexed = {seq: set(found) for seq, found in connection.execute(text(words))}
    written = select(datasets.c.seq, datasets.c.search_text)
    assert indexed == {
        seq: set(texts.trigrams(texts.plain(content)))
        for seq, content in connection.execute(written)
    }
