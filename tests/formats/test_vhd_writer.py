"""Writing VHD: every byte that is not the guest's, by the numbers of the specification."""

from __future__ import annotations

import os
import struct
import uuid
from pathlib import Path

import pytest

import imgtool
from imgtool.conversion import native
from imgtool.disks.open import open_disk
from imgtool.errors import OutputError, UnsupportedError, UsageError
from imgtool.formats.vhd.writer import chs
from imgtool.targets.output import CountingOutput, FileOutput
from tests.kit import report_of
from tests.targets.kit import TIME, MemoryOutput, flat, mark, writer_of, written

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

DATA = b"a" * 512 + bytes(5 * MIB) + b"b" * 512  #: in blocks 0 and 2 of 2 MiB, in 0 and 10 of 512 KiB


def checksum(data: bytes, at: int) -> int:
    """The one's complement of the sum of all bytes with the checksum's own as 0."""
    total = sum(data[:at]) + sum(data[at + 4 :])
    return 0xFFFFFFFF - total


def unique_id(data: bytes) -> bytes:
    """The id of a disk by the rule: RFC 4122 version 5 of a URN with the content's mark in it."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"urn:imgtool:vhd.unique_id:{mark(data)}").bytes


def test_a_footer_field_by_field() -> None:
    """All fields of "Hard Disk Footer Format", and nothing in the reserved bytes."""
    image = written("vhd", DATA)
    footer = image[-512:]
    fields = struct.unpack(">8sIIQI4sI4sQQHBBII16sB427s", footer)
    size = 5 * MIB + KIB
    assert fields == (
        b"conectix",
        2,  # no features; the reserved bit is always set
        0x00010000,
        512,
        TIME - 946_684_800,
        b"qem2",
        0x00050003,
        b"Wi2k",
        size,
        size,
        150,  # 10242 sectors: 602 tracks of 17, 4 heads
        4,
        17,
        3,
        checksum(footer, 64),
        unique_id(DATA),
        0,
        bytes(427),
    )
    identity = uuid.UUID(bytes=fields[15])
    assert (identity.version, identity.variant) == (5, uuid.RFC_4122)


def test_a_dynamic_disk_from_end_to_end() -> None:
    """Copy of the footer, header, table in whole sectors, bitmap and block by turns, footer: nothing else."""
    image = written("vhd", DATA)
    assert image[:512] == image[-512:]
    header = image[512:1536]
    assert header[:36] == struct.pack(">8sQQIII", b"cxsparse", (1 << 64) - 1, 1536, 0x00010000, 3, 2 * MIB)
    assert struct.unpack_from(">I", header, 36)[0] == checksum(header, 36)
    assert header[40:] == bytes(1024 - 40)
    second = 4 + 1 + 4096  # sectors: headers and table, then a bitmap and a block
    assert image[1536:2048] == struct.pack(">III", 4, 0xFFFFFFFF, second).ljust(512, b"\xff")
    assert image[2048:2560] == b"\xff" * 512
    assert image[2560 : 2560 + 2 * MIB] == DATA[: 2 * MIB]
    assert image[second * 512 : second * 512 + 512] == b"\xff" * 512
    assert image[second * 512 + 512 : -512] == DATA[4 * MIB :].ljust(2 * MIB, b"\0")
    assert len(image) == 2048 + 2 * (512 + 2 * MIB) + 512


def test_small_blocks() -> None:
    """Blocks of 512 KiB: 1024 sectors fill 128 bytes of the bitmap's sector, the rest of it is padding."""
    image = written("vhd", DATA, block_size="512K")
    assert struct.unpack_from(">II", image, 512 + 28) == (11, 512 * KIB)
    entries = struct.unpack_from(">128I", image, 1536)
    assert entries == (4, *[0xFFFFFFFF] * 9, 4 + 1 + 1024, *[0xFFFFFFFF] * 117)
    for entry in (entries[0], entries[10]):
        assert image[entry * 512 : entry * 512 + 512] == (b"\xff" * 128).ljust(512, b"\0")
    assert len(image) == 2048 + 2 * (512 + 512 * KIB) + 512


