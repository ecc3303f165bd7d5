"""Moves of an image through its life: each is one UPDATE that names the status it starts from, and a line of history.

Of processes that move the same image at once, one wins; the others see where it went, and ask the table again. A
process whose upload was given up meanwhile holds an older attempt than the record, and moves nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from imgtool.catalog.damage import Damaged, sound
from imgtool.catalog.database import now, stamp
from imgtool.catalog.images import Kept, get, kept, write_history
from imgtool.catalog.status import REMOVING, Action, refusal, target
from imgtool.catalog.tables import tables
from imgtool.errors import RefusedError
from imgtool.model.image import Change, Status

if TYPE_CHECKING:
    from sqlalchemy import Connection, ScalarSelect

#: How often a move is tried anew while others move the image.
_TRIES = 64

#: Moves of an image without data: what was changed of it before counts as changed after them, too.
_UPLOADS: frozenset[Action] = frozenset({"upload", "fail", "requeue"})

#: What an image has of its data, and has not without it.
_NO_DATA: dict[str, object] = {
    "blob": None,
    "linked": False,
    "size": None,
    "virtual_size": None,
    "checksum": None,
    "os_hash_algo": None,
    "os_hash_value": None,
}


class Stored(NamedTuple):
    """Data that is in the store, whole: its key, bytes, what a guest would see (bytes), and hex digests.

    `linked`: the bytes are those of a file that others can write, be it that a moved one has its first name still.
    """

    blob: str
    size: int
    virtual_size: int | None
    checksum: str
    os_hash_algo: str
    os_hash_value: str
    disk_format: str
    container_format: str
    linked: bool = False


def begin_upload(connection: Connection, identifier: str, attempt: int, who: str, why: str = "upload") -> Kept:
    """queued → saving, as the upload of number `attempt`: one more than the image had. Raises RefusedError."""
    return _move(connection, identifier, "upload", who, why, {"attempt": attempt, "reason": None}, attempt - 1)


def finish_upload(
    connection: Connection, identifier: str, attempt: int, stored: Stored, who: str, why: str = "upload complete"
) -> Kept:
    """saving → active, with the data that came. Raises RefusedError, also where another upload took over."""
    return _move(connection, identifier, "finish", who, why, dict(stored._asdict()), attempt)


def fail_upload(connection: Connection, identifier: str, attempt: int, who: str, why: str) -> Kept:
    """saving → killed; `why` is kept as the record's reason. Raises RefusedError."""
    return _move(connection, identifier, "fail", who, why, {**_NO_DATA, "reason": why}, attempt)


def requeue(connection: Connection, identifier: str, who: str, why: str = "a fresh upload") -> Kept:
    """killed → queued. Raises RefusedError."""
    return _move(connection, identifier, "requeue", who, why, {"reason": None})


def deactivate(connection: Connection, identifier: str, who: str, why: str = "deactivated") -> Kept:
    """active → deactivated. Raises RefusedError."""
    return _move(connection, identifier, "deactivate", who, why)


def reactivate(connection: Connection, identifier: str, who: str, why: str = "reactivated") -> Kept:
    """deactivated → active. Raises RefusedError."""
    return _move(connection, identifier, "reactivate", who, why)


def delete(connection: Connection, identifier: str, who: str, why: str = "deleted", *, delay: bool = True) -> Kept:
    """Delete an image: with `delay` its data waits for the scrubber where there is any, else it is deleted at once.

    The answer's `blob` is then data to remove. Raises RefusedError, also for a protected image and for
    one that instances stand on.
    """
    return _move(connection, identifier, "delete" if delay else "erase", who, why)


def restore(connection: Connection, identifier: str, who: str, why: str = "restored") -> Kept:
    """pending_delete → what it was before. Raises RefusedError."""
    return _move(connection, identifier, "restore", who, why)


def scrub(connection: Connection, identifier: str, who: str, why: str = "grace period over") -> Kept:
    """pending_delete → deleted. The answer's `blob` is data to remove. Raises RefusedError."""
    return _move(connection, identifier, "scrub", who, why)


def unlinked(connection: Connection, identifier: str, blob: str) -> None:
    """Note that nobody else has an image's data any more, where it still has that."""
    from sqlalchemy import update

    images = tables().images
    same = (images.c.id == identifier, images.c.blob == blob)
    connection.execute(update(images).where(*same).values(linked=False))


def data_removed(connection: Connection, identifier: str, blob: str) -> bool:
    """Note that a deleted image's data is gone; False where that was noted before."""
    from sqlalchemy import update

    images = tables().images
    gone = (images.c.id == identifier, images.c.status == "deleted", images.c.blob == blob)
    return connection.execute(update(images).where(*gone).values(blob=None)).rowcount == 1


