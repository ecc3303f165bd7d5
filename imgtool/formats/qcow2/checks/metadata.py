"""qcow2, 03x and 04x: snapshots and bitmaps. Cost of each: what the reader lists of them."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.qcow2 import layout as lay
from imgtool.formats.qcow2.checks.structure import misplaced
from imgtool.formats.qcow2.facts import Bitmap, Qcow2Facts
from imgtool.limits import Limits


@rule("QCW012", "qcow2-snapshot-table-misplaced", "error")
def snapshot_table(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """The snapshot table is misaligned, outside the file, or has too many entries.

    What it checks: where nb_snapshots is not 0: at most 65,536 of them (`limits.qcow2_snapshots`), at an
    offset that is a multiple of the cluster size, not 0 and inside the file.

    Why it matters: a reader that trusts the count allocates without bound (CVE-2014-0145).

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/qcow2, section "Snapshots".
    """
    if not facts.nb_snapshots or not facts.cluster_size:
        return
    if facts.nb_snapshots > limits.qcow2_snapshots:
        message = f"nb_snapshots is {facts.nb_snapshots}, at most {limits.qcow2_snapshots} is allowed"
        yield snapshot_table.at(message, field="nb_snapshots", offset=60, length=4)
    fault = misplaced(facts, facts.snapshots_offset, facts.nb_snapshots * lay.SNAPSHOT_ENTRY.size)
    if fault:
        yield snapshot_table.at(f"snapshot table {fault}", field="snapshots_offset", offset=64, length=8)


@rule("QCW030", "qcow2-snapshots-present", "warning")
def snapshots_present(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """The image carries internal snapshots.

    What it checks: nb_snapshots is 0.

    Why it matters: snapshots hold old data of the guest: deleted files, keys, memory. Whoever gets the image
    gets them too.

    What to do: `qemu-img convert` leaves them out; `qemu-img snapshot -d` deletes one.

    References: QEMU docs/interop/qcow2, section "Snapshots".
    """
    if facts.nb_snapshots:
        names = _named([snapshot.name for snapshot in facts.snapshots], facts.nb_snapshots)
        message = f"{facts.nb_snapshots} snapshots{names}"
        yield snapshots_present.at(message, field="nb_snapshots", offset=60, length=4)


@rule("QCW031", "qcow2-snapshot-extra-data-short", "warning")
def snapshot_extra(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """A snapshot of a version 3 image lacks data that version 3 requires.

    What it checks: in version 3 the extra data of each snapshot has at least 16 bytes (the full size of the VM
    state and the disk's size then).

    Why it matters: the size of the disk in the snapshot has to be guessed; after a resize the guess is wrong.

    What to do: `qemu-img check -r all` writes the table anew.

    References: QEMU docs/interop/qcow2, section "Snapshots".
    """
    for snapshot in facts.snapshots:
        if facts.version >= 3 and snapshot.extra_data_size < lay.SNAPSHOT_EXTRA.size:
            message = (
                f"snapshot {snapshot.name!r} has {snapshot.extra_data_size} bytes of extra data, 16 are required"
            )
            yield snapshot_extra.at(message, field="extra_data_size", offset=snapshot.entry_offset + 36, length=4)


@rule("QCW032", "qcow2-snapshot-l1-table-misplaced", "error")
def snapshot_l1_table(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """The L1 table of a snapshot is misaligned, outside the file, or over its cap.

    What it checks: where a snapshot's l1_size is not 0: its table is at most 32 MiB (`limits.qcow2_l1_table`),
    at an offset that is a multiple of the cluster size, not 0, and ends inside the file.

    Why it matters: deleting or loading the snapshot reads and writes there (CVE-2014-0143, CVE-2014-0145).

    What to do: take a fresh copy of the image, or convert it (which leaves snapshots out).

    References: QEMU docs/interop/qcow2, section "Snapshots".
    """
    for snapshot in facts.snapshots:
        size = snapshot.l1_size * 8
        fault = misplaced(facts, snapshot.l1_table_offset, size) if size else None
        if size > limits.qcow2_l1_table:
            fault = f"of {size} bytes is over the cap of {limits.qcow2_l1_table}"
        if fault:
            message = f"snapshot {snapshot.name!r}: L1 table {fault}"
            yield snapshot_l1_table.at(message, field="l1_table_offset", offset=snapshot.entry_offset, length=12)


@rule("QCW033", "qcow2-snapshots-with-data-file", "error")
def snapshots_elsewhere(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """The image has internal snapshots though its data lies in a data file.

    What it checks: nb_snapshots is 0 where incompatible bit 2 (external data file) is set.

    Why it matters: no cluster of the data file can be shared with a snapshot: what the snapshot holds has been
    overwritten.

    What to do: `qemu-img convert` leaves snapshots out.

    References: QEMU docs/interop/qcow2, section "Header", incompatible_features.
    """
    if facts.nb_snapshots and "external-data-file" in facts.incompatible_features:
        message = f"{facts.nb_snapshots} snapshots in an image with a data file"
        yield snapshots_elsewhere.at(message, field="nb_snapshots", offset=60, length=4)


@rule("QCW040", "qcow2-bitmaps-present", "note")
def bitmaps_present(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """The image carries persistent dirty bitmaps.

    What it checks: the bitmaps extension is not there.

    Why it matters: backup programs keep them to know what changed; nobody else needs them.

    What to do: nothing; `qemu-img convert` leaves them out.

    References: QEMU docs/interop/qcow2, section "Bitmaps extension".
    """
    if facts.bitmaps_extension is not None:
        count = facts.bitmaps_extension.nb_bitmaps
        message = f"{count} bitmaps{_named([bitmap.name for bitmap in facts.bitmaps], count)}"
        yield bitmaps_present.at(message, field="bitmaps", offset=_extension_offset(facts))


@rule("QCW041", "qcow2-bitmaps-stale", "warning")
def bitmaps_stale(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """The bitmaps no longer describe the image.

    What it checks: autoclear feature bit 0 (bitmaps) is set where the bitmaps extension is there.

    Why it matters: a program that does not know bitmaps wrote to the image: they are inconsistent, and the
    clusters that they take up are lost.

    What to do: make a full backup anew; `qemu-img convert` leaves the remains out.

    References: QEMU docs/interop/qcow2, section "Header", autoclear_features.
    """
    if facts.bitmaps_extension is not None and "bitmaps" not in facts.autoclear_features:
        message = "the bitmaps extension is there and autoclear bit 0 is clear: the bitmaps are inconsistent"
        yield bitmaps_stale.at(message, field="autoclear_features", offset=88, length=8)


@rule("QCW042", "qcow2-bitmap-directory-misplaced", "error")
def bitmap_directory(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """The bitmap directory is misaligned, outside the file, or over its caps.

    What it checks: where the bitmaps are consistent (autoclear bit 0): 1 to 65,535 of them, a reserved field of
    0, a directory of at most 65,535 × 1,024 bytes (`limits.qcow2_bitmap_directory`) and at least 24 for each,
    at a multiple of the cluster size, not 0, that ends inside the file.

    Why it matters: a reader that trusts these numbers allocates without bound or reads what is not there.

    What to do: take a fresh copy of the image, or convert it (which leaves bitmaps out).

    References: QEMU docs/interop/qcow2, section "Bitmaps extension".
    """
    extension = facts.bitmaps_extension
    if extension is None or "bitmaps" not in facts.autoclear_features:
        return
    at = _extension_offset(facts)
    count, size = extension.nb_bitmaps, extension.bitmap_directory_size
    if not 1 <= count <= limits.qcow2_bitmaps:
        yield bitmap_directory.at(f"nb_bitmaps is {count}", field="nb_bitmaps", offset=at, length=24)
    if extension.reserved:
        message = f"the reserved field is {extension.reserved}, not 0"
        yield bitmap_directory.at(message, field="reserved", offset=at, length=24)
    if not count * lay.BITMAP_ENTRY.size <= size <= limits.qcow2_bitmap_directory:
        message = f"bitmap directory of {size} bytes for {count} bitmaps"
        yield bitmap_directory.at(message, field="bitmap_directory_size", offset=at, length=24)
        return
    fault = misplaced(facts, extension.bitmap_directory_offset, size)
    if fault:
        message = f"bitmap directory {fault}"
        yield bitmap_directory.at(message, field="bitmap_directory_offset", offset=at, length=24)


@rule("QCW043", "qcow2-bitmap-malformed", "error")
def bitmap_entry(facts: Qcow2Facts, limits: Limits) -> Iterator[Finding]:
    """An entry of the bitmap directory does not hold.

    What it checks: type 1, only known flags, granularity bits 9 to 31, a name of 1 to 1,023 bytes that no other
    bitmap has, a table of 1 to 2^27 entries at a multiple of the cluster size that ends inside the file.

    Why it matters: a backup made with it would miss changes, or the image does not open at all.

    What to do: remove it (`qemu-img bitmap --remove`) or convert the image, and make a full backup.

    References: QEMU docs/interop/qcow2, section "Bitmap directory".
    """
    seen: set[str] = set()
    for bitmap in facts.bitmaps:
        for fault in _bitmap_faults(facts, bitmap):
            message = f"bitmap {bitmap.name!r}: {fault}"
            yield bitmap_entry.at(message, field="bitmaps", offset=bitmap.entry_offset, length=24)
        if bitmap.name in seen:
            message = f"bitmap {bitmap.name!r}: its name is there twice"
            yield bitmap_entry.at(message, field="bitmaps", offset=bitmap.entry_offset, length=24)
        seen.add(bitmap.name)


def _bitmap_faults(facts: Qcow2Facts, bitmap: Bitmap) -> Iterator[str]:
    if bitmap.type not in lay.BITMAP_TYPES.values():
        yield f"type {bitmap.type}"
    unknown = [flag for flag in bitmap.flags if flag not in lay.BITMAP_FLAGS.values()]
    if unknown:
        yield f"flags {', '.join(unknown)}"
    if not lay.MIN_GRANULARITY_BITS <= bitmap.granularity_bits <= lay.MAX_GRANULARITY_BITS:
        yield f"granularity bits are {bitmap.granularity_bits}"
    if not 1 <= bitmap.name_size <= lay.MAX_BITMAP_NAME:
        yield f"a name of {bitmap.name_size} bytes"
    if not 1 <= bitmap.table_size <= lay.MAX_BITMAP_TABLE:
        yield f"a table of {bitmap.table_size} entries"
    elif fault := misplaced(facts, bitmap.table_offset, bitmap.table_size * 8):
        yield f"its table {fault}"


def _named(names: list[str], count: int) -> str:
    """The first names of `count` things, for a message."""
    shown = [repr(name) for name in names[:5]] + (["…"] if count > 5 else [])
    return f": {', '.join(shown)}" if names else ""


def _extension_offset(facts: Qcow2Facts) -> int | None:
    return next((one.offset for one in facts.extensions if one.type == lay.EXT_BITMAPS), None)


METADATA = (
    snapshot_table,
    snapshots_present,
    snapshot_extra,
    snapshot_l1_table,
    snapshots_elsewhere,
    bitmaps_present,
    bitmaps_stale,
    bitmap_directory,
    bitmap_entry,
)
