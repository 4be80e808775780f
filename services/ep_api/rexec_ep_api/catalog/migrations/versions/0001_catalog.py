"""The catalog: organizations, datasets, resources, and the index that datasets are found by."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Words of three characters, without their places: small and quick to write. What it finds is
# looked at once more.
_TABLE = """
CREATE VIRTUAL TABLE dataset_search USING fts5(
    search_text, content='datasets', content_rowid='seq',
    tokenize='trigram case_sensitive 1', detail=none
)
"""
# What words the index has.
_WORDS = "CREATE VIRTUAL TABLE dataset_words USING fts5vocab(dataset_search, row)"
_ADDED = """
CREATE TRIGGER dataset_search_added AFTER INSERT ON datasets BEGIN
    INSERT INTO dataset_search (rowid, search_text) VALUES (new.seq, new.search_text);
END
"""
_REMOVED = """
CREATE TRIGGER dataset_search_removed AFTER DELETE ON datasets BEGIN
    INSERT INTO dataset_search (dataset_search, rowid, search_text)
    VALUES ('delete', old.seq, old.search_text);
END
"""
_CHANGED = """
CREATE TRIGGER dataset_search_changed AFTER UPDATE OF search_text ON datasets
WHEN old.search_text IS NOT new.search_text BEGIN
    INSERT INTO dataset_search (dataset_search, rowid, search_text)
    VALUES ('delete', old.seq, old.search_text);
    INSERT INTO dataset_search (rowid, search_text) VALUES (new.seq, new.search_text);
END
"""


def upgrade() -> None:
    """Make the tables."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    json = JSONB() if postgresql else sa.JSON()
    sequence = sa.BigInteger() if postgresql else sa.Integer()
    op.create_table(
        "organizations",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("creator", sa.Text, nullable=False),
        sa.Column("creator_md5", sa.Text, nullable=False),
        sa.Column("created", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_organizations"),
        sa.UniqueConstraint("name", name="uq_organizations_name"),
    )
    op.create_table(
        "datasets",
        sa.Column("seq", sequence, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("organization_id", sa.String(36), nullable=False),
        sa.Column("notes", sa.Text, nullable=False),
        sa.Column("extras", sa.JSON, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("groups", sa.JSON, nullable=False),
        sa.Column("private", sa.Boolean, nullable=False),
        sa.Column("license_id", sa.Text),
        sa.Column("version", sa.Text),
        sa.Column("creator", sa.Text, nullable=False),
        sa.Column("created", sa.DateTime, nullable=False),
        sa.Column("modified", sa.DateTime, nullable=False),
        sa.Column("timestamp", sa.DateTime),
        sa.Column("hit", sa.Text, nullable=False),
        sa.Column("search_text", sa.Text, nullable=False),
        sa.Column("fields", json, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_datasets"),
        sa.UniqueConstraint("id", name="uq_datasets_id"),
        sa.UniqueConstraint("name", name="uq_datasets_name"),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name="fk_datasets_organization_id",
            ondelete="CASCADE",
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_datasets_organization_id", "datasets", ["organization_id"])
    op.create_index("ix_datasets_timestamp", "datasets", ["timestamp"])
    op.create_table(
        "resources",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("dataset_seq", sequence, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("format", sa.Text),
        sa.Column("mimetype", sa.Text),
        sa.Column("size", sa.BigInteger),
        sa.Column("created", sa.DateTime, nullable=False),
        sa.Column("modified", sa.DateTime, nullable=False),
        sa.Column("folded_name", sa.Text, nullable=False),
        sa.Column("folded_url", sa.Text, nullable=False),
        sa.Column("folded_description", sa.Text, nullable=False),
        sa.Column("folded_format", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_resources"),
        sa.ForeignKeyConstraint(
            ["dataset_seq"], ["datasets.seq"], name="fk_resources_dataset_seq", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_resources_dataset_seq", "resources", ["dataset_seq", "position"])
    op.create_index("ix_resources_modified", "resources", ["modified", "id"])
    op.create_index("ix_resources_folded_format", "resources", ["folded_format", "dataset_seq"])
    if postgresql:
        op.create_table(
            "dataset_search",
            sa.Column("seq", sequence, autoincrement=False, nullable=False),
            sa.Column("words", TSVECTOR, nullable=False),
            sa.PrimaryKeyConstraint("seq", name="pk_dataset_search"),
            sa.ForeignKeyConstraint(
                ["seq"], ["datasets.seq"], name="fk_dataset_search_seq", ondelete="CASCADE"
            ),
        )
        op.create_index(
            "ix_dataset_search_words", "dataset_search", ["words"], postgresql_using="gin"
        )
        # The index knows the words. Out of the rows, they do not make those that it finds far
        # apart and slow to look up.
        op.execute("ALTER TABLE dataset_search ALTER COLUMN words SET STORAGE EXTERNAL")
        op.execute("ALTER TABLE dataset_search SET (toast_tuple_target = 128)")
    else:
        for statement in (_TABLE, _WORDS, _ADDED, _REMOVED, _CHANGED):
            op.execute(statement)


def downgrade() -> None:
    """Remove everything."""
    if op.get_bind().dialect.name == "sqlite":
        op.drop_table("dataset_words")
    for table in ("dataset_search", "resources", "datasets", "organizations"):
        op.drop_table(table)
