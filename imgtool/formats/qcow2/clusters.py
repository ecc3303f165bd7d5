"""qcow2: what an entry of an L2 table says, one by one and in arrays. The two ways must agree; a test compares them.

References: QEMU docs/interop/qcow2, sections "Cluster mapping", "Extended L2 Entries".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from imgtool.formats.qcow2 import layout as lay
from imgtool.sources.blocks import BAD, COMPRESSED, DATA, HOLE, NOWHERE, ZERO, Entry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]

#: An entry that never holds: it stands where a table cannot be read.
BAD_WORD = 1 << 1

#: What `host` of a compressed cluster carries: the whole descriptor.
DESCRIPTOR = lay.OFLAG_COMPRESSED - 1

_HOLE = Entry(HOLE, NOWHERE)
_BAD = Entry(BAD, NOWHERE)


class Rules(NamedTuple):
    """What entries may say in one image.

    `reserved`: bits that must be clear in an entry of a cluster that is not compressed. `data_end`: the size of the
    file that data lies in; `packed_end`: that of the image, 0 where no cluster may be compressed. `external`: data
    lies in a data file, where the copied flag makes offset 0 one that counts. `data_kind`: what data is called.
    """

    cluster_size: int
    reserved: int
    data_end: int
    packed_end: int
    external: bool = False
    data_kind: int = DATA

    @property
    def subcluster_size(self) -> int:
        """Bytes of a subcluster (extended L2 entries)."""
        return self.cluster_size // lay.SUBCLUSTERS

    @property
    def size_shift(self) -> int:
        """Where a compressed cluster's descriptor has its count of further sectors: x of the specification."""
        return 62 - (self.cluster_size.bit_length() - 1 - 8)

    @property
    def packed_mask(self) -> int:
        """Bits of a compressed cluster's descriptor that are its offset."""
        return (1 << self.size_shift) - 1


def standard(word: int, rules: Rules) -> Entry:
    """What an entry of eight bytes says of its cluster."""
    if word & lay.OFLAG_COMPRESSED:
        return _packed(word, rules)
    offset = word & lay.TABLE_OFFSET_MASK
    if word & rules.reserved or offset & (rules.cluster_size - 1):
        return Entry(BAD, offset or NOWHERE)
    placed = offset or (rules.external and word & lay.OFLAG_COPIED)
    if word & lay.OFLAG_ZERO:
        return Entry(ZERO, offset or NOWHERE)
    if not placed:
        return _HOLE
    return Entry(rules.data_kind if offset < rules.data_end else BAD, offset)


def _packed(word: int, rules: Rules) -> Entry:
    holds = word & rules.packed_mask < rules.packed_end
    return Entry(COMPRESSED, word & DESCRIPTOR) if holds else _BAD


def extended(word: int, bitmap: int, index: int, rules: Rules) -> Entry:
    """What an entry of sixteen bytes says of its subcluster `index`."""
    if word & lay.OFLAG_COMPRESSED:
        return _BAD if bitmap else _packed(word, rules)
    offset = word & lay.TABLE_OFFSET_MASK
    allocated, zero = bitmap & lay.SUBCLUSTER_MASK, bitmap >> 32
    placed = offset or (rules.external and word & lay.OFLAG_COPIED)
    host = offset + index * rules.subcluster_size if placed else NOWHERE
    misplaced = word & rules.reserved or offset & (rules.cluster_size - 1)
    if misplaced or allocated & zero or (allocated and not placed):
        return Entry(BAD, host)
    if zero >> index & 1:
        return Entry(ZERO, host)
    if allocated >> index & 1:
        return Entry(rules.data_kind if host < rules.data_end else BAD, host)
    return _HOLE


def standard_arrays(words: NDArray[np.uint64], rules: Rules) -> Arrays:
    """`standard` of many entries."""
    import numpy as np

    offsets, placed, bad = _offsets(words, rules)
    zero = (words & np.uint64(lay.OFLAG_ZERO)) != 0
    kinds = np.full(len(words), rules.data_kind, np.uint8)
    kinds[offsets >= rules.data_end] = BAD
    kinds[~placed] = HOLE
    kinds[zero] = ZERO
    kinds[bad] = BAD
    hosts = np.where(placed & ~bad & ~zero, offsets, np.where(offsets == 0, NOWHERE, offsets))
    _pack(kinds, hosts, words, np.zeros(len(words), np.bool_), rules)
    return kinds, hosts


def extended_arrays(words: NDArray[np.uint64], bitmaps: NDArray[np.uint64], rules: Rules) -> Arrays:
    """`extended` of all subclusters of many entries, in order."""
    import numpy as np

    offsets, placed, bad = _offsets(words, rules)
    allocated, zero = bitmaps & np.uint64(lay.SUBCLUSTER_MASK), bitmaps >> np.uint64(32)
    bad |= (allocated & zero) != 0
    bad |= (allocated != 0) & ~placed
    steps = np.arange(lay.SUBCLUSTERS, dtype=np.uint64)
    is_zero = (zero[:, None] >> steps & np.uint64(1)) != 0
    is_data = (allocated[:, None] >> steps & np.uint64(1)) != 0
    hosts = offsets[:, None] + steps.astype(np.int64) * rules.subcluster_size
    kinds = np.full(hosts.shape, HOLE, np.uint8)
    kinds[is_data] = rules.data_kind
    kinds[is_data & (hosts >= rules.data_end)] = BAD
    kinds[is_zero] = ZERO
    kinds[bad] = BAD
    hosts[~placed[:, None] | (kinds == HOLE)] = NOWHERE
    _pack(kinds, hosts, words, bitmaps != 0, rules)
    return kinds.reshape(-1), hosts.reshape(-1)


def _offsets(
    words: NDArray[np.uint64], rules: Rules
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Of entries that are not compressed: the offset, whether it counts, whether the entry does not hold."""
    import numpy as np

    offsets = (words & np.uint64(lay.TABLE_OFFSET_MASK)).astype(np.int64)
    placed = offsets != 0
    if rules.external:
        placed |= (words & np.uint64(lay.OFLAG_COPIED)) != 0
    bad = (words & np.uint64(rules.reserved)) != 0
    bad |= (offsets & (rules.cluster_size - 1)) != 0
    return offsets, placed, bad


def _pack(
    kinds: NDArray[np.uint8],
    hosts: NDArray[np.int64],
    words: NDArray[np.uint64],
    refused: NDArray[np.bool_],
    rules: Rules,
) -> None:
    """Put in what the compressed clusters among the entries are; those that are `refused` do not hold."""
    import numpy as np

    where = np.flatnonzero(words & np.uint64(lay.OFLAG_COMPRESSED))
    if not len(where):
        return
    descriptors = (words[where] & np.uint64(DESCRIPTOR)).astype(np.int64)
    holds = ((descriptors & rules.packed_mask) < rules.packed_end) & ~refused[where]
    shape = (-1,) + (1,) * (kinds.ndim - 1)
    kinds[where] = np.where(holds, COMPRESSED, BAD).reshape(shape)
    hosts[where] = np.where(holds, descriptors, NOWHERE).reshape(shape)
