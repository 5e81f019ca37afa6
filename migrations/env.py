"""Alembic starts here: it runs the migrations on the connection that the program gives it."""

from alembic import context

from daemon.database.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
