"""qcow2: the recorded reference counts, of any width, read block by block.

Reference: QEMU docs/interop/qcow2, section "Host cluster management".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from imgtool.formats.qcow2 import layout as lay
from imgtool.formats.qcow2.facts import Qcow2Facts
from imgtool.formats.qcow2.walk.facts import FaultKind, Faults, Place
from imgtool.limits import Limits
from imgtool.sources.base import Source
from imgtool.sources.present import Present
from imgtool.units import ceil_div

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: What stands for a count that cannot be read, and for one that is too large for 32 bits.
UNKNOWN = 0xFFFFFFFF
LARGE = 0xFFFFFFFE

_NONE, _MISPLACED = 0, -1


class Seen(NamedTuple):
    """Of a block: how many of its counts are not 0, and the index of the last one (−1: none)."""

    used: int
    last: int


class Refcounts:
    """The counts that the image records. `blocks`: the clusters of blocks that count as references of the table."""

    def __init__(self, source: Source, facts: Qcow2Facts, limits: Limits, faults: Faults) -> None:
        import numpy as np

        self.source = source
        self.cluster_size = facts.cluster_size or 1
        self.bits = facts.refcount_bits or 16
        self.most = (1 << self.bits) - 1
        self.per_block = self.cluster_size * 8 // self.bits
        size = facts.refcount_table_clusters * self.cluster_size
        self.readable = (
            facts.refcount_bits is not None
            and size <= limits.qcow2_refcount_table
            and facts.refcount_table_offset % self.cluster_size == 0
        )
        raw = source.read_at(facts.refcount_table_offset, size) if self.readable else b""
        words = np.frombuffer(raw, ">u8", len(raw) // 8).astype(np.uint64)
        self._table, self.blocks = self._judged(words, facts.refcount_table_offset, faults)
        self._present = Present(source, int(np.count_nonzero(self._table)) * self.cluster_size, limits)
        self._kept: tuple[int, NDArray[np.unsignedinteger[Any]] | None] = (_NONE, None)

    def _judged(
        self, words: NDArray[np.uint64], start: int, faults: Faults
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the block of each entry lies, and the clusters of those blocks that hold."""
        import numpy as np

        offsets = (words & np.uint64(~lay.REFCOUNT_RESERVED & 0xFFFFFFFFFFFFFFFF)).astype(np.int64)
        reserved = (words & np.uint64(lay.REFCOUNT_RESERVED)) != 0
        misaligned = ~reserved & ((offsets & (self.cluster_size - 1)) != 0)
        clusters = ceil_div(self.source.size, self.cluster_size)
        far = (offsets < 0) | (offsets // self.cluster_size >= clusters)
        outside = ~reserved & ~misaligned & far
        masks: tuple[tuple[FaultKind, NDArray[np.bool_]], ...] = (
            ("refcount-reserved", reserved),
            ("refcount-misaligned", misaligned),
            ("refcount-outside", outside),
        )
        for kind, mask in masks:
            where = np.flatnonzero(mask)
            first = where[: faults.listed].tolist()
            faults.add(kind, [Place(start + at * 8, int(words[at])) for at in first], len(where))
        holds = ~reserved & ~misaligned & ~outside & (offsets != 0)
        table = np.where(far, _NONE, offsets)
        table[(offsets < 0) | ((offsets & (self.cluster_size - 1)) != 0)] = _MISPLACED
        return table, offsets[holds] // self.cluster_size

    def unread(self, clusters: int) -> int:
        """Of the first `clusters` clusters, those whose count cannot be read."""
        import numpy as np

        blocks = np.flatnonzero(self._table[: ceil_div(clusters, self.per_block)] == _MISPLACED)
        return int(np.minimum(self.per_block, clusters - blocks * self.per_block).sum())

    def fill(self, low: int, counts: NDArray[np.uint32]) -> None:
        """The counts of as many clusters as `counts` has, from number `low` on. `counts` is all zeros."""
        import numpy as np

        if not self.readable:
            counts[:] = UNKNOWN
            return
        high = low + len(counts)
        first, last = low // self.per_block, (high - 1) // self.per_block + 1
        pointers = self._table[first:last]
        for index in (np.flatnonzero(pointers) + first).tolist():
            start, end = max(low, index * self.per_block), min(high, (index + 1) * self.per_block)
            place = counts[start - low : end - low]
            offset = int(self._table[index])
            block = self._block(offset)
            if offset == _MISPLACED:
                place[:] = UNKNOWN
            elif block is not None:
                within = start - index * self.per_block
                place[:] = block[within : within + end - start]

    def of(self, clusters: NDArray[np.int64]) -> NDArray[np.uint32]:
        """The counts of clusters whose numbers are in order."""
        import numpy as np

        counts = np.full(len(clusters), 0 if self.readable else UNKNOWN, np.uint32)
        indexes = clusters // self.per_block
        known = int(np.searchsorted(indexes, len(self._table)))
        if not known:
            return counts
        held = indexes[:known]
        begins = np.flatnonzero(np.concatenate(([True], held[1:] != held[:-1])))
        for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), known], strict=True):
            index = int(held[begin])
            offset = int(self._table[index])
            block = self._block(offset)
            if offset == _MISPLACED:
                counts[begin:end] = UNKNOWN
            elif block is not None:
                counts[begin:end] = block[clusters[begin:end] - index * self.per_block]
        return counts

    def used(self, clusters: int) -> tuple[int, int]:
        """How many of the first `clusters` clusters have a count, and the last one that has (−1: none)."""
        import numpy as np

        total, last = 0, -1
        seen: dict[int, Seen] = {}
        whole = clusters // self.per_block
        for index in np.flatnonzero(self._table[: whole + 1]).tolist():
            offset = int(self._table[index])
            if index < whole and offset in seen:
                found = seen[offset]
            else:
                found = self._seen(offset, min(self.per_block, clusters - index * self.per_block))
                if index < whole:
                    seen[offset] = found
            total += found.used
            last = index * self.per_block + found.last if found.used else last
        return total, last

    def _seen(self, offset: int, most: int) -> Seen:
        import numpy as np

        block = self._block(offset)
        if block is None:
            return Seen(0, -1)
        places = np.flatnonzero(block[:most])
        return Seen(len(places), int(places[-1]) if len(places) else -1)

    def _block(self, offset: int) -> NDArray[np.unsignedinteger[Any]] | None:
        """The counts of the block at `offset`; None where all are 0 or none can be read. The last one is kept."""
        if self._kept[0] != offset:
            self._kept = (offset, self._load(offset))
        return self._kept[1]

    def _load(self, offset: int) -> NDArray[np.unsignedinteger[Any]] | None:
        if offset in (_NONE, _MISPLACED) or not self._present.holds(offset, self.cluster_size):
            return None
        raw = self.source.read_at(offset, self.cluster_size)
        return unpack(raw.ljust(self.cluster_size, b"\0"), self.bits)


def unpack(raw: bytes, bits: int) -> NDArray[np.unsignedinteger[Any]]:
    """Reference counts of 1 to 64 bits; those under 8 bits begin at a byte's lowest, larger ones are big-endian.

    Those that 32 bits do not hold are LARGE.
    """
    import numpy as np

    if bits < 8:
        packed = np.frombuffer(raw, np.uint8)
        shifts = np.arange(0, 8, bits, dtype=np.uint8)
        narrow: NDArray[np.uint8] = packed[:, None] >> shifts & np.uint8((1 << bits) - 1)
        return narrow.reshape(-1)
    wide: NDArray[np.unsignedinteger[Any]] = np.frombuffer(raw, f">u{bits // 8}")
    if bits <= 16:
        return wide.astype(f"u{bits // 8}")
    clipped: NDArray[np.uint32] = np.minimum(wide, LARGE).astype(np.uint32)
    return clipped
