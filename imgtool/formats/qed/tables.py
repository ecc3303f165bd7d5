"""QED: the L1 table, every L2 table and what is left of the file, as `qemu-img check` counts them.

Reference: QEMU docs/interop/qed_spec, sections "Tables", "Consistency checking".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgtool.formats.qed.disk import first_level, floor_of
from imgtool.formats.qed.facts import QedFacts
from imgtool.formats.qed.layout import ZERO_CLUSTER
from imgtool.limits import Limits
from imgtool.model.tables import NOT_FAULTY, Faulty, TableFacts, Totals
from imgtool.model.values import Problem
from imgtool.sources.base import Source
from imgtool.sources.claims import Claims, Overlap, noted
from imgtool.sources.levels import Batch, Levels
from imgtool.units import ceil_div

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

#: Labels of clusters that are no guest's.
L1_LABEL = -2
L2_LABEL = -3


@dataclass(frozen=True, slots=True, kw_only=True)
class QedTables(TableFacts):
    """All tables. `tables`: entries of the L1 table that name no table, `clusters` those of L2 tables (by the guest's
    cluster) that name no cluster. Overlaps count clusters; their places are numbers of clusters."""

    facts: QedFacts
    tables: Faulty = NOT_FAULTY
    clusters: Faulty = NOT_FAULTY
    overlaps: int = 0
    overlapping: tuple[Overlap, ...] = ()


class _Walk:
    """What is counted along the tables. Clusters are counted by number."""

    def __init__(self, source: Source, facts: QedFacts, limits: Limits) -> None:
        self.facts, self.limits = facts, limits
        self.floor = floor_of(facts)
        self.end = source.size // facts.cluster_size * facts.cluster_size
        self.levels = Levels(source, first_level(facts, self.floor), limits)
        self.claims = Claims(limits)
        self.allocated = self.fragmented = 0
        self.clusters = NOT_FAULTY

    def tables(self) -> None:
        """Claim the L1 table and the L2 tables, each of their clusters for itself."""
        import numpy as np

        size, per_table = self.facts.cluster_size, self.facts.table_size
        steps = np.arange(per_table, dtype=np.int64)
        if self.levels.level.tables:
            own = self.facts.l1_table_offset // size + steps
            self.claims.claim(own, own + 1, np.full(per_table, L1_LABEL, np.int64))
        batch = max(1, self.limits.table_batch // per_table)
        for start in range(0, len(self.levels.tables), batch):
            first = self.levels.tables[start : start + batch] // size
            numbers = (first[:, None] + steps).reshape(-1)
            self.claims.claim(numbers, numbers + 1, np.full(len(numbers), L2_LABEL, np.int64))

    def batch(self, batch: Batch) -> None:
        """The entries of some L2 tables."""
        import numpy as np

        size = self.facts.cluster_size
        entries = np.flatnonzero(batch.words > np.uint64(ZERO_CLUSTER))
        words = batch.words[entries]
        self.allocated += len(entries)
        table = entries // batch.per_table
        breaks = (words[1:] != words[:-1] + np.uint64(size)) & (table[1:] == table[:-1])
        self.fragmented += int(np.count_nonzero(breaks))
        holds = (words >= np.uint64(self.floor)) & (words < np.uint64(self.end)) & (words % np.uint64(size) == 0)
        blocks = batch.blocks(entries)
        self.clusters = noted(self.clusters, blocks, words, ~holds, self.limits)
        numbers = words[holds].astype(np.int64) // size
        self.claims.claim(numbers, numbers + 1, blocks[holds])


def walk(source: Source, facts: QedFacts, limits: Limits) -> QedTables:
    """The facts of all tables of a QED. Raises InputError only where the file cannot be read."""
    state = _Walk(source, facts, limits)
    state.tables()
    for batch in state.levels.batches():
        state.batch(batch)
        if state.clusters.total + state.claims.overlaps > limits.table_broken:
            break
    return _facts(state, facts)


def _facts(state: _Walk, facts: QedFacts) -> QedTables:
    levels, size = state.levels, facts.cluster_size
    starts, ends = state.claims.runs()
    problems = list(_problems(state, facts))
    tables = Faulty(
        levels.misplaced.total + levels.outside.total,
        (*levels.misplaced.first, *levels.outside.first)[: state.limits.table_faults],
    )
    header = state.floor // size
    last = max(int(ends[-1]) if len(ends) else 0, header)
    totals = Totals(
        image_end_offset=last * size,
        total_clusters=ceil_div(facts.image_size, size),
        allocated_clusters=state.allocated,
        fragmented_clusters=state.fragmented,
        leaks=0 if problems else max(0, state.end // size - header - _whole(starts, ends, state.end // size)),
        corruptions=tables.total + state.clusters.total + state.claims.overlaps,
        check_errors=len(problems),
    )
    return QedTables(
        facts=facts,
        totals=totals,
        problems=tuple(problems),
        unit=size,
        tables=tables,
        clusters=state.clusters,
        overlaps=state.claims.overlaps,
        overlapping=tuple(state.claims.found),
    )


def _whole(starts: Numbers, ends: Numbers, clusters: int) -> int:
    """How many of the first `clusters` clusters are in runs."""
    import numpy as np

    return int((np.minimum(ends, clusters) - np.minimum(starts, clusters)).sum())


def _problems(state: _Walk, facts: QedFacts) -> list[Problem]:
    entries = facts.table_size * facts.cluster_size // 8
    at, found = facts.l1_table_offset, []
    if state.levels.held < entries and not state.levels.misplaced.total + state.levels.outside.total:
        message = f"the L1 table has {entries} entries, {state.levels.held} of them were read"
        found.append(Problem("truncated", "L1 table", message, at, entries * 8))
    if state.levels.dropped:
        message = f"{state.levels.dropped} L2 tables more than {state.limits.table_count} were not read"
        found.append(Problem("cap", "L2 tables", message, at))
    if state.claims.full:
        message = "the clusters lie in too many pieces: not all were compared with one another"
        found.append(Problem("cap", "L2 tables", message, at))
    return found
