"""qcow2: the L1 table and the L2 tables below it, read in pieces when they are asked for.

Reference: QEMU docs/interop/qcow2, section "Cluster mapping".
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from imgtool.formats.qcow2 import layout as lay
from imgtool.formats.qcow2.clusters import BAD_WORD
from imgtool.sources.base import Source
from imgtool.sources.blocks import BAD, HOLE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Bytes of one piece of a table, and how many pieces are kept: 2 MiB at most.
PIECE = 16 * 1024
KEPT = 128

#: Entries of the L1 table that are looked at together for runs.
_STRETCH = 1 << 16

#: What stands for the offset of an L2 table where there is none, and where its entry does not hold.
NO_TABLE = 0
BAD_TABLE = -1


class L1(NamedTuple):
    """Where an L1 table lies; `size` counts entries. `beyond`: what clusters past it are, HOLE or BAD."""

    offset: int
    size: int
    beyond: int


class Tables:
    """The mapping of one image (or snapshot). `entry_size` is 8 bytes, 16 with extended L2 entries."""

    def __init__(self, source: Source, l1: L1, cluster_size: int, entry_size: int) -> None:
        self.source = source
        self.l1 = l1
        self.cluster_size = cluster_size
        self.entry_size = entry_size
        self.per_table = cluster_size // entry_size
        self._piece_size = min(PIECE, cluster_size)
        self._piece = lru_cache(maxsize=KEPT)(self._load)
        self._runs = lru_cache(maxsize=2)(self._find_runs)

    def _load(self, offset: int) -> array[int]:
        data = self.source.read_at(offset, self._piece_size)
        words = array("Q", data[: len(data) // 8 * 8])
        if sys.byteorder == "little":
            words.byteswap()
        return words

    def pointer(self, table: int) -> int:
        """The offset of L2 table number `table`, or NO_TABLE, or BAD_TABLE."""
        if table >= self.l1.size:
            return NO_TABLE if self.l1.beyond == HOLE else BAD_TABLE
        at, within = divmod(table * 8, self._piece_size)
        words = self._piece(self.l1.offset + at * self._piece_size)
        if within // 8 >= len(words):
            return BAD_TABLE
        word = words[within // 8]
        offset = word & lay.TABLE_OFFSET_MASK
        if word & lay.L1_RESERVED or offset & (self.cluster_size - 1) or offset >= self.source.size:
            return BAD_TABLE
        return offset

    def words(self, pointer: int, index: int) -> tuple[array[int], int]:
        """A piece of the L2 table at `pointer`, and where in it the first word of entry `index` stands; that is
        past its end where the file ends before."""
        at, within = divmod(index * self.entry_size, self._piece_size)
        return self._piece(pointer + at * self._piece_size), within // 8

    def settled(self, table: int) -> tuple[int, int]:
        """Of the L2 tables from number `table` on: HOLE and how many there are not, BAD and how many do not hold,
        or a count of 0 where `table` is there."""
        stretch, within = divmod(table, _STRETCH)
        bounds, kinds = self._runs(stretch)
        run = bisect_right(bounds, within) - 1
        after = bounds[run + 1] if run + 1 < len(bounds) else min(_STRETCH, self.l1.size - stretch * _STRETCH)
        kind = kinds[run]
        return (kind, after - within) if kind in (HOLE, BAD) else (kind, 0)

    def _find_runs(self, stretch: int) -> tuple[list[int], list[int]]:
        import numpy as np

        first = stretch * _STRETCH
        pointers = self.pointers(first, min(_STRETCH, self.l1.size - first))
        kinds = np.sign(pointers)
        begins = np.concatenate(([0], np.flatnonzero(np.diff(kinds)) + 1))
        names = {NO_TABLE: HOLE, BAD_TABLE: BAD}
        return begins.tolist(), [names.get(kind, -1) for kind in kinds[begins].tolist()]

    def pointers(self, first: int, count: int) -> NDArray[np.int64]:
        """`pointer` of `count` tables from number `first` on."""
        import numpy as np

        inside = max(0, min(count, self.l1.size - first))
        pointers = np.full(count, NO_TABLE if self.l1.beyond == HOLE else BAD_TABLE, np.int64)
        pointers[:inside] = BAD_TABLE
        data = self.source.read_at(self.l1.offset + first * 8, inside * 8)
        words = np.frombuffer(data, ">u8", len(data) // 8).astype(np.uint64)
        offsets = (words & np.uint64(lay.TABLE_OFFSET_MASK)).astype(np.int64)
        bad = (words & np.uint64(lay.L1_RESERVED)) != 0
        bad |= ((offsets & (self.cluster_size - 1)) != 0) | (offsets >= self.source.size)
        offsets[bad] = BAD_TABLE
        pointers[: len(offsets)] = offsets
        return pointers

    def entries(self, first: int, count: int) -> NDArray[np.uint64]:
        """The entries of `count` clusters from number `first` on, one after the other: 0 where there is no L2
        table, BAD_WORD where it cannot be read. With extended L2 entries each has two words."""
        import numpy as np

        width = self.entry_size // 8
        words = np.zeros(count * width, np.uint64)
        low, high = first // self.per_table, (first + count - 1) // self.per_table + 1
        pointers = self.pointers(low, high - low)
        for number in np.flatnonzero(pointers).tolist():
            start = max(first, (low + number) * self.per_table)
            end = min(first + count, (low + number + 1) * self.per_table)
            place = words[(start - first) * width : (end - first) * width]
            place[:] = BAD_WORD
            pointer = int(pointers[number])
            if pointer == BAD_TABLE:
                continue
            at = pointer + start % self.per_table * self.entry_size
            data = self.source.read_at(at, (end - start) * self.entry_size)
            held = len(data) // self.entry_size * width
            place[:held] = np.frombuffer(data, ">u8", held)
        return words
