"""The catalogs that an endpoint searches: its own, the global one, and that before publication."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rexec_jupyter.endpoint import models as m
from rexec_jupyter.endpoint.asking import ask
from rexec_jupyter.endpoint.catalog import datasets_page
from rexec_jupyter.endpoint.errors import NotFoundError, NotUnderstoodError
from rexec_jupyter.endpoint.exchange import Request, Steps
from rexec_jupyter.endpoint.status import get_system_status

CatalogName = Literal["local", "global", "pre_ckan"]


def offered() -> Steps[list[CatalogName]]:
    """Return the catalogs that the endpoint has; those that it does not tell of are among them."""
    try:
        told = yield from get_system_status()
    except (NotFoundError, NotUnderstoodError):
        return ["local", "global", "pre_ckan"]
    found: list[CatalogName] = []
    if told.get("local_catalog_backend") != "none":
        found.append("local")
    # Endpoints that have always one do not tell of it.
    if told.get("global_enabled", True):
        found.append("global")
    if told.get("pre_ckan_enabled", True):
        found.append("pre_ckan")
    return found


def words_page(
    words: Sequence[str], server: CatalogName, *, limit: int, offset: int
) -> Steps[list[m.Dataset]]:
    """Return some of the datasets in which all words occur; all datasets if there are none.

    Parameters
    ----------
    words
        What to look for, in capitals or not.
    server
        The catalog.
    limit, offset
        How many to return, and how many to leave out before. Not every endpoint heeds them.
    """
    if server != "pre_ckan":
        return (yield from datasets_page(words or [""], server=server, limit=limit, offset=offset))
    # Only the other way to search reaches it. There commas separate words.
    wanted = {"search_term": ",".join(words), "server": server}
    page = {"limit": limit, "offset": offset}
    request = Request("POST", "/search", page, json=wanted, repeatable=True)
    found: list[m.Dataset] = yield from ask(request, "Error searching for datasets", kind=list)
    return found
