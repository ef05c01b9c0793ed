"""What alembic runs: the versions, on the connection that `Store.open` hands over."""

from alembic import context

from intently.serve.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
