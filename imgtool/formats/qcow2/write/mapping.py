"""qcow2: the L1 table and the L2 tables while they are made, in the order of the guest's clusters.

Some L2 tables are held and then written together, so that they lie together between the data.

Reference: QEMU docs/interop/qcow2, section "Cluster mapping".
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from imgtool.formats.qcow2 import layout as lay
from imgtool.formats.qcow2.write.space import MOST, Space, place
from imgtool.units import ceil_div

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Bytes of L2 tables that are held.
_HELD = 8 * 1024 * 1024


class Mapping:
    """The tables of a disk of `clusters` clusters. A guest cluster that was not set reads as zeros."""

    def __init__(self, space: Space, clusters: int) -> None:
        import numpy as np

        self._space = space
        self._bits = space.cluster_bits
        self._per_table = 1 << self._bits - 3
        size = ceil_div(clusters, self._per_table)
        self._l1 = np.zeros(size, ">u8")
        self.l1_offset = _taken(space, ceil_div(size * 8, 1 << self._bits)) << self._bits if size else 0
        self._held = np.zeros((min(size, _HELD >> self._bits), self._per_table), ">u8")
        self._numbers = array("Q")

    @property
    def l1_size(self) -> int:
        """Entries of the L1 table."""
        return len(self._l1)

    def set(self, first: int, words: NDArray[np.uint64]) -> None:
        """The L2 entries of guest clusters from number `first` on. Raises OutputError, UnsupportedError."""
        done = 0
        while done < len(words):
            number, at = divmod(first + done, self._per_table)
            count = min(len(words) - done, self._per_table - at)
            self._row(number)[at : at + count] = words[done : done + count]
            done += count

    def _row(self, number: int) -> NDArray[np.uint64]:
        if not self._numbers or self._numbers[-1] != number:
            if len(self._numbers) == len(self._held):
                self._write_held()
            self._numbers.append(number)
        row: NDArray[np.uint64] = self._held[len(self._numbers) - 1]
        return row

    def _write_held(self) -> None:
        """Write the L2 tables that are held, each in a cluster of its own."""
        import numpy as np

        count = len(self._numbers)
        if not count:
            return
        first = self._space.take(count)
        offsets = np.arange(first, first + count, dtype=np.uint64) << np.uint64(self._bits)
        self._l1[np.array(self._numbers)] = offsets | np.uint64(lay.OFLAG_COPIED)
        tables = self._held[:count]
        step = count if self._bits <= 16 else 1  # the rest of a large table may stay a hole
        for number in range(0, count, step):
            part = tables[number : number + step]
            place(self._space.output, first + number << self._bits, part.reshape(-1).view(np.uint8))
        tables[:] = 0
        del self._numbers[:]

    def finish_tables(self) -> None:
        """Write all L2 tables that are left, and the L1 table. Raises OutputError, UnsupportedError."""
        import numpy as np

        self._write_held()
        if len(self._l1):
            whole = np.zeros(ceil_div(len(self._l1) * 8, 1 << self._bits) << self._bits - 3, ">u8")
            whole[: len(self._l1)] = self._l1
            place(self._space.output, self.l1_offset, whole.view(np.uint8))


def _taken(space: Space, clusters: int) -> int:
    """The first of any number of clusters; they follow one another as nothing was given out before but a header."""
    first = space.end
    while clusters > 0:
        space.take(min(clusters, MOST))
        clusters -= MOST
    return first
