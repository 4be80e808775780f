"""The database behind a catalog: how it is opened, and what a transaction in it is."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from rexec_ep_api.catalog.errors import InvalidError, UnavailableError
from rexec_ep_api.catalog.migrations import upgrade
from rexec_ep_api.catalog.organizations import ensure_services

_T = TypeVar("_T")

_BUSY_SECONDS = 20.0
_AGAIN_SECONDS = 0.01
_CONNECT_SECONDS = 5
# More would only wait for each other: what takes time is Python as much as the database.
_SQLITE_READERS = 2
_POSTGRESQL_READERS = 3
_POSTGRESQL_WRITERS = 4
# Each connection has its own; the system's cache does the rest for all of them.
_SQLITE_CACHE_KIB = 2 * 1024
# Most datasets fit into one page, so that reading one does not follow a chain of pages.
_SQLITE_PAGE = 8192
_WRITES = "catalog_writes"
_ATTEMPTS = 5
# Codes of PostgreSQL: a deadlock, or what was read is not so any more.
_ENDED_FOR_OTHERS = ("40P01", "40001")
# The class of those that tell of a value beyond what an index, say, can hold.
_LIMIT_EXCEEDED = "54"
_TOO_MUCH = "The database cannot keep a value: a number or a text is outside of what it holds."


class Database:
    """A database with the catalog's tables.

    Parameters
    ----------
    engine
        Where it is.
    reading
        The same for statements that only read, each alone; None to use that one for all.

    Attributes
    ----------
    backend
        ``sqlite`` or ``postgresql``.
    readers, writers
        Threads that can make use of it at once.
    """

    def __init__(self, engine: Engine, reading: Engine | None = None) -> None:
        self._engine = engine
        self._reading = reading or engine
        self.backend = engine.dialect.name
        sqlite = self.backend == "sqlite"
        self.readers = _SQLITE_READERS if sqlite else _POSTGRESQL_READERS
        self.writers = 1 if sqlite else _POSTGRESQL_WRITERS

    @classmethod
    def open(cls, url: str) -> Self:
        """Return the database at an address, with the tables of this version.

        Raises
        ------
        InvalidError
            If it is no address of a database that can be used, or a newer version of rexec
            wrote it.
        UnavailableError
            If it cannot be opened.
        """
        database = cls(*_engines(_address(url)))
        try:
            database.write(_prepare)
        except BaseException as error:
            database.close()
            cause = error.__cause__
            if isinstance(cause, ProgrammingError) and not _sqlstate(cause):
                # It comes from the driver and not from the database.
                raise InvalidError(
                    "The address of the database has an option that there is none of. Look at "
                    "what follows the question mark in it."
                ) from None
            raise
        return database

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()
        self._reading.dispose()

    def read(self, work: Callable[[Connection], _T]) -> _T:
        """Run a function that only reads."""
        with self._understood():
            try:
                return self._read(work)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            # The server may have restarted since; then it has ended all connections.
            return self._read(work)

    def _read(self, work: Callable[[Connection], _T]) -> _T:
        with self._reading.connect() as connection:
            return work(connection)

    def snapshot(self, work: Callable[[Connection], _T]) -> _T:
        """Run a function in a transaction in which nothing changes however long it takes."""
        options = {} if self.backend == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        with self._understood(), self._engine.connect() as connection:
            return work(connection.execution_options(**options))

    def write(self, work: Callable[[Connection], _T]) -> _T:
        """Run a function in a transaction that takes effect if it returns.

        Of transactions that wait for each other, PostgreSQL ends one, which is then run again.
        """
        with self._understood():
            for _ in range(_ATTEMPTS - 1):
                try:
                    return self._written(work)
                except DBAPIError as error:
                    if _sqlstate(error) not in _ENDED_FOR_OTHERS:
                        raise
            return self._written(work)

    def _written(self, work: Callable[[Connection], _T]) -> _T:
        with (
            self._engine.connect().execution_options(**{_WRITES: True}) as connection,
            connection.begin(),
        ):
            return work(connection)

    @staticmethod
    def ping(connection: Connection) -> float:
        """Return the milliseconds that the database takes to answer."""
        began = time.perf_counter()
        connection.execute(text("SELECT 1"))
        return (time.perf_counter() - began) * 1000

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Tell what is wrong without the statement, which holds what users wrote."""
        try:
            yield
        except (DataError, UnicodeEncodeError, OverflowError, RecursionError):
            raise InvalidError(_TOO_MUCH) from None
        except (DBAPIError, PoolTimeoutError) as error:
            if _sqlstate(error).startswith(_LIMIT_EXCEEDED):
                raise InvalidError(_TOO_MUCH) from None
            raise UnavailableError(
                f"The catalog's database ({self.backend}) cannot be used at the moment: "
                f"{_reason(error)}. Try again later; its operator finds more in the log."
            ) from error


