"""qcow2: L2 tables in arrays, many at once: what their entries refer to, and what in them does not hold.

Reference: QEMU docs/interop/qcow2, sections "L2 table entry", "Extended L2 Entries".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from imgtool.formats.qcow2 import layout as lay
from imgtool.formats.qcow2.clusters import Rules
from imgtool.formats.qcow2.walk.facts import FaultKind, Faults, Place
from imgtool.formats.qcow2.walk.level1 import Level2
from imgtool.sources.base import Source
from imgtool.sources.present import Present

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]
    Numbers = NDArray[np.int64]

#: Bytes of tables that are looked at together.
_BATCH = 1 << 20


class Form(NamedTuple):
    """How L2 entries of an image are read: `rules` as for the disk, and what they do not say."""

    rules: Rules
    version: int
    extended: bool
    file_size: int

    @property
    def shift(self) -> int:
        """Bits of a cluster's size."""
        return self.rules.cluster_size.bit_length() - 1


class Batch(NamedTuple):
    """The entries of some L2 tables, one table after the other.

    `tables`: where each lies; `active`: how often the active L1 table names it, `times`: how often any does.
    `placed`: which entries have a cluster of their own, whose offsets are `offsets`; `packed`: which ones are
    compressed; both as indexes of entries, in order. `standard`: those that are not compressed; None: all.
    """

    words: NDArray[np.uint64]
    bitmaps: NDArray[np.uint64] | None
    tables: Numbers
    active: Numbers
    times: Numbers
    per_table: int
    standard: Mask | None
    placed: Numbers
    offsets: Numbers
    packed: Numbers

    def weights(self, entries: Numbers) -> Numbers | None:
        """How often each of these entries counts; None: once each."""
        return None if (self.times == 1).all() else self.times[entries // self.per_table]

    def total(self, entries: Numbers) -> int:
        """How often these entries count together."""
        weights = self.weights(entries)
        return len(entries) if weights is None else int(weights.sum())

    def places(self, entries: Numbers, most: int) -> list[Place]:
        """The first `most` of these entries."""
        chosen = entries[:most]
        found = zip(self.at(chosen).tolist(), self.words[chosen].tolist(), strict=True)
        return [Place(offset, word) for offset, word in found]

    def at(self, entries: Numbers) -> Numbers:
        """Where these entries lie in the file."""
        size = 8 if self.bitmaps is None else 16
        return self.tables[entries // self.per_table] + entries % self.per_table * size


def batches(source: Source, level: Level2, form: Form, present: Present) -> Iterator[Batch]:
    """All tables in the order of the file, but for those in holes, which hold nothing."""
    import numpy as np

    size = form.rules.cluster_size
    kept = np.flatnonzero(present.mask(level.offsets, size))
    step = max(1, _BATCH // size)
    for start in range(0, len(kept), step):
        chosen = kept[start : start + step]
        active = level.active[chosen]
        yield _decoded(
            _read(source, level.offsets[chosen], size),
            (level.offsets[chosen], active, active + level.saved[chosen]),
            form,
        )


def _read(source: Source, offsets: Numbers, size: int) -> bytes:
    """Tables of `size` bytes each, one after the other; what lies past the end of the file is zeros."""
    first, count = int(offsets[0]), len(offsets)
    if int(offsets[-1]) - first == (count - 1) * size and (offsets[1:] - offsets[:-1] == size).all():
        return source.read_at(first, count * size).ljust(count * size, b"\0")
    return b"".join([source.read_at(offset, size).ljust(size, b"\0") for offset in offsets.tolist()])


def _decoded(raw: bytes, tables: tuple[Numbers, Numbers, Numbers], form: Form) -> Batch:
    import numpy as np

    words = np.frombuffer(raw, ">u8").astype(np.uint64)
    bitmaps = None
    if form.extended:
        words, bitmaps = np.ascontiguousarray(words[::2]), np.ascontiguousarray(words[1::2])
    per_table = form.rules.cluster_size // (16 if form.extended else 8)
    offsets = (words & np.uint64(lay.TABLE_OFFSET_MASK)).view(np.int64)
    mask, standard, packed = offsets != 0, None, np.zeros(0, np.int64)
    if form.rules.external:
        unzeroed = np.uint64(lay.OFLAG_COPIED | (0 if form.extended else lay.OFLAG_ZERO))
        mask |= (words & unzeroed) == np.uint64(lay.OFLAG_COPIED)
    if int(np.bitwise_or.reduce(words)) & lay.OFLAG_COMPRESSED:
        standard = (words & np.uint64(lay.OFLAG_COMPRESSED)) == 0
        packed = np.flatnonzero(~standard)
        mask &= standard
    placed = np.flatnonzero(mask)
    return Batch(words, bitmaps, *tables, per_table, standard, placed, offsets[placed], packed)


class References(NamedTuple):
    """Clusters that entries refer to: `clusters` their numbers, `weights` how often each counts; None: once."""

    clusters: Numbers
    weights: Numbers | None


def references(batch: Batch, form: Form) -> Iterator[References]:
    """The clusters of this file that the entries refer to, as `qemu-img check` counts them."""
    if len(batch.placed) and not form.rules.external:
        yield from _placed(batch, form)
    if len(batch.packed) and not form.rules.external:
        entries, starts, ends = packed_ranges(batch, form)
        first, last = starts >> form.shift, (ends - 1) >> form.shift
        for further in range(3):  # 2 × cluster size at most, and not aligned
            reaches = first + further <= last
            if reaches.any():
                yield References(first[reaches] + further, batch.weights(entries[reaches]))


def _placed(batch: Batch, form: Form) -> Iterator[References]:
    import numpy as np

    entries, offsets = batch.placed, batch.offsets
    if len(offsets) and int(offsets.max()) >= form.file_size:
        entries, offsets = entries[offsets < form.file_size], offsets[offsets < form.file_size]
    yield References(offsets >> form.shift, batch.weights(entries))
    if len(offsets) and int(np.bitwise_or.reduce(offsets)) & (form.rules.cluster_size - 1):
        off = (offsets & (form.rules.cluster_size - 1)) != 0
        yield References((offsets[off] >> form.shift) + 1, batch.weights(entries[off]))


def packed_ranges(batch: Batch, form: Form) -> tuple[Numbers, Numbers, Numbers]:
    """Compressed entries that hold: the entries, and where the sectors of each start and end."""
    import numpy as np

    entries = batch.packed
    if batch.bitmaps is not None:
        entries = entries[batch.bitmaps[entries] == 0]
    starts, ends = _ranges(batch, entries, form)
    inside = ends - form.file_size < form.rules.cluster_size
    return entries[inside], starts[inside], np.asarray(ends[inside])


def _ranges(batch: Batch, entries: Numbers, form: Form) -> tuple[Numbers, Numbers]:
    import numpy as np

    rules = form.rules
    descriptors = (batch.words[entries] & np.uint64(lay.OFLAG_COMPRESSED - 1)).view(np.int64)
    starts = descriptors & rules.packed_mask
    sectors = (descriptors >> rules.size_shift) + 1
    return starts, starts + sectors * 512 - (starts & 511)


class Stats(NamedTuple):
    """Clusters of the active image, in qemu-img check's words."""

    allocated: int = 0
    fragmented: int = 0
    compressed: int = 0

    def plus(self, batch: Batch, form: Form) -> Stats:
        """With those of a batch."""
        entries, offsets = batch.placed, batch.offsets
        tables = entries // batch.per_table
        once = bool((batch.active == 1).all())
        allocated = len(entries) if once else int(batch.active[tables].sum())
        breaks = offsets[1:] != offsets[:-1] + form.rules.cluster_size
        if breaks.any():
            breaks &= tables[1:] == tables[:-1]
        fragmented = int(breaks.sum()) if once else int(batch.active[tables[1:][breaks]].sum())
        packed = 0
        if len(batch.packed) and not form.rules.external:
            held = batch.packed if batch.bitmaps is None else batch.packed[batch.bitmaps[batch.packed] == 0]
            packed = int(batch.active[held // batch.per_table].sum())
        return Stats(
            self.allocated + allocated + packed, self.fragmented + fragmented + packed, self.compressed + packed
        )


def judge(batch: Batch, form: Form, faults: Faults) -> None:
    """Note every entry that does not hold by itself."""
    import numpy as np

    def fault(kind: FaultKind, entries: Numbers) -> None:
        if len(entries):
            faults.add(kind, batch.places(entries, faults.listed), batch.total(entries))

    standard = batch.words if batch.standard is None else batch.words[batch.standard]
    union = int(np.bitwise_or.reduce(standard)) if len(standard) else 0
    strict = lay.OFLAG_ZERO if form.extended or form.version == 2 else 0
    kinds: tuple[tuple[FaultKind, int], ...] = (("l2-reserved", lay.L2_RESERVED), ("l2-zero-flag", strict))
    for kind, bits in kinds:
        if union & bits:
            where = np.flatnonzero(batch.words & np.uint64(bits))
            fault(kind, where if batch.standard is None else where[batch.standard[where]])
    entries, offsets = batch.placed, batch.offsets
    if union & lay.OFLAG_COPIED and len(entries) < len(batch.words) and not form.rules.external:
        held = batch.words & np.uint64(lay.OFLAG_COPIED | lay.OFLAG_COMPRESSED | lay.TABLE_OFFSET_MASK)
        fault("l2-no-offset", np.flatnonzero(held == np.uint64(lay.OFLAG_COPIED)))
    if union & (form.rules.cluster_size - 1) & lay.TABLE_OFFSET_MASK:
        fault("l2-misaligned", entries[(offsets & (form.rules.cluster_size - 1)) != 0])
    if not form.rules.external and len(offsets) and int(offsets.max()) >= form.file_size:
        fault("l2-outside", entries[offsets >= form.file_size])
    if batch.bitmaps is not None:
        bitmaps = batch.bitmaps[entries]
        both = (bitmaps & (bitmaps >> np.uint64(32)) & np.uint64(lay.SUBCLUSTER_MASK)) != 0
        fault("subclusters-contradict", entries[both])
        if not form.rules.external:
            fault("subclusters-outside", _beyond(entries, offsets, bitmaps, form))
        allocated = np.flatnonzero(batch.bitmaps & np.uint64(lay.SUBCLUSTER_MASK))
        free = allocated[~np.isin(allocated, batch.placed, assume_unique=True)]
        fault("subclusters-unplaced", free if batch.standard is None else free[batch.standard[free]])
    if len(batch.packed):
        _judge_packed(batch, form, fault)


def _beyond(entries: Numbers, offsets: Numbers, bitmaps: NDArray[np.uint64], form: Form) -> Numbers:
    """Entries whose cluster begins inside the file and has an allocated subcluster that does not."""
    import numpy as np

    left = form.file_size - offsets
    near = np.flatnonzero((left > 0) & (left < form.rules.cluster_size))
    inside = -(-left[near] // form.rules.subcluster_size)
    allocated = bitmaps[near] & np.uint64(lay.SUBCLUSTER_MASK)
    chosen: Numbers = entries[near[(allocated >> inside.astype(np.uint64)) != 0]]
    return chosen


def _judge_packed(batch: Batch, form: Form, fault: Callable[[FaultKind, Numbers], None]) -> None:
    import numpy as np

    entries = batch.packed
    fault("packed-copied", entries[(batch.words[entries] & np.uint64(lay.OFLAG_COPIED)) != 0])
    if form.rules.external:
        fault("packed-elsewhere", entries)
        return
    if batch.bitmaps is not None:
        fault("packed-bitmap", entries[batch.bitmaps[entries] != 0])
        entries = entries[batch.bitmaps[entries] == 0]
    _, ends = _ranges(batch, entries, form)
    fault("packed-outside", entries[ends - form.file_size >= form.rules.cluster_size])
