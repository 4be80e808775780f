"""What searches ask for, as the catalog understands it."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from rexec_ep_api.catalog.errors import InvalidError
from rexec_ep_api.catalog.records import Period, ResourceFilter, Term
from rexec_ep_api.models.search import SearchBody

# What stands before the first colon is the name of a field, unless it is the scheme of an address.
_KEYED: Final = re.compile(r"([^\s:/]+):(?!//)(.*)", re.DOTALL)
_TIMESTAMP: Final = (
    "Invalid input: timestamp must be <T or >T for the nearest, or A/B for those between, with "
    "times as in 2026-05-04T12:00:00Z."
)


def keyed_terms(texts: Sequence[str], keys: Sequence[str] | None) -> tuple[Term, ...]:
    """Return the terms of a search.

    Parameters
    ----------
    texts
        What must occur.
    keys
        Where, one for each; ``null`` is anywhere. None or empty is anywhere for all.

    Raises
    ------
    InvalidError
        If there are more of one than of the other.
    """
    if not keys:
        return tuple(Term(text) for text in texts)
    if len(keys) != len(texts):
        raise InvalidError(
            f"Invalid input: there are {len(texts)} terms but {len(keys)} keys. Give one key for "
            "each term; null stands for any field."
        )
    pairs = zip(texts, keys, strict=True)
    return tuple(Term(text, None if key == "null" else key) for text, key in pairs)


def asked_terms(body: SearchBody) -> tuple[Term, ...]:
    """Return the terms of an advanced search."""
    terms = list(_filters(body.filter_list or ()))
    if body.search_term:
        parts = (part.strip() for part in body.search_term.split(","))
        terms += (Term(part) for part in parts if part)
    else:
        fields = {
            "name": body.dataset_name,
            "title": body.dataset_title,
            "owner_org": body.owner_org,
            "notes": body.dataset_description,
        }
        terms += (Term(text, key) for key, text in fields.items() if text)
    return tuple(terms)


def asked_resources(body: SearchBody) -> ResourceFilter:
    """Return what one resource of each dataset must have in an advanced search."""
    return ResourceFilter(
        url=body.resource_url or None,
        name=body.resource_name or None,
        description=body.resource_description or None,
        format=body.resource_format or None,
    )


def asked_period(body: SearchBody) -> Period | None:
    """Return when the datasets of an advanced search must be.

    Raises
    ------
    InvalidError
        If it cannot be understood.
    """
    text = (body.timestamp or "").strip()
    if not text:
        return None
    if text.startswith("<"):
        return Period(end=_moment(text[1:]), nearest=True)
    if text.startswith(">"):
        return Period(start=_moment(text[1:]), nearest=True)
    start, slash, end = text.partition("/")
    if not slash:
        raise InvalidError(_TIMESTAMP)
    period = Period(start=_moment(start), end=_moment(end))
    if period.start and period.end and period.start > period.end:
        raise InvalidError("Invalid input: timestamp ends before it begins.")
    return period


def _filters(filters: Iterable[str]) -> Iterator[Term]:
    for item in filters:
        keyed = _KEYED.fullmatch(item)
        key, text = keyed.groups() if keyed else (None, item)
        # As people write it who know the query language of other catalogs.
        text = text.strip().strip('"').strip("*")
        if text:
            yield Term(text, None if key == "*" else key)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        raise InvalidError(_TIMESTAMP) from None
