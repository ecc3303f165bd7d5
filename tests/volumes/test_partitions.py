"""Partition tables: what is believed, what is listed, what is said of damage."""

from __future__ import annotations

import struct
from typing import Any

import imgtool
from imgtool.model.volumes import PartitionTable
from tests.kit import codes, faults, fixture, no_bug, report_of

M = 1024 * 1024
GPT = "volumes/gpt.raw.gz"
MBR = "volumes/mbr.raw.gz"


def changed(name: str, *edits: tuple[int, bytes]) -> bytes:
    """A fixture with bytes laid over it; negative offsets count from the end."""
    data = bytearray(fixture(name))
    for at, raw in edits:
        start = at if at >= 0 else len(data) + at
        data[start : start + len(raw)] = raw
    return bytes(data)


def tables(data: bytes, **options: Any) -> tuple[PartitionTable, ...]:
    """The tables that are reported."""
    report = report_of(data, **options)
    no_bug(report)
    assert report.volumes is not None
    return report.volumes.tables


def facets(report: imgtool.Report) -> list[tuple[str, int, bool]]:
    """The facets as plain tuples."""
    return [tuple(facet) for facet in report.facets]


def record(kind: int, start: int, sectors: int, flag: int = 0) -> bytes:
    """A partition record of an MBR."""
    return struct.pack("<B3sB3sII", flag, bytes(3), kind, bytes(3), start, sectors)


def with_mbr(size: int, *records: bytes) -> bytes:
    """Zeros with a master boot record."""
    table = b"".join(records).ljust(64, b"\0")
    return (bytes(446) + table + b"\x55\xaa").ljust(size, b"\0")


def test_gpt_partitions() -> None:
    """Numbers, places, types, names, GUIDs and attributes are the ones that were asked for."""
    (table,) = tables(fixture(GPT))
    assert (table.kind, table.sector_size, table.hybrid) == ("gpt", 512, False)
    assert table.id == "11111111-2222-4333-8444-555555555555"
    first, second, fourth = table.partitions
    assert (first.number, first.start, first.length) == (1, M, 512 * 1024)
    assert (first.type_name, first.name, first.flags) == ("EFI System", "EFI system", ())
    assert second.type == "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
    assert (second.name, second.flags) == ("root ✓", ("required", "read-only"))
    assert (fourth.number, fourth.uuid) == (4, "aaaaaaaa-0000-4000-8000-000000000004")
    kinds = [partition.filesystem.kind for partition in table.partitions if partition.filesystem]
    assert kinds == ["fat12", "ext4", "swap"]


def test_a_protective_mbr_is_no_table_of_its_own() -> None:
    """A GPT disk has the facet gpt, not mbr."""
    report = report_of(fixture(GPT))
    assert facets(report) == [("gpt", 512, False), ("raw", 0, False)]


def test_facets_are_the_same_without_looking_inside() -> None:
    """At depth 0 detection alone names the same tables and file systems."""
    for name in (GPT, MBR, "volumes/gpt-hybrid.raw.gz", "volumes/ext4.raw.gz", "volumes/fat16.raw.gz"):
        data = fixture(name)
        assert report_of(data, depth=0).facets == report_of(data).facets, name


def test_damaged_primary_is_told_from_the_backup() -> None:
    """With a bad checksum in the primary the backup's entries are listed, and the facet is broken."""
    report = report_of(changed(GPT, (1024 + 56, b"XX")))
    assert facets(report)[0] == ("gpt", fixture_size() - 512, True)
    assert report.volumes is not None
    assert report.volumes.tables[0].partitions[0].name == "EFI system"
    assert faults(report) == {"PRT302"}
    (finding,) = report.findings
    assert "from the backup" in finding.message


def fixture_size() -> int:
    """Bytes of the GPT fixture."""
    return len(fixture(GPT))


def test_primary_overwritten_and_backup_there() -> None:
    """A GPT whose start is gone is a broken GPT, with or without its MBR."""
    for start in (512, 0):
        data = bytearray(fixture(GPT))
        data[start : 34 * 512] = bytes(34 * 512 - start)
        report = report_of(bytes(data))
        assert facets(report)[0] == ("gpt", len(data) - 512, True)
        assert codes(report) == {"PRT001"}
        assert report_of(bytes(data), depth=0).facets[0].name == "gpt"


