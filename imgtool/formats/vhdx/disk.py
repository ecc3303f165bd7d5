"""VHDX: the guest's disk. Its log, where there is one, is replayed in memory first.

The block allocation table holds 64 bits for each payload block, and after each chunk of them (as many as one sector
bitmap block describes: 2^23 sectors) an entry for that bitmap block, which only differencing disks use.

How the states read: 0 (not present) as the parent, without one as zeros; 1 (undefined), 2 (zero) and 3 (unmapped)
as zeros, and never as the parent; 6 as what lies there; 7 sector by sector as the bitmap says. State 7 without a
parent, 4 and 5 (5 was "unmapped" before version 1.00), reserved bits and places in the header section do not hold.

References: [MS-VHDX] 2.4 (blocks), 2.5 (BAT), 2.6.2.6.3 (parent locator entries).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from imgtool.errors import UsageError
from imgtool.formats.vhdx import layout as lay
from imgtool.formats.vhdx.facts import Region, VhdxFacts
from imgtool.formats.vhdx.log import Overlay, replayed
from imgtool.formats.vhdx.reader import read_as_stored
from imgtool.limits import Limits
from imgtool.model.values import Extent
from imgtool.sources.base import Source
from imgtool.sources.blocks import BAD, DATA, HOLE, NOWHERE, ZERO, Entry
from imgtool.sources.disk import Disk, DiskError, Linked
from imgtool.sources.pieces import Pieces
from imgtool.sources.sectors import PARTIAL, SectorDisk
from imgtool.structs.view import View
from imgtool.units import ceil_div, is_power_of_two

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Pieces of sector bitmaps that are kept, of 512 bytes at most as they are read.
_BITMAPS = 128

#: Kinds by state of a payload block; what 7 is depends on whether there is a parent.
_STATES = (HOLE, ZERO, ZERO, ZERO, BAD, BAD, DATA, BAD)


def open_disk(
    source: Source, facts: VhdxFacts, limits: Limits, links: tuple[Linked, ...], snapshot: str | None
) -> Disk:
    """The guest's disk of a VHDX. Raises DiskError where its log or its tables cannot hold, UsageError for a
    snapshot."""
    if snapshot is not None:
        raise UsageError(f"{source.name}: a vhdx has no snapshots inside")
    overlay = replayed(source, facts, limits)
    if overlay is not None:
        facts = _reread(overlay, facts, limits)
    size, block, sector = facts.virtual_size, facts.block_size, facts.logical_sector_size
    if size is None or size > limits.vhdx_size:
        raise DiskError(f"{source.name}: {size} guest bytes, at most {limits.vhdx_size} are allowed")
    if block is None or not lay.MIN_BLOCK <= block <= lay.MAX_BLOCK or not is_power_of_two(block):
        raise DiskError(f"{source.name}: the block size is {block}: a power of two from 1 to 256 MiB is allowed")
    if sector not in lay.SECTOR_SIZES:
        raise DiskError(f"{source.name}: the logical sector size is {sector}: 512 or 4096 is allowed")
    table = facts.region(lay.BAT)
    if table is None:
        raise DiskError(f"{source.name}: its region table names no BAT")
    return PayloadDisk(source, facts, table, _parent(source, facts, links), overlay)


def _reread(overlay: Overlay, facts: VhdxFacts, limits: Limits) -> VhdxFacts:
    """The facts as they are once the log is replayed. Raises DiskError where they make no sense then."""
    after = read_as_stored(View(overlay, limits), limits)
    if after.broken:
        reason = after.problems[0].message if after.problems else "its headers do not hold"
        raise DiskError(f"{overlay.name}: broken once its log is replayed: {reason}")
    return after


def _parent(source: Source, facts: VhdxFacts, links: tuple[Linked, ...]) -> Source | None:
    """The parent's disk, where it was opened and is the one that this disk was made upon. Raises DiskError."""
    link = next((link for link in links if link.reference.kind == "parent"), None)
    if link is None or not facts.has_parent:
        return None
    if not isinstance(link.facts, VhdxFacts):
        raise DiskError(f"{source.name}: its parent {link.disk.name} is not a vhdx")
    entries = facts.parent_locator.entries if facts.parent_locator is not None else ()
    linkages = [entry.value for entry in entries if entry.key in lay.LINKAGES]
    guid = link.facts.data_write_guid
    if guid not in {linkage.strip("{}").lower() for linkage in linkages}:
        raise DiskError(
            f"{source.name}: its parent has the linkage {' or '.join(linkages) or 'of none'}, {link.disk.name} "
            f"has {guid}: it was changed since, or is another disk"
        )
    return link.disk


