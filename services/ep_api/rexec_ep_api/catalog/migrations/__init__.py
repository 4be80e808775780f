"""The tables as they were, step by step; a database is brought up to date where it is opened."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection, text

from rexec_ep_api.catalog.errors import InvalidError

_LOCK = 0x7265786563  # a number that nothing else in the database locks


def upgrade(connection: Connection) -> None:
    """Bring a database up to date, in the transaction that has begun.

    Processes that start together do it one after the other: the first does the work.

    Raises
    ------
    InvalidError
        If a newer version of rexec wrote it.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise InvalidError(
            "The catalog was written by a newer version of rexec, which this one cannot read. "
            "Install that version, or restore a backup made with this one."
        ) from None
