"""Members of shared images: projects that one is shared with, and whether they took it.

Reference: Image API v2, "Sharing": an image needs the visibility `shared` to get members; a member sees the image at
once, and finds it in lists once it accepted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from imgtool.catalog import records
from imgtool.catalog.damage import sound
from imgtool.catalog.database import now, stamp
from imgtool.catalog.images import get, touch
from imgtool.catalog.records import QUOTAS, Quotas
from imgtool.catalog.tables import tables
from imgtool.errors import NotFoundError, RefusedError
from imgtool.model.image import Member, MemberStatus

if TYPE_CHECKING:
    from sqlalchemy import Connection


def add_member(connection: Connection, identifier: str, project: str, quotas: Quotas = QUOTAS) -> Member:
    """Share an image with a project, which is `pending` then.

    Raises NotFoundError, UsageError, RefusedError where it is not of visibility `shared`, or a member already.
    """
    from sqlalchemy import insert

    project = records.owner(project)
    visibility = touch(connection, identifier).record.visibility
    if visibility != "shared":
        raise RefusedError(f"image {identifier} is {visibility}: only a shared image has members")
    there = members(connection, identifier)
    if any(one.member == project for one in there):
        raise RefusedError(f"image {identifier}: {project} is a member already")
    if len(there) >= quotas.members:
        raise RefusedError(f"image {identifier}: an image has at most {quotas.members} members")
    at = now(connection)
    values = {"image_id": identifier, "member": project, "status": "pending", "created_at": at, "updated_at": at}
    connection.execute(insert(tables().members).values(**values))
    return member(connection, identifier, project)


def set_member(connection: Connection, identifier: str, project: str, status: str) -> Member:
    """Note that a project accepted or rejected an image. Raises NotFoundError, UsageError, RefusedError."""
    from sqlalchemy import update

    table = tables().members
    wanted = records.member_status(status)
    touch(connection, identifier)
    same = (table.c.image_id == identifier, table.c.member == project)
    done = connection.execute(update(table).where(*same).values(status=wanted, updated_at=now(connection)))
    if not done.rowcount:
        raise _none(identifier, project)
    return member(connection, identifier, project)


def remove_member(connection: Connection, identifier: str, project: str) -> None:
    """Share an image with a project no longer. Raises NotFoundError, RefusedError for a deleted image."""
    from sqlalchemy import delete

    table = tables().members
    touch(connection, identifier)
    if not connection.execute(
        delete(table).where(table.c.image_id == identifier, table.c.member == project)
    ).rowcount:
        raise _none(identifier, project)


def members(connection: Connection, identifier: str) -> list[Member]:
    """The members of an image, in order of their names. Raises NotFoundError, InputError for a damaged row."""
    from sqlalchemy import select

    table = tables().members
    get(connection, identifier)
    rows = connection.execute(select(table).where(table.c.image_id == identifier).order_by(table.c.member)).all()
    for row in rows:
        sound(table, row, f"members of image {identifier}")
    return [
        Member(
            row.image_id,
            row.member,
            cast("MemberStatus", row.status),
            stamp(row.created_at),
            stamp(row.updated_at),
        )
        for row in rows
    ]


def membership(connection: Connection, identifier: str, project: str) -> MemberStatus | None:
    """What a project said to an image that is shared with it; None where it is no member."""
    from sqlalchemy import select

    table = tables().members
    mine = (table.c.image_id == identifier, table.c.member == project)
    return cast("MemberStatus | None", connection.execute(select(table.c.status).where(*mine)).scalar_one_or_none())


def member(connection: Connection, identifier: str, project: str) -> Member:
    """One member of an image. Raises NotFoundError."""
    for one in members(connection, identifier):
        if one.member == project:
            return one
    raise _none(identifier, project)


def _none(identifier: str, project: str) -> NotFoundError:
    return NotFoundError(f"image {identifier} has no member {project}")
