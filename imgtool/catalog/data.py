"""The data of images: how it comes in, and who may read it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from imgtool.catalog import images, moves
from imgtool.catalog.images import Kept, New
from imgtool.catalog.intake import Asked, take_in
from imgtool.catalog.moves import Stored
from imgtool.catalog.status import refusal
from imgtool.catalog.store import Import, Upload, blob_key
from imgtool.catalog.tables import MOST
from imgtool.conversion.deferred import deferred
from imgtool.errors import (
    ImgtoolError,
    InputError,
    NotFoundError,
    OutputError,
    RefusedError,
    RejectedError,
    UsageError,
)
from imgtool.ingest.digests import algorithm, parse_expected
from imgtool.inspection.api import Input, open_input
from imgtool.inspection.validate import policy_named
from imgtool.model.image import ImageRecord
from imgtool.model.verdict import Claims, Verdict
from imgtool.policy.policy import Policy
from imgtool.render.escape import terminal
from imgtool.sources.base import Source

if TYPE_CHECKING:
    from imgtool.catalog.access import Action
    from imgtool.catalog.service import Catalog
    from imgtool.ingest.pump import Progress

#: Is told the record of an upload when that was reserved, and when its bytes begin to come.
Begun = Callable[[ImageRecord], None]

MD5, SHA512 = "md5", "sha512"
_GIB, _MIB = 1 << 30, 1 << 20


def create(
    catalog: Catalog,
    new: New,
    given: Input,
    how: str,
    policy: str | os.PathLike[str] | Policy | None,
    expect: Iterable[str],
    checksums: Iterable[str],
    progress: Progress | None,
    begun: Begun | None,
) -> ImageRecord:
    """See `Catalog.create`."""
    asked = _asked(catalog, given, how, policy, expect, checksums)
    record = catalog.reserve(new, size=_size_of(given))
    if begun is not None:
        begun(record)
    return _upload(catalog, record.id, given, asked, progress, begun)


def upload(
    catalog: Catalog,
    called: str,
    given: Input,
    how: str,
    policy: str | os.PathLike[str] | Policy | None,
    expect: Iterable[str],
    checksums: Iterable[str],
    progress: Progress | None,
    begun: Begun | None,
) -> ImageRecord:
    """See `Catalog.upload`."""
    asked = _asked(catalog, given, how, policy, expect, checksums)
    return _upload(catalog, called, given, asked, progress, begun)


def take_over(
    catalog: Catalog,
    identifier: str,
    source: Source,
    expect: Iterable[str],
    quarantine: str | None,
    progress: Progress | None,
) -> ImageRecord:
    """Bring what another catalog had into an image. `quarantine`: why it is deactivated as soon as it is there, and
    never active for others. Raises as `Catalog.upload`."""
    asked = _asked(catalog, source, "copy", None, expect, ())._replace(quarantine=quarantine, sized=False)
    return _upload(catalog, identifier, source, asked, progress, None)


def register(catalog: Catalog, new: New, path: str, quarantine: str | None, progress: Progress | None) -> ImageRecord:
    """Move a file that the catalog made itself into a new image. `quarantine`: as `take_over`. Raises as
    `Catalog.create`."""
    asked = _asked(catalog, path, "move", None, (), (), own=True)._replace(quarantine=quarantine, sized=False)
    return _upload(catalog, catalog.reserve(new, size=_size_of(path)).id, path, asked, progress, None)


def _asked(
    catalog: Catalog,
    given: Input | Source,
    how: str,
    policy: str | os.PathLike[str] | Policy | None,
    expect: Iterable[str],
    checksums: Iterable[str],
    *,
    own: bool = False,
) -> Asked:
    """How bytes are to be taken in; what is wrong with that is told before anything is begun. `own`: the catalog's
    own files may be moved, too.

    Raises UsageError, InputError for a file that cannot be read, RefusedError for a store of another catalog.
    """
    if how not in ("copy", "move", "link"):
        raise UsageError(f"an image is imported by copy, move or link, not by {how!r}")
    if isinstance(given, (str, os.PathLike)):
        open_input(given).close()
        if how == "move" and not own and _own(catalog, os.fsdecode(given)):
            raise UsageError(f"{os.fsdecode(given)}: is the catalog's own, and cannot be moved; it can be copied")
    elif how != "copy":
        raise UsageError(f"a stream cannot be imported by {how}: a path is needed")
    catalog.own_store()
    expected = tuple(parse_expected(text) for text in expect)
    names = (MD5, SHA512, *(name for name, _ in expected), *(algorithm(name) for name in checksums))
    claims = Claims(expect=tuple(f"{name}:{digits}" for name, digits in expected))
    unique = tuple(dict.fromkeys(names))
    return Asked(site_policy(catalog, policy), claims, unique, cast("Import", how), catalog.config.image_size)


def _upload(
    catalog: Catalog,
    called: str,
    given: Input | Source,
    asked: Asked,
    progress: Progress | None,
    tell: Begun | None,
) -> ImageRecord:
    with catalog.database.read() as connection:
        kept = catalog.named(connection, called, "upload_image")
    key = blob_key(kept.record.id, kept.attempt + 1)
    path = os.fsdecode(given) if asked.how == "move" and isinstance(given, (str, os.PathLike)) else None
    before = _identity(path) if path is not None else None
    verdict: Verdict | None = None
    with _claimed(catalog, kept, key) as claim, deferred() as heed:  # a signal waits until what it ends is told
        begun, room = _begin(catalog, kept, _size_of(given))
        try:
            heed()
            asked = asked._replace(claims=_claims(begun.record, asked), room=room)
            if tell is not None:
                tell(begun.record)
            verdict = take_in(claim, given, asked, progress)
            record = _finish(catalog, begun, claim, verdict, asked.quarantine)
        except BaseException as error:
            _failed(catalog, begun, key, error, verdict)
            raise
    if path is not None:
        _moved(path, before)
        if claim.linked and not catalog.store.linked(key):
            with catalog.database.write() as connection:
                moves.unlinked(connection, record.id, key)
    return record


def _claimed(catalog: Catalog, kept: Kept, key: str) -> Upload:
    """The claim of an upload. Raises RefusedError; by the image's status where another one came first and is done."""
    try:
        return catalog.store.begin(key)
    except RefusedError:
        with catalog.database.read() as connection:
            record = images.get(connection, kept.record.id).record
        if record.status in ("queued", "saving", "killed"):
            raise
        raise refusal("upload", record.id, record.status) from None


