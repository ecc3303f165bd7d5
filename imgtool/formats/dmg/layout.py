"""Apple disk images (UDIF) on disk: the trailer of 512 bytes, and the header of an encrypted image.

All numbers are big-endian. Apple publishes no specification.
References: newosxbook.com/DMG.html; QEMU block/dmg.c; nlitsme/encrypteddmg (encrypted images).
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int32ub, Int64ub, Struct

from imgtool.structs.layout import Layout, flags

TRAILER_SIZE = 512
MAGIC = b"koly"
ENCRYPTED = b"encrcdsa"
ENCRYPTED_V1 = b"cdsaencr"

FLAGS = {0: "flattened", 2: "internet-enabled"}
CHECKSUMS = {0: "none", 2: "crc32", 4: "md5", 5: "sha1", 6: "sha256"}
VARIANTS = {1: "device", 2: "partition"}


class Trailer(NamedTuple):
    """The trailer ("koly block"), the last 512 bytes of the file."""

    signature: bytes
    version: int
    header_size: int
    flags: int
    running_data_fork_offset: int
    data_fork_offset: int
    data_fork_length: int
    rsrc_fork_offset: int
    rsrc_fork_length: int
    segment_number: int
    segment_count: int
    segment_id: bytes
    data_checksum_type: int
    data_checksum_size: int
    data_checksum: bytes
    xml_offset: int
    xml_length: int
    reserved_232: bytes
    checksum_type: int
    checksum_size: int
    checksum: bytes
    image_variant: int
    sector_count: int
    reserved_500: bytes


TRAILER = Layout(
    "dmg trailer",
    Trailer,
    Struct(
        "signature" / Bytes(4),
        "version" / Int32ub,
        "header_size" / Int32ub,
        "flags" / Int32ub,
        "running_data_fork_offset" / Int64ub,
        "data_fork_offset" / Int64ub,
        "data_fork_length" / Int64ub,
        "rsrc_fork_offset" / Int64ub,
        "rsrc_fork_length" / Int64ub,
        "segment_number" / Int32ub,
        "segment_count" / Int32ub,
        "segment_id" / Bytes(16),
        "data_checksum_type" / Int32ub,
        "data_checksum_size" / Int32ub,
        "data_checksum" / Bytes(128),
        "xml_offset" / Int64ub,
        "xml_length" / Int64ub,
        "reserved_232" / Bytes(120),
        "checksum_type" / Int32ub,
        "checksum_size" / Int32ub,
        "checksum" / Bytes(128),
        "image_variant" / Int32ub,
        "sector_count" / Int64ub,
        "reserved_500" / Bytes(12),
    ),
    meanings={
        "flags": flags(FLAGS),
        "data_checksum_type": CHECKSUMS,
        "checksum_type": CHECKSUMS,
        "image_variant": VARIANTS,
        "sector_count": lambda sectors: f"virtual size, {sectors * 512} bytes",
    },
)


class EncryptedHeader(NamedTuple):
    """The header of an encrypted image, version 2, up to its key pointers."""

    signature: bytes
    version: int
    block_iv_size: int
    encryption_mode: int
    encryption_algorithm: int
    key_bits: int
    prng_algorithm: int
    prng_key_bits: int
    uuid: bytes
    block_size: int
    data_size: int
    data_offset: int
    key_count: int


ENCRYPTED_HEADER = Layout(
    "encrypted dmg header",
    EncryptedHeader,
    Struct(
        "signature" / Bytes(8),
        "version" / Int32ub,
        "block_iv_size" / Int32ub,
        "encryption_mode" / Int32ub,
        "encryption_algorithm" / Int32ub,
        "key_bits" / Int32ub,
        "prng_algorithm" / Int32ub,
        "prng_key_bits" / Int32ub,
        "uuid" / Bytes(16),
        "block_size" / Int32ub,
        "data_size" / Int64ub,
        "data_offset" / Int64ub,
        "key_count" / Int32ub,
    ),
)


class BlockMap(NamedTuple):
    """A block map ("mish block") up to its chunks: sectors of the disk it is of, bytes before its data."""

    magic: bytes
    version: int
    sector: int
    sectors: int
    data_offset: int
    buffers: int
    descriptors: int
    reserved: bytes
    checksum: bytes
    chunks: int


BLOCK_MAP = Layout(
    "dmg block map",
    BlockMap,
    Struct(
        "magic" / Bytes(4),
        "version" / Int32ub,
        "sector" / Int64ub,
        "sectors" / Int64ub,
        "data_offset" / Int64ub,
        "buffers" / Int32ub,
        "descriptors" / Int32ub,
        "reserved" / Bytes(24),
        "checksum" / Bytes(136),
        "chunks" / Int32ub,
    ),
)

BLOCK_MAP_MAGIC = b"mish"
CHUNK_SIZE = 40

#: Types of chunks: with bytes in the file (raw, ADC, zlib, bzip2, LZFSE, LZMA), without (zeros, ignored), comment and
#: end of the list.
STORED = (1, 0x80000004, 0x80000005, 0x80000006, 0x80000007, 0x80000008)
EMPTY = (0, 2)
MARKS = (0x7FFFFFFE, 0xFFFFFFFF)
