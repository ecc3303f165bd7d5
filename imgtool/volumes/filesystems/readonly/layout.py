"""Read-only file systems: squashfs, erofs, cramfs, romfs, and ISO 9660 and UDF inside a partition.

References: squashfs binary format ("Superblock"); Linux fs/erofs/erofs_fs.h, Documentation/filesystems/
cramfs and romfs; ECMA-119 section 8.4; ECMA-167 sections 3/10 and 3/14.
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int8ul, Int16ul, Int32ub, Int32ul, Int64ul, Struct

from imgtool.structs.layout import Layout

SQUASHFS_COMPRESSION = {1: "gzip", 2: "lzma", 3: "lzo", 4: "xz", 5: "lz4", 6: "zstd"}


class Squashfs(NamedTuple):
    """A squashfs 4 superblock up to the bytes used."""

    magic: bytes
    inode_count: int
    mod_time: int
    block_size: int
    frag_count: int
    compressor: int
    block_log: int
    flags: int
    id_count: int
    version_major: int
    version_minor: int
    root_inode: int
    bytes_used: int


SQUASHFS = Layout(
    "squashfs superblock",
    Squashfs,
    Struct(
        "magic" / Bytes(4),
        "inode_count" / Int32ul,
        "mod_time" / Int32ul,
        "block_size" / Int32ul,
        "frag_count" / Int32ul,
        "compressor" / Int16ul,
        "block_log" / Int16ul,
        "flags" / Int16ul,
        "id_count" / Int16ul,
        "version_major" / Int16ul,
        "version_minor" / Int16ul,
        "root_inode" / Int64ul,
        "bytes_used" / Int64ul,
    ),
    meanings={"compressor": SQUASHFS_COMPRESSION},
)

EROFS_AT = 1024
EROFS_CHECKSUM_AT = 4
EROFS_SB_CHKSUM = 0x1


class Erofs(NamedTuple):
    """An erofs superblock up to the volume name."""

    magic: int
    checksum: int
    feature_compat: int
    blkszbits: int
    sb_extslots: int
    root_nid: int
    inos: int
    build_time: int
    build_time_nsec: int
    blocks: int
    meta_blkaddr: int
    xattr_blkaddr: int
    uuid: bytes
    volume_name: bytes
    feature_incompat: int


EROFS = Layout(
    "erofs superblock",
    Erofs,
    Struct(
        "magic" / Int32ul,
        "checksum" / Int32ul,
        "feature_compat" / Int32ul,
        "blkszbits" / Int8ul,
        "sb_extslots" / Int8ul,
        "root_nid" / Int16ul,
        "inos" / Int64ul,
        "build_time" / Int64ul,
        "build_time_nsec" / Int32ul,
        "blocks" / Int32ul,
        "meta_blkaddr" / Int32ul,
        "xattr_blkaddr" / Int32ul,
        "uuid" / Bytes(16),
        "volume_name" / Bytes(16),
        "feature_incompat" / Int32ul,
    ),
)


class Cramfs(NamedTuple):
    """A cramfs superblock."""

    magic: int
    size: int
    flags: int
    future: int
    signature: bytes
    fsid: bytes
    name: bytes


CRAMFS = Layout(
    "cramfs superblock",
    Cramfs,
    Struct(
        "magic" / Int32ul,
        "size" / Int32ul,
        "flags" / Int32ul,
        "future" / Int32ul,
        "signature" / Bytes(16),
        "fsid" / Bytes(16),
        "name" / Bytes(16),
    ),
)

ROMFS_BLOCK = 1024


class Romfs(NamedTuple):
    """A romfs superblock up to the volume name."""

    word: bytes
    size: int
    checksum: int


ROMFS = Layout("romfs superblock", Romfs, Struct("word" / Bytes(8), "size" / Int32ub, "checksum" / Int32ub))

VOLUME_AT = 0x8000
SECTOR_SIZE = 2048


class Primary(NamedTuple):
    """An ISO 9660 primary volume descriptor up to the block size: numbers by their little-endian half."""

    type: int
    id: bytes
    version: int
    unused: int
    system_id: bytes
    volume_id: bytes
    unused2: bytes
    volume_space_size: int
    volume_space_size_be: bytes
    unused3: bytes
    volume_set_size: bytes
    volume_sequence_number: bytes
    logical_block_size: int


PRIMARY = Layout(
    "iso 9660 primary volume descriptor",
    Primary,
    Struct(
        "type" / Int8ul,
        "id" / Bytes(5),
        "version" / Int8ul,
        "unused" / Int8ul,
        "system_id" / Bytes(32),
        "volume_id" / Bytes(32),
        "unused2" / Bytes(8),
        "volume_space_size" / Int32ul,
        "volume_space_size_be" / Bytes(4),
        "unused3" / Bytes(32),
        "volume_set_size" / Bytes(4),
        "volume_sequence_number" / Bytes(4),
        "logical_block_size" / Int16ul,
    ),
)

CREATION_AT = 813
MODIFICATION_AT = 830
DATE_DIGITS = 16

TAG_PRIMARY = 1
TAG_ANCHOR = 2
TAG_PARTITION = 5
TAG_LOGICAL = 6
TAG_TERMINATING = 8
ANCHOR_SECTOR = 256
VOLUME_SET_ID_AT, LOGICAL_ID_AT, ID_SIZE = 72, 84, 128
DOMAIN_REVISION_AT = 240  #: UDF revision in the suffix of a logical volume's domain identifier
UDF_BLOCK_SIZES = (2048, 512, 4096, 1024)


class Anchor(NamedTuple):
    """A UDF anchor volume descriptor pointer: where the volume descriptors are."""

    tag_id: int
    tag_version: int
    tag_checksum: int
    tag_rest: bytes
    main_length: int
    main_location: int


ANCHOR = Layout(
    "udf anchor",
    Anchor,
    Struct(
        "tag_id" / Int16ul,
        "tag_version" / Int16ul,
        "tag_checksum" / Int8ul,
        "tag_rest" / Bytes(11),
        "main_length" / Int32ul,
        "main_location" / Int32ul,
    ),
)
