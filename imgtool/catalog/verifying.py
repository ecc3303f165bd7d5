"""Reading data anew: whether what the store has is what the records say. Nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from imgtool.catalog import checks, images, listing
from imgtool.catalog.checks import Looked
from imgtool.catalog.images import Kept
from imgtool.catalog.listing import Filters, Sort
from imgtool.catalog.status import WITH_DATA
from imgtool.errors import InputError, NotFoundError
from imgtool.limits import DEFAULT, Limits
from imgtool.model.image import ImageRecord
from imgtool.model.upkeep import Verification

if TYPE_CHECKING:
    from imgtool.catalog.service import Catalog
    from imgtool.ingest.pump import Progress

#: What counts the bytes of an image while they are read.
Meters = Callable[[ImageRecord], "AbstractContextManager[Progress]"]


def verify(catalog: Catalog, called: str, progress: Progress | None) -> Verification:
    """See `Catalog.verify`."""
    from imgtool.catalog.data import readable

    return judged(read(catalog, readable(catalog, called, "verify_image"), progress))


def verify_all(catalog: Catalog, meters: Meters | None) -> Iterator[Verification]:
    """See `Catalog.verify_all`."""
    from imgtool.catalog.instance_upkeep import lost
    from imgtool.catalog.upkeep import strays

    catalog.access.require("verify_catalog", catalog.who)
    yield from unread(catalog)
    for kept in with_data(catalog):
        if kept.record.status == "deactivated" and not catalog.is_admin:
            looked = look(catalog, kept)
        elif meters is None:
            looked = read(catalog, kept, None)
        else:
            with meters(kept.record) as meter:
                looked = read(catalog, kept, meter)
        found = judged(looked)
        if found or _still(catalog, kept):
            yield found
    if left := (*strays(catalog), *lost(catalog, deep=True)):
        yield Verification(None, None, None, None, False, left)


def with_data(catalog: Catalog) -> list[Kept]:
    """Every image that should have data and whose row can be read, the oldest first."""
    wanted = Filters(status=tuple(sorted(WITH_DATA)))
    with catalog.database.read() as connection:
        return listing.list_images(connection, wanted, (Sort("created_at"),), damaged=[])


def unread(catalog: Catalog) -> tuple[Verification, ...]:
    """Images whose rows in the database cannot be read."""
    with catalog.database.read() as connection:
        found = images.unread(connection)
    return tuple(
        Verification(one.id, None, None, None, False, tuple(checks.record_damaged(one, DEFAULT))) for one in found
    )


def missing(catalog: Catalog) -> tuple[Verification, ...]:
    """Images whose row cannot be read, whose data is not there, or of another size, without reading it."""
    found = (judged(look(catalog, kept)) for kept in with_data(catalog))
    return (*unread(catalog), *(one for one in found if not one))


def look(catalog: Catalog, kept: Kept) -> Looked:
    """What the store has of an image, unread."""
    try:
        size = None if kept.blob is None else catalog.store.size(kept.blob)
    except InputError as error:
        return Looked(kept.record, None, kept.linked, problem=str(error))
    return Looked(kept.record, size, kept.linked)


def read(catalog: Catalog, kept: Kept, progress: Progress | None) -> Looked:
    """What the store has of an image, digested and inspected."""
    from imgtool.ingest.digests import ALGORITHMS
    from imgtool.ingest.pump import digest_source
    from imgtool.inspection.conductor import examine
    from imgtool.inspection.options import Options

    looked = Looked(kept.record, None, kept.linked)
    names = [name for name in ("md5", kept.record.os_hash_algo) if name in ALGORITHMS]
    if kept.blob is None:
        return looked
    try:
        with catalog.store.open(kept.blob) as source:
            looked = looked._replace(size=source.size)
            sums = digest_source(source, names, progress)
            return looked._replace(sums=sums, report=examine(source, kept.record.id, Options()))
    except NotFoundError:
        return looked
    except InputError as error:
        return looked._replace(problem=str(error))


def judged(looked: Looked, limits: Limits = DEFAULT) -> Verification:
    """What the rules say of an image."""
    record = looked.record
    found = tuple(one for rule in checks.OF_IMAGES for one in rule(looked, limits))
    return Verification(record.id, record.name, record.status, record.size, looked.sums is not None, found)


def _still(catalog: Catalog, kept: Kept) -> bool:
    """True where an image still has the data that was looked for: others may have deleted it meanwhile."""
    with catalog.database.read() as connection:
        now = images.get(connection, kept.record.id)
    return now.blob == kept.blob and now.record.status in WITH_DATA
