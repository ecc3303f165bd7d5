"""What is done to a catalog as a whole: its scrubbing, and its repair. One process does it at a time, on any machine.

What a process leaves that is killed in the middle is one of: an upload without a process, data that no record has, a
deleted record whose data is still there. Each is found here; what a record owns, or an upload is bringing, is not
touched: an upload is asked whether it is alive *before* the record is asked for the data, and lets go of its claim
only *after* the record has it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from imgtool.catalog import images, listing, moves
from imgtool.catalog.lease import Lease, acquire
from imgtool.catalog.listing import Filters
from imgtool.catalog.status import WITH_DATA
from imgtool.catalog.store import blob_key
from imgtool.errors import NotFoundError, RefusedError

if TYPE_CHECKING:
    from imgtool.catalog.service import Catalog

LEASE = "scrub"


class Scrubbed(NamedTuple):
    """What a scrubbing did: images whose grace period was over, blobs removed, bytes freed."""

    images: int
    blobs: int
    freed: int


class Repaired(NamedTuple):
    """What a repair did: uploads without a process that were ended, blobs that nobody owned or needed any more, bytes
    freed; and the ids of images whose data is missing, which it cannot bring back."""

    uploads: int
    blobs: int
    freed: int
    missing: tuple[str, ...]


def scrub(catalog: Catalog, delay: int) -> Scrubbed:
    """See `Catalog.scrub`."""
    catalog.access.require("scrub_catalog", catalog.who)
    with acquire(catalog.database, LEASE) as lease:
        with catalog.database.read() as connection:
            due = moves.due(connection, delay)
        count = 0
        for identifier in due:
            lease.renew()
            with suppress(RefusedError), catalog.database.write() as connection:  # restored a moment ago
                moves.scrub(connection, identifier, str(catalog.who))
                count += 1
        blobs, freed = _remove(catalog, lease)
    return Scrubbed(count, blobs, freed)


def _remove(catalog: Catalog, lease: Lease) -> tuple[int, int]:
    """Remove the data of deleted images: how many, and bytes."""
    with catalog.database.read() as connection:
        waiting = moves.to_remove(connection)
    freed = 0
    for identifier, blob in waiting:
        lease.renew()
        freed += catalog.remove_data(identifier, blob)
    return len(waiting), freed


def repair(catalog: Catalog) -> Repaired:
    """See `Catalog.repair`."""
    catalog.access.require("repair_catalog", catalog.who)
    with acquire(catalog.database, LEASE) as lease:
        uploads = _end_uploads(catalog, lease)
        freed = _discard(catalog, lease)
        removed, more = _remove(catalog, lease)
        orphans, most = _orphans(catalog, lease)
        return Repaired(uploads, removed + orphans, freed + more + most, _missing(catalog))


def _end_uploads(catalog: Catalog, lease: Lease) -> int:
    """saving → killed where the upload has no process: how many."""
    with catalog.database.read() as connection:
        saving = listing.list_images(connection, Filters(status=("saving",)))
    count = 0
    for kept in saving:
        lease.renew()
        identifier, attempt = kept.record.id, kept.attempt
        if catalog.store.alive(blob_key(identifier, attempt)):
            continue
        with suppress(RefusedError), catalog.database.write() as connection:  # it came to its end meanwhile
            moves.fail_upload(connection, identifier, attempt, str(catalog.who), "its process is gone")
            count += 1
    return count


def _discard(catalog: Catalog, lease: Lease) -> int:
    """Remove what dead uploads left: bytes."""
    freed = 0
    for key in list(catalog.store.claims()):
        lease.renew()
        if not catalog.store.alive(key):
            with suppress(RefusedError):
                freed += catalog.store.discard(key)
    return freed


def _orphans(catalog: Catalog, lease: Lease) -> tuple[int, int]:
    """Remove blobs that no record has and no upload is bringing: how many, and bytes."""
    count = freed = 0
    for blob in list(catalog.store.blobs()):
        lease.renew()
        if catalog.store.alive(blob.key):
            continue
        try:
            with catalog.database.read() as connection:
                owned = images.get(connection, blob.key.partition(".")[0]).blob == blob.key
        except NotFoundError:
            owned = False
        if not owned:
            freed += catalog.store.delete(blob.key)
            count += 1
    return count, freed


def _missing(catalog: Catalog) -> tuple[str, ...]:
    """Ids of images that should have data and have not, or of another size."""
    with catalog.database.read() as connection:
        kept = listing.list_images(connection, Filters(status=tuple(sorted(WITH_DATA))))
    return tuple(one.record.id for one in kept if one.blob is None or catalog.store.size(one.blob) != one.record.size)
