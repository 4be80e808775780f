"""What happens when a name is taken, alike for all that is registered."""

import dataclasses
from datetime import UTC, datetime

from fastapi import HTTPException

from rexec_ep_api.catalog.errors import DuplicateError
from rexec_ep_api.catalog.records import Dataset, NewDataset
from rexec_ep_api.servers import CatalogLike


async def create_once(catalog: CatalogLike, new: NewDataset, kind: str = "Dataset") -> Dataset:
    """Register a dataset under its name or not at all.

    Parameters
    ----------
    catalog
        Where.
    new
        The dataset.
    kind
        What people call it.

    Raises
    ------
    HTTPException
        If the name is taken.
    """
    try:
        return await catalog.create_dataset(new)
    except DuplicateError:
        raise duplicate(new.name, kind) from None


async def create_somehow(catalog: CatalogLike, new: NewDataset) -> tuple[Dataset, str | None]:
    """Register a dataset, with the time added to its name and title if the name is taken.

    Parameters
    ----------
    catalog
        Where.
    new
        The dataset.

    Returns
    -------
    tuple of Dataset and str or None
        What was registered, and a warning if it has another name.

    Raises
    ------
    HTTPException
        If the other name is taken too.
    """
    try:
        return await catalog.create_dataset(new), None
    except DuplicateError:
        now = datetime.now(UTC)
        renamed = dataclasses.replace(
            new,
            name=f"{new.name}-{now:%Y%m%d%H%M%S}",
            title=f"{new.title} ({now:%Y-%m-%d %H:%M:%S})",
        )
    created = await create_once(catalog, renamed)
    return created, (
        f"There is a dataset {new.name!r} already, so this one was registered as {created.name!r}."
    )


def duplicate(name: str, kind: str = "Dataset") -> HTTPException:
    """Return the error that tells that a name is taken."""
    return HTTPException(
        409,
        f"Duplicate {kind}: there is one with the name {name!r} already. Choose another name, or "
        "update the one there is.",
    )
