"""Records and data leave a catalog: a folder with a line for each image, and the data beside, verified on the way.

The folder has `manifest.jsonl` (a line is an imgtool.export/1) and `blobs/ID`. It appears whole, or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from imgtool.catalog import listing
from imgtool.catalog.damage import Damaged, unreadable
from imgtool.catalog.listing import Filters, Sort
from imgtool.catalog.records import is_id
from imgtool.catalog.saving import outside
from imgtool.catalog.status import LISTED
from imgtool.errors import DamagedError, InputError, OutputError, RefusedError, UsageError
from imgtool.model.export import Exported, Transfer
from imgtool.model.image import Change, ImageRecord, Member, Status
from imgtool.targets.folder import FolderOutput

if TYPE_CHECKING:
    from imgtool.catalog.service import Catalog
    from imgtool.catalog.verifying import Meters

MANIFEST, BLOBS = "manifest.jsonl", "blobs"

#: What became of an image, when it is known.
Tell = Callable[[Transfer], None]

#: Statuses of images whose data is exported, and of those that have a record alone.
DATA: tuple[Status, ...] = ("active", "deactivated")
BARE: tuple[Status, ...] = ("queued", "killed")

#: Statuses of images that somebody wants to be gone: an export of all passes them over.
GONE: tuple[Status, ...] = ("pending_delete", "deleted")


def export(
    catalog: Catalog, target: str, called: tuple[str, ...], tell: Tell | None, meters: Meters | None
) -> tuple[Transfer, ...]:
    """See `Catalog.export`."""
    catalog.access.require("export_catalog", catalog.who)
    if not target or "\0" in target:
        raise UsageError("name the folder that is to be made")
    outside(catalog, target)
    chosen = tuple(dict.fromkeys(called or _every(catalog)))
    with FolderOutput(target) as folder:
        try:
            done = _fill(catalog, folder.work, chosen, GONE if not called else (), tell, meters)
        except OSError as error:
            raise OutputError(f"{target}: {error.strerror or error}") from error
        if not called or any(one.what == "exported" for one in done):
            folder.commit()
    return done


def _fill(
    catalog: Catalog,
    folder: str,
    chosen: tuple[str, ...],
    passed: tuple[Status, ...],
    tell: Tell | None,
    meters: Meters | None,
) -> tuple[Transfer, ...]:
    """Write the images that were chosen; what becomes of each. `passed`: statuses of those that are passed over, and
    are no failures. Raises OSError, OutputError."""
    import json

    done: list[Transfer] = []
    seen: set[str] = set()
    os.mkdir(os.path.join(folder, BLOBS))
    with open(os.path.join(folder, MANIFEST), "x", encoding="utf-8", newline="\n") as manifest:
        for one in chosen:
            try:
                record = _record(catalog, one)
                if record.id in seen:
                    continue
                seen.add(record.id)
                if record.status in passed:
                    done.append(Transfer(record.id, record.name, "skipped", why=_nothing(record, one)))
                else:
                    told = _one(catalog, record, one, folder, meters)
                    manifest.write(json.dumps(told.to_dict()) + "\n")
                    done.append(Transfer(told.image.id, told.image.name, "exported", _size(told.image)))
            except (DamagedError, InputError, RefusedError, UsageError) as error:
                done.append(Transfer(one if is_id(one) else None, None, "failed", 0, str(error), error.exit_status))
            if tell is not None:
                tell(done[-1])
        manifest.flush()
        os.fsync(manifest.fileno())
    return tuple(done)


def _every(catalog: Catalog) -> tuple[str, ...]:
    """The ids of all that the identity sees and that are not gone, the oldest first; at the end those whose rows
    cannot be read."""
    damaged: list[Damaged] = []
    wanted = Filters(viewer=catalog.viewer(), status=(*LISTED, "pending_delete"))
    with catalog.database.read() as connection:
        found = listing.list_images(connection, wanted, (Sort("created_at"),), damaged=damaged)
    return (*(one.record.id for one in found), *(one.id or "" for one in damaged))


def _record(catalog: Catalog, called: str) -> ImageRecord:
    """The image that is meant. Raises NotFoundError, UsageError, RefusedError."""
    with catalog.database.read() as connection:
        return catalog.named(connection, called, "get_image").record


def _nothing(record: ImageRecord, called: str) -> str:
    """Why an image is not exported."""
    return f"image {called} is {record.status}: there is nothing whole to export"


def _one(catalog: Catalog, record: ImageRecord, called: str, folder: str, meters: Meters | None) -> Exported:
    """Write an image's data, and give its line. Raises NotFoundError, RefusedError, also for one that has nothing
    whole, InputError, DamagedError."""
    if record.status not in (*DATA, *BARE):
        raise RefusedError(_nothing(record, called))
    if record.status in DATA:
        _line(catalog, record)  # one that has none fails before its data is written
        path = os.path.join(folder, BLOBS, record.id)
        if meters is None:
            record = catalog.save(record.id, path)
        else:
            with meters(record) as meter:
                record = catalog.save(record.id, path, progress=meter)
    return _line(catalog, record)


def _line(catalog: Catalog, record: ImageRecord) -> Exported:
    """The line of an image as it is now: members and history as far as the identity may see them.

    Raises NotFoundError, RefusedError, InputError."""
    kept = catalog.report(record.id)
    shared: tuple[Member, ...] = ()
    past: tuple[Change, ...] = ()
    with suppress(RefusedError):
        shared = catalog.members(record.id)
    with suppress(RefusedError):
        past = catalog.history(record.id)
    return Exported(record, shared, past, None if kept is None else _verdict(record, kept))


def _verdict(record: ImageRecord, kept: str) -> dict[str, object]:
    """The verdict that is kept with an image. Raises InputError for what is none."""
    import json

    try:
        found = json.loads(kept)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise unreadable(f"image {record.id}", "its verdict", kept)
    return found


def _size(record: ImageRecord) -> int:
    return record.size or 0 if record.status in DATA else 0
