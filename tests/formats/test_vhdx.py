"""VHDX: which header and table hold, what the metadata says, parents, the log, what is left of a cut file."""

from __future__ import annotations

import io
import struct

import pytest

import imgtool
from fixtures.recipes.vhdx import (
    BAT,
    LOCATOR,
    LOG,
    METADATA,
    MIB,
    Change,
    Item,
    Region,
    disk,
    header,
    hostile_regions,
    items,
    locator,
    log_entry,
    log_of,
    metadata,
    regions,
)
from imgtool.inspection.deep import check
from imgtool.limits import DEFAULT
from tests.kit import codes, faults, fixture, no_bug, report_of
from tests.test_golden import stream_of

KIB = 1 << 10
TIB = 1 << 40
PLAIN = disk(items(64 * MIB, 2 * MIB))


def changed(*edits: tuple[int, bytes], base: bytes = PLAIN) -> bytes:
    """An image with bytes replaced."""
    data = bytearray(base)
    for at, raw in edits:
        data[at : at + len(raw)] = raw
    return bytes(data)


def test_facts_of_a_plain_disk() -> None:
    """Sizes, ids and the creator, as they were written."""
    report = report_of(PLAIN)
    facts = report.details
    assert (report.format, report.disk_formats) == ("vhdx", ("vhdx",))
    assert report.virtual_size == 64 * MIB
    assert (facts.subformat, facts.block_size) == ("dynamic", 2 * MIB)
    assert (facts.logical_sector_size, facts.physical_sector_size) == (512, 4096)
    assert facts.virtual_disk_id == "33333333-0000-4000-8000-000000000003"
    assert facts.data_write_guid == "22222222-0000-4000-8000-000000000002"
    assert facts.creator == "imgtool fixture"
    assert (facts.dirty, facts.log_guid, facts.log_entry) == (False, None, None)
    assert faults(report) == set()


@pytest.mark.parametrize(
    ("first", "second", "active", "expected"),
    [
        (header(7), header(8), 2, set()),
        (header(9), header(8), 1, set()),
        (header(7), header(7), 1, set()),
        (header(7), header(7, LOG), 1, {"VHX004"}),
        (header(7), bytes(4096), 1, {"VHX003"}),
        (bytes(4096), header(7), 2, {"VHX003"}),
        (header(9)[:8] + b"\0" + header(9)[9:], header(8), 2, {"VHX003"}),
        (bytes(4096), bytes(4096), None, {"VHX002", "IMG004"}),
    ],
)
def test_the_sound_header_with_the_highest_sequence_holds(
    first: bytes, second: bytes, active: int | None, expected: set[str]
) -> None:
    """Equal sequence numbers are fine where the headers are equal (Disk2vhd writes such)."""
    report = report_of(changed((64 * KIB, first), (128 * KIB, second)))
    assert report.details.active_header == active
    assert faults(report) == expected
    assert report.virtual_size == 64 * MIB


def test_the_second_region_table_helps_out() -> None:
    """Where the first table is damaged the other one is read, wherever it says the metadata is."""
    moved = regions([Region(BAT, 2 * MIB), Region(METADATA, 3 * MIB)])
    table = PLAIN[2 * MIB : 3 * MIB]
    data = changed((192 * KIB, b"XXXX"), (256 * KIB, moved), (2 * MIB, bytes(MIB)), (3 * MIB, table))
    report = report_of(data)
    assert report.details.region_table == 2
    assert report.virtual_size == 64 * MIB
    assert faults(report) == {"VHX012"}


def test_a_gone_identifier_is_a_broken_vhdx() -> None:
    """The header at 64 KiB tells by its checksum what the file is."""
    report = report_of(changed((0, bytes(8))))
    assert (report.format, report.broken, report.virtual_size) == ("vhdx", True, 64 * MIB)
    assert {"VHX001", "IMG004"} <= faults(report)


def test_the_word_head_at_64_kib_is_no_vhdx() -> None:
    """Without a right checksum the four letters mean nothing."""
    report = report_of(bytes(64 * KIB) + b"head" + bytes(8 * KIB))
    assert report.format == "raw"


