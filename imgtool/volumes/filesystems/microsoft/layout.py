"""Boot sectors of FAT, NTFS and exFAT; directory entries and the NTFS volume name. Little-endian.

References: Microsoft "FAT: General Overview of On-Disk Format" 1.03 (boot sector and BPB, directory
structure); "exFAT file system specification" 1.00, sections 3 and 7; Linux fs/ntfs3/ntfs.h.
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int8ul, Int16ul, Int32ul, Int64ul, Struct

from imgtool.structs.layout import Layout

BOOT_SIGNATURE = b"\x55\xaa"
FAT12_CLUSTERS = 4085  #: fewer are FAT12 …
FAT16_CLUSTERS = 65525  #: … fewer are FAT16
DIRECTORY_ENTRY_SIZE = 32
ATTR_VOLUME_ID = 0x08
ATTR_DIRECTORY = 0x10
ATTR_LONG_NAME = 0x0F


class Bpb(NamedTuple):
    """The first 36 bytes of a FAT boot sector."""

    BS_jmpBoot: bytes
    BS_OEMName: bytes
    BPB_BytsPerSec: int
    BPB_SecPerClus: int
    BPB_RsvdSecCnt: int
    BPB_NumFATs: int
    BPB_RootEntCnt: int
    BPB_TotSec16: int
    BPB_Media: int
    BPB_FATSz16: int
    BPB_SecPerTrk: int
    BPB_NumHeads: int
    BPB_HiddSec: int
    BPB_TotSec32: int


BPB = Layout(
    "fat boot sector",
    Bpb,
    Struct(
        "BS_jmpBoot" / Bytes(3),
        "BS_OEMName" / Bytes(8),
        "BPB_BytsPerSec" / Int16ul,
        "BPB_SecPerClus" / Int8ul,
        "BPB_RsvdSecCnt" / Int16ul,
        "BPB_NumFATs" / Int8ul,
        "BPB_RootEntCnt" / Int16ul,
        "BPB_TotSec16" / Int16ul,
        "BPB_Media" / Int8ul,
        "BPB_FATSz16" / Int16ul,
        "BPB_SecPerTrk" / Int16ul,
        "BPB_NumHeads" / Int16ul,
        "BPB_HiddSec" / Int32ul,
        "BPB_TotSec32" / Int32ul,
    ),
)


class Fat16(NamedTuple):
    """What follows the BPB on FAT12 and FAT16."""

    BS_DrvNum: int
    BS_Reserved1: int
    BS_BootSig: int
    BS_VolID: int
    BS_VolLab: bytes
    BS_FilSysType: bytes


FAT16 = Layout(
    "fat12 and fat16 boot sector, second part",
    Fat16,
    Struct(
        "BS_DrvNum" / Int8ul,
        "BS_Reserved1" / Int8ul,
        "BS_BootSig" / Int8ul,
        "BS_VolID" / Int32ul,
        "BS_VolLab" / Bytes(11),
        "BS_FilSysType" / Bytes(8),
    ),
)


class Fat32(NamedTuple):
    """What follows the BPB on FAT32."""

    BPB_FATSz32: int
    BPB_ExtFlags: int
    BPB_FSVer: int
    BPB_RootClus: int
    BPB_FSInfo: int
    BPB_BkBootSec: int
    BPB_Reserved: bytes
    BS_DrvNum: int
    BS_Reserved1: int
    BS_BootSig: int
    BS_VolID: int
    BS_VolLab: bytes
    BS_FilSysType: bytes


FAT32 = Layout(
    "fat32 boot sector, second part",
    Fat32,
    Struct(
        "BPB_FATSz32" / Int32ul,
        "BPB_ExtFlags" / Int16ul,
        "BPB_FSVer" / Int16ul,
        "BPB_RootClus" / Int32ul,
        "BPB_FSInfo" / Int16ul,
        "BPB_BkBootSec" / Int16ul,
        "BPB_Reserved" / Bytes(12),
        "BS_DrvNum" / Int8ul,
        "BS_Reserved1" / Int8ul,
        "BS_BootSig" / Int8ul,
        "BS_VolID" / Int32ul,
        "BS_VolLab" / Bytes(11),
        "BS_FilSysType" / Bytes(8),
    ),
)


class Ntfs(NamedTuple):
    """An NTFS boot sector. Cluster counts over 128 are the negative power of two of a size in bytes."""

    jump: bytes
    system_id: bytes
    bytes_per_sector: int
    sectors_per_cluster: int
    unused: bytes
    media_type: int
    more_unused: bytes
    sectors_per_volume: int
    mft_clst: int
    mft2_clst: int
    record_size: int
    unused2: bytes
    index_size: int
    unused3: bytes
    serial_num: int


NTFS = Layout(
    "ntfs boot sector",
    Ntfs,
    Struct(
        "jump" / Bytes(3),
        "system_id" / Bytes(8),
        "bytes_per_sector" / Int16ul,
        "sectors_per_cluster" / Int8ul,
        "unused" / Bytes(7),
        "media_type" / Int8ul,
        "more_unused" / Bytes(18),
        "sectors_per_volume" / Int64ul,
        "mft_clst" / Int64ul,
        "mft2_clst" / Int64ul,
        "record_size" / Int8ul,
        "unused2" / Bytes(3),
        "index_size" / Int8ul,
        "unused3" / Bytes(3),
        "serial_num" / Int64ul,
    ),
)

NTFS_VOLUME_RECORD = 3  #: number of the file record "$Volume"
NTFS_RECORD_MAGIC = b"FILE"
NTFS_ATTR_NAME = 0x60  #: $VOLUME_NAME
NTFS_ATTR_INFO = 0x70  #: $VOLUME_INFORMATION
NTFS_ATTR_END = 0xFFFFFFFF


class Exfat(NamedTuple):
    """An exFAT main boot sector up to the number of FATs."""

    JumpBoot: bytes
    FileSystemName: bytes
    MustBeZero: bytes
    PartitionOffset: int
    VolumeLength: int
    FatOffset: int
    FatLength: int
    ClusterHeapOffset: int
    ClusterCount: int
    FirstClusterOfRootDirectory: int
    VolumeSerialNumber: int
    FileSystemRevision: int
    VolumeFlags: int
    BytesPerSectorShift: int
    SectorsPerClusterShift: int
    NumberOfFats: int


EXFAT = Layout(
    "exfat boot sector",
    Exfat,
    Struct(
        "JumpBoot" / Bytes(3),
        "FileSystemName" / Bytes(8),
        "MustBeZero" / Bytes(53),
        "PartitionOffset" / Int64ul,
        "VolumeLength" / Int64ul,
        "FatOffset" / Int32ul,
        "FatLength" / Int32ul,
        "ClusterHeapOffset" / Int32ul,
        "ClusterCount" / Int32ul,
        "FirstClusterOfRootDirectory" / Int32ul,
        "VolumeSerialNumber" / Int32ul,
        "FileSystemRevision" / Int16ul,
        "VolumeFlags" / Int16ul,
        "BytesPerSectorShift" / Int8ul,
        "SectorsPerClusterShift" / Int8ul,
        "NumberOfFats" / Int8ul,
    ),
)

EXFAT_VOLUME_LABEL = 0x83
