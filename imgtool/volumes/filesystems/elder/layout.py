"""Superblocks of the rarer Linux file systems. Little-endian.

References: Linux fs/reiserfs/reiserfs.h, fs/jfs/jfs_superblock.h, include/uapi/linux/nilfs2_ondisk.h,
include/uapi/linux/minix_fs.h; bcachefs "On disk format".
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int8ul, Int16ul, Int32ul, Int64ul, Struct

from imgtool.structs.layout import Layout

REISERFS_PLACES = (0x10000, 0x2000)
REISERFS_MAGICS = {b"ReIsErFs": "3.5", b"ReIsEr2F": "3.6", b"ReIsEr3F": "JR"}


class Reiserfs(NamedTuple):
    """A reiserfs superblock of version 3.6; 3.5 ends before inode_generation."""

    block_count: int
    free_blocks: int
    root_block: int
    journal: bytes
    blocksize: int
    oid_maxsize: int
    oid_cursize: int
    umount_state: int
    magic: bytes
    fs_state: int
    hash_function_code: int
    tree_height: int
    bmap_nr: int
    version: int
    reserved_for_journal: int
    inode_generation: int
    flags: int
    uuid: bytes
    label: bytes


REISERFS = Layout(
    "reiserfs superblock",
    Reiserfs,
    Struct(
        "block_count" / Int32ul,
        "free_blocks" / Int32ul,
        "root_block" / Int32ul,
        "journal" / Bytes(32),
        "blocksize" / Int16ul,
        "oid_maxsize" / Int16ul,
        "oid_cursize" / Int16ul,
        "umount_state" / Int16ul,
        "magic" / Bytes(10),
        "fs_state" / Int16ul,
        "hash_function_code" / Int32ul,
        "tree_height" / Int16ul,
        "bmap_nr" / Int16ul,
        "version" / Int16ul,
        "reserved_for_journal" / Int16ul,
        "inode_generation" / Int32ul,
        "flags" / Int32ul,
        "uuid" / Bytes(16),
        "label" / Bytes(16),
    ),
)

JFS_AT = 0x8000


class Jfs(NamedTuple):
    """A jfs superblock."""

    s_magic: bytes
    s_version: int
    s_size: int
    s_bsize: int
    s_l2bsize: int
    s_l2bfactor: int
    s_pbsize: int
    s_l2pbsize: int
    pad: int
    s_agsize: int
    s_flag: int
    s_state: int
    places: bytes
    s_fpack: bytes
    more_places: bytes
    s_uuid: bytes
    s_label: bytes
    s_loguuid: bytes


JFS = Layout(
    "jfs superblock",
    Jfs,
    Struct(
        "s_magic" / Bytes(4),
        "s_version" / Int32ul,
        "s_size" / Int64ul,
        "s_bsize" / Int32ul,
        "s_l2bsize" / Int16ul,
        "s_l2bfactor" / Int16ul,
        "s_pbsize" / Int32ul,
        "s_l2pbsize" / Int16ul,
        "pad" / Int16ul,
        "s_agsize" / Int32ul,
        "s_flag" / Int32ul,
        "s_state" / Int32ul,
        "places" / Bytes(57),
        "s_fpack" / Bytes(11),
        "more_places" / Bytes(24),
        "s_uuid" / Bytes(16),
        "s_label" / Bytes(16),
        "s_loguuid" / Bytes(16),
    ),
)

NILFS_AT = 1024
NILFS_SUM_AT = 16


class Nilfs(NamedTuple):
    """A nilfs2 superblock up to the volume name."""

    s_rev_level: int
    s_minor_rev_level: int
    s_magic: int
    s_bytes: int
    s_flags: int
    s_crc_seed: int
    s_sum: int
    s_log_block_size: int
    s_nsegments: int
    s_dev_size: int
    state: bytes
    s_uuid: bytes
    s_volume_name: bytes


NILFS = Layout(
    "nilfs2 superblock",
    Nilfs,
    Struct(
        "s_rev_level" / Int32ul,
        "s_minor_rev_level" / Int16ul,
        "s_magic" / Int16ul,
        "s_bytes" / Int16ul,
        "s_flags" / Int16ul,
        "s_crc_seed" / Int32ul,
        "s_sum" / Int32ul,
        "s_log_block_size" / Int32ul,
        "s_nsegments" / Int64ul,
        "s_dev_size" / Int64ul,
        "state" / Bytes(112),
        "s_uuid" / Bytes(16),
        "s_volume_name" / Bytes(80),
    ),
)

BCACHEFS_AT = 4096
BCACHEFS_MAGIC = bytes.fromhex("c68573f666ce90a9d96a60cf803df7ef")


class Bcachefs(NamedTuple):
    """A bcachefs superblock up to the block size (in sectors of 512 bytes)."""

    csum: bytes
    version: int
    version_min: int
    pad: int
    magic: bytes
    uuid: bytes
    user_uuid: bytes
    label: bytes
    offset: int
    seq: int
    block_size: int
    dev_idx: int
    nr_devices: int


BCACHEFS = Layout(
    "bcachefs superblock",
    Bcachefs,
    Struct(
        "csum" / Bytes(16),
        "version" / Int16ul,
        "version_min" / Int16ul,
        "pad" / Int32ul,
        "magic" / Bytes(16),
        "uuid" / Bytes(16),
        "user_uuid" / Bytes(16),
        "label" / Bytes(32),
        "offset" / Int64ul,
        "seq" / Int64ul,
        "block_size" / Int16ul,
        "dev_idx" / Int8ul,
        "nr_devices" / Int8ul,
    ),
)

MINIX_AT = 1024
#: Magic → (version, length of names).
MINIX_MAGICS = {0x137F: (1, 14), 0x138F: (1, 30), 0x2468: (2, 14), 0x2478: (2, 30)}
MINIX3_MAGIC = 0x4D5A
MINIX_BLOCK = 1024


class Minix(NamedTuple):
    """A minix superblock of version 1 or 2."""

    s_ninodes: int
    s_nzones: int
    s_imap_blocks: int
    s_zmap_blocks: int
    s_firstdatazone: int
    s_log_zone_size: int
    s_max_size: int
    s_magic: int
    s_state: int
    s_zones: int


MINIX = Layout(
    "minix superblock",
    Minix,
    Struct(
        "s_ninodes" / Int16ul,
        "s_nzones" / Int16ul,
        "s_imap_blocks" / Int16ul,
        "s_zmap_blocks" / Int16ul,
        "s_firstdatazone" / Int16ul,
        "s_log_zone_size" / Int16ul,
        "s_max_size" / Int32ul,
        "s_magic" / Int16ul,
        "s_state" / Int16ul,
        "s_zones" / Int32ul,
    ),
)


class Minix3(NamedTuple):
    """A minix superblock of version 3."""

    s_ninodes: int
    s_pad0: int
    s_imap_blocks: int
    s_zmap_blocks: int
    s_firstdatazone: int
    s_log_zone_size: int
    s_pad1: int
    s_max_size: int
    s_zones: int
    s_magic: int
    s_pad2: int
    s_blocksize: int


MINIX3 = Layout(
    "minix superblock, version 3",
    Minix3,
    Struct(
        "s_ninodes" / Int32ul,
        "s_pad0" / Int16ul,
        "s_imap_blocks" / Int16ul,
        "s_zmap_blocks" / Int16ul,
        "s_firstdatazone" / Int16ul,
        "s_log_zone_size" / Int16ul,
        "s_pad1" / Int16ul,
        "s_max_size" / Int32ul,
        "s_zones" / Int32ul,
        "s_magic" / Int16ul,
        "s_pad2" / Int16ul,
        "s_blocksize" / Int16ul,
    ),
)
