"""qcow, version 1: the L1 table, every L2 table and what they give out. It has no reference counts.

Reference: QEMU block/qcow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgtool.codecs.block import inflate
from imgtool.codecs.feed import CodecError
from imgtool.formats.qcow.disk import first_level
from imgtool.formats.qcow.facts import QcowFacts
from imgtool.formats.qcow.layout import HEADER, OFLAG_COMPRESSED
from imgtool.limits import Limits
from imgtool.model.tables import NOT_FAULTY, Faulty, TableEntry, TableFacts, Totals
from imgtool.model.values import Problem
from imgtool.sources.base import Source
from imgtool.sources.claims import Claims, Overlap, noted
from imgtool.sources.levels import Batch, Levels
from imgtool.units import SECTOR, ceil_div

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

#: Labels of what is no guest's cluster.
HEADER_LABEL = -2
L1_LABEL = -3
L2_LABEL = -4

#: What inflating a cluster costs at least, in guest bytes.
_LEAST = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class QcowTables(TableFacts):
    """All tables. `tables`, `clusters`: entries of the L1 table, and of L2 tables (by the guest's cluster), that lie
    on the header or not on a sector; `tables_outside`, `clusters_outside`: those past the end of the file.
    `packed`: compressed clusters that do not make a cluster. `inflated` of the `compressed`
    ones that lie in the file were inflated.
    """

    facts: QcowFacts
    tables: Faulty = NOT_FAULTY
    tables_outside: Faulty = NOT_FAULTY
    clusters: Faulty = NOT_FAULTY
    clusters_outside: Faulty = NOT_FAULTY
    packed: Faulty = NOT_FAULTY
    inflated: int = 0
    compressed: int = 0
    overlaps: int = 0
    overlapping: tuple[Overlap, ...] = ()


class _Walk:
    """What is counted along the tables. Claims are in bytes."""

    def __init__(self, source: Source, facts: QcowFacts, limits: Limits) -> None:
        self.source, self.facts, self.limits = source, facts, limits
        self.size = 1 << facts.cluster_bits
        self.shift = 63 - facts.cluster_bits
        self.levels = Levels(source, first_level(facts, limits), limits)
        self.claims = Claims(limits)
        self.allocated = self.fragmented = self.compressed = self.sound = self.inflated = 0
        self.end = HEADER.size
        self.clusters = self.outside = self.packed = NOT_FAULTY
        self.left = 0 if facts.encrypted else limits.table_inflated // max(_LEAST, self.size)

    def tables(self) -> None:
        """Claim the header, the backing file's name, the L1 table and the L2 tables."""
        import numpy as np

        facts, level = self.facts, self.levels.level
        self.take(0, HEADER.size, HEADER_LABEL)
        if facts.backing_file is not None:
            self.take(facts.backing_file_offset, facts.backing_file_size, HEADER_LABEL)
        self.take(level.start, level.tables * 8, L1_LABEL)
        if level.tables and level.start <= self.source.size:  # it is written in whole sectors
            self.end = max(self.end, min(level.start + ceil_div(level.tables * 8, SECTOR) * SECTOR, self.source.size))
        tables = self.levels.tables
        self.claims.claim(tables, tables + self.levels.table_size, np.full(len(tables), L2_LABEL, np.int64))
        if len(tables):
            self.end = max(self.end, int(tables.max()) + self.levels.table_size)

    def take(self, start: int, length: int, label: int) -> None:
        """Claim a range that lies in the file."""
        if length and start + length <= self.source.size:
            self.claims.one(start, start + length, label)
            self.end = max(self.end, start + length)

    def batch(self, batch: Batch) -> None:
        """The entries of some L2 tables."""
        import numpy as np

        entries = np.flatnonzero(batch.words)
        words = batch.words[entries]
        blocks = batch.blocks(entries)
        packed = (words & np.uint64(OFLAG_COMPRESSED)) != 0
        self._plain(entries[~packed] // batch.per_table, blocks[~packed], words[~packed])
        self._packed(blocks[packed], words[packed])

    def _plain(self, table: Numbers, blocks: Numbers, words: NDArray[np.uint64]) -> None:
        import numpy as np

        offsets = words.astype(np.int64)
        self.allocated += len(words)
        breaks = (offsets[1:] != offsets[:-1] + self.size) & (table[1:] == table[:-1])
        self.fragmented += int(np.count_nonzero(breaks))
        wrong = (offsets < HEADER.size) | (offsets % SECTOR != 0)
        outside = ~wrong & (offsets >= self.source.size)
        self.clusters = noted(self.clusters, blocks, words, wrong, self.limits)
        self.outside = noted(self.outside, blocks, words, outside, self.limits)
        self._claim(offsets[~wrong & ~outside], self.size, blocks[~wrong & ~outside])

    def _packed(self, blocks: Numbers, words: NDArray[np.uint64]) -> None:
        import numpy as np

        descriptors = (words & np.uint64(OFLAG_COMPRESSED - 1)).astype(np.int64)
        offsets, lengths = descriptors & (1 << self.shift) - 1, descriptors >> self.shift
        self.allocated += len(words)
        self.fragmented += len(words)
        self.compressed += len(words)
        wrong = (offsets < HEADER.size) | (lengths == 0)
        outside = ~wrong & (offsets + lengths > self.source.size)
        self.clusters = noted(self.clusters, blocks, words, wrong, self.limits)
        self.outside = noted(self.outside, blocks, words, outside, self.limits)
        holds = ~wrong & ~outside
        self._claim(offsets[holds], lengths[holds], blocks[holds])
        sound = int(np.count_nonzero(holds))
        self.sound += sound
        count = min(sound, self.left - self.inflated)
        rows = zip(*(column[holds][:count].tolist() for column in (blocks, offsets, lengths)), strict=True)
        for block, offset, length in rows:
            if not self._inflates(offset, length):
                kept = self.packed.first[: self.limits.table_faults - 1]
                self.packed = Faulty(self.packed.total + 1, (*kept, TableEntry(block, offset)))
        self.inflated += count

    def _claim(self, starts: Numbers, lengths: Numbers | int, labels: Numbers) -> None:
        ends = starts + lengths
        self.claims.claim(starts, ends, labels)
        self.end = max(self.end, int(ends.max(initial=0)))

    def _inflates(self, offset: int, length: int) -> bool:
        try:
            return len(inflate(self.source.read_at(offset, length), self.size)) == self.size
        except CodecError:
            return False


def walk(source: Source, facts: QcowFacts, limits: Limits) -> QcowTables:
    """The facts of all tables of a qcow. Raises InputError only where the file cannot be read."""
    state = _Walk(source, facts, limits)
    state.tables()
    for batch in state.levels.batches():
        state.batch(batch)
        if state.clusters.total + state.outside.total + state.claims.overlaps > limits.table_broken:
            break
    state.claims.settle()
    levels, problems = state.levels, _problems(state, facts)
    faulty = (levels.misplaced, levels.outside, state.clusters, state.outside)
    totals = Totals(
        image_end_offset=state.end,
        total_clusters=ceil_div(facts.size, state.size),
        allocated_clusters=state.allocated,
        fragmented_clusters=state.fragmented,
        compressed_clusters=state.compressed,
        corruptions=sum(one.total for one in faulty) + state.claims.overlaps,
        check_errors=len(problems),
    )
    return QcowTables(
        facts=facts,
        totals=totals,
        problems=tuple(problems),
        unit=state.size,
        tables=levels.misplaced,
        tables_outside=levels.outside,
        clusters=state.clusters,
        clusters_outside=state.outside,
        packed=state.packed,
        inflated=state.inflated,
        compressed=state.sound,
        overlaps=state.claims.overlaps,
        overlapping=tuple(state.claims.found),
    )


def _problems(state: _Walk, facts: QcowFacts) -> list[Problem]:
    at, entries, found = facts.l1_table_offset, facts.l1_size or 0, []
    if state.levels.held < entries and not state.levels.misplaced.total + state.levels.outside.total:
        message = f"the L1 table has {entries} entries, {state.levels.held} of them were read"
        found.append(Problem("truncated", "L1 table", message, at))
    if state.levels.dropped:
        message = f"{state.levels.dropped} L2 tables more than {state.limits.table_count} were not read"
        found.append(Problem("cap", "L2 tables", message, at))
    if state.claims.full:
        message = "the clusters lie in too many pieces: not all were compared with one another"
        found.append(Problem("cap", "L2 tables", message, at))
    return found
