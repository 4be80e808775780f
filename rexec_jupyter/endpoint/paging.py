"""Going through all that a search finds, one page at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from rexec_jupyter.endpoint import models as m
from rexec_jupyter.endpoint.catalog import datasets_page, search_resources
from rexec_jupyter.endpoint.exchange import Steps

T = TypeVar("T")


class Pages(Generic[T]):
    """Pages of a search; `next` and `take` are called in turn while there are `more`.

    Parameters
    ----------
    page
        Asks for as many items as the first number says, from the one of the second number on.
    size
        Items on a page.
    """

    def __init__(self, page: Callable[[int, int], Steps[Sequence[T]]], size: int) -> None:
        if size < 1:
            raise ValueError(f"a page has at least one item, not {size}")
        self._page = page
        self._size = size
        self._offset = 0
        self._known: set[str] = set()
        self.more = True

    def next(self) -> Steps[Sequence[T]]:
        """Ask for the next page."""
        return self._page(self._size, self._offset)

    def take(self, items: Sequence[T]) -> Sequence[T]:
        """Return what is new on a page."""
        self._offset += len(items)
        # What is added meanwhile moves what came already to the next page.
        new = {told: item for item in items if (told := _identity(item)) not in self._known}
        self._known.update(new)
        # An endpoint that knows no pages answers everything, each time anew.
        self.more = len(items) == self._size and bool(new)
        return list(new.values())


def _identity(item: Any) -> str:
    return str(item.get("id") or item) if isinstance(item, dict) else str(item)


def datasets(
    terms: Sequence[str],
    keys: Sequence[str | None] | None = None,
    server: str = "global",
    *,
    page_size: int = 200,
) -> Pages[m.Dataset]:
    """Go through all datasets in which all terms occur, however many there are.

    Parameters
    ----------
    terms, keys, server
        As for `search_datasets`.
    page_size
        How many to ask for at once.
    """
    return Pages(
        lambda limit, offset: datasets_page(terms, keys, server, limit=limit, offset=offset),
        page_size,
    )


def resources(
    q: str | None = None,
    name: str | None = None,
    url: str | None = None,
    format: str | None = None,  # noqa: A002 - as in `search_resources`
    description: str | None = None,
    server: str = "local",
    *,
    page_size: int = 200,
) -> Pages[m.FoundResource]:
    """Go through all resources that are found, however many there are.

    Parameters
    ----------
    q, name, url, format, description, server
        As for `search_resources`.
    page_size
        How many to ask for at once.
    """

    def page(limit: int, offset: int) -> Steps[Sequence[m.FoundResource]]:
        found = yield from search_resources(
            q, name, url, format, description, limit, offset, server
        )
        return found["results"]

    return Pages(page, page_size)
