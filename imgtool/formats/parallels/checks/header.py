"""Parallels (ploop), 00x, 01x and 3xx: header and extension. Cost of each: these alone."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.parallels import layout as lay
from imgtool.formats.parallels.facts import ParallelsFacts
from imgtool.formats.parallels.reader import table_end
from imgtool.limits import Limits
from imgtool.units import SECTOR, is_power_of_two


@rule("PAR001", "parallels-bad-version", "error")
def bad_version(facts: ParallelsFacts, limits: Limits) -> Iterator[Finding]:
    """The version is not 2.

    What it checks: the version field is 2, the only one there is.

    Why it matters: no reader can know what the rest of the header means.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/parallels, section "Header".
    """
    if facts.version != lay.VERSION:
        message = f"version is {facts.version}, known is {lay.VERSION}"
        yield bad_version.at(message, field="version", offset=16, length=4)


@rule("PAR002", "parallels-bad-cluster-size", "error")
def bad_cluster_size(facts: ParallelsFacts, limits: Limits) -> Iterator[Finding]:
    """The cluster size is 0 or over its cap.

    What it checks: tracks, the cluster size in sectors, is 1 to `limits.parallels_tracks`.

    Why it matters: readers divide by it, and allocate by it (CVE-2014-0142, CVE-2014-0143).

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/parallels, section "Header".
    """
    tracks = facts.header.tracks
    if not 1 <= tracks <= limits.parallels_tracks:
        message = f"tracks is {tracks}, 1 to {limits.parallels_tracks} is allowed"
        yield bad_cluster_size.at(message, field="tracks", offset=28, length=4)


@rule("PAR003", "parallels-bat-too-small", "error")
def bat_too_small(facts: ParallelsFacts, limits: Limits) -> Iterator[Finding]:
    """The block allocation table has too few entries for the disk.

    What it checks: nb_bat_entries clusters are at least as large as the disk.

    Why it matters: the end of the disk has no place in the file, and a reader that trusts the size reads
    past its table.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/parallels, section "Header".
    """
    room = facts.bat_entries * facts.cluster_size
    if facts.cluster_size and (facts.virtual_size or 0) > room:
        message = f"{facts.bat_entries} entries map {room} bytes, the disk has {facts.virtual_size}"
        yield bat_too_small.at(message, field="nb_bat_entries", offset=32, length=4)


@rule("PAR004", "parallels-bat-misplaced", "error")
def bat_misplaced(facts: ParallelsFacts, limits: Limits) -> Iterator[Finding]:
    """The block allocation table is over its cap, or does not end inside the file.

    What it checks: it has at most `limits.parallels_bat_entries` entries, and all of them lie in the file.

    Why it matters: a reader that trusts the count allocates without bound (CVE-2014-0143).

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/parallels, section "BAT".
    """
    end = table_end(facts.header)
    if facts.bat_entries > limits.parallels_bat_entries:
        message = f"{facts.bat_entries} entries are over the cap of {limits.parallels_bat_entries}"
        yield bat_misplaced.at(message, field="nb_bat_entries", offset=32, length=4)
    if end > facts.file_size:
        message = f"the block allocation table ends at {end}, the file at {facts.file_size}"
        yield bat_misplaced.at(message, field="nb_bat_entries", offset=32, length=4)


@rule("PAR005", "parallels-data-area-misplaced", "error")
def data_misplaced(facts: ParallelsFacts, limits: Limits) -> Iterator[Finding]:
    """The data area does not begin after the table, where its magic says it may.

    What it checks: data_off is at or after the end of the block allocation table; with the magic
    "WithouFreSpacExt" it is not 0 and a multiple of the cluster size.

    Why it matters: writing the first cluster would overwrite the table.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/parallels, section "Header", data_off.
    """
    stored, end = facts.header.data_off, table_end(facts.header)
    fault = None
    if stored and facts.data_offset < end:
        fault = f"begins before the block allocation table ends at {end}"
    elif facts.extended and not stored:
        fault = "is not given"
    elif facts.extended and facts.header.tracks and stored % facts.header.tracks:
        fault = f"is not on a cluster of {facts.cluster_size} bytes"
    if fault:
        message = f"the data area (sector {stored}) {fault}"
        yield data_misplaced.at(message, field="data_off", offset=48, length=4)


@rule("PAR006", "parallels-readers-disagree-on-size", "warning")
def size_high_bits(facts: ParallelsFacts, limits: Limits) -> Iterator[Finding]:
    """The upper half of the size is set where only the lower half counts.

    What it checks: with the magic "WithoutFreeSpace" the upper 4 bytes of nb_sectors are 0.

    Why it matters: one program takes 4 bytes as the size, another 8: they show two different disks.

    What to do: convert the image with the program that made it.

    References: QEMU docs/interop/parallels, section "Header", nb_sectors.
    """
    sectors = facts.header.nb_sectors
    if not facts.extended and sectors >> 32:
        message = f"the size is {facts.virtual_size} bytes by 4 bytes of nb_sectors, {sectors * SECTOR} by 8"
        yield size_high_bits.at(message, field="nb_sectors", offset=36, length=8)


@rule("PAR007", "parallels-unknown-flag", "warning")
def unknown_flag(facts: ParallelsFacts, limits: Limits) -> Iterator[Finding]:
    """A flag is set that no specification names.

    What it checks: of flags only bit 0 (empty image) is set.

    Why it matters: nobody knows what it stands for.

    What to do: nothing, if you know what wrote it; else convert the image.

    References: QEMU docs/interop/parallels, section "Header", flags.
    """
    unknown = [name for name in facts.flags if name.startswith("unknown-")]
    if unknown:
        yield unknown_flag.at(f"flags {', '.join(unknown)} are set", field="flags", offset=52, length=4)


@rule("PAR008", "parallels-marked-in-use", "warning")
def marked_in_use(facts: ParallelsFacts, limits: Limits) -> Iterator[Finding]:
    """The image was not closed cleanly, or is open right now.

    What it checks: the in-use mark is not "Ynot" (0x746F6E59).

    Why it matters: its table may be inconsistent; QEMU refuses to write to it before it is repaired.

    What to do: close what uses it; else `qemu-img check -r all IMAGE` on a copy.

    References: QEMU docs/interop/parallels, section "Header", in_use.
    """
    if facts.dirty:
        message = "the image is marked as in use"
        yield marked_in_use.at(message, field="in_use", offset=44, length=4)


@rule("PAR009", "parallels-unknown-in-use-mark", "warning")
def unknown_mark(facts: ParallelsFacts, limits: Limits) -> Iterator[Finding]:
    """The in-use mark has a value that is not allowed.

    What it checks: the mark is 0x746F6E59 (open), 0x312E3276 (closed) or 0 (written by old software).

    Why it matters: one program takes the image for closed, another for open.

    What to do: `qemu-img check` on a copy tells whether its table is consistent.

    References: QEMU docs/interop/parallels, section "Header", in_use.
    """
    if facts.in_use.startswith("unknown-"):
        message = f"the in-use mark is {facts.in_use.removeprefix('unknown-')}"
        yield unknown_mark.at(message, field="in_use", offset=44, length=4)


@rule("PAR010", "parallels-extension-misplaced", "error")
def extension_misplaced(facts: ParallelsFacts, limits: Limits) -> Iterator[Finding]:
    """The format extension does not lie on a cluster of the data area.

    What it checks: where ext_off is not 0: it is not before the data area and a whole number of clusters
    after its begin, inside the file.

    Why it matters: bytes of the table or of the guest would be read as dirty bitmaps.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU docs/interop/parallels, sections "Header" and "BAT".
    """
    at, start = facts.extension_offset, facts.data_offset
    if not at or not facts.cluster_size:
        return
    if at < start or (at - start) % facts.cluster_size or at >= facts.file_size:
        message = f"the format extension at {at} is not on a cluster of the data area, which begins at {start}"
        yield extension_misplaced.at(message, field="ext_off", offset=56, length=8)


@rule("PAR011", "parallels-unknown-necessary-feature", "error")
def unknown_feature(facts: ParallelsFacts, limits: Limits) -> Iterator[Finding]:
    """The format extension has a feature that a reader must know, and no specification names it.

    What it checks: no unknown feature is flagged necessary.

    Why it matters: an image with such a feature must not be changed.

    What to do: convert the image with the program that made it.

    References: QEMU docs/interop/parallels, section "Format Extension".
    """
    for feature in facts.extension.features if facts.extension else ():
        if feature.name.startswith("unknown-") and "necessary" in feature.flags:
            yield unknown_feature.at(f"feature {feature.name} is flagged necessary", offset=feature.offset - 24)


@rule("PAR012", "parallels-bad-dirty-bitmap", "error")
def bad_bitmap(facts: ParallelsFacts, limits: Limits) -> Iterator[Finding]:
    """A dirty bitmap does not fit the disk.

    What it checks: its size is the disk's, its granularity a power of two, and its table inside its feature.

    Why it matters: backups made by it would leave out changed data.

    What to do: remove the bitmap and make a full backup.

    References: QEMU docs/interop/parallels, section "Dirty bitmaps feature".
    """
    for feature in facts.extension.features if facts.extension else ():
        bitmap = feature.bitmap
        if bitmap is None:
            continue
        if bitmap.size != facts.virtual_size:
            message = f"bitmap {bitmap.id} covers {bitmap.size} bytes, the disk has {facts.virtual_size}"
            yield bad_bitmap.at(message, offset=feature.offset, length=8)
        if not is_power_of_two(bitmap.granularity):
            message = f"bitmap {bitmap.id}: granularity of {bitmap.granularity} bytes is no power of two"
            yield bad_bitmap.at(message, offset=feature.offset + 24, length=4)
        if lay.DIRTY_BITMAP.size + bitmap.l1_size * 8 > feature.length:
            message = f"bitmap {bitmap.id}: a table of {bitmap.l1_size} entries is longer than its feature"
            yield bad_bitmap.at(message, offset=feature.offset + 28, length=4)


@rule("PAR301", "parallels-extension-checksum-differs", "error")
def checksum_differs(facts: ParallelsFacts, limits: Limits) -> Iterator[Finding]:
    """The checksum of the format extension does not hold.

    What it checks: the MD5 of the extension's cluster, but for its first 24 bytes, is the stored one.

    Why it matters: the dirty bitmaps in it cannot be relied on; a backup made by them would be wrong.

    What to do: remove the bitmaps and make a full backup.

    References: QEMU docs/interop/parallels, section "Format Extension".
    """
    extension = facts.extension
    if extension is not None and extension.checksum_holds is False:
        message = f"the stored MD5 {extension.checksum} is not that of the cluster"
        yield checksum_differs.at(message, field="m_CheckSum", offset=extension.offset + 8, length=16)


RULES = (
    bad_version,
    bad_cluster_size,
    bat_too_small,
    bat_misplaced,
    data_misplaced,
    size_high_bits,
    unknown_flag,
    marked_in_use,
    unknown_mark,
    extension_misplaced,
    unknown_feature,
    bad_bitmap,
    checksum_differs,
)
