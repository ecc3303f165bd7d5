"""qcow2: the walk over all tables. Every L2 table is read once (or once a window), every reference counted.

Totals are those of `qemu-img check`. The memory it takes does not depend on what the image claims.

Reference: QEMU docs/interop/qcow2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from imgtool.formats.qcow2.disk import entry_rules
from imgtool.formats.qcow2.facts import Qcow2Facts
from imgtool.formats.qcow2.walk.copied import Copied
from imgtool.formats.qcow2.walk.counting import Compared, Window
from imgtool.formats.qcow2.walk.facts import Faults, Place, Qcow2TableFacts
from imgtool.formats.qcow2.walk.level1 import Level2, distinct, read_level1
from imgtool.formats.qcow2.walk.level2 import Batch, Form, Stats, batches, judge, references
from imgtool.formats.qcow2.walk.packed import Inflater
from imgtool.formats.qcow2.walk.refcounts import Refcounts
from imgtool.formats.qcow2.walk.regions import Regions, read_regions
from imgtool.limits import Limits
from imgtool.model.tables import Totals
from imgtool.sources.base import Source
from imgtool.sources.present import Present
from imgtool.structs.view import View
from imgtool.units import SECTOR, ceil_div

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]


def walk(source: Source, facts: Qcow2Facts, limits: Limits) -> Qcow2TableFacts:
    """The facts of all tables of a qcow2 image."""
    return _Walk(source, facts, limits).run()


class _Walk:
    """One walk: what it has read, and what it found so far."""

    def __init__(self, source: Source, facts: Qcow2Facts, limits: Limits) -> None:
        self.source = source
        self.facts = facts
        self.limits = limits
        self.faults = Faults(limits.table_faults)
        self.view = View(source, limits)
        self.cluster_size = facts.cluster_size or SECTOR
        self.clusters = ceil_div(source.size, self.cluster_size)
        rules = entry_rules(source, facts, None)
        self.form = Form(rules, facts.version, facts.extended_l2, source.size)
        self.regions: Regions = read_regions(source, facts, limits, self.faults, self.view)
        self.level: Level2 = read_level1(source, list(self.regions.l1), self.cluster_size, limits, self.faults)
        self.refcounts = Refcounts(source, facts, limits, self.faults)
        self.present = Present(source, len(self.level.offsets) * self.cluster_size, limits)
        self.inflater = Inflater(source, facts, limits, self.form, self.faults)
        self.copied = Copied(self.level, self.refcounts, self.form, self.faults)
        self.stats = Stats()
        self.compared: list[Compared] = []

    def run(self) -> Qcow2TableFacts:
        """Read everything, once for each window."""
        windows = list(self._windows())
        self._table_overlaps()
        for number, window in enumerate(windows):
            self._pass(Window(self.refcounts, *window), first=number == 0)
        self.copied.rest()
        errors = self.regions.unread + bool(self.level.dropped) + (not self.refcounts.readable)
        errors += self.refcounts.unread(self.clusters)
        if self.level.dropped:
            message = f"{self.level.dropped} L2 tables more than {self.limits.table_count}"
            self.view.problem("L2 tables", message, kind="cap")
        leaks, last = self._leaks_and_end()
        totals = Totals(
            image_end_offset=(max(0, last) + 1) * self.cluster_size,
            total_clusters=ceil_div(self.facts.size // SECTOR * SECTOR, self.cluster_size),
            allocated_clusters=self.stats.allocated,
            fragmented_clusters=self.stats.fragmented,
            compressed_clusters=self.stats.compressed,
            leaks=leaks,
            corruptions=self.faults.corruptions(),
            check_errors=errors,
        )
        return Qcow2TableFacts(
            facts=self.facts,
            totals=totals,
            problems=self.view.problems,
            unit=self.cluster_size,
            faults=self.faults.told(),
            inflated=self.inflater.done,
            compressed=self.inflater.seen,
        )

    def _batches(self) -> Iterator[Batch]:
        return batches(self.source, self.level, self.form, self.present)

    def _windows(self) -> Iterator[tuple[int, int, Numbers | None]]:
        """The windows that hold every reference: their first and last cluster, and the clusters in use in them
        where that is not all of them."""
        import numpy as np

        size = self.limits.qcow2_check_window
        if self.clusters < size:
            yield 0, self.clusters + 1, None  # a compressed cluster may end in what would be the next one
            return
        used, windows = self._used(size)
        if used is not None:
            yield 0, self.clusters + 1, used
            return
        if len(windows) > self.limits.qcow2_check_windows:
            message = f"references to {len(windows)} parts of the file, {self.limits.qcow2_check_windows} are counted"
            self.view.problem("reference counts", message, kind="cap")
            windows = windows[: self.limits.qcow2_check_windows]
        for number in np.asarray(windows).tolist():
            yield number * size, min((number + 1) * size, self.clusters + 1), None

    def _used(self, size: int) -> tuple[Numbers | None, Numbers]:
        """The clusters that are referred to, None where they are too many; and the windows they lie in."""
        import numpy as np

        kept: Numbers | None = distinct(np.concatenate((self._tables(), self.regions.clusters)))
        windows = distinct(np.asarray(kept) // size)
        pending: list[Numbers] = []
        held = 0
        for batch in self._batches():
            for found in references(batch, self.form):
                clusters = found.clusters if kept is not None else found.clusters // size * size
                pending.append(distinct(clusters))
                held += len(pending[-1])
            if held > self.limits.qcow2_check_scattered // 4:
                kept, windows = self._merged(kept, windows, pending, size)
                pending, held = [], 0
        return self._merged(kept, windows, pending, size)

    def _merged(
        self, kept: Numbers | None, windows: Numbers, pending: list[Numbers], size: int
    ) -> tuple[Numbers | None, Numbers]:
        import numpy as np

        windows = distinct(np.concatenate([windows, *(part // size for part in pending)]))
        if kept is not None:
            kept = distinct(np.concatenate([kept, *pending]))
            kept = None if len(kept) > self.limits.qcow2_check_scattered else kept
        return kept, windows

    def _tables(self) -> Numbers:
        """The clusters of L2 tables and of blocks of reference counts; some more than once."""
        import numpy as np

        shift = self.form.shift
        ends = self.level.offsets[(self.level.offsets & (self.cluster_size - 1)) != 0]
        return np.concatenate((self.level.offsets >> shift, (ends >> shift) + 1, self.refcounts.blocks))

    def _table_overlaps(self) -> None:
        """Note tables that lie on one another."""
        import numpy as np

        found, times = np.unique(self._tables(), return_counts=True)
        twice = [found[times > 1], self.regions.clusters[self.regions.times > 1]]
        twice.append(np.intersect1d(found, self.regions.clusters, assume_unique=True))
        hit = distinct(np.concatenate(twice))
        places = [
            Place(number * self.cluster_size, what="tables lie on one another")
            for number in hit[: self.faults.listed].tolist()
        ]
        self.faults.add("overlap", places, len(hit))

    def _pass(self, window: Window, *, first: bool) -> None:
        """Count the references into a window; the first pass looks at the entries themselves, too."""
        import numpy as np

        for batch in self._batches():
            if first:
                judge(batch, self.form, self.faults)
                self.stats = self.stats.plus(batch, self.form)
                self.inflater.take(batch)
            for found in references(batch, self.form):
                window.add(found.clusters, found.weights)
            self.copied.data(batch, window, first=first)
        window.overlaps(
            distinct(np.concatenate((self._tables(), self.regions.clusters))), self.faults, self.cluster_size
        )
        window.add(self.regions.clusters, self.regions.times)
        shift, times = self.form.shift, self.level.active + self.level.saved
        window.add(self.level.offsets >> shift, times)
        off = (self.level.offsets & (self.cluster_size - 1)) != 0
        window.add((self.level.offsets[off] >> shift) + 1, times[off])
        self._blocks(window)
        self.copied.tables(window, first=first)
        self.compared.append(window.compare(self.faults, self.cluster_size, self.clusters))

    def _blocks(self, window: Window) -> None:
        """Count the blocks of reference counts: each is counted once, and by nothing else."""
        import numpy as np

        blocks, times = np.unique(self.refcounts.blocks, return_counts=True)
        places, inside = window.places(blocks)
        if inside is not None:
            blocks, times = blocks[inside], times[inside]
        before = window.counts[places]
        window.add(blocks, times)
        if self.refcounts.most == 1:
            return
        wrong = times - (before == 0)
        where = np.flatnonzero(wrong)
        chosen = where[: self.faults.listed].tolist()
        found = [Place(int(blocks[at]) * self.cluster_size, int(before[at]) + int(times[at])) for at in chosen]
        self.faults.add("refcount-shared", found, int(wrong.sum()))

    def _leaks_and_end(self) -> tuple[int, int]:
        """Clusters recorded too high, and the last one in use."""
        leaks = sum(found.leaks for found in self.compared)
        last = max((found.last for found in self.compared), default=-1)
        if self.clusters < self.limits.qcow2_check_window:
            return leaks, last
        recorded, highest = self.refcounts.used(self.clusters)
        beyond = recorded - sum(found.recorded for found in self.compared)
        if beyond > 0:
            self.faults.add("leak", (), beyond)
        return leaks + max(0, beyond), max(last, highest)
