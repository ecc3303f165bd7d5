"""Partition tables on disk: MBR and GPT (little-endian), Apple partition map (big-endian).

References: UEFI Specification, chapter 5 ("GUID Partition Table (GPT) Disk Layout"), tables 5-1, 5-5, 5-6;
Inside Macintosh: Devices, chapter 3 ("SCSI Manager"), Block0 and Partition.
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int8ul, Int16ub, Int16ul, Int32ub, Int32ul, Int64ul, Struct

from imgtool.structs.layout import Layout
from imgtool.units import guid_text
from imgtool.volumes.partitions.types import MBR_TYPES, gpt_type_name

BOOT_SIGNATURE = b"\x55\xaa"
GPT_SIGNATURE = b"EFI PART"
GPT_HEADER_SIZE = 92
GPT_REVISION = 0x00010000
CRC_AT = 16

MBR_ENTRIES_AT = 446
MBR_ENTRY_SIZE = 16

#: Attribute bits of a GPT entry. Bits 48–63 belong to the type: these are what Windows and Linux give them.
ATTRIBUTES = {
    0: "required",
    1: "no-block-io",
    2: "legacy-bios-bootable",
    59: "grow-file-system",
    60: "read-only",
    61: "shadow-copy",
    62: "hidden",
    63: "no-automount",
}


class Mbr(NamedTuple):
    """Sector 0, or the first sector of a link of the chain of logical partitions."""

    boot_code: bytes
    unique_mbr_disk_signature: int
    unknown: int
    partition_record: bytes
    signature: bytes


MBR = Layout(
    "master boot record",
    Mbr,
    Struct(
        "boot_code" / Bytes(440),
        "unique_mbr_disk_signature" / Int32ul,
        "unknown" / Int16ul,
        "partition_record" / Bytes(64),
        "signature" / Bytes(2),
    ),
)


class MbrEntry(NamedTuple):
    """One partition record. LBAs and sizes in sectors."""

    boot_indicator: int
    starting_chs: bytes
    os_type: int
    ending_chs: bytes
    starting_lba: int
    size_in_lba: int


MBR_ENTRY = Layout(
    "mbr partition record",
    MbrEntry,
    Struct(
        "boot_indicator" / Int8ul,
        "starting_chs" / Bytes(3),
        "os_type" / Int8ul,
        "ending_chs" / Bytes(3),
        "starting_lba" / Int32ul,
        "size_in_lba" / Int32ul,
    ),
    meanings={"boot_indicator": {0: "not active", 0x80: "active"}, "os_type": MBR_TYPES},
)


class GptHeader(NamedTuple):
    """The header, primary or backup. LBAs in sectors."""

    signature: bytes
    revision: int
    header_size: int
    header_crc32: int
    reserved: int
    my_lba: int
    alternate_lba: int
    first_usable_lba: int
    last_usable_lba: int
    disk_guid: bytes
    partition_entry_lba: int
    number_of_partition_entries: int
    size_of_partition_entry: int
    partition_entry_array_crc32: int


GPT_HEADER = Layout(
    "gpt header",
    GptHeader,
    Struct(
        "signature" / Bytes(8),
        "revision" / Int32ul,
        "header_size" / Int32ul,
        "header_crc32" / Int32ul,
        "reserved" / Int32ul,
        "my_lba" / Int64ul,
        "alternate_lba" / Int64ul,
        "first_usable_lba" / Int64ul,
        "last_usable_lba" / Int64ul,
        "disk_guid" / Bytes(16),
        "partition_entry_lba" / Int64ul,
        "number_of_partition_entries" / Int32ul,
        "size_of_partition_entry" / Int32ul,
        "partition_entry_array_crc32" / Int32ul,
    ),
    meanings={"disk_guid": guid_text},
)


class GptEntry(NamedTuple):
    """One partition entry. LBAs in sectors, the ending one included."""

    partition_type_guid: bytes
    unique_partition_guid: bytes
    starting_lba: int
    ending_lba: int
    attributes: int
    partition_name: bytes


GPT_ENTRY = Layout(
    "gpt partition entry",
    GptEntry,
    Struct(
        "partition_type_guid" / Bytes(16),
        "unique_partition_guid" / Bytes(16),
        "starting_lba" / Int64ul,
        "ending_lba" / Int64ul,
        "attributes" / Int64ul,
        "partition_name" / Bytes(72),
    ),
    meanings={
        "partition_type_guid": lambda raw: gpt_type_name(guid_text(raw)) or guid_text(raw),
        "unique_partition_guid": guid_text,
        "partition_name": lambda raw: raw.decode("utf-16-le", "replace").partition("\0")[0],
    },
)


class DriverMap(NamedTuple):
    """Block 0 of an Apple partition map: what of it tells the block size."""

    sb_sig: bytes
    sb_blk_size: int
    sb_blk_count: int


DRIVER_MAP = Layout(
    "apple driver descriptor map",
    DriverMap,
    Struct("sb_sig" / Bytes(2), "sb_blk_size" / Int16ub, "sb_blk_count" / Int32ub),
)


class ApmEntry(NamedTuple):
    """One entry of an Apple partition map. Starts and sizes in blocks."""

    pm_sig: bytes
    pm_sig_pad: int
    pm_map_blk_cnt: int
    pm_py_part_start: int
    pm_part_blk_cnt: int
    pm_part_name: bytes
    pm_part_type: bytes


APM_ENTRY = Layout(
    "apple partition map entry",
    ApmEntry,
    Struct(
        "pm_sig" / Bytes(2),
        "pm_sig_pad" / Int16ub,
        "pm_map_blk_cnt" / Int32ub,
        "pm_py_part_start" / Int32ub,
        "pm_part_blk_cnt" / Int32ub,
        "pm_part_name" / Bytes(32),
        "pm_part_type" / Bytes(32),
    ),
)
