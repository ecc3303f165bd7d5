"""The guest's bytes of a hosted sparse extent (KDMV), plain or compressed, and of COWD: entries are sectors.

The primary directory is the one that is read, as QEMU does; the redundant one is for repair. A table's entry of 1
is a grain of zeros only where the header's flag says so.

References: VMware "Virtual Disk Format 5.0", sections "Hosted Sparse Extents", "Stream-Optimized Compressed Sparse
Extents", "ESXi Host Sparse Extents".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

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

_ZERO_ENTRY = Entry(ZERO, NOWHERE)


Fault = Literal["outside", "marker", "size", "data"]


class GrainError(DiskError):
    """A compressed grain cannot be read; `fault` says at what it failed."""

    def __init__(self, message: str, fault: Fault) -> None:
        super().__init__(message)
        self.fault: Fault = fault


class Stored(NamedTuple):
    """The compressed bytes of a grain, and where they end in the file: None where nothing says so."""

    data: bytes
    end: int | None


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
        grain = self.unpack(block, host, self.stored(block, host).data)
        return grain if len(grain) == self.block_size else grain.ljust(self.block_size, b"\0")

    def stored(self, block: int, host: int) -> Stored:
        """A grain as it is stored. Raises GrainError."""
        if self.marked:
            return self._marked(block, host)
        return Stored(self.host.read_at(host, 2 * self.block_size), None)

    def unpack(self, block: int, host: int, packed: bytes) -> bytearray:
        """What the stored bytes of a grain inflate to: a grain, of the last one at least what the disk has of it.
        Raises GrainError."""
        try:
            grain = inflate_zlib(packed, self.block_size)
        except CodecError as error:
            raise GrainError(f"{self.name}: the grain at byte {host}: {error}", "data") from error
        wanted = min(self.block_size, self.size - block * self.block_size)
        if len(grain) < wanted:
            told = f"{self.name}: the grain at byte {host} inflates to {len(grain)} bytes, not {wanted}"
            raise GrainError(told, "data")
        return grain

    def _marked(self, block: int, host: int) -> Stored:
        """What follows the marker of a grain: it must be this grain's, and no longer than twice a grain."""
        head = self.host.read_at(host, lay.GRAIN_MARKER.size)
        if len(head) < lay.GRAIN_MARKER.size:
            raise GrainError(f"{self.name}: the grain at byte {host} lies past the end of the file", "outside")
        sector, length = lay.GRAIN_MARKER.unpack(head)
        if sector * SECTOR != block * self.block_size:
            wanted = block * self.block_size // SECTOR
            told = f"{self.name}: the grain at byte {host} is marked as sector {sector}, not {wanted}"
            raise GrainError(told, "marker")
        if not 0 < length <= 2 * self.block_size:
            raise GrainError(f"{self.name}: the grain at byte {host} has {length} compressed bytes", "size")
        end = host + lay.GRAIN_MARKER.size + length
        if end > self.host.size:
            raise GrainError(f"{self.name}: the grain at byte {host} ends past the end of the file", "outside")
        return Stored(self.host.read_at(host + lay.GRAIN_MARKER.size, length), end)


def hosted_disk(
    source: Source, facts: VmdkFacts, limits: Limits, size: int, backing: Source | None, referenced: bool
) -> GrainDisk:
    """The disk of a KDMV extent, `size` bytes of it. Raises DiskError where its header does not hold."""
    header = counting_header(source, facts)
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


def counting_header(source: Source, facts: VmdkFacts) -> lay.SparseHeader:
    """The header that says where the directory is: the footer's, where there is one. Raises DiskError."""
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
