"""What tests of the catalog begin with: images in any status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgtool.catalog import images, moves
from imgtool.catalog.moves import Stored
from imgtool.catalog.store import blob_key

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from imgtool.model.image import Status

ID = "12345678-1234-1234-1234-123456789abc"


def stored(identifier: str, attempt: int, size: int = 4096) -> Stored:
    """Data as the store would have it."""
    return Stored(
        blob_key(identifier, attempt),
        size,
        1 << 30,
        "d41d8cd98f00b204e9800998ecf8427e",
        "sha512",
        "cf83e1" * 20,
        "qcow2",
        "bare",
    )


def queued(connection: Connection, name: str = "web", owner: str = "lab", **more: object) -> str:
    """A new image's id."""
    new = images.New(name=name, owner=owner)._replace(**more)
    return images.create(connection, new, "ann").record.id


def image_of(connection: Connection, status: Status, name: str = "web", owner: str = "lab", **more: object) -> str:
    """The id of an image that got to a status by legal moves."""
    identifier = queued(connection, name, owner, **more)
    if status == "queued":
        return identifier
    moves.begin_upload(connection, identifier, 1, "ann")
    if status == "killed":
        moves.fail_upload(connection, identifier, 1, "ann", "the line was cut")
    if status in ("saving", "killed"):
        return identifier
    moves.finish_upload(connection, identifier, 1, stored(identifier, 1), "ann")
    if status == "deactivated":
        moves.deactivate(connection, identifier, "ann")
    if status in ("pending_delete", "deleted"):
        moves.delete(connection, identifier, "ann", delay=status == "pending_delete")
    return identifier
