"""Superblocks of Linux file systems. Little-endian, but for xfs.

References: Linux Documentation/filesystems/ext4 ("Super Block"), XFS Algorithms & Data Structures
("Superblocks"), Linux include/uapi/linux/btrfs_tree.h, include/linux/f2fs_fs.h.
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int8ub, Int8ul, Int16ub, Int16ul, Int32ub, Int32ul, Int64ub, Int64ul, Struct

from imgtool.structs.layout import Layout

EXT_AT = 1024
EXT_CHECKSUM_AT = 0x3FC
EXT_HAS_JOURNAL = 0x0004
EXT_JOURNAL_DEV = 0x0008
EXT_64BIT = 0x0080
EXT_METADATA_CSUM = 0x0400
#: Feature bits that ext2 and ext3 know: filetype, recover, meta_bg | sparse_super, large_file, btree_dir.
EXT2_INCOMPAT = 0x0002 | 0x0010
EXT3_INCOMPAT = 0x0002 | 0x0004 | 0x0010
EXT3_RO_COMPAT = 0x0001 | 0x0002 | 0x0004


class Ext(NamedTuple):
    """The first 136 bytes of an ext2, ext3 or ext4 superblock."""

    s_inodes_count: int
    s_blocks_count_lo: int
    s_r_blocks_count_lo: int
    s_free_blocks_count_lo: int
    s_free_inodes_count: int
    s_first_data_block: int
    s_log_block_size: int
    s_log_cluster_size: int
    s_blocks_per_group: int
    s_clusters_per_group: int
    s_inodes_per_group: int
    s_mtime: int
    s_wtime: int
    s_mnt_count: int
    s_max_mnt_count: int
    s_magic: int
    s_state: int
    s_errors: int
    s_minor_rev_level: int
    s_lastcheck: int
    s_checkinterval: int
    s_creator_os: int
    s_rev_level: int
    s_def_resuid: int
    s_def_resgid: int
    s_first_ino: int
    s_inode_size: int
    s_block_group_nr: int
    s_feature_compat: int
    s_feature_incompat: int
    s_feature_ro_compat: int
    s_uuid: bytes
    s_volume_name: bytes


EXT = Layout(
    "ext superblock",
    Ext,
    Struct(
        "s_inodes_count" / Int32ul,
        "s_blocks_count_lo" / Int32ul,
        "s_r_blocks_count_lo" / Int32ul,
        "s_free_blocks_count_lo" / Int32ul,
        "s_free_inodes_count" / Int32ul,
        "s_first_data_block" / Int32ul,
        "s_log_block_size" / Int32ul,
        "s_log_cluster_size" / Int32ul,
        "s_blocks_per_group" / Int32ul,
        "s_clusters_per_group" / Int32ul,
        "s_inodes_per_group" / Int32ul,
        "s_mtime" / Int32ul,
        "s_wtime" / Int32ul,
        "s_mnt_count" / Int16ul,
        "s_max_mnt_count" / Int16ul,
        "s_magic" / Int16ul,
        "s_state" / Int16ul,
        "s_errors" / Int16ul,
        "s_minor_rev_level" / Int16ul,
        "s_lastcheck" / Int32ul,
        "s_checkinterval" / Int32ul,
        "s_creator_os" / Int32ul,
        "s_rev_level" / Int32ul,
        "s_def_resuid" / Int16ul,
        "s_def_resgid" / Int16ul,
        "s_first_ino" / Int32ul,
        "s_inode_size" / Int16ul,
        "s_block_group_nr" / Int16ul,
        "s_feature_compat" / Int32ul,
        "s_feature_incompat" / Int32ul,
        "s_feature_ro_compat" / Int32ul,
        "s_uuid" / Bytes(16),
        "s_volume_name" / Bytes(16),
    ),
)

EXT_BLOCKS_HI_AT = 0x150


class Xfs(NamedTuple):
    """The first 128 bytes of an xfs superblock."""

    sb_magicnum: bytes
    sb_blocksize: int
    sb_dblocks: int
    sb_rblocks: int
    sb_rextents: int
    sb_uuid: bytes
    sb_logstart: int
    sb_rootino: int
    sb_rbmino: int
    sb_rsumino: int
    sb_rextsize: int
    sb_agblocks: int
    sb_agcount: int
    sb_rbmblocks: int
    sb_logblocks: int
    sb_versionnum: int
    sb_sectsize: int
    sb_inodesize: int
    sb_inopblock: int
    sb_fname: bytes
    sb_blocklog: int
    sb_sectlog: int


XFS = Layout(
    "xfs superblock",
    Xfs,
    Struct(
        "sb_magicnum" / Bytes(4),
        "sb_blocksize" / Int32ub,
        "sb_dblocks" / Int64ub,
        "sb_rblocks" / Int64ub,
        "sb_rextents" / Int64ub,
        "sb_uuid" / Bytes(16),
        "sb_logstart" / Int64ub,
        "sb_rootino" / Int64ub,
        "sb_rbmino" / Int64ub,
        "sb_rsumino" / Int64ub,
        "sb_rextsize" / Int32ub,
        "sb_agblocks" / Int32ub,
        "sb_agcount" / Int32ub,
        "sb_rbmblocks" / Int32ub,
        "sb_logblocks" / Int32ub,
        "sb_versionnum" / Int16ub,
        "sb_sectsize" / Int16ub,
        "sb_inodesize" / Int16ub,
        "sb_inopblock" / Int16ub,
        "sb_fname" / Bytes(12),
        "sb_blocklog" / Int8ub,
        "sb_sectlog" / Int8ub,
    ),
)

XFS_CRC_AT = 224

BTRFS_AT = 0x10000
BTRFS_SUPER_SIZE = 4096
BTRFS_CSUM_TYPES = {0: "crc32c", 1: "xxhash64", 2: "sha256", 3: "blake2b"}


class Btrfs(NamedTuple):
    """A btrfs superblock up to the label."""

    csum: bytes
    fsid: bytes
    bytenr: int
    flags: int
    magic: bytes
    generation: int
    root: int
    chunk_root: int
    log_root: int
    log_root_transid: int
    total_bytes: int
    bytes_used: int
    root_dir_objectid: int
    num_devices: int
    sectorsize: int
    nodesize: int
    leafsize: int
    stripesize: int
    sys_chunk_array_size: int
    chunk_root_generation: int
    compat_flags: int
    compat_ro_flags: int
    incompat_flags: int
    csum_type: int
    root_level: int
    chunk_root_level: int
    log_root_level: int
    dev_item_devid: int
    dev_item_total_bytes: int
    dev_item_rest: bytes
    label: bytes


BTRFS = Layout(
    "btrfs superblock",
    Btrfs,
    Struct(
        "csum" / Bytes(32),
        "fsid" / Bytes(16),
        "bytenr" / Int64ul,
        "flags" / Int64ul,
        "magic" / Bytes(8),
        "generation" / Int64ul,
        "root" / Int64ul,
        "chunk_root" / Int64ul,
        "log_root" / Int64ul,
        "log_root_transid" / Int64ul,
        "total_bytes" / Int64ul,
        "bytes_used" / Int64ul,
        "root_dir_objectid" / Int64ul,
        "num_devices" / Int64ul,
        "sectorsize" / Int32ul,
        "nodesize" / Int32ul,
        "leafsize" / Int32ul,
        "stripesize" / Int32ul,
        "sys_chunk_array_size" / Int32ul,
        "chunk_root_generation" / Int64ul,
        "compat_flags" / Int64ul,
        "compat_ro_flags" / Int64ul,
        "incompat_flags" / Int64ul,
        "csum_type" / Int16ul,
        "root_level" / Int8ul,
        "chunk_root_level" / Int8ul,
        "log_root_level" / Int8ul,
        "dev_item_devid" / Int64ul,
        "dev_item_total_bytes" / Int64ul,
        "dev_item_rest" / Bytes(82),
        "label" / Bytes(256),
    ),
    meanings={"csum_type": BTRFS_CSUM_TYPES},
)

F2FS_AT = 1024


class F2fs(NamedTuple):
    """An f2fs superblock up to the volume name."""

    magic: int
    major_ver: int
    minor_ver: int
    log_sectorsize: int
    log_sectors_per_block: int
    log_blocksize: int
    log_blocks_per_seg: int
    segs_per_sec: int
    secs_per_zone: int
    checksum_offset: int
    block_count: int
    section_count: int
    segment_count: int
    segments_by_use: bytes
    block_addresses: bytes
    root_ino: int
    node_ino: int
    meta_ino: int
    uuid: bytes
    volume_name: bytes


F2FS = Layout(
    "f2fs superblock",
    F2fs,
    Struct(
        "magic" / Int32ul,
        "major_ver" / Int16ul,
        "minor_ver" / Int16ul,
        "log_sectorsize" / Int32ul,
        "log_sectors_per_block" / Int32ul,
        "log_blocksize" / Int32ul,
        "log_blocks_per_seg" / Int32ul,
        "segs_per_sec" / Int32ul,
        "secs_per_zone" / Int32ul,
        "checksum_offset" / Int32ul,
        "block_count" / Int64ul,
        "section_count" / Int32ul,
        "segment_count" / Int32ul,
        "segments_by_use" / Bytes(20),
        "block_addresses" / Bytes(24),
        "root_ino" / Int32ul,
        "node_ino" / Int32ul,
        "meta_ino" / Int32ul,
        "uuid" / Bytes(16),
        "volume_name" / Bytes(1024),
    ),
)
