"""Who asked for access to the endpoint, and what became of it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_PENDING = sa.text("status = 'pending'")


def upgrade() -> None:
    """Make the table."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    sequence = sa.BigInteger() if postgresql else sa.Integer()
    op.create_table(
        "access_requests",
        sa.Column("seq", sequence, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("user_sub", sa.Text, nullable=False),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("email", sa.Text),
        sa.Column("status", sa.String(8), nullable=False),
        sa.Column("justification", sa.Text),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("decided_at", sa.DateTime),
        sa.Column("decided_by_sub", sa.Text),
        sa.Column("decided_by_username", sa.Text),
        sa.Column("grant_type", sa.String(8)),
        sa.Column("decision_notes", sa.Text),
        sa.PrimaryKeyConstraint("seq", name="pk_access_requests"),
        sa.UniqueConstraint("id", name="uq_access_requests_id"),
    )
    op.create_index(
        "uq_access_requests_pending",
        "access_requests",
        ["user_sub"],
        unique=True,
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    )
    op.create_index("ix_access_requests_status", "access_requests", ["status", "seq"])


def downgrade() -> None:
    """Remove the table."""
    op.drop_table("access_requests")
