"""VHD: the block allocation table, for the deep check. Cost of each: one walk over the whole table, shared."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, Rule, rule
from imgtool.formats.vhd.tables_walk import ENTRY, SECTOR_BITMAPS, VhdTables
from imgtool.limits import Limits
from imgtool.model.tables import Faulty
from imgtool.units import SECTOR


def _told(owner: Rule[VhdTables], tables: VhdTables, faulty: Faulty, what: str) -> Iterator[Finding]:
    """A finding for each of the first faulty entries."""
    for number, sector in faulty.first:
        message = f"block {number} at {sector * SECTOR} {what} ({faulty.total} such blocks)"
        at = (tables.facts.table_offset or 0) + number * ENTRY
        yield owner.at(message, field="block allocation table", offset=at, length=ENTRY)


@rule("VHD016", "vhd-block-outside-file", "error")
def block_outside(tables: VhdTables, limits: Limits) -> Iterator[Finding]:
    """A block lies past the end of the file.

    What it checks: each allocated block ends inside the file, with its sector bitmap; of the last block only what
    the disk has of it.

    Why it matters: the file was cut, or its table damaged: reading there fails once the guest runs.

    What to do: fetch the image again and compare its size and checksum with the publisher's.

    References: Virtual Hard Disk Image Format Specification 1.0, "Block Allocation Table and Data Blocks".

    Cost: the whole block allocation table is read.
    """
    yield from _told(
        block_outside, tables, tables.outside, f"does not end inside the file of {tables.facts.file_size} bytes"
    )


@rule("VHD017", "vhd-blocks-overlap", "error")
def blocks_overlap(tables: VhdTables, limits: Limits) -> Iterator[Finding]:
    """Two blocks, or a block and another structure, share bytes of the file.

    What it checks: blocks, the footer and its copy, the dynamic disk header, the block allocation table and the
    parent locators lie apart.

    Why it matters: a write to one place of the disk changes another, or the table itself; a guest that writes its
    own tables reads what it likes.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: Virtual Hard Disk Image Format Specification 1.0, "Dynamic Hard Disk Image".

    Cost: the whole block allocation table is read and sorted.
    """
    for shared in tables.shared:
        message = (
            f"{shared.length} bytes at {shared.start} belong to {shared.first} and to {shared.second} "
            f"({tables.overlaps} such overlaps)"
        )
        length = None if shared.entry is None else ENTRY
        yield blocks_overlap.at(message, field="block allocation table", offset=shared.entry, length=length)


@rule("VHD018", "vhd-block-beyond-disk", "warning")
def block_beyond(tables: VhdTables, limits: Limits) -> Iterator[Finding]:
    """A block is allocated past the end of the disk.

    What it checks: entries of the table past the last block of the disk are not allocated.

    Why it matters: no guest can reach what lies there: it is what a disk held before it was made smaller, or
    something hidden.

    What to do: convert the image (`qemu-img convert -f vpc`), which leaves it out.

    References: Virtual Hard Disk Image Format Specification 1.0, "Max Table Entries".

    Cost: the whole block allocation table is read.
    """
    yield from _told(block_beyond, tables, tables.beyond, "is past the end of the disk")


@rule("VHD019", "vhd-unwritten-sectors-hold-data", "error")
def unwritten(tables: VhdTables, limits: Limits) -> Iterator[Finding]:
    """Sectors that were never written hold something: two programs show two disks.

    What it checks: of a dynamic disk, the sectors whose bit in the sector bitmap is clear are zeros in the file
    too; the first sector of each block that is not is named, for the first blocks (`limits.table_faults`).

    Why it matters: QEMU does not look at the bitmap and shows the guest what lies there, Virtual PC and others
    show zeros: what was inspected is not what runs. What lies there may also be an earlier owner's data.

    What to do: find out which of the two is meant, and convert the image with a program that reads it so.

    References: Virtual Hard Disk Image Format Specification 1.0, "Data Blocks".

    Cost: all sector bitmaps are read, and the sectors they leave out.
    """
    for number, place in tables.unwritten.first:
        message = f"block {number}: the sector at {place} was never written by its bitmap, and is not zeros"
        yield unwritten.at(message, field="sector bitmap", offset=place, length=SECTOR)


@rule("VHD202", "vhd-tables-not-checked", "error")
def not_checked(tables: VhdTables, limits: Limits) -> Iterator[Finding]:
    """A part of the tables could not be checked.

    What it checks: the whole block allocation table was read, within its cap (`limits.vhd_table_entries`). A note
    where only some of the sectors that were never written are not looked at: a large disk may have more of them
    than `limits.vhd_unwritten`, 64 GiB.

    Why it matters: what was not looked at may hold anything.

    What to do: convert the image with larger blocks (2 MiB are usual), or fetch it again where it cannot be read.

    Cost: none of its own.
    """
    for problem in tables.problems:
        some = problem.kind == "cap" and problem.what == SECTOR_BITMAPS
        yield not_checked.at(
            problem.message,
            field=problem.what,
            offset=problem.offset,
            length=problem.length,
            severity="note" if some else None,
        )


RULES = (block_outside, blocks_overlap, block_beyond, unwritten, not_checked)
