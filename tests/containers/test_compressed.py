"""Compressed wrappers: what their headers say, what is inside, and what happens when the data do not hold."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import time
import tracemalloc
import zipfile

import pytest
import zstandard

import imgtool
from imgtool.containers.compressed.facts import CompressedFacts
from imgtool.containers.compressed.single import gzip_size
from imgtool.limits import DEFAULT
from tests.kit import codes, faults, fixture, images, no_bug, report_of
from tests.test_golden import stream_of

MIB = 1024**2
WRAPPED = [name for name in images() if name.startswith("compressed/") and "hostile" not in name]


def facts(report: imgtool.Report) -> CompressedFacts:
    """The facts of the wrapper."""
    assert isinstance(report.details, CompressedFacts)
    return report.details


def whole(data: bytes) -> imgtool.Report:
    """The report with everything decoded."""
    return report_of(data, checksums=("sha256",))


@pytest.mark.parametrize(
    ("name", "wrapper", "method", "check"),
    [
        ("named.gzip", "gzip", "deflate", "crc32"),
        ("crc32.xz", "xz", "xz", "crc32"),
        ("plain.lzma", "lzma", "lzma1", "none"),
        ("plain.bz2", "bzip2", "bzip2", "crc32"),
        ("plain.zst", "zstd", "zstd", "xxh64"),
        ("parallel.zst", "zstd", "zstd", "xxh64"),
        ("content-size.lz4", "lz4", "lz4", "xxh32"),
        ("legacy.lz4", "lz4", "lz4-legacy", "none"),
        ("plain.zip", "zip", "deflate", "crc32"),
        ("lzma.zip", "zip", "lzma1", "crc32"),
    ],
)
def test_wrapper_and_content(name: str, wrapper: str, method: str, check: str) -> None:
    """The content is reported as it would be registered: its format, in compressed, with its virtual size."""
    report = report_of(fixture(f"compressed/{name}"))
    assert (report.format, report.container_format) == ("qcow2", "compressed")
    assert (report.disk_formats, report.virtual_size) == (("qcow2",), 1048576)
    told = facts(report)
    assert (told.wrapper, told.method, told.check) == (wrapper, method, check)
    (inner,) = report.members
    assert (inner.format, inner.size, inner.partial) == ("qcow2", 1792, False)
    assert faults(report) == set()


def test_gzip_header_fields() -> None:
    """Name, comment, time and system are as RFC 1952 lays them out; the header CRC holds."""
    told = facts(report_of(fixture("compressed/all-fields.gzip")))
    assert (told.stored_name, told.comment) == ("disk.qcow2", "a comment")
    assert (told.mtime, told.system, told.declared_size) == (1_700_000_000, "unix", 1792)


def test_xz_index_tells_the_size() -> None:
    """Streams, blocks and the content's size come from the indexes, found from the end."""
    told = facts(report_of(fixture("compressed/two-streams.xz")))
    assert (told.declared_size, told.streams, told.blocks, told.window) == (1792, 2, 2, 8 * MIB)


def test_gzip_size_only_where_one_size_fits() -> None:
    """ISIZE is modulo 2^32: below 4 MiB of compressed bytes one size can fit, above it several can."""
    assert gzip_size(1792, 100) == 1792
    assert gzip_size(5, 8 * MIB) is None
    assert gzip_size(1 << 31, 100) is None
    assert gzip_size(100, 4096 * MIB) is None


@pytest.mark.parametrize("name", ["zeros.xz", "zeros.zst"])
def test_a_cut_stream_has_its_declared_size(name: str) -> None:
    """Headers only: 4 MiB are decoded, the size is the declared one, and a note says so."""
    report = report_of(fixture(f"compressed/{name}"))
    assert (report.format, report.virtual_size) == ("raw", 5 * MIB)
    (inner,) = report.members
    assert inner.size == 5 * MIB
    assert facts(report).decoded[0].size == DEFAULT.wrapper_probe
    assert not facts(report).decoded[0].whole
    assert {"ZIP007"} <= codes(report)
    assert faults(report) == set()


