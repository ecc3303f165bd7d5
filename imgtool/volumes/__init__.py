"""The registry of what lies inside raw bytes: tables, file systems, kernels, ramdisks. Plain data."""

from __future__ import annotations

from imgtool.detect.registry import Entry, Signature

_PARTITIONS = "imgtool.volumes.partitions"
_PROBES = "imgtool.volumes.probes"
_FILESYSTEMS = "imgtool.volumes.filesystems"
_FS_CHECKS = f"{_FILESYSTEMS}.checks:RULES"
_ABILITIES = ("detect", "read", "check")


def _table(name: str, title: str, signatures: tuple[Signature, ...], rank: int) -> Entry:
    checks = f"{_PARTITIONS}.checks:{name.upper()}_RULES"
    return Entry(name, title, "PRT", "table", signatures, f"{_PARTITIONS}.{name}:read", checks, rank)


def _system(
    name: str,
    title: str,
    reader: str,
    rank: int,
    *signatures: Signature,
    aliases: tuple[str, ...] = (),
) -> Entry:
    place = f"{_FILESYSTEMS}.{reader}"
    return Entry(name, title, "PRT", "filesystem", signatures, place, _FS_CHECKS, rank, aliases=aliases)


_EFI = b"EFI PART"

TABLES: tuple[Entry, ...] = (
    _table(
        "gpt",
        "GUID partition table",
        (
            Signature(_EFI, 512),
            Signature(_EFI, 4096),
            Signature(_EFI, -512, f"{_PROBES}:lone_backup"),
            Signature(_EFI, -4096, f"{_PROBES}:lone_backup"),
        ),
        60,
    ),
    _table("mbr", "master boot record", (Signature(b"\x55\xaa", 510, f"{_PROBES}:boot_record"),), 61),
    _table(
        "apm",
        "Apple partition map",
        tuple(Signature(b"PM\0\0", size, f"{_PROBES}:driver_map") for size in (512, 1024, 2048, 4096)),
        62,
    ),
)

_BOOT = b"\x55\xaa"

FILESYSTEMS: tuple[Entry, ...] = (
    _system("bitlocker", "BitLocker volume", "microsoft.reader:read_bitlocker", 64, Signature(b"-FVE-FS-", 3)),
    _system("refs", "Windows ReFS", "microsoft.reader:read_refs", 64, Signature(b"ReFS\0\0\0\0", 3)),
    _system("ntfs", "Windows NTFS", "microsoft.reader:read_ntfs", 65, Signature(b"NTFS    ", 3)),
    _system("exfat", "exFAT", "microsoft.reader:read_exfat", 65, Signature(b"EXFAT   ", 3)),
    _system("fat12", "FAT12", "microsoft.fat:read", 66, Signature(_BOOT, 510, f"{_PROBES}:fat12")),
    _system("fat16", "FAT16", "microsoft.fat:read", 66, Signature(_BOOT, 510, f"{_PROBES}:fat16")),
    _system("fat32", "FAT32", "microsoft.fat:read", 66, Signature(_BOOT, 510, f"{_PROBES}:fat32")),
    _system("xfs", "XFS", "linux.reader:read_xfs", 67, Signature(b"XFSB")),
    _system("btrfs", "Btrfs", "linux.reader:read_btrfs", 67, Signature(b"_BHRfS_M", 0x10040)),
    _system("f2fs", "F2FS", "linux.reader:read_f2fs", 67, Signature(b"\x10\x20\xf5\xf2", 1024)),
    _system("ext4", "ext4", "linux.reader:read_ext", 68, Signature(b"\x53\xef", 1080, f"{_PROBES}:ext4")),
    _system("ext3", "ext3", "linux.reader:read_ext", 68, Signature(b"\x53\xef", 1080, f"{_PROBES}:ext3")),
    _system("ext2", "ext2", "linux.reader:read_ext", 68, Signature(b"\x53\xef", 1080, f"{_PROBES}:ext2")),
    _system(
        "jbd",
        "journal device of ext3 and ext4",
        "linux.reader:read_ext",
        68,
        Signature(b"\x53\xef", 1080, f"{_PROBES}:jbd"),
    ),
    _system("squashfs", "squashfs", "readonly.reader:read_squashfs", 69, Signature(b"hsqs")),
    _system("erofs", "EROFS", "readonly.reader:read_erofs", 69, Signature(b"\xe2\xe1\xf5\xe0", 1024)),
    _system(
        "cramfs", "cramfs", "readonly.reader:read_cramfs", 69, Signature(b"Compressed ROMFS", 16, f"{_PROBES}:cramfs")
    ),
    _system("romfs", "romfs", "readonly.reader:read_romfs", 69, Signature(b"-rom1fs-")),
    _system("apfs", "Apple APFS", "apple.reader:read_apfs", 70, Signature(b"NXSB", 32)),
    _system(
        "hfs+",
        "Apple HFS+",
        "apple.reader:read_hfsplus",
        70,
        Signature(b"H+\0\x04", 1024),
        Signature(b"HX\0\x05", 1024),
        aliases=("hfsplus",),
    ),
    _system("hfs", "Apple HFS", "apple.reader:read_hfs", 71, Signature(b"BD", 1024, f"{_PROBES}:hfs")),
    _system(
        "lvm2",
        "LVM2 physical volume",
        "members.reader:read_lvm",
        72,
        *(Signature(b"LVM2 001", sector * 512 + 24) for sector in range(4)),
        aliases=("lvm",),
    ),
    _system("zfs", "ZFS pool member", "members.reader:read_zfs", 72, Signature(b"\0\0\0\x07version\0", 16404)),
    _system(
        "mdraid",
        "Linux RAID member",
        "members.reader:read_md",
        72,
        Signature(b"\xfc\x4e\x2b\xa9\x01\0\0\0", 4096),
        Signature(b"\xfc\x4e\x2b\xa9\x01\0\0\0"),
    ),
    _system(
        "swap",
        "Linux swap",
        "members.reader:read_swap",
        73,
        *(
            Signature(mark, page - 10)
            for page in (4096, 8192, 16384, 32768, 65536)
            for mark in (b"SWAPSPACE2", b"SWAP-SPACE")
        ),
    ),
    _system(
        "reiserfs",
        "ReiserFS",
        "elder.reader:read_reiserfs",
        74,
        *(Signature(b"ReIsEr", place) for place in (0x10034, 0x2034)),
    ),
    _system("jfs", "JFS", "elder.reader:read_jfs", 74, Signature(b"JFS1", 0x8000)),
    _system("nilfs2", "NILFS2", "elder.reader:read_nilfs", 74, Signature(b"\x34\x34", 1030, f"{_PROBES}:nilfs")),
    _system(
        "bcachefs",
        "bcachefs",
        "elder.reader:read_bcachefs",
        74,
        Signature(bytes.fromhex("c68573f666ce90a9d96a60cf803df7ef"), 4120),
    ),
    _system(
        "minix",
        "Minix",
        "elder.reader:read_minix",
        75,
        *(Signature(mark, 1040, f"{_PROBES}:minix") for mark in (b"\x7f\x13", b"\x8f\x13", b"\x68\x24", b"\x78\x24")),
        Signature(b"\x5a\x4d", 1048, f"{_PROBES}:minix"),
    ),
)

