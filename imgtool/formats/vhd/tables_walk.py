"""VHD: the walk over the block allocation table, for the deep check.

A block takes its sector bitmap and its bytes; the last one of the disk only those that the disk has. All numbers of
the table are looked at once, in pieces. Of a dynamic disk the sector bitmaps are read too, and the sectors that they
call never written: what stands there one program shows and another does not.

Reference: Virtual Hard Disk Image Format Specification 1.0, "Block Allocation Table and Data Blocks".
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from imgtool.errors import InputError
from imgtool.formats.vhd import layout as lay
from imgtool.formats.vhd.facts import VhdFacts
from imgtool.limits import Limits
from imgtool.model.tables import NOT_FAULTY, Faulty, TableEntry, TableFacts, Totals
from imgtool.model.values import Problem
from imgtool.sources.base import Source
from imgtool.sources.claims import NO_LABEL, Claims
from imgtool.units import MIB, SECTOR, ceil_div, is_power_of_two

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ENTRY = 4  #: bytes of an entry of the table
SECTOR_BITMAPS = "sector bitmaps"  #: what a problem is about where not all unwritten sectors were looked at

#: Bytes of sectors called unwritten that are read at once.
_LOOK = 4 * MIB


class Part(NamedTuple):
    """Something that lies in the file besides the blocks: `start` and `length` in bytes."""

    start: int
    length: int
    name: str


class Sharing(NamedTuple):
    """Bytes that two things share: what they are, and the entry that places one of them."""

    first: str
    second: str
    start: int
    length: int
    entry: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VhdTables(TableFacts):
    """Facts of the block allocation table.

    `outside`: blocks that do not end inside the file. `beyond`: allocated blocks past the end of the disk. Values are
    the entries: sector numbers. `unwritten`: blocks of a dynamic disk that hold something in sectors which their
    bitmap calls never written; values are where in the file. `overlaps`: how often two things share bytes, and
    `shared` the first of them.
    """

    outside: Faulty = NOT_FAULTY
    beyond: Faulty = NOT_FAULTY
    facts: VhdFacts
    overlaps: int = 0
    shared: tuple[Sharing, ...] = ()
    unwritten: Faulty = NOT_FAULTY


class _Blocks(NamedTuple):
    """The allocated blocks: numbers, where they start and how many bytes they take, bitmap included."""

    numbers: NDArray[np.int64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def where(self, chosen: NDArray[np.bool_]) -> _Blocks:
        return _Blocks(self.numbers[chosen], self.starts[chosen], self.lengths[chosen])

    def rows(self, most: int) -> Iterator[tuple[int, int, int]]:
        """The first `most` of them, one by one."""
        step = 1 << 16
        for at in range(0, min(most, len(self.numbers)), step):
            part = slice(at, min(most, at + step))
            columns = (column[part].tolist() for column in self)
            yield from zip(*columns, strict=True)


def walk(source: Source, facts: VhdFacts, limits: Limits) -> VhdTables:
    """The facts of all tables of a VHD. A fixed one has none: only where it ends is told."""
    if facts.disk_type == lay.DISK_FIXED:
        return VhdTables(facts=facts, totals=Totals(image_end_offset=_end(facts, facts.file_size)))
    block = facts.block_size or 0
    table, entries = facts.table_offset or 0, facts.max_table_entries or 0
    held = max(0, min(entries, (source.size - table) // ENTRY))
    if block < SECTOR or not is_power_of_two(block) or held < min(entries, 1):
        return VhdTables(facts=facts, totals=Totals(check_errors=1))
    problems: list[Problem] = []
    errors = int(held < entries)
    if held > limits.vhd_table_entries:
        message = f"a block allocation table of {held} entries, {limits.vhd_table_entries} are looked at"
        problems.append(Problem("cap", "block allocation table", message, table, held * ENTRY))
        held = limits.vhd_table_entries
    try:
        blocks = _blocks(source, facts, block, held, limits)
    except InputError as error:
        problems.append(Problem("not-read", "block allocation table", str(error), table, held * ENTRY))
        return VhdTables(facts=facts, totals=Totals(check_errors=1), problems=tuple(problems))
    return _judged(source, facts, blocks, limits, Totals(check_errors=errors), problems)


def _blocks(source: Source, facts: VhdFacts, block: int, held: int, limits: Limits) -> _Blocks:
    import numpy as np

    step, table = min(limits.read, 4 * MIB) // ENTRY, facts.table_offset or 0
    numbers, sectors = [], []
    for first in range(0, held, step):
        raw = source.read_at(table + first * ENTRY, min(step, held - first) * ENTRY)
        words = np.frombuffer(raw, ">u4", len(raw) // ENTRY)
        used = np.flatnonzero(words != lay.UNUSED_BLOCK)
        numbers.append(used + first)
        sectors.append(words[used].astype(np.int64))
    chosen = np.concatenate(numbers) if numbers else np.zeros(0, np.int64)
    starts = np.concatenate(sectors) * SECTOR if sectors else np.zeros(0, np.int64)
    left = disk_size(facts, limits) - chosen * block
    room = np.where(left > 0, np.minimum(left, block), block)
    return _Blocks(chosen, starts, bitmap_size(block) + -(-room // SECTOR) * SECTOR)


def disk_size(facts: VhdFacts, limits: Limits) -> int:
    """Bytes of the disk, by the reading that makes it largest; as many as the format allows."""
    return min(max(facts.current_size, facts.virtual_size or 0), limits.vhd_size)


def bitmap_size(block: int) -> int:
    """Bytes of a block's sector bitmap, with its padding."""
    return ceil_div(ceil_div(block, SECTOR * 8), SECTOR) * SECTOR


