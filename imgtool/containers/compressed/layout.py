"""Headers of compressed wrappers on disk. Numbers are little-endian, but for xz's variable ones.

References: RFC 1952 (gzip), the .xz file format 1.2, RFC 8878 (zstd), LZ4 Frame Format Description 1.6.4,
LZMA SDK's lzma.txt (lzma-alone).
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int8ul, Int32ul, Int64ul, Struct

from imgtool.structs.layout import Layout, flags

GZIP_MAGIC = b"\x1f\x8b"
XZ_MAGIC = b"\xfd7zXZ\0"
XZ_FOOTER_MAGIC = b"YZ"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
LZ4_MAGIC = b"\x04\x22\x4d\x18"
LZ4_LEGACY_MAGIC = b"\x02\x21\x4c\x18"
BZIP2_MAGIC = b"BZh"
BZIP2_BLOCK = bytes.fromhex("314159265359")
BZIP2_END = bytes.fromhex("177245385090")

FHCRC, FEXTRA, FNAME, FCOMMENT = 2, 4, 8, 16
GZIP_FLAGS = {0: "text", 1: "header-crc", 2: "extra", 3: "name", 4: "comment"}
GZIP_SYSTEMS = {
    0: "fat",
    1: "amiga",
    2: "vms",
    3: "unix",
    4: "vm/cms",
    5: "atari",
    6: "hpfs",
    7: "macintosh",
    8: "z-system",
    9: "cp/m",
    10: "tops-20",
    11: "ntfs",
    12: "qdos",
    13: "acorn",
    255: "unknown",
}
XZ_CHECKS = {0: "none", 1: "crc32", 4: "crc64", 10: "sha256"}
ZSTD_FLAGS = {2: "checksum", 3: "reserved", 4: "unused", 5: "single-segment"}
LZ4_FLAGS = {
    0: "dictionary",
    1: "reserved",
    2: "content-checksum",
    3: "content-size",
    4: "block-checksum",
    5: "independent",
}
LZ4_BLOCKS = {4: 64 * 1024, 5: 256 * 1024, 6: 1024 * 1024, 7: 4 * 1024 * 1024}


class GzipHeader(NamedTuple):
    """RFC 1952, section 2.3: the fixed part of a member's header."""

    id: bytes
    cm: int
    flg: int
    mtime: int
    xfl: int
    os: int


GZIP_HEADER = Layout(
    "gzip member header",
    GzipHeader,
    Struct("id" / Bytes(2), "cm" / Int8ul, "flg" / Int8ul, "mtime" / Int32ul, "xfl" / Int8ul, "os" / Int8ul),
    meanings={"cm": {8: "deflate"}, "flg": flags(GZIP_FLAGS), "os": GZIP_SYSTEMS},
)


class GzipTrailer(NamedTuple):
    """CRC-32 of the content, and its size modulo 2^32."""

    crc32: int
    isize: int


GZIP_TRAILER = Layout("gzip member trailer", GzipTrailer, Struct("crc32" / Int32ul, "isize" / Int32ul))


class XzHeader(NamedTuple):
    """Section 2.1.1: the stream header. `crc32` covers the flags."""

    magic: bytes
    reserved: int
    check: int
    crc32: int


XZ_HEADER = Layout(
    "xz stream header",
    XzHeader,
    Struct("magic" / Bytes(6), "reserved" / Int8ul, "check" / Int8ul, "crc32" / Int32ul),
    meanings={"check": XZ_CHECKS},
)


class XzFooter(NamedTuple):
    """Section 2.1.2: the stream footer. `crc32` covers the size and the flags."""

    crc32: int
    backward_size: int
    reserved: int
    check: int
    magic: bytes


XZ_FOOTER = Layout(
    "xz stream footer",
    XzFooter,
    Struct("crc32" / Int32ul, "backward_size" / Int32ul, "reserved" / Int8ul, "check" / Int8ul, "magic" / Bytes(2)),
    meanings={"backward_size": lambda size: f"index of {(size + 1) * 4} bytes", "check": XZ_CHECKS},
)


class LzmaHeader(NamedTuple):
    """lzma-alone: properties, dictionary size, size of the content (all ones: unknown)."""

    properties: int
    dictionary_size: int
    uncompressed_size: int


LZMA_HEADER = Layout(
    "lzma header",
    LzmaHeader,
    Struct("properties" / Int8ul, "dictionary_size" / Int32ul, "uncompressed_size" / Int64ul),
)


class ZstdHeader(NamedTuple):
    """RFC 8878, section 3.1.1.1: magic and frame header descriptor; what follows depends on it."""

    magic: bytes
    descriptor: int


ZSTD_HEADER = Layout(
    "zstd frame header",
    ZstdHeader,
    Struct("magic" / Bytes(4), "descriptor" / Int8ul),
    meanings={"descriptor": lambda word: flags(ZSTD_FLAGS)(word & 0x3C)},
)


class Lz4Header(NamedTuple):
    """The fixed part of an LZ4 frame descriptor."""

    magic: bytes
    flg: int
    bd: int


LZ4_HEADER = Layout(
    "lz4 frame header",
    Lz4Header,
    Struct("magic" / Bytes(4), "flg" / Int8ul, "bd" / Int8ul),
    meanings={
        "flg": lambda word: f"version {word >> 6}, {flags(LZ4_FLAGS)(word & 0x3F)}",
        "bd": lambda word: f"blocks of at most {LZ4_BLOCKS.get(word >> 4 & 7, 'unknown')} bytes",
    },
)


class Bzip2Header(NamedTuple):
    """The stream header and the mark of its first block (or of its end)."""

    magic: bytes
    level: bytes
    block: bytes


BZIP2_HEADER = Layout(
    "bzip2 stream header", Bzip2Header, Struct("magic" / Bytes(3), "level" / Bytes(1), "block" / Bytes(6))
)


class SkippableHeader(NamedTuple):
    """A skippable frame: zstd's and lz4's alike."""

    magic: bytes
    size: int


SKIPPABLE_HEADER = Layout("skippable frame", SkippableHeader, Struct("magic" / Bytes(4), "size" / Int32ul))
