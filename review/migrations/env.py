"""What alembic runs: our connection, our transaction."""

from alembic import context

from review.store import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
