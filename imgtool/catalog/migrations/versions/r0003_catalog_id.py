"""A catalog has an id, by which a store knows whose data it has."""

from __future__ import annotations

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0002 to 0003."""
    from uuid import uuid4

    from alembic import op
    from sqlalchemy import Column, String

    text = String(36).with_variant(String(36, collation="C"), "postgresql")
    table = op.create_table("catalog", Column("id", text, primary_key=True))
    op.bulk_insert(table, [{"id": str(uuid4())}])