def _prepare(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
        if encoding != "UTF8":
            raise InvalidError(
                f"The database has the encoding {encoding}, in which texts in most languages have "
                "no place. Create one with ENCODING 'UTF8'."
            )
    upgrade(connection)
    ensure_services(connection)


def _address(url: str) -> URL:
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        raise InvalidError(
            "The address of the database cannot be understood. Write sqlite:///path/to/file or "
            "postgresql://user:password@host/name."
        ) from None
    match address.get_backend_name():
        case "sqlite":
            return address.set(drivername="sqlite+pysqlite")
        case "postgresql" | "postgres":
            return address.set(drivername="postgresql+psycopg")
        case other:
            raise InvalidError(
                f"A catalog cannot be kept in {other}. Use sqlite:///path/to/file or "
                "postgresql://user:password@host/name."
            )


def _engines(address: URL) -> tuple[Engine, ...]:
    if address.get_backend_name() == "sqlite":
        return (_sqlite(address),)
    return (
        _postgresql(
            address, _POSTGRESQL_WRITERS, pool_pre_ping=True, isolation_level="READ COMMITTED"
        ),
        # PostgreSQL begins and ends a transaction in round trips of their own. Statements that
        # only read see in each the same as they would without: the state when they begin.
        _postgresql(address, _POSTGRESQL_READERS, isolation_level="AUTOCOMMIT"),
    )


def _sqlite(address: URL) -> Engine:
    if not address.database or address.database.startswith((":", "file:")):
        raise InvalidError("A catalog in SQLite needs a file: write sqlite:///path/to/file.")
    try:
        _make(Path(address.database))
    except OSError as error:
        raise UnavailableError(
            f"The file of the catalog, {address.database}, cannot be made: {error.strerror}."
        ) from None
    except ValueError:
        raise InvalidError("The name of the catalog's file holds a NUL character.") from None
    engine = create_engine(
        address,
        hide_parameters=True,
        pool_size=_SQLITE_READERS + 1,
        max_overflow=0,
        connect_args={"check_same_thread": False, "timeout": _BUSY_SECONDS},
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: Any) -> None:
        # The driver shall not begin transactions: it would only where it sees an INSERT.
        connection.isolation_level = None
        connection.execute(f"PRAGMA page_size={_SQLITE_PAGE}")
        _keep_log(connection)
        for pragma in (
            "synchronous=NORMAL",
            "foreign_keys=ON",
            f"cache_size=-{_SQLITE_CACHE_KIB}",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "before_cursor_execute")
    def _executed(
        _connection: Connection,
        _cursor: object,
        _statement: str,
        parameters: Any,
        _context: object,
        many: bool,  # noqa: FBT001
    ) -> None:
        # PostgreSQL refuses it. SQLite keeps it, and then takes it for the end of the text.
        for row in parameters if many else (parameters,):
            if any(isinstance(value, str) and "\0" in value for value in row):
                raise InvalidError(_TOO_MUCH)

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        # A transaction that writes says so at once. One that found out later could only fail
        # if another wrote in the meantime.
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _keep_log(connection: sqlite3.Connection) -> None:
    """Have changes written to a log first, so that nobody who reads waits for them.

    SQLite itself does not wait for another process that is just doing the same.
    """
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() >= deadline:
                raise
            time.sleep(_AGAIN_SECONDS)
        else:
            return


def _make(file: Path) -> None:
    """Make a file, if it is not there, that is for its owner alone: private datasets are in it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        file.touch(mode=0o600, exist_ok=False)


def _postgresql(address: URL, connections: int, **options: Any) -> Engine:
    try:
        engine = create_engine(
            address,
            hide_parameters=True,
            pool_size=connections,
            max_overflow=0,
            connect_args={"connect_timeout": _CONNECT_SECONDS},
            **options,
        )
    except ModuleNotFoundError:
        raise InvalidError(
            "A catalog in PostgreSQL needs the package psycopg: install rexec-jupyter[postgresql]."
        ) from None

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        # The statements say in which order to look, so one plan is good for all that is searched
        # for. To plan again, or to compile a plan, takes longer than to follow it.
        connection.execute("SET jit = off")
        connection.execute("SET plan_cache_mode = force_generic_plan")
        # To read all rows looks cheap, as the words to be read with them are kept elsewhere.
        connection.execute("SET enable_seqscan = off")
        connection.commit()

    return engine


def _sqlstate(error: SQLAlchemyError) -> str:
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def _reason(error: DBAPIError | PoolTimeoutError) -> str:
    if isinstance(error, PoolTimeoutError):
        return "too many requests wait for it"
    if isinstance(error.orig, sqlite3.Error):
        # It tells neither the statement nor what is in it.
        return str(error.orig)
    # What PostgreSQL says may hold the address with a password, so it stays in the log.
    if isinstance(error, OperationalError):
        return "it cannot be reached, refuses who asks, or ended the connection"
    return type(error.orig).__name__
