"""Who asked for access to the endpoint, and what became of it."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, TypeVar

from sqlalchemy import Connection, RowMapping, insert, select, update
from sqlalchemy.exc import IntegrityError

from rexec_ep_api.catalog.errors import CatalogError
from rexec_ep_api.catalog.models import access_requests as table

_T = TypeVar("_T")


class AlreadyPendingError(CatalogError):
    """There is a request of the same user that waits."""


class AlreadyDecidedError(CatalogError):
    """The request waits no longer.

    Parameters
    ----------
    status
        What became of it.
    """

    def __init__(self, status: str) -> None:
        super().__init__(f"This access request is already {status}.")
        self.status = status


@dataclass(frozen=True, slots=True)
class NewAccessRequest:
    """A request that shall be kept."""

    user_sub: str
    username: str
    email: str | None
    justification: str | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What shall become of a request."""

    status: Literal["approved", "rejected"]
    by_sub: str
    by_username: str
    grant_type: str | None
    notes: str | None


@dataclass(frozen=True, slots=True)
class KeptAccessRequest:
    """A request as it is kept; times are in UTC."""

    id: str
    user_sub: str
    username: str
    email: str | None
    status: str
    justification: str | None
    created_at: datetime
    decided_at: datetime | None
    decided_by_sub: str | None
    decided_by_username: str | None
    grant_type: str | None
    decision_notes: str | None


class Transactions(Protocol):
    """What runs a function in a transaction: a `Catalog`."""

    async def read(self, work: Callable[[Connection], _T]) -> _T:
        """Run a function that only reads."""

    async def write(self, work: Callable[[Connection], _T]) -> _T:
        """Run a function whose changes take effect if it returns."""


class AccessRequests:
    """The requests for access, in the database of the catalog.

    Parameters
    ----------
    transactions
        The catalog.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def create(self, new: NewAccessRequest) -> KeptAccessRequest:
        """Keep a request, which waits from then on.

        Raises
        ------
        AlreadyPendingError
            If one of the same user waits already.
        """
        values = {
            "id": str(uuid.uuid4()),
            "user_sub": new.user_sub,
            "username": new.username,
            "email": new.email,
            "status": "pending",
            "justification": new.justification,
            "created_at": _now(),
        }

        def work(connection: Connection) -> KeptAccessRequest:
            try:
                made = connection.execute(insert(table).values(values).returning(*table.c))
            except IntegrityError:
                raise AlreadyPendingError(
                    "You already have a pending access request. Wait until it is decided."
                ) from None
            return _kept(made.mappings().one())

        return await self._transactions.write(work)

    async def listed(self, status: str | None) -> list[KeptAccessRequest]:
        """Return the requests of which this has become, or all, the newest first."""
        asked = select(table).order_by(table.c.seq.desc())
        if status is not None:
            asked = asked.where(table.c.status == status)
        return await self._transactions.read(
            lambda connection: [_kept(row) for row in connection.execute(asked).mappings()]
        )

    async def get(self, identifier: str) -> KeptAccessRequest | None:
        """Return a request, or None if there is none."""
        return await self._transactions.read(lambda connection: _get(connection, identifier))

    async def decide(self, identifier: str, decision: Decision) -> KeptAccessRequest | None:
        """Record a decision and return the request, or None if there is none.

        Raises
        ------
        AlreadyDecidedError
            If somebody else was first.
        """
        values = {
            "status": decision.status,
            "decided_at": _now(),
            "decided_by_sub": decision.by_sub,
            "decided_by_username": decision.by_username,
            "grant_type": decision.grant_type,
            "decision_notes": decision.notes,
        }
        waiting = (table.c.id == identifier) & (table.c.status == "pending")

        def work(connection: Connection) -> KeptAccessRequest | None:
            changed = connection.execute(update(table).where(waiting).values(values)).rowcount
            kept = _get(connection, identifier)
            if kept is not None and not changed:
                raise AlreadyDecidedError(kept.status)
            return kept

        return await self._transactions.write(work)


def _get(connection: Connection, identifier: str) -> KeptAccessRequest | None:
    found = connection.execute(select(table).where(table.c.id == identifier))
    row = found.mappings().one_or_none()
    return None if row is None else _kept(row)


def _kept(row: RowMapping) -> KeptAccessRequest:
    values = {name: _aware(value) for name, value in row.items() if name != "seq"}
    return KeptAccessRequest(**values)


def _aware(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def _now() -> datetime:
    """Return the time as the tables keep it: in UTC, without saying so."""
    return datetime.now(UTC).replace(tzinfo=None)
