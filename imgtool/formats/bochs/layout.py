"""Bochs virtual hard disks ("redolog") on disk, versions 1 and 2. All numbers are little-endian.

Reference: Bochs iodev/hdimage/hdimage.h (redolog_header_t); QEMU block/bochs.c.
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int32ul, Int64ul, Struct

from imgtool.structs.layout import Layout

VERSION_1 = 0x00010000
VERSION_2 = 0x00020000
VERSIONS = {VERSION_1: "1", VERSION_2: "2"}
HEADER_SIZE = 512
#: Subtypes that hold a whole disk, and those that hold changes against another file.
GROWING = "Growing"
OVERLAYS = ("Undoable", "Volatile")


class Header(NamedTuple):
    """What both versions begin with."""

    magic: bytes
    type: bytes
    subtype: bytes
    version: int
    header: int
    catalog: int
    bitmap: int
    extent: int


HEADER = Layout(
    "bochs header",
    Header,
    Struct(
        "magic" / Bytes(32),
        "type" / Bytes(16),
        "subtype" / Bytes(16),
        "version" / Int32ul,
        "header" / Int32ul,
        "catalog" / Int32ul,
        "bitmap" / Int32ul,
        "extent" / Int32ul,
    ),
    meanings={"version": VERSIONS, "catalog": lambda entries: f"{entries} entries of 4 bytes"},
)


class DiskV1(NamedTuple):
    """Version 1: the disk size follows at once."""

    disk: int


DISK_V1 = Layout("bochs header, version 1", DiskV1, Struct("disk" / Int64ul))


class DiskV2(NamedTuple):
    """Version 2: the time of the base image stands before the disk size."""

    timestamp: int
    disk: int


DISK_V2 = Layout("bochs header, version 2", DiskV2, Struct("timestamp" / Int32ul, "disk" / Int64ul))
