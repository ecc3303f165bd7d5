"""Records and data come into a catalog from an export: as if each image was created anew, validated and digested.

An import that was broken off, or whose data was refused, leaves images that are queued or killed and whose history
says that they were being imported; the next import of the same images goes on with those.
"""

from __future__ import annotations

import os
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

from imgtool.catalog import images, members, moves, records
from imgtool.catalog.data import take_over
from imgtool.catalog.exporting import BARE, Tell
from imgtool.catalog.manifest import Arrived, Folder, parsed
from imgtool.errors import ImgtoolError, InputError, NotFoundError, RefusedError
from imgtool.model.export import Transfer
from imgtool.render.escape import terminal

if TYPE_CHECKING:
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
    new = arrived.new
    there = _there(catalog, new.id or "")
    if there is not None and (arrived.size is None or not _broken_off(catalog, there)):
        taken = f"image {new.id} is here already ({there.status})"
        if skip:
            return Transfer(new.id, new.name, "skipped", why=taken)
        raise RefusedError(taken)
    if arrived.size is None:
        record = _reserve(catalog, folder, arrived)
        return Transfer(record.id, record.name, "imported")
    with folder.data(new.id or "") as source:
        if source.size != arrived.size:
            raise InputError(f"{source.name}: has {source.size} bytes, the manifest says {arrived.size}")
        record = there or _reserve(catalog, folder, arrived)
        quarantine = f"it was in {_place(folder)}" if arrived.status == "deactivated" else None
        with meters(record) if meters is not None else nullcontext(None) as meter:
            record = take_over(catalog, record.id, source, arrived.expect, quarantine, meter)
    return Transfer(record.id, record.name, "imported", record.size or 0)


def _there(catalog: Catalog, identifier: str) -> ImageRecord | None:
    """What has the id here, deleted or not."""
    with catalog.database.read() as connection, suppress(NotFoundError):
        return images.get(connection, identifier).record
    return None


def _broken_off(catalog: Catalog, record: ImageRecord) -> bool:
    """True for what an earlier import of the same image left."""
    if record.status not in BARE:
        return False
    with catalog.database.read() as connection:
        return moves.history(connection, record.id)[0].why.startswith(_WHY)


def _reserve(catalog: Catalog, folder: Folder, arrived: Arrived) -> ImageRecord:
    """A queued image with the members that the manifest names. Raises UsageError, RefusedError."""
    new, why = arrived.new, f"{_WHY}{_place(folder)}"
    catalog.may_have(new.owner, records.visibility(new.visibility), "add_image")
    with catalog.database.write() as connection:
        catalog.room_for(connection, new.owner, images=1)
        record = images.create(connection, new, str(catalog.who), why, catalog.quotas).record
        for project, status in arrived.members if new.visibility == "shared" else ():
            members.add_member(connection, record.id, project, catalog.quotas)
            members.set_member(connection, record.id, project, status)
    return record


def _place(folder: Folder) -> str:
    """The folder, as histories have it."""
    return terminal(os.path.abspath(folder.place))
