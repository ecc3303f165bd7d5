"""iso: facts known from the specifications and the programs that made the fixtures."""

from __future__ import annotations

import struct
from binascii import crc_hqx

import pytest

import imgtool
from imgtool.formats.iso.facts import IsoFacts
from imgtool.formats.iso.texts import decimal_date, dstring, padded, timestamp, wide
from tests.kit import check_of, codes, deep_codes, fixture, no_bug, report_of

PRIMARY = 32768


def facts_of(data: bytes) -> IsoFacts:
    """The facts of an image, headers only."""
    report = report_of(data, depth=0)
    no_bug(report)
    assert isinstance(report.details, IsoFacts)
    return report.details


def minimal(**changes: bytes) -> bytes:
    """A primary descriptor, a terminator and an empty root directory, built after ECMA-119 by hand."""
    root = bytes([34, 0]) + struct.pack("<I", 18) + struct.pack(">I", 18)
    root += struct.pack("<I", 2048) + struct.pack(">I", 2048) + bytes(7) + b"\x02\0\0\x01\0\0\x01\x01\0"
    body = bytearray(2048)
    body[0:8] = b"\x01CD001\x01\0"
    body[8:40] = b"SYSTEM".ljust(32)
    body[40:72] = changes.get("volume", b"VOLUME").ljust(32)
    body[80:88] = struct.pack("<I", 19) + struct.pack(">I", 19)
    body[120:132] = b"\x01\0\0\x01" * 2 + b"\0\x08\x08\0"
    body[156:190] = root
    body[813:830] = changes.get("created", b"2024022923595950\x04")
    body[881] = 1
    system = changes.get("system", b"").ljust(PRIMARY, b"\0")
    return system + bytes(body) + b"\xffCD001\x01".ljust(2048, b"\0") + root.ljust(2048, b"\0")


def test_minimal_image() -> None:
    """An image of one sector of content: everything from its descriptor, nothing found wrong."""
    data = minimal()
    report = report_of(data, depth=0)
    facts = facts_of(data)
    assert (report.format, report.container_format, report.disk_formats) == ("iso", "bare", ("iso",))
    assert report.virtual_size == report.size == facts.volume_size == 19 * 2048
    assert (facts.volume_id, facts.system_id, report.label) == ("VOLUME", "SYSTEM", "VOLUME")
    assert facts.creation_date == "2024-02-29T22:59:59.500000Z"
    assert not report.findings


def test_identifiers_of_the_descriptor() -> None:
    """The identifiers that the program was given."""
    facts = facts_of(fixture("iso/joliet-rock-ridge.iso.gz"))
    assert facts.kind == "iso9660"
    assert (facts.volume_id, facts.volume_set_id) == ("TEST_VOLUME", "the set")
    assert (facts.publisher_id, facts.preparer_id) == ("the publisher", "the preparer")
    assert (facts.application_id, facts.system_id) == ("the application", "LINUX")


def test_joliet_and_rock_ridge() -> None:
    """Joliet level 3 with its volume name in UCS-2; Rock Ridge by the name in its ER entry."""
    facts = facts_of(fixture("iso/joliet-rock-ridge.iso.gz"))
    assert facts.joliet == 3
    assert [(entry.kind, entry.volume_id) for entry in facts.supplementary] == [("joliet", "TEST_VOLUME")]
    assert facts.rock_ridge is not None
    assert facts.rock_ridge.extensions == ("RRIP_1991A",)


def test_el_torito_entries() -> None:
    """A BIOS entry of 4 sectors and a UEFI entry of the whole image, in the order they were asked for."""
    boot = facts_of(fixture("iso/el-torito.iso.gz")).el_torito
    assert boot is not None
    assert (boot.descriptor_offset, boot.header_id, boot.key, boot.sum) == (17 * 2048, 1, "55aa", 0)
    assert [(entry.platform, entry.media, entry.sector_count) for entry in boot.entries] == [
        ("bios", "no-emulation", 4),
        ("uefi", "no-emulation", 16),
    ]
    data = fixture("iso/el-torito.iso.gz")
    assert [data[entry.offset : entry.offset + 2] for entry in boot.entries] == [b"\xeb\xfe", b"\xeb\x3c"]


