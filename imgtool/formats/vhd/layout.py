"""VHD on disk. All numbers are big-endian.

Reference: Virtual Hard Disk Image Format Specification, version 1.0 (October 11, 2006), sections "Hard Disk
Footer Format", "Dynamic Disk Header Format", "Implementing a Differencing Hard Disk".
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int8ub, Int16ub, Int32ub, Int64ub, Struct

from imgtool.structs.layout import Layout, flags

COOKIE = b"conectix"
DYNAMIC_COOKIE = b"cxsparse"

FOOTER_SIZE = 512
OLD_FOOTER_SIZE = 511  #: written by programs before Virtual PC 2004
DYNAMIC_HEADER_SIZE = 1024
LOCATORS = 8

VERSION = 0x00010000
NO_OFFSET = 0xFFFFFFFFFFFFFFFF
UNUSED_BLOCK = 0xFFFFFFFF  #: the entry of a block that is not allocated
NO_OFFSET_32 = 0xFFFFFFFF  #: what the specification's text says; every program sets all 64 bits

DISK_FIXED = 2
DISK_DYNAMIC = 3
DISK_DIFFERENCING = 4
DISK_TYPES = {
    0: "none",
    1: "reserved",
    DISK_FIXED: "fixed",
    DISK_DYNAMIC: "dynamic",
    DISK_DIFFERENCING: "differencing",
    5: "reserved",
    6: "reserved",
}

#: Bit 1 is reserved and always set.
FEATURES = {0: "temporary", 1: "reserved"}

#: Seconds between 1970 and the epoch of the format, 2000-01-01 00:00 UTC.
EPOCH = 946684800

#: Programs that sign the footer (creator application).
CREATORS = {
    b"vpc ": "Virtual PC",
    b"vs  ": "Virtual Server",
    b"win ": "Windows (Hyper-V, Disk Management)",
    b"wa\0\0": "Azure",
    b"d2v ": "Disk2vhd",
    b"qemu": "QEMU",
    b"qem2": "QEMU, exact size",
    b"vbox": "VirtualBox",
    b"tap\0": "XenServer (blktap)",
    b"CTXS": "XenConvert",
    b"caml": "xapi (vhd-tool)",
    b"dutl": "DiscUtils",
}

#: Creators whose disks are as large as their geometry says.
CHS_CREATORS = frozenset({b"vpc ", b"qemu"})

#: Creators that QEMU 7.2 knows to mean the current size; it takes every other one to mean the geometry.
QEMU_CURRENT_SIZE = frozenset({b"win ", b"qem2", b"d2v ", b"CTXS", b"tap\0"})

HOST_SYSTEMS = {b"Wi2k": "windows", b"Mac ": "macintosh"}

PLATFORMS = {
    0x00000000: "none",
    0x57693272: "Wi2r",
    0x5769326B: "Wi2k",
    0x57327275: "W2ru",
    0x57326B75: "W2ku",
    0x4D616320: "Mac ",
    0x4D616358: "MacX",
}
WIDE_PLATFORMS = frozenset({"W2ru", "W2ku"})  #: UTF-16, little-endian; the others are bytes


class Geometry(NamedTuple):
    """Cylinders, heads and sectors per track."""

    cylinders: int
    heads: int
    sectors: int


#: The largest geometry: it says "larger than a geometry can tell", and current_size holds.
MAX_GEOMETRY = Geometry(65535, 16, 255)


class Footer(NamedTuple):
    """The hard disk footer (and its copy at 0)."""

    cookie: bytes
    features: int
    file_format_version: int
    data_offset: int
    time_stamp: int
    creator_application: bytes
    creator_version: int
    creator_host_os: bytes
    original_size: int
    current_size: int
    cylinders: int
    heads: int
    sectors: int
    disk_type: int
    checksum: int
    unique_id: bytes
    saved_state: int
    reserved: bytes


def _footer(name: str, size: int) -> Layout[Footer]:
    return Layout(
        name,
        Footer,
        Struct(
            "cookie" / Bytes(8),
            "features" / Int32ub,
            "file_format_version" / Int32ub,
            "data_offset" / Int64ub,
            "time_stamp" / Int32ub,
            "creator_application" / Bytes(4),
            "creator_version" / Int32ub,
            "creator_host_os" / Bytes(4),
            "original_size" / Int64ub,
            "current_size" / Int64ub,
            "cylinders" / Int16ub,
            "heads" / Int8ub,
            "sectors" / Int8ub,
            "disk_type" / Int32ub,
            "checksum" / Int32ub,
            "unique_id" / Bytes(16),
            "saved_state" / Int8ub,
            "reserved" / Bytes(size - 85),
        ),
        meanings={
            "features": flags(FEATURES),
            "data_offset": lambda at: "none" if at == NO_OFFSET else "",
            "time_stamp": lambda _: "seconds since 2000-01-01 00:00 UTC",
            "creator_application": lambda raw: CREATORS.get(raw, "unknown"),
            "creator_host_os": lambda raw: HOST_SYSTEMS.get(raw, "unknown"),
            "current_size": lambda size: f"{size} bytes",
            "disk_type": DISK_TYPES,
        },
    )


FOOTER = _footer("footer", FOOTER_SIZE)
OLD_FOOTER = _footer("footer of 511 bytes", OLD_FOOTER_SIZE)


class DynamicHeader(NamedTuple):
    """The dynamic disk header, 1024 bytes; `parent_locators` are eight entries of 24 bytes."""

    cookie: bytes
    data_offset: int
    table_offset: int
    header_version: int
    max_table_entries: int
    block_size: int
    checksum: int
    parent_unique_id: bytes
    parent_time_stamp: int
    reserved1: int
    parent_unicode_name: bytes
    parent_locators: bytes
    reserved2: bytes


DYNAMIC_HEADER = Layout(
    "dynamic disk header",
    DynamicHeader,
    Struct(
        "cookie" / Bytes(8),
        "data_offset" / Int64ub,
        "table_offset" / Int64ub,
        "header_version" / Int32ub,
        "max_table_entries" / Int32ub,
        "block_size" / Int32ub,
        "checksum" / Int32ub,
        "parent_unique_id" / Bytes(16),
        "parent_time_stamp" / Int32ub,
        "reserved1" / Int32ub,
        "parent_unicode_name" / Bytes(512),
        "parent_locators" / Bytes(24 * LOCATORS),
        "reserved2" / Bytes(256),
    ),
    meanings={
        "block_size": lambda size: f"{size} bytes",
        "data_offset": lambda at: "none" if at == NO_OFFSET else "",
    },
)

PARENT_NAME_AT = 64  #: of parent_unicode_name in the dynamic disk header
LOCATORS_AT = 576  #: of parent_locators in the dynamic disk header


class LocatorEntry(NamedTuple):
    """A parent locator entry, 24 bytes."""

    platform_code: int
    platform_data_space: int
    platform_data_length: int
    reserved: int
    platform_data_offset: int


LOCATOR_ENTRY = Layout(
    "parent locator entry",
    LocatorEntry,
    Struct(
        "platform_code" / Int32ub,
        "platform_data_space" / Int32ub,
        "platform_data_length" / Int32ub,
        "reserved" / Int32ub,
        "platform_data_offset" / Int64ub,
    ),
    meanings={"platform_code": PLATFORMS},
)
