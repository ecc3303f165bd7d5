"""VMDK on disk: the sparse extent (KDMV), its markers, COWD, seSparse. All numbers are little-endian; offsets
and sizes are in sectors of 512 bytes.

References: VMware "Virtual Disk Format 5.0" (sections "Hosted Sparse Extents", "ESXi Host Sparse Extents",
"Stream-Optimized Compressed Sparse Extents"); seSparse is documented by its readers alone (QEMU block/vmdk.c).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from construct import Bytes, GreedyBytes, Int8ul, Int16ul, Int32ul, Int64ul, Struct

from imgtool.structs.layout import Layout, flags

SPARSE_MAGIC = b"KDMV"
COWD_MAGIC = b"COWD"
SESPARSE_MAGIC = b"\xbe\xba\xfe\xca\0\0\0\0"
SESPARSE_VOLATILE_MAGIC = 0xCAFECAFE
SESPARSE_VERSION = 0x0000000200000001

VERSIONS = (1, 2, 3)
GTES_PER_GT = 512
NEWLINES = b"\n \r\n"  #: singleEndLineChar, nonEndLineChar, doubleEndLineChar1, doubleEndLineChar2
GD_AT_END = 0xFFFFFFFFFFFFFFFF

FLAGS = {0: "newline-test", 1: "redundant-directory", 2: "zeroed-grains", 16: "compressed", 17: "markers"}
COMPRESSION = {0: "none", 1: "deflate"}
MARKERS = {0: "end-of-stream", 1: "grain-table", 2: "grain-directory", 3: "footer"}
MARKER_EOS = 0
MARKER_TABLE = 1
MARKER_DIRECTORY = 2
MARKER_FOOTER = 3

#: The head of a compressed grain: its first sector of the disk, the bytes that follow. There are many: it is plain.
GRAIN_MARKER = struct.Struct("<QI")

FLAG_NEWLINES = 1 << 0
FLAG_REDUNDANT = 1 << 1
FLAG_ZEROED = 1 << 2
FLAG_COMPRESSED = 1 << 16
FLAG_MARKERS = 1 << 17

COWD_FLAGS = {0: "root", 1: "check-capable", 2: "inconsistent"}
COWD_VERSION = 1
COWD_GTES_PER_GT = 4096
COWD_ROOT = 1 << 0

SESPARSE_GRAIN = 8
SESPARSE_GRAIN_TABLE = 64  #: sectors: 4,096 entries of 8 bytes

NO_PARENT = "ffffffff"


def _place(sector: int) -> str:
    return "at the end: the footer says where" if sector == GD_AT_END else f"byte {sector * 512}"


class SparseHeader(NamedTuple):
    """SparseExtentHeader, one sector."""

    magicNumber: bytes
    version: int
    flags: int
    capacity: int
    grainSize: int
    descriptorOffset: int
    descriptorSize: int
    numGTEsPerGT: int
    rgdOffset: int
    gdOffset: int
    overHead: int
    uncleanShutdown: int
    singleEndLineChar: bytes
    nonEndLineChar: bytes
    doubleEndLineChar1: bytes
    doubleEndLineChar2: bytes
    compressAlgorithm: int
    pad: bytes


SPARSE_HEADER = Layout(
    "sparse extent header",
    SparseHeader,
    Struct(
        "magicNumber" / Bytes(4),
        "version" / Int32ul,
        "flags" / Int32ul,
        "capacity" / Int64ul,
        "grainSize" / Int64ul,
        "descriptorOffset" / Int64ul,
        "descriptorSize" / Int64ul,
        "numGTEsPerGT" / Int32ul,
        "rgdOffset" / Int64ul,
        "gdOffset" / Int64ul,
        "overHead" / Int64ul,
        "uncleanShutdown" / Int8ul,
        "singleEndLineChar" / Bytes(1),
        "nonEndLineChar" / Bytes(1),
        "doubleEndLineChar1" / Bytes(1),
        "doubleEndLineChar2" / Bytes(1),
        "compressAlgorithm" / Int16ul,
        "pad" / Bytes(433),
    ),
    meanings={
        "flags": flags(FLAGS),
        "capacity": lambda sectors: f"virtual size, {sectors * 512} bytes",
        "grainSize": lambda sectors: f"{sectors * 512} bytes",
        "descriptorOffset": _place,
        "descriptorSize": lambda sectors: f"{sectors * 512} bytes",
        "rgdOffset": _place,
        "gdOffset": _place,
        "overHead": lambda sectors: f"metadata, {sectors * 512} bytes",
        "compressAlgorithm": COMPRESSION,
    },
)


class Marker(NamedTuple):
    """A metadata marker of a stream, one sector; `val` counts the sectors of what follows."""

    val: int
    size: int
    type: int
    pad: bytes


MARKER = Layout(
    "marker",
    Marker,
    Struct("val" / Int64ul, "size" / Int32ul, "type" / Int32ul, "pad" / Bytes(496)),
    meanings={"type": MARKERS},
)


class DescriptorLine(NamedTuple):
    """One line of a text descriptor."""

    line: bytes


DESCRIPTOR_LINE = Layout("descriptor line", DescriptorLine, Struct("line" / GreedyBytes), size=4096)


class CowdHeader(NamedTuple):
    """COWDisk_Header, four sectors. `u` is the geometry of a root, the parent's name and generation of a child."""

    magicNumber: bytes
    version: int
    flags: int
    numSectors: int
    grainSize: int
    gdOffset: int
    numGDEntries: int
    freeSector: int
    u: bytes
    generation: int
    name: bytes
    description: bytes
    savedGeneration: int
    reserved: bytes
    uncleanShutdown: int
    padding: bytes


