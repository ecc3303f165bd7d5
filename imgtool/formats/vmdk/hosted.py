"""The guest's bytes of a hosted sparse extent (KDMV), plain or compressed, and of COWD: entries are sectors.

The primary directory is the one that is read, as QEMU does; the redundant one is for repair. A table's entry of 1
is a grain of zeros only where the header's flag says so.

References: VMware "Virtual Disk Format 5.0", sections "Hosted Sparse Extents", "Stream-Optimized Compressed Sparse
Extents", "ESXi Host Sparse Extents".
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from imgtool.codecs.block import inflate_zlib
from imgtool.codecs.feed import CodecError
from imgtool.formats.vmdk import layout as lay
from imgtool.formats.vmdk.facts import VmdkFacts
from imgtool.formats.vmdk.grains import HOLE_ENTRY, GrainDisk
from imgtool.limits import Limits
from imgtool.sources.base import Source
from imgtool.sources.blocks import COMPRESSED, DATA, HOLE, NOWHERE, ZERO, Entry, Unpacked
from imgtool.sources.disk import DiskError
from imgtool.units import SECTOR

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: The head of a compressed grain: its first sector of the disk, the bytes that follow.
_GRAIN_MARKER = struct.Struct("<QI")

_ZERO_ENTRY = Entry(ZERO, NOWHERE)


class PlainGrains(GrainDisk):
    """Grains that lie as they are. `zeroed`: an entry of 1 means zeros."""

    __slots__ = ("zeroed",)

    kind = DATA
    zeroed: bool

    def place(self, value: int) -> int:
        return value * SECTOR

    def places(self, values: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.int64]:
        import numpy as np

        return values.astype(np.int64) * SECTOR

    def grain(self, value: int) -> Entry:
        if value == 0:
            return HOLE_ENTRY
        if value == 1 and self.zeroed:
            return _ZERO_ENTRY
        return Entry(self.kind, value * SECTOR)

    def grains(self, values: NDArray[np.unsignedinteger[Any]]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        import numpy as np

        kinds = np.full(len(values), self.kind, np.uint8)
        hosts = values.astype(np.int64) * SECTOR
        nothing = values == 0
        kinds[nothing], hosts[nothing] = HOLE, NOWHERE
        if self.zeroed:
            zeros = values == 1
            kinds[zeros], hosts[zeros] = ZERO, NOWHERE
        return kinds, hosts


class PackedGrains(PlainGrains):
    """Grains that are compressed (zlib), each behind a marker where `marked`."""

    __slots__ = ("marked",)

    kind = COMPRESSED
    marked: bool

    def read_packed(self, block: int, host: int) -> Unpacked:
        packed = self._marked(block, host) if self.marked else self.host.read_at(host, 2 * self.block_size)
        try:
            grain = inflate_zlib(packed, self.block_size)
        except CodecError as error:
            raise DiskError(f"{self.name}: the grain at byte {host}: {error}") from error
        wanted = min(self.block_size, self.size - block * self.block_size)
        if len(grain) < wanted:
            raise DiskError(f"{self.name}: the grain at byte {host} inflates to {len(grain)} bytes, not {wanted}")
        return grain if len(grain) == self.block_size else grain.ljust(self.block_size, b"\0")

    def _marked(self, block: int, host: int) -> bytes:
        """What follows the marker of a grain: it must be this grain's, and no longer than twice a grain."""
        head = self.host.read_at(host, _GRAIN_MARKER.size)
        if len(head) < _GRAIN_MARKER.size:
            raise DiskError(f"{self.name}: the grain at byte {host} lies past the end of the file")
        sector, length = _GRAIN_MARKER.unpack(head)
        if sector * SECTOR != block * self.block_size:
            wanted = block * self.block_size // SECTOR
            raise DiskError(f"{self.name}: the grain at byte {host} is marked as sector {sector}, not {wanted}")
        if not 0 < length <= 2 * self.block_size:
            raise DiskError(f"{self.name}: the grain at byte {host} has {length} compressed bytes")
        packed = self.host.read_at(host + _GRAIN_MARKER.size, length)
        if len(packed) < length:
            raise DiskError(f"{self.name}: the grain at byte {host} ends past the end of the file")
        return packed


