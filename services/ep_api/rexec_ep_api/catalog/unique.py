"""Names that are taken, found out by the database alone: only it sees everybody's."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy.exc import IntegrityError

from rexec_ep_api.catalog.errors import CatalogError

_TAKEN_SQLITE = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
_TAKEN_POSTGRESQL = "23505"


@contextmanager
def unique(taken: Callable[[], CatalogError]) -> Iterator[None]:
    """Raise what `taken` returns if a statement inside breaks a unique constraint."""
    try:
        yield
    except IntegrityError as error:
        if not _is_taken(error.orig):
            raise
        raise taken() from None


def _is_taken(error: object) -> bool:
    # By its code: what PostgreSQL says is in the language of its server.
    if isinstance(error, sqlite3.IntegrityError):
        return error.sqlite_errorcode in _TAKEN_SQLITE
    return getattr(error, "sqlstate", None) == _TAKEN_POSTGRESQL
