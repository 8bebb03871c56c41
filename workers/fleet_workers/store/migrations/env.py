"""Alembic's entry: runs the migrations on the connection that `migrate.upgrade` hands over."""

from alembic import context

from fleet_workers.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # What one has done stands, so that the next may be tried again without it.
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
