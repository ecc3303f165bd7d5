"""VDI on disk, version 1.1 and its longer form. All numbers are little-endian.

Reference: VirtualBox, "Virtual Disk Image" headers (pre-header, header 1 and header 1 plus).
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int32ul, Int64ul, Struct

from imgtool.structs.layout import Layout, flags
from imgtool.units import guid_text

SIGNATURE = 0xBEDA107F
VERSION_1_1 = 0x00010001

#: cbHeader counts from here: text, signature and version come before it.
PREHEADER_SIZE = 0x48
HEADER_SIZE = 0x180
HEADER_PLUS_SIZE = 0x190

SECTOR_SIZE = 512
BLOCK_SIZE = 0x100000

NORMAL, FIXED, UNDO, DIFF = 1, 2, 3, 4
IMAGE_TYPES = {NORMAL: "dynamic", FIXED: "static", UNDO: "undo", DIFF: "differencing"}
IMAGE_FLAGS = {0: "zero-expand"}

#: What the block map says of a block that is not allocated: free, or all zeros.
BLOCK_FREE = 0xFFFFFFFF
BLOCK_ZERO = 0xFFFFFFFE

NULL_UUID = bytes(16)


class PreHeader(NamedTuple):
    """What every version begins with. The upper half of the version is the major number."""

    szFileInfo: bytes
    u32Signature: int
    u32Version: int


PREHEADER = Layout(
    "VDI pre-header",
    PreHeader,
    Struct("szFileInfo" / Bytes(64), "u32Signature" / Int32ul, "u32Version" / Int32ul),
    meanings={"u32Version": lambda version: f"version {version >> 16}.{version & 0xFFFF}"},
)


class Header(NamedTuple):
    """Header of version 1.1, counted from 0x48."""

    cbHeader: int
    u32Type: int
    fFlags: int
    szComment: bytes
    offBlocks: int
    offData: int
    cCylinders: int
    cHeads: int
    cSectors: int
    cbSector: int
    u32Dummy: int
    cbDisk: int
    cbBlock: int
    cbBlockExtra: int
    cBlocks: int
    cBlocksAllocated: int
    uuidCreate: bytes
    uuidModify: bytes
    uuidLinkage: bytes
    uuidParentModify: bytes


HEADER = Layout(
    "VDI header",
    Header,
    Struct(
        "cbHeader" / Int32ul,
        "u32Type" / Int32ul,
        "fFlags" / Int32ul,
        "szComment" / Bytes(256),
        "offBlocks" / Int32ul,
        "offData" / Int32ul,
        "cCylinders" / Int32ul,
        "cHeads" / Int32ul,
        "cSectors" / Int32ul,
        "cbSector" / Int32ul,
        "u32Dummy" / Int32ul,
        "cbDisk" / Int64ul,
        "cbBlock" / Int32ul,
        "cbBlockExtra" / Int32ul,
        "cBlocks" / Int32ul,
        "cBlocksAllocated" / Int32ul,
        "uuidCreate" / Bytes(16),
        "uuidModify" / Bytes(16),
        "uuidLinkage" / Bytes(16),
        "uuidParentModify" / Bytes(16),
    ),
    meanings={
        "u32Type": IMAGE_TYPES,
        "fFlags": flags(IMAGE_FLAGS),
        "offBlocks": lambda offset: f"block map at byte {offset}",
        "offData": lambda offset: f"first block at byte {offset}",
        "cbDisk": lambda size: f"virtual size, {size} bytes",
        "uuidCreate": guid_text,
        "uuidModify": guid_text,
        "uuidLinkage": guid_text,
        "uuidParentModify": guid_text,
    },
)


class Geometry(NamedTuple):
    """The logical geometry that a header of 0x190 bytes adds."""

    cCylinders: int
    cHeads: int
    cSectors: int
    cbSector: int


GEOMETRY = Layout(
    "VDI logical geometry",
    Geometry,
    Struct("cCylinders" / Int32ul, "cHeads" / Int32ul, "cSectors" / Int32ul, "cbSector" / Int32ul),
)