def _size_of(given: Input | Source) -> int:
    """Bytes that are to come; 1 where that is not known. Raises InputError."""
    if isinstance(given, Source):
        return given.size
    if not isinstance(given, (str, os.PathLike)):
        return 1
    try:
        return os.stat(given).st_size
    except OSError as error:
        raise InputError(f"{os.fsdecode(given)}: {error.strerror}") from error


def _begin(catalog: Catalog, kept: Kept, size: int) -> tuple[Kept, int | None]:
    """queued → saving, where there is room for `size` bytes, and how many there is room for; an image whose upload
    failed is queued anew before."""
    who, record = str(catalog.who), kept.record
    with catalog.database.write() as connection:
        catalog.room_for(connection, record.owner, size=size)
        room = catalog.room_left(connection, record.owner)
        if record.status == "killed":
            moves.requeue(connection, record.id, who)
        images.drop_verdict(connection, record.id)
        return moves.begin_upload(connection, record.id, kept.attempt + 1, who), room


def _finish(catalog: Catalog, begun: Kept, claim: Upload, verdict: Verdict, quarantine: str | None) -> ImageRecord:
    """saving → active, with what came, or RejectedError."""
    identifier, who = begun.record.id, str(catalog.who)
    stored = _stored(verdict, begun.record, claim)
    text = json_of(verdict)
    claim.commit()
    with catalog.database.write() as connection:
        owner = images.get(connection, identifier).record.owner  # which may be another one by now
        catalog.room_for(connection, owner, size=stored.size)
        kept = moves.finish_upload(connection, identifier, begun.attempt, stored, who)
        images.keep_verdict(connection, identifier, text)
        if quarantine is not None:
            kept = moves.deactivate(connection, identifier, who, quarantine)
        return kept.record


def _failed(catalog: Catalog, begun: Kept, key: str, error: BaseException, verdict: Verdict | None) -> None:
    """saving → killed, with the verdict of what was rejected, and what was committed goes; where another upload took
    over, only that. What fails here as well is left to the repair."""
    told = terminal(str(error)) if isinstance(error, ImgtoolError) else f"broken off ({type(error).__name__})"
    with suppress(ImgtoolError), catalog.database.write() as connection:
        moves.fail_upload(connection, begun.record.id, begun.attempt, str(catalog.who), told)
        if verdict is not None and isinstance(error, RejectedError):
            images.keep_verdict(connection, begun.record.id, json_of(verdict))
    with suppress(ImgtoolError), catalog.database.read() as connection:
        if images.get(connection, begun.record.id).blob != key:
            catalog.store.delete(key)


