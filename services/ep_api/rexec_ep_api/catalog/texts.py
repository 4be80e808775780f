"""What datasets are found by, made from what they hold.

Case is folded here, for every language alike, and not by the databases, which each know another
part of Unicode.
"""

import json
import string
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from rexec_ep_api.catalog.errors import InvalidError
from rexec_ep_api.catalog.records import Dataset, Resource

_APART = "\x1f"
# After it, even the last character of a text begins one of its trigrams.
_END = 2 * _APART
GRAM = 3
"""Characters of a word in the index."""
_EXTRA = "extras_"
_ALIASES = {
    "organization": "owner_org",
    "description": "notes",
    "resource_name": "res_name",
    "resource_url": "res_url",
    "resource_description": "res_description",
    "resource_format": "res_format",
}


def fold(text: str) -> str:
    """Return a text as it is compared."""
    if text.isascii():
        return text.lower().replace(_APART, " ")
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return folded.replace(_APART, " ")


def possible(text: str) -> bool:
    """Return whether databases can hold a text; one that they cannot is nowhere in them."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def dump(value: Any) -> str:
    """Return a value as JSON.

    Raises
    ------
    InvalidError
        If JSON, or a database, cannot hold it.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode()
    except (TypeError, ValueError, RecursionError):
        raise InvalidError(
            "It holds a value that JSON cannot: a number that is infinite or NaN, half of a "
            "surrogate pair, or something that is no plain value."
        ) from None
    if "\\u0000" in text and "\0" in _flat(value):
        raise InvalidError("It holds a NUL character, which no database keeps. Remove it.")
    return text


def fields(dataset: Dataset) -> dict[str, list[str]]:
    """Return the folded values of a dataset by the key that terms name."""
    found: dict[str, list[str]] = {}

    def add(key: str, value: Any) -> None:
        texts = [fold(text) for text in _leaves(value) if text]
        if texts:
            found.setdefault(key, []).extend(texts)

    # The extras first: they do not hide what the dataset itself has, but add to it.
    for key, value in dataset.extras.items():
        add(key, value)
    for key in ("id", "name", "title", "notes", "owner_org", "license_id", "version"):
        add(key, getattr(dataset, key))
    add("tags", list(dataset.tags))
    add("groups", list(dataset.groups))
    for resource in dataset.resources:
        add("id", resource.id)
        for key in ("name", "url", "description", "format", "mimetype"):
            add(f"res_{key}", getattr(resource, key))
    return found


def search_text(found: Mapping[str, list[str]]) -> str:
    """Return the text that terms without a key must occur in; none reaches across values."""
    parts = []
    for key, values in found.items():
        parts.append(fold(key))
        parts.extend(values)
    return _APART.join(parts) + _END


def keys_of(name: str) -> tuple[str, ...]:
    """Return the keys in `fields` that the key of a term may mean."""
    other = name.removeprefix(_EXTRA) if name.startswith(_EXTRA) else _ALIASES.get(name, name)
    return tuple(dict.fromkeys((name, other)))


def hit(dataset: Dataset) -> dict[str, Any]:
    """Return a dataset as searches show it."""
    return {
        "id": dataset.id,
        "name": dataset.name,
        "title": dataset.title,
        "owner_org": dataset.owner_org,
        "notes": dataset.notes,
        "resources": [hit_resource(resource) for resource in dataset.resources],
        "extras": dict(dataset.extras),
        "tags": list(dataset.tags),
        "groups": list(dataset.groups),
        "private": dataset.private,
        "license_id": dataset.license_id,
        "version": dataset.version,
        "metadata_created": dataset.created.isoformat(),
        "metadata_modified": dataset.modified.isoformat(),
    }


def hit_resource(resource: Resource) -> dict[str, Any]:
    """Return a resource as searches show it."""
    return {
        "id": resource.id,
        "url": resource.url,
        "name": resource.name,
        "description": resource.description,
        "format": resource.format,
    }


def timestamp(extras: Mapping[str, Any]) -> datetime | None:
    """Return the time that the extra ``timestamp`` tells, in UTC, if it tells one."""
    value = extras.get("timestamp")
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None
    return moment


def trigrams(text: str) -> list[str]:
    """Return what an index of every three characters in a row knows of a text, without repeats."""
    return list(dict.fromkeys(text[at : at + GRAM] for at in range(len(text) - GRAM + 1)))


class _Plain(dict[int, str]):
    """What stands for a character in `plain`."""

    def __missing__(self, code: int) -> str:
        return string.ascii_uppercase[code % len(string.ascii_uppercase)]


_PLAIN = _Plain({ord(character): character for character in string.ascii_lowercase + string.digits})


def plain(folded: str) -> str:
    """Return a text with a letter or a digit for every character.

    Two may share one, which costs a second look. In return there are so few words of three of
    them that a text of any length and in any script stays below the limits of a tsvector.
    """
    return folded.translate(_PLAIN)


def _leaves(value: Any) -> Iterator[str]:
    """Yield what a value says, keys included, as people would write it."""
    match value:
        case None:
            return
        case str():
            yield value
        case bool():
            yield "true" if value else "false"
        case Mapping():
            for key, item in value.items():
                yield str(key)
                yield from _leaves(item)
        case list() | tuple():
            for item in value:
                yield from _leaves(item)
        case _:
            yield str(value)


def _flat(value: Any) -> str:
    return _APART.join(_leaves(value))