COWD_HEADER = Layout(
    "COWD header",
    CowdHeader,
    Struct(
        "magicNumber" / Bytes(4),
        "version" / Int32ul,
        "flags" / Int32ul,
        "numSectors" / Int32ul,
        "grainSize" / Int32ul,
        "gdOffset" / Int32ul,
        "numGDEntries" / Int32ul,
        "freeSector" / Int32ul,
        "u" / Bytes(1028),
        "generation" / Int32ul,
        "name" / Bytes(60),
        "description" / Bytes(512),
        "savedGeneration" / Int32ul,
        "reserved" / Bytes(8),
        "uncleanShutdown" / Int32ul,
        "padding" / Bytes(396),
    ),
    meanings={
        "flags": flags(COWD_FLAGS),
        "numSectors": lambda sectors: f"virtual size, {sectors * 512} bytes",
        "grainSize": lambda sectors: f"{sectors * 512} bytes",
        "gdOffset": _place,
    },
)


class CowdRoot(NamedTuple):
    """The geometry in a root's `u`."""

    cylinders: int
    heads: int
    sectors: int


COWD_ROOT_AT = 32
COWD_ROOT_GEOMETRY = Layout(
    "COWD header, root",
    CowdRoot,
    Struct("cylinders" / Int32ul, "heads" / Int32ul, "sectors" / Int32ul),
)


class CowdChild(NamedTuple):
    """The parent in a child's `u`."""

    parentFileName: bytes
    parentGeneration: int


COWD_CHILD = Layout(
    "COWD header, child", CowdChild, Struct("parentFileName" / Bytes(1024), "parentGeneration" / Int32ul)
)


class SeSparseHeader(NamedTuple):
    """The constant header of a seSparse extent, one sector."""

    magic: int
    version: int
    capacity: int
    grain_size: int
    grain_table_size: int
    flags: int
    reserved1: int
    reserved2: int
    reserved3: int
    reserved4: int
    volatile_header_offset: int
    volatile_header_size: int
    journal_header_offset: int
    journal_header_size: int
    journal_offset: int
    journal_size: int
    grain_dir_offset: int
    grain_dir_size: int
    grain_tables_offset: int
    grain_tables_size: int
    free_bitmap_offset: int
    free_bitmap_size: int
    backmap_offset: int
    backmap_size: int
    grains_offset: int
    grains_size: int
    pad: bytes


SESPARSE_HEADER = Layout(
    "seSparse constant header",
    SeSparseHeader,
    Struct(*(name / Int64ul for name in SeSparseHeader._fields[:-1]), "pad" / Bytes(304)),
    meanings={
        "capacity": lambda sectors: f"virtual size, {sectors * 512} bytes",
        "version": lambda version: f"{version >> 32}.{version & 0xFFFFFFFF}",
    },
)


class SeSparseVolatile(NamedTuple):
    """The volatile header of a seSparse extent, one sector."""

    magic: int
    free_gt_number: int
    next_txn_seq_number: int
    replay_journal: int
    pad: bytes


SESPARSE_VOLATILE = Layout(
    "seSparse volatile header",
    SeSparseVolatile,
    Struct(
        "magic" / Int64ul,
        "free_gt_number" / Int64ul,
        "next_txn_seq_number" / Int64ul,
        "replay_journal" / Int64ul,
        "pad" / Bytes(480),
    ),
)
