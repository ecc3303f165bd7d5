"""All tables of a sparse extent (KDMV, COWD, seSparse), once: directory by directory piece, table by table.

References: VMware "Virtual Disk Format 5.0", sections "Grain Directory and Grain Tables", "Stream-Optimized
Compressed Sparse Extents"; QEMU block/vmdk.c for seSparse.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from imgtool.formats.vmdk import layout as lay
from imgtool.formats.vmdk.facts import VmdkFacts
from imgtool.formats.vmdk.grains import WRONG, GrainDisk
from imgtool.formats.vmdk.hosted import PackedGrains, PlainGrains, counting_header, cowd_disk, hosted_disk
from imgtool.formats.vmdk.sesparse import sesparse_disk
from imgtool.formats.vmdk.walk.facts import Redundant, VmdkTables, area_label, table_base
from imgtool.formats.vmdk.walk.inflating import Inflating
from imgtool.formats.vmdk.walk.stream import Leftover, has_marker, leftover
from imgtool.limits import Limits
from imgtool.model.tables import NOT_FAULTY, Faulty, Totals
from imgtool.model.values import Problem
from imgtool.sources.base import Source
from imgtool.sources.blocks import BAD, COMPRESSED, DATA
from imgtool.sources.claims import Claims, noted
from imgtool.sources.disk import DiskError
from imgtool.units import SECTOR, ceil_div

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

_SPARSE = {"sparse": hosted_disk, "cowd": cowd_disk, "sesparse": sesparse_disk}

#: Entries of a directory, and entries of tables, that are looked at together.
_DIRECTORY = 1 << 16
_ENTRIES = 1 << 20

#: Sizes that are computed with here, in bytes.
_MOST = 1 << 62


class _Walk:
    """What is counted along the tables."""

    def __init__(self, disk: GrainDisk, other: GrainDisk | None, facts: VmdkFacts, limits: Limits) -> None:
        self.disk, self.other, self.facts, self.limits = disk, other, facts, limits
        self.claims = Claims(limits)
        self.blocks = ceil_div(disk.size, disk.block_size)
        self.inflating = Inflating(disk, limits) if isinstance(disk, PackedGrains) else None
        self.stream = facts.footer_header is not None and facts.markers
        self.allocated = self.fragmented = self.packed = 0
        self.last = (-2, 0)
        self.tables_outside = self.grains_outside = self.unknown = self.unflagged = self.unmarked = NOT_FAULTY
        self.redundant = Redundant(0, None, 0)
        # A file has no more tables than fit: what is more can only be the same ones again.
        self.tables_left = disk.host.size // disk.table_bytes + 1

    def directory(self) -> None:
        """Every table that the directories name."""
        import numpy as np

        needed = ceil_div(self.blocks, self.disk.table_entries)
        for first in range(0, needed, _DIRECTORY):
            count = min(_DIRECTORY, needed - first)
            if first >= self.disk.held and (self.other is None or first >= self.other.held):
                self._beyond(first, needed - first)
                return
            places = self.disk.table_places(first, count)
            numbers = np.arange(first, first + count)
            self.tables_outside = noted(self.tables_outside, numbers, places, places == WRONG, self.limits)
            copies = self._copies(first, places)
            self._claim(numbers, places, False)
            step = max(1, _ENTRIES // self.disk.table_entries)
            there = np.flatnonzero((places > 0) | (copies > 0))
            for begin in range(0, len(there), step):
                chunk = there[begin : begin + step]
                self.tables_left -= len(chunk)
                if self.tables_left < 0:
                    break
                self._tables(chunk + first, places[chunk], copies[chunk])

    def _beyond(self, first: int, count: int) -> None:
        """Tables whose entries are not in the file."""
        room = range(first, first + min(count, max(0, self.limits.table_faults - len(self.tables_outside.first))))
        known = self.tables_outside
        named = noted(known, *_same(room), self.limits)
        self.tables_outside = Faulty(known.total + count, named.first)

    def _copies(self, first: int, places: Numbers) -> Numbers:
        """Where the redundant tables lie, 0 where there are none; those that are the primary ones are counted."""
        import numpy as np

        if self.other is None:
            return np.zeros(len(places), np.int64)
        copies = self.other.table_places(first, len(places))
        shared = (copies == places) & (copies > 0)
        self._claim(np.arange(first, first + len(copies)), np.where(shared, 0, copies), True)
        known = self.redundant
        self.redundant = known._replace(shared=known.shared + int(np.count_nonzero(shared)))
        return copies

    def _claim(self, numbers: Numbers, places: Numbers, redundant: bool) -> None:
        """Take the room of tables; in a stream with the marker before each."""
        there = places > 0
        numbers, places = numbers[there], places[there]
        starts = places
        if self.stream and not redundant and self.tables_left > 0:
            starts = self._marked(numbers, places)
        self.claims.claim(starts, places + self.disk.table_bytes, table_base(redundant) - numbers)

    def _marked(self, numbers: Numbers, places: Numbers) -> Numbers:
        import numpy as np

        host, length = self.disk.host, self.disk.table_bytes
        marked = np.array([has_marker(host, place, length, lay.MARKER_TABLE) for place in places.tolist()], np.bool_)
        self.unmarked = noted(self.unmarked, numbers, places, ~marked, self.limits)
        return places - marked * SECTOR

    def _tables(self, numbers: Numbers, places: Numbers, copies: Numbers) -> None:
        """The grains of some tables."""
        import numpy as np

        raw = self.disk.tables(places)
        if self.other is not None:
            rows = (len(numbers), self.disk.table_entries)
            differ = (raw.reshape(rows) != self.other.tables(copies).reshape(rows)).any(axis=1)
            where = np.flatnonzero(differ | (copies == WRONG))
            known = self.redundant
            first = int(numbers[where[0]]) if known.first is None and len(where) else known.first
            self.redundant = known._replace(differing=known.differing + len(where), first=first)
        used = np.flatnonzero(raw)
        blocks = numbers[used // self.disk.table_entries] * self.disk.table_entries + used % self.disk.table_entries
        inside = blocks < self.blocks
        if len(used):
            self._grains(blocks[inside], raw[used[inside]])

    def _grains(self, blocks: Numbers, values: NDArray[np.unsignedinteger[Any]]) -> None:
        """The entries of tables that are not 0, and the grains they are of."""
        kinds, hosts = self.disk.grains(values)
        if isinstance(self.disk, PlainGrains) and not self.disk.zeroed:
            single = values == 1
            self.unflagged = noted(self.unflagged, blocks, hosts, single, self.limits)
            kinds[single] = BAD
        else:
            self.unknown = noted(self.unknown, blocks, values.astype("i8"), kinds == BAD, self.limits)
        data = (kinds == DATA) | (kinds == COMPRESSED)
        blocks, hosts = blocks[data], hosts[data]
        self.allocated += len(blocks)
        grain, size = self.disk.block_size, self.disk.host.size
        outside = hosts >= size
        if self.inflating is None:
            outside |= hosts + (self.disk.size - blocks * grain).clip(0, grain) > size
        self.grains_outside = noted(self.grains_outside, blocks, hosts, outside, self.limits)
        blocks, hosts = blocks[~outside], hosts[~outside]
        if self.inflating is not None:
            self.packed += len(blocks)
            ends = self.inflating(blocks, hosts).clip(0, size)
        else:
            ends = (hosts + grain).clip(0, size)
            self._follow(blocks, hosts)
        self.claims.claim(hosts, ends, blocks)

    def _follow(self, blocks: Numbers, hosts: Numbers) -> None:
        """Count grains that do not lie on behind the guest's grain before."""
        import numpy as np

        if not len(blocks):
            return
        block, host = (
            np.concatenate(([last], column)) for last, column in zip(self.last, (blocks, hosts), strict=True)
        )
        apart = (block[1:] == block[:-1] + 1) & (host[1:] != host[:-1] + self.disk.block_size)
        self.fragmented += int(np.count_nonzero(apart))
        self.last = (int(blocks[-1]), int(hosts[-1]))


