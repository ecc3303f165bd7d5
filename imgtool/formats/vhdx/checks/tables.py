"""VHDX, 03x and 203: the block allocation table, for the deep check, its log replayed.

Cost of each: one walk over the whole table, eight bytes a block, shared by all of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, Rule, rule
from imgtool.formats.vhdx import layout as lay
from imgtool.formats.vhdx.tables_walk import VhdxTables
from imgtool.limits import Limits
from imgtool.model.tables import Faulty
from imgtool.sources.claims import NO_LABEL


def _told(owner: Rule[VhdxTables], tables: VhdxTables, faulty: Faulty, what: str) -> Iterator[Finding]:
    """A finding for each of the first faulty entries."""
    for number, word in faulty.first:
        place, state = word & lay.BAT_OFFSET, word & lay.BAT_STATE
        message = f"entry {number} (state {state}, at {place}) {what} ({faulty.total} such entries)"
        at = tables.table + number * lay.BAT_ENTRY
        yield owner.at(message, field="BAT", offset=at, length=lay.BAT_ENTRY)


@rule("VHX031", "vhdx-reserved-block-state", "error")
def reserved_state(tables: VhdxTables, limits: Limits) -> Iterator[Finding]:
    """An entry of the block allocation table has a state that does not exist.

    What it checks: a payload block is in state 0, 1, 2, 3 or 6, of a disk with a parent in 7 as well; a sector bitmap
    block of a disk with a parent in 0 or 6.

    Why it matters: what the block holds is not said: programs refuse the file, or guess.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: [MS-VHDX] 2.5.1.1, 2.5.1.2.

    Cost: the whole block allocation table is read.
    """
    yield from _told(reserved_state, tables, tables.state, "has a state that does not exist here")


@rule("VHX032", "vhdx-reserved-bits-in-block-table", "error")
def reserved_bits(tables: VhdxTables, limits: Limits) -> Iterator[Finding]:
    """An entry of the block allocation table has reserved bits set.

    What it checks: bits 3 to 19 of each entry are 0.

    Why it matters: blocks lie on whole MiB; a program that takes these bits for a part of the place reads other bytes
    than one that does not.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: [MS-VHDX] 2.5.1.

    Cost: the whole block allocation table is read.
    """
    yield from _told(reserved_bits, tables, tables.reserved, "has reserved bits set")


@rule("VHX033", "vhdx-block-misplaced", "error")
def block_misplaced(tables: VhdxTables, limits: Limits) -> Iterator[Finding]:
    """A block that is there lies where none can.

    What it checks: a block in state 6 or 7 lies at 1 MiB or later, and below 2^63.

    Why it matters: in the header section a guest would read and write the headers themselves.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: [MS-VHDX] 2.1, 2.5.1, FileOffsetMB.

    Cost: the whole block allocation table is read.
    """
    yield from _told(block_misplaced, tables, tables.misplaced, "lies where no block can")


@rule("VHX034", "vhdx-block-outside-file", "error")
def block_outside(tables: VhdxTables, limits: Limits) -> Iterator[Finding]:
    """A block lies past the end of the file.

    What it checks: each block that is there ends inside the file; the last one of the disk may end where the disk
    does, and a sector bitmap block where its last bit stands.

    Why it matters: the file was cut, or its table damaged: reading there fails once the guest runs.

    What to do: fetch the image again and compare its size and checksum with the publisher's.

    References: [MS-VHDX] 2.5.1, FileOffsetMB.

    Cost: the whole block allocation table is read.
    """
    what = f"does not end inside the file of {tables.facts.file_size} bytes"
    yield from _told(block_outside, tables, tables.outside, what)


@rule("VHX035", "vhdx-sector-bitmap-without-parent", "error")
def bitmap_without_parent(tables: VhdxTables, limits: Limits) -> Iterator[Finding]:
    """A disk without a parent has a sector bitmap block.

    What it checks: the entries of sector bitmap blocks are in state 0, but in a disk with a parent.

    Why it matters: nothing may be there: a program that numbers the entries wrongly takes it for a payload block.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: [MS-VHDX] 2.5.1.2.

    Cost: the whole block allocation table is read.
    """
    what = "is that of a sector bitmap block, and the disk has no parent"
    yield from _told(bitmap_without_parent, tables, tables.bitmap, what)


@rule("VHX036", "vhdx-partial-block-without-bitmap", "error")
def partial_without_bitmap(tables: VhdxTables, limits: Limits) -> Iterator[Finding]:
    """A partly present block has no sector bitmap.

    What it checks: where a payload block is in state 7, the sector bitmap block of its chunk is in state 6.

    Why it matters: nothing says which of its sectors are in this file and which are the parent's.

    What to do: take a fresh copy of the image, or merge it again where it was made.

    References: [MS-VHDX] 2.5.1.1, PAYLOAD_BLOCK_PARTIALLY_PRESENT.

    Cost: the whole block allocation table is read.
    """
    yield from _told(partial_without_bitmap, tables, tables.unmapped, "is partly present and has no sector bitmap")


@rule("VHX037", "vhdx-blocks-overlap", "error")
def blocks_overlap(tables: VhdxTables, limits: Limits) -> Iterator[Finding]:
    """Two blocks, or a block and another structure, share bytes of the file.

    What it checks: payload blocks, sector bitmap blocks, regions, the log and the header section lie apart.

    Why it matters: a write to one place of the disk changes another, or the tables themselves; a guest that writes
    its own tables reads what it likes.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: [MS-VHDX] 2.1, 2.5.1.

    Cost: the whole block allocation table is read and sorted.
    """

    def name(label: int) -> str:
        if label == NO_LABEL:
            return "another block"
        return f"entry {label}" if label >= 0 else tables.parts[NO_LABEL - label - 1]

    for label, other, start, length in tables.overlapping:
        entry = max(label, other)
        placed = entry >= 0
        message = f"{length} bytes at {start} belong to {name(other)} and to {name(label)}"
        yield blocks_overlap.at(
            f"{message} ({tables.overlaps} such overlaps)",
            field="BAT",
            offset=tables.table + entry * lay.BAT_ENTRY if placed else None,
            length=lay.BAT_ENTRY if placed else None,
        )


@rule("VHX038", "vhdx-block-beyond-disk", "warning")
def block_beyond(tables: VhdxTables, limits: Limits) -> Iterator[Finding]:
    """A block is there past the end of the disk.

    What it checks: entries past the last block of the disk are not in state 6 or 7.

    Why it matters: no guest can reach what lies there: it is what a disk held before it was made smaller, or
    something hidden.

    What to do: convert the image (`qemu-img convert -f vhdx`), which leaves it out.

    References: [MS-VHDX] 2.5.

    Cost: the whole block allocation table is read.
    """
    yield from _told(block_beyond, tables, tables.beyond, "is past the end of the disk")


@rule("VHX203", "vhdx-tables-not-checked", "error")
def not_checked(tables: VhdxTables, limits: Limits) -> Iterator[Finding]:
    """The tables could not be checked, or not all of them.

    What it checks: the log could be replayed, the headers say where the blocks are, and all of the block allocation
    table was looked at, within its caps (`limits.vhdx_table_entries`, `limits.vhdx_log`, `limits.claims`).

    Why it matters: what was not looked at may hold anything.

    What to do: fetch the image again where it cannot be read; convert one whose tables are over the caps.

    Cost: none of its own.
    """
    for problem in tables.problems:
        yield not_checked.at(problem.message, field=problem.what, offset=problem.offset, length=problem.length)


RULES = (
    reserved_state,
    reserved_bits,
    block_misplaced,
    block_outside,
    bitmap_without_parent,
    partial_without_bitmap,
    blocks_overlap,
    block_beyond,
    not_checked,
)
