"""VHD: footers, sizes and the rule that chooses between them, parents, what is left of a cut file."""

from __future__ import annotations

import pytest

import imgtool
from fixtures.recipes.vhd import ALL_ONES, MAX, Disk, footer, header, sparse, summed
from tests.kit import codes, faults, fixture, no_bug, report_of

MIB = 1 << 20


def fixed(disk: Disk, content: bytes = b"") -> bytes:
    """A fixed disk of the footer's size that begins with `content`."""
    return content.ljust(disk.size, b"\0") + footer(disk._replace(data_offset=ALL_ONES))


@pytest.mark.parametrize(
    ("creator", "geometry", "virtual", "rule", "qemu"),
    [
        (b"vpc ", (30, 4, 17), 1044480, "chs", 1044480),
        (b"qemu", (30, 4, 17), 1044480, "chs", 1044480),
        (b"vpc ", MAX, MIB, "current-size", MIB),
        (b"qemu", MAX, MIB, "current-size", MIB),
        (b"vpc ", (0, 0, 0), MIB, "current-size", 0),
        (b"win ", (30, 4, 17), MIB, "current-size", MIB),
        (b"qem2", (30, 4, 17), MIB, "current-size", MIB),
        (b"d2v ", (30, 4, 17), MIB, "current-size", MIB),
        (b"CTXS", (30, 4, 17), MIB, "current-size", MIB),
        (b"tap\0", (30, 4, 17), MIB, "current-size", MIB),
        (b"vbox", (30, 4, 17), MIB, "current-size", 1044480),
        (b"wa\0\0", (30, 4, 17), MIB, "current-size", 1044480),
        (b"abcd", (30, 4, 17), MIB, "current-size", 1044480),
        (b"abcd", MAX, MIB, "current-size", MIB),
    ],
)
def test_the_creator_decides_which_size_holds(
    creator: bytes, geometry: tuple[int, int, int], virtual: int, rule: str, qemu: int
) -> None:
    """`vpc ` and `qemu` mean the geometry, unless it is at its maximum or nothing; others the current size."""
    report = report_of(sparse(Disk(3, MIB, creator, geometry)))
    assert (report.virtual_size, report.details.size_rule) == (virtual, rule)
    assert report.details.qemu_size == qemu
    assert report.details.current_size == MIB


@pytest.mark.parametrize(
    ("creator", "geometry", "code"),
    [
        (b"win ", (30, 4, 17), "VHD501"),
        (b"vbox", (30, 4, 17), "VHD502"),
        (b"vpc ", (30, 4, 17), "VHD502"),
        (b"vbox", MAX, None),
        (b"vpc ", (31, 4, 17), "VHD502"),
    ],
)
def test_sizes_that_differ(creator: bytes, geometry: tuple[int, int, int], code: str | None) -> None:
    """A note where all readers agree on the current size, a warning where some would take the geometry."""
    found = codes(report_of(sparse(Disk(3, MIB, creator, geometry))))
    assert found & {"VHD501", "VHD502"} == ({code} if code else set())


def test_sizes_are_right_to_the_byte() -> None:
    """A current size that is no whole sector is told as it is, and IMG008 says so."""
    report = report_of(sparse(Disk(3, MIB + 1, b"win ", MAX)))
    assert report.virtual_size == MIB + 1
    assert "IMG008" in codes(report)


@pytest.mark.parametrize("size", [512, 511])
def test_footer_of_either_size(size: int) -> None:
    """A fixed disk's footer has 512 bytes, or 511 where an old program wrote it."""
    disk = Disk(2, 34816, b"vpc ", (1, 4, 17), ALL_ONES)
    report = report_of(bytes(34816) + footer(disk)[:size])
    assert (report.format, report.virtual_size) == ("vhd", 34816)
    assert (report.details.footer_offset, report.details.footer_size) == (34816, size)
    assert faults(report) == set()


def test_checksum_of_511_bytes() -> None:
    """A footer of 511 bytes is summed over 511 bytes."""
    data = bytearray(fixture("vhd/fixed-footer-511.vhd.gz"))
    data[-1] ^= 1
    assert "VHD301" in codes(report_of(bytes(data)))


def test_a_fixed_disk_may_begin_with_anything() -> None:
    """The footer alone tells: the format is vhd, its bytes are the guest's from 0 up to the footer."""
    disk = Disk(2, 64 * 1024, b"win ", MAX)
    for content in (b"", b"\xeb\x3c\x90" + bytes(507) + b"\x55\xaa", b"PK\x03\x04", b"\x1f\x8b\x08", b"#!/bin/sh\n"):
        report = report_of(fixed(disk, content))
        assert report.format == "vhd"
        assert report.virtual_size == 64 * 1024
        assert {"vhd", "raw"} <= {facet.name for facet in report.facets}
        assert report.details.flat == (0, 64 * 1024)


