"""Records of instances in the database, and the count of them that stands in their image's.

Functions take the transaction that they are part of, and know nothing of who asks. The count and the image's status
are set and asked by one UPDATE: of a process that makes an instance and one that deletes its image, one wins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from imgtool.catalog import records
from imgtool.catalog.damage import Damaged, identified, sound
from imgtool.catalog.database import now, stamp
from imgtool.catalog.tables import SIZES, tables
from imgtool.errors import InputError, NotFoundError, RefusedError, UsageError
from imgtool.model.instance import Flavor, InstanceRecord, InstanceStatus

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from imgtool.catalog.images import Kept


class Wanted(NamedTuple):
    """An instance that is to be made. `size`: bytes of its root disk."""

    id: str
    name: str
    owner: str
    flavor: Flavor
    size: int


class Asked(NamedTuple):
    """What a list shows; all that is given must hold. `owner`: the project that looks, None sees everything."""

    owner: str | None = None
    name: str | None = None
    image: str | None = None


ALL = Asked()


def begin(connection: Connection, wanted: Wanted, image: Kept) -> None:
    """Note an instance as one that is being made. Raises RefusedError where the image has changed meanwhile."""
    from sqlalchemy import insert, update

    table, at = tables(), now(connection)
    images = table.images
    same = (images.c.id == image.record.id, images.c.status == image.record.status, images.c.blob == image.blob)
    counted = update(images).where(*same).values(instances=images.c.instances + 1)
    if not connection.execute(counted).rowcount:
        raise RefusedError(f"image {image.record.id}: another process changed it meanwhile")
    values = {
        "id": wanted.id,
        "name": wanted.name,
        "owner": wanted.owner,
        "status": "building",
        "image_id": image.record.id,
        "flavor": wanted.flavor.name,
        **{size: getattr(wanted.flavor, size) for size in SIZES},
        "size": wanted.size,
        "created_at": at,
        "updated_at": at,
    }
    connection.execute(insert(table.instances).values(**values))


def finish(connection: Connection, identifier: str) -> InstanceRecord:
    """building → ready. Raises NotFoundError, RefusedError where it is no longer being made."""
    from sqlalchemy import update

    instances = tables().instances
    same = (instances.c.id == identifier, instances.c.status == "building")
    done = connection.execute(update(instances).where(*same).values(status="ready", updated_at=now(connection)))
    if not done.rowcount:
        raise RefusedError(f"instance {identifier}: another process removed it meanwhile")
    return get(connection, identifier)


def remove(connection: Connection, identifier: str) -> bool:
    """Forget an instance, and take it off its image's count; False where it is not there."""
    from sqlalchemy import delete, update

    table = tables()
    gone = delete(table.instances).where(table.instances.c.id == identifier).returning(table.instances.c.image_id)
    image = connection.execute(gone).scalar_one_or_none()
    if image is None:
        return False
    images = table.images
    connection.execute(update(images).where(images.c.id == image).values(instances=images.c.instances - 1))
    return True


def get(connection: Connection, identifier: str) -> InstanceRecord:
    """The instance with an id. Raises NotFoundError, UsageError for what is no id, InputError for a damaged row."""
    from sqlalchemy import select

    instances = tables().instances
    wanted = records.uuid("an instance's id", identifier)
    row = connection.execute(select(instances).where(instances.c.id == wanted)).one_or_none()
    if row is None:
        raise NotFoundError(f"no instance {identifier}")
    return _record(row)


def every(connection: Connection, asked: Asked = ALL, damaged: list[Damaged] | None = None) -> list[InstanceRecord]:
    """The instances of a list, the newest first. `damaged`: gets those that cannot be read, which are left out then;
    without it they raise InputError."""
    from sqlalchemy import select

    instances = tables().instances
    query = select(instances).order_by(instances.c.created_at.desc(), instances.c.id.desc())
    for column, value in (("owner", asked.owner), ("name", asked.name), ("image_id", asked.image)):
        if value is not None:
            query = query.where(instances.c[column] == value)
    found = []
    for row in connection.execute(query):
        try:
            found.append(_record(row))
        except InputError as error:
            if damaged is None:
                raise
            damaged.append(Damaged(row.id if isinstance(row.id, str) else None, str(error)))
    return found


def find(connection: Connection, called: str, owner: str | None) -> InstanceRecord:
    """The instance that is meant: by id, or by a name that only one has of those that `owner` sees (None: all).

    Raises NotFoundError, UsageError with the ids where several have the name.
    """
    if records.is_id(called):
        found = get(connection, called)
        if owner is not None and found.owner != owner:
            raise NotFoundError(f"no instance {called}")
        return found
    named = every(connection, Asked(owner, called))
    if not named:
        raise NotFoundError(f"no instance {called!r}")
    if len(named) > 1:
        ids = ", ".join(one.id for one in named[:10]) + (", …" if len(named) > 10 else "")
        raise UsageError(f"several instances are called {called!r}: {ids}")
    return named[0]


def _record(row: Row[Any]) -> InstanceRecord:
    what = f"instance {row.id}"
    sound(tables().instances, row, what)
    identified(what, "id", row.id)
    identified(what, "image_id", row.image_id)
    return InstanceRecord(
        id=row.id,
        name=row.name,
        owner=row.owner,
        status=cast("InstanceStatus", row.status),
        image_id=row.image_id,
        flavor=row.flavor,
        vcpus=row.vcpus,
        ram=row.ram,
        disk=row.disk,
        ephemeral=row.ephemeral,
        swap=row.swap,
        size=row.size,
        created_at=stamp(row.created_at),
        updated_at=stamp(row.updated_at),
    )
