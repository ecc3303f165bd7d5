"""qcow2: all L1 tables, of the active image and of every snapshot, as the L2 tables that they name.

Each L2 table is walked once, however many entries name it: a table that a million entries share costs what one does.

Reference: QEMU docs/interop/qcow2, section "L1 table entry".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from imgtool.formats.qcow2 import layout as lay
from imgtool.formats.qcow2.walk.facts import FaultKind, Faults, Place
from imgtool.limits import Limits
from imgtool.sources.base import Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Entries that are gathered before they are merged, and the count at which counts stop.
_PENDING = 1 << 19
MOST = 1 << 31


class L1Table(NamedTuple):
    """Where an L1 table lies: `size` in entries; `times`: how many snapshots share it. `active`: the image's own."""

    offset: int
    size: int
    active: bool
    times: int = 1


class Level2(NamedTuple):
    """Every L2 table once, by its offset: how many entries of the active L1 table and of snapshots' name it.

    `words`: the entries of the active L1 table that name a table, `places` where these entries lie.
    `dropped`: tables over `limits.table_count`, which are not walked.
    """

    offsets: NDArray[np.int64]
    active: NDArray[np.int64]
    saved: NDArray[np.int64]
    words: NDArray[np.uint64]
    places: NDArray[np.int64]
    dropped: int


class Tally:
    """Offsets with how often each occurs, merged as they come; `most` of them, the others are `dropped`."""

    def __init__(self, most: int) -> None:
        import numpy as np

        self.keys = np.zeros(0, np.int64)
        self.counts = np.zeros(0, np.int64)
        self.dropped = 0
        self._most = most
        self._pending: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        self._held = 0

    def add(self, keys: NDArray[np.int64], times: int = 1) -> None:
        """Count each key `times` more."""
        import numpy as np

        found, counts = np.unique(keys, return_counts=True)
        self._pending.append((found, counts.astype(np.int64) * times))
        self._held += len(found)
        if self._held > _PENDING:
            self.merge()

    def merge(self) -> None:
        """Bring `keys` and `counts` up to date."""
        import numpy as np

        if not self._pending:
            return
        parts = [(self.keys, self.counts), *self._pending]
        keys, counts = summed(
            np.concatenate([keys for keys, _ in parts]), np.concatenate([counts for _, counts in parts])
        )
        self.dropped += max(0, len(keys) - self._most)
        self.keys, self.counts = keys[: self._most], counts[: self._most]
        self._pending, self._held = [], 0

    def counts_of(self, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """The counts of `offsets`, which are in order and hold every key."""
        import numpy as np

        counts = np.zeros(len(offsets), np.int64)
        counts[np.searchsorted(offsets, self.keys)] = self.counts
        return counts


def distinct(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each key once, in order. (numpy.unique hashes them, which takes ten times as long.)"""
    import numpy as np

    if (keys[1:] > keys[:-1]).all():
        return keys
    ordered = np.sort(keys)
    return ordered[np.concatenate(([True], ordered[1:] != ordered[:-1]))]


def summed(keys: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each key once, in order, with the sum of its counts (at most MOST)."""
    import numpy as np

    if not len(keys):
        return keys, counts
    order = np.argsort(keys, kind="stable")
    keys, counts = keys[order], counts[order]
    begins = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    return keys[begins], np.minimum(np.add.reduceat(counts, begins), MOST)


def read_level1(source: Source, tables: list[L1Table], cluster_size: int, limits: Limits, faults: Faults) -> Level2:
    """All L2 tables that L1 tables name. `tables` are within `limits.table_bytes` bytes together."""
    import numpy as np

    active, saved = Tally(limits.table_count), Tally(limits.table_count)
    words: list[NDArray[np.uint64]] = []
    places: list[NDArray[np.int64]] = []
    step = limits.table_batch // 4
    for table in tables:
        for start in range(0, table.size, step):
            at = table.offset + start * 8
            held = source.read_at(at, min(table.size - start, step) * 8)
            if not held:
                break  # past the end of the file
            found = np.frombuffer(held, ">u8", len(held) // 8).astype(np.uint64)
            where = np.flatnonzero(found)
            found, entries = found[where], where * 8 + at
            if table.active:
                words.append(found)
                places.append(entries)
            offsets = _judged(found, entries, table.times, cluster_size, source.size, faults)
            (active if table.active else saved).add(offsets, table.times)
    active.merge()
    saved.merge()
    offsets = distinct(np.concatenate((active.keys, saved.keys)))
    return Level2(
        offsets,
        active.counts_of(offsets),
        saved.counts_of(offsets),
        np.concatenate(words) if words else np.zeros(0, np.uint64),
        np.concatenate(places) if places else np.zeros(0, np.int64),
        active.dropped + saved.dropped,
    )


def _judged(
    words: NDArray[np.uint64],
    entries: NDArray[np.int64],
    times: int,
    cluster_size: int,
    end: int,
    faults: Faults,
) -> NDArray[np.int64]:
    """The offsets of L2 tables in entries that are not 0; those that begin inside the file, well placed or not."""
    import numpy as np

    offsets = (words & np.uint64(lay.TABLE_OFFSET_MASK)).astype(np.int64)
    none, outside = offsets == 0, offsets >= end

    def fault(kind: FaultKind, mask: NDArray[np.bool_]) -> None:
        where = np.flatnonzero(mask)
        first = where[: faults.listed]
        at = zip(entries[first].tolist(), words[first].tolist(), strict=True)
        faults.add(kind, [Place(offset, word) for offset, word in at], len(where) * times)

    fault("l1-reserved", (words & np.uint64(lay.L1_RESERVED)) != 0)
    fault("l1-no-offset", none)
    fault("l1-misaligned", (offsets & (cluster_size - 1)) != 0)
    fault("l1-outside", outside)
    held: NDArray[np.int64] = offsets[~none & ~outside]
    return held