@pytest.mark.parametrize("name", ["qcow2/plain.qcow2", "vhd/dynamic.vhd"])
def test_a_fixed_disk_that_begins_like_another_format(name: str) -> None:
    """It is called what its footer says, and the other format is told as a fault."""
    content = fixture(name)
    report = report_of(fixed(Disk(2, 64 * 1024, b"win ", MAX), content))
    assert report.format == "vhd"
    assert faults(report) & {"IMG001", "VHD001"}


def test_the_guest_of_a_fixed_disk_ends_at_its_visible_size() -> None:
    """What a geometry cuts off, and the footer, are not looked into as the guest's bytes."""
    report = report_of(fixed(Disk(2, MIB, b"vpc ", (30, 4, 17))))
    assert report.details.flat == (0, 1044480)


def test_a_fixed_disk_that_is_too_short() -> None:
    """The size is the footer's; the bytes that are there end where the footer begins."""
    disk = Disk(2, 4096, b"win ", MAX, ALL_ONES)
    report = report_of(bytes(2048) + footer(disk))
    assert report.virtual_size == 4096
    assert report.details.flat == (0, 2048)
    assert "VHD006" in faults(report)


def test_the_sound_footer_is_believed() -> None:
    """Where the checksum of the trailing footer is wrong and the copy's right, the facts are the copy's."""
    data = bytearray(sparse(Disk(3, MIB, b"win ", MAX)))
    data[-512 + 48 : -512 + 56] = bytes(8)
    report = report_of(bytes(data))
    assert report.virtual_size == MIB
    assert report.details.footer_offset == 0
    assert {"VHD001", "VHD301"} <= faults(report)


def test_a_disagreement_names_its_fields() -> None:
    """The fields in which footer and copy differ stand in the message."""
    first, second = Disk(3, MIB, b"win ", MAX), Disk(3, MIB, b"win ", (30, 4, 17))
    data = footer(first) + header(1, 1536) + b"\xff" * 512 + footer(second)
    finding = next(one for one in report_of(data).findings if one.code == "VHD001")
    assert finding.message.endswith("differ in cylinders, heads, sectors, checksum")


def test_a_fixed_disk_with_its_only_footer_in_front() -> None:
    """Type 2 has its footer at the end: one at 0 alone is an error, and no place of data is claimed."""
    report = report_of(footer(Disk(2, MIB, b"win ", MAX, ALL_ONES)) + bytes(MIB))
    assert [one.severity for one in report.findings if one.code == "VHD003"] == ["error"]
    assert report.details.flat is None


def test_times_and_versions() -> None:
    """Seconds count from 2000-01-01; the version is two halves."""
    facts = report_of(fixture("vhd/differencing.vhd")).details
    assert facts.created == "2007-01-01T00:00:00Z"
    assert facts.parent_time == "2007-01-01T00:00:01Z"
    assert facts.creator_version == "10.0"
    assert facts.unique_id == "01020304-0506-0708-090a-0b0c0d0e0f10"
    assert facts.creator_host_os == "windows"


def test_the_largest_time() -> None:
    """32 bits of seconds end in 2136."""
    data = bytearray(footer(Disk(2, 0, b"win ", MAX, ALL_ONES)))
    data[24:28] = b"\xff" * 4
    facts = report_of(bytes(512) + summed(bytes(data), 64)).details
    assert facts.created == "2136-02-07T06:28:15Z"


def test_every_name_of_a_parent_is_a_reference() -> None:
    """The parent name (UTF-16, big-endian) and each locator in its own encoding, with their places."""
    report = report_of(fixture("vhd/differencing.vhd"))
    assert report.details.subformat == "differencing"
    assert [(one.kind, one.value, one.offset) for one in report.references] == [
        ("parent", "base.vhd", 576),
        ("parent", ".\\base.vhd", 2048),
        ("parent", "C:\\Disks\\base.vhd", 2560),
        ("parent", "file://localhost/Disks/base.vhd", 3072),
        ("parent", "0000000000a80002", 3584),
    ]
    assert [one.platform for one in report.details.parent_locators] == ["W2ru", "W2ku", "MacX", "Mac "]


def test_a_locator_of_no_known_platform_is_a_reference_too() -> None:
    """Its bytes are shown as text, for a reader may know the platform."""
    entry = b"Lnux" + (512).to_bytes(4, "big") + (6).to_bytes(4, "big") + bytes(4) + (2048).to_bytes(8, "big")
    disk = Disk(4, MIB, b"win ", MAX)
    data = footer(disk) + header(1, 1536, locators=entry) + b"\xff" * 512 + b"/a.vhd".ljust(512, b"\0") + footer(disk)
    report = report_of(data)
    assert [(one.platform, one.value) for one in report.details.parent_locators] == [("unknown-0x4c6e7578", "/a.vhd")]
    assert {"IMG101", "IMG102"} <= faults(report)


