"""What is not a file system and lies where one would: swap, LVM2, LUKS, ZFS and RAID members.

References: Linux include/linux/swap.h (union swap_header); LVM2 lib/format_text/layout.h; LUKS1 and LUKS2
On-Disk Format Specification, header; OpenZFS "ZFS On-Disk Specification", chapter 1; Linux
include/uapi/linux/raid/md_p.h.
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int16ub, Int32ul, Int64ul, Struct

from imgtool.structs.layout import Layout

SWAP_HEADER_AT = 1024
SWAP_PAGES = (4096, 8192, 16384, 32768, 65536)
SWAP_MAGICS = (b"SWAPSPACE2", b"SWAP-SPACE")


class Swap(NamedTuple):
    """A swap header of version 1, little-endian."""

    version: int
    last_page: int
    nr_badpages: int
    sws_uuid: bytes
    sws_volume: bytes


SWAP = Layout(
    "swap header",
    Swap,
    Struct(
        "version" / Int32ul,
        "last_page" / Int32ul,
        "nr_badpages" / Int32ul,
        "sws_uuid" / Bytes(16),
        "sws_volume" / Bytes(16),
    ),
)

LVM_PLACES = (0, 512, 1024, 1536)
LVM_CRC_SEED = 0xF597A6CF
LVM_CRC_FROM = 20


class LvmLabel(NamedTuple):
    """An LVM2 label: in one of the first four sectors."""

    id: bytes
    sector_xl: int
    crc_xl: int
    offset_xl: int
    type: bytes


LVM_LABEL = Layout(
    "lvm2 label",
    LvmLabel,
    Struct(
        "id" / Bytes(8),
        "sector_xl" / Int64ul,
        "crc_xl" / Int32ul,
        "offset_xl" / Int32ul,
        "type" / Bytes(8),
    ),
)


class LvmPv(NamedTuple):
    """An LVM2 physical volume header up to its size in bytes."""

    pv_uuid: bytes
    device_size_xl: int


LVM_PV = Layout("lvm2 physical volume header", LvmPv, Struct("pv_uuid" / Bytes(32), "device_size_xl" / Int64ul))


class Luks(NamedTuple):
    """What names a LUKS volume: the fields that both versions have at the same place."""

    magic: bytes
    version: int
    by_version: bytes
    uuid: bytes


LUKS = Layout(
    "luks header",
    Luks,
    Struct("magic" / Bytes(6), "version" / Int16ub, "by_version" / Bytes(160), "uuid" / Bytes(40)),
)

LUKS2_LABEL = (24, 72)

ZFS_LABEL_SIZE = 256 * 1024
ZFS_NVLIST_AT = 16 * 1024
ZFS_NVLIST_SIZE = 112 * 1024
ZFS_UINT64, ZFS_STRING = 8, 9


MD_PLACES = (0, 4096)
MD_MAGIC = bytes.fromhex("fc4e2ba9")


class Md(NamedTuple):
    """A Linux RAID superblock of version 1 up to its size (in sectors of 512 bytes)."""

    magic: bytes
    major_version: int
    feature_map: int
    pad0: int
    set_uuid: bytes
    set_name: bytes
    ctime: int
    level: int
    layout: int
    size: int


MD = Layout(
    "linux raid superblock",
    Md,
    Struct(
        "magic" / Bytes(4),
        "major_version" / Int32ul,
        "feature_map" / Int32ul,
        "pad0" / Int32ul,
        "set_uuid" / Bytes(16),
        "set_name" / Bytes(32),
        "ctime" / Int64ul,
        "level" / Int32ul,
        "layout" / Int32ul,
        "size" / Int64ul,
    ),
)
