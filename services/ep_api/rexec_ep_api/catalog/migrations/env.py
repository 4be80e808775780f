"""Run by Alembic: applies the migrations in the transaction of whoever asked for them."""

from alembic import context

from rexec_ep_api.catalog.models import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