def test_a_fixed_disk() -> None:
    """The guest's bytes, then the footer: no copy, no further header."""
    image = written("vhd", DATA, subformat="fixed")
    assert image[:-512] == DATA
    footer = image[-512:]
    assert footer[:8] == b"conectix"
    assert footer[16:24] == b"\xff" * 8
    assert struct.unpack_from(">QQ", footer, 40) == (len(DATA), len(DATA))
    assert struct.unpack_from(">I", footer, 60)[0] == 2
    assert struct.unpack_from(">I", footer, 64)[0] == checksum(footer, 64)
    assert footer[68:84] == unique_id(DATA)


@pytest.mark.parametrize(
    ("size", "geometry"),
    [
        (512, (0, 4, 17)),
        (4 * MIB, (120, 4, 17)),
        (40 * MIB, (963, 5, 17)),
        (200 * MIB, (825, 16, 31)),
        (256 * MIB, (520, 16, 63)),
        (10 * GIB, (20805, 16, 63)),
        (65535 * 16 * 63 * 512 - 512, (65534, 16, 63)),
        (65535 * 16 * 63 * 512, (16191, 16, 255)),
        (127 * GIB, (65278, 16, 255)),
        (65535 * 16 * 255 * 512, (65535, 16, 255)),
        (2040 * GIB, (65535, 16, 255)),
    ],
)
def test_geometries(size: int, geometry: tuple[int, int, int]) -> None:
    """Each branch of "Appendix: CHS Calculation"; where the geometry can tell a size, it tells no more than it."""
    found = chs(size // 512)
    assert found == geometry
    assert found.cylinders * found.heads * found.sectors * 512 <= size


@pytest.mark.parametrize("subformat", ["dynamic", "fixed"])
def test_sizes_are_exact(subformat: str) -> None:
    """Whole sectors and no more, whatever the geometry."""
    for size, expected in ((1, 512), (513, 1024), (5 * MIB + 77, 5 * MIB + 512), (40 * MIB + 512, 40 * MIB + 512)):
        image = written("vhd", b"x" * min(size, 4096) + bytes(max(0, size - 4096)), subformat=subformat)
        assert struct.unpack_from(">QQ", image, len(image) - 512 + 40) == (expected, expected)
        report = report_of(image)
        assert report.virtual_size == expected
        assert not [finding for finding in report.findings if finding.severity != "note"]
        if subformat == "fixed":
            assert len(image) == expected + 512


def test_an_empty_disk() -> None:
    """All zeros: no block, only headers and an empty table. No bytes at all: only a dynamic disk can be that."""
    image = written("vhd", bytes(100 * MIB))
    assert len(image) == 2048 + 512
    assert image[1536:2048] == b"\xff" * 512
    none = written("vhd", b"")
    assert len(none) == 1536 + 512
    assert report_of(none).virtual_size == 0
    with pytest.raises(UnsupportedError, match="a fixed vhd has at least one sector"):
        written("vhd", b"", subformat="fixed")


def test_the_same_content_gives_the_same_bytes() -> None:
    """Whether its zeros are holes or not; the time is in one field, the checksum apart."""
    holes = DATA[:512] + bytes(len(DATA) - 512)
    assert written("vhd", DATA) == written("vhd", flat(DATA))
    assert written("vhd", DATA)[-444:-428] != written("vhd", holes)[-444:-428]
    first, later = (written("vhd", DATA, time=TIME + seconds)[-512:] for seconds in (0, 100))
    assert first[24:28] != later[24:28]
    differing = {at for at in range(512) if first[at] != later[at]}
    assert differing <= {24, 25, 26, 27, 64, 65, 66, 67}


def test_holes_of_the_source_change_nothing(tmp_path: Path) -> None:
    """A sparse file and a full one of the same bytes make the same image."""
    sparse, full = tmp_path / "sparse", tmp_path / "full"
    full.write_bytes(DATA)
    with open(sparse, "wb") as file:
        file.write(DATA[:512])
        file.seek(len(DATA) - 512)
        file.write(DATA[-512:])
    for subformat in ("dynamic", "fixed"):
        with open_disk(sparse, format="raw") as one, open_disk(full, format="raw") as other:
            assert written("vhd", one, subformat=subformat) == written("vhd", other, subformat=subformat)


def test_times_outside_the_format() -> None:
    """What is before 2000 is 2000; what is past the field's end is its end."""
    for time, told in ((0, 0), (946_684_800, 0), (1 << 60, 0xFFFFFFFF)):
        image = written("vhd", b"x", time=time)
        assert struct.unpack_from(">I", image, len(image) - 512 + 24)[0] == told


def test_what_cannot_be_written() -> None:
    """It is said before anything is written."""
    refusals: tuple[tuple[int, dict[str, str], type[Exception], str], ...] = (
        (2040 * GIB + 1, {}, UnsupportedError, "a vhd holds at most 2190433320960 bytes"),
        (2040 * GIB + 1, {"subformat": "fixed"}, UnsupportedError, "a vhd holds at most"),
        (MIB, {"block_size": "1M"}, UsageError, "block_size is 512K or 2M, not 1048576"),
        (MIB, {"block_size": "4M"}, UsageError, "block_size is from 524288 to 2097152"),
        (MIB, {"subformat": "fixed", "block_size": "512K"}, UsageError, "a fixed vhd has no blocks"),
        (MIB, {"subformat": "static"}, UsageError, "subformat is one of dynamic, fixed"),
        (MIB, {"blocksize": "2M"}, UsageError, "did you mean 'block_size'"),
    )
    for size, options, error, told in refusals:
        output = MemoryOutput()
        with pytest.raises(error, match=told):
            writer_of("vhd", output, size, **options)
        assert not output.writes
        assert output.size == 0


def test_no_device() -> None:
    """The footer would not be at the device's end."""
    output = MemoryOutput(garbage=MIB)
    for subformat in ("dynamic", "fixed"):
        with pytest.raises(UnsupportedError, match="a vhd ends with its footer"):
            writer_of("vhd", output, MIB, subformat=subformat)
    assert not output.writes


def test_the_largest_disk(tmp_path: Path) -> None:
    """2040 GiB, nothing but a sector at each end: tables of 4 and 16 MiB, holes; block numbers stay in 32 bits."""
    source, path = tmp_path / "source", tmp_path / "image.vhd"
    with open(source, "wb") as file:
        file.write(b"a" * 512)
        file.seek(2040 * GIB - 512)
        file.write(b"b" * 512)
    for size, entries in (("2M", 1_044_480), ("512K", 4_177_920)):
        with open_disk(source, format="raw") as disk, FileOutput(os.fspath(path), force=True) as output:
            written_ = native.write(disk, writer_of("vhd", output, disk.size, block_size=size), TIME)
            output.commit()
        assert written_.virtual_size == 2040 * GIB
        assert path.stat().st_blocks * 512 < 24 * MIB
        with open(path, "rb") as file:
            file.seek(512 + 28)
            assert struct.unpack(">I", file.read(4))[0] == entries
        with open_disk(path) as disk:
            assert disk.size == 2040 * GIB
            assert disk.read_at(0, 512) == b"a" * 512
            assert disk.read_at(2040 * GIB - 512, 512) == b"b" * 512
        verdict = imgtool.validate(path)
        assert verdict.accepted


def test_a_file_that_cannot_be_so_large(tmp_path: Path) -> None:
    """A fixed disk asks for its whole size first: the error comes before the work."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (GIB, hard))
    try:
        told = "cannot write: File too large"
        with FileOutput(os.fspath(tmp_path / "image.vhd")) as output, pytest.raises(OutputError, match=told):
            writer_of("vhd", output, 2 * GIB, subformat="fixed")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert writer_of("vhd", CountingOutput(), 2 * GIB, subformat="fixed").size == 2 * GIB
