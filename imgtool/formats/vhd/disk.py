"""VHD: the guest's disk. Fixed ones lie flat; dynamic and differencing ones by block, and by sector within it.

The block allocation table holds a sector number of 32 bits for each block. There lies the block's sector bitmap,
padded to whole sectors, then its bytes. A set bit says that the sector is in this file. A clear one says for a
differencing disk that the parent has the sector, and for a dynamic one that it was never written: it reads as
zeros, whatever lies there. (QEMU 7.2 does not look at the bitmaps; it and everything known to write dynamic disks
sets all bits of a block that it allocates, so the two differ only in images that somebody made to differ.)

References: Virtual Hard Disk Image Format Specification 1.0, sections "Block Allocation Table and Data Blocks",
"Implementing a Differencing Hard Disk", "Identifying the Parent Hard Disk".
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from imgtool.errors import UsageError
from imgtool.formats.vhd.facts import VhdFacts
from imgtool.formats.vhd.layout import DISK_DIFFERENCING, DISK_FIXED, UNUSED_BLOCK
from imgtool.limits import Limits
from imgtool.sources.base import Source
from imgtool.sources.blocks import BAD, HOLE, NOWHERE, Entry
from imgtool.sources.disk import Disk, DiskError, Linked
from imgtool.sources.flat import FlatDisk
from imgtool.sources.memory import Window
from imgtool.sources.pieces import Pieces
from imgtool.sources.sectors import PARTIAL, SectorDisk
from imgtool.units import SECTOR, ceil_div, is_power_of_two

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ENTRY = 4  #: bytes of an entry of the block allocation table

#: Pieces of sector bitmaps that are kept, of 512 bytes at most as they are read.
_BITMAPS = 128

#: A byte with its bits the other way round: the first sector of a bitmap's byte is its highest bit.
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def open_disk(
    source: Source, facts: VhdFacts, limits: Limits, links: tuple[Linked, ...], snapshot: str | None
) -> Disk:
    """The guest's disk of a VHD. Raises DiskError where its tables cannot hold, UsageError for a snapshot."""
    if snapshot is not None:
        raise UsageError(f"{source.name}: a vhd has no snapshots inside")
    size = facts.virtual_size or 0
    if facts.disk_type == DISK_FIXED:
        if facts.flat is None:
            raise DiskError(f"{source.name}: a fixed vhd without its footer")
        start, length = facts.flat
        return FixedDisk(source, size, start, length)
    block = facts.block_size or 0
    if block < SECTOR or not is_power_of_two(block):
        raise DiskError(f"{source.name}: block_size is {block}: a power of two of at least {SECTOR} is allowed")
    if size > limits.vhd_size:
        raise DiskError(f"{source.name}: {size} guest bytes, at most {limits.vhd_size} are allowed")
    return BlockedDisk(source, facts, _parent(source, facts, links))


def _parent(source: Source, facts: VhdFacts, links: tuple[Linked, ...]) -> Source | None:
    """The parent's disk, where it was opened and is the one that this disk was made upon. Raises DiskError."""
    link = next((link for link in links if link.reference.kind == "parent"), None)
    if link is None or facts.disk_type != DISK_DIFFERENCING:
        return None
    if not isinstance(link.facts, VhdFacts):
        raise DiskError(f"{source.name}: its parent {link.disk.name} is not a vhd")
    if link.facts.unique_id != facts.parent_unique_id:
        raise DiskError(
            f"{source.name}: its parent has the unique id {facts.parent_unique_id}, {link.disk.name} has "
            f"{link.facts.unique_id}: it is another disk"
        )
    return link.disk


class FixedDisk(FlatDisk):
    """A fixed disk: the `length` bytes of the file from `start` on that lie before the footer.

    Where the disk is said to be larger than that, reading the rest raises DiskError.
    """

    __slots__ = ("_source",)

    def __init__(self, source: Source, size: int, start: int, length: int) -> None:
        super().__init__(
            source if length == size else Window(source, start, length), size, start if length == size else 0
        )
        self._source = source

    @property
    def allocated(self) -> int | None:
        return self._source.allocated

    def close(self) -> None:
        self._source.close()


class BlockedDisk(SectorDisk):
    """A dynamic or differencing disk. Every allocated block is partial: its bitmap says what is in it."""

    __slots__ = ("_bitmap", "_bitmap_size", "_reach", "_table")

    def __init__(self, source: Source, facts: VhdFacts, parent: Source | None) -> None:
        layered = facts.disk_type == DISK_DIFFERENCING
        block = facts.block_size or SECTOR
        super().__init__(source, facts.virtual_size or 0, block, SECTOR, backing=parent, layered=layered)
        self._bitmap_size = ceil_div(ceil_div(block, SECTOR * 8), SECTOR) * SECTOR
        self._table = Pieces(source, facts.table_offset or 0, (facts.max_table_entries or 0) * _ENTRY)
        self._reach = self._table.length // _ENTRY
        self._bitmap = lru_cache(maxsize=_BITMAPS)(self._read_bitmap)

    def alike(self, block: int) -> tuple[Entry, int] | None:
        if block < self._reach:
            return None
        return Entry(BAD, NOWHERE), ceil_div(self.size, self.block_size) - block

    def entry(self, block: int) -> Entry:
        raw = self._table.read(block * _ENTRY, _ENTRY)
        if len(raw) < _ENTRY:
            return Entry(BAD, NOWHERE)
        place = int.from_bytes(raw, "big")
        if place == UNUSED_BLOCK:
            return Entry(HOLE, NOWHERE)
        host = place * SECTOR + self._bitmap_size
        return Entry(PARTIAL if place > 0 and host < self.host.size else BAD, host)

    def entries(self, first: int, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        import numpy as np

        held = max(0, min(count, self._reach - first))
        raw = self.host.read_at(self._table.start + first * _ENTRY, held * _ENTRY) if held else b""
        places = np.frombuffer(raw, ">u4", len(raw) // _ENTRY).astype(np.int64)
        known = len(places)
        kinds = np.full(count, BAD, np.uint8)
        hosts = np.full(count, NOWHERE, np.int64)
        hosts[:known] = places * SECTOR + self._bitmap_size
        inside = (places > 0) & (hosts[:known] < self.host.size)
        kinds[:known][inside] = PARTIAL
        unused = places == UNUSED_BLOCK
        kinds[:known][unused] = HOLE
        hosts[:known][unused] = NOWHERE
        return self.thinned(kinds), hosts

    def bits(self, block: int, host: int, first: int, count: int) -> int:
        return self._bitmap(host - self._bitmap_size + first // 8, count)

    def _read_bitmap(self, at: int, count: int) -> int:
        length = ceil_div(count, 8)
        raw = self.host.read_at(at, length)
        if len(raw) < length:
            raise DiskError(f"{self.name}: the sector bitmap at {at} ends outside the file")
        return int.from_bytes(raw.translate(_REVERSED), "little")
