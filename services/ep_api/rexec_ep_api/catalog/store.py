"""`Catalog`: the catalog as the endpoint uses it."""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from sqlalchemy import Connection

from rexec_ep_api.catalog import backup, datasets, organizations, resources, search
from rexec_ep_api.catalog.engine import Database
from rexec_ep_api.catalog.errors import UnavailableError
from rexec_ep_api.catalog.records import (
    Count,
    Dataset,
    DatasetChange,
    FoundResource,
    NewDataset,
    NewOrganization,
    Organization,
    Query,
    Resource,
    ResourceChange,
    ResourceQuery,
)
from rexec_ep_api.catalog.sample import Sample, Sampling

_T = TypeVar("_T")

_AGAIN_SECONDS = 0.5
_log = logging.getLogger(__name__)


class Catalog:
    """A catalog in a database.

    Each method is one transaction, in a thread of the catalog's own: the event loop never waits
    for the database. Each raises `UnavailableError` if the database cannot be used.
    Several catalogs, in as many processes, may share a database.

    Parameters
    ----------
    database
        Where everything is; its tables are as this version needs them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sampling = Sampling()
        self._readers = ThreadPoolExecutor(database.readers, "catalog-read")
        # SQLite has one writer at a time: what would wait for it in threads waits in a queue.
        self._writers = ThreadPoolExecutor(database.writers, "catalog-write")

    @classmethod
    async def open(cls, url: str, *, patience: float = 0.0) -> Self:
        """Return the catalog at a database, which gets the tables it lacks.

        Parameters
        ----------
        url
            ``sqlite:///data/catalog.sqlite3`` or ``postgresql://user:password@host/name``.
        patience
            Seconds in which a database may become one that can be opened.

        Raises
        ------
        InvalidError
            If that is no such address, or a newer version of rexec wrote the database.
        UnavailableError
            If the database cannot be opened.
        """
        deadline = time.monotonic() + patience
        told = False
        while True:
            try:
                return cls(await asyncio.to_thread(Database.open, url))
            except UnavailableError as error:
                if time.monotonic() >= deadline:
                    raise
                if not told:
                    _log.warning("%s It is tried for %g seconds.", error, patience)
                    told = True
            await asyncio.sleep(_AGAIN_SECONDS)

    async def close(self) -> None:
        """Let what was begun finish, and give the database up."""
        await asyncio.to_thread(self._shut)

    def _shut(self) -> None:
        self._readers.shutdown()
        self._writers.shutdown()
        self._database.close()

    @property
    def backend(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._database.backend

    async def read(self, work: Callable[[Connection], _T]) -> _T:
        """Run a function in a transaction that only reads."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._database.read, work)

    async def write(self, work: Callable[[Connection], _T]) -> _T:
        """Run a function in a transaction that takes effect as a whole or not at all."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writers, self._database.write, work)

    def _sample(self) -> Sample:
        return self._sampling.sample(lambda take: self._readers.submit(self._database.read, take))

    async def ping(self) -> float:
        """Return the milliseconds that the database took to answer."""
        return await self.read(self._database.ping)

    async def count(self) -> Count:
        """Return how much there is."""
        return await self.read(search.count)

    async def create_organization(self, new: NewOrganization) -> Organization:
        """Register an organization.

        Raises
        ------
        DuplicateError
            If there is one of that name.
        """
        return await self.write(partial(organizations.create, new=new))

    async def organization(self, id_or_name: str) -> Organization:
        """Return an organization.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        return await self.read(partial(organizations.get, id_or_name=id_or_name))

    async def organization_names(
        self, name: str | None = None, owner: str | None = None
    ) -> list[str]:
        """Return the names of organizations in alphabetical order.

        Parameters
        ----------
        name
            Only those with this in their name, whatever the case.
        owner
            Only those of this creator.
        """
        return await self.read(partial(organizations.names, name=name, owner=owner))

    async def delete_organization(self, id_or_name: str, *, cascade: bool) -> int:
        """Delete an organization; return how many datasets went with it.

        Raises
        ------
        NotFoundError
            If there is none.
        OccupiedError
            If it has datasets, and these shall not go with it.
        """
        work = partial(organizations.delete, id_or_name=id_or_name, cascade=cascade)
        return await self.write(work)

    async def create_dataset(self, new: NewDataset) -> Dataset:
        """Register a dataset with its resources.

        Raises
        ------
        DuplicateError
            If there is one of that name.
        UnknownOrganizationError
            If the organization that it shall belong to is not there.
        """
        return await self.write(partial(datasets.create, new=new))

    async def dataset(self, id_or_name: str) -> Dataset:
        """Return a dataset.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        return await self.read(partial(datasets.get, id_or_name=id_or_name))

    async def update_dataset(
        self, id_or_name: str, change: DatasetChange, *, patch: bool
    ) -> Dataset:
        """Change a dataset.

        Parameters
        ----------
        id_or_name
            Which.
        change
            What shall be different.
        patch
            Whether its resources are added to those there are; else they take their place.

        Raises
        ------
        NotFoundError
            If there is none.
        DuplicateError
            If another has the new name.
        UnknownOrganizationError
            If the organization that it shall belong to is not there.
        """
        work = partial(datasets.update, id_or_name=id_or_name, change=change, patch=patch)
        return await self.write(work)

    async def delete_dataset(self, id_or_name: str) -> None:
        """Delete a dataset with its resources.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        await self.write(partial(datasets.delete, id_or_name=id_or_name))

    async def resource(self, identifier: str) -> Resource:
        """Return a resource.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        return await self.read(partial(resources.get, identifier=identifier))

    async def patch_resource(
        self, identifier: str, change: ResourceChange, dataset: str | None = None
    ) -> Resource:
        """Change a resource.

        Raises
        ------
        NotFoundError
            If there is none, or a dataset was named and it is not of that.
        """
        work = partial(resources.patch, identifier=identifier, change=change, dataset=dataset)
        return await self.write(work)

    async def delete_resource(self, identifier: str, dataset: str | None = None) -> None:
        """Delete a resource.

        Raises
        ------
        NotFoundError
            If there is none, or a dataset was named and it is not of that.
        """
        await self.write(partial(resources.delete, identifier=identifier, dataset=dataset))

    async def search_resources(self, query: ResourceQuery) -> tuple[int, list[FoundResource]]:
        """Return how many resources match and, of those, the ones asked for, the latest first."""
        work = partial(search.resources, query=query, sample=self._sample())
        return await self.read(work)

    async def search_json(self, query: Query) -> bytes:
        """Return the datasets that match, the newest first, as a JSON array of hits.

        A hit is ``{id, name, title, owner_org, notes, resources: [{id, url, name, description,
        format}], extras: {…}, tags, groups, private, license_id, version, metadata_created,
        metadata_modified}``.
        """
        work = partial(search.hits, query=query, sample=self._sample())
        return await self.read(work)

    async def search(self, query: Query) -> list[Dataset]:
        """Return the datasets that match, the newest first."""
        work = partial(search.datasets, query=query, sample=self._sample())
        return await self.read(work)

    async def backup(self, path: Path) -> dict[str, int]:
        """Write everything, as it is at one moment, to a file; return how much, by kind.

        Others read and write in the meantime. `rexec_ep_api.catalog.backup` tells the format.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        loop = asyncio.get_running_loop()
        work = partial(backup.save, path=path)
        return await loop.run_in_executor(self._readers, self._database.snapshot, work)

    async def restore(self, path: Path, *, replace: bool = False) -> dict[str, int]:
        """Put what a backup holds into the catalog, all of it or nothing; return how much.

        Raises
        ------
        OccupiedError
            If the catalog holds something, and that shall not be replaced.
        InvalidError
            If the file is no complete backup.
        OSError
            If it cannot be read.
        """
        return await self.write(partial(backup.restore, path=path, replace=replace))
