"""Parallels expandable images (ploop) on disk. All numbers are little-endian.

Reference: QEMU docs/interop/parallels.
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int32ul, Int64ul, Struct

from imgtool.structs.layout import Layout, flags

MAGIC = b"WithoutFreeSpace"
MAGIC_EXT = b"WithouFreSpacExt"
VERSION = 2

IN_USE = 0x746F6E59
CLOSED = 0x312E3276
IN_USE_MARKS = {IN_USE: "in use", CLOSED: "closed", 0: "not kept"}

FLAGS = {0: "empty-image"}

EXTENSION_MAGIC = 0xAB234CEF23DCEA87
FEATURE_END = 0
FEATURES = {FEATURE_END: "end", 0x20385FAE252CB34A: "dirty-bitmap"}
FEATURE_FLAGS = {0: "necessary", 1: "transit"}


class Header(NamedTuple):
    """The header, 64 bytes; the block allocation table follows. `tracks` is the cluster size in sectors."""

    magic: bytes
    version: int
    heads: int
    cylinders: int
    tracks: int
    nb_bat_entries: int
    nb_sectors: int
    in_use: int
    data_off: int
    flags: int
    ext_off: int


HEADER = Layout(
    "Parallels header",
    Header,
    Struct(
        "magic" / Bytes(16),
        "version" / Int32ul,
        "heads" / Int32ul,
        "cylinders" / Int32ul,
        "tracks" / Int32ul,
        "nb_bat_entries" / Int32ul,
        "nb_sectors" / Int64ul,
        "in_use" / Int32ul,
        "data_off" / Int32ul,
        "flags" / Int32ul,
        "ext_off" / Int64ul,
    ),
    meanings={
        "tracks": lambda sectors: f"cluster size {sectors * 512} bytes",
        "nb_sectors": lambda sectors: f"virtual size, {sectors * 512} bytes",
        "in_use": IN_USE_MARKS,
        "data_off": lambda sectors: f"data area at byte {sectors * 512}" if sectors else "after the table",
        "flags": flags(FLAGS),
        "ext_off": lambda sectors: f"format extension at byte {sectors * 512}" if sectors else "none",
    },
)


class ExtensionHead(NamedTuple):
    """What the format extension cluster begins with; the checksum is MD5 of all that follows it."""

    magic: int
    m_CheckSum: bytes


EXTENSION_HEAD = Layout("format extension", ExtensionHead, Struct("magic" / Int64ul, "m_CheckSum" / Bytes(16)))


class FeatureHead(NamedTuple):
    """What a feature section begins with; its data follows, padded to 8 bytes."""

    magic: int
    flags: int
    data_size: int
    unused32: int


FEATURE_HEAD = Layout(
    "format extension feature",
    FeatureHead,
    Struct("magic" / Int64ul, "flags" / Int64ul, "data_size" / Int32ul, "unused32" / Int32ul),
    meanings={"magic": FEATURES, "flags": flags(FEATURE_FLAGS)},
)


class DirtyBitmap(NamedTuple):
    """What the data of a dirty bitmap begins with; its L1 table follows. Sizes are in sectors."""

    size: int
    id: bytes
    granularity: int
    l1_size: int


DIRTY_BITMAP = Layout(
    "dirty bitmap",
    DirtyBitmap,
    Struct("size" / Int64ul, "id" / Bytes(16), "granularity" / Int32ul, "l1_size" / Int32ul),
)
