"""qcow2: the host's clusters while a file grows, and their reference counts.

Clusters are given out in order, each once. Compressed clusters are packed: one begins at the byte where the last
one ended, across the border of a host cluster where the next host cluster follows. Reference counts are kept for
the clusters given out last; what is older is written as refcount blocks, so memory does not grow with the file.

References: QEMU docs/interop/qcow2, sections "Host cluster management", "Compressed Clusters Descriptor".
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from imgtool.errors import UnsupportedError
from imgtool.limits import DEFAULT
from imgtool.targets.output import Output
from imgtool.units import ceil_div

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Clusters whose counts are kept beside those of a block that is not complete.
_KEPT = 1 << 20

#: Clusters that are given out at once, at most.
MOST = 1 << 16

#: More references than a host cluster can get: what a cluster is compressed to is over 1/32,768 of it (deflate
#: reaches 1,032 to 1; a block of a zstd frame has 128 KiB at most and takes 4 bytes at least, RFC 8878, 3.1.1.2).
_PLENTY = 0xFFFF


class Space:
    """The clusters of one file. `end`: how many were given out."""

    def __init__(self, output: Output, cluster_bits: int, refcount_bits: int) -> None:
        import numpy as np

        self.output = output
        self.cluster_bits = cluster_bits
        self.end = 0
        self._refcount_bits = refcount_bits
        self._most = (1 << min(refcount_bits, 16)) - 1
        self._per_block = (8 << cluster_bits) // refcount_bits
        self._base = 0
        self._counts = np.zeros(self._per_block + _KEPT, np.uint16)
        self._blocks = array("Q")
        self._tail = (0, 0)

    def take(self, clusters: int, references: int = 1) -> int:
        """The first of `clusters` (at most `MOST`) that follow one another. Raises OutputError, UnsupportedError."""
        self._make_room(clusters)
        first = self.end
        self.end += clusters
        self._counts[first - self._base : self.end - self._base] = references
        return first

    def pack(self, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The file's offsets for compressed clusters of these sizes in bytes, each less than a cluster's."""
        import numpy as np

        starts = np.empty_like(sizes)
        done = 0
        while done < len(sizes):
            done += self._pack_some(sizes[done:], starts[done:])
        return starts

    def _pack_some(self, sizes: NDArray[np.int64], starts: NDArray[np.int64]) -> int:
        """Place the first of them that lie together; how many these are."""
        import numpy as np

        if self._most < _PLENTY:
            sizes = sizes[:1]
        ends = np.cumsum(sizes)
        self._make_room((int(ends[-1]) >> self.cluster_bits) + 2)
        at, upto = self._tail
        here = self.end << self.cluster_bits
        if at == upto or self._counts[(at >> self.cluster_bits) - self._base] >= self._most:
            at = upto = here
        count = len(sizes) if upto == here else int(np.searchsorted(ends, upto - at, "right"))
        if not count:  # other clusters follow, and the rest of this one is too small
            at, upto, count = here, here, len(sizes)
        sizes, ends = sizes[:count], ends[:count]
        starts[:count] = at + ends - sizes
        after = at + int(ends[-1])
        if after > upto:
            clusters = ceil_div(after - upto, 1 << self.cluster_bits)
            self.take(clusters, 0)
            upto += clusters << self.cluster_bits
        self._tail = (after, upto)
        self._refer(starts[:count], sizes)
        return count

    def _refer(self, starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
        """Count what was packed: one for each host cluster that it touches, which are one or two."""
        import numpy as np

        first = (starts >> self.cluster_bits) - self._base
        last = (starts + sizes - 1 >> self.cluster_bits) - self._base
        low, span = int(first[0]), int(last[-1] - first[0]) + 1
        counts = np.bincount(first - low, minlength=span)
        counts += np.bincount(last[last > first] - low, minlength=span)
        self._counts[low : low + span] += counts.astype(np.uint16)

    def _make_room(self, clusters: int) -> None:
        assert clusters <= MOST + 1
        if self.end + clusters - self._base > len(self._counts):
            self._spill()

    def _spill(self) -> None:
        """Write the refcount blocks that are complete; what was packed before is packed no further."""
        complete = (self.end - self._base) // self._per_block
        after = complete * self._per_block
        data = self._encoded(self._counts[:after])
        left = self.end - self._base - after
        self._counts[:left] = self._counts[after : after + left].copy()
        self._counts[left:] = 0
        self._base += after
        self._tail = (0, 0)
        self._put_blocks(self.take(complete), complete, data)

    def _put_blocks(self, first: int, count: int, data: NDArray[np.uint8]) -> None:
        self._blocks.extend(
            range(first << self.cluster_bits, first + count << self.cluster_bits, 1 << self.cluster_bits)
        )
        if len(self._blocks) * 8 > DEFAULT.qcow2_refcount_table:
            raise UnsupportedError(
                f"{self.output.name}: a qcow2 with clusters of {1 << self.cluster_bits} bytes cannot get so large; "
                "larger clusters can (--option cluster_size=64K)"
            )
        place(self.output, first << self.cluster_bits, data)

    def finish(self) -> tuple[int, int]:
        """Write what is left: the offset of the refcount table and its clusters. Raises OutputError."""
        import numpy as np

        size = 1 << self.cluster_bits
        blocks = tables = 0
        while True:
            enough = ceil_div(self.end + blocks + tables, self._per_block) - len(self._blocks)
            needed = ceil_div((len(self._blocks) + enough) * 8, size)
            if (enough, needed) == (blocks, tables):
                break
            blocks, tables = enough, needed
        self._counts = np.concatenate((self._counts, np.zeros(blocks * self._per_block, np.uint16)))
        first = self.end
        self.end += blocks + tables
        self._counts[first - self._base : self.end - self._base] = 1
        self._put_blocks(first, blocks, self._encoded(self._counts[: blocks * self._per_block]))
        at = first + blocks << self.cluster_bits
        table = np.zeros(tables * size // 8, ">u8")
        table[: len(self._blocks)] = self._blocks
        place(self.output, at, table.view(np.uint8))
        return at, tables

    def _encoded(self, counts: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """Counts as refcount blocks have them; of those less than a byte the first is the lowest."""
        import numpy as np

        bits = self._refcount_bits
        if bits >= 8:
            return counts.astype(f">u{bits // 8}").view(np.uint8)
        each = counts.astype(np.uint8).reshape(-1, 8 // bits)
        made = np.zeros(len(each), np.uint8)
        for number in range(8 // bits):
            made |= each[:, number] << np.uint8(number * bits)
        return made


def place(output: Output, offset: int, data: NDArray[np.uint8]) -> None:
    """Write a table; the zeros at its end only where the output does not read as zeros there."""
    import numpy as np

    if output.known_zeros:
        words = data.view(np.uint64)
        used = np.flatnonzero(words)
        data = data[: (int(used[-1]) + 1) * 8 if len(used) else 0]
    if len(data):
        output.write_at(offset, data.data)