def test_an_old_backup_behind_a_new_filesystem_is_not_believed() -> None:
    """A disk formatted as a whole over an old GPT is the file system; the old backup is no table."""
    data = bytearray(fixture(GPT))
    data[: 34 * 512] = fixture("volumes/ext4.raw.gz")[: 34 * 512]
    report = report_of(bytes(data))
    assert report.volumes is not None
    assert report.volumes.tables == ()
    assert report.volumes.filesystems[0].kind == "ext4"
    assert "gpt" not in {facet.name for facet in report_of(bytes(data), depth=0).facets}


def test_neither_header_holds() -> None:
    """With both checksums bad what is there is listed from the primary, and the facet is broken."""
    report = report_of(changed(GPT, (528, bytes(4)), (-512 + 16, bytes(4))))
    assert facets(report)[0] == ("gpt", 512, True)
    assert report.volumes is not None
    assert len(report.volumes.tables[0].partitions) == 3


def test_4096_byte_sectors() -> None:
    """A GPT made for 4,096-byte sectors is found there, and its offsets count in them."""
    (table,) = tables(fixture("volumes/gpt-4096.raw.gz"))
    assert table.sector_size == 4096
    assert [(p.start, p.length) for p in table.partitions] == [(M, M), (2 * M, M)]
    assert table.partitions[0].filesystem is not None


def test_hybrid_tables() -> None:
    """A GPT with an MBR that has partitions of its own are two tables, both hybrid."""
    gpt, mbr = tables(fixture("volumes/gpt-hybrid.raw.gz"))
    assert (gpt.kind, gpt.hybrid, mbr.kind, mbr.hybrid) == ("gpt", True, "mbr", True)
    assert [partition.type for partition in mbr.partitions] == ["0xef", "0xee"]
    assert mbr.partitions[0].filesystem == gpt.partitions[0].filesystem


def test_mbr_with_logical_partitions() -> None:
    """Primary partitions are 1 to 4, logical ones from 5 on; UUIDs are made of the disk's signature."""
    (table,) = tables(fixture(MBR))
    assert (table.kind, table.id) == ("mbr", "0x1234abcd")
    assert [partition.number for partition in table.partitions] == [1, 2, 3, 5, 6]
    assert table.partitions[0].flags == ("boot",)
    assert table.partitions[3].uuid == "1234abcd-05"
    assert table.partitions[3].filesystem is not None
    assert table.partitions[3].filesystem.label == "LOGICAL"


def test_a_loop_of_links_ends() -> None:
    """A chain that comes back to itself is read once."""
    report = report_of(fixture("volumes/hostile-mbr-loop.raw.gz"))
    assert report.volumes is not None
    assert len(report.volumes.tables[0].partitions) == 3


def test_55aa_alone_is_no_table() -> None:
    """Four empty records, a flag that is neither 00 nor 80, or a boot sector of a file system: no table."""
    assert tables(with_mbr(M)) == ()
    assert tables(with_mbr(M, record(0x83, 1, 10, flag=0x33))) == ()
    assert tables(with_mbr(M, record(0x83, 0xFFFFFF00, 0x1000))) == ()
    fat = changed("volumes/fat16.raw.gz", (446, record(0x83, 63, 100)))
    assert tables(fat) == ()


def test_a_kernel_is_no_table() -> None:
    """A bzImage ends its first sector in 55AA as well."""
    data = bytearray(with_mbr(M, record(0x83, 1, 10)))
    data[0x202:0x208] = b"HdrS\x0f\x02"
    report = report_of(bytes(data))
    assert "mbr" not in {facet.name for facet in report.facets}


def test_records_beyond_the_file_are_listed() -> None:
    """Partitions of a file that was cut are still listed, each with a warning."""
    report = report_of(with_mbr(M, record(0x83, 2048, 2048), record(0x83, 4096, 2048)))
    assert report.volumes is not None
    assert len(report.volumes.tables[0].partitions) == 2
    assert faults(report) == {"PRT022"}


