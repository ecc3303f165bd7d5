"""Writing VHD, dynamic and fixed.

The size is exact: current_size and original_size are the guest's bytes, rounded up to a sector, never to the
geometry. The geometry is what the specification computes, which can tell few sizes exactly; so
the creator is `qem2`, which says that current_size holds: QEMU takes the geometry of creators it does not know.

A block that is written has all bits of its sector bitmap set, as every program that writes dynamic disks does it:
readers that do not look at the bitmap see what the others see.

The unique id is made from the content (targets/ids.py); the time is the stamp's, no earlier than 2000.

References: Virtual Hard Disk Image Format Specification 1.0, sections "Hard Disk Footer Format", "Dynamic Disk
Header Format", "Block Allocation Table and Data Blocks", "Appendix: CHS Calculation".
"""

from __future__ import annotations

from collections.abc import Mapping

from imgtool.errors import UnsupportedError, UsageError
from imgtool.formats.vhd import layout as lay
from imgtool.formats.vhd.reader import checksum
from imgtool.limits import DEFAULT
from imgtool.targets.blocks import BlockTable, BlockWriter, FlatWriter
from imgtool.targets.ids import content_uuid
from imgtool.targets.options import Option, Value
from imgtool.targets.output import Output
from imgtool.targets.writer import Stamp
from imgtool.units import KIB, MIB, SECTOR, ceil_div

_BLOCK_SIZES = (512 * KIB, 2 * MIB)

OPTIONS = (
    Option("subformat", "choice", "dynamic", "dynamic grows with its data, fixed is flat", ("dynamic", "fixed")),
    Option(
        "block_size", "size", "2M", "bytes of a block of a dynamic disk: 512K or 2M", least=512 * KIB, most=2 * MIB
    ),
)

CREATOR = b"qem2"
CREATOR_VERSION = 0x00050003
CREATOR_HOST_OS = b"Wi2k"

_RESERVED_FEATURE = 2  #: bit 1, which is always set
_HEADER_AT = lay.FOOTER_SIZE  #: behind the copy of the footer
_TABLE_AT = _HEADER_AT + lay.DYNAMIC_HEADER_SIZE


def open_writer(output: Output, size: int, options: Mapping[str, Value]) -> DynamicWriter | FixedWriter:
    """A writer of a disk of `size` bytes. Raises UsageError for options that cannot be, UnsupportedError for a size
    that the format does not know, and for a device, which ends elsewhere than with the footer."""
    subformat, block_size = str(options["subformat"]), int(options["block_size"])
    if block_size not in _BLOCK_SIZES:
        raise UsageError(f"vhd option block_size is 512K or 2M, not {block_size}")
    if subformat == "fixed" and block_size != 2 * MIB:
        raise UsageError("vhd option block_size: a fixed vhd has no blocks")
    size = ceil_div(size, SECTOR) * SECTOR
    if size > DEFAULT.vhd_size:
        raise UnsupportedError(f"{output.name}: a vhd holds at most {DEFAULT.vhd_size} bytes, the disk has {size}")
    if not output.known_zeros:
        raise UnsupportedError(f"{output.name}: a vhd ends with its footer, it cannot be written to a device")
    if subformat == "dynamic":
        return DynamicWriter(output, size, block_size)
    if not size:
        raise UnsupportedError(f"{output.name}: a fixed vhd has at least one sector, the disk has none")
    return FixedWriter(output, size)


class FixedWriter(FlatWriter):
    """A fixed disk: the guest's bytes, then the footer."""

    def __init__(self, output: Output, size: int) -> None:
        super().__init__(output, size, first=0)
        output.truncate(size + lay.FOOTER_SIZE)

    def finish(self, stamp: Stamp) -> None:
        self.output.write_at(self.size, footer(self.size, lay.DISK_FIXED, lay.NO_OFFSET, stamp.time, self.mark))


