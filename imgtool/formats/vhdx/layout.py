"""VHDX on disk. All numbers are little-endian, GUIDs mixed-endian, strings UTF-16.

Reference: [MS-VHDX] Virtual Hard Disk v2 (VHDX) File Format, sections 2.2 (headers, region table), 2.3 (log),
2.5 (BAT), 2.6 (metadata region).
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int16ul, Int32ul, Int64ul, Struct

from imgtool.structs.layout import Layout, Meaning, flags
from imgtool.units import KIB, MIB, guid_text

FILE_SIGNATURE = b"vhdxfile"
HEADER_SIGNATURE = b"head"
REGION_SIGNATURE = b"regi"
METADATA_SIGNATURE = b"metadata"
LOG_SIGNATURE = b"loge"
ZERO_SIGNATURE = b"zero"
DATA_SIGNATURE = b"desc"
SECTOR_SIGNATURE = b"data"

HEADERS_AT = (64 * KIB, 128 * KIB)
HEADER_SIZE = 4 * KIB  #: the checksum is over this much
REGIONS_AT = (192 * KIB, 256 * KIB)
REGION_TABLE_SIZE = 64 * KIB
METADATA_TABLE_SIZE = 64 * KIB
HEADER_SECTION = 1 * MIB  #: nothing else lies below

VERSION = 1
LOG_VERSION = 0
LOG_UNIT = 4 * KIB

BAT = "2dc27766-f623-4200-9d64-115e9bfd4a08"
METADATA = "8b7ca206-4790-4b9a-b8fe-575f050f886e"
REGIONS = {BAT: "BAT", METADATA: "metadata"}

FILE_PARAMETERS_ID = "caa16737-fa36-4d43-b3b6-33f0aa44e76b"
VIRTUAL_DISK_SIZE_ID = "2fa54224-cd1b-4876-b211-5dbed83bf4b8"
VIRTUAL_DISK_ID_ID = "beca12ab-b2e6-4523-93ef-c309e000c746"
LOGICAL_SECTOR_SIZE_ID = "8141bf1d-a96f-4709-ba47-f233a8faab5f"
PHYSICAL_SECTOR_SIZE_ID = "cda348c7-445d-4471-9cc9-e9885251c556"
PARENT_LOCATOR_ID = "a8d35f2d-b30b-454d-abf7-d3d84834ab0c"
ITEMS = {
    FILE_PARAMETERS_ID: "file parameters",
    VIRTUAL_DISK_SIZE_ID: "virtual disk size",
    VIRTUAL_DISK_ID_ID: "virtual disk id",
    LOGICAL_SECTOR_SIZE_ID: "logical sector size",
    PHYSICAL_SECTOR_SIZE_ID: "physical sector size",
    PARENT_LOCATOR_ID: "parent locator",
}
#: Items that every file has.
REQUIRED_ITEMS = tuple(item for item in ITEMS if item != PARENT_LOCATOR_ID)

VHDX_PARENT = "b04aefb7-d19e-4a81-b789-25b8e9445913"
LINKAGES = frozenset({"parent_linkage", "parent_linkage2"})

REGION_REQUIRED = {0: "required"}
ITEM_FLAGS = {0: "user", 1: "virtual-disk", 2: "required"}
ITEM_USER = 1 << 0
ITEM_REQUIRED = 1 << 2
PARAMETER_FLAGS = {0: "leave-blocks-allocated", 1: "has-parent"}
LEAVE_BLOCKS_ALLOCATED = 1 << 0
HAS_PARENT = 1 << 1

MIN_BLOCK = 1 * MIB
MAX_BLOCK = 256 * MIB
SECTOR_SIZES = (512, 4096)
CHUNK_SECTORS = 1 << 23  #: sectors that one sector bitmap block describes

BAT_ENTRY = 8  #: bytes of an entry of the BAT
BAT_STATE = 0x7
BAT_RESERVED = 0xFFFF8
BAT_OFFSET = 0xFFFFFFFFFFF00000  #: an offset in whole MiB, in its place: bytes as they are
PAYLOAD_NOT_PRESENT = 0
PAYLOAD_UNDEFINED = 1
PAYLOAD_ZERO = 2
PAYLOAD_UNMAPPED = 3
PAYLOAD_FULLY_PRESENT = 6
PAYLOAD_PARTIALLY_PRESENT = 7
BITMAP_PRESENT = 6


def named(names: dict[str, str]) -> Meaning:
    """A meaning for a GUID: its text, and its name where it has one."""

    def tell(raw: bytes) -> str:
        guid = guid_text(raw)
        return f"{guid} ({names[guid]})" if guid in names else guid

    return tell


class FileIdentifier(NamedTuple):
    """The first 520 bytes: the signature, and who made the file."""

    signature: bytes
    creator: bytes


FILE_IDENTIFIER = Layout(
    "file type identifier",
    FileIdentifier,
    Struct("signature" / Bytes(8), "creator" / Bytes(512)),
    meanings={"creator": lambda raw: raw.decode("utf-16-le", "replace").partition("\0")[0]},
)


class Header(NamedTuple):
    """One of the two headers."""

    signature: bytes
    checksum: int
    sequence_number: int
    file_write_guid: bytes
    data_write_guid: bytes
    log_guid: bytes
    log_version: int
    version: int
    log_length: int
    log_offset: int


HEADER = Layout(
    "header",
    Header,
    Struct(
        "signature" / Bytes(4),
        "checksum" / Int32ul,
        "sequence_number" / Int64ul,
        "file_write_guid" / Bytes(16),
        "data_write_guid" / Bytes(16),
        "log_guid" / Bytes(16),
        "log_version" / Int16ul,
        "version" / Int16ul,
        "log_length" / Int32ul,
        "log_offset" / Int64ul,
    ),
    meanings={
        "checksum": lambda _: "CRC-32C of 4 KiB",
        "file_write_guid": guid_text,
        "data_write_guid": guid_text,
        "log_guid": lambda raw: guid_text(raw) if any(raw) else "no log to replay",
    },
)


class RegionTableHeader(NamedTuple):
    """The head of a region table."""

    signature: bytes
    checksum: int
    entry_count: int
    reserved: int


REGION_TABLE_HEADER = Layout(
    "region table header",
    RegionTableHeader,
    Struct("signature" / Bytes(4), "checksum" / Int32ul, "entry_count" / Int32ul, "reserved" / Int32ul),
    meanings={"checksum": lambda _: "CRC-32C of 64 KiB"},
)


class RegionTableEntry(NamedTuple):
    """One region: what it is, and where."""

    guid: bytes
    file_offset: int
    length: int
    required: int


REGION_TABLE_ENTRY = Layout(
    "region table entry",
    RegionTableEntry,
    Struct("guid" / Bytes(16), "file_offset" / Int64ul, "length" / Int32ul, "required" / Int32ul),
    meanings={"guid": named(REGIONS), "required": flags(REGION_REQUIRED)},
)


class MetadataTableHeader(NamedTuple):
    """The head of the metadata table."""

    signature: bytes
    reserved: int
    entry_count: int
    reserved2: bytes


METADATA_TABLE_HEADER = Layout(
    "metadata table header",
    MetadataTableHeader,
    Struct("signature" / Bytes(8), "reserved" / Int16ul, "entry_count" / Int16ul, "reserved2" / Bytes(20)),
)


class MetadataTableEntry(NamedTuple):
    """One metadata item; `offset` counts from the start of the metadata region."""

    item_id: bytes
    offset: int
    length: int
    flags: int
    reserved2: int


METADATA_TABLE_ENTRY = Layout(
    "metadata table entry",
    MetadataTableEntry,
    Struct(
        "item_id" / Bytes(16),
        "offset" / Int32ul,
        "length" / Int32ul,
        "flags" / Int32ul,
        "reserved2" / Int32ul,
    ),
    meanings={"item_id": named(ITEMS), "flags": flags(ITEM_FLAGS)},
)


class FileParameters(NamedTuple):
    """The file parameters item."""

    block_size: int
    flags: int


FILE_PARAMETERS = Layout(
    "file parameters",
    FileParameters,
    Struct("block_size" / Int32ul, "flags" / Int32ul),
    meanings={"flags": flags(PARAMETER_FLAGS)},
)


class VirtualDiskSize(NamedTuple):
    """The virtual disk size item, in bytes."""

    virtual_disk_size: int


VIRTUAL_DISK_SIZE = Layout("virtual disk size", VirtualDiskSize, Struct("virtual_disk_size" / Int64ul))


class VirtualDiskId(NamedTuple):
    """The virtual disk ID item: what SCSI page 0x83 shows."""

    virtual_disk_id: bytes


VIRTUAL_DISK_ID = Layout(
    "virtual disk id",
    VirtualDiskId,
    Struct("virtual_disk_id" / Bytes(16)),
    meanings={"virtual_disk_id": guid_text},
)


class SectorSize(NamedTuple):
    """The logical or the physical sector size item."""

    sector_size: int


SECTOR_SIZE = Layout("sector size", SectorSize, Struct("sector_size" / Int32ul))


class LocatorHeader(NamedTuple):
    """The head of a parent locator."""

    locator_type: bytes
    reserved: int
    key_value_count: int


LOCATOR_HEADER = Layout(
    "parent locator header",
    LocatorHeader,
    Struct("locator_type" / Bytes(16), "reserved" / Int16ul, "key_value_count" / Int16ul),
    meanings={"locator_type": named({VHDX_PARENT: "VHDX parent"})},
)


class LocatorEntry(NamedTuple):
    """One key and its value; offsets count from the start of the parent locator."""

    key_offset: int
    value_offset: int
    key_length: int
    value_length: int


LOCATOR_ENTRY = Layout(
    "parent locator entry",
    LocatorEntry,
    Struct(
        "key_offset" / Int32ul,
        "value_offset" / Int32ul,
        "key_length" / Int16ul,
        "value_length" / Int16ul,
    ),
)


class LogEntryHeader(NamedTuple):
    """The head of a log entry."""

    signature: bytes
    checksum: int
    entry_length: int
    tail: int
    sequence_number: int
    descriptor_count: int
    reserved: int
    log_guid: bytes
    flushed_file_offset: int
    last_file_offset: int


LOG_ENTRY_HEADER = Layout(
    "log entry header",
    LogEntryHeader,
    Struct(
        "signature" / Bytes(4),
        "checksum" / Int32ul,
        "entry_length" / Int32ul,
        "tail" / Int32ul,
        "sequence_number" / Int64ul,
        "descriptor_count" / Int32ul,
        "reserved" / Int32ul,
        "log_guid" / Bytes(16),
        "flushed_file_offset" / Int64ul,
        "last_file_offset" / Int64ul,
    ),
    meanings={"log_guid": guid_text},
)


class LogDescriptor(NamedTuple):
    """A descriptor of a log entry: `zero` clears `zero_length` bytes, `desc` replaces 4 KiB, at `file_offset`.

    Of a zero descriptor `zero_length` is what the specification calls ZeroLength and `trailing_bytes` is
    reserved; of a data descriptor they are the first 8 and the last 4 bytes of the 4 KiB (LeadingBytes,
    TrailingBytes), which lie here because the data sector keeps its marks in their place.
    """

    signature: bytes
    trailing_bytes: bytes
    leading_bytes: bytes
    file_offset: int
    sequence_number: int

    @property
    def zero_length(self) -> int:
        """Bytes that a zero descriptor clears."""
        return int.from_bytes(self.leading_bytes, "little")


LOG_DESCRIPTOR = Layout(
    "log descriptor",
    LogDescriptor,
    Struct(
        "signature" / Bytes(4),
        "trailing_bytes" / Bytes(4),
        "leading_bytes" / Bytes(8),
        "file_offset" / Int64ul,
        "sequence_number" / Int64ul,
    ),
)


class LogSector(NamedTuple):
    """A data sector of a log entry, 4 KiB: what of the data is not in its descriptor."""

    signature: bytes
    sequence_high: int
    data: bytes
    sequence_low: int


LOG_SECTOR = Layout(
    "log data sector",
    LogSector,
    Struct("signature" / Bytes(4), "sequence_high" / Int32ul, "data" / Bytes(4084), "sequence_low" / Int32ul),
)
