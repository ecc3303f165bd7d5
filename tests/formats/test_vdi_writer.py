"""Writing VDI: every byte that is not the guest's, by the fields of VirtualBox's headers."""

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
from imgtool.targets.output import CountingOutput, FileOutput, open_output
from tests.kit import report_of
from tests.targets.kit import TIME, MemoryOutput, loop_device, mark, writer_of, written

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB

ZERO = 0xFFFFFFFE
DATA = b"a" * 512 + bytes(3 * MIB) + b"b" * 512  #: in blocks 0 and 3


def identity(data: bytes, what: str) -> bytes:
    """An id of a disk by the rule: RFC 4122 version 5 of a URN with the content's mark in it, in mixed order."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"urn:imgtool:vdi.{what}:{mark(data)}").bytes_le


def test_the_header_field_by_field() -> None:
    """Pre-header, header of version 1.1, logical geometry; then zeros up to the map."""
    image = written("vdi", DATA)
    assert image[:64] == b"<<< imgtool Virtual Disk Image >>>\n".ljust(64, b"\0")
    fields = struct.unpack_from("<IIIII256sIIIIIIIQIIII16s16s16s16sIIII", image, 64)
    size = 3 * MIB + KIB
    assert fields == (
        0xBEDA107F,
        0x00010001,
        0x190,
        1,  # dynamic
        0,
        bytes(256),
        512,  # the map
        MIB,  # the blocks
        6,  # 6146 sectors, 16 heads, 63 sectors a track
        16,
        63,
        512,
        0,
        size,
        MIB,
        0,
        4,
        2,
        identity(DATA, "uuidCreate"),
        identity(DATA, "uuidModify"),
        bytes(16),
        bytes(16),
        0,
        0,
        0,
        512,
    )
    assert 64 + struct.calcsize("<IIIII256sIIIIIIIQIIII16s16s16s16sIIII") == 0x48 + 0x190
    assert image[0x48 + 0x190 : 512] == bytes(512 - 0x48 - 0x190)
    for raw in fields[18:20]:
        assert uuid.UUID(bytes_le=raw).version == 5
        assert uuid.UUID(bytes_le=raw).variant == uuid.RFC_4122


def test_a_dynamic_image_from_end_to_end() -> None:
    """Blocks in the order of the guest; those of zeros are marked and have no place."""
    image = written("vdi", DATA)
    assert image[512:528] == struct.pack("<IIII", 0, ZERO, ZERO, 1)
    assert not any(image[528:MIB])
    assert image[MIB : 2 * MIB] == DATA[:MIB]
    assert image[2 * MIB :] == DATA[3 * MIB :].ljust(MIB, b"\0")


def test_a_static_image() -> None:
    """Every block has its place, in order, to the end of the last one."""
    image = written("vdi", DATA, subformat="static")
    assert struct.unpack_from("<I", image, 0x4C)[0] == 2
    assert struct.unpack_from("<II", image, 0x180) == (4, 4)
    assert image[512:528] == struct.pack("<IIII", 0, 1, 2, 3)
    assert image[MIB:] == DATA.ljust(4 * MIB, b"\0")


@pytest.mark.parametrize(("block", "count", "entries"), [("2M", 2, (0, 1)), ("4M", 1, (0,)), ("256M", 1, (0,))])
def test_larger_blocks(block: str, count: int, entries: tuple[int, ...]) -> None:
    """Powers of two; QEMU reads none of them, and so the report says."""
    image = written("vdi", DATA, block_size=block)
    assert struct.unpack_from("<I", image, 0x178)[0] == int(block[:-1]) * MIB
    assert struct.unpack_from("<II", image, 0x180) == (count, count)
    assert struct.unpack_from(f"<{count}I", image, 512) == entries
    assert len(image) == MIB + count * int(block[:-1]) * MIB
    report = report_of(image)
    assert report.virtual_size == 3 * MIB + KIB
    assert [finding.code for finding in report.findings if finding.severity != "note"] == ["VDI006"]


def test_a_map_of_more_than_a_mebibyte() -> None:
    """The blocks begin at the next multiple of 1 MiB behind it."""
    for blocks, begins in ((262_016, MIB), (262_017, 2 * MIB)):
        output = CountingOutput()
        assert writer_of("vdi", output, blocks * MIB, subformat="static").size == blocks * MIB
        assert output.size == begins + blocks * MIB


def test_sizes_are_exact() -> None:
    """Whole sectors and no more."""
    for size, expected in ((1, 512), (513, 1024), (MIB, MIB), (5 * MIB + 77, 5 * MIB + 512)):
        for subformat in ("dynamic", "static"):
            image = written("vdi", b"x" * size, subformat=subformat)
            assert struct.unpack_from("<Q", image, 0x170)[0] == expected
            report = report_of(image)
            assert report.virtual_size == expected
            assert not [finding for finding in report.findings if finding.severity != "note"]


@pytest.mark.parametrize(
    ("size", "geometry"),
    [
        (16 * 63 * 512 - 512, (0, 0, 0, 512)),
        (16 * 63 * 512, (1, 16, 63, 512)),
        (GIB, (2080, 16, 63, 512)),
        (TIB, (16383, 16, 63, 512)),
    ],
)
def test_geometries(size: int, geometry: tuple[int, int, int, int], tmp_path: Path) -> None:
    """Cylinders of 16 × 63 sectors, at most 16383; less than one tells nothing."""
    source = tmp_path / "source"
    with open(source, "wb") as file:
        file.truncate(size)
    with open_disk(source, format="raw") as disk:
        image = written("vdi", disk)
    assert struct.unpack_from("<IIII", image, 0x15C) == geometry
    assert struct.unpack_from("<IIII", image, 0x1C8) == (0, 0, 0, 512)


def test_empty_disks() -> None:
    """All zeros: the map says so, no block is there. No bytes: no map."""
    image = written("vdi", bytes(100 * MIB))
    assert len(image) == MIB
    assert image[512:912] == struct.pack("<I", ZERO) * 100
    assert struct.unpack_from("<II", image, 0x180) == (100, 0)
    none = written("vdi", b"")
    assert struct.unpack_from("<QIIII", none, 0x170) == (0, MIB, 0, 0, 0)
    assert report_of(none).virtual_size == 0


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    """Whether its zeros are holes or not, whatever the time; other content has other ids."""
    sparse = tmp_path / "sparse"
    with open(sparse, "wb") as file:
        file.write(DATA[:512])
        file.seek(len(DATA) - 512)
        file.write(DATA[-512:])
    for subformat in ("dynamic", "static"):
        with open_disk(sparse, format="raw") as disk:
            assert written("vdi", disk, subformat=subformat) == written("vdi", DATA, time=0, subformat=subformat)
    other = written("vdi", b"A" + DATA[1:])
    assert other[0x188:0x1A8] != written("vdi", DATA)[0x188:0x1A8]


def test_what_cannot_be_written() -> None:
    """It is said before anything is written."""
    most = 0x1FFFFF80 * MIB
    refusals: tuple[tuple[int, dict[str, str], type[Exception], str], ...] = (
        (most + 1, {}, UnsupportedError, "at most 536870784 blocks.*a larger block_size makes fewer"),
        (MIB, {"block_size": "512K"}, UsageError, "block_size is a power of two from 1048576 to 268435456"),
        (MIB, {"block_size": "3M"}, UsageError, "a power of two"),
        (MIB, {"block_size": "512M"}, UsageError, "a power of two"),
        (MIB, {"subformat": "fixed"}, UsageError, "subformat is one of dynamic, static"),
    )
    for size, options, error, told in refusals:
        output = MemoryOutput()
        with pytest.raises(error, match=told):
            writer_of("vdi", output, size, **options)
        assert not output.writes
    assert writer_of("vdi", CountingOutput(), most).size == most
    assert writer_of("vdi", CountingOutput(), most + 1, block_size="2M").size == most + 512


def test_a_large_disk(tmp_path: Path) -> None:
    """8 TiB with a sector at each end: a map of 32 MiB is written a part at a time, the last block has its place."""
    source, path = tmp_path / "source", tmp_path / "image.vdi"
    size = 8 * TIB
    with open(source, "wb") as file:
        file.write(b"a" * 512)
        file.seek(size - 512)
        file.write(b"b" * 512)
    with open_disk(source, format="raw") as disk, FileOutput(os.fspath(path)) as output:
        native.write(disk, writer_of("vdi", output, disk.size), TIME)
        output.commit()
    assert path.stat().st_size == 33 * MIB + 2 * MIB
    with open_disk(path) as disk:
        assert disk.size == size
        assert disk.read_at(0, 512) == b"a" * 512
        assert disk.read_at(size - 512, 512) == b"b" * 512
    assert imgtool.validate(path).accepted


def test_a_device(tmp_path: Path) -> None:
    """What the device held is gone from every block; one that is too small is told so before the work."""
    behind, source = tmp_path / "behind", tmp_path / "source"
    source.write_bytes(DATA)
    behind.write_bytes(b"\xa5" * 8 * MIB)
    with loop_device(behind) as path:
        for subformat in ("dynamic", "static"):
            with open_output(path, force=True) as output, open_disk(source, format="raw") as disk:
                native.write(disk, writer_of("vdi", output, disk.size, subformat=subformat), TIME)
                output.commit()
            with open_disk(path, format="vdi", device=True) as disk:
                assert disk.read_at(0, disk.size) == DATA
        with (
            open_output(path, force=True) as output,
            pytest.raises(OutputError, match="the device has 8388608 bytes"),
        ):
            writer_of("vdi", output, 8 * MIB, subformat="static")