class DynamicWriter(BlockWriter):
    """A dynamic disk: the footer's copy, the header, the block allocation table, blocks, the footer."""

    def __init__(self, output: Output, size: int, block_size: int) -> None:
        self._entries = ceil_div(size, block_size)
        whole = SECTOR // 4  # the table takes whole sectors
        count = ceil_div(self._entries, whole) * whole
        table = BlockTable(output, _TABLE_AT, count, absent=lay.UNUSED_BLOCK, order="big")
        sectors = block_size // SECTOR
        self._bitmap = (b"\xff" * (sectors // 8)).ljust(ceil_div(sectors // 8, SECTOR) * SECTOR, b"\0")
        super().__init__(output, size, block_size, table, first=_TABLE_AT + table.length, lead=len(self._bitmap))

    def begin(self, number: int, at: int) -> int:
        self.output.write_at(at, self._bitmap)
        return at // SECTOR

    def finish(self, stamp: Stamp) -> None:
        self.table.finish()
        ends = footer(self.size, lay.DISK_DYNAMIC, _HEADER_AT, stamp.time, self.mark)
        self.output.write_at(0, ends)
        self.output.write_at(_HEADER_AT, dynamic_header(_TABLE_AT, self._entries, self.block_size))
        self.output.write_at(self.end, ends)


def footer(size: int, disk_type: int, data_offset: int, time: int, mark: bytes) -> bytes:
    """The hard disk footer of a disk of `size` bytes, made at `time` (seconds since 1970), with content of `mark`."""
    geometry = chs(size // SECTOR)
    record = lay.Footer(
        cookie=lay.COOKIE,
        features=_RESERVED_FEATURE,
        file_format_version=lay.VERSION,
        data_offset=data_offset,
        time_stamp=min(max(0, time - lay.EPOCH), 0xFFFFFFFF),
        creator_application=CREATOR,
        creator_version=CREATOR_VERSION,
        creator_host_os=CREATOR_HOST_OS,
        original_size=size,
        current_size=size,
        cylinders=geometry.cylinders,
        heads=geometry.heads,
        sectors=geometry.sectors,
        disk_type=disk_type,
        checksum=0,
        unique_id=content_uuid(mark, "vhd.unique_id"),
        saved_state=0,
        reserved=bytes(lay.FOOTER_SIZE - 85),
    )
    return lay.FOOTER.build(record._replace(checksum=checksum(lay.FOOTER.build(record), 64)))


def dynamic_header(table_offset: int, entries: int, block_size: int) -> bytes:
    """The dynamic disk header of a disk without a parent."""
    record = lay.DynamicHeader(
        cookie=lay.DYNAMIC_COOKIE,
        data_offset=lay.NO_OFFSET,
        table_offset=table_offset,
        header_version=lay.VERSION,
        max_table_entries=entries,
        block_size=block_size,
        checksum=0,
        parent_unique_id=bytes(16),
        parent_time_stamp=0,
        reserved1=0,
        parent_unicode_name=bytes(512),
        parent_locators=bytes(24 * lay.LOCATORS),
        reserved2=bytes(256),
    )
    return lay.DYNAMIC_HEADER.build(record._replace(checksum=checksum(lay.DYNAMIC_HEADER.build(record), 36)))


def chs(sectors: int) -> lay.Geometry:
    """The geometry of a disk of so many sectors ("Appendix: CHS Calculation"); it holds no more than they are."""
    sectors = min(sectors, 65535 * 16 * 255)
    if sectors >= 65535 * 16 * 63:
        return lay.Geometry(sectors // 255 // 16, 16, 255)
    tracks = sectors // 17
    heads = max(4, ceil_div(tracks, 1024))
    if tracks < heads * 1024 and heads <= 16:
        return lay.Geometry(tracks // heads, heads, 17)
    track = 31 if sectors // 31 < 16 * 1024 else 63
    return lay.Geometry(sectors // track // 16, 16, track)
