"""Records of images in the database: made, read, changed; their tags, properties and members' projects beside them.

Functions take the transaction that they are part of. They know the rules of a record, and nothing of who asks:
that is the service's. Status is changed by `moves` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from imgtool.catalog import records
from imgtool.catalog.damage import Damaged, identified, sound, texts, unreadable
from imgtool.catalog.database import now, stamp
from imgtool.catalog.records import QUOTAS, Quotas
from imgtool.catalog.status import WITH_DATA
from imgtool.catalog.store import blob_key
from imgtool.catalog.tables import tables
from imgtool.errors import InputError, NotFoundError, RefusedError, UsageError
from imgtool.model.image import ImageRecord, Status, Visibility
from imgtool.policy.names import MACHINE

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

#: Parameters of one query: below what SQLite takes.
_BATCH = 500


class New(NamedTuple):
    """What is said of an image before it has data. `min_disk`: GiB; `min_ram`: MiB; `id`: None for a fresh one."""

    name: str
    owner: str
    id: str | None = None
    visibility: str = "shared"
    protected: bool = False
    disk_format: str | None = None
    container_format: str | None = None
    min_disk: int = 0
    min_ram: int = 0
    tags: Iterable[str] = ()
    properties: Mapping[str, str] = {}


class Changes(NamedTuple):
    """What is to change of an image; None leaves a field as it is. Formats can be changed before there is data."""

    name: str | None = None
    owner: str | None = None
    visibility: str | None = None
    protected: bool | None = None
    disk_format: str | None = None
    container_format: str | None = None
    min_disk: int | None = None
    min_ram: int | None = None


NO_CHANGES = Changes()


class Kept(NamedTuple):
    """A record, and how its data is kept.

    attempt: how many uploads into it were begun. blob: the store's key of its data, None without any; of a deleted
    image it says that the data is still to be removed. linked: the store shares the data with a file of others.
    previous: the status to restore. deleted_at: microseconds since 1970 when it was deleted, None where it was not.
    instances: how many stand on its data.
    """

    record: ImageRecord
    attempt: int
    blob: str | None
    linked: bool
    previous: Status | None
    deleted_at: int | None
    instances: int = 0


def check(new: New, quotas: Quotas = QUOTAS) -> None:
    """What is wrong with what is said of an image. Raises UsageError, RefusedError as `create` does, but for ids that
    are taken."""
    _fields(new, quotas)
    if new.id is not None:
        records.image_id(new.id)


def create(connection: Connection, new: New, who: str, why: str = "created", quotas: Quotas = QUOTAS) -> Kept:
    """Reserve an id: a queued image without data. Raises UsageError, RefusedError for an id that is taken."""
    from uuid import uuid4

    from sqlalchemy import insert
    from sqlalchemy.exc import IntegrityError

    fields, own_tags, given = _fields(new, quotas)
    at = now(connection)
    identifier = records.image_id(new.id) if new.id is not None else str(uuid4())
    values = {
        **fields,
        "id": identifier,
        "status": "queued",
        "created_at": at,
        "updated_at": at,
        "attempt": 0,
        "linked": False,
    }
    try:
        with connection.begin_nested():
            connection.execute(insert(tables().images).values(**values))
    except IntegrityError:
        raise RefusedError(f"an image with the id {identifier} exists, or existed") from None
    write_history(connection, identifier, None, "queued", who, why, at)
    _insert_tags(connection, identifier, own_tags)
    _insert_properties(connection, identifier, given)
    return get(connection, identifier)


def remake(connection: Connection, identifier: str, new: New, quotas: Quotas = QUOTAS) -> Kept:
    """Say all of an image anew that has no data: fields, tags and properties that it had are gone.

    Raises as `update`, RefusedError for too many tags and properties, and for reserved names."""
    from sqlalchemy import delete
    from sqlalchemy import update as statement

    table = tables()
    fields, own_tags, given = _fields(new, quotas)
    _without_data(touch(connection, identifier).record)
    connection.execute(statement(table.images).where(table.images.c.id == identifier).values(**fields))
    for part in (table.tags, table.properties):
        connection.execute(delete(part).where(part.c.image_id == identifier))
    _insert_tags(connection, identifier, own_tags)
    _insert_properties(connection, identifier, given)
    return get(connection, identifier)


def hold(connection: Connection, identifier: str) -> None:
    """Keep others from changing an image before this transaction ends, without marking it as changed."""
    from sqlalchemy import select

    images = tables().images
    connection.execute(select(images.c.id).where(images.c.id == identifier).with_for_update())


def get(connection: Connection, identifier: str) -> Kept:
    """The image with an id. Raises NotFoundError, UsageError for what is no id, InputError for a damaged row."""
    from sqlalchemy import select

    images = tables().images
    row = connection.execute(select(images).where(images.c.id == records.image_id(identifier))).one_or_none()
    if row is None:
        raise NotFoundError(f"no image {identifier}")
    return kept(connection, [row])[0]


def kept(connection: Connection, rows: Sequence[Row[Any]], damaged: list[Damaged] | None = None) -> list[Kept]:
    """Rows of `images` with their tags and properties, in the same order. Those that cannot be read are left out and
    told in `damaged`; without it they raise InputError."""
    from sqlalchemy import select

    tags: dict[str, list[str]] = {row.id: [] for row in rows}
    properties: dict[str, dict[str, str]] = {row.id: {} for row in rows}
    every, table = list(tags), tables()
    for start in range(0, len(every), _BATCH):
        some = every[start : start + _BATCH]
        for image, tag in connection.execute(
            select(table.tags.c.image_id, table.tags.c.tag).where(table.tags.c.image_id.in_(some))
        ):
            tags[image].append(tag)
        for image, name, value in connection.execute(
            select(table.properties.c.image_id, table.properties.c.name, table.properties.c.value).where(
                table.properties.c.image_id.in_(some)
            )
        ):
            properties[image][name] = value
    found = []
    for row in rows:
        try:
            found.append(_kept(row, tags[row.id], properties[row.id]))
        except InputError as error:
            if damaged is None:
                raise
            damaged.append(Damaged(row.id if isinstance(row.id, str) else None, str(error)))
    return found


def unread(connection: Connection) -> list[Damaged]:
    """The images whose rows cannot be read, of any status."""
    from sqlalchemy import select

    found: list[Damaged] = []
    kept(connection, connection.execute(select(tables().images)).all(), found)
    return found


def update(connection: Connection, identifier: str, changes: Changes) -> Kept:
    """Change fields of an image. Raises NotFoundError, UsageError, RefusedError for a deleted image, and for formats
    that are fixed since data is there."""
    from sqlalchemy import update as statement

    images = tables().images
    before = touch(connection, identifier)
    values: dict[str, object] = {}
    for field, check in (
        ("name", records.name),
        ("owner", records.owner),
        ("visibility", records.visibility),
    ):
        text = getattr(changes, field)
        if text is not None:
            values[field] = check(text)
    for field in ("min_disk", "min_ram"):
        number = getattr(changes, field)
        if number is not None:
            values[field] = records.least(field, number)
    if changes.protected is not None:
        values["protected"] = changes.protected
    if changes.disk_format is not None or changes.container_format is not None:
        values |= _formats(before.record, changes)
    if values:
        connection.execute(statement(images).where(images.c.id == identifier).values(**values))
    return get(connection, identifier)


def touch(connection: Connection, identifier: str) -> Kept:
    """Mark an image as changed now, which keeps others from changing it before this transaction ends.

    Raises NotFoundError, RefusedError for a deleted image.
    """
    from sqlalchemy import update as statement

    images = tables().images
    gone = images.c.status.in_(("deleted", "pending_delete"))
    done = connection.execute(
        statement(images).where(images.c.id == identifier, ~gone).values(updated_at=now(connection))
    )
    found = get(connection, identifier)
    if not done.rowcount:
        raise RefusedError(f"image {identifier} is {found.record.status}: it can no longer be changed")
    return found


def add_tags(connection: Connection, identifier: str, given: Iterable[str], quotas: Quotas = QUOTAS) -> Kept:
    """Put tags on an image; one it has already is no fault. Raises as `update`, RefusedError for too many."""
    before = touch(connection, identifier).record.tags
    after = records.tags((*before, *given), quotas.tags)
    _insert_tags(connection, identifier, [tag for tag in after if tag not in before])
    return get(connection, identifier)


def remove_tags(connection: Connection, identifier: str, given: Iterable[str]) -> Kept:
    """Take tags off an image. Raises as `update`, RefusedError for one that it has not."""
    from sqlalchemy import delete

    table = tables().tags
    before, unwanted = touch(connection, identifier).record.tags, sorted(set(given))
    for tag in unwanted:
        if tag not in before:
            raise RefusedError(f"image {identifier} has no tag {tag!r}")
    connection.execute(delete(table).where(table.c.image_id == identifier, table.c.tag.in_(unwanted)))
    return get(connection, identifier)


def set_properties(
    connection: Connection, identifier: str, given: Mapping[str, str], quotas: Quotas = QUOTAS
) -> Kept:
    """Set properties, in place of those of the same names. Raises as `update`, RefusedError for too many and for
    reserved names."""
    from sqlalchemy import delete

    table = tables().properties
    before = touch(connection, identifier).record.properties
    fresh = records.properties(given, quotas.properties)
    if len({**before, **fresh}) > quotas.properties:
        raise RefusedError(f"image {identifier}: an image has at most {quotas.properties} properties")
    connection.execute(delete(table).where(table.c.image_id == identifier, table.c.name.in_(list(fresh))))
    _insert_properties(connection, identifier, fresh)
    return get(connection, identifier)


def unset_properties(connection: Connection, identifier: str, given: Iterable[str]) -> Kept:
    """Remove properties. Raises as `update`, RefusedError for one that it has not."""
    from sqlalchemy import delete

    table = tables().properties
    before, unwanted = touch(connection, identifier).record.properties, sorted(set(given))
    for name in unwanted:
        if name not in before:
            raise RefusedError(f"image {identifier} has no property {name!r}")
    connection.execute(delete(table).where(table.c.image_id == identifier, table.c.name.in_(unwanted)))
    return get(connection, identifier)


def keep_verdict(connection: Connection, identifier: str, verdict: str) -> None:
    """Keep what validation said of an image's data (JSON of a verdict), in place of what it said before."""
    table, said = tables().reports, {"verdict": verdict}
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        server = postgresql.insert(table).values(image_id=identifier, **said)
        connection.execute(server.on_conflict_do_update(index_elements=[table.c.image_id], set_=said))
    else:
        from sqlalchemy.dialects import sqlite

        file = sqlite.insert(table).values(image_id=identifier, **said)
        connection.execute(file.on_conflict_do_update(index_elements=[table.c.image_id], set_=said))


