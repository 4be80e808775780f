"""Backups: the whole catalog in one file that any database can be restored from.

The file is JSON, one object a line, compressed by gzip. The first line is
``{"rexec_catalog": 1, "created": TIME}``. Then come, each in the order in which they were
registered, lines with one key each: ``organization``, ``dataset`` (with its ``resources``) and
``access_request``. The last line is ``{"end": {"organizations": N, "datasets": N,
"access_requests": N}}``; without it, the file is only a part. Times are UTC without a time zone.
"""

import gzip
import json
import os
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.exc import DataError, IntegrityError

from rexec_ep_api.catalog import datasets as whole
from rexec_ep_api.catalog.access_requests import KeptAccessRequest
from rexec_ep_api.catalog.clock import now
from rexec_ep_api.catalog.errors import DuplicateError, InvalidError, OccupiedError
from rexec_ep_api.catalog.models import access_requests, datasets, organizations
from rexec_ep_api.catalog.organizations import ensure_services
from rexec_ep_api.catalog.records import SERVICES, Dataset, Organization

_T = TypeVar("_T")

_VERSION: Final = 1
_BATCH: Final = 500
_KINDS: Final = ("organizations", "datasets", "access_requests")
# What reading another file, or a part of one, or one with other bytes in it, leads to.
_DAMAGES: Final = (
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    OverflowError,
    RecursionError,
    EOFError,
    gzip.BadGzipFile,
    zlib.error,
    DataError,
    IntegrityError,
    DuplicateError,
)


def save(connection: Connection, path: Path) -> dict[str, int]:
    """Write everything to a file, which is complete once it has its name.

    Parameters
    ----------
    connection
        In a transaction that sees one state of everything.
    path
        The file. Only its owner may read it: it holds private datasets too.

    Returns
    -------
    counts
        How much was written, by kind.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    counts: Counter[str] = Counter(dict.fromkeys(_KINDS, 0))
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as raw:
            with gzip.open(raw, "wt", encoding="utf-8", compresslevel=6) as file:
                for line in _lines(connection, counts):
                    file.write(json.dumps(line, ensure_ascii=False, default=_plain))
                    file.write("\n")
            raw.flush()
            os.fsync(raw.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise
    return dict(counts)


def restore(connection: Connection, path: Path, *, replace: bool) -> dict[str, int]:
    """Put everything that is in a file into the catalog.

    Parameters
    ----------
    connection
        In a transaction that writes.
    path
        The file.
    replace
        Whether what the catalog holds may go.

    Returns
    -------
    counts
        How much was restored, by kind.

    Raises
    ------
    OccupiedError
        If the catalog holds something, which may not go.
    InvalidError
        If the file is no complete backup.
    OSError
        If it cannot be read.
    """
    _clear(connection, replace=replace)
    counts: Counter[str] = Counter(dict.fromkeys(_KINDS, 0))
    owners: dict[str, str] = {}
    number = 1
    ended = False
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            _check_header(path, file.readline())
            # To the very end, where the file has a checksum of all of it.
            for number, text in enumerate(file, 2):
                ((kind, content),) = json.loads(text).items()
                if ended:
                    raise InvalidError(f"{path} goes on after its end, in line {number}.")
                if kind == "end":
                    _check_end(path, content, counts)
                    ended = True
                else:
                    _put(connection, kind, content, owners, counts)
    except _DAMAGES as error:
        raise InvalidError(
            f"{path} is no backup of a catalog, or damaged in line {number}."
        ) from error
    if not ended:
        raise InvalidError(f"{path} ends too early: it is a part of a backup only.")
    ensure_services(connection)
    return dict(counts)


def _lines(connection: Connection, counts: Counter[str]) -> Iterator[dict[str, Any]]:
    yield {"rexec_catalog": _VERSION, "created": now()}
    query = select(organizations).order_by(organizations.c.created, organizations.c.id)
    for row in connection.execute(query).mappings():
        counts["organizations"] += 1
        yield {"organization": dict(row)}
    for dataset in _datasets(connection):
        counts["datasets"] += 1
        yield {"dataset": dataset}
    columns = [column for column in access_requests.c if column.name != "seq"]
    requests = select(*columns).order_by(access_requests.c.seq)
    for row in connection.execute(requests).mappings():
        counts["access_requests"] += 1
        yield {"access_request": dict(row)}
    yield {"end": dict(counts)}


def _datasets(connection: Connection) -> Iterator[Dataset]:
    """Yield all datasets, a few at a time in memory."""
    last = -1
    while True:
        query = (
            select(*whole.COLUMNS)
            .join(organizations, organizations.c.id == datasets.c.organization_id)
            .where(datasets.c.seq > last)
            .order_by(datasets.c.seq)
            .limit(_BATCH)
        )
        rows = connection.execute(query).mappings().all()
        if not rows:
            return
        yield from whole.of_rows(connection, rows)
        last = rows[-1][datasets.c.seq]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError


def _clear(connection: Connection, *, replace: bool) -> None:
    held = connection.execute(select(func.count()).select_from(datasets)).scalar_one()
    others = select(func.count()).where(organizations.c.name != SERVICES)
    held += connection.execute(others).scalar_one()
    held += connection.execute(select(func.count()).select_from(access_requests)).scalar_one()
    if held and not replace:
        raise OccupiedError(
            "The catalog is not empty. Restore into an empty one, or ask for what it holds to be "
            "replaced."
        )
    for table in (organizations, access_requests):
        connection.execute(delete(table))


def _check_header(path: Path, line: str) -> None:
    version = json.loads(line)["rexec_catalog"]
    if version != _VERSION:
        raise InvalidError(
            f"{path} has the format {version!r}, and this version of rexec knows {_VERSION}. "
            "Restore it with the version that made it."
        )


def _check_end(path: Path, told: Any, counts: Counter[str]) -> None:
    if told != dict(counts):
        raise InvalidError(f"{path} should hold {told!r}, and holds {dict(counts)!r}.")


def _put(
    connection: Connection,
    kind: str,
    content: Any,
    owners: dict[str, str],
    counts: Counter[str],
) -> None:
    match kind:
        case "organization":
            organization = _typed(content, Organization)
            connection.execute(insert(organizations), asdict(organization))
            owners[organization.name] = organization.id
        case "dataset":
            dataset = _typed(content, Dataset)
            whole.keep(connection, dataset, owners[dataset.owner_org])
        case "access_request":
            request = _typed(content, KeptAccessRequest)
            connection.execute(insert(access_requests), asdict(request))
        case _:
            raise ValueError(kind)
    counts[f"{kind}s"] += 1


def _typed(content: Any, kind: type[_T]) -> _T:
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise ValueError(kind.__name__) from error