def hosted_disk(
    source: Source, facts: VmdkFacts, limits: Limits, size: int, backing: Source | None, referenced: bool
) -> GrainDisk:
    """The disk of a KDMV extent, `size` bytes of it. Raises DiskError where its header does not hold."""
    header = _header(source, facts)
    entries = header.numGTEsPerGT
    if not 0 < entries <= lay.GTES_PER_GT:
        raise DiskError(f"{source.name}: grain tables of {entries} entries")
    if header.compressAlgorithm not in lay.COMPRESSION:
        raise DiskError(f"{source.name}: compression {header.compressAlgorithm} is not known")
    if header.gdOffset == 0:
        raise DiskError(f"{source.name}: the grain directory is at sector 0")
    grain, packed = header.grainSize * SECTOR, header.compressAlgorithm == 1
    if packed and grain > limits.vmdk_packed:
        told = f"compressed grains of {grain} bytes; at most {limits.vmdk_packed} are inflated"
        raise DiskError(f"{source.name}: {told}")
    kind = PackedGrains if packed else PlainGrains
    disk = kind(
        source,
        size,
        grain,
        limits,
        directory_at=header.gdOffset * SECTOR,
        directory_entries=directory_entries(source, size, grain * entries, limits),
        table_entries=entries,
        width=4,
        backing=backing,
        referenced=referenced,
    )
    disk.zeroed = bool(header.flags & lay.FLAG_ZEROED)
    if isinstance(disk, PackedGrains):
        disk.marked = bool(header.flags & lay.FLAG_MARKERS)
    return disk


def _header(source: Source, facts: VmdkFacts) -> lay.SparseHeader:
    """The header that says where the directory is: the footer's, where there is one."""
    header, footer = facts.header, facts.footer_header
    if header is None:
        raise DiskError(f"{source.name}: no sparse extent header")
    if header.gdOffset != lay.GD_AT_END:
        return header
    if footer is None or facts.footer_state != "present":
        raise DiskError(f"{source.name}: the grain directory is at the end, and its footer is {facts.footer_state}")
    for name in ("capacity", "grainSize", "numGTEsPerGT", "flags", "compressAlgorithm"):
        first, last = getattr(header, name), getattr(footer, name)
        if first != last:
            raise DiskError(f"{source.name}: {name} is {first} in the header, {last} in the footer")
    if footer.gdOffset == lay.GD_AT_END:
        raise DiskError(f"{source.name}: neither header nor footer says where the grain directory is")
    return footer


def cowd_disk(
    source: Source, facts: VmdkFacts, limits: Limits, size: int, backing: Source | None, referenced: bool
) -> GrainDisk:
    """The disk of a COWD extent, `size` bytes of it. Raises DiskError where its header does not hold."""
    header = facts.cowd_header
    if header is None:
        raise DiskError(f"{source.name}: no COWD header")
    grain = header.grainSize * SECTOR
    needed = directory_entries(source, size, grain * lay.COWD_GTES_PER_GT, limits)
    disk = PlainGrains(
        source,
        size,
        grain,
        limits,
        directory_at=header.gdOffset * SECTOR,
        directory_entries=min(needed, header.numGDEntries),
        table_entries=lay.COWD_GTES_PER_GT,
        width=4,
        backing=backing,
        referenced=referenced,
    )
    disk.zeroed = False
    return disk


def directory_entries(source: Source, size: int, span: int, limits: Limits) -> int:
    """Tables of `span` bytes that a disk of `size` bytes needs. Raises DiskError above the cap."""
    needed = -(-size // span)
    if needed > limits.vmdk_directory:
        raise DiskError(f"{source.name}: a directory of {needed} entries; at most {limits.vmdk_directory} are read")
    return needed