def test_isohybrid() -> None:
    """MBR, GPT and Apple map in the system area explain all of its bytes."""
    facts = facts_of(fixture("iso/isohybrid.iso.gz"))
    assert facts.system_area.contents == ("mbr", "boot-code", "gpt", "apm")
    assert facts.system_area.isohybrid == "isolinux"
    assert facts.system_area.unknown_at is None


def test_udf_bridge_has_both() -> None:
    """ISO 9660 and UDF 1.02 in one image; the volume's size is ISO 9660's."""
    facts = facts_of(fixture("iso/udf-bridge.iso.gz"))
    assert facts.kind == "iso9660+udf"
    assert facts.udf is not None
    assert (facts.udf.revision, facts.udf.recognition) == ("1.02", ("BEA01", "NSR02", "TEA01"))
    assert facts.udf.anchors[0] == 256 * 2048


@pytest.mark.parametrize("block", [2048, 4096])
def test_udf_alone(block: int) -> None:
    """A volume by mkudffs is an iso; its recognition sequence steps by 4,096 where the blocks do."""
    data = fixture(f"iso/udf-{block}.udf.gz")
    report, facts = report_of(data, depth=0), facts_of(data)
    assert (report.format, report.disk_formats, report.label) == ("iso", ("iso",), "TEST UDF")
    assert report.virtual_size == len(data)
    assert facts.udf is not None
    assert (facts.kind, facts.udf.block_size, facts.udf.step) == ("udf", block, block)
    assert facts.udf.anchors[0] == 256 * block
    assert (facts.udf.revision, facts.udf.volume_set_id) == ("2.01", "0123456789abcdefLinuxUDF")
    assert not report.findings


def test_udf_anchor_at_the_end_is_enough() -> None:
    """With the anchor at block 256 gone, the one in the last block is found."""
    data = bytearray(fixture("iso/udf-2048.udf.gz"))
    data[524288:524800] = bytes(512)
    facts = facts_of(bytes(data))
    assert facts.udf is not None
    assert facts.udf.anchors == (len(data) - 2048,)
    assert facts.udf.logical_volume_id == "TEST UDF"


def test_udf_reserve_sequence_is_read() -> None:
    """With the main sequence gone, the reserve tells the volume."""
    data = bytearray(fixture("iso/udf-2048.udf.gz"))
    length, location = struct.unpack_from("<II", data, 524288 + 16)
    data[location * 2048 : location * 2048 + length] = bytes(length)
    facts = facts_of(bytes(data))
    assert facts.udf is not None
    assert facts.udf.logical_volume_id == "TEST UDF"


def test_byte_orders_are_compared() -> None:
    """Both values are told where they differ; the little-endian one is used."""
    data = bytearray(minimal())
    data[PRIMARY + 84 : PRIMARY + 88] = struct.pack(">I", 20)
    report = report_of(bytes(data), depth=0)
    assert [finding.message for finding in report.findings] == [
        "volume_space_size is 19 little-endian and 20 big-endian"
    ]


def test_truncations_are_never_raw() -> None:
    """Cut anywhere behind the first mark, the image is a broken iso or a truncated one; before it no trace."""
    for name in ("iso/plain.iso.gz", "iso/el-torito.iso.gz", "iso/udf-2048.udf.gz"):
        data = fixture(name)
        for cut in (32774, 32775, 33000, 34815, 34816, 34823, 36864, 36870, 38912, 40960, 67584, 67616, 67680):
            report = report_of(data[:cut], depth=0)
            no_bug(report)
            assert report.format == "iso"
            assert codes(report) & {"IMG002", "IMG004", "ISO005", "ISO041"}, cut
            assert report.virtual_size in (cut, None)
        assert report_of(data[:32773], depth=0).format == "raw"


def test_second_descriptor_is_a_trace() -> None:
    """An image whose first descriptor is gone is a broken iso, not raw."""
    data = bytearray(minimal())
    data[PRIMARY : PRIMARY + 2048] = bytes(2048)
    report = report_of(bytes(data), depth=0)
    assert (report.format, report.broken) == ("iso", True)


def test_endless_descriptors_are_capped() -> None:
    """A set without an end is read up to its cap and said so."""
    primary = minimal()[PRIMARY : PRIMARY + 2048]
    report = report_of(bytes(PRIMARY) + primary * 300, depth=0)
    assert isinstance(report.details, IsoFacts)
    assert len(report.details.descriptors) == imgtool.Limits().iso_descriptors
    assert "ISO007" in codes(report)