def test_mbr_of_a_4096_disk() -> None:
    """An MBR does not say how large its sectors are: where file systems begin tells it."""
    data = bytearray(with_mbr(4 * M, record(0x83, 256, 256)))
    data[M : M + 512 * 1024] = fixture("volumes/ext4.raw.gz")
    (table,) = tables(bytes(data))
    assert table.sector_size == 4096
    assert table.partitions[0].start == M
    assert table.partitions[0].filesystem is not None


def test_apple_partition_map() -> None:
    """Entries by name and type, with the file system inside."""
    (table,) = tables(fixture("volumes/apm.raw.gz"))
    assert (table.kind, table.sector_size) == ("apm", 512)
    assert [(p.type, p.name, p.start) for p in table.partitions] == [
        ("Apple_partition_map", "Apple", 512),
        ("Apple_HFS", "Macintosh HD", 32768),
        ("Apple_Free", None, 294912),
    ]
    assert table.partitions[1].filesystem is not None
    assert table.partitions[1].filesystem.label == "hfs+ ✓"


def test_more_partitions_than_are_listed() -> None:
    """The list ends at its cap, and says so."""
    (table,) = tables(crowded(1200))
    assert len(table.partitions) == 1024
    assert "IMG201" in codes(report_of(crowded(1200)))


def crowded(count: int) -> bytes:
    """A GPT of so many used entries, without right checksums."""
    guid = bytes.fromhex("af3dc60f838472478e793d69d8477de4")
    entries = b"".join(guid + struct.pack("<QQQQQ72s", n, 0, 700 + n, 700 + n, 0, b"") for n in range(count))
    fields = (b"EFI PART", 0x10000, 92, 0, 0, 1, 4095, 600, 4000, bytes(16), 2, count, 128, 0)
    return (bytes(512) + struct.pack("<8sIIIIQQQQ16sQIII", *fields).ljust(512, b"\0") + entries).ljust(2 * M, b"\0")


def test_truncated_everywhere() -> None:
    """Cut at every structure: always a report, and the table is named as long as its mark is there."""
    for name, marks in ((GPT, (513, 520, 603, 604, 1024, 1500, 17408, M, M + 2000)), (MBR, (511, 512, 600, 3 * M))):
        for cut in marks:
            report = report_of(fixture(name)[:cut])
            no_bug(report)
            names = {facet.name for facet in report.facets}
            assert report.virtual_size == cut
            assert ("gpt" in names) == (name == GPT and cut >= 520), cut
            assert ("mbr" in names) == (512 <= cut < (520 if name == GPT else len(fixture(name)))), cut


def test_boot_facts() -> None:
    """BIOS code, EFI partition, loader and architecture, as far as they can be told."""
    gpt, mbr, plain = (report_of(fixture(name)).volumes for name in (GPT, MBR, "volumes/gpt-4096.raw.gz"))
    assert gpt is not None
    assert mbr is not None
    assert plain is not None
    assert gpt.boot is not None
    assert gpt.boot._asdict() == {"bios": False, "efi": True, "loader": None, "architecture": "x86_64"}
    assert mbr.boot is not None
    assert mbr.boot._asdict() == {"bios": True, "efi": False, "loader": "grub", "architecture": None}
    assert plain.boot is not None
    assert plain.boot.efi


def test_what_formatting_writes_is_no_boot_code() -> None:
    """The message that mkfs.fat and mkntfs leave in the boot sector starts nothing."""
    for name in (
        "volumes/fat12.raw.gz",
        "volumes/fat32.raw.gz",
        "volumes/head-of-ntfs.raw.gz",
        "volumes/exfat.raw.gz",
    ):
        volumes = report_of(fixture(name)).volumes
        assert volumes is not None
        assert volumes.boot is None, name


def test_annotated_structures_have_the_offsets_of_the_whole() -> None:
    """`--fields` shows the superblock inside a partition where it lies in the file."""
    report = report_of(fixture(GPT), structures=True)
    places = {structure.name: structure.offset for structure in report.structures}
    assert places["gpt header"] == 512
    assert places["ext superblock"] == M + 512 * 1024 + 1024
    assert places["swap header"] == 2 * M + 512 * 1024 + 1024
