"""The tables.

What searches read is kept beside what it was made from, and written in the same transaction:
``hit`` is the dataset as searches show it, ``search_text`` and ``fields`` are what it is found by.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Json = JSON().with_variant(JSONB(), "postgresql")
# SQLite numbers rows only by a column of exactly this type.
_Sequence = BigInteger().with_variant(Integer(), "sqlite")

organizations = Table(
    "organizations",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("creator", Text, nullable=False),
    Column("creator_md5", Text, nullable=False),
    Column("created", DateTime, nullable=False),
)

datasets = Table(
    "datasets",
    metadata,
    Column("seq", _Sequence, primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("name", Text, nullable=False, unique=True),
    Column("title", Text, nullable=False),
    Column(
        "organization_id",
        ForeignKey("organizations.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("notes", Text, nullable=False),
    Column("extras", JSON, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("groups", JSON, nullable=False),
    Column("private", Boolean, nullable=False),
    Column("license_id", Text),
    Column("version", Text),
    Column("creator", Text, nullable=False),
    Column("created", DateTime, nullable=False),
    Column("modified", DateTime, nullable=False),
    # The extra of that name, if it is a time.
    Column("timestamp", DateTime, index=True),
    Column("hit", Text, nullable=False),
    Column("search_text", Text, nullable=False),
    Column("fields", _Json, nullable=False),
    # Deleted rows must not give their numbers to new ones: the index goes by them.
    sqlite_autoincrement=True,
)

resources = Table(
    "resources",
    metadata,
    Column("id", String(36), primary_key=True),
    Column(
        "dataset_seq",
        _Sequence,
        ForeignKey("datasets.seq", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("position", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("description", Text),
    Column("format", Text),
    Column("mimetype", Text),
    Column("size", BigInteger),
    Column("created", DateTime, nullable=False),
    Column("modified", DateTime, nullable=False),
    Column("folded_name", Text, nullable=False),
    Column("folded_url", Text, nullable=False),
    Column("folded_description", Text, nullable=False),
    Column("folded_format", Text, nullable=False),
    Index("ix_resources_dataset_seq", "dataset_seq", "position"),
    Index("ix_resources_modified", "modified", "id"),
    Index("ix_resources_folded_format", "folded_format", "dataset_seq"),
)

access_requests = Table(
    "access_requests",
    metadata,
    Column("seq", _Sequence, primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("user_sub", Text, nullable=False),
    Column("username", Text, nullable=False),
    Column("email", Text),
    Column("status", String(8), nullable=False),
    Column("justification", Text),
    Column("created_at", DateTime, nullable=False),
    Column("decided_at", DateTime),
    Column("decided_by_sub", Text),
    Column("decided_by_username", Text),
    Column("grant_type", String(8)),
    Column("decision_notes", Text),
    # Nobody has two that wait, whatever happens at once.
    Index(
        "uq_access_requests_pending",
        "user_sub",
        unique=True,
        sqlite_where=text("status = 'pending'"),
        postgresql_where=text("status = 'pending'"),
    ),
    Index("ix_access_requests_status", "status", "seq"),
)
