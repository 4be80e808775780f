"""Searches the catalogs of the backend that is used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar, cast, get_args

from rexec_jupyter import _connect
from rexec_jupyter.core.errors import NotConfiguredError, RexecError
from rexec_jupyter.endpoint import catalogs, snippets
from rexec_jupyter.endpoint import errors as e
from rexec_jupyter.endpoint.catalogs import CatalogName
from rexec_jupyter.endpoint.translation import said, translated
from rexec_jupyter.endpoint.transport import Driver
from rexec_jupyter.labapp.messages import Catalogs, Dataset, Found, Resource
from rexec_jupyter.labapp.problems import RefusedError

T = TypeVar("T")

_PATIENCE = 20.0
_LONGEST = 2000
_NO_CATALOG = "Start the server of this computer first; its catalog comes with it."
_CALLED = {
    "local": "its catalog",
    "global": "the global catalog",
    "pre_ckan": "the catalog of what is to be published",
}


class Catalog:
    """Searches.

    Parameters
    ----------
    pool
        Threads for what has to be waited for.
    """

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    async def offered(self) -> Catalogs:
        """Return which catalogs there are to search."""
        return Catalogs(names=await self._wait(_offered))

    async def search(self, query: str, where: str, offset: int, limit: int) -> Found:
        """Return some of the datasets of a catalog in which all words of a query occur."""
        if where not in get_args(CatalogName):
            raise RefusedError(422, f"There is no catalog {where!r}.", "Load the page again.")
        name = cast("CatalogName", where)
        return await self._wait(lambda: _search(query.split(), name, offset, limit))

    async def _wait(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        return await asyncio.wait_for(loop.run_in_executor(self._pool, work), 2 * _PATIENCE)


def _offered() -> list[CatalogName]:
    where = _connect.endpoint()
    if where is None:
        return ["local"]  # the embedded backend has no other
    url, token = where
    with _driver(url, token()) as driver:
        try:
            return driver.run(catalogs.offered())
        except e.EndpointError as error:
            raise translated(error, url, "tell which catalogs it has") from None


def _search(words: list[str], name: CatalogName, offset: int, limit: int) -> Found:
    where = _connect.endpoint()
    if where is not None:
        url, token = where
        return _page(url, token(), words, name, offset, limit)
    from rexec_jupyter.local.lease import EndpointLease  # noqa: PLC0415 - only if wanted

    try:
        lease = EndpointLease(start=False)
    except NotConfiguredError as error:
        raise NotConfiguredError(error.message, hint=_NO_CATALOG) from None
    try:
        return _page(lease.url, lease.token, words, "local", offset, limit)
    finally:
        lease.close()


def _page(
    url: str, token: str, words: list[str], name: CatalogName, offset: int, limit: int
) -> Found:
    # One more than is shown tells whether there is another page.
    steps = catalogs.words_page(words, name, limit=limit + 1, offset=offset)
    with _driver(url, token) as driver:
        try:
            found: list[Any] = driver.run(steps)
        except e.EndpointError as error:
            raise _explained(error, url, name) from None
    if len(found) > limit + 1:
        # An endpoint that knows no pages answers with all there is.
        total, found = len(found), found[offset : offset + limit]
        more = offset + limit < total
    else:
        more = len(found) > limit
        total = -1 if more else offset + len(found)
    shown = [_dataset(each) for each in found[:limit] if isinstance(each, dict)]
    return Found(datasets=shown, total=total, more=more)


@contextmanager
def _driver(url: str, token: str) -> Iterator[Driver]:
    driver = Driver(url, token, _PATIENCE, retries=1)
    try:
        yield driver
    finally:
        driver.close()


def _explained(error: e.EndpointError, url: str, name: CatalogName) -> RexecError:
    what = f"search {_CALLED[name]}"
    if name != "local" and isinstance(error, e.InvalidError | e.NotFoundError):
        return NotConfiguredError(
            f"{url} does not {what}: {said(error)}",
            hint="Choose another catalog, or ask whoever runs the endpoint for this one.",
        )
    return translated(error, url, what, right=what)


def _dataset(told: dict[str, Any]) -> Dataset:
    resources = told.get("resources")
    return Dataset(
        name=_text(told, "name"),
        title=_text(told, "title"),
        notes=_text(told, "notes")[:_LONGEST],
        organization=_text(told, "owner_org"),
        resources=[
            _resource(told, each)
            for each in (resources if isinstance(resources, list) else ())
            if isinstance(each, dict)
        ],
    )


def _resource(dataset: dict[str, Any], told: dict[str, Any]) -> Resource:
    size = told.get("size")
    loading = snippets.by_address(dataset, told)
    return Resource(
        name=_text(told, "name"),
        format=_text(told, "format"),
        url=_text(told, "url"),
        size=size if isinstance(size, int) and size > 0 else 0,
        code=loading.cell if loading is not None else "",
    )


def _text(told: dict[str, Any], name: str) -> str:
    value = told.get(name)
    return value if isinstance(value, str) else ""
