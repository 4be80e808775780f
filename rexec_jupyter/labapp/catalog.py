"""Searches the catalog of the backend that is used."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rexec_jupyter import _connect
from rexec_jupyter.core.errors import NotConfiguredError, RexecError
from rexec_jupyter.endpoint import catalog
from rexec_jupyter.endpoint.errors import EndpointError
from rexec_jupyter.endpoint.translation import translated
from rexec_jupyter.endpoint.transport import Driver
from rexec_jupyter.labapp.messages import Dataset, Found, Resource
from rexec_jupyter.labapp.snippets import code

_PATIENCE = 20.0
_LONGEST = 2000
_NO_CATALOG = "Start the server of this computer first; its catalog comes with it."


class Catalog:
    """Searches.

    Parameters
    ----------
    pool
        Threads for what has to be waited for.
    """

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    async def search(self, query: str, offset: int, limit: int) -> Found:
        """Return some of the datasets in which all words of a query occur."""
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._pool, _search, query.split(), offset, limit)
        return await asyncio.wait_for(work, 2 * _PATIENCE)


def _search(words: list[str], offset: int, limit: int) -> Found:
    where = _connect.endpoint()
    if where is not None:
        url, token = where
        return _page(url, token(), words, offset, limit)
    from rexec_jupyter.local.lease import EndpointLease  # noqa: PLC0415 - only if wanted

    try:
        lease = EndpointLease(start=False)
    except NotConfiguredError as error:
        raise NotConfiguredError(error.message, hint=_NO_CATALOG) from None
    try:
        return _page(lease.url, lease.token, words, offset, limit)
    finally:
        lease.close()


def _page(url: str, token: str, words: list[str], offset: int, limit: int) -> Found:
    driver = Driver(url, token, _PATIENCE, retries=1)
    # One more than is shown tells whether there is another page.
    steps = catalog.datasets_page(words or [""], server="local", limit=limit + 1, offset=offset)
    try:
        found: list[Any] = driver.run(steps)
    except EndpointError as error:
        raise _explained(error, url) from None
    finally:
        driver.close()
    return Found(
        datasets=[_dataset(each) for each in found[:limit] if isinstance(each, dict)],
        total=offset + len(found) if len(found) <= limit else -1,
        more=len(found) > limit,
    )


def _explained(error: EndpointError, url: str) -> RexecError:
    return translated(error, url, "search its catalog", right="search its catalog")


def _dataset(told: dict[str, Any]) -> Dataset:
    return Dataset(
        name=_text(told, "name"),
        title=_text(told, "title"),
        notes=_text(told, "notes")[:_LONGEST],
        organization=_text(told, "owner_org"),
        resources=[
            _resource(each) for each in told.get("resources") or () if isinstance(each, dict)
        ],
    )


def _resource(told: dict[str, Any]) -> Resource:
    url, kind = _text(told, "url"), _text(told, "format")
    size = told.get("size")
    return Resource(
        name=_text(told, "name"),
        format=kind,
        url=url,
        size=size if isinstance(size, int) and size > 0 else 0,
        code=code(url, kind),
    )


def _text(told: dict[str, Any], name: str) -> str:
    value = told.get(name)
    return value if isinstance(value, str) else ""