def _judged(
    source: Source, facts: VhdFacts, blocks: _Blocks, limits: Limits, totals: Totals, problems: list[Problem]
) -> VhdTables:
    import numpy as np

    block, most = facts.block_size or SECTOR, limits.table_faults
    whole = ceil_div(disk_size(facts, limits), block)
    inside = blocks.starts + blocks.lengths <= source.size
    within = blocks.numbers < whole
    sound = blocks.where(inside)
    claims = _claims(facts, sound, limits)
    unwritten = NOT_FAULTY
    if facts.disk_type == lay.DISK_DYNAMIC:
        told, problem = _unwritten(source, facts, blocks.where(inside & within), limits)
        unwritten = told
        problems += [problem] if problem else []
    guest = blocks.where(within)
    stride = bitmap_size(block) + block
    ends = sound.starts + sound.lengths
    outside = blocks.where(~inside)
    return VhdTables(
        facts=facts,
        totals=totals._replace(
            image_end_offset=_end(facts, int(ends.max()) if len(ends) else 0),
            total_clusters=whole,
            allocated_clusters=len(guest.numbers),
            fragmented_clusters=int(np.count_nonzero(guest.starts[1:] != guest.starts[:-1] + stride)),
            corruptions=len(outside.numbers) + claims.overlaps,
        ),
        outside=_faulty(outside, most),
        beyond=_faulty(blocks.where(~within), most),
        overlaps=claims.overlaps,
        shared=_sharing(facts, claims),
        unwritten=unwritten,
        problems=tuple(problems),
    )


def _end(facts: VhdFacts, at: int) -> int:
    """Where the last thing in use ends, when the blocks end at `at`."""
    return max(at, *(min(part.start + part.length, facts.file_size) for part in _parts(facts)), 0)


def _parts(facts: VhdFacts) -> tuple[Part, ...]:
    """What lies in the file besides the blocks."""
    parts = [Part(placed.offset, placed.size, "the footer") for placed in (facts.trailing,) if placed is not None]
    if facts.disk_type != lay.DISK_FIXED:
        parts.append(Part(0, lay.FOOTER_SIZE, "the footer's copy"))
        parts.append(Part(facts.data_offset, lay.DYNAMIC_HEADER_SIZE, "the dynamic disk header"))
        table, length = facts.table_offset or 0, min((facts.max_table_entries or 0) * ENTRY, facts.file_size)
        padded = ceil_div(length, SECTOR) * SECTOR
        length = padded if table + padded <= facts.file_size else length
        parts.append(Part(table, length, "the block allocation table"))
        parts += (
            Part(locator.offset, locator.length, f"the parent locator {locator.platform}")
            for locator in facts.parent_locators
        )
    return tuple(part for part in parts if part.start + part.length <= facts.file_size)


