"""Resources in a transaction."""

from dataclasses import asdict, replace

from sqlalchemy import Connection, select, update
from sqlalchemy import delete as delete_from

from rexec_ep_api.catalog import datasets as whole
from rexec_ep_api.catalog import parts
from rexec_ep_api.catalog.clock import now
from rexec_ep_api.catalog.errors import NotFoundError, no_resource
from rexec_ep_api.catalog.models import datasets, resources
from rexec_ep_api.catalog.records import Dataset, Resource, ResourceChange
from rexec_ep_api.catalog.texts import possible


def get(connection: Connection, identifier: str) -> Resource:
    """Return one; see `Catalog.resource`."""
    query = (
        select(datasets.c.id.label("owner"), *parts.COLUMNS)
        .join(datasets, datasets.c.seq == resources.c.dataset_seq)
        .where(resources.c.id == identifier)
    )
    row = None
    if possible(identifier):
        row = connection.execute(query).mappings().first()
    if row is None:
        raise no_resource(identifier)
    return parts.of(row, row["owner"])


def patch(
    connection: Connection, identifier: str, change: ResourceChange, dataset: str | None
) -> Resource:
    """Change one; see `Catalog.patch_resource`."""
    seq, owner, found = _locked(connection, identifier, dataset)
    given = {name: value for name, value in asdict(change).items() if value is not None}
    changed = replace(found, modified=now(), **given)
    row = parts.row(changed)
    connection.execute(update(resources).where(resources.c.id == identifier).values(row))
    after = tuple(changed if one.id == identifier else one for one in owner.resources)
    whole.save(connection, seq, replace(owner, resources=after, modified=changed.modified))
    return changed


def delete(connection: Connection, identifier: str, dataset: str | None) -> None:
    """Delete one; see `Catalog.delete_resource`."""
    seq, owner, _ = _locked(connection, identifier, dataset)
    connection.execute(delete_from(resources).where(resources.c.id == identifier))
    after = tuple(one for one in owner.resources if one.id != identifier)
    whole.save(connection, seq, replace(owner, resources=after, modified=now()))


def _locked(
    connection: Connection, identifier: str, dataset: str | None
) -> tuple[int, Dataset, Resource]:
    """Return a resource within its dataset, which nobody else changes in the meantime."""
    found = get(connection, identifier)
    seq, owner = whole.locked(connection, found.dataset_id)
    if dataset is not None and dataset not in (owner.id, owner.name):
        raise NotFoundError(
            f"Resource not found: {identifier!r} is no resource of the dataset {dataset!r}."
        )
    for resource in owner.resources:
        if resource.id == identifier:
            return seq, owner, resource
    raise no_resource(identifier)
