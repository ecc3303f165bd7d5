"""qcow, version 1: the guest's disk, by its L1 and L2 tables.

An entry of an L2 table is 0 (not allocated: the backing file shows, or zeros), the offset of a cluster (a multiple
of 512), or, with its highest bit set, what tells a compressed cluster: below that bit as many as a cluster has bits
are its length in bytes, the rest its offset. It holds one raw deflate stream, written with a window of 4 KiB.

Reference: QEMU block/qcow (the format has no other specification).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgtool.codecs.block import inflate
from imgtool.codecs.feed import CodecError
from imgtool.errors import UsageError
from imgtool.formats.qcow.facts import QcowFacts
from imgtool.formats.qcow.layout import HEADER, OFLAG_COMPRESSED
from imgtool.limits import Limits
from imgtool.sources.base import Source
from imgtool.sources.blocks import BAD, COMPRESSED, DATA, HOLE, NOWHERE, Entry, Unpacked
from imgtool.sources.disk import Disk, DiskError, Linked
from imgtool.sources.tables import FirstLevel, TwoLevelDisk
from imgtool.units import SECTOR

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def open_disk(
    source: Source, facts: QcowFacts, limits: Limits, links: tuple[Linked, ...], snapshot: str | None
) -> Disk:
    """The guest's disk of a qcow. Raises DiskError where its header cannot hold, UsageError for a snapshot."""
    if snapshot is not None:
        raise UsageError(f"{source.name}: a qcow of version 1 has no snapshots inside")
    if facts.size > limits.virtual_size:
        raise DiskError(f"{source.name}: {facts.size} guest bytes are over the cap of {limits.virtual_size}")
    table = (facts.l1_size or 0) * 8
    if table > limits.qcow_l1_table:
        raise DiskError(f"{source.name}: L1 table of {table} bytes is over the cap of {limits.qcow_l1_table}")
    backing = next((link.disk for link in links if link.reference.kind == "backing"), None)
    return QcowDisk(source, facts, first_level(facts, limits), backing)


def first_level(facts: QcowFacts, limits: Limits) -> FirstLevel:
    """The L1 table; one over its cap names no tables."""
    entries = facts.l1_size or 0
    count = entries if entries * 8 <= limits.qcow_l1_table else 0
    return FirstLevel(facts.l1_table_offset, count, 1 << facts.l2_bits, "big", 1, HEADER.size)


class QcowDisk(TwoLevelDisk):
    """The guest's disk of a qcow. The host of a compressed cluster is its entry without the highest bit."""

    __slots__ = ("_shift",)

    def __init__(self, source: Source, facts: QcowFacts, level: FirstLevel, backing: Source | None) -> None:
        super().__init__(
            source,
            facts.size,
            1 << facts.cluster_bits,
            level,
            backing=backing,
            referenced=facts.backing_file is not None,
        )
        self._shift = 63 - facts.cluster_bits

    def meaning(self, word: int) -> Entry:
        if not word:
            return Entry(HOLE, NOWHERE)
        if word & OFLAG_COMPRESSED:
            inside = word & (1 << self._shift) - 1 < self.host.size
            return Entry(COMPRESSED, word ^ OFLAG_COMPRESSED) if inside else Entry(BAD, NOWHERE)
        return Entry(DATA if word < self.host.size and word % SECTOR == 0 else BAD, word)

    def meanings(self, words: NDArray[np.uint64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        import numpy as np

        hosts = (words & np.uint64(OFLAG_COMPRESSED - 1)).astype(np.int64)
        packed = (words & np.uint64(OFLAG_COMPRESSED)) != 0
        kinds = np.where((hosts < self.host.size) & (hosts % SECTOR == 0), DATA, BAD).astype(np.uint8)
        inside = (hosts & (1 << self._shift) - 1) < self.host.size
        kinds[packed] = np.where(inside[packed], COMPRESSED, BAD)
        hosts[packed & ~inside] = NOWHERE
        kinds[words == 0] = HOLE
        hosts[words == 0] = NOWHERE
        return kinds, hosts

    def read_packed(self, block: int, host: int) -> Unpacked:
        offset, length = host & (1 << self._shift) - 1, host >> self._shift
        guest = block * self.block_size
        try:
            made = inflate(self.host.read_at(offset, length), self.block_size)
        except CodecError as error:
            raise DiskError(f"{self.name}: guest bytes at {guest}, compressed at {offset}: {error.message}") from None
        if len(made) != self.block_size:
            raise DiskError(
                f"{self.name}: guest bytes at {guest}, compressed at {offset}: {len(made)} bytes come out, a cluster "
                f"has {self.block_size}"
            )
        return made
