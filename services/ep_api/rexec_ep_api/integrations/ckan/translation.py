"""Records of the catalog made from what CKAN tells, and the other way round.

A CKAN holds what anybody ever put there: nothing that is odd about one dataset may hide the
others, so whatever cannot be understood becomes nothing.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from rexec_ep_api.catalog.records import (
    Dataset,
    NewDataset,
    NewResource,
    Organization,
    Resource,
)

_LONG_AGO: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - times of the catalog are naive UTC
CREATOR: Final = "ndp_user_id"
CREATOR_MD5: Final = "ndp_creator_md5"
# Kept as JSON text, for lack of another form.
_STRUCTURED: Final = ("mapping", "processing")

Json = Mapping[str, Any]


def dataset(package: Json) -> Dataset:
    """Return the dataset that a package is."""
    extras = _extras(package)
    owner = package.get("organization")
    identifier = _text(package.get("id"))
    name = _text(package.get("name")) or identifier
    created = moment(package.get("metadata_created"))
    return Dataset(
        id=identifier,
        name=name,
        title=_text(package.get("title")) or name,
        owner_org=_text(owner.get("name") if isinstance(owner, Mapping) else "")
        or _text(package.get("owner_org")),
        notes=_text(package.get("notes")),
        extras=extras,
        resources=tuple(resource(item, identifier) for item in _objects(package, "resources")),
        tags=_names(package, "tags"),
        groups=_names(package, "groups"),
        private=package.get("private") is True,
        license_id=_optional(package.get("license_id")),
        version=_optional(package.get("version")),
        creator=_text(extras.get(CREATOR)),
        created=created or _LONG_AGO,
        modified=moment(package.get("metadata_modified")) or created or _LONG_AGO,
    )


def resource(item: Json, dataset_id: str = "") -> Resource:
    """Return the resource that CKAN tells of."""
    created = moment(item.get("created"))
    return Resource(
        id=_text(item.get("id")),
        dataset_id=_text(item.get("package_id")) or dataset_id,
        url=_text(item.get("url")),
        name=_text(item.get("name")),
        description=_optional(item.get("description")),
        format=_optional(item.get("format")),
        mimetype=_optional(item.get("mimetype")),
        size=_number(item.get("size")),
        created=created or _LONG_AGO,
        modified=moment(item.get("last_modified"))
        or moment(item.get("metadata_modified"))
        or created
        or _LONG_AGO,
    )


def organization(group: Json) -> Organization:
    """Return the organization that CKAN tells of."""
    extras = _extras(group)
    name = _text(group.get("name"))
    return Organization(
        id=_text(group.get("id")),
        name=name,
        title=_text(group.get("title")) or name,
        description=_text(group.get("description")),
        creator=_text(extras.get(CREATOR)),
        creator_md5=_text(extras.get(CREATOR_MD5)),
        created=moment(group.get("created")) or _LONG_AGO,
    )


def package(new: NewDataset) -> dict[str, Any]:
    """Return what CKAN makes a dataset from."""
    made = {
        "name": new.name,
        "title": new.title,
        "owner_org": new.owner_org,
        "notes": new.notes,
        "private": new.private,
        "license_id": new.license_id,
        "version": new.version,
        "extras": extra_list(new.extras),
        "tags": name_list(new.tags),
        "groups": name_list(new.groups),
        "resources": [resource_fields(item) for item in new.resources],
    }
    return {name: value for name, value in made.items() if value is not None}


def resource_fields(item: NewResource | Resource) -> dict[str, Any]:
    """Return what CKAN makes a resource from."""
    names = ("url", "name", "description", "format", "mimetype", "size")
    return {name: value for name in names if (value := getattr(item, name)) is not None}


def extra_list(extras: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return extras as CKAN has them, which is nothing but texts."""
    return [
        {"key": key, "value": value if isinstance(value, str) else json.dumps(value)}
        for key, value in extras.items()
        if value is not None
    ]


def name_list(names: Iterable[str]) -> list[dict[str, str]]:
    """Return tags or groups as CKAN has them."""
    return [{"name": name} for name in names]


def moment(value: Any) -> datetime | None:
    """Return the time, in UTC without a zone, that CKAN tells."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
        return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found
    except (ValueError, OverflowError):
        return None


def _extras(item: Json) -> dict[str, Any]:
    found = {
        _text(pair["key"]): pair.get("value")
        for pair in _objects(item, "extras")
        if pair.get("key")
    }
    return found | {
        key: _structure(value) for key in _STRUCTURED if isinstance(value := found.get(key), str)
    }


def _structure(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _names(item: Json, key: str) -> tuple[str, ...]:
    return tuple(name for one in _objects(item, key) if (name := _text(one.get("name"))))


def _objects(item: Json, key: str) -> list[Json]:
    found = item.get(key)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _optional(value: Any) -> str | None:
    return _text(value) or None


def _number(value: Any) -> int | None:
    text = _text(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