def to_remove(connection: Connection, damaged: list[Damaged] | None = None) -> list[tuple[str, str]]:
    """Deleted images whose data is still there: id and key. `damaged`: as `images.kept` has it."""
    from sqlalchemy import select

    images = tables().images
    wanted = (images.c.status == "deleted", images.c.blob.is_not(None))
    found = kept(connection, connection.execute(select(images).where(*wanted)).all(), damaged)
    return [(one.record.id, one.blob) for one in found if one.blob is not None]


def due(connection: Connection, delay: int, damaged: list[Damaged] | None = None) -> list[str]:
    """Ids of images that were deleted at least `delay` seconds ago and wait for their scrubbing, oldest first.
    `damaged`: as `images.kept` has it."""
    from sqlalchemy import select

    images = tables().images
    before = now(connection) - delay * 1_000_000
    wanted = (images.c.status == "pending_delete", images.c.deleted_at <= before)
    rows = connection.execute(select(images).where(*wanted).order_by(images.c.deleted_at)).all()
    return [one.record.id for one in kept(connection, rows, damaged)]


def history(connection: Connection, identifier: str) -> list[Change]:
    """Every change of an image's status, oldest first. Raises NotFoundError, InputError for a damaged row."""
    from sqlalchemy import select

    table = tables().history
    get(connection, identifier)
    rows = connection.execute(select(table).where(table.c.image_id == identifier).order_by(table.c.number)).all()
    for row in rows:
        sound(table, row, f"history of image {identifier}")
    return [
        Change(stamp(row.at), cast("Status | None", row.before), cast("Status", row.after), row.who, row.why)
        for row in rows
    ]


def changed_since(connection: Connection, identifier: str) -> bool:
    """True where a record, its tags, properties or members were changed after the image's last move.

    Uploads that begin and fail do not hide it; `settle` does."""
    from sqlalchemy import select

    images = tables().images
    asked = select(images.c.updated_at != _moved_at(identifier)).where(images.c.id == identifier)
    return bool(connection.execute(asked).scalar_one_or_none())


def settle(connection: Connection, identifier: str) -> None:
    """Let what was changed of an image count as part of its last move."""
    from sqlalchemy import update

    images = tables().images
    connection.execute(update(images).where(images.c.id == identifier).values(updated_at=_moved_at(identifier)))


def _moved_at(identifier: str) -> ScalarSelect[int]:
    """When an image was moved last, as a part of a query."""
    from sqlalchemy import select

    table = tables().history
    mine = select(table.c.at).where(table.c.image_id == identifier)
    return mine.order_by(table.c.number.desc()).limit(1).scalar_subquery()


def _move(
    connection: Connection,
    identifier: str,
    action: Action,
    who: str,
    why: str,
    values: dict[str, object] | None = None,
    attempt: int | None = None,
) -> Kept:
    """Compare and set. `attempt`: only while the record has that one. Raises NotFoundError, RefusedError."""
    from sqlalchemy import update

    images = tables().images
    for _ in range(_TRIES):
        found = get(connection, identifier)
        record = found.record
        after = target(action, record.status, found.previous)
        if after is None:
            raise refusal(action, record.id, record.status)
        if action in REMOVING and record.protected:
            raise RefusedError(f"image {record.id} is protected: it cannot be deleted")
        if action in REMOVING and found.instances:
            raise RefusedError(f"image {record.id}: instances stand on it ({found.instances}): delete them first")
        if attempt is not None and found.attempt != attempt:
            raise RefusedError(f"image {record.id}: another upload into it has begun since")
        at = now(connection)
        same = [images.c.id == record.id, images.c.status == record.status]
        if action in REMOVING:
            same += [images.c.protected.is_(False), images.c.instances == 0]
        if attempt is not None:
            same.append(images.c.attempt == attempt)
        told = at + (action in _UPLOADS and changed_since(connection, record.id))
        changed = {"status": after, "updated_at": told, **_around(action, record.status, after, at), **(values or {})}
        if connection.execute(update(images).where(*same).values(**changed)).rowcount == 1:
            write_history(connection, record.id, record.status, after, who, why, at)
            return get(connection, record.id)
    raise RefusedError(f"image {identifier}: others are changing it all the time")


def _around(action: Action, before: Status, after: Status, at: int) -> dict[str, object]:
    """What changes with a status: where a restore would lead, and since when an image is deleted."""
    if after == "pending_delete":
        return {"previous": before, "deleted_at": at}
    if action == "restore":
        return {"previous": None, "deleted_at": None}
    if action == "scrub":
        return {"previous": None}
    return {"deleted_at": at} if after == "deleted" else {}
