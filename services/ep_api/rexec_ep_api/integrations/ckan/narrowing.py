"""Having CKAN's search engine leave out most of what a query does not mean.

The engine knows words and not texts, so it only narrows: which of what it returns is meant, the
endpoint decides by the rules that hold for its own catalog. Nothing of a query reaches the engine
but words made of letters and digits, so it cannot be given commands.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from rexec_ep_api.catalog.records import (
    Dataset,
    Query,
    Resource,
    ResourceFilter,
    ResourceQuery,
    Viewer,
)
from rexec_ep_api.catalog.search import hit_of_parts
from rexec_ep_api.catalog.texts import fields, fold, keys_of, search_text, timestamp

_WORD: Final = re.compile(r"[^\W_]+")
_MOST_WORDS: Final = 20
_EVERYTHING: Final = "*:*"


def narrowed(query: Query) -> str:
    """Return what CKAN is asked for, for a query."""
    wanted = query.resources
    texts = [term.text for term in query.terms]
    texts += [text for text in (wanted.name, wanted.description) if text]
    return _of_words(texts)


def narrowed_resources(query: ResourceQuery) -> str:
    """Return what CKAN is asked for, for a query for resources."""
    texts = (query.q, query.name, query.description)
    return _of_words([text for text in texts if text])


def matches(dataset: Dataset, query: Query) -> bool:
    """Return whether a dataset is meant, without regard to its resources."""
    if not visible(dataset, query.viewer):
        return False
    found = fields(dataset)
    text = search_text(found)
    for term in query.terms:
        wanted = fold(term.text)
        if wanted not in text:
            return False
        if term.key is not None and wanted:
            values = [value for key in keys_of(term.key) for value in found.get(key, ())]
            if not any(wanted in value for value in values):
                return False
    if query.period is None:
        return True
    moment = timestamp(dataset.extras)
    return (
        moment is not None
        and (query.period.start is None or moment >= query.period.start)
        and (query.period.end is None or moment <= query.period.end)
    )


def visible(dataset: Dataset, viewer: Viewer) -> bool:
    """Return whether somebody may see a dataset."""
    if not dataset.private or viewer.sees_all:
        return True
    return bool(viewer.user_id) and dataset.creator == viewer.user_id


def in_order(found: Sequence[Dataset], query: Query) -> list[Dataset]:
    """Return those that were asked for of the datasets that are meant."""
    limit = query.limit
    ordered = list(found)
    if query.period is not None:
        after = query.period.start is not None
        ordered.sort(key=lambda one: timestamp(one.extras) or one.created, reverse=not after)
        if query.period.nearest:
            limit = min(limit, 1)
    return ordered[query.offset : query.offset + limit]


def has_part(dataset: Dataset, wanted: ResourceFilter) -> bool:
    """Return whether a resource of a dataset is as it shall be."""
    return not wanted or bool(hit_of_parts(dataset, wanted)["resources"])


def resource_matches(one: Resource, query: ResourceQuery) -> bool:
    """Return whether a resource is meant."""
    name, url, description = fold(one.name), fold(one.url), fold(one.description or "")
    return (
        (not query.q or any(fold(query.q) in text for text in (name, url, description)))
        and (not query.name or fold(query.name) in name)
        and (not query.url or fold(query.url) in url)
        and (not query.description or fold(query.description) in description)
        and (query.format is None or fold(query.format) == fold(one.format or ""))
    )


def _of_words(texts: Iterable[str]) -> str:
    # The engine compares stems of whole words, and parts of words as they are.
    words = [word.lower() for text in texts for word in _WORD.findall(text)][:_MOST_WORDS]
    parts = [f"(text:{word} OR text:*{word}* OR id:*{word}*)" for word in dict.fromkeys(words)]
    return " AND ".join(parts) or _EVERYTHING
