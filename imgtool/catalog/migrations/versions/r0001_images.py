"""The first schema: images with tags, properties, members, history and reports; leases.

A revision is never changed once it was published: what a table was like then stands here, and not in `tables`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From nothing to 0001."""
    _images()
    _tags()
    _properties()
    _members()
    _history()
    _others()


def _text(length: int | None = None) -> TypeEngine[str]:
    from sqlalchemy import String, Text

    plain = String(length) if length is not None else Text()
    exact = String(length, collation="C") if length is not None else Text(collation="C")
    return plain.with_variant(exact, "postgresql")


def _images() -> None:
    from alembic import op
    from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Integer

    op.create_table(
        "images",
        Column("id", _text(36), primary_key=True),
        Column("name", _text(255), nullable=False),
        Column("status", _text(16), nullable=False),
        Column("previous", _text(16)),
        Column("visibility", _text(16), nullable=False),
        Column("protected", Boolean, nullable=False),
        Column("owner", _text(255), nullable=False),
        Column("disk_format", _text(32)),
        Column("container_format", _text(32)),
        Column("size", BigInteger),
        Column("virtual_size", BigInteger),
        Column("checksum", _text(32)),
        Column("os_hash_algo", _text(32)),
        Column("os_hash_value", _text(128)),
        Column("min_disk", Integer, nullable=False),
        Column("min_ram", Integer, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
        Column("deleted_at", BigInteger),
        Column("reason", _text()),
        Column("attempt", Integer, nullable=False),
        Column("blob", _text(64)),
        Column("linked", Boolean, nullable=False),
        CheckConstraint(
            "status IN ('queued', 'saving', 'active', 'deactivated', 'killed', 'pending_delete', 'deleted')",
            name="images_status",
        ),
        CheckConstraint("visibility IN ('public', 'community', 'shared', 'private')", name="images_visibility"),
        CheckConstraint(
            "status NOT IN ('active', 'deactivated', 'pending_delete') OR (blob IS NOT NULL AND size IS NOT NULL)",
            name="images_data",
        ),
        CheckConstraint("(status = 'pending_delete') = (previous IS NOT NULL)", name="images_previous"),
    )
    op.create_index("images_name", "images", ["name", "id"])
    op.create_index("images_status_created", "images", ["status", "created_at", "id"])
    op.create_index("images_created", "images", ["created_at", "id"])
    op.create_index("images_owner", "images", ["owner", "created_at", "id"])
    op.create_index("images_visibility_created", "images", ["visibility", "created_at", "id"])
    op.create_index("images_blob", "images", ["blob"], unique=True)


def _tags() -> None:
    from alembic import op
    from sqlalchemy import Column, ForeignKey

    op.create_table(
        "image_tags",
        Column("image_id", _text(36), ForeignKey("images.id"), primary_key=True),
        Column("tag", _text(255), primary_key=True),
    )
    op.create_index("image_tags_tag", "image_tags", ["tag", "image_id"])


def _properties() -> None:
    from alembic import op
    from sqlalchemy import Column, ForeignKey

    op.create_table(
        "image_properties",
        Column("image_id", _text(36), ForeignKey("images.id"), primary_key=True),
        Column("name", _text(255), primary_key=True),
        Column("value", _text(), nullable=False),
    )
    op.create_index("image_properties_name", "image_properties", ["name", "image_id"])


def _members() -> None:
    from alembic import op
    from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey

    op.create_table(
        "image_members",
        Column("image_id", _text(36), ForeignKey("images.id"), primary_key=True),
        Column("member", _text(255), primary_key=True),
        Column("status", _text(16), nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
        CheckConstraint("status IN ('pending', 'accepted', 'rejected')", name="image_members_status"),
    )
    op.create_index("image_members_member", "image_members", ["member", "status", "image_id"])


def _history() -> None:
    from alembic import op
    from sqlalchemy import BigInteger, Column, ForeignKey, Integer

    number = BigInteger().with_variant(Integer, "sqlite")
    op.create_table(
        "image_history",
        Column("number", number, primary_key=True, autoincrement=True),
        Column("image_id", _text(36), ForeignKey("images.id"), nullable=False),
        Column("at", BigInteger, nullable=False),
        Column("before", _text(16)),
        Column("after", _text(16), nullable=False),
        Column("who", _text(), nullable=False),
        Column("why", _text(), nullable=False),
    )
    op.create_index("image_history_image", "image_history", ["image_id", "number"])


def _others() -> None:
    from alembic import op
    from sqlalchemy import BigInteger, Column, ForeignKey

    op.create_table(
        "image_reports",
        Column("image_id", _text(36), ForeignKey("images.id"), primary_key=True),
        Column("verdict", _text(), nullable=False),
    )
    op.create_table(
        "leases",
        Column("name", _text(64), primary_key=True),
        Column("holder", _text(255), nullable=False),
        Column("generation", BigInteger, nullable=False),
        Column("expires_at", BigInteger, nullable=False),
    )