def _same(numbers: range) -> tuple[Numbers, Numbers, NDArray[np.bool_]]:
    """Entries without a place."""
    import numpy as np

    return np.array(numbers, np.int64), np.full(len(numbers), WRONG, np.int64), np.ones(len(numbers), np.bool_)


def walk(source: Source, facts: VmdkFacts, limits: Limits) -> VmdkTables | None:
    """The facts of all tables of a sparse extent; None for a descriptor file, which has none.

    Raises InputError only where the file cannot be read.
    """
    opener = _SPARSE.get(facts.kind)
    if opener is None:
        return None
    size = facts.virtual_size or 0
    try:
        if size > _MOST:
            raise DiskError(f"{source.name}: a disk of {size} bytes; at most {_MOST} are looked at")
        disk = opener(source, facts, limits, size, None, False)
    except DiskError as error:
        message = str(error).removeprefix(f"{source.name}: ")
        problem = Problem("malformed", "grain directory", message)
        return VmdkTables(facts=facts, totals=Totals(check_errors=1), problems=(problem,))
    state = _Walk(disk, _redundant(source, facts, limits, size), facts, limits)
    try:
        state.directory()
    finally:
        if state.inflating is not None:
            state.inflating.close()
    _areas(state, source)
    return _facts(state, source)


