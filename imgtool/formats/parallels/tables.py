"""Parallels (ploop): the block allocation table, all of it, once; and what else takes clusters of the file.

Reference: QEMU docs/interop/parallels, sections "BAT" and "Dirty bitmaps feature".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgtool.formats.parallels.disk import ParallelsDisk, open_disk
from imgtool.formats.parallels.facts import ParallelsFacts
from imgtool.formats.parallels.layout import DIRTY_BITMAP, HEADER
from imgtool.formats.parallels.reader import table_end
from imgtool.limits import Limits
from imgtool.model.tables import NOT_FAULTY, Faulty, TableFacts, Totals
from imgtool.model.values import Problem
from imgtool.sources.base import Source
from imgtool.sources.blocks import BAD, HOLE
from imgtool.sources.claims import Claims, Overlap, noted
from imgtool.sources.disk import DiskError
from imgtool.units import SECTOR, ceil_div

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Labels of what is no cluster of the guest.
TABLE_LABEL = -2
EXTENSION_LABEL = -3
BITMAP_LABEL = -4


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelsTables(TableFacts):
    """The block allocation table. `misplaced`: entries before the data area or between its clusters; `outside`: those
    whose cluster ends past the file. `leaked` bytes of whole clusters that nothing uses, the first at `leaked_at`.
    """

    facts: ParallelsFacts
    misplaced: Faulty = NOT_FAULTY
    outside: Faulty = NOT_FAULTY
    overlaps: int = 0
    overlapping: tuple[Overlap, ...] = ()
    leaked: int = 0
    leaked_at: int | None = None


class _Walk:
    """What is counted along the table."""

    def __init__(self, disk: ParallelsDisk, facts: ParallelsFacts, limits: Limits) -> None:
        self.disk, self.facts, self.limits = disk, facts, limits
        self.claims = Claims(limits)
        self.allocated = self.fragmented = self.held = 0
        self.high = 0
        self.last = 0
        self.misplaced = self.outside = NOT_FAULTY

    def faults(self) -> int:
        """Faults counted so far, but for overlaps that are still to be found."""
        return self.claims.overlaps + self.misplaced.total + self.outside.total

    def piece(self, first: int, words: NDArray[np.int64]) -> None:
        """The entries from cluster `first` on."""
        import numpy as np

        if not words.any():
            self.held += len(words)
            self.last = 0
            return
        size, cluster = self.disk.host.size, self.disk.block_size
        kinds, hosts = self.disk.meanings(words)
        there = np.flatnonzero(kinds != HOLE)
        places, numbers = hosts[there], there + first
        ends = places + np.clip(self.disk.size - numbers * cluster, 1, cluster)
        outside = (ends > size) | (places >= size)
        self.outside = noted(self.outside, numbers, places, outside, self.limits)
        wrong = (kinds[there] == BAD) & ~outside
        self.misplaced = noted(self.misplaced, numbers, places, wrong, self.limits)
        self.held += len(words)
        self.allocated += len(there)
        before = np.concatenate(([self.last], np.where(kinds == HOLE, 0, hosts)[:-1]))[there]
        self.fragmented += int(np.count_nonzero((before > 0) & (before + cluster != places)))
        self.last = int(hosts[-1]) if kinds[-1] != HOLE else 0
        sound = ~outside
        self.claims.claim(places[sound], places[sound] + cluster, numbers[sound])
        self.high = max(self.high, int(places.max(initial=0)))


def walk(source: Source, facts: ParallelsFacts, limits: Limits) -> ParallelsTables:
    """The facts of the table. Raises InputError only where the file cannot be read."""
    try:
        disk = open_disk(source, facts, limits, (), None)
    except DiskError as error:
        message = str(error).removeprefix(f"{source.name}: ")
        problem = Problem("malformed", "block allocation table", message, HEADER.size, None)
        return ParallelsTables(facts=facts, totals=Totals(check_errors=1), problems=(problem,))
    assert isinstance(disk, ParallelsDisk)
    state = _Walk(disk, facts, limits)
    batch = limits.table_batch
    for first in range(0, min(facts.bat_entries, limits.parallels_bat_entries), batch):
        words = disk.words(first, min(batch, facts.bat_entries - first))
        if not len(words) or state.faults() > limits.table_broken:
            break
        state.piece(first, words)
    return _facts(state, facts)


def _facts(state: _Walk, facts: ParallelsFacts) -> ParallelsTables:
    cluster, size = state.disk.block_size, state.disk.host.size
    claims = state.claims
    claims.one(0, table_end(facts.header), TABLE_LABEL)
    end = state.high + cluster if state.allocated else facts.data_offset
    for start, label in _others(state.disk.host, facts):
        claims.one(start, start + cluster, label)
        end = max(end, start + cluster)
    lows, highs = claims.gaps(facts.data_offset, size)
    whole = (highs - lows) // cluster + ((highs == size) & ((highs - lows) % cluster != 0))
    leaks = int(whole.sum())
    problems: list[Problem] = []
    if state.held < facts.bat_entries:
        message = f"the table has {facts.bat_entries} entries, {state.held} of them were read"
        problems.append(Problem("truncated", "block allocation table", message, HEADER.size, facts.bat_entries * 4))
    if claims.full:
        message = "the clusters lie in too many pieces: not all were compared with one another"
        problems.append(Problem("cap", "block allocation table", message, HEADER.size))
    totals = Totals(
        image_end_offset=end,
        total_clusters=facts.bat_entries,
        allocated_clusters=state.allocated,
        fragmented_clusters=state.fragmented,
        compressed_clusters=0,
        leaks=leaks,
        corruptions=state.outside.total + state.misplaced.total + claims.overlaps + facts.dirty,
        check_errors=len(problems),
    )
    return ParallelsTables(
        facts=facts,
        totals=totals,
        problems=tuple(problems),
        unit=cluster,
        misplaced=state.misplaced,
        outside=state.outside,
        overlaps=claims.overlaps,
        overlapping=tuple(claims.found),
        leaked=int((highs - lows)[whole > 0].sum()),
        leaked_at=int(lows[whole > 0][0]) if leaks else None,
    )


def _others(source: Source, facts: ParallelsFacts) -> Iterator[tuple[int, int]]:
    """Where clusters lie that are no data: the format extension, and those its dirty bitmaps name; with labels."""
    if facts.extension is None:
        return
    yield facts.extension.offset, EXTENSION_LABEL
    for feature in facts.extension.features:
        bitmap = feature.bitmap
        if bitmap is None:
            continue
        most = max(0, min(bitmap.l1_size, (feature.length - DIRTY_BITMAP.size) // 8))
        table = source.read_at(feature.offset + DIRTY_BITMAP.size, most * 8)
        for index in range(len(table) // 8):
            sector = int.from_bytes(table[index * 8 : index * 8 + 8], "little")
            if 1 < sector < ceil_div(source.size, SECTOR):
                yield sector * SECTOR, BITMAP_LABEL
