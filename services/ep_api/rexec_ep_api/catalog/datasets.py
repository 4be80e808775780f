"""Datasets in a transaction."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import BindParameter, Connection, RowMapping, Select, bindparam, insert, or_, select
from sqlalchemy import delete as delete_from
from sqlalchemy import update as update_of

from rexec_ep_api.catalog import index, organizations, parts, texts
from rexec_ep_api.catalog.clock import now
from rexec_ep_api.catalog.errors import DuplicateError, no_dataset
from rexec_ep_api.catalog.models import datasets
from rexec_ep_api.catalog.models import organizations as owners
from rexec_ep_api.catalog.records import Dataset, DatasetChange, NewDataset, NewResource, Resource
from rexec_ep_api.catalog.unique import unique

COLUMNS = (
    *(
        datasets.c[name]
        for name in (
            "seq",
            "id",
            "name",
            "title",
            "notes",
            "extras",
            "tags",
            "groups",
            "private",
            "license_id",
            "version",
            "creator",
            "created",
            "modified",
        )
    ),
    owners.c.name.label("owner_org"),
)
"""What a `Dataset` is made from, beside its resources."""

_whole = select(*COLUMNS).join(owners, owners.c.id == datasets.c.organization_id)
_wanted: BindParameter[Any] = bindparam("wanted")


def _named(query: Select[Any]) -> Select[Any]:
    query = query.where(or_(datasets.c.name == _wanted, datasets.c.id == _wanted))
    # A name that is another's identifier does not hide that.
    return query.order_by(datasets.c.id != _wanted).limit(1)


_ONE = _named(_whole)
_LOCK = _named(select(datasets.c.seq)).with_for_update()
_NUMBERED = _whole.where(datasets.c.seq == _wanted)


def create(connection: Connection, new: NewDataset) -> Dataset:
    """Register one; see `Catalog.create_dataset`."""
    owner = organizations.owner(connection, new.owner_org)
    moment = now()
    identifier = str(uuid.uuid4())
    dataset = Dataset(
        id=identifier,
        name=new.name,
        title=new.title,
        owner_org=owner.name,
        notes=new.notes,
        extras=new.extras,
        resources=tuple(parts.made(one, identifier, moment, None) for one in new.resources),
        tags=new.tags,
        groups=new.groups,
        private=new.private,
        license_id=new.license_id,
        version=new.version,
        creator=new.creator,
        created=moment,
        modified=moment,
    )
    keep(connection, dataset, owner.id)
    return dataset


def keep(connection: Connection, dataset: Dataset, organization_id: str) -> None:
    """Write a dataset that was not there, with its resources, and what it is found by."""
    row = _row(dataset) | {"organization_id": organization_id}
    with unique(lambda: _taken(dataset.name)):
        seq: int = connection.execute(insert(datasets).returning(datasets.c.seq), row).scalar_one()
    parts.add(connection, seq, enumerate(dataset.resources))
    index.put(connection, seq, row["search_text"])


def get(connection: Connection, id_or_name: str) -> Dataset:
    """Return one; see `Catalog.dataset`."""
    return _found(connection, _ONE, id_or_name, id_or_name)[1]


def locked(connection: Connection, id_or_name: str) -> tuple[int, Dataset]:
    """Return the number of a dataset and the dataset, which nobody else changes until the end."""
    seq = None
    if texts.possible(id_or_name):
        # A statement of its own: one that waits joins what was there before with what is now.
        seq = connection.execute(_LOCK, {"wanted": id_or_name}).scalar()
    return _found(connection, _NUMBERED, seq, id_or_name)


def update(
    connection: Connection, id_or_name: str, change: DatasetChange, *, patch: bool
) -> Dataset:
    """Change one; see `Catalog.update_dataset`."""
    seq, old = locked(connection, id_or_name)
    values = {
        name: value
        for name in DatasetChange.__slots__
        if (value := getattr(change, name)) is not None
    }
    owner = values.pop("owner_org", None)
    if owner is not None:
        organization = organizations.owner(connection, owner)
        values["owner_org"] = organization.name
    if change.extras is not None:
        values["extras"] = {**old.extras, **change.extras}
    values["resources"] = changed_parts(old, change.resources or (), patch=patch)
    new = replace(old, **values, modified=now())
    more = {} if owner is None else {"organization_id": organization.id}
    with unique(lambda: _taken(new.name)):
        save(connection, seq, new, **more)
    if new.resources != old.resources:
        parts.store(connection, seq, new.resources)
    return new


def save(connection: Connection, seq: int, dataset: Dataset, **more: Any) -> None:
    """Write a dataset, without its resources, and what it is found by."""
    row = _row(dataset) | more
    connection.execute(update_of(datasets).where(datasets.c.seq == seq).values(row))
    index.put(connection, seq, row["search_text"])


def delete(connection: Connection, id_or_name: str) -> None:
    """Delete one; see `Catalog.delete_dataset`."""
    seq, _ = locked(connection, id_or_name)
    connection.execute(delete_from(datasets).where(datasets.c.seq == seq))


def of_rows(connection: Connection, rows: Sequence[RowMapping]) -> list[Dataset]:
    """Return the datasets in rows that have `COLUMNS`."""
    found = parts.of_datasets(connection, {row[datasets.c.seq]: row[datasets.c.id] for row in rows})
    return [_of(row, found[row[datasets.c.seq]]) for row in rows]


def _found(
    connection: Connection, query: Select[Any], wanted: str | int | None, id_or_name: str
) -> tuple[int, Dataset]:
    row = None
    if isinstance(wanted, int) or (wanted is not None and texts.possible(wanted)):
        row = connection.execute(query, {"wanted": wanted}).mappings().first()
    if row is None:
        raise no_dataset(id_or_name)
    return row[datasets.c.seq], of_rows(connection, [row])[0]


def _of(row: RowMapping, consists_of: Sequence[Resource]) -> Dataset:
    values = {column.name: row[column.name] for column in COLUMNS if column.name != "seq"}
    values["tags"] = tuple(values["tags"])
    values["groups"] = tuple(values["groups"])
    return Dataset(**values, resources=tuple(consists_of))


def changed_parts(
    old: Dataset, given: Sequence[NewResource], *, patch: bool
) -> tuple[Resource, ...]:
    """Return the resources of a dataset once some were given."""
    if not given:
        return old.resources
    moment = now()
    kept = list(old.resources)
    new: list[Resource] = []
    for one in given:
        match = _match(one, kept)
        if match is not None and patch:
            kept[kept.index(match)] = parts.patched(one, match, moment)
            continue
        resource = parts.made(one, old.id, moment, match)
        if match is not None:
            kept.remove(match)
        new.append(resource)
    return tuple([*kept, *new] if patch else new)


def _match(new: NewResource, old: Sequence[Resource]) -> Resource | None:
    """Return the resource whose place a new one takes: by identifier, or by url, or by name."""
    for attribute in ("url", "name") if new.id is None else ("id",):
        wanted = getattr(new, attribute)
        for one in old:
            if wanted and getattr(one, attribute) == wanted:
                return one
    return None


def _row(dataset: Dataset) -> dict[str, Any]:
    hit = texts.dump(texts.hit(dataset))
    fields = texts.fields(dataset)
    return {
        **{
            name: getattr(dataset, name)
            for name in (
                "id",
                "name",
                "title",
                "notes",
                "private",
                "license_id",
                "version",
                "creator",
                "created",
                "modified",
            )
        },
        "extras": dict(dataset.extras),
        "tags": list(dataset.tags),
        "groups": list(dataset.groups),
        "timestamp": texts.timestamp(dataset.extras),
        "hit": hit,
        "search_text": texts.search_text(fields),
        "fields": fields,
    }


def _taken(name: str) -> DuplicateError:
    return DuplicateError(
        f"Duplicate Dataset: there is a dataset {name!r} already. Choose another name, or change "
        "that one."
    )
