"""VMDK, 00x and 01x: the headers of sparse, COWD and seSparse extents. Cost of each: the headers alone."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.vmdk import layout as lay
from imgtool.formats.vmdk.facts import VmdkFacts
from imgtool.limits import Limits
from imgtool.units import SECTOR, ceil_div, is_power_of_two


@rule("VMD001", "vmdk-bad-version", "error")
def bad_version(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """The version is not one that exists.

    What it checks: the version of a sparse extent is 1, 2 or 3; of a COWD extent 1; of a seSparse extent 2.1.

    Why it matters: no reader can know what the rest of the header means.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: VMware "Virtual Disk Format 5.0", sections "Hosted Sparse Extents", "ESXi Host Sparse Extents".
    """
    if facts.header is not None and facts.header.version not in lay.VERSIONS:
        message = f"version is {facts.header.version}, known are 1 to 3"
        yield bad_version.at(message, field="version", offset=4, length=4)
    if facts.cowd is not None and facts.cowd.version != lay.COWD_VERSION:
        message = f"version of the COWD header is {facts.cowd.version}, known is 1"
        yield bad_version.at(message, field="version", offset=4, length=4)
    if facts.sesparse_header is not None and facts.sesparse_header.version != lay.SESPARSE_VERSION:
        message = f"version of the seSparse header is 0x{facts.sesparse_header.version:016x}, known is 2.1"
        yield bad_version.at(message, field="version", offset=8, length=8)


@rule("VMD002", "vmdk-bad-grain-size", "error")
def bad_grain_size(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """The grain size is out of range.

    What it checks: of a sparse extent it is a power of two over 8 sectors; of a COWD extent a power of two; of
    a seSparse extent 8 sectors; none is over 1 GiB (`limits.vmdk_grain`).

    Why it matters: every offset in the image is computed from it, and readers allocate one grain at a time.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: VMware "Virtual Disk Format 5.0", section "Hosted Sparse Extents", grainSize.
    """
    if facts.header is not None and facts.kind == "sparse":
        size, low, at = facts.header.grainSize, 9, 20
    elif facts.cowd is not None:
        size, low, at = facts.cowd.grain_size, 1, 16
    elif facts.sesparse is not None:
        if facts.sesparse.grain_size != lay.SESPARSE_GRAIN:
            message = f"grain_size is {facts.sesparse.grain_size} sectors, 8 is allowed"
            yield bad_grain_size.at(message, field="grain_size", offset=24, length=8)
        return
    else:
        return
    if not is_power_of_two(size) or not low <= size <= limits.vmdk_grain:
        message = f"grainSize is {size} sectors: a power of two from {low} to {limits.vmdk_grain} is allowed"
        yield bad_grain_size.at(message, field="grainSize", offset=at)


@rule("VMD003", "vmdk-bad-grain-table-size", "error")
def bad_grain_table(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """A grain table does not have the number of entries that its kind has.

    What it checks: numGTEsPerGT of a sparse extent is 512; the grain tables of a seSparse extent are 64 sectors.

    Why it matters: readers assume it; another number makes them read the wrong grains, or past a buffer.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: VMware "Virtual Disk Format 5.0", section "Hosted Sparse Extents", numGTEsPerGT.
    """
    if facts.header is not None and facts.kind == "sparse" and facts.header.numGTEsPerGT != lay.GTES_PER_GT:
        message = f"numGTEsPerGT is {facts.header.numGTEsPerGT}, it must be 512"
        yield bad_grain_table.at(message, field="numGTEsPerGT", offset=44, length=4)
    if facts.sesparse is not None and facts.sesparse.grain_table_size != lay.SESPARSE_GRAIN_TABLE:
        message = f"grain_table_size is {facts.sesparse.grain_table_size} sectors, it must be 64"
        yield bad_grain_table.at(message, field="grain_table_size", offset=32, length=8)


@rule("VMD004", "vmdk-newlines-translated", "error")
def newlines(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """The newline characters in the header are not what they should be: the file was copied as text.

    What it checks: where flag bit 0 is set, bytes 73 to 76 are 0A 20 0D 0A.

    Why it matters: they are there to show a transfer that changed line ends; every 0A or 0D 0A of the disk's data
    was changed too.

    What to do: transfer the image again, in binary mode.

    References: VMware "Virtual Disk Format 5.0", section "Hosted Sparse Extents".
    """
    header = facts.header
    if header is None or not header.flags & lay.FLAG_NEWLINES:
        return
    seen = header.singleEndLineChar + header.nonEndLineChar + header.doubleEndLineChar1 + header.doubleEndLineChar2
    if seen != lay.NEWLINES:
        message = f"bytes 73 to 76 are {seen.hex(' ')}, they should be {lay.NEWLINES.hex(' ')}"
        yield newlines.at(message, field="singleEndLineChar", offset=73, length=4)


@rule("VMD005", "vmdk-unknown-flag", "warning")
def unknown_flag(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """A flag is set that no specification names.

    What it checks: of the flags of a sparse extent only bits 0, 1, 2, 16 and 17 are set, of a COWD extent bits 0
    to 2; those of a seSparse extent and its reserved words are 0 (an error, as its readers refuse it).

    Why it matters: the image may need something that no reader here knows.

    What to do: nothing, if you know what wrote it; else convert the image with the program that made it.

    References: VMware "Virtual Disk Format 5.0", section "Hosted Sparse Extents", flags.
    """
    fields = facts.sparse or facts.cowd
    unknown = [name for name in fields.flags if name.startswith("unknown-")] if fields else []
    if unknown:
        yield unknown_flag.at(f"flag bits {', '.join(unknown)} are set", field="flags", offset=8, length=4)
    head = facts.sesparse_header
    if head is not None:
        words = (head.flags, head.reserved1, head.reserved2, head.reserved3, head.reserved4)
        if any(words):
            message = f"flags and reserved words are {', '.join(hex(word) for word in words)}, they should be 0"
            yield unknown_flag.at(message, field="flags", offset=40, length=40, severity="error")


@rule("VMD006", "vmdk-compression-mismatch", "error")
def compression(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """Flag and method of compression disagree, or the method is unknown.

    What it checks: compressAlgorithm is 1 (deflate) with flag bit 16 set, or 0 with it clear.

    Why it matters: some readers go by the flag and some by the method: one inflates what another takes as it is.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: VMware "Virtual Disk Format 5.0", section "Hosted Sparse Extents", compressAlgorithm.
    """
    if facts.header is None or facts.kind != "sparse":
        return
    method, flag = facts.header.compressAlgorithm, bool(facts.header.flags & lay.FLAG_COMPRESSED)
    if method > 1 or flag != (method == 1):
        message = f"compressAlgorithm is {method} and flag bit 16 is {'set' if flag else 'clear'}"
        yield compression.at(message, field="compressAlgorithm", offset=77, length=2)


@rule("VMD007", "vmdk-grain-directory-misplaced", "error")
def directory(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """A grain directory is not where a grain directory can be.

    What it checks: gdOffset (the footer's, where the header leaves it to that), and rgdOffset where flag bit 1 is
    set: not 0, the directory for the capacity ends inside the file, and does not run into the descriptor.

    Why it matters: the whole mapping of the disk hangs on it; a reader would take other bytes for offsets.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: VMware "Virtual Disk Format 5.0", section "Grain Directory and Grain Tables".
    """
    count = directory_entries(facts)
    header = facts.footer_header or facts.header
    if header is None or count is None or count > limits.vmdk_directory or header.gdOffset == lay.GD_AT_END:
        return
    base = facts.file_size - 2 * SECTOR if facts.footer_header else 0
    places = [("gdOffset", header.gdOffset, base + 56)]
    if header.flags & lay.FLAG_REDUNDANT:
        places.append(("rgdOffset", header.rgdOffset, base + 48))
    for name, sector, at in places:
        start, end = sector * SECTOR, sector * SECTOR + count * 4
        low = header.descriptorOffset * SECTOR
        high = low + header.descriptorSize * SECTOR
        if not sector:
            message = f"{name} is 0: a directory of {count} entries cannot be in the header"
        elif end > facts.file_size:
            message = f"{name}: {count} entries at byte {start} end at {end}, the file at {facts.file_size}"
        elif low < end and start < high:
            message = f"{name}: bytes {start}..{end} run into the descriptor at {low}..{high}"
        else:
            continue
        yield directory.at(message, field=name, offset=at, length=8)


def directory_entries(facts: VmdkFacts) -> int | None:
    """Entries that the capacity of a sparse extent needs; None where its sizes make no sense."""
    header = facts.header
    if header is None or facts.kind != "sparse" or not header.grainSize or not header.numGTEsPerGT:
        return None
    return ceil_div(header.capacity, header.grainSize * header.numGTEsPerGT)


@rule("VMD008", "vmdk-unclean-shutdown", "warning")
def unclean(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """The image was not closed cleanly.

    What it checks: uncleanShutdown is 0; a seSparse extent has no journal to replay (an error there).

    Why it matters: tables and data may not agree; readers that do not replay a journal refuse the image or show old
    data.

    What to do: open and close it once with the program that wrote it, then copy it again.

    References: VMware "Virtual Disk Format 5.0", section "Hosted Sparse Extents", uncleanShutdown.
    """
    if not facts.unclean_shutdown:
        return
    if facts.sesparse is not None:
        message = f"replay_journal is {facts.sesparse.replay_journal}: a journal waits to be replayed"
        yield unclean.at(message, field="replay_journal", severity="error")
    else:
        at = 1648 if facts.cowd is not None else 72
        yield unclean.at("uncleanShutdown is set", field="uncleanShutdown", offset=at)


@rule("VMD009", "vmdk-lone-extent", "error")
def lone_extent(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """The file is one extent of a disk: its descriptor is another file.

    What it checks: a sparse extent has a descriptor inside; COWD and seSparse extents never have one.

    Why it matters: one extent is not the disk; its parent, its neighbours and its geometry are in a descriptor that
    is not here.

    What to do: convert the disk by its descriptor file, where all its extents are:
    `qemu-img convert -f vmdk DISK.vmdk …`.

    References: VMware "Virtual Disk Format 5.0", section "Layout Basics".
    """
    names = {"cowd": "a COWD (vmfsSparse) extent", "sesparse": "a seSparse extent"}
    if facts.kind in names:
        yield lone_extent.at(f"this is {names[facts.kind]} without its descriptor", offset=0)
    elif facts.kind == "sparse" and facts.parsed is None and facts.second is None:
        yield lone_extent.at("this is a sparse extent without a descriptor", field="descriptorOffset", offset=28)


@rule("VMD010", "vmdk-footer-missing", "error")
def footer_missing(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """The stream does not end as a stream must.

    What it checks: where gdOffset says that the directory is at the end: a footer marker 1,536 bytes before the end
    of the file, the footer 1,024, the end-of-stream marker 512 bytes before it.

    Why it matters: without the footer no reader finds any of the disk's data; the download was cut, or something was
    added behind it.

    What to do: fetch the image again and compare its size and checksum with the publisher's.

    References: VMware "Virtual Disk Format 5.0", section "Stream-Optimized Compressed Sparse Extents".
    """
    if facts.footer_state == "missing":
        yield footer_missing.at(
            "gdOffset points to a footer, and there is none", field="gdOffset", offset=56, length=8
        )
    elif facts.footer_state == "unmarked":
        message = "the markers before and behind the footer are not a footer's and the end of a stream's"
        yield footer_missing.at(message, field="footer", offset=facts.file_size - 3 * SECTOR, length=3 * SECTOR)


@rule("VMD011", "vmdk-footer-differs", "error")
def footer_differs(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """Header and footer of a stream disagree.

    What it checks: version, flags, capacity, grain size, table size, descriptor and compression are the same in both;
    the footer's gdOffset is a real one.

    Why it matters: some readers believe the header, some the footer: they would show different disks.

    What to do: convert the image again from its source.

    References: VMware "Virtual Disk Format 5.0", section "Stream-Optimized Compressed Sparse Extents".
    """
    first, last = facts.sparse, facts.footer
    if first is None or last is None:
        return
    same = ("version", "flags", "capacity", "grain_size", "num_gtes_per_gt")
    for name in (*same, "descriptor_offset", "descriptor_size", "compress_algorithm"):
        if getattr(first, name) != getattr(last, name):
            message = f"{name} is {getattr(first, name)} in the header and {getattr(last, name)} in the footer"
            yield footer_differs.at(message, field=name, offset=facts.file_size - 2 * SECTOR)
    if last.gd_offset == lay.GD_AT_END:
        message = "gdOffset of the footer is no place either"
        yield footer_differs.at(message, field="gd_offset", offset=facts.file_size - 2 * SECTOR + 56, length=8)


@rule("VMD012", "vmdk-capacity-differs", "warning")
def capacity_differs(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """The header and the descriptor tell different sizes.

    What it checks: the capacity of a sparse extent is the sum of the extents that its descriptor lists.

    Why it matters: one reader shows a disk of the one size, another of the other.

    What to do: convert the image again, and check the size of the result.

    References: VMware "Virtual Disk Format 5.0", section "The Descriptor File".
    """
    parsed, header = facts.parsed, facts.header
    if facts.kind != "sparse" or parsed is None or header is None or not parsed.extent_count:
        return
    if parsed.sectors != header.capacity:
        message = f"capacity is {header.capacity} sectors, the extents of the descriptor have {parsed.sectors}"
        yield capacity_differs.at(message, field="capacity", offset=12, length=8)


STRUCTURE = (
    bad_version,
    bad_grain_size,
    bad_grain_table,
    newlines,
    unknown_flag,
    compression,
    directory,
    unclean,
    lone_extent,
    footer_missing,
    footer_differs,
    capacity_differs,
)
