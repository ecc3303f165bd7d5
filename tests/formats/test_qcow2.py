"""qcow2: what the specification says, value by value; and what cut or lying headers give."""

from __future__ import annotations

import struct

import pytest

from tests.kit import codes, faults, fixture, images, no_bug, report_of

PLAIN = "qcow2/plain.qcow2"


def changed(base: str, *edits: tuple[int, bytes]) -> bytes:
    """A fixture with bytes replaced."""
    data = bytearray(fixture(base))
    for at, raw in edits:
        data[at : at + len(raw)] = raw
    return bytes(data)


def extension(kind: int, data: bytes) -> bytes:
    """A header extension as it lies in the file."""
    return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)


def test_version_2_has_no_feature_words() -> None:
    """Whatever stands at 72 in a version 2 header is not features: it is where extensions begin."""
    report = report_of(changed("qcow2/version2.qcow2", (72, extension(0xE2792ACA, b"raw"))))
    assert report.details.incompatible_features == ()
    assert report.details.header_length == 72
    assert report.details.refcount_bits == 16
    assert report.details.backing_format == "raw"
    assert faults(report) == set()


def test_version_2_ignores_bitmaps() -> None:
    """The bitmaps extension means nothing in version 2, whatever its size."""
    report = report_of(changed("qcow2/version2.qcow2", (72, extension(0x23852875, b"\xff" * 32))))
    assert report.details.bitmaps_extension is None
    assert faults(report) == set()


def test_unknown_bits_are_named_by_number() -> None:
    """Known feature bits by name, unknown ones as `unknown-N`."""
    words = struct.pack(">QQQ", 1 << 0 | 1 << 40, 1 << 0 | 1 << 7, 1 << 1 | 1 << 63)
    facts = report_of(changed(PLAIN, (72, words))).details
    assert facts.incompatible_features == ("dirty", "unknown-40")
    assert facts.compatible_features == ("lazy-refcounts", "unknown-7")
    assert facts.autoclear_features == ("raw-external-data", "unknown-63")


def test_lazy_and_dirty_is_told_once() -> None:
    """Where the image is dirty, lazy reference counts alone are no news."""
    report = report_of(changed(PLAIN, (72, struct.pack(">QQ", 1, 1))))
    assert "QCW013" in codes(report)
    assert "QCW015" not in codes(report)


def test_size_without_offset_is_no_backing_file() -> None:
    """A backing file exists where offset and size are both set; a size alone is ignored."""
    report = report_of(changed(PLAIN, (16, struct.pack(">I", 9))))
    assert report.details.backing_file is None
    assert report.references == ()
    assert report.findings == ()


def test_extensions_end_at_the_backing_name() -> None:
    """What lies behind the name's offset is not read as an extension."""
    first, second = extension(0x11111111, b"one"), extension(0x22222222, b"two")
    name = 112 + len(first)
    data = changed(PLAIN, (112, first + second), (8, struct.pack(">QI", name, 8)))
    facts = report_of(data).details
    assert [one.type for one in facts.extensions] == [0x11111111]
    assert facts.backing_file == second[:8].decode("latin-1")


def test_extensions_end_at_the_end_marker() -> None:
    """Type 0 ends the list, whatever follows."""
    data = changed(PLAIN, (112, extension(0, b"") + extension(0x22222222, b"two")))
    assert report_of(data).details.extensions == ()


def test_extensions_are_capped() -> None:
    """A header full of empty extensions stops at the cap and says so."""
    many = extension(0x11111111, b"") * 600
    report = report_of(changed("qcow2/extensions.qcow2.gz", (112, many)))
    assert len(report.details.extensions) == 256
    assert "IMG201" in codes(report)


def test_feature_names() -> None:
    """QEMU's own table: 8 rows, each with its type, bit and name."""
    names = report_of(fixture("qcow2/extensions.qcow2.gz")).details.feature_names
    assert [(one.type, one.bit, one.name) for one in names] == [
        ("incompatible", 0, "dirty bit"),
        ("incompatible", 1, "corrupt bit"),
        ("incompatible", 2, "external data file"),
        ("incompatible", 3, "compression type"),
        ("incompatible", 4, "extended L2 entries"),
        ("compatible", 0, "lazy refcounts"),
        ("autoclear", 0, "bitmaps"),
        ("autoclear", 1, "raw external data"),
    ]


