"""The rules of a catalog (CAT): where its records and its store disagree, and data that is not what was recorded.

Cost of each: what was looked at or read before; a rule reads nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from imgtool.catalog.damage import Damaged
from imgtool.findings.core import Finding, rule
from imgtool.limits import Limits
from imgtool.model.image import ImageRecord
from imgtool.model.report import Report
from imgtool.units import human_size


class Looked(NamedTuple):
    """An image whose data should be in the store, and what is there.

    size: bytes in the store, None where there are none. sums: digests as they are now, None where the data was not
    read. report: what the content is now. linked: others can write the data. problem: why it could not be read.
    """

    record: ImageRecord
    size: int | None
    linked: bool
    sums: Mapping[str, str] | None = None
    report: Report | None = None
    problem: str | None = None


class Stray(NamedTuple):
    """Something in the store, or a record, that a process left in the middle. what: an image's id or a blob's key."""

    what: str
    size: int = 0


@rule("CAT001", "data-missing", "error")
def data_missing(looked: Looked, limits: Limits) -> Iterator[Finding]:
    """An image's data is not in the store.

    What it checks: the record says that there is data, and the store has none under its key.

    Why it matters: the image cannot be saved, converted or started, and nothing here can bring it back.

    What to do: bring the store's folder back from a backup, or delete the image and create it anew. Look whether the
    catalog was given the right store (`imgtool config show`).
    """
    if looked.size is None and looked.problem is None:
        yield data_missing.at(f"{looked.record.size} bytes should be there, and are not")


@rule("CAT002", "data-without-owner", "warning")
def data_without_owner(stray: Stray, limits: Limits) -> Iterator[Finding]:
    """The store has data that no image owns.

    What it checks: a blob of the store is not the data of any record, and no process is bringing it.

    Why it matters: it takes space, and nobody can read or delete it.

    What to do: `imgtool catalog repair` removes it.
    """
    yield data_without_owner.at(f"{stray.what}: {human_size(stray.size)} that no image owns")


@rule("CAT003", "upload-abandoned", "warning")
def upload_abandoned(stray: Stray, limits: Limits) -> Iterator[Finding]:
    """The process of an upload is gone.

    What it checks: an image is `saving`, or the store has a half upload, and no process is at it any more.

    Why it matters: the image can be neither used nor uploaded anew, and what came of it takes space.

    What to do: `imgtool catalog repair` ends it; the image is `killed` then, and takes a fresh upload.
    """
    yield upload_abandoned.at(f"{stray.what}: no process is bringing its data any more")


@rule("CAT004", "deleted-data-left", "warning")
def deleted_data_left(stray: Stray, limits: Limits) -> Iterator[Finding]:
    """The data of a deleted image is still in the store.

    What it checks: an image is `deleted`, and its record says that its data is still to be removed.

    Why it matters: it takes space, and who deleted it takes it for gone.

    What to do: `imgtool catalog scrub` or `imgtool catalog repair` removes it; where that fails, its message says
    why.
    """
    yield deleted_data_left.at(f"{stray.what}: deleted, and {human_size(stray.size)} of it are still there")


@rule("CAT301", "data-size-differs", "error")
def data_size_differs(looked: Looked, limits: Limits) -> Iterator[Finding]:
    """An image's data has another size than its record says.

    What it checks: the bytes that the store has are as many as were recorded when the image became active.

    Why it matters: the data was cut off, or written to; it is not what was validated.

    What to do: bring the blob back from a backup, or delete the image and create it anew from its source.
    """
    if not looked.linked and looked.size is not None and looked.size != looked.record.size:
        yield data_size_differs.at(f"{looked.size} bytes are there, {looked.record.size} were recorded")


@rule("CAT302", "data-digest-differs", "error")
def data_digest_differs(looked: Looked, limits: Limits) -> Iterator[Finding]:
    """An image's data has another digest than its record says.

    What it checks: the data, read anew, has both digests that were recorded when the image became active.

    Why it matters: a disk or a memory lost bits, or somebody wrote to the store; the data is not what was validated.
    `image save` refuses it.

    What to do: bring the blob back from a backup, or delete the image and create it anew from its source; look at the
    disk that the store lies on.
    """
    if looked.linked or looked.sums is None or looked.size != looked.record.size:
        return
    if names := _differing(looked):
        yield data_digest_differs.at(f"{' and '.join(names)} differ from what was recorded")


@rule("CAT303", "linked-file-changed", "error")
def linked_file_changed(looked: Looked, limits: Limits) -> Iterator[Finding]:
    """A file that an image shares with others was changed.

    What it checks: an image that was imported by link has the size and the digests that were recorded.

    Why it matters: such an image is a second name of a file that stays where it was, and whoever can write that file
    writes the image; what is there now was not validated.

    What to do: put the file back as it was, or create the image anew by `--import copy`.
    """
    if not looked.linked or looked.size is None:
        return
    if looked.size != looked.record.size:
        yield linked_file_changed.at(f"it has {looked.size} bytes now, and had {looked.record.size}")
    elif looked.sums is not None and (names := _differing(looked)):
        yield linked_file_changed.at(f"{' and '.join(names)} differ from what was recorded")


@rule("CAT304", "record-contradicts-content", "error")
def record_contradicts_content(looked: Looked, limits: Limits) -> Iterator[Finding]:
    """The record says something else of the data than the data itself.

    What it checks: the formats and the virtual size of the record are those that an inspection of the data finds now.
    It is asked where the bytes are the recorded ones.

    Why it matters: the record was changed in the database, or this version of imgtool sees more than the one that
    validated the image. A program that believes the record may open the data as something that it is not.

    What to do: look at both (`imgtool image show`, `imgtool image show --report`); create the image anew.
    """
    record, report = looked.record, looked.report
    if report is None or looked.sums is None or looked.size != record.size or _differing(looked):
        return
    from imgtool.model.verdict import Claims
    from imgtool.policy.asked import Asked
    from imgtool.policy.builtin import builtin
    from imgtool.policy.checks import container_format_differs, disk_format_differs

    asked = Asked(report, builtin("default"), Claims(record.disk_format, record.container_format))
    for check in (disk_format_differs, container_format_differs):
        for found in check(asked, limits):
            yield record_contradicts_content.at(found.message.replace("claimed", "recorded", 1), field=found.field)
    if record.virtual_size != report.virtual_size:
        told = f"recorded {record.virtual_size}, the content has {report.virtual_size}"
        yield record_contradicts_content.at(told, field="virtual_size")


@rule("CAT305", "data-unreadable", "error")
def data_unreadable(looked: Looked, limits: Limits) -> Iterator[Finding]:
    """An image's data cannot be read.

    What it checks: the data is a regular file that can be opened and read to its end.

    Why it matters: the image cannot be used; a failing disk takes others as well.

    What to do: look at the message: permissions of the store's folder, the disk it lies on, something else under the
    blob's name.
    """
    if looked.problem is not None:
        yield data_unreadable.at(looked.problem)


@rule("CAT308", "record-damaged", "error")
def record_damaged(damaged: Damaged, limits: Limits) -> Iterator[Finding]:
    """The row of an image or of an instance in the database cannot be read.

    What it checks: every field of the row is of the type, and among the values, that its table has; ids are UUIDs in
    small letters; an image whose status goes with data has that of its last upload, and no other has any.

    Why it matters: the image or the instance cannot be used, and its data is left alone until the row can be read.

    What to do: bring the database back from a backup, or put the field right by hand; look at the disk that it lies
    on.
    """
    yield record_damaged.at(damaged.why)


OF_IMAGES = (
    data_missing,
    data_size_differs,
    data_digest_differs,
    linked_file_changed,
    record_contradicts_content,
    data_unreadable,
)
RULES = (*OF_IMAGES, data_without_owner, upload_abandoned, deleted_data_left, record_damaged)


def _differing(looked: Looked) -> list[str]:
    """The algorithms whose digest is not the recorded one."""
    record, sums = looked.record, looked.sums or {}
    recorded = (("md5", record.checksum), (record.os_hash_algo, record.os_hash_value))
    return [name for name, digits in recorded if name is not None and sums.get(name) != digits]