#: What is a disk format of its own where a file is one as a whole, and is only named inside a partition.
INSIDE: tuple[Entry, ...] = (
    _system("luks", "LUKS volume", "members.reader:read_luks", 63, Signature(b"LUKS\xba\xbe\0")),
    _system("iso9660", "ISO 9660", "readonly.optical:read_iso9660", 80, Signature(b"CD001", 0x8001)),
    _system("udf", "UDF", "readonly.optical:read_udf", 79, Signature(b"BEA01", 0x8001)),
)

AKI = Entry(
    name="aki",
    title="kernel: bzImage, arm64 and RISC-V Image, ARM zImage, EFI zboot, uImage, vmlinux",
    family="AMI",
    kind="kernel",
    signatures=(
        Signature(b"HdrS", 0x202),
        Signature(b"ARM\x64", 0x38),
        Signature(b"RISCV\0\0\0", 0x30),
        Signature(b"RSC\x05", 0x38),
        Signature(b"MZ\0\0zimg"),
        Signature(b"\x27\x05\x19\x56"),
        Signature(b"\x18\x28\x6f\x01", 0x24),
        Signature(b"\x01\x6f\x28\x18", 0x24),
        Signature(b"\x7fELF"),
    ),
    reader="imgtool.volumes.kernels.reader:read",
    checks="imgtool.volumes.kernels.checks:RULES",
    rank=40,
    glance="aki",
    aliases=("kernel",),
)

ARI = Entry(
    name="ari",
    title="initial ramdisk: cpio, or a chain of early microcode and a compressed cpio",
    family="AMI",
    kind="ramdisk",
    signatures=(
        Signature(b"070701"),
        Signature(b"070702"),
        Signature(b"070707"),
        Signature(b"\xc7\x71", 0, "imgtool.volumes.ramdisks.probe:is_binary_cpio"),
        Signature(b"\x71\xc7", 0, "imgtool.volumes.ramdisks.probe:is_binary_cpio"),
        Signature(b"\x27\x05\x19\x56"),
    ),
    reader="imgtool.volumes.ramdisks.reader:read",
    checks="imgtool.volumes.ramdisks.checks:RULES",
    rank=41,
    glance="ari",
    aliases=("ramdisk", "initrd"),
)

VOLUMES: tuple[Entry, ...] = (AKI, ARI, *TABLES, *FILESYSTEMS)
