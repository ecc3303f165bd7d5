"""File systems by their superblocks: kind, size, label, UUID, block size; against values that were asked for."""

from __future__ import annotations

import struct

import pytest

from imgtool.model.volumes import FileSystem
from tests.kit import codes, faults, fixture, no_bug, report_of

K, M = 1024, 1024 * 1024
UUID = "11111111-2222-4333-8444-555555555555"
SPEC_UUID = "01234567-89ab-4cde-8f01-23456789abcd"


def at_start(data: bytes) -> FileSystem:
    """The one file system at the start of the bytes."""
    report = report_of(data)
    no_bug(report)
    assert report.volumes is not None
    (system,) = report.volumes.filesystems
    assert system.offset == 0
    return system


@pytest.mark.parametrize(
    ("name", "kind", "size", "label", "uuid", "block"),
    [
        ("ext2", "ext2", 256 * K, "zwei ✓", UUID, 1024),
        ("ext3", "ext3", 2 * M, "three", UUID, 1024),
        ("ext4", "ext4", 512 * K, "four", UUID, 1024),
        ("fat12", "fat12", 256 * K, "TWELVE", "1234-5678", 2048),
        ("fat16", "fat16", 8 * M, "SIXTEEN", "1234-5678", 512),
        ("fat32", "fat32", 34 * M, "THIRTYTWO", "1234-5678", 512),
        ("swap", "swap", 64 * K, "swaplabel", UUID, 4096),
        ("swap-64k", "swap", M, "swaplabel", UUID, 65536),
        ("erofs", "erofs", 4096, None, UUID, 4096),
        ("minix", "minix", 128 * K, None, None, 1024),
        ("cramfs", "cramfs", 4096, "cram label", None, None),
    ],
)
def test_whole(name: str, kind: str, size: int, label: str | None, uuid: str | None, block: int | None) -> None:
    """A file system that takes the whole file."""
    system = at_start(fixture(f"volumes/{name}.raw.gz"))
    assert (system.kind, system.size, system.label) == (kind, size, label)
    assert (system.uuid, system.block_size) == (uuid, block)


@pytest.mark.parametrize(
    ("name", "kind", "size", "label", "block"),
    [
        ("head-of-xfs", "xfs", 320 * M, "xlabel", 4096),
        ("head-of-btrfs", "btrfs", 128 * M, "blabel ✓", 4096),
        ("head-of-f2fs", "f2fs", 64 * M, "flabel ✓", 4096),
        ("head-of-ntfs", "ntfs", 2 * M - 512, "nt label ä", 4096),
    ],
)
def test_cut(name: str, kind: str, size: int, label: str, block: int) -> None:
    """The size is the superblock's also where the file is shorter, and a warning says so."""
    data = fixture(f"volumes/{name}.raw.gz")
    system = at_start(data)
    assert (system.kind, system.size, system.label, system.block_size) == (kind, size, label, block)
    assert faults(report_of(data)) == {"PRT060"}


def test_superblocks_from_their_specifications() -> None:
    """Each partition of the collection is the file system that its name says."""
    report = report_of(fixture("volumes/zoo.raw.gz"))
    assert report.volumes is not None
    told = {}
    for partition in report.volumes.tables[0].partitions:
        assert partition.filesystem is not None
        assert partition.filesystem.kind == partition.name
        told[partition.name] = (partition.filesystem.label, partition.filesystem.uuid, partition.filesystem.size)
    assert told == {
        "reiserfs": ("reiser label", SPEC_UUID, 200 * K),
        "jfs": ("jfs label", SPEC_UUID, 128 * K),
        "nilfs2": ("nilfs label", SPEC_UUID, 128 * K),
        "bcachefs": ("bcachefs label", SPEC_UUID, None),
        "apfs": (None, SPEC_UUID, 128 * K),
        "hfs+": ("hfs+ ✓", "de53349f-21ad-3c08-9044-ae10cd9587d3", 128 * K),
        "hfs": ("hfs ä", "af23c93b-cf2d-3cba-9606-1ce1f8ad21b3", 100 * 512 + 5 * 512),
        "lvm2": (None, "abcdef-GHIJ-KLmn-opqr-stUV-WXYZ-012345", 128 * K),
        "zfs": ("zfspool", "1234567890123456789", None),
        "mdraid": ("host:raid name", SPEC_UUID, 200 * 512),
        "iso9660": ("ISO LABEL", "2024-06-07-08-09-10-11", 128 * K),
        "bitlocker": (None, None, None),
    }


