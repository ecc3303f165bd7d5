"""The tables of the catalog, for SQLite and PostgreSQL alike.

Times are microseconds since 1970 in UTC; text is compared by its code points on both. A change here needs a revision
in migrations/versions, and a line in `REVISIONS`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sqlalchemy import MetaData, Table
    from sqlalchemy.types import TypeEngine

#: Every revision of the schema, oldest first; the last is what this version works with.
REVISIONS = ("0001", "0002", "0003")

#: The largest number that a column of bytes or microseconds holds.
MOST = (1 << 63) - 1


class Tables(NamedTuple):
    """All tables, and what they are declared in."""

    metadata: MetaData
    images: Table
    tags: Table
    properties: Table
    members: Table
    history: Table
    reports: Table
    leases: Table
    flavors: Table
    instances: Table
    catalog: Table


def text_type(length: int | None = None) -> TypeEngine[str]:
    """Text that sorts by code points. `length`: characters, None for any."""
    from sqlalchemy import String, Text

    plain = String(length) if length is not None else Text()
    exact = String(length, collation="C") if length is not None else Text(collation="C")
    return plain.with_variant(exact, "postgresql")


@cache
def tables() -> Tables:
    """The tables, declared when they are first used."""
    from sqlalchemy import MetaData

    metadata = MetaData()
    return Tables(
        metadata,
        _images(metadata),
        *_parts(metadata),
        _history(metadata),
        _reports(metadata),
        _leases(metadata),
        _flavors(metadata),
        _instances(metadata),
        _catalog(metadata),
    )


def _images(metadata: MetaData) -> Table:
    from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, Integer, Table

    return Table(
        "images",
        metadata,
        Column("id", text_type(36), primary_key=True),
        Column("name", text_type(255), nullable=False),
        Column("status", text_type(16), nullable=False),
        Column("previous", text_type(16)),
        Column("visibility", text_type(16), nullable=False),
        Column("protected", Boolean, nullable=False),
        Column("owner", text_type(255), nullable=False),
        Column("disk_format", text_type(32)),
        Column("container_format", text_type(32)),
        Column("size", BigInteger),
        Column("virtual_size", BigInteger),
        Column("checksum", text_type(32)),
        Column("os_hash_algo", text_type(32)),
        Column("os_hash_value", text_type(128)),
        Column("min_disk", Integer, nullable=False),
        Column("min_ram", Integer, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
        Column("deleted_at", BigInteger),
        Column("reason", text_type()),
        Column("attempt", Integer, nullable=False),
        Column("blob", text_type(64)),
        Column("linked", Boolean, nullable=False),
        Column("instances", Integer, nullable=False, server_default="0"),
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
        CheckConstraint(
            "instances = 0 OR instances > 0 AND status IN ('active', 'deactivated')", name="images_instances"
        ),
        Index("images_name", "name", "id"),
        Index("images_status_created", "status", "created_at", "id"),
        Index("images_created", "created_at", "id"),
        Index("images_owner", "owner", "created_at", "id"),
        Index("images_visibility_created", "visibility", "created_at", "id"),
        Index("images_blob", "blob", unique=True),
    )


def _parts(metadata: MetaData) -> tuple[Table, Table, Table]:
    from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Table

    tags = Table(
        "image_tags",
        metadata,
        Column("image_id", text_type(36), ForeignKey("images.id"), primary_key=True),
        Column("tag", text_type(255), primary_key=True),
        Index("image_tags_tag", "tag", "image_id"),
    )
    properties = Table(
        "image_properties",
        metadata,
        Column("image_id", text_type(36), ForeignKey("images.id"), primary_key=True),
        Column("name", text_type(255), primary_key=True),
        Column("value", text_type(), nullable=False),
        Index("image_properties_name", "name", "image_id"),
    )
    members = Table(
        "image_members",
        metadata,
        Column("image_id", text_type(36), ForeignKey("images.id"), primary_key=True),
        Column("member", text_type(255), primary_key=True),
        Column("status", text_type(16), nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
        CheckConstraint("status IN ('pending', 'accepted', 'rejected')", name="image_members_status"),
        Index("image_members_member", "member", "status", "image_id"),
    )
    return tags, properties, members


def _history(metadata: MetaData) -> Table:
    from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, Table

    number = BigInteger().with_variant(Integer, "sqlite")
    return Table(
        "image_history",
        metadata,
        Column("number", number, primary_key=True, autoincrement=True),
        Column("image_id", text_type(36), ForeignKey("images.id"), nullable=False),
        Column("at", BigInteger, nullable=False),
        Column("before", text_type(16)),
        Column("after", text_type(16), nullable=False),
        Column("who", text_type(), nullable=False),
        Column("why", text_type(), nullable=False),
        Index("image_history_image", "image_id", "number"),
    )


def _reports(metadata: MetaData) -> Table:
    from sqlalchemy import Column, ForeignKey, Table

    return Table(
        "image_reports",
        metadata,
        Column("image_id", text_type(36), ForeignKey("images.id"), primary_key=True),
        Column("verdict", text_type(), nullable=False),
    )


def _leases(metadata: MetaData) -> Table:
    from sqlalchemy import BigInteger, Column, Table

    return Table(
        "leases",
        metadata,
        Column("name", text_type(64), primary_key=True),
        Column("holder", text_type(255), nullable=False),
        Column("generation", BigInteger, nullable=False),
        Column("expires_at", BigInteger, nullable=False),
    )


#: What a flavor gives, and an instance got: virtual CPUs, MiB, GiB, GiB, MiB.
SIZES = ("vcpus", "ram", "disk", "ephemeral", "swap")


def _flavors(metadata: MetaData) -> Table:
    from sqlalchemy import Boolean, CheckConstraint, Column, Integer, Table

    return Table(
        "flavors",
        metadata,
        Column("name", text_type(255), primary_key=True),
        *(Column(name, Integer, nullable=False) for name in SIZES),
        Column("public", Boolean, nullable=False),
        CheckConstraint(
            "vcpus >= 1 AND ram >= 1 AND disk >= 0 AND ephemeral >= 0 AND swap >= 0", name="flavors_sizes"
        ),
    )


def _instances(metadata: MetaData) -> Table:
    from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, Table

    return Table(
        "instances",
        metadata,
        Column("id", text_type(36), primary_key=True),
        Column("name", text_type(255), nullable=False),
        Column("owner", text_type(255), nullable=False),
        Column("status", text_type(16), nullable=False),
        Column("image_id", text_type(36), ForeignKey("images.id"), nullable=False),
        Column("flavor", text_type(255), nullable=False),
        *(Column(name, Integer, nullable=False) for name in SIZES),
        Column("size", BigInteger, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
        CheckConstraint("status IN ('building', 'ready')", name="instances_status"),
        Index("instances_name", "name", "id"),
        Index("instances_created", "created_at", "id"),
        Index("instances_owner", "owner", "created_at", "id"),
        Index("instances_image", "image_id"),
    )


def _catalog(metadata: MetaData) -> Table:
    """One row: the id by which a store knows whose data it has."""
    from sqlalchemy import Column, Table

    return Table("catalog", metadata, Column("id", text_type(36), primary_key=True))
