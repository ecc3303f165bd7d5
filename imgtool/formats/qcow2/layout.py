"""qcow2 on disk, versions 2 and 3. All numbers are big-endian.

Reference: QEMU docs/interop/qcow2 (sections "Header", "Header extensions", "Snapshots", "Bitmaps").
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int8ub, Int16ub, Int32ub, Int64ub, Struct

from imgtool.structs.layout import Layout, flags

MAGIC = b"QFI\xfb"

HEADER_V2_SIZE = 72
HEADER_V3_SIZE = 104

MIN_CLUSTER_BITS = 9
MAX_CLUSTER_BITS = 21
EXTENDED_L2_CLUSTER_BITS = 14
MAX_REFCOUNT_ORDER = 6
MAX_BACKING_NAME = 1023
MIN_GRANULARITY_BITS = 9
MAX_GRANULARITY_BITS = 31
MAX_BITMAP_NAME = 1023
MAX_BITMAP_TABLE = 1 << 27

#: Versions as creation options name them.
COMPAT = {2: "0.10", 3: "1.1"}

CRYPT_METHODS = {0: "none", 1: "aes", 2: "luks"}
COMPRESSION_TYPES = {0: "zlib", 1: "zstd"}

INCOMPATIBLE = {0: "dirty", 1: "corrupt", 2: "external-data-file", 3: "compression-type", 4: "extended-l2"}
COMPATIBLE = {0: "lazy-refcounts"}
AUTOCLEAR = {0: "bitmaps", 1: "raw-external-data"}

DIRTY = 1 << 0
CORRUPT = 1 << 1
EXTERNAL_DATA_FILE = 1 << 2
COMPRESSION_TYPE = 1 << 3
EXTENDED_L2 = 1 << 4
LAZY_REFCOUNTS = 1 << 0
AUTOCLEAR_BITMAPS = 1 << 0
RAW_EXTERNAL_DATA = 1 << 1

EXT_END = 0x00000000
EXT_BACKING_FORMAT = 0xE2792ACA
EXT_FEATURE_NAMES = 0x6803F857
EXT_BITMAPS = 0x23852875
EXT_CRYPTO_HEADER = 0x0537BE77
EXT_DATA_FILE = 0x44415441

EXTENSION_NAMES = {
    EXT_END: "end",
    EXT_BACKING_FORMAT: "backing-format",
    EXT_FEATURE_NAMES: "feature-names",
    EXT_BITMAPS: "bitmaps",
    EXT_CRYPTO_HEADER: "crypto-header",
    EXT_DATA_FILE: "data-file",
}

FEATURE_TYPES = {0: "incompatible", 1: "compatible", 2: "autoclear"}

BITMAP_FLAGS = {0: "in-use", 1: "auto", 2: "extra-data-compatible"}
BITMAP_TYPES = {1: "dirty-tracking"}


#: Entries of the L1 and L2 tables (sections "L1/L2 table entry", "Extended L2 Entries").
OFLAG_COPIED = 1 << 63
OFLAG_COMPRESSED = 1 << 62
OFLAG_ZERO = 1 << 0
TABLE_OFFSET_MASK = 0x00FFFFFFFFFFFE00
L1_RESERVED = 0x7F000000000001FF
L2_RESERVED = 0x3F000000000001FE
REFCOUNT_RESERVED = 0x1FF
BITMAP_RESERVED = 0xFF000000000001FE
SUBCLUSTERS = 32
SUBCLUSTER_MASK = 0xFFFFFFFF


class HeaderV2(NamedTuple):
    """The first 72 bytes: all that a version 2 header has."""

    magic: bytes
    version: int
    backing_file_offset: int
    backing_file_size: int
    cluster_bits: int
    size: int
    crypt_method: int
    l1_size: int
    l1_table_offset: int
    refcount_table_offset: int
    refcount_table_clusters: int
    nb_snapshots: int
    snapshots_offset: int


HEADER_V2 = Layout(
    "qcow2 header",
    HeaderV2,
    Struct(
        "magic" / Bytes(4),
        "version" / Int32ub,
        "backing_file_offset" / Int64ub,
        "backing_file_size" / Int32ub,
        "cluster_bits" / Int32ub,
        "size" / Int64ub,
        "crypt_method" / Int32ub,
        "l1_size" / Int32ub,
        "l1_table_offset" / Int64ub,
        "refcount_table_offset" / Int64ub,
        "refcount_table_clusters" / Int32ub,
        "nb_snapshots" / Int32ub,
        "snapshots_offset" / Int64ub,
    ),
    meanings={
        "crypt_method": CRYPT_METHODS,
        "cluster_bits": lambda bits: f"cluster size {1 << bits} bytes" if bits < 64 else "out of range",
        "size": lambda size: f"virtual size, {size} bytes",
    },
)


class HeaderV3(NamedTuple):
    """Bytes 72–103: what version 3 adds."""

    incompatible_features: int
    compatible_features: int
    autoclear_features: int
    refcount_order: int
    header_length: int


HEADER_V3 = Layout(
    "qcow2 header, version 3",
    HeaderV3,
    Struct(
        "incompatible_features" / Int64ub,
        "compatible_features" / Int64ub,
        "autoclear_features" / Int64ub,
        "refcount_order" / Int32ub,
        "header_length" / Int32ub,
    ),
    meanings={
        "incompatible_features": flags(INCOMPATIBLE),
        "compatible_features": flags(COMPATIBLE),
        "autoclear_features": flags(AUTOCLEAR),
        "refcount_order": lambda order: f"{1 << order} bits a reference count" if order < 7 else "out of range",
    },
)


class CompressionField(NamedTuple):
    """Byte 104, where header_length is over 104; the other seven are padding."""

    compression_type: int
    padding: bytes


COMPRESSION_FIELD = Layout(
    "qcow2 header, compression type",
    CompressionField,
    Struct("compression_type" / Int8ub, "padding" / Bytes(7)),
    meanings={"compression_type": COMPRESSION_TYPES},
)


class ExtensionHead(NamedTuple):
    """Type and length of a header extension; the data follows, padded to 8 bytes."""

    type: int
    length: int


EXTENSION_HEAD = Layout(
    "header extension",
    ExtensionHead,
    Struct("type" / Int32ub, "length" / Int32ub),
    meanings={"type": EXTENSION_NAMES},
)


class FeatureName(NamedTuple):
    """One row of the feature name table (48 bytes)."""

    type: int
    bit: int
    name: bytes


FEATURE_NAME = Layout(
    "feature name",
    FeatureName,
    Struct("type" / Int8ub, "bit" / Int8ub, "name" / Bytes(46)),
    meanings={"type": FEATURE_TYPES},
)


class CryptoHeader(NamedTuple):
    """Where the LUKS header lies (full disk encryption header pointer)."""

    offset: int
    length: int


CRYPTO_HEADER = Layout("crypto header pointer", CryptoHeader, Struct("offset" / Int64ub, "length" / Int64ub))


class BitmapsExtension(NamedTuple):
    """The bitmaps extension, 24 bytes."""

    nb_bitmaps: int
    reserved: int
    bitmap_directory_size: int
    bitmap_directory_offset: int


BITMAPS_EXTENSION = Layout(
    "bitmaps extension",
    BitmapsExtension,
    Struct(
        "nb_bitmaps" / Int32ub,
        "reserved" / Int32ub,
        "bitmap_directory_size" / Int64ub,
        "bitmap_directory_offset" / Int64ub,
    ),
)


class BitmapEntry(NamedTuple):
    """A bitmap directory entry; extra data and name follow, padded to 8 bytes."""

    bitmap_table_offset: int
    bitmap_table_size: int
    flags: int
    type: int
    granularity_bits: int
    name_size: int
    extra_data_size: int


BITMAP_ENTRY = Layout(
    "bitmap directory entry",
    BitmapEntry,
    Struct(
        "bitmap_table_offset" / Int64ub,
        "bitmap_table_size" / Int32ub,
        "flags" / Int32ub,
        "type" / Int8ub,
        "granularity_bits" / Int8ub,
        "name_size" / Int16ub,
        "extra_data_size" / Int32ub,
    ),
    meanings={"flags": flags(BITMAP_FLAGS), "type": BITMAP_TYPES},
)


class SnapshotEntry(NamedTuple):
    """A snapshot table entry; extra data, id and name follow, padded to 8 bytes."""

    l1_table_offset: int
    l1_size: int
    id_str_size: int
    name_size: int
    date_sec: int
    date_nsec: int
    vm_clock_nsec: int
    vm_state_size: int
    extra_data_size: int


SNAPSHOT_ENTRY = Layout(
    "snapshot table entry",
    SnapshotEntry,
    Struct(
        "l1_table_offset" / Int64ub,
        "l1_size" / Int32ub,
        "id_str_size" / Int16ub,
        "name_size" / Int16ub,
        "date_sec" / Int32ub,
        "date_nsec" / Int32ub,
        "vm_clock_nsec" / Int64ub,
        "vm_state_size" / Int32ub,
        "extra_data_size" / Int32ub,
    ),
)


class SnapshotExtra(NamedTuple):
    """The first 16 bytes of a snapshot's extra data (version 3 requires them)."""

    vm_state_size: int
    virtual_disk_size: int


SNAPSHOT_EXTRA = Layout(
    "snapshot extra data", SnapshotExtra, Struct("vm_state_size" / Int64ub, "virtual_disk_size" / Int64ub)
)


class SnapshotCount(NamedTuple):
    """Bytes 16 to 23 of a snapshot's extra data, where it has them."""

    icount: int


#: `icount` where instructions were not counted.
NO_ICOUNT = 0xFFFFFFFFFFFFFFFF

SNAPSHOT_COUNT = Layout(
    "snapshot extra data, instruction count",
    SnapshotCount,
    Struct("icount" / Int64ub),
    meanings={"icount": {NO_ICOUNT: "not counted"}},
)