def test_machine_image() -> None:
    """A Linux file system without a partition table is usable as ami; one of another kind is not."""
    assert report_of(fixture("volumes/ext4.raw.gz")).disk_formats == ("raw", "ami")
    assert report_of(fixture("volumes/head-of-xfs.raw.gz")).disk_formats == ("raw", "ami")
    assert report_of(fixture("volumes/fat16.raw.gz")).disk_formats == ("raw",)
    assert report_of(fixture("volumes/gpt.raw.gz")).disk_formats == ("raw",)
    assert report_of(fixture("volumes/ext2.raw.gz")).label == "zwei ✓"


def test_fat_by_its_clusters() -> None:
    """4,084 clusters are FAT12 and 4,085 are FAT16, 65,524 are FAT16 still."""
    for clusters, kind in ((4084, "fat12"), (4085, "fat16"), (65524, "fat16")):
        assert at_start(fat(clusters)).kind == kind
    assert report_of(fat(65525)).volumes == report_of(bytes(512)).volumes


def fat(clusters: int) -> bytes:
    """A FAT boot sector of so many clusters of one sector each, followed by an empty root directory."""
    total = 1 + 2 * 256 + 1 + clusters
    bpb = struct.pack("<HBHBHHBHHHII", 512, 1, 1, 2, 16, 0, 0xF8, 256, 63, 255, 0, total)
    tail = struct.pack("<BBBI11s8s", 0x80, 0, 0x29, 0x12345678, b"NO NAME", b"FAT")
    return (b"\xeb\x3c\x90MSDOS5.0" + bpb + tail).ljust(510, b"\0") + b"\x55\xaa" + bytes(1024 * 512)


def test_a_label_of_the_boot_sector_is_not_the_volumes() -> None:
    """The label is the root directory's entry; the boot sector's copy counts only where that cannot be read."""
    assert at_start(fat(5000)).label is None
    named = fat(5000).replace(b"NO NAME\0\0\0\0", b"BOOT NAME  ")
    assert at_start(named).label is None
    report = report_of(named[:512])
    assert report.volumes is not None
    assert report.volumes.filesystems[0].label == "BOOT NAME"
    assert "IMG002" in codes(report)


def test_every_checksum_is_checked() -> None:
    """One changed byte of a superblock that carries a checksum is found."""
    for name, at in (("ext4", 1024 + 120), ("head-of-xfs", 108), ("head-of-btrfs", 65536 + 299), ("erofs", 1072)):
        data = bytearray(fixture(f"volumes/{name}.raw.gz"))
        data[at] ^= 0x20
        assert "PRT360" in codes(report_of(bytes(data))), name
        assert "PRT360" not in codes(report_of(fixture(f"volumes/{name}.raw.gz"))), name


def test_magic_without_sense_is_nothing() -> None:
    """Marks of two bytes count only where the numbers around them make sense."""
    for at, mark in ((1080, b"\x53\xef"), (1030, b"\x34\x34"), (1040, b"\x7f\x13"), (1024, b"BD")):
        data = bytearray(b"\xa5" * 8192)
        data[at : at + 2] = mark
        report = report_of(bytes(data))
        assert report.volumes is not None
        assert report.volumes.filesystems == (), mark


def test_a_name_that_is_not_utf8_is_kept() -> None:
    """A label's bytes survive in the JSON."""
    data = bytearray(fixture("volumes/ext2.raw.gz"))
    data[1024 + 120 : 1024 + 123] = b"\xff\xfe\0"
    told = report_of(bytes(data)).to_dict()
    assert told["label_b64"] == "//4="