def drop_verdict(connection: Connection, identifier: str) -> None:
    """Forget what validation said of data that an image has no more."""
    from sqlalchemy import delete

    table = tables().reports
    connection.execute(delete(table).where(table.c.image_id == identifier))


def verdict_of(connection: Connection, identifier: str) -> str | None:
    """The verdict on the data of an image's last upload, as JSON; None where that came to none."""
    from sqlalchemy import select

    table = tables().reports
    return connection.execute(select(table.c.verdict).where(table.c.image_id == identifier)).scalar_one_or_none()


def write_history(
    connection: Connection, identifier: str, before: Status | None, after: Status, who: str, why: str, at: int
) -> None:
    """Note a change of status."""
    from sqlalchemy import insert

    connection.execute(
        insert(tables().history).values(image_id=identifier, at=at, before=before, after=after, who=who, why=why)
    )


def _fields(new: New, quotas: Quotas) -> tuple[dict[str, object], tuple[str, ...], dict[str, str]]:
    """What is said of an image, by the rules of records: columns, tags, properties. Raises as those."""
    disk, container = records.formats(new.disk_format, new.container_format)
    given, own_tags = records.properties(new.properties, quotas.properties), records.tags(new.tags, quotas.tags)
    fields: dict[str, object] = {
        "name": records.name(new.name),
        "visibility": records.visibility(new.visibility),
        "protected": new.protected,
        "owner": records.owner(new.owner),
        "disk_format": disk,
        "container_format": container,
        "min_disk": records.least("min_disk", new.min_disk),
        "min_ram": records.least("min_ram", new.min_ram),
    }
    return fields, own_tags, given


