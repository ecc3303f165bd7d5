"""What is done to a catalog as a whole: its scrubbing, and its repair. One process does it at a time, on any machine.

What a process leaves that is killed in the middle is one of: an upload without a process, data that no record has, a
deleted record whose data is still there. Each is found here; what a record owns, or an upload is bringing, is not
touched: an upload is asked whether it is alive *before* the record is asked for the data, and lets go of its claim
only *after* the record has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from imgtool.catalog import checks, images, instance_upkeep, listing, moves, verifying
from imgtool.catalog.checks import Stray
from imgtool.catalog.damage import Damaged
from imgtool.catalog.lease import Lease, acquire
from imgtool.catalog.listing import Filters
from imgtool.catalog.store import Blob, blob_key
from imgtool.errors import ImgtoolError, RefusedError
from imgtool.findings.core import Finding
from imgtool.limits import DEFAULT
from imgtool.model.upkeep import Repaired, Scrubbed, Verification

if TYPE_CHECKING:
    from threading import Event

    from imgtool.catalog.service import Catalog

LEASE = "scrub"


class Left(NamedTuple):
    """What processes left: uploads without one (id, attempt), keys of what came of such, deleted images with data
    (id, key), blobs that nobody owns."""

    uploads: tuple[tuple[str, int], ...]
    claims: tuple[str, ...]
    deleted: tuple[tuple[str, str], ...]
    orphans: tuple[Blob, ...]


def scrub(catalog: Catalog, delay: int, stop: Event | None = None) -> Scrubbed:
    """See `Catalog.scrub`. `stop`: ends it between two images."""
    catalog.access.require("scrub_catalog", catalog.who)
    catalog.own_store(mark=False)
    with acquire(catalog.database, LEASE) as lease:
        damaged: list[Damaged] = []
        with catalog.database.read() as connection:
            due = moves.due(connection, delay, damaged)
        count, unmoved = 0, []
        for identifier in due:
            if stop is not None and stop.is_set():
                break
            lease.renew()
            try:
                with suppress(RefusedError), catalog.database.write() as connection:  # restored a moment ago
                    moves.scrub(connection, identifier, str(catalog.who))
                    count += 1
            except ImgtoolError as error:
                unmoved.append(str(error))
        blobs, freed, failed = _remove(catalog, lease, _deleted(catalog, damaged), stop)
    return Scrubbed(count, blobs, freed, (*(one.why for one in damaged), *unmoved, *failed))


def repair(catalog: Catalog) -> Repaired:
    """See `Catalog.repair`."""
    catalog.access.require("repair_catalog", catalog.who)
    catalog.own_store()
    with acquire(catalog.database, LEASE) as lease:
        uploads, unended = _end_uploads(catalog, lease)
        freed, failed = _discard(catalog, lease)
        removed, more, unremoved = _remove(catalog, lease, _deleted(catalog, []))
        orphans, most, kept = _remove_orphans(catalog, lease)
        mended = instance_upkeep.mend(catalog, lease)
    blobs, freed = removed + orphans, freed + more + most + mended.freed
    failed = (*unended, *failed, *unremoved, *kept, *mended.failed)
    return Repaired(uploads, blobs, freed, _missing(catalog), failed, mended.instances)


def would_repair(catalog: Catalog) -> Repaired:
    """See `Catalog.repair` with `dry_run`."""
    catalog.access.require("repair_catalog", catalog.who)
    catalog.own_store(mark=False)
    found = left(catalog)
    freed = sum(catalog.store.left(key) for key in found.claims) + sum(blob.size for blob in found.orphans)
    there = [size for _, key in found.deleted if (size := catalog.store.size(key)) is not None]
    blobs, instances = len(there) + len(found.orphans), instance_upkeep.left(catalog)
    freed += sum(there) + instances.size
    return Repaired(len(found.uploads), blobs, freed, _missing(catalog), instances=len(instances.ids))


def _missing(catalog: Catalog) -> tuple[Verification, ...]:
    """What cannot be brought back: data of images, and disks of instances."""
    lost = instance_upkeep.lost(catalog)
    return (*verifying.missing(catalog), *([Verification(None, None, None, None, False, lost)] if lost else []))


def left(catalog: Catalog) -> Left:
    """What processes left in the middle. Raises InputError."""
    uploads = tuple(_dead_uploads(catalog))
    claims = tuple(key for key in _claims(catalog) if not catalog.store.alive(key))
    return Left(uploads, claims, tuple(_deleted(catalog, [])), tuple(_orphans(catalog, uploads)))


def strays(catalog: Catalog) -> tuple[Finding, ...]:
    """The same as findings: what `repair` would put right."""
    found = left(catalog)
    keys = dict.fromkeys((*(blob_key(*one) for one in found.uploads), *found.claims))
    told = [one for key in keys for one in checks.upload_abandoned(Stray(key), DEFAULT)]
    for identifier, key in found.deleted:
        told.extend(checks.deleted_data_left(Stray(identifier, catalog.store.size(key) or 0), DEFAULT))
    for blob in found.orphans:
        told.extend(checks.data_without_owner(Stray(blob.key, blob.size), DEFAULT))
    return (*told, *instance_upkeep.strays(catalog))


def _dead_uploads(catalog: Catalog) -> Iterator[tuple[str, int]]:
    """Images that are saving, and whose upload has no process: id and attempt."""
    with catalog.database.read() as connection:
        saving = listing.list_images(connection, Filters(status=("saving",)), damaged=[])
    for kept in saving:
        if not catalog.store.alive(blob_key(kept.record.id, kept.attempt)):
            yield kept.record.id, kept.attempt


def _end_uploads(catalog: Catalog, lease: Lease) -> tuple[int, tuple[str, ...]]:
    """saving → killed where the upload has no process: how many, and what failed."""
    count, failed = 0, []
    for identifier, attempt in _dead_uploads(catalog):
        lease.renew()
        try:
            with suppress(RefusedError), catalog.database.write() as connection:  # it came to its end meanwhile
                moves.fail_upload(connection, identifier, attempt, str(catalog.who), "its process is gone")
                count += 1
        except ImgtoolError as error:
            failed.append(str(error))
    return count, tuple(failed)


def _claims(catalog: Catalog) -> list[str]:
    """What the store has of uploads, but for those of images whose row cannot be read."""
    found = list(catalog.store.claims())
    unread = _unread(catalog)
    return [key for key in found if key.partition(".")[0] not in unread]


def _unread(catalog: Catalog) -> set[str]:
    """Ids of images whose row cannot be read: what the store has of those is left alone."""
    with catalog.database.read() as connection:
        return {one.id.lower() for one in images.unread(connection) if one.id is not None}


def _discard(catalog: Catalog, lease: Lease) -> tuple[int, tuple[str, ...]]:
    """Remove what dead uploads left: bytes, and what could not be removed."""
    freed, failed = 0, []
    for key in _claims(catalog):
        lease.renew()
        try:
            if not catalog.store.alive(key):
                freed += catalog.store.discard(key)
        except RefusedError:  # a fresh upload has it now
            continue
        except ImgtoolError as error:
            failed.append(str(error))
    return freed, tuple(failed)


def _deleted(catalog: Catalog, damaged: list[Damaged]) -> list[tuple[str, str]]:
    """Deleted images whose data is to be removed: id and key. `damaged`: gets those that cannot be read."""
    with catalog.database.read() as connection:
        return moves.to_remove(connection, damaged)


def _remove(
    catalog: Catalog, lease: Lease, waiting: list[tuple[str, str]], stop: Event | None = None
) -> tuple[int, int, tuple[str, ...]]:
    """Remove the data of deleted images: how many, bytes, and what could not be removed."""
    count, freed, failed = 0, 0, []
    for identifier, blob in waiting:
        if stop is not None and stop.is_set():
            break
        lease.renew()
        try:
            if (size := catalog.remove_data(identifier, blob)) is not None:
                freed, count = freed + size, count + 1
        except ImgtoolError as error:
            failed.append(f"image {identifier}: {error}")
    return count, freed, tuple(failed)


def _orphans(catalog: Catalog, dead: Iterable[tuple[str, int]] = ()) -> Iterator[Blob]:
    """Blobs that no record has and no upload is bringing. Whether one is brought is asked before the records are.

    An upload that its record knows of is bringing it though nothing holds its claim, but for those that are `dead`:
    where machines share a store whose locks are each machine's own, a claim of another does not show. What an image
    may have whose row cannot be read is none.
    """
    idle = [blob for blob in catalog.store.blobs() if not catalog.store.alive(blob.key)]
    with catalog.database.read() as connection:
        owned = listing.blobs(connection)
        saving = listing.list_images(connection, Filters(status=("saving",)), damaged=[])
    unread = _unread(catalog)
    brought = {blob_key(kept.record.id, kept.attempt) for kept in saving} - {blob_key(*one) for one in dead}
    known = owned | brought
    return (blob for blob in idle if blob.key not in known and blob.key.partition(".")[0] not in unread)


def _remove_orphans(catalog: Catalog, lease: Lease) -> tuple[int, int, tuple[str, ...]]:
    """Remove them: how many, bytes, and what could not be removed."""
    count, freed, failed = 0, 0, []
    for blob in _orphans(catalog):
        lease.renew()
        try:
            if (size := catalog.store.delete(blob.key)) is not None:
                freed, count = freed + size, count + 1
        except ImgtoolError as error:
            failed.append(str(error))
    return count, freed, tuple(failed)