def test_names_that_are_not_utf8_survive() -> None:
    """The exact bytes of a backing file's name are kept, and given as base64."""
    data = changed(PLAIN, (8, struct.pack(">QI", 256, 4)), (256, b"a\xff\xfeb"))
    told = report_of(data).to_dict()
    assert told["details"]["backing_file"] == "a\ufffd\ufffdb"  # type: ignore[index] # a JSON object
    assert told["details"]["backing_file_b64"] == "Yf/+Yg=="  # type: ignore[index] # a JSON object


def test_a_nul_in_a_name_is_judged_both_ways() -> None:
    """A C reader would stop at the NUL; the whole is shown, and refused."""
    data = changed(PLAIN, (8, struct.pack(">QI", 256, 9)), (256, b"base\0/etc"))
    report = report_of(data)
    assert report.references[0].value == "base\0/etc"
    assert {"IMG101", "IMG102"} <= codes(report)


def test_stale_bitmaps_are_not_read() -> None:
    """Without autoclear bit 0 the directory may hold anything: QEMU lists none either."""
    report = report_of(changed("qcow2/bitmaps.qcow2.gz", (88, bytes(8)), (136, b"\xff" * 8)))
    assert report.details.bitmaps == ()
    assert faults(report) == {"QCW041"}


def test_the_second_of_two_bitmaps_of_one_name() -> None:
    """Names are unique within an image."""
    data = bytearray(fixture("qcow2/bitmaps.qcow2.gz"))
    entry = data[20480:20512]
    data[20512:20544] = entry
    data[120:124] = struct.pack(">I", 2)
    data[128:136] = struct.pack(">Q", 64)
    report = report_of(bytes(data))
    assert [one.name for one in report.details.bitmaps] == ["bitmap0", "bitmap0"]
    assert faults(report) == {"QCW043"}


@pytest.mark.parametrize("name", [name for name in images() if name.startswith("qcow2/")])
def test_cut_anywhere(name: str) -> None:
    """Cut at every boundary: a report each time, never raw while 4 bytes are there, the header's size kept."""
    data = fixture(name)
    size = struct.unpack(">Q", data[24:32])[0]
    cuts = {4, 5, 8, 20, 31, 32, 71, 72, 73, 103, 104, 105, 111, 112, 120, 511, 512, 513, len(data) - 1}
    cuts |= set(range(512, min(len(data), 65536), 512))
    for cut in sorted(cut for cut in cuts if 4 <= cut < len(data)):
        report = report_of(data[:cut])
        no_bug(report)
        assert report.format == "qcow2", cut
        if cut < 72:
            assert report.broken
            assert {"IMG002", "IMG004"} <= faults(report)
        else:
            assert report.virtual_size == size


def test_cut_within_the_version_3_fields() -> None:
    """72 bytes of a version 3 header: broken, and what is there is told."""
    report = report_of(fixture(PLAIN)[:80])
    assert report.broken
    assert report.partial
    assert report.virtual_size == 1 << 20
    assert {"IMG002", "IMG004"} <= faults(report)


def test_three_bytes_are_raw() -> None:
    """Without the fourth byte of the magic no trace tells what it was."""
    assert report_of(fixture(PLAIN)[:3]).format == "raw"


def test_the_luks_header_is_a_member() -> None:
    """The header pointer's range is looked into as a part of its own."""
    report = report_of(fixture("qcow2/luks.qcow2.gz"))
    assert report.encrypted
    assert [(member.path, member.size) for member in report.members] == [("luks header", 2068480)]
    assert report.virtual_size == 65536


def test_fields_cover_the_header() -> None:
    """The annotated header begins at 0 and leaves no byte out up to header_length."""
    structures = report_of(fixture(PLAIN), structures=True).structures
    header = [one for one in structures if one.name.startswith("qcow2 header")]
    assert [(one.offset, one.length) for one in header] == [(0, 72), (72, 32), (104, 8)]
    size = next(field for field in header[0].fields if field.name == "size")
    assert (size.offset, size.length, size.raw) == (24, 8, "0000000000100000")
    assert size.meaning == "virtual size, 1048576 bytes"
