"""Records and data come into a catalog from an export: as if each image was created anew, validated and digested.

An import that was broken off, or whose data was refused, leaves images that are queued, killed, or saving without a
process, and whose history says that they were being imported. The next import that has data for them goes on with
those: they get all that its manifest says, as a new image would. What somebody changed since is left alone.
"""

from __future__ import annotations

import os
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

from imgtool.catalog import images, members, moves, records
from imgtool.catalog.data import take_over
from imgtool.catalog.exporting import BARE, Tell
from imgtool.catalog.images import Kept, New
from imgtool.catalog.manifest import Arrived, Folder, parsed
from imgtool.catalog.store import blob_key
from imgtool.errors import ImgtoolError, InputError, NotFoundError, RefusedError
from imgtool.model.export import Transfer
from imgtool.render.escape import terminal

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from imgtool.catalog.service import Catalog
    from imgtool.catalog.verifying import Meters
    from imgtool.model.image import ImageRecord

#: What the first line of the history of an imported image begins with.
_WHY = "imported from "


def bring_in(
    catalog: Catalog, source: str, *, skip_existing: bool, tell: Tell | None, meters: Meters | None
) -> tuple[Transfer, ...]:
    """See `Catalog.import_from`."""
    catalog.access.require("import_catalog", catalog.who)
    done: list[Transfer] = []
    with Folder(source) as folder:
        for number, line in folder.lines():
            arrived: Arrived | None = None
            try:
                arrived = parsed(line)
                done.append(_one(catalog, folder, arrived, skip_existing, meters))
            except ImgtoolError as error:
                done.append(_failed(arrived, number, error))
            if tell is not None:
                tell(done[-1])
    return tuple(done)


def _failed(arrived: Arrived | None, number: int, error: ImgtoolError) -> Transfer:
    if arrived is None:
        why = f"line {number} of the manifest: {error}"
        return Transfer(None, None, "failed", 0, why, error.exit_status)
    return Transfer(arrived.new.id, arrived.new.name, "failed", 0, str(error), error.exit_status)


def _one(catalog: Catalog, folder: Folder, arrived: Arrived, skip: bool, meters: Meters | None) -> Transfer:
    """Bring one image in. Raises as `Catalog.upload`, RefusedError for an id that is taken."""
    new, there = arrived.new, _there(catalog, arrived.new.id or "")
    if there is not None and (arrived.size is None or not _to_go_on(catalog, there)):
        taken = _taken(catalog, there)
        if skip:
            return Transfer(new.id, new.name, "skipped", why=taken)
        raise RefusedError(taken)
    if arrived.size is None:
        record = _record(catalog, folder, arrived, there)
        return Transfer(record.id, record.name, "imported")
    with folder.data(new.id or "") as source:
        if source.size != arrived.size:
            raise InputError(f"{source.name}: has {source.size} bytes, the manifest says {arrived.size}")
        record = _record(catalog, folder, arrived, there)
        quarantine = f"it was in {_place(folder)}" if arrived.status == "deactivated" else None
        with meters(record) if meters is not None else nullcontext(None) as meter:
            record = take_over(catalog, record.id, source, arrived.expect, quarantine, meter)
    return Transfer(record.id, record.name, "imported", record.size or 0)


def _there(catalog: Catalog, identifier: str) -> Kept | None:
    """What has the id here, deleted or not."""
    with catalog.database.read() as connection, suppress(NotFoundError):
        return images.get(connection, identifier)
    return None


def _taken(catalog: Catalog, there: Kept) -> str:
    """That an id is taken; by what, to those that see it."""
    with catalog.database.read() as connection:
        seen = catalog.sees(connection, there)
    return f"image {there.record.id} is here already" + (f" ({there.record.status})" if seen else "")


def _to_go_on(catalog: Catalog, there: Kept) -> bool:
    """See `_broken_off`, which asks the store: that must be this catalog's."""
    if there.record.status == "saving":
        catalog.own_store(mark=False)
    with catalog.database.read() as connection:
        return _broken_off(catalog, connection, there)


def _broken_off(catalog: Catalog, connection: Connection, there: Kept) -> bool:
    """True for what an earlier import of the same image left, and nobody changed since. Raises RefusedError where
    that import is under way."""
    record = there.record
    first = moves.history(connection, record.id)[:1]
    ours = any(one.why.startswith(_WHY) for one in first) and catalog.sees(connection, there)
    if not ours or record.status not in (*BARE, "saving"):
        return False
    if record.status == "saving" and catalog.store.alive(blob_key(record.id, there.attempt)):
        raise RefusedError(f"image {record.id} is here already (saving): an upload into it is under way")
    return not moves.changed_since(connection, record.id)


def _record(catalog: Catalog, folder: Folder, arrived: Arrived, there: Kept | None) -> ImageRecord:
    """An image without data as the manifest has it, and its members: a new one, or what an earlier import left
    `there`. Raises UsageError, RefusedError."""
    new, why = arrived.new, f"{_WHY}{_place(folder)}"
    catalog.may_have(new.owner, records.visibility(new.visibility), "add_image")
    with catalog.database.write() as connection:
        if there is None:
            catalog.room_for(connection, new.owner, images=1)
            record = images.create(connection, new, str(catalog.who), why, catalog.quotas).record
        else:
            record = _taken_up(catalog, connection, new, there.record.id)
        _share(catalog, connection, record, arrived)
        moves.settle(connection, record.id)
        return images.get(connection, record.id).record


def _taken_up(catalog: Catalog, connection: Connection, new: New, identifier: str) -> ImageRecord:
    """What an earlier import left, with all that the manifest says instead of what that one said. Raises UsageError,
    RefusedError, also where it is by now no more what that import left."""
    images.hold(connection, identifier)
    there = images.get(connection, identifier)
    if not _broken_off(catalog, connection, there):
        raise RefusedError(f"image {identifier} is here already: others are changing it")
    catalog.require("modify_image", connection, there.record)
    if new.owner != there.record.owner:
        catalog.require("change_owner", connection, there.record)
        catalog.room_for(connection, new.owner, images=1, fresh=False)
    if there.record.status == "saving":
        moves.fail_upload(connection, identifier, there.attempt, str(catalog.who), "its process is gone")
    return images.remake(connection, identifier, new, catalog.quotas).record


def _share(catalog: Catalog, connection: Connection, record: ImageRecord, arrived: Arrived) -> None:
    """Give an image the members that the manifest names, and no others."""
    for one in members.members(connection, record.id):
        members.remove_member(connection, record.id, one.member)
    for project, status in arrived.members if record.visibility == "shared" else ():
        members.add_member(connection, record.id, project, catalog.quotas)
        members.set_member(connection, record.id, project, status)


def _place(folder: Folder) -> str:
    """The folder, as histories have it."""
    return terminal(os.path.abspath(folder.place))
