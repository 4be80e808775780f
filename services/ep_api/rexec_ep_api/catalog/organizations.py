"""Organizations in a transaction."""

import uuid
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    Connection,
    Select,
    bindparam,
    false,
    func,
    insert,
    or_,
    select,
)
from sqlalchemy import delete as delete_from

from rexec_ep_api.catalog.clock import now
from rexec_ep_api.catalog.errors import (
    DuplicateError,
    NotFoundError,
    OccupiedError,
    UnknownOrganizationError,
)
from rexec_ep_api.catalog.models import datasets, organizations
from rexec_ep_api.catalog.records import SERVICES, NewOrganization, Organization
from rexec_ep_api.catalog.texts import fold, possible
from rexec_ep_api.catalog.unique import unique

_wanted: BindParameter[str] = bindparam("wanted")
_NAMED: Final = (
    select(organizations)
    .where(or_(organizations.c.name == _wanted, organizations.c.id == _wanted))
    # A name that is another's identifier does not hide that.
    .order_by(organizations.c.id != _wanted)
    .limit(1)
)
_KEPT: Final = _NAMED.with_for_update(read=True, key_share=True)
_ALONE: Final = _NAMED.with_for_update()


def create(connection: Connection, new: NewOrganization) -> Organization:
    """Register one; see `Catalog.create_organization`."""
    made = Organization(
        str(uuid.uuid4()),
        new.name,
        new.title,
        new.description,
        new.creator,
        new.creator_md5,
        now(),
    )
    with unique(
        lambda: DuplicateError(
            "Group name already exists in database: there is an organization "
            f"{new.name!r} already. Use it, or choose another name."
        )
    ):
        connection.execute(
            insert(organizations),
            {name: getattr(made, name) for name in Organization.__slots__},
        )
    return made


def get(connection: Connection, id_or_name: str) -> Organization:
    """Return one; see `Catalog.organization`."""
    return _found(connection, _NAMED, id_or_name)


def owner(connection: Connection, id_or_name: str) -> Organization:
    """Return the organization that shall own a dataset; it stays until the transaction ends.

    Raises
    ------
    UnknownOrganizationError
        If it is not there.
    """
    found = _find(connection, _KEPT, id_or_name)
    if found is None:
        raise UnknownOrganizationError(
            f"Organization does not exist: there is none with the name or identifier "
            f"{id_or_name!r}. Register it with POST /organization first."
        )
    return found


def names(connection: Connection, name: str | None, owner: str | None) -> list[str]:
    """List names; see `Catalog.organization_names`."""
    query = select(organizations.c.name)
    if owner is not None:
        query = query.where(organizations.c.creator == owner if possible(owner) else false())
    wanted = fold(name or "")
    # Sorted here: each database, and each of its languages, has an order of its own.
    return sorted(one for one in connection.execute(query).scalars() if wanted in fold(one))


def delete(connection: Connection, id_or_name: str, *, cascade: bool) -> int:
    """Delete one; see `Catalog.delete_organization`."""
    # Whoever is about to register a dataset in it is waited for, and counts.
    found = _found(connection, _ALONE, id_or_name)
    count: int = connection.execute(
        select(func.count()).where(datasets.c.organization_id == found.id)
    ).scalar_one()
    if count and not cascade:
        raise OccupiedError(
            f"The organization {found.name!r} still has {count} datasets. Delete them first, or "
            "ask for cascade=true to delete them with it."
        )
    connection.execute(delete_from(organizations).where(organizations.c.id == found.id))
    return count


def ensure_services(connection: Connection) -> None:
    """Make the organization of the services if it is not there."""
    if _find(connection, _NAMED, SERVICES) is None:
        create(
            connection,
            NewOrganization(SERVICES, "Services", "Services that are registered at this endpoint."),
        )


def _found(connection: Connection, query: Select[Any], id_or_name: str) -> Organization:
    found = _find(connection, query, id_or_name)
    if found is None:
        raise NotFoundError(
            f"Organization not found: there is none with the name or identifier {id_or_name!r}. "
            "GET /organization lists those there are."
        )
    return found


def _find(connection: Connection, query: Select[Any], id_or_name: str) -> Organization | None:
    if not possible(id_or_name):
        return None
    found = connection.execute(query, {"wanted": id_or_name}).mappings().first()
    return None if found is None else Organization(**found)
