"""Writing VDI, dynamic and static: version 1.1 with the header of 0x190 bytes.

A block of zeros is marked as that, not as free: of a free block the format says that it may hold anything, though
readers of an image without a parent show zeros for both. VirtualBox, too, marks blocks of zeros when it converts.

The map lies behind the header, the blocks begin at a multiple of 1 MiB, as VirtualBox places them, so that the
guest's pages are the file's. The geometry is the one that VirtualBox gives a disk that has none; the logical one
is left to it. The ids of the image and of its last modification are made from the content (targets/ids.py).

Reference: VirtualBox, "Virtual Disk Image" headers.
"""

from __future__ import annotations

from collections.abc import Mapping

from imgtool.errors import UnsupportedError
from imgtool.formats.vdi import layout as lay
from imgtool.limits import DEFAULT
from imgtool.targets.blocks import BlockTable, BlockWriter, FlatWriter
from imgtool.targets.ids import content_uuid
from imgtool.targets.options import Option, Value
from imgtool.targets.output import Output
from imgtool.targets.writer import Stamp
from imgtool.units import MIB, SECTOR, ceil_div, guid_bytes

OPTIONS = (
    Option("subformat", "choice", "dynamic", "dynamic grows with its data, static is flat", ("dynamic", "static")),
    Option(
        "block_size",
        "size",
        "1M",
        "bytes of a block, a power of two; QEMU reads no other than 1M",
        least=MIB,
        most=DEFAULT.vdi_block,
        power=True,
    ),
)

CREATOR = b"<<< imgtool Virtual Disk Image >>>\n"
SIGNATURE = 0xBEDA107F

_MAP_AT = 512
_DATA_ALIGN = MIB

#: The geometry of a disk that has none of its own; ATA knows no more cylinders.
_HEADS, _SECTORS, _MOST_CYLINDERS = 16, 63, 16383


def open_writer(output: Output, size: int, options: Mapping[str, Value]) -> DynamicWriter | StaticWriter:
    """A writer of a disk of `size` bytes. Raises UnsupportedError where it has too many blocks."""
    block_size = int(options["block_size"])
    size = ceil_div(size, SECTOR) * SECTOR
    blocks, most = ceil_div(size, block_size), DEFAULT.vdi_blocks_written
    if blocks > most:
        raise UnsupportedError(
            f"{output.name}: a vdi has at most {most} blocks, the disk of {size} bytes needs {blocks} of "
            f"{block_size} (a larger block_size makes fewer of them)"
        )
    kind = DynamicWriter if options["subformat"] == "dynamic" else StaticWriter
    return kind(output, size, block_size)


class DynamicWriter(BlockWriter):
    """A dynamic image: the header, the block map, and the blocks that are not all zeros."""

    def __init__(self, output: Output, size: int, block_size: int) -> None:
        table = block_map(output, size, block_size)
        super().__init__(output, size, block_size, table, first=_data_offset(table))

    def begin(self, number: int, at: int) -> int:
        return number

    def finish(self, stamp: Stamp) -> None:
        self.table.finish()
        self.output.write_at(0, header(self.size, self.block_size, self.table, lay.NORMAL, self.allocated, self.mark))
        self.output.truncate(self.end)


class StaticWriter(FlatWriter):
    """A static image: all blocks have their place, in order; what is all zeros is a hole there."""

    def __init__(self, output: Output, size: int, block_size: int) -> None:
        self._block_size = block_size
        self._blocks = ceil_div(size, block_size)
        self._table = block_map(output, size, block_size)
        super().__init__(output, size, _data_offset(self._table))
        output.truncate(self._first + self._blocks * block_size)

    def finish(self, stamp: Stamp) -> None:
        self._table.in_order()
        self.output.write_at(0, header(self.size, self._block_size, self._table, lay.FIXED, self._blocks, self.mark))


def block_map(output: Output, size: int, block_size: int) -> BlockTable:
    """The block map of a disk of `size` bytes."""
    return BlockTable(output, _MAP_AT, ceil_div(size, block_size), absent=lay.BLOCK_ZERO, order="little")


def _data_offset(table: BlockTable) -> int:
    return ceil_div(table.offset + table.length, _DATA_ALIGN) * _DATA_ALIGN


def header(size: int, block_size: int, table: BlockTable, image_type: int, allocated: int, mark: bytes) -> bytes:
    """Pre-header, header and logical geometry."""
    before = lay.PreHeader(CREATOR.ljust(64, b"\0"), SIGNATURE, lay.VERSION_1_1)
    cylinders = min(size // (_HEADS * _SECTORS * SECTOR), _MOST_CYLINDERS)
    told = lay.Geometry(cylinders, _HEADS, _SECTORS, SECTOR) if cylinders else lay.Geometry(0, 0, 0, SECTOR)
    record = lay.Header(
        cbHeader=lay.HEADER_PLUS_SIZE,
        u32Type=image_type,
        fFlags=0,
        szComment=bytes(256),
        offBlocks=table.offset,
        offData=_data_offset(table),
        cCylinders=told.cCylinders,
        cHeads=told.cHeads,
        cSectors=told.cSectors,
        cbSector=told.cbSector,
        u32Dummy=0,
        cbDisk=size,
        cbBlock=block_size,
        cbBlockExtra=0,
        cBlocks=table.length // 4,
        cBlocksAllocated=allocated,
        uuidCreate=guid_bytes(content_uuid(mark, "vdi.uuidCreate")),
        uuidModify=guid_bytes(content_uuid(mark, "vdi.uuidModify")),
        uuidLinkage=lay.NULL_UUID,
        uuidParentModify=lay.NULL_UUID,
    )
    logical = lay.Geometry(0, 0, 0, SECTOR)
    return lay.PREHEADER.build(before) + lay.HEADER.build(record) + lay.GEOMETRY.build(logical)