def test_regions_that_tools_leave_optional() -> None:
    """QEMU does not mark BAT and metadata as required: that is no fault."""
    lines = [Region(BAT, 3 * MIB, required=0), Region(METADATA, 2 * MIB, required=0)]
    assert faults(report_of(disk(items(MIB), lines))) == set()


def test_a_region_that_lies_inside_another() -> None:
    """An overlap is found though a third region lies between the two in the order of the file."""
    lines = [
        Region(METADATA, 2 * MIB, 8 * MIB),
        Region(BAT, 3 * MIB),
        Region("99999999-0000-4000-8000-000000000009", 5 * MIB, required=0),
    ]
    report = report_of(disk(items(MIB), lines) + bytes(8 * MIB))
    assert sum(one.code == "VHX018" for one in report.findings) == 2


@pytest.mark.parametrize(
    ("size", "block", "flags", "sectors", "entries"),
    [
        (64 * MIB, 2 * MIB, 0, 512, 32),
        (4 << 30, MIB, 0, 512, 4096),
        ((4 << 30) + 512, MIB, 0, 512, 4098),
        (1, 256 * MIB, 0, 512, 1),
        (0, MIB, 0, 512, 0),
        (64 * MIB, 2 * MIB, 2, 512, 2049),
        (64 * MIB, 2 * MIB, 2, 4096, 16385),
    ],
)
def test_entries_of_the_block_table(size: int, block: int, flags: int, sectors: int, entries: int) -> None:
    """A sector bitmap entry stands behind each chunk of blocks ([MS-VHDX] 2.5); a child has a full set."""
    from imgtool.formats.vhdx.checks.regions import table_entries

    report = report_of(disk(items(size, block, flags, (sectors, sectors))))
    assert table_entries(report.details) == entries


@pytest.mark.parametrize("size", [0, 512, 64 * TIB, (1 << 64) - 512])
def test_virtual_size_is_the_items(size: int) -> None:
    """What the virtual disk size item says is what is told, however large."""
    report = report_of(changed((2 * MIB + 64 * KIB + 8, struct.pack("<Q", size))))
    no_bug(report)
    assert report.virtual_size == size
    assert ("VHX202" in codes(report)) == (size > 64 * TIB)


def test_fixed_and_differencing() -> None:
    """The flags of the file parameters name the kind of disk."""
    assert report_of(disk(items(MIB, flags=1))).details.subformat == "fixed"
    assert report_of(disk(items(MIB, flags=2))).details.subformat == "differencing"


def test_every_path_of_a_parent_is_a_reference() -> None:
    """Paths are references with their places; the linkage GUID names no place."""
    report = report_of(fixture("vhdx/differencing.vhdx.gz"))
    entries = report.details.parent_locator.entries
    assert [one.key for one in entries] == ["parent_linkage", "relative_path", "volume_path", "absolute_win32_path"]
    assert entries[0].value == "{83ed0ec3-24c8-49a6-a959-5e4bf1288bfb}"
    assert [(one.kind, one.value, one.format) for one in report.references] == [
        ("parent", "..\\base\\parent.vhdx", "vhdx"),
        ("parent", "\\\\?\\Volume{26a21bda-a627-11d7-9931-806e6f6e6963}\\base\\parent.vhdx", "vhdx"),
        ("parent", "\\\\?\\d:\\base\\parent.vhdx", "vhdx"),
    ]
    data = fixture("vhdx/differencing.vhdx.gz")
    for one in report.references:
        assert data[one.offset : one.offset + one.length].decode("utf-16-le") == one.value


def test_a_parent_without_a_path_is_a_reference() -> None:
    """HasParent depends on another file even where no path is given."""
    pairs = [("parent_linkage", "{83ed0ec3-24c8-49a6-a959-5e4bf1288bfb}")]
    report = report_of(disk([*items(MIB, flags=2), Item(LOCATOR, locator(pairs), 4)]))
    assert [(one.kind, one.value) for one in report.references] == [("parent", "")]


def test_a_locator_without_the_flag_is_a_reference_too() -> None:
    """A reader may follow the paths though HasParent is clear."""
    pairs = [("relative_path", "/etc/passwd")]
    report = report_of(disk([*items(MIB), Item(LOCATOR, locator(pairs), 4)]))
    assert [one.value for one in report.references] == ["/etc/passwd"]
    assert {"VHX101", "IMG101", "IMG102"} <= faults(report)


