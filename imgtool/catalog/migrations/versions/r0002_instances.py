"""Flavors, with the usual ones, and instances; images count theirs.

The count stands in the image's row, so that one UPDATE can ask for it and for the status at once, on every database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

#: The usual flavors: name, virtual CPUs, MiB of memory, GiB of root disk.
USUAL = (
    ("m1.tiny", 1, 512, 1),
    ("m1.small", 1, 2048, 20),
    ("m1.medium", 2, 4096, 40),
    ("m1.large", 4, 8192, 80),
    ("m1.xlarge", 8, 16384, 160),
)


def upgrade() -> None:
    """From 0001 to 0002."""
    from alembic import op

    op.execute(
        "ALTER TABLE images ADD COLUMN instances INTEGER DEFAULT 0 NOT NULL CONSTRAINT images_instances CHECK"
        " (instances = 0 OR instances > 0 AND status IN ('active', 'deactivated'))"
    )
    _flavors()
    _instances()


def _text(length: int) -> TypeEngine[str]:
    from sqlalchemy import String

    return String(length).with_variant(String(length, collation="C"), "postgresql")


def _flavors() -> None:
    from alembic import op
    from sqlalchemy import Boolean, CheckConstraint, Column, Integer

    sizes = [Column(name, Integer, nullable=False) for name in ("vcpus", "ram", "disk", "ephemeral", "swap")]
    flavors = op.create_table(
        "flavors",
        Column("name", _text(255), primary_key=True),
        *sizes,
        Column("public", Boolean, nullable=False),
        CheckConstraint(
            "vcpus >= 1 AND ram >= 1 AND disk >= 0 AND ephemeral >= 0 AND swap >= 0", name="flavors_sizes"
        ),
    )
    usual = [
        {"name": name, "vcpus": vcpus, "ram": ram, "disk": disk, "ephemeral": 0, "swap": 0, "public": True}
        for name, vcpus, ram, disk in USUAL
    ]
    op.bulk_insert(flavors, usual)


def _instances() -> None:
    from alembic import op
    from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Integer

    sizes = [Column(name, Integer, nullable=False) for name in ("vcpus", "ram", "disk", "ephemeral", "swap")]
    op.create_table(
        "instances",
        Column("id", _text(36), primary_key=True),
        Column("name", _text(255), nullable=False),
        Column("owner", _text(255), nullable=False),
        Column("status", _text(16), nullable=False),
        Column("image_id", _text(36), ForeignKey("images.id"), nullable=False),
        Column("flavor", _text(255), nullable=False),
        *sizes,
        Column("size", BigInteger, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
        CheckConstraint("status IN ('building', 'ready')", name="instances_status"),
    )
    op.create_index("instances_name", "instances", ["name", "id"])
    op.create_index("instances_created", "instances", ["created_at", "id"])
    op.create_index("instances_owner", "instances", ["owner", "created_at", "id"])
    op.create_index("instances_image", "instances", ["image_id"])