def _faulty(blocks: _Blocks, most: int) -> Faulty:
    first = (TableEntry(number, start // SECTOR) for number, start, _ in blocks.rows(most))
    return Faulty(len(blocks.numbers), tuple(first))


def _claims(facts: VhdFacts, blocks: _Blocks, limits: Limits) -> Claims:
    """Who takes which bytes: blocks by their numbers, the other parts by numbers below NO_LABEL."""
    claims = Claims(limits)
    for number, part in enumerate(_parts(facts), 1):
        claims.one(part.start, part.start + part.length, NO_LABEL - number)
    claims.claim(blocks.starts, blocks.starts + blocks.lengths, blocks.numbers)
    claims.settle()
    return claims


def _sharing(facts: VhdFacts, claims: Claims) -> tuple[Sharing, ...]:
    parts = _parts(facts)
    table = facts.table_offset or 0

    def name(label: int) -> str:
        if label == NO_LABEL:
            return "what lies there"
        return f"block {label}" if label >= 0 else parts[NO_LABEL - label - 1].name

    told = []
    for label, other, start, length in claims.found:
        placed = max(label, other)
        entry = table + placed * ENTRY if placed >= 0 else None
        told.append(Sharing(name(other), name(label), start, length, entry))
    return tuple(told)


def _unwritten(source: Source, facts: VhdFacts, blocks: _Blocks, limits: Limits) -> tuple[Faulty, Problem | None]:
    """Blocks with something in sectors that their bitmap calls never written; the first ones, then it is enough."""
    bitmap = bitmap_size(facts.block_size or SECTOR)
    found: list[TableEntry] = []
    left = limits.vhd_unwritten
    try:
        filled = _Filled(source, limits)
        for number, start, length in blocks.rows(len(blocks.numbers)):
            for at, size in _clear(source.read_at(start, bitmap), (length - bitmap) // SECTOR):
                place = start + bitmap + at
                runs = list(filled.within(place, place + size))
                left -= sum(high - low for low, high in runs)
                if left < 0:
                    message = f"sectors that were never written: {limits.vhd_unwritten} bytes of them are looked at"
                    return Faulty(len(found), tuple(found)), Problem("cap", SECTOR_BITMAPS, message, start, bitmap)
                something = next((one for run in runs if (one := _something(source, *run)) is not None), None)
                if something is not None:
                    found.append(TableEntry(number, something // SECTOR * SECTOR))
                    break
            if len(found) == limits.table_faults:
                break
    except InputError as error:
        return Faulty(len(found), tuple(found)), Problem("not-read", "blocks", str(error))
    return Faulty(len(found), tuple(found)), None


class _Filled:
    """Which ranges of the file are no holes; all of it where they are too many to know."""

    def __init__(self, source: Source, limits: Limits) -> None:
        runs = list(islice(source.data_extents(), limits.vhd_holes + 1))
        if len(runs) > limits.vhd_holes:
            runs = [(0, source.size)]
        self._starts = [start for start, _ in runs]
        self._ends = [start + length for start, length in runs]

    def within(self, low: int, high: int) -> Iterator[tuple[int, int]]:
        """The parts of a range that are no holes: start and end."""
        at = bisect_right(self._ends, low)
        while at < len(self._starts) and self._starts[at] < high:
            yield max(low, self._starts[at]), min(high, self._ends[at])
            at += 1


def _clear(raw: bytes, sectors: int) -> Iterator[tuple[int, int]]:
    """Runs of sectors whose bits are clear: bytes from the block's data on, and how many."""
    raw = raw[: ceil_div(sectors, 8)]
    if raw.count(0xFF) == len(raw):
        return
    bits = f"{int.from_bytes(raw, 'big'):0{len(raw) * 8}b}"[:sectors]
    at = bits.find("0")
    while at >= 0:
        after = bits.find("1", at)
        end = after if after >= 0 else sectors
        yield at * SECTOR, (end - at) * SECTOR
        at = bits.find("0", end)


def _something(source: Source, start: int, end: int) -> int | None:
    """Where in the range the first byte is that is not zero; None where there is none."""
    for at in range(start, end, _LOOK):
        data = source.read_at(at, min(_LOOK, end - at))
        if data != bytes(len(data)):
            return at + len(data) - len(data.lstrip(b"\0"))
    return None