def test_a_cut_stream_without_a_declared_size_has_none() -> None:
    """Where the wrapper declares none, size and virtual size of raw content are unknown, never the cut."""
    for data in (bz2.compress(bytes(9 * MIB)), gzip.compress(bytes(range(256)) * 64, 0) * 600):
        report = report_of(data)
        (inner,) = report.members
        assert (report.format, report.virtual_size, inner.size) == ("raw", None, None)
        assert inner.partial
        assert faults(report) == set()
        assert report_of(data, checksums=("md5",)).virtual_size in (9 * MIB, 600 * 256 * 64)


def test_a_cut_qcow2_is_not_truncated() -> None:
    """A disk format whose structures lie in the decoded part raises nothing for the part that was not."""
    data = bz2.compress(fixture("qcow2/plain.qcow2") + bytes(9 * MIB))
    report = report_of(data)
    assert (report.format, report.virtual_size) == ("qcow2", 1048576)
    assert "IMG002" not in codes(report)


@pytest.mark.parametrize("name", WRAPPED)
def test_truncated_everywhere(name: str) -> None:
    """Cut anywhere: a report, and never silence: an error, or another wrapper's fault."""
    data = fixture(name)
    for cut in range(7, len(data), max(1, len(data) // 60)):
        report = whole(data[:cut])
        no_bug(report)
        weak = name.endswith(".lzma") or "qcow2-zip" in name or "self-extracting" in name
        # an .lzma of less than its header has no mark; of xz a whole number of streams and padding is sound
        padding = name == "compressed/two-streams.xz" and cut in (len(data) - 4, 100, 104, 108)
        assert faults(report) or weak or padding or cut < 10, (cut, report)


def test_damage_is_found_when_all_is_decoded() -> None:
    """A changed check field is told as such; the inner report is partial."""
    data = bytearray(gzip.compress(bytes(range(256)) * 8192))
    data[-6] ^= 0xFF
    report = whole(bytes(data))
    assert "ZIP302" in codes(report)
    assert "IMG003" not in codes(report)
    assert report.partial
    assert report.members[0].partial


def test_size_of_a_damaged_content_is_not_the_part_that_came() -> None:
    """What came before the damage is not taken for the whole."""
    packed = lzma.compress(bytes(range(256)) * 4096)
    damaged = packed[:200] + b"\xff" * 20 + packed[220:]
    report = whole(damaged)
    assert "IMG003" in codes(report)
    assert report.members[0].size == MIB
    assert report.virtual_size in (None, MIB)


def test_trailing_zeros_are_a_note() -> None:
    """Padding of a tape is a note, other bytes a warning."""
    for tail, severity in ((bytes(512), "note"), (b"x" * 512, "warning")):
        report = report_of(fixture("compressed/named.gzip") + tail)
        assert [found.severity for found in report.findings if found.code == "ZIP005"] == [severity]


def test_several_files_have_no_content() -> None:
    """A zip of two files lists them, and is no image."""
    report = report_of(fixture("compressed/two-files.zip"))
    assert (report.format, report.virtual_size, report.container_format) == (None, None, "compressed")
    assert [member.path for member in report.members] == ["a.qcow2", "b.qcow2"]


def test_a_zip_behind_an_image_is_a_polyglot() -> None:
    """A zip is found from its end: an image with one behind it is two formats."""
    report = report_of(fixture("compressed/polyglot-qcow2-zip.qcow2"))
    assert report.format == "qcow2"
    assert [facet.name for facet in report.facets] == ["qcow2", "compressed"]
    assert "IMG001" in codes(report)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_methods(method: int) -> None:
    """Every method that Python's zipfile writes is read."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("disk.img", bytes(5000) + b"x" * 120)
    report = whole(out.getvalue())
    assert (report.format, report.virtual_size) == ("raw", 5120)
    assert faults(report) == set()


def test_zip_crc_is_checked() -> None:
    """A stored content that was changed does not have its CRC-32."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("disk.img", bytes(512))
    data = out.getvalue().replace(bytes(512), bytes(511) + b"x")
    assert "ZIP302" in codes(whole(data))


@pytest.mark.parametrize(
    ("name", "at", "code"),
    [
        ("compressed/named.gzip", -8, "ZIP302"),
        ("compressed/named.gzip", -4, "ZIP302"),
        ("compressed/content-size.lz4", -1, "ZIP302"),
        ("compressed/crc32.xz", -33, "IMG003"),
        ("compressed/plain.bz2", -4, "IMG003"),
        ("compressed/plain.bz2", 11, "IMG003"),
    ],
)
def test_each_check_field_is_verified(name: str, at: int, code: str) -> None:
    """One bit of a check field changed: the rule names it where the decoder tells, else it is damaged data."""
    data = bytearray(fixture(name))
    data[at] ^= 1
    found = codes(whole(bytes(data)))
    assert {"ZIP302", "IMG003", "ZIP301"} & found == {code}


def test_zstd_checksum_is_verified() -> None:
    """The checksum of a zstd frame."""
    data = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(bytes(range(256)) * 64))
    data[-1] ^= 1
    assert "ZIP302" in codes(whole(bytes(data)))


def test_nesting_is_limited() -> None:
    """Wrappers in wrappers are opened down to the depth, and the rest is said not to have been."""
    data = fixture("qcow2/plain.qcow2")
    for _ in range(6):
        data = gzip.compress(data, mtime=0)
    report = report_of(data)
    assert "IMG202" in codes(report)
    assert report.format is None
    assert report_of(data, depth=6).format == "qcow2"


def test_depth_0_decodes_nothing() -> None:
    """Headers of the file alone."""
    report = report_of(fixture("compressed/named.gzip"), depth=0)
    assert (report.format, report.container_format) == (None, "compressed")
    assert facts(report).decoded == ()


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
def test_bombs_stay_small(compress: object) -> None:
    """64 MiB of zeros, headers only: a fraction of it is decoded, in little memory and time."""
    assert callable(compress)
    data = compress(bytes(64 * MIB))
    tracemalloc.start()
    began = time.process_time()
    report = report_of(data)
    took = time.process_time() - began
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    no_bug(report)
    assert facts(report).decoded[0].size <= DEFAULT.wrapper_probe + MIB
    assert peak < 60 * MIB
    assert took < 1


def test_nested_bombs_share_one_budget() -> None:
    """Several wrappers inside one input do not each inflate without bound."""
    limits = DEFAULT._replace(wrapper_ratio_floor=MIB, wrapper_ratio=10)
    data = gzip.compress(bz2.compress(bytes(64 * MIB)) * 3)
    report = report_of(data, checksums=("md5",), limits=limits)
    assert codes(report) & {"IMG201", "IMG007"}
    assert sum(entry.size for entry in facts(report).decoded) < 16 * MIB


@pytest.mark.parametrize(
    "data",
    [
        b"\x5d\0\0" + bytes(5000),
        b"\x5d\0\0\x80\0" + b"\xff" * 8 + b"\x01" + bytes(5000),
        b"\x5d\0\0\x80\0" + struct.pack("<Q", 1 << 50) + bytes(5000),
        b"\x5d\0\0\x81\0" + b"\xff" * 8 + bytes(5000),
        b"\x50\x2a\x4d\x18" + struct.pack("<I", 16) + bytes(5000),
        b"PK\x05\x07" + bytes(5000),
        bytes(5000) + b"PK\x05\x06" + bytes(18),
    ],
)
def test_weak_marks_alone_are_raw(data: bytes) -> None:
    """What only looks like a wrapper stays raw."""
    assert report_of(data).format == "raw"


@pytest.mark.parametrize("name", ["named.gzip", "zeros.xz", "zeros.zst", "plain.zip"])
def test_from_a_pipe(name: str) -> None:
    """A wrapper that comes through a pipe is decoded as well."""
    data = fixture(f"compressed/{name}")
    report = imgtool.inspect(stream_of(data))
    assert (report.format, report.virtual_size) == (whole(data).format, whole(data).virtual_size)
