"""The resources that a dataset consists of, as rows."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select
from sqlalchemy import delete as delete_from

from rexec_ep_api.catalog.models import resources
from rexec_ep_api.catalog.records import NewResource, Resource
from rexec_ep_api.catalog.texts import fold

COLUMNS = tuple(
    column for column in resources.c if column.name in {field.name for field in fields(Resource)}
)
"""Columns of a `Resource`, without the identifier of its dataset."""


def made(new: NewResource, dataset_id: str, moment: datetime, old: Resource | None) -> Resource:
    """Return a resource as it shall be kept, in place of an old one if there is one."""
    return Resource(
        id=old.id if old else str(uuid.uuid4()),
        dataset_id=dataset_id,
        url=new.url,
        name=new.name,
        description=new.description,
        format=new.format,
        mimetype=new.mimetype,
        size=new.size,
        created=old.created if old else moment,
        modified=moment,
    )


def patched(new: NewResource, old: Resource, moment: datetime) -> Resource:
    """Return a resource with what is said about it anew; the rest stays."""
    said = {name: getattr(new, name) for name in NewResource.__slots__ if name != "id"}
    said = {name: value for name, value in said.items() if value not in (None, "")}
    return replace(old, modified=moment, **said)


def of(found: RowMapping, dataset_id: str) -> Resource:
    """Return the resource in a row that has `COLUMNS`."""
    values: dict[str, Any] = {column.name: found[column] for column in COLUMNS}
    return Resource(dataset_id=dataset_id, **values)


def of_datasets(connection: Connection, ids: dict[int, str]) -> dict[int, list[Resource]]:
    """Return the resources of datasets, in order, by the number of the dataset."""
    found: dict[int, list[Resource]] = {seq: [] for seq in ids}
    query = (
        select(resources.c.dataset_seq, *COLUMNS)
        .where(resources.c.dataset_seq.in_(list(ids)))
        .order_by(resources.c.dataset_seq, resources.c.position)
    )
    for one in connection.execute(query).mappings():
        seq = one[resources.c.dataset_seq]
        found[seq].append(of(one, ids[seq]))
    return found


def add(connection: Connection, seq: int, items: Iterable[tuple[int, Resource]]) -> None:
    """Keep resources of a dataset, each with its position."""
    if rows := [
        row(resource) | {"dataset_seq": seq, "position": position} for position, resource in items
    ]:
        connection.execute(insert(resources), rows)


def store(connection: Connection, seq: int, new: Sequence[Resource]) -> None:
    """Have a dataset consist of other resources than before."""
    connection.execute(delete_from(resources).where(resources.c.dataset_seq == seq))
    add(connection, seq, enumerate(new))


def row(resource: Resource) -> dict[str, Any]:
    """Return the row that a resource is kept in, without the place of that."""
    values = {column.name: getattr(resource, column.name) for column in COLUMNS}
    return values | {
        "folded_name": fold(resource.name),
        "folded_url": fold(resource.url),
        "folded_description": fold(resource.description or ""),
        "folded_format": fold(resource.format or ""),
    }
