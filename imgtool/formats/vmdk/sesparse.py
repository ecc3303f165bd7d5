"""The guest's bytes of a seSparse extent: entries of 64 bits whose top four tell what they are.

Reference: QEMU block/vmdk.c; no document describes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgtool.formats.vmdk import layout as lay
from imgtool.formats.vmdk.facts import VmdkFacts
from imgtool.formats.vmdk.grains import ABSENT, BAD_ENTRY, HOLE_ENTRY, WRONG, GrainDisk
from imgtool.formats.vmdk.hosted import directory_entries
from imgtool.limits import Limits
from imgtool.sources.base import Source
from imgtool.sources.blocks import BAD, DATA, HOLE, NOWHERE, ZERO, Entry
from imgtool.sources.disk import DiskError
from imgtool.units import SECTOR

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_GRAIN = lay.SESPARSE_GRAIN * SECTOR
_TABLE = lay.SESPARSE_GRAIN_TABLE * SECTOR
#: The upper half of a directory's entry that names a table; the lower half is the table's number.
_TABLE_MARK = 0x10000000
# The top four bits of a table's entry.
_UNALLOCATED, _UNMAPPED, _ZEROED, _ALLOCATED = 0, 1, 2, 3
_LOW48 = (1 << 48) - 1
#: No file reaches so far.
_MOST = 1 << 62

_ZERO_ENTRY = Entry(ZERO, NOWHERE)


class SeSparseGrains(GrainDisk):
    """Grains of 4 KiB, tables of 4,096. `tables_at`, `grains_at`: bytes where table 0 and grain 0 lie.

    Unmapped (by the guest) and zeroed grains read as zeros, whatever a parent has.
    """

    __slots__ = ("grains_at", "tables_at")

    tables_at: int
    grains_at: int

    def place(self, value: int) -> int:
        if value == 0:
            return ABSENT
        if value >> 32 != _TABLE_MARK:
            return WRONG
        return self.tables_at + (value & 0xFFFFFFFF) * _TABLE or WRONG

    def places(self, values: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.int64]:
        import numpy as np

        places = (values & np.uint64(0xFFFFFFFF)).astype(np.int64) * _TABLE + self.tables_at
        places[places == 0] = WRONG
        places[values >> np.uint64(32) != _TABLE_MARK] = WRONG
        places[values == 0] = ABSENT
        return places

    def grain(self, value: int) -> Entry:
        kind = value >> 60
        if value == 0:
            return HOLE_ENTRY
        if kind in (_UNMAPPED, _ZEROED):
            return _ZERO_ENTRY
        number = cluster(value)
        if kind != _ALLOCATED or number >= _MOST // _GRAIN:
            return BAD_ENTRY
        return Entry(DATA, self.grains_at + number * _GRAIN)

    def grains(self, values: NDArray[np.unsignedinteger[Any]]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        import numpy as np

        kind = values >> np.uint64(60)
        numbers = ((values >> np.uint64(48)) & np.uint64(0xFFF)) | ((values & np.uint64(_LOW48)) << np.uint64(12))
        data = (kind == _ALLOCATED) & (numbers < _MOST // _GRAIN)
        zeros = (kind == _UNMAPPED) | (kind == _ZEROED)
        kinds = np.select([values == 0, zeros, data], [HOLE, ZERO, DATA], BAD).astype(np.uint8)
        hosts = np.full(len(values), NOWHERE, np.int64)
        hosts[data] = numbers[data].astype(np.int64) * _GRAIN + self.grains_at
        return kinds, hosts


def cluster(value: int) -> int:
    """The number of an allocated entry's grain: bits 48 to 59 are its lowest twelve, bits 0 to 47 the rest."""
    return (value >> 48 & 0xFFF) | (value & _LOW48) << 12


def sesparse_disk(
    source: Source, facts: VmdkFacts, limits: Limits, size: int, backing: Source | None, referenced: bool
) -> GrainDisk:
    """The disk of a seSparse extent, `size` bytes of it. Raises DiskError where its headers do not hold."""
    header, volatile = facts.sesparse_header, facts.volatile
    if header is None:
        raise DiskError(f"{source.name}: no seSparse header")
    sizes = (header.grain_size, header.grain_table_size)
    if sizes != (lay.SESPARSE_GRAIN, lay.SESPARSE_GRAIN_TABLE):
        raise DiskError(f"{source.name}: grains of {sizes[0]} and tables of {sizes[1]} sectors are not known")
    if header.flags or any((header.reserved1, header.reserved2, header.reserved3, header.reserved4)):
        raise DiskError(f"{source.name}: flags {header.flags:#x} or reserved fields that are not known")
    if volatile is None or volatile.magic != lay.SESPARSE_VOLATILE_MAGIC:
        raise DiskError(f"{source.name}: no volatile header, so its journal is not known to be empty")
    if volatile.replay_journal:
        raise DiskError(f"{source.name}: its journal must be replayed before it can be read")
    if max(header.grain_tables_offset, header.grains_offset) * SECTOR >= _MOST:
        raise DiskError(f"{source.name}: its tables or grains lie beyond any file")
    needed = directory_entries(source, size, _GRAIN * (_TABLE // 8), limits)
    disk = SeSparseGrains(
        source,
        size,
        _GRAIN,
        limits,
        directory_at=header.grain_dir_offset * SECTOR,
        directory_entries=min(needed, header.grain_dir_size * SECTOR // 8),
        table_entries=_TABLE // 8,
        width=8,
        backing=backing,
        referenced=referenced,
    )
    disk.tables_at = header.grain_tables_offset * SECTOR
    disk.grains_at = header.grains_offset * SECTOR
    return disk