class PayloadDisk(SectorDisk):
    """A fixed, dynamic or differencing disk; `host` is the file with its log replayed, which is `overlay` where
    there was one to replay."""

    __slots__ = ("_bitmap", "_overlay", "_reach", "_states", "_table", "ratio")

    def __init__(
        self, source: Source, facts: VhdxFacts, table: Region, parent: Source | None, overlay: Overlay | None = None
    ) -> None:
        host = overlay or source
        block, sector = facts.block_size or lay.MIN_BLOCK, facts.logical_sector_size or lay.SECTOR_SIZES[0]
        layered = facts.has_parent
        super().__init__(host, facts.virtual_size or 0, block, sector, backing=parent, layered=layered)
        self._overlay = overlay
        self.ratio = lay.CHUNK_SECTORS * sector // block
        self._table = Pieces(host, table.offset, table.length)
        held = self._table.length // lay.BAT_ENTRY
        self._reach = held // (self.ratio + 1) * self.ratio + min(self.ratio, held % (self.ratio + 1))
        self._states = (*_STATES[:-1], PARTIAL if layered else BAD)
        self._bitmap = lru_cache(maxsize=_BITMAPS)(self._read_bitmap)

    def alike(self, block: int) -> tuple[Entry, int] | None:
        if block < self._reach:
            return None
        return Entry(BAD, NOWHERE), ceil_div(self.size, self.block_size) - block

    def entry(self, block: int) -> Entry:
        raw = self._word(block + block // self.ratio)
        if raw is None:
            return Entry(BAD, NOWHERE)
        kind = self._states[raw & lay.BAT_STATE]
        place = raw & lay.BAT_OFFSET
        if kind not in (DATA, PARTIAL):
            return Entry(kind, NOWHERE)
        if place >> 63:
            return Entry(BAD, NOWHERE)
        return Entry(BAD if self._misplaced(raw) else kind, place)

    def _word(self, index: int) -> int | None:
        """An entry of the table; None where the table ends before it."""
        raw = self._table.read(index * lay.BAT_ENTRY, lay.BAT_ENTRY)
        return int.from_bytes(raw, "little") if len(raw) == lay.BAT_ENTRY else None

    def _misplaced(self, word: int) -> bool:
        return bool(word & lay.BAT_RESERVED) or not lay.HEADER_SECTION <= word & lay.BAT_OFFSET < self.host.size

    def entries(self, first: int, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        import numpy as np

        known = max(0, min(count, self._reach - first))
        blocks = np.arange(first, first + known, dtype=np.int64)
        places = blocks + blocks // self.ratio
        base = first + first // self.ratio
        kinds = np.full(count, BAD, np.uint8)
        hosts = np.full(count, NOWHERE, np.int64)
        if not known:
            return kinds, hosts
        length = (int(places[-1]) + 1 - base) * lay.BAT_ENTRY
        raw = self.host.read_at(self._table.start + base * lay.BAT_ENTRY, length)
        if len(raw) < length:
            return kinds, hosts
        if raw == bytes(length):
            kinds[:known] = HOLE
            return kinds, hosts
        words = np.frombuffer(raw, "<u8")[places - base]
        states = np.array(self._states, np.uint8)[(words & lay.BAT_STATE).astype(np.int64)]
        lies = (states == DATA) | (states == PARTIAL)
        offsets = words & np.uint64(lay.BAT_OFFSET)
        hosts[:known] = np.where(lies & (offsets < 1 << 63), offsets, 0).astype(np.int64)
        bad = (words & lay.BAT_RESERVED != 0) | (offsets < lay.HEADER_SECTION) | (offsets >= self.host.size)
        kinds[:known] = np.where(lies & bad, BAD, states)
        hosts[:known][~lies | (offsets >= 1 << 63)] = NOWHERE
        return self.thinned(kinds), hosts

    def _extent(self, kind: int, host: int, low: int, high: int) -> Iterator[Extent]:
        extents = super()._extent(kind, host, low, high)
        if self._overlay is None:
            return extents
        return (part for extent in extents for part in self._as_stored(extent, self._overlay))

    def _as_stored(self, extent: Extent, overlay: Overlay) -> Iterator[Extent]:
        """An extent in parts: blocks that the log changes a byte of lie nowhere in the file as they are."""
        start, end = extent.start, extent.start + extent.length
        if extent.host_offset is None or extent.depth:
            yield extent
            return
        ahead = extent.host_offset - start
        last = ceil_div(end, self.block_size) * self.block_size
        while start < end:
            first = start - start % self.block_size
            changed = overlay.first_change(first + ahead, last + ahead) - ahead
            low = max(start, min(end, changed - changed % self.block_size))
            high = min(end, low - low % self.block_size + self.block_size)
            yield Extent(start, low - start, extent.kind, start + ahead)
            yield Extent(low, high - low, extent.kind)
            start = high

    def bits(self, block: int, host: int, first: int, count: int) -> int:
        chunk, within = divmod(block, self.ratio)
        word = self._word((chunk + 1) * self.ratio + chunk)
        if word is None or word & lay.BAT_STATE != lay.BITMAP_PRESENT or word >> 63 or self._misplaced(word):
            raise DiskError(f"{self.name}: block {block} is partial and has no sector bitmap")
        sector = within * (self.block_size // self.sector) + first
        return self._bitmap((word & lay.BAT_OFFSET) + sector // 8, count)

    def _read_bitmap(self, at: int, count: int) -> int:
        length = ceil_div(count, 8)
        raw = self.host.read_at(at, length)
        if len(raw) < length:
            raise DiskError(f"{self.name}: the sector bitmap at {at} ends outside the file")
        return int.from_bytes(raw, "little")