def _without_data(record: ImageRecord) -> None:
    if record.status not in ("queued", "killed"):
        raise RefusedError(f"image {record.id} is {record.status}: formats are fixed once there is data")


def _formats(record: ImageRecord, changes: Changes) -> dict[str, object]:
    _without_data(record)
    disk = changes.disk_format or (None if changes.container_format in MACHINE else record.disk_format)
    container = changes.container_format or (None if changes.disk_format in MACHINE else record.container_format)
    disk, container = records.formats(disk, container)
    return {"disk_format": disk, "container_format": container}


def _insert_tags(connection: Connection, identifier: str, tags: Sequence[str]) -> None:
    from sqlalchemy import insert

    if tags:
        connection.execute(insert(tables().tags), [{"image_id": identifier, "tag": tag} for tag in tags])


def _insert_properties(connection: Connection, identifier: str, given: Mapping[str, str]) -> None:
    from sqlalchemy import insert

    if given:
        lines = [{"image_id": identifier, "name": name, "value": value} for name, value in given.items()]
        connection.execute(insert(tables().properties), lines)


def _own_data(row: Row[Any], what: str) -> None:
    """Raises InputError where an image's data is not that of its last upload, or it has some, or none, that its
    status does not go with."""
    identified(what, "id", row.id)
    if row.blob is None and row.status in WITH_DATA:
        raise unreadable(what, "blob", None)
    if row.blob is None and row.status != "saving":
        return
    try:
        key = blob_key(row.id, row.attempt)
    except UsageError:
        raise unreadable(what, "attempt", row.attempt) from None
    if row.blob is not None and (row.blob != key or row.status not in (*WITH_DATA, "deleted")):
        raise unreadable(what, "blob", row.blob)


def _kept(row: Row[Any], tags: Sequence[str], properties: Mapping[str, str]) -> Kept:
    what = f"image {row.id}"
    sound(tables().images, row, what)
    texts(what, "a tag", tags)
    texts(what, "the name of a property", properties)
    texts(what, "a property", properties.values())
    _own_data(row, what)
    record = ImageRecord(
        id=row.id,
        name=row.name,
        status=cast("Status", row.status),
        visibility=cast("Visibility", row.visibility),
        protected=row.protected,
        owner=row.owner,
        tags=tuple(sorted(tags)),
        disk_format=row.disk_format,
        container_format=row.container_format,
        size=row.size,
        virtual_size=row.virtual_size,
        checksum=row.checksum,
        os_hash_algo=row.os_hash_algo,
        os_hash_value=row.os_hash_value,
        min_disk=row.min_disk,
        min_ram=row.min_ram,
        created_at=stamp(row.created_at),
        updated_at=stamp(row.updated_at),
        reason=row.reason,
        properties=dict(sorted(properties.items())),
    )
    return Kept(record, row.attempt, row.blob, row.linked, row.previous, row.deleted_at, row.instances)
