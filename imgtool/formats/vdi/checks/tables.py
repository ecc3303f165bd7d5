"""VDI, 02x: the block map. Cost of each: reading the whole map, four bytes a block (one walk for all of them)."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.vdi.tables import VdiTables
from imgtool.limits import Limits
from imgtool.model.tables import TableEntry


def _at(tables: VdiTables, entry: TableEntry) -> int:
    """Where an entry lies in the file."""
    return tables.facts.map_offset + entry.number * 4


@rule("VDI020", "vdi-unknown-block-number", "error")
def unknown_number(tables: VdiTables, limits: Limits) -> Iterator[Finding]:
    """The block map has a number of no block.

    What it checks: each entry is the number of a block (less than the number of blocks), or one of the two marks:
    free (0xFFFFFFFF) and zeros (0xFFFFFFFE).

    Why it matters: the guest's block cannot be read, or other bytes are taken for it.

    What to do: take a fresh copy of the image; what the entry was cannot be known.

    Cost: the whole block map is read.
    """
    for entry in tables.unknown.first:
        message = (
            f"block {entry.number} of the guest has number {entry.value}, there are {tables.facts.blocks} "
            f"({tables.unknown.total} such entries)"
        )
        yield unknown_number.at(message, field="block map", offset=_at(tables, entry), length=4)


@rule("VDI021", "vdi-block-used-twice", "error")
def used_twice(tables: VdiTables, limits: Limits) -> Iterator[Finding]:
    """Two blocks of the guest lie in the same block of the file.

    What it checks: no two entries of the block map have the same number.

    Why it matters: what the guest writes to the one it also writes to the other.

    What to do: take a fresh copy of the image; one of the two blocks is lost.

    Cost: the whole block map is read.
    """
    for overlap in tables.overlapping:
        where = f"block {overlap.label} of the guest" if overlap.label >= 0 else "a block of the guest"
        message = f"{where} has number {overlap.start}, which another one has ({tables.overlaps} such entries)"
        offset = tables.facts.map_offset + overlap.label * 4 if overlap.label >= 0 else None
        yield used_twice.at(message, field="block map", offset=offset, length=4 if offset is not None else None)


@rule("VDI022", "vdi-block-outside-file", "error")
def outside(tables: VdiTables, limits: Limits) -> Iterator[Finding]:
    """A block that the map has is not in the file.

    What it checks: the part of each block that the guest has ends inside the file.

    Why it matters: the file was cut; the guest finds errors or zeros there.

    What to do: fetch the image again and compare its size and checksum with the publisher's.

    Cost: the whole block map is read.
    """
    for entry in tables.outside.first:
        message = (
            f"block {entry.number} of the guest, number {entry.value}, ends past the end of the file at "
            f"{tables.facts.file_size} ({tables.outside.total} such blocks)"
        )
        yield outside.at(message, field="block map", offset=_at(tables, entry), length=4)


@rule("VDI023", "vdi-allocated-count-differs", "error")
def count_differs(tables: VdiTables, limits: Limits) -> Iterator[Finding]:
    """The header and the map tell different numbers of allocated blocks.

    What it checks: cBlocksAllocated is the number of entries of the block map that have a block.

    Why it matters: the next block that is written goes where the header's number says: over a block in use.

    What to do: convert the image; the copy has the right number.

    Cost: the whole block map is read.
    """
    if tables.problems or tables.allocated == tables.facts.blocks_allocated:
        return
    message = f"cBlocksAllocated is {tables.facts.blocks_allocated}, the map has {tables.allocated} blocks"
    yield count_differs.at(message, field="cBlocksAllocated", offset=0x184, length=4)


@rule("VDI024", "vdi-block-number-to-be-given-again", "warning")
def given_again(tables: VdiTables, limits: Limits) -> Iterator[Finding]:
    """A block has a number that will be given to the next blocks written.

    What it checks: the numbers of the allocated blocks are the lowest ones, without gaps.

    Why it matters: programs give a new block the number of blocks allocated so far; once that reaches a number in
    use, two of the guest's blocks share a place.

    What to do: convert the image before anything writes to it.

    Cost: the whole block map is read.
    """
    for entry in tables.behind.first:
        message = (
            f"block {entry.number} of the guest has number {entry.value}, though only "
            f"{tables.facts.blocks_allocated} blocks are allocated ({tables.behind.total} such blocks)"
        )
        yield given_again.at(message, field="block map", offset=_at(tables, entry), length=4)


@rule("VDI025", "vdi-block-map-not-read", "error")
def not_read(tables: VdiTables, limits: Limits) -> Iterator[Finding]:
    """The block map cannot be read, or not all of it.

    What it checks: the map is inside the file, its sizes hold, it has at most `limits.vdi_blocks` entries, and not so
    many faults that the rest of it was left (`limits.table_broken`).

    Why it matters: what was not read was not checked; the guest's disk ends there.

    What to do: take a fresh copy of the image.

    Cost: the whole block map is read.
    """
    for problem in tables.problems:
        yield not_read.at(problem.message, field=problem.what, offset=problem.offset, length=problem.length)


RULES = (unknown_number, used_twice, outside, count_differs, given_again, not_read)
