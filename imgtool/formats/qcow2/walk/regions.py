"""qcow2: the parts of the file that are no guest data: header, tables, what the header points at.

References: QEMU docs/interop/qcow2, sections "Snapshots", "Bitmaps", "Full disk encryption header pointer".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from imgtool.formats.qcow2 import layout as lay
from imgtool.formats.qcow2 import metadata
from imgtool.formats.qcow2.facts import Bitmap, Qcow2Facts, Snapshot
from imgtool.formats.qcow2.walk.facts import FaultKind, Faults, Place
from imgtool.formats.qcow2.walk.level1 import L1Table, Tally, summed
from imgtool.limits import Limits
from imgtool.model.values import ProblemKind
from imgtool.sources.base import Source
from imgtool.structs.view import View

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]


class Regions(NamedTuple):
    """`clusters`: the clusters that regions take up, each once, with how often it is taken in `times`.

    `l1`: the L1 tables that can be read. `unread`: tables that cannot.
    """

    clusters: Numbers
    times: Numbers
    l1: tuple[L1Table, ...]
    unread: int


class _Gatherer:
    """Regions as they are found."""

    def __init__(self, source: Source, facts: Qcow2Facts, limits: Limits, faults: Faults, view: View) -> None:
        self.source = source
        self.facts = facts
        self.limits = limits
        self.faults = faults
        self.view = view
        self.cluster_size = facts.cluster_size or 1
        self.parts: list[tuple[Numbers, int]] = []
        self.left = limits.table_bytes
        self.unread = 0

    def add(self, what: str, offset: int, size: int, times: int = 1) -> None:
        """A region of `size` bytes; one that ends a cluster or more past the file is a fault and takes up nothing."""
        import numpy as np

        if size <= 0 or not self.affordable(what, offset, size):
            return
        if offset + size - self.source.size >= self.cluster_size:
            self.faults.one("region-outside", Place(offset, size, what=what), times)
            return
        first, last = offset // self.cluster_size, (offset + size - 1) // self.cluster_size
        self.parts.append((np.arange(first, last + 1, dtype=np.int64), times))

    def affordable(self, what: str, offset: int, size: int) -> bool:
        """Whether `size` bytes of tables more are within the cap; it is noted where they are not."""
        if size > self.left:
            message = f"{what}: {size} bytes more of tables are over the cap of {self.limits.table_bytes}"
            self.skip("cap", what, message, offset)
            return False
        self.left -= size
        return True

    def skip(self, kind: ProblemKind, what: str, message: str, offset: int) -> None:
        """Note a table that cannot be read."""
        self.view.problem(what, message, kind=kind, offset=offset)
        self.unread += 1

    def l1_tables(self, snapshots: tuple[Snapshot, ...]) -> Iterator[L1Table]:
        """The L1 tables that can be read, those of snapshots once each."""
        facts, most = self.facts, self.limits.qcow2_l1_table
        if facts.l1_size * 8 > most or facts.l1_table_offset % self.cluster_size:
            message = f"L1 table at {facts.l1_table_offset} of {facts.l1_size} entries"
            self.skip("malformed", "L1 table", message, facts.l1_table_offset)
        elif facts.l1_size:
            yield L1Table(facts.l1_table_offset, facts.l1_size, active=True)
        shared: Counter[tuple[int, int]] = Counter()
        for snapshot in snapshots:
            if snapshot.l1_table_offset % self.cluster_size or snapshot.l1_size * 8 > most:
                self.faults.one("snapshot-table", Place(snapshot.entry_offset, what=snapshot.name))
            elif snapshot.l1_size:
                shared[snapshot.l1_table_offset, snapshot.l1_size] += 1
            if facts.version >= 3 and snapshot.extra_data_size < lay.SNAPSHOT_EXTRA.size:
                self.faults.one("snapshot-short", Place(snapshot.entry_offset, what=snapshot.name))
        for (offset, size), times in shared.items():
            yield L1Table(offset, size, active=False, times=times)

    def bitmaps(self) -> None:
        """The bitmap directory, the bitmaps' tables and what they name."""
        extension = self.facts.bitmaps_extension
        if extension is None or "bitmaps" not in self.facts.autoclear_features:
            return
        self.add("bitmap directory", extension.bitmap_directory_offset, extension.bitmap_directory_size)
        every = self.limits._replace(qcow2_bitmaps_listed=self.limits.qcow2_bitmaps)
        tally = Tally(self.limits.table_count)
        known = len(self.view.problems)
        bitmaps = metadata.bitmaps(self.view, extension, lay.AUTOCLEAR_BITMAPS, every)
        self.unread += len(self.view.problems) > known
        for bitmap in bitmaps:
            if bitmap.table_size > lay.MAX_BITMAP_TABLE:
                message = f"table of bitmap {bitmap.name!r} of {bitmap.table_size} entries"
                self.skip("cap", "bitmap table", message, bitmap.table_offset)
            else:
                self.add("bitmap table", bitmap.table_offset, bitmap.table_size * 8)
                self._bitmap_table(bitmap, tally)
        tally.merge()
        self.parts += [(tally.keys[tally.counts == times], times) for times in set(tally.counts.tolist())]

    def _bitmap_table(self, bitmap: Bitmap, tally: Tally) -> None:
        import numpy as np

        step = self.limits.table_batch // 4
        for start in range(0, bitmap.table_size, step):
            at = bitmap.table_offset + start * 8
            raw = self.source.read_at(at, min(step, bitmap.table_size - start) * 8)
            words = np.frombuffer(raw, ">u8", len(raw) // 8).astype(np.uint64)
            offsets = (words & np.uint64(lay.TABLE_OFFSET_MASK)).view(np.int64)
            wrong = (words & np.uint64(lay.BITMAP_RESERVED)) != 0
            wrong |= (offsets != 0) & ((words & np.uint64(1)) != 0)
            wrong |= (offsets & (self.cluster_size - 1)) != 0
            outside = ~wrong & (offsets >= self.source.size)
            kinds: tuple[tuple[FaultKind, NDArray[np.bool_]], ...] = (
                ("bitmap-entry", wrong),
                ("bitmap-outside", outside),
            )
            for kind, mask in kinds:
                where = np.flatnonzero(mask)
                first = where[: self.faults.listed].tolist()
                places = [Place(at + index * 8, int(words[index]), what=bitmap.name) for index in first]
                self.faults.add(kind, places, len(where))
            tally.add(offsets[~wrong & ~outside & (offsets != 0)] // self.cluster_size)

    def taken(self) -> tuple[Numbers, Numbers]:
        """The clusters of all regions so far, each once, and how often each is taken."""
        import numpy as np

        clusters = np.concatenate([part for part, _ in self.parts])
        return summed(clusters, np.concatenate([np.full(len(part), times) for part, times in self.parts]))


def read_regions(source: Source, facts: Qcow2Facts, limits: Limits, faults: Faults, view: View) -> Regions:
    """All regions of an image; what cannot be read is noted in `view`."""
    found = _Gatherer(source, facts, limits, faults, view)
    found.add("header", 0, found.cluster_size)
    snapshots: tuple[Snapshot, ...] = ()
    if facts.nb_snapshots:
        every = limits._replace(qcow2_snapshots_listed=limits.qcow2_snapshots)
        known = len(view.problems)
        snapshots, end = metadata.snapshot_table(view, facts.header, every)
        found.unread += len(view.problems) > known
        found.add("snapshot table", facts.snapshots_offset, end - facts.snapshots_offset)
        if "external-data-file" in facts.incompatible_features:
            faults.one("snapshot-elsewhere", Place(60, facts.nb_snapshots))
    tables = []
    for table in found.l1_tables(snapshots):
        if found.affordable("L1 table", table.offset, table.size * 8):
            found.left += table.size * 8
            found.add("L1 table", table.offset, table.size * 8, table.times)
            tables.append(table)
    table_size = facts.refcount_table_clusters * found.cluster_size
    if table_size > limits.qcow2_refcount_table or facts.refcount_table_offset % found.cluster_size:
        message = f"reference count table at {facts.refcount_table_offset} of {table_size} bytes"
        found.skip("malformed", "reference count table", message, facts.refcount_table_offset)
    else:
        found.add("reference count table", facts.refcount_table_offset, table_size)
    if facts.crypto_header is not None and facts.crypt_method == 2:
        found.add("encryption header", facts.crypto_header.offset, facts.crypto_header.length)
    found.bitmaps()
    clusters, times = found.taken()
    return Regions(clusters, times, tuple(tables), found.unread)