def test_a_differencing_disk_always_has_a_reference() -> None:
    """Type 4 depends on another file even where it does not name it."""
    report = report_of(sparse(Disk(4, MIB, b"win ", MAX)))
    assert [(one.kind, one.value) for one in report.references] == [("parent", "")]


def test_locators_meet_their_cap_before_they_are_read() -> None:
    """Eight locators of 4 GiB each: over the cap, nothing is read, the header's facts are there."""
    report = report_of(fixture("vhd/hostile-locators-huge.vhd"))
    no_bug(report)
    assert report.virtual_size == MIB
    assert sum(one.code == "IMG201" for one in report.findings) == 8


@pytest.mark.parametrize("cut", [0, 8, 511, 512, 513, 1535, 1536, 1537, 2047])
def test_cut_dynamic_disk(cut: int) -> None:
    """Cut at any structure, a dynamic disk stays a VHD of its size, and something is said."""
    data = fixture("vhd/dynamic-exact.vhd")[:cut]
    report = report_of(data)
    no_bug(report)
    if not data:
        assert codes(report) == {"IMG005"}
        return
    assert report.format == "vhd"
    assert faults(report) & {"IMG002", "IMG004", "VHD003", "VHD010"}
    if cut >= 512:
        assert report.virtual_size == MIB


@pytest.mark.parametrize("cut", [1, 1024, 1025, 1534])
def test_cut_fixed_disk_leaves_no_trace(cut: int) -> None:
    """Without its footer a fixed disk is raw bytes: nothing in them tells otherwise."""
    report = report_of(fixture("vhd/fixed-exact.vhd")[:cut])
    assert (report.format, report.virtual_size) == ("raw", cut)


def test_fields_of_every_structure() -> None:
    """`--fields` shows footer, copy, dynamic header and each locator entry."""
    report = report_of(fixture("vhd/differencing.vhd"), structures=True)
    assert [(one.name, one.offset, one.length) for one in report.structures] == [
        ("copy of the footer", 0, 512),
        ("dynamic disk header", 512, 1024),
        ("parent locator entry 1", 1088, 24),
        ("parent locator entry 2", 1112, 24),
        ("parent locator entry 3", 1136, 24),
        ("parent locator entry 4", 1160, 24),
        ("footer", 4096, 512),
    ]
    told = {field.name: field.meaning for field in report.structures[0].fields}
    assert told["disk_type"] == "differencing"
    assert told["creator_application"] == "Windows (Hyper-V, Disk Management)"


@pytest.mark.parametrize("name", ["dynamic", "fixed-exact", "windows"])
def test_what_tools_write_has_no_faults(name: str) -> None:
    """Images of real tools, and ones laid out like them, raise neither error nor warning."""
    report: imgtool.Report = report_of(fixture(f"vhd/{name}.vhd"))
    assert faults(report) == set()
    assert report.disk_formats == ("vhd",)


def wrapped(guest: bytes) -> bytes:
    """A fixed disk of these guest bytes, padded to whole sectors."""
    size = -(-len(guest) // 512) * 512
    return guest.ljust(size, b"\0") + footer(Disk(2, size, b"win ", (65535, 16, 255), 0xFFFFFFFFFFFFFFFF))


@pytest.mark.parametrize(
    "name", ["luks/luks1.luks.gz", "luks/luks2.luks.gz", "iso/plain.iso.gz", "iso/isohybrid.iso.gz"]
)
def test_encrypted_and_optical_disks_may_be_inside(name: str) -> None:
    """A fixed disk whose guest's bytes are LUKS or an ISO image is what it is: these bytes read alike either way."""
    report = report_of(wrapped(fixture(name)))
    no_bug(report)
    assert report.format == "vhd"
    assert faults(report) == set()


@pytest.mark.parametrize(
    "name", ["qcow2/plain.qcow2", "vdi/dynamic.vdi", "compressed/named.gzip", "vhdx/dynamic.vhdx.gz"]
)
def test_no_other_format_may_be_inside(name: str) -> None:
    """Another format there maps the bytes anew: what one program inspects another does not boot."""
    report = report_of(wrapped(fixture(name)))
    no_bug(report)
    assert report.format == "vhd"
    assert "IMG001" in faults(report)


def test_only_a_mark_behind_the_bytes_is_no_second_format() -> None:
    """A LUKS header in front of an ISO image's descriptors stays two things at once."""
    data = bytearray(fixture("iso/plain.iso.gz"))
    head = fixture("luks/luks1.luks.gz")[:1024]
    data[: len(head)] = head
    assert "IMG001" in faults(report_of(bytes(data)))
    assert "IMG001" in faults(report_of(wrapped(bytes(data))))


def test_blank_text_inside_is_no_descriptor() -> None:
    """A guest's disk of tabs, behind which a descriptor might come, has no mark of an image."""
    assert faults(report_of(wrapped(b"\t" * (1 << 20)))) == set()