def test_susp_loop_ends() -> None:
    """A continuation that points at itself is followed a few times only."""
    loop = b"SP\x07\x01\xbe\xef\0" + b"CE\x1c\x01" + struct.pack("<I", 18) + struct.pack(">I", 18)
    loop += struct.pack("<I", 41) + struct.pack(">I", 41) + struct.pack("<I", 28) + struct.pack(">I", 28)
    data = bytearray(minimal())
    at = 18 * 2048
    data[at] = 34 + len(loop)
    data[at + 34 : at + 34 + len(loop)] = loop
    assert facts_of(bytes(data)).rock_ridge is None


def test_polyglots_are_errors() -> None:
    """Another format's magic at 0 or 64 beside CD001."""
    for at, magic in ((0, b"QFI\xfb\0\0\0\x03"), (64, b"\x7f\x10\xda\xbe"), (0, b"KDMV\x01\0\0\0")):
        data = bytearray(minimal())
        data[at : at + len(magic)] = magic
        report = report_of(bytes(data), depth=0)
        assert "IMG001" in codes(report)
        assert "iso" in {facet.name for facet in report.facets}


def test_names_that_are_not_utf8_survive() -> None:
    """Bytes of a volume name are kept exactly."""
    facts = facts_of(minimal(volume=b"\xc4\xd6\xdc"))
    assert facts.volume_id is not None
    assert facts.volume_id.encode("utf-8", "surrogateescape") == b"\xc4\xd6\xdc"


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"0" * 16 + b"\0", (None, True)),
        (b"\0" * 17, (None, True)),
        (b" " * 16 + b"\0", (None, True)),
        (b"2020010100000000\0", ("2020-01-01T00:00:00Z", True)),
        (b"2020010100000007\xfc", ("2020-01-01T01:00:00.070000Z", True)),
        (b"2021022900000000\0", (None, False)),
        (b"2020-01-01000000\0", (None, False)),
        (b"0001010100000000\x34", (None, False)),
        (b"2020010100000000\x7f", (None, False)),
    ],
)
def test_dates(raw: bytes, told: tuple[str | None, bool]) -> None:
    """Digits and quarters of an hour as RFC 3339 in UTC (ECMA-119, 8.4.26.1)."""
    assert decimal_date(raw) == told


def test_udf_texts() -> None:
    """dstrings of both widths, their length byte out of range, timestamps with and without a zone."""
    assert dstring(b"\x08abc".ljust(31, b"\0") + b"\x04") == "abc"
    assert dstring(b"\x10\x00a\x26\x3a".ljust(31, b"\0") + b"\x05") == "a☺"
    assert dstring(b"\x08ab\xff") == "ab"
    assert dstring(bytes(32)) == ""
    when = struct.pack("<Hh8B", 0x1000 | 60, 2024, 2, 29, 12, 30, 15, 1, 2, 3)
    assert timestamp(when) == "2024-02-29T11:30:15.010203Z"
    assert timestamp(struct.pack("<Hh8B", 0x1801, 2024, 2, 29, 12, 30, 15, 0, 0, 0)) == "2024-02-29T12:30:15Z"
    assert timestamp(bytes(12)) is None
    assert (padded(b"AB  \0"), wide(b"\0A\0 ")) == ("AB", "A")


def test_tag_crc_is_the_standard_one() -> None:
    """The polynomial of ECMA-167 3/7.2.6: its own example, 70 6A 77, gives 3299."""
    assert crc_hqx(b"\x70\x6a\x77", 0) == 0x3299


def test_what_follows_the_volume_is_told_by_the_deep_check() -> None:
    """Zeros are a note, anything else a warning, be it ever so little; nothing where a partition reaches over it."""
    data = fixture("iso/plain.iso.gz")
    assert deep_codes(data) == set()
    for tail, severity in ((bytes(300 * 1024), "note"), (bytes(4096) + b"stash", "warning"), (b"QFI\xfb", "warning")):
        found = [finding for finding in check_of(data + tail).findings if finding.code == "IMG021"]
        assert [(finding.severity, finding.offset) for finding in found] == [(severity, len(data))]
    hybrid = fixture("iso/isohybrid.iso.gz")
    assert "IMG021" not in deep_codes(hybrid)
