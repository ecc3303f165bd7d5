"""HFS, HFS+ and APFS on disk. HFS is big-endian, APFS little-endian.

References: Apple Technical Note TN1150 ("HFS Plus Volume Format"); Inside Macintosh: Files, chapter 2
("Data Organization on Volumes"); Apple File System Reference ("nx_superblock_t").
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int16ub, Int32ub, Int32ul, Int64ub, Int64ul, Struct

from imgtool.structs.layout import Layout

HEADER_AT = 1024


class HfsPlus(NamedTuple):
    """An HFS+ volume header up to the catalog file's first extent."""

    signature: bytes
    version: int
    attributes: int
    lastMountedVersion: bytes
    journalInfoBlock: int
    dates: bytes
    fileCount: int
    folderCount: int
    blockSize: int
    totalBlocks: int
    freeBlocks: int
    nextAllocation: int
    clumpSizes: bytes
    nextCatalogID: int
    writeCount: int
    encodingsBitmap: int
    finderInfo: bytes
    allocationFile: bytes
    extentsFile: bytes
    catalogLogicalSize: int
    catalogClumpSize: int
    catalogTotalBlocks: int
    catalogStartBlock: int
    catalogBlockCount: int


HFS_PLUS = Layout(
    "hfs+ volume header",
    HfsPlus,
    Struct(
        "signature" / Bytes(2),
        "version" / Int16ub,
        "attributes" / Int32ub,
        "lastMountedVersion" / Bytes(4),
        "journalInfoBlock" / Int32ub,
        "dates" / Bytes(16),
        "fileCount" / Int32ub,
        "folderCount" / Int32ub,
        "blockSize" / Int32ub,
        "totalBlocks" / Int32ub,
        "freeBlocks" / Int32ub,
        "nextAllocation" / Int32ub,
        "clumpSizes" / Bytes(8),
        "nextCatalogID" / Int32ub,
        "writeCount" / Int32ub,
        "encodingsBitmap" / Int64ub,
        "finderInfo" / Bytes(32),
        "allocationFile" / Bytes(80),
        "extentsFile" / Bytes(80),
        "catalogLogicalSize" / Int64ub,
        "catalogClumpSize" / Int32ub,
        "catalogTotalBlocks" / Int32ub,
        "catalogStartBlock" / Int32ub,
        "catalogBlockCount" / Int32ub,
    ),
)

NODE_DESCRIPTOR_SIZE = 14
ROOT_PARENT = 1  #: parent of the root folder, whose name is the volume's


class BTreeHeader(NamedTuple):
    """The first node of a B-tree: what leads to its first leaf."""

    descriptor: bytes
    treeDepth: int
    rootNode: int
    leafRecords: int
    firstLeafNode: int
    lastLeafNode: int
    nodeSize: int


BTREE_HEADER = Layout(
    "hfs+ catalog header node",
    BTreeHeader,
    Struct(
        "descriptor" / Bytes(14),
        "treeDepth" / Int16ub,
        "rootNode" / Int32ub,
        "leafRecords" / Int32ub,
        "firstLeafNode" / Int32ub,
        "lastLeafNode" / Int32ub,
        "nodeSize" / Int16ub,
    ),
)


class Hfs(NamedTuple):
    """An HFS master directory block."""

    drSigWord: bytes
    drCrDate: int
    drLsMod: int
    drAtrb: int
    drNmFls: int
    drVBMSt: int
    drAllocPtr: int
    drNmAlBlks: int
    drAlBlkSiz: int
    drClpSiz: int
    drAlBlSt: int
    drNxtCNID: int
    drFreeBks: int
    drVN: bytes
    drVolState: bytes
    drFndrInfo: bytes
    drEmbedSigWord: bytes
    drEmbedExtent: int


HFS = Layout(
    "hfs master directory block",
    Hfs,
    Struct(
        "drSigWord" / Bytes(2),
        "drCrDate" / Int32ub,
        "drLsMod" / Int32ub,
        "drAtrb" / Int16ub,
        "drNmFls" / Int16ub,
        "drVBMSt" / Int16ub,
        "drAllocPtr" / Int16ub,
        "drNmAlBlks" / Int16ub,
        "drAlBlkSiz" / Int32ub,
        "drClpSiz" / Int32ub,
        "drAlBlSt" / Int16ub,
        "drNxtCNID" / Int32ub,
        "drFreeBks" / Int16ub,
        "drVN" / Bytes(28),
        "drVolState" / Bytes(28),
        "drFndrInfo" / Bytes(32),
        "drEmbedSigWord" / Bytes(2),
        "drEmbedExtent" / Int32ub,
    ),
)

APFS_CONTAINER = 1  #: low 16 bits of o_type of a container superblock


class Apfs(NamedTuple):
    """An APFS container superblock up to its UUID."""

    o_cksum: bytes
    o_oid: int
    o_xid: int
    o_type: int
    o_subtype: int
    nx_magic: bytes
    nx_block_size: int
    nx_block_count: int
    nx_features: int
    nx_readonly_compatible_features: int
    nx_incompatible_features: int
    nx_uuid: bytes


APFS = Layout(
    "apfs container superblock",
    Apfs,
    Struct(
        "o_cksum" / Bytes(8),
        "o_oid" / Int64ul,
        "o_xid" / Int64ul,
        "o_type" / Int32ul,
        "o_subtype" / Int32ul,
        "nx_magic" / Bytes(4),
        "nx_block_size" / Int32ul,
        "nx_block_count" / Int64ul,
        "nx_features" / Int64ul,
        "nx_readonly_compatible_features" / Int64ul,
        "nx_incompatible_features" / Int64ul,
        "nx_uuid" / Bytes(16),
    ),
)