def _redundant(source: Source, facts: VmdkFacts, limits: Limits, size: int) -> GrainDisk | None:
    """The same disk by its redundant directory, where it has one."""
    if facts.kind != "sparse":
        return None
    header = counting_header(source, facts)
    if not header.flags & lay.FLAG_REDUNDANT or header.rgdOffset in (0, lay.GD_AT_END):
        return None
    if header.rgdOffset * SECTOR >= source.size:
        return None
    moved = replace(facts, header=header._replace(gdOffset=header.rgdOffset), footer_header=None)
    return hosted_disk(source, moved, limits, size, None, False)


def _areas(state: _Walk, source: Source) -> None:
    """Take the room of what is neither a table nor a grain."""
    facts, disk = state.facts, state.disk
    for name, start, length in _parts(facts, source):
        _take(state, start, start + length, name)
    for name, one in (("the grain directory", disk), ("the redundant grain directory", state.other)):
        if one is None or (name != "the grain directory" and one.directory_at == disk.directory_at):
            continue
        length = one.held * one.width
        marked = state.stream and has_marker(source, one.directory_at, length, lay.MARKER_DIRECTORY)
        start = one.directory_at - SECTOR * marked
        _take(state, start, ceil_div(one.directory_at + length, SECTOR) * SECTOR, name)


def _take(state: _Walk, start: int, end: int, name: str) -> None:
    """Take what the file has of an area."""
    size = state.disk.host.size
    state.claims.one(min(start, size), min(end, size), area_label(name))


def _parts(facts: VmdkFacts, source: Source) -> Iterator[tuple[str, int, int]]:
    """Areas beside the tables: name, byte, length."""
    yield "the header", 0, 4 * SECTOR if facts.kind == "cowd" else SECTOR
    if facts.descriptor is not None:
        yield "the descriptor", facts.descriptor.offset, max(facts.descriptor.room, facts.descriptor.length)
    if facts.footer_header is not None:
        yield "the footer", source.size - 3 * SECTOR, 3 * SECTOR
    if facts.sesparse_header is not None and facts.volatile is not None:
        yield "the volatile header", facts.sesparse_header.volatile_header_offset * SECTOR, SECTOR


def _left(state: _Walk, source: Source) -> Leftover:
    """What the gaps between all that is used hold; only a hosted extent has none by rights. Behind the last thing in
    use only grains of a stream are looked for."""
    facts, header = state.facts, state.facts.header
    if header is None or facts.kind != "sparse" or state.claims.full:
        return Leftover((), 0, 0, None)
    lows, highs = state.claims.gaps(min(header.overHead * SECTOR, source.size), source.size)
    if facts.markers and state.inflating is not None:
        return leftover(source, (lows, highs), header.capacity, header.grainSize, state.limits)
    wide = (highs < source.size) & (highs - lows >= (SECTOR if facts.compressed else state.disk.block_size))
    lows, highs = lows[wide], highs[wide]
    return Leftover((), 0, int((highs - lows).sum()), int(lows[0]) if len(lows) else None)


def _facts(state: _Walk, source: Source) -> VmdkTables:
    claims, inflating = state.claims, state.inflating
    left = _left(state, source)
    _, ends = claims.runs()
    packed = inflating.faults() if inflating is not None else ()
    problems: list[Problem] = []
    if claims.full:
        message = "the grains lie in too many pieces: not all were compared with one another"
        problems.append(Problem("cap", "grain tables", message))
    if inflating is not None and inflating.stopped:
        problems.append(Problem("cap", "grains", "not all compressed grains were inflated: there are too many"))
    faults = (state.tables_outside, state.grains_outside, state.unknown, state.unflagged)
    corruptions = sum(faulty.total for faulty in faults) + sum(one.total for one in packed)
    totals = Totals(
        image_end_offset=int(ends[-1]) if len(ends) else 0,
        total_clusters=state.blocks,
        allocated_clusters=state.allocated,
        fragmented_clusters=state.fragmented if inflating is None else None,
        compressed_clusters=state.packed,
        corruptions=corruptions + claims.overlaps + left.stray_total,
        check_errors=len(problems),
    )
    return VmdkTables(
        facts=state.facts,
        totals=totals,
        problems=tuple(problems),
        grain=state.disk.block_size,
        tables_outside=state.tables_outside,
        grains_outside=state.grains_outside,
        unknown=state.unknown,
        unflagged=state.unflagged,
        unmarked=state.unmarked,
        overlaps=claims.overlaps,
        overlapping=tuple(claims.found),
        packed=packed,
        redundant=state.redundant if state.other is not None else None,
        strays=left.strays,
        stray_total=left.stray_total,
        stale=left.stale,
        stale_at=left.stale_at,
    )
