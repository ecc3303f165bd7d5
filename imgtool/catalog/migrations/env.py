"""What Alembic runs to migrate: the connection is given by the caller, who also began the transaction."""

from __future__ import annotations


def migrate() -> None:
    """Run the revisions in the caller's own transaction: all of them, or none."""
    from alembic import context

    connection = context.config.attributes["connection"]
    context.configure(connection=connection, transactional_ddl=True, transaction_per_migration=False)
    with context.begin_transaction():
        context.run_migrations()


migrate()
