"""The kinds of datasets that have one resource of a known kind, and how they are changed."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import HTTPException

from rexec_ep_api.catalog.errors import DuplicateError, NotFoundError
from rexec_ep_api.catalog.records import (
    SERVICES,
    Dataset,
    DatasetChange,
    NewResource,
    Resource,
)
from rexec_ep_api.duplicates import duplicate
from rexec_ep_api.extras import COMMON
from rexec_ep_api.servers import CatalogLike


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of dataset.

    Attributes
    ----------
    format
        Of its one resource.
    reserved
        Keys of extras that its users cannot have.
    missing
        What is said if there is no such dataset.
    called
        What people call it.
    owner
        The organization that all of them belong to, if it is one.
    """

    format: str
    reserved: frozenset[str]
    missing: str
    called: str = "Dataset"
    owner: str | None = None


_TYPED: Final = COMMON | {"collection"}

KAFKA: Final = Kind(
    format="kafka",
    reserved=_TYPED | {"host", "port", "topic", "mapping", "processing"},
    missing="Kafka dataset not found",
)
URL: Final = Kind(
    format="url",
    reserved=_TYPED | {"url", "mapping", "processing", "file_type"},
    missing="URL resource not found",
)
S3: Final = Kind(format="s3", reserved=_TYPED, missing="S3 resource not found")
SERVICE: Final = Kind(
    format="service",
    reserved=COMMON,
    missing="Service not found",
    called="Service",
    owner=SERVICES,
)
_FORMATS: Final = frozenset(kind.format for kind in (KAFKA, URL, S3, SERVICE))


def part(dataset: Dataset, kind: Kind) -> Resource:
    """Return the one resource that makes a dataset of its kind.

    Parameters
    ----------
    dataset
        The dataset.
    kind
        What it shall be.

    Raises
    ------
    HTTPException
        If it is of another kind.
    """
    other = HTTPException(404, f"{kind.missing}: the dataset {dataset.name!r} is of another kind.")
    if kind.owner is not None and dataset.owner_org != kind.owner:
        raise other
    formats = [(resource.format or "").lower() for resource in dataset.resources]
    for resource, format_ in zip(dataset.resources, formats, strict=True):
        if format_ == kind.format:
            return resource
    if len(formats) == 1 and formats[0] not in _FORMATS:
        return dataset.resources[0]  # somebody gave it a format that tells more
    raise other


async def find(catalog: CatalogLike, id_or_name: str, kind: Kind) -> Dataset:
    """Return a dataset of a kind.

    Parameters
    ----------
    catalog
        Where.
    id_or_name
        Which.
    kind
        What it shall be.

    Raises
    ------
    HTTPException
        If there is none.
    """
    try:
        dataset = await catalog.dataset(id_or_name)
    except NotFoundError:
        raise absent(kind, id_or_name) from None
    part(dataset, kind)
    return dataset


def absent(kind: Kind, id_or_name: str) -> HTTPException:
    """Return the error that tells that there is no such dataset of a kind."""
    return HTTPException(404, f"{kind.missing}: there is none {id_or_name!r}.")


async def change(
    catalog: CatalogLike,
    dataset: Dataset,
    kind: Kind,
    change: DatasetChange,
    resource: Mapping[str, Any],
) -> None:
    """Change a dataset and its one resource, both or neither.

    Parameters
    ----------
    catalog
        Where.
    dataset
        As it is.
    kind
        What it is.
    change
        What shall be different about it.
    resource
        What shall be different about the resource, by attribute; None leaves it as it is.

    Raises
    ------
    HTTPException
        If the new name is taken, or the dataset is gone.
    """
    old = part(dataset, kind)
    given = {name: value for name, value in resource.items() if value is not None}
    if given:
        new = NewResource(
            id=old.id,
            url=old.url,
            name=old.name,
            description=old.description,
            format=old.format,
            mimetype=old.mimetype,
            size=old.size,
        )
        change = dataclasses.replace(change, resources=(dataclasses.replace(new, **given),))
    try:
        await catalog.update_dataset(dataset.id, change, patch=True)
    except DuplicateError:
        raise duplicate(change.name or dataset.name, kind.called) from None
    except NotFoundError:
        raise HTTPException(404, f"{kind.missing}: {dataset.name!r} is no longer there.") from None