def _own(catalog: Catalog, path: str) -> bool:
    """True for a file of the catalog itself: its database, data of the store's, or disks of instances."""
    place = catalog.store.place
    inside = (os.path.join(place, name) for name in ("blobs", "uploads", "instances"))
    folders = (place, *inside, catalog.database.folder)
    return os.path.dirname(os.path.realpath(path)) in {os.path.realpath(one) for one in folders if one is not None}


def _identity(path: str) -> tuple[int, ...] | None:
    """What tells a file from another, or from what it was; of a link, of itself. None where nothing is there."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _moved(path: str, before: tuple[int, ...] | None) -> None:
    """Remove a file that the store has now, but not one that took its place. Raises OutputError."""
    now = _identity(path)
    if now is None:
        return
    if now != before:
        raise OutputError(f"{path}: the image has what was there, but that has changed since, and stays")
    try:
        os.unlink(path)
    except OSError as error:
        raise OutputError(f"{path}: the image has it now, and it could not be removed: {error.strerror}") from error


def _stored(verdict: Verdict, record: ImageRecord, claim: Upload) -> Stored:
    """What a record has of data that came. Raises RejectedError where it may not have it."""
    if not verdict.accepted:
        raise RejectedError(_rejection(verdict), verdict.findings)
    report = verdict.report
    disk = record.disk_format or report.format
    container = record.container_format or report.container_format
    if disk is None or container is None:
        raise RejectedError("no format was found that this could be registered as", verdict.findings)
    if report.virtual_size is not None and report.virtual_size > MOST:
        raise RejectedError(
            f"the virtual size of {report.virtual_size} bytes is more than a record can hold ({MOST})",
            verdict.findings,
        )
    sums = report.checksums
    return Stored(
        claim.key,
        claim.size,
        report.virtual_size,
        sums[MD5],
        SHA512,
        sums[SHA512],
        disk,
        container,
        claim.linked,
    )


def _claims(record: ImageRecord, asked: Asked) -> Claims:
    """What was said of an image when it was reserved, as validation wants it: bytes."""
    return Claims(
        record.disk_format,
        record.container_format,
        record.min_disk * _GIB or None if asked.sized else None,
        record.min_ram * _MIB or None if asked.sized else None,
        None,
        asked.claims.expect,
    )


def _rejection(verdict: Verdict) -> str:
    """Why, in one line: the worst finding, and how many there are besides."""
    if not verdict.findings:
        return f"the policy {verdict.policy} does not let it through: not everything in it could be seen"
    first, more = verdict.findings[0], len(verdict.findings) - 1
    return f"{first.code} {first.name}: {first.message}" + (f" (and {more} more)" if more else "")


def site_policy(catalog: Catalog, named: str | os.PathLike[str] | Policy | None) -> Policy:
    """The policy that data must pass: the one named, else the catalog's, within what the configuration allows.

    Raises UsageError.
    """
    config = catalog.config
    policy = policy_named(config.policy if named is None else named)
    return policy._replace(
        disk_formats=_both(policy.disk_formats, config.disk_formats),
        container_formats=_both(policy.container_formats, config.container_formats),
        virtual_size=_least(policy.virtual_size, config.virtual_size),
        file_size=_least(policy.file_size, config.image_size),
    )


def _both(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if one is None or other is None:
        return other if one is None else one
    return tuple(name for name in one if name in other)


def _least(one: int | None, other: int | None) -> int | None:
    return min((size for size in (one, other) if size is not None), default=None)


def json_of(verdict: Verdict) -> str:
    """A verdict as it is kept."""
    import json

    return json.dumps(verdict.to_dict(), ensure_ascii=False, separators=(",", ":"))


def readable(catalog: Catalog, called: str, action: Action = "download_image") -> Kept:
    """An image whose data may be read. Raises NotFoundError, UsageError, RefusedError without data, without access,
    and for a deactivated image where no administrator asks."""
    with catalog.database.read() as connection:
        kept = catalog.named(connection, called, action)
    record = kept.record
    if record.status == "deactivated" and not catalog.is_admin:
        raise RefusedError(f"image {called} is deactivated: only an administrator reads its data")
    if kept.blob is None or record.status not in ("active", "deactivated"):
        raise RefusedError(f"image {called} is {record.status}: there is no data to read")
    return kept


def opened(catalog: Catalog, called: str, action: Action = "download_image") -> tuple[Kept, Source]:
    """An image and its data to read. Raises as `readable`, InputError."""
    kept = readable(catalog, called, action)
    if kept.blob is None:
        raise RefusedError(f"image {called}: there is no data to read")
    try:
        return kept, catalog.store.open(kept.blob)
    except NotFoundError:
        readable(catalog, called, action)  # it may have been deleted since, and that is what is told then
        raise