def test_a_users_item_is_not_the_systems() -> None:
    """An item with the user flag and the id of the virtual disk size does not tell the size."""
    size = "2fa54224-cd1b-4876-b211-5dbed83bf4b8"
    report = report_of(disk([Item(size, struct.pack("<Q", 5 * MIB), 1), *items(MIB)]))
    assert report.virtual_size == MIB
    assert faults(report) == set()


def test_state_of_the_log() -> None:
    """A log GUID in the active header means changes to replay; the entry at the log's start is shown."""
    facts = report_of(disk(items(64 * MIB, 2 * MIB), log=LOG, entry=log_entry())).details
    assert (facts.dirty, facts.log_guid) == (True, LOG)
    assert facts.log_entry._asdict() == {
        "offset": MIB,
        "entry_length": 4096,
        "tail": 0,
        "sequence_number": 1,
        "descriptor_count": 1,
        "log_guid": LOG,
        "flushed_file_offset": 4 * MIB,
        "last_file_offset": 4 * MIB,
    }


def test_a_log_that_begins_elsewhere() -> None:
    """The log is a ring: no entry need begin at its start. Without any the guest's bytes cannot be told."""
    data = disk(items(64 * MIB, 2 * MIB), log=LOG)
    report = report_of(data, depth=0)
    assert report.details.dirty
    assert report.details.log_entry is None
    assert (report.details.log_state, report.virtual_size) == ("damaged", 64 * MIB)
    assert report.details.log_fault == "the log has no valid sequence of entries: the file is damaged"
    assert faults(report) == {"VHX007", "VHX008"}
    assert faults(report_of(data)) == {"VHX007", "VHX008", "IMG003"}


def test_facts_are_those_after_the_log() -> None:
    """A log that makes the disk larger is replayed: its size counts, and both sizes are told. The guest's disk is
    as large."""
    data = fixture("vhdx/log-resizes.vhdx.gz")
    report = report_of(data)
    facts = report.details
    assert (report.virtual_size, report.size, facts.log_state) == (96 * MIB, len(data), "replayed")
    assert facts.log_changes == (("virtual_size", str(64 * MIB), str(96 * MIB)),)
    assert faults(report) == {"VHX007", "VHX009"}
    with imgtool.open_disk(io.BytesIO(data)) as disk_of_it:
        assert disk_of_it.size == 96 * MIB


def test_a_parent_that_only_the_log_has() -> None:
    """A log can make a disk one with a parent, or take the parent away: both are references."""
    pairs = [("parent_linkage", "{22222222-0000-4000-8000-000000000002}"), ("relative_path", ".\\hidden.vhdx")]
    plain, layered = items(64 * MIB), [*items(64 * MIB, flags=2), Item(LOCATOR, locator(pairs), 4)]
    changes = [Change(2 * MIB + at, metadata(layered).ljust(69632, b"\0")[at : at + 4096]) for at in (0, 65536)]
    added = report_of(disk(plain, log=LOG, entry=log_of(3, 0, changes)))
    assert [reference.value for reference in added.references] == [".\\hidden.vhdx"]
    assert {"IMG101", "VHX009"} <= faults(added)
    changes = [Change(2 * MIB + at, metadata(plain).ljust(69632, b"\0")[at : at + 4096]) for at in (0, 65536)]
    removed = report_of(disk(layered, log=LOG, entry=log_of(3, 0, changes)))
    assert [reference.value for reference in removed.references] == [".\\hidden.vhdx"]
    assert {"IMG101", "VHX009"} <= faults(removed)


def test_a_file_cut_after_its_log_was_written() -> None:
    """The entries say how long the file was; a shorter one is damaged."""
    entry = log_of(1, 0, [Change(3 * MIB, zeros=4096)], 5 * MIB)
    facts = report_of(disk(items(64 * MIB), log=LOG, entry=entry)).details
    assert facts.log_state == "damaged"
    assert facts.log_fault is not None
    assert facts.log_fault.startswith("the file was cut")


def test_a_log_that_breaks_the_disk() -> None:
    """What is no VHDX any more once its log is replayed is damaged; the facts are those before."""
    entry = log_of(1, 0, [Change(2 * MIB, zeros=4096)])
    facts = report_of(disk(items(64 * MIB), log=LOG, entry=entry)).details
    assert (facts.log_state, facts.virtual_size, facts.broken) == ("damaged", 64 * MIB, False)
    assert facts.log_fault is not None
    assert facts.log_fault.startswith("broken once it is replayed")


def test_a_log_over_the_glance() -> None:
    """Inspecting replays logs up to its cap; the deep check those up to a larger one."""
    data = fixture("vhdx/log-resizes.vhdx.gz")
    report = report_of(data, limits=DEFAULT._replace(vhdx_log_glance=MIB - 1))
    assert (report.details.log_state, report.virtual_size) == ("not-replayed", 64 * MIB)
    assert report.details.log_fault == f"the log has {MIB} bytes, at most {MIB - 1} are replayed"
    assert faults(report) == {"VHX007"}
    totals = check(io.BytesIO(data), limits=DEFAULT._replace(vhdx_log_glance=MIB - 1)).totals
    assert totals is not None
    assert totals.total_clusters == 48


def test_hostile_region_table() -> None:
    """2,047 required regions at one place: a few findings of each kind, and the others are not crowded out."""
    report = report_of(hostile_regions())
    no_bug(report)
    assert report.virtual_size == 8 * MIB
    assert len(report.details.regions) == 2047
    assert codes(report) == {"VHX014", "VHX018"}
    assert len(report.findings) == 32


def test_hostile_parent_locator() -> None:
    """65,535 keys of 128 KiB each: the first, which is small, is read; at the cap reading ends."""
    report = report_of(fixture("vhdx/hostile-locator-keys.vhdx.gz"))
    no_bug(report)
    assert len(report.details.parent_locator.entries) == 1
    assert "IMG201" in codes(report)


CUTS = (
    *(8, 519, 520, 64 * KIB, 64 * KIB + 79, 68 * KIB, 128 * KIB, 132 * KIB, 192 * KIB, 256 * KIB - 1, 320 * KIB),
    *(MIB, 2 * MIB, 2 * MIB + 31, 2 * MIB + 32, 2 * MIB + 100, 2 * MIB + 192, 2 * MIB + 64 * KIB),
    *(2 * MIB + 64 * KIB + 8, 2 * MIB + 64 * KIB + 16, 2 * MIB + 64 * KIB + 39, 3 * MIB, 3 * MIB + 255),
)


@pytest.mark.parametrize("cut", CUTS)
def test_cut_disk(cut: int) -> None:
    """Cut at any structure it stays a VHDX, an error is told, and the size is told once its item is there."""
    report = report_of(PLAIN[:cut])
    no_bug(report)
    assert report.format == "vhdx"
    assert faults(report) & {"IMG002", "IMG004", "VHX019"}
    if cut >= 2 * MIB + 64 * KIB + 16:
        assert report.virtual_size == 64 * MIB


def test_a_file_may_end_inside_its_last_table() -> None:
    """The part of the BAT that no entry uses need not be there."""
    assert faults(report_of(PLAIN[: 3 * MIB + 32 * 8])) == set()


def test_fields_of_every_structure() -> None:
    """`--fields` shows identifier, headers, tables, their entries and the items."""
    report = report_of(PLAIN, structures=True)
    names = [one.name for one in report.structures]
    assert names[:5] == ["file type identifier", "header 1", "header 2", "region table 1", "region table entry"]
    assert "virtual disk size" in names
    told = {field.name: field.meaning for field in report.structures[4].fields}
    assert told["guid"] == f"{BAT} (BAT)"
    assert told["required"] == "required"


def test_metadata_behind_a_large_log_comes_through_a_pipe() -> None:
    """A stream is read once; the metadata behind a log of 32 MiB is kept when it comes by."""

    lines = [Region(BAT, 35 * MIB), Region(METADATA, 34 * MIB)]
    table, data = regions(lines), bytearray(36 * MIB)
    data[: 2 * MIB] = PLAIN[: 2 * MIB]
    for at in (192 * KIB, 256 * KIB):
        data[at : at + len(table)] = table
    data[34 * MIB : 35 * MIB] = PLAIN[2 * MIB : 3 * MIB]
    report = imgtool.inspect(stream_of(bytes(data)), checksums=())
    assert report.streamed
    assert report.virtual_size == 64 * MIB
    assert faults(report) == set()
