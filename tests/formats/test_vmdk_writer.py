"""Writing VMDK: headers, tables, markers and descriptors by the numbers of "Virtual Disk Format 5.0"."""

from __future__ import annotations

import random

import pytest

import imgtool
from imgtool.targets.output import CountingOutput
from imgtool.targets.writer import Stamp
from tests.formats.vmdk_read import HEADER, SECTOR, content_digest, front_to_back, grains, header, numbers
from tests.kit import check_of, faults, report_of
from tests.targets.kit import TIME, MemoryOutput, writer_of, written
from tests.test_golden import plain, stream_of

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB

AT_END = 0xFFFFFFFFFFFFFFFF
STREAM = "streamOptimized"
SPARSE = "monolithicSparse"

#: Grains of 8 KiB: some in the first table, none in the second, one in the third, part of one at the end.
LITTLE = {"grain_size": "8K"}
GUEST = bytearray(8 * MIB + 30 * KIB + 512)
GUEST[: 8 * KIB] = b"text " * 1638 + b"te"
GUEST[24 * KIB : 41 * KIB] = random.Random(20).randbytes(17 * KIB)
GUEST[4 * MIB - 512 : 4 * MIB] = b"b" * 512
GUEST[-100:] = b"z" * 100
DATA = bytes(GUEST)
USED = {0, 3, 4, 5, 511, 1027}


def made(data: bytes, **options: str) -> bytes:
    """The image that the native engine makes of a disk."""
    return written("vmdk", data, time=TIME, **options)


def test_the_header_of_a_stream() -> None:
    """Version 3, newlines, compression and markers; the directory is at the end, there is no redundant one."""
    image = made(DATA, subformat=STREAM)
    head = header(image)
    assert head == (
        *(b"KDMV", 3, 0x30001, len(DATA) // SECTOR, 128, 1, 20, 512, 0, AT_END, 128, 0, b"\n \r\n", 1),
        bytes(433),
    )
    assert HEADER.size == SECTOR
    assert not any(image[21 * SECTOR : 128 * SECTOR])


def test_a_stream_from_front_to_back() -> None:
    """All grains in order, each table behind its last grain; directory, footer, end of stream; nothing behind."""
    image = made(DATA, subformat=STREAM, **LITTLE)
    seen = front_to_back(image)
    assert set(seen.grains) == USED
    assert seen.grains == grains(DATA, 8 * KIB)
    assert list(seen.grains) == sorted(USED)
    assert seen.order == ["grain"] * 5 + ["table", "grain", "table", "directory", "footer", "end"]
    assert seen.directory[1] == 1
    directory = numbers(image, seen.directory[0], 128)
    assert directory[:3] == (seen.tables[0][0], 0, seen.tables[1][0])
    assert not any(directory[3:])
    for table, (_, entries) in zip((0, 2), seen.tables, strict=True):
        for number, entry in enumerate(entries, table * 512):
            assert entry == seen.places.get(number, 0)


def test_the_footer_is_the_header_with_the_directory() -> None:
    """It takes the last sector but one, its marker is before it, and the end-of-stream marker behind it."""
    image = made(DATA, subformat=STREAM, **LITTLE)
    seen = front_to_back(image)
    assert seen.footer * SECTOR == len(image) - 1024
    assert header(image, seen.footer) == header(image)._replace(gd_offset=seen.directory[0])


@pytest.mark.parametrize("size", [1, 512, 64 * KIB, 3 * GIB])
def test_a_stream_of_zeros(size: int) -> None:
    """Neither grains nor tables: a directory of zeros."""
    output = MemoryOutput()
    writer_of("vmdk", output, size, subformat=STREAM).finish(Stamp(bytes(range(32)), TIME))
    seen = front_to_back(bytes(output.data))
    assert seen.order == ["directory", "footer", "end"]
    tables = -(-size // (32 * MIB))
    assert not any(numbers(bytes(output.data), seen.directory[0], tables))
    assert faults(report_of(bytes(output.data))) == set()
    assert check_of(bytes(output.data)).clean


def test_noise_is_stored_with_its_few_bytes_more() -> None:
    """What does not get smaller is a zlib stream all the same: readers know nothing else."""
    data = random.Random(3).randbytes(256 * KIB)
    image = made(data, subformat=STREAM)
    assert b"".join(front_to_back(image).grains.values()) == data
    assert len(image) < len(data) + 128 * SECTOR + 20 * SECTOR


def test_a_stream_from_a_pipe_tells_the_same() -> None:
    """Facts, findings and digest of what goes by once are those of the file; there is no error and no warning."""
    image = made(DATA, subformat=STREAM, **LITTLE)
    streamed = imgtool.inspect(stream_of(image))
    first, second = plain(streamed), plain(report_of(image, checksums=("sha256",)))
    first.pop("path")
    second.pop("path")
    assert first == second
    assert faults(streamed) == set()


def test_the_level_counts() -> None:
    """Higher is smaller; the same level makes the same bytes."""
    data = (b"".join(str(number).encode() for number in range(60_000)) * 4)[:MIB]
    sizes = [len(made(data, subformat=STREAM, level=level)) for level in ("1", "6", "12")]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[2]
    assert made(data, subformat=STREAM) == made(data, subformat=STREAM, level="6")


def test_the_header_of_a_sparse_extent() -> None:
    """Version 1, newlines and the redundant directory; metadata up to a whole grain."""
    image = made(DATA)
    assert header(image) == (
        *(b"KDMV", 1, 3, len(DATA) // SECTOR, 128, 1, 20, 512, 21, 26, 128, 0, b"\n \r\n", 0),
        bytes(433),
    )


def test_the_tables_of_a_sparse_extent() -> None:
    """Redundant directory and tables, then the primary ones; the same entries in both; grains in order."""
    image = made(DATA, **LITTLE)
    head = header(image)
    assert (head.rgd_offset, head.gd_offset, head.over_head) == (21, 34, 48)
    assert numbers(image, 21, 3) == (22, 26, 30)
    assert numbers(image, 34, 3) == (35, 39, 43)
    assert not any(image[21 * SECTOR + 12 : 22 * SECTOR] + image[34 * SECTOR + 12 : 35 * SECTOR])
    redundant, primary = numbers(image, 22, 3 * 512), numbers(image, 35, 3 * 512)
    assert redundant == primary
    places = {number: 48 + 16 * index for index, number in enumerate(sorted(USED))}
    assert {number: entry for number, entry in enumerate(primary) if entry} == places
    wanted = grains(DATA, 8 * KIB)
    assert {number: image[at * SECTOR :][: 8 * KIB] for number, at in places.items()} == wanted
    assert len(image) == (48 + 16 * len(USED)) * SECTOR


def test_directories_of_several_sectors() -> None:
    """A disk of 129 tables: two sectors of directory, the 64 held tables change at their edge."""
    size = 128 * 32 * MIB + 512
    output = MemoryOutput()
    writer = writer_of("vmdk", output, size)
    edge = 64 * 32 * MIB
    for start, data in ((edge - MIB, b"a" * 2 * MIB), (size - 512, b"z" * 512)):
        writer.put(start, writer.prepare(start, data))
    writer.finish(Stamp(bytes(range(32)), TIME))
    image = bytes(output.data)
    head = header(image)
    assert (head.rgd_offset, head.gd_offset) == (21, 21 + 2 + 129 * 4)
    for place in (head.rgd_offset, head.gd_offset):
        assert numbers(image, place, 129) == tuple(range(place + 2, place + 2 + 129 * 4, 4))
        entries = numbers(image, place + 2, 129 * 512)
        used = [*range(64 * 512 - 16, 64 * 512 + 16), 128 * 512]
        assert [number for number, entry in enumerate(entries) if entry] == used
        assert [entries[number] for number in used] == list(range(head.over_head, head.over_head + 33 * 128, 128))
    assert check_of(image).clean


def test_holes_inside_grains() -> None:
    """Steps of zeros inside a grain are not written, and read as zeros."""
    data = b"a" * 4096 + bytes(56 * KIB) + b"b" * 4096
    output = MemoryOutput()
    writer = writer_of("vmdk", output, len(data))
    writer.put(0, writer.prepare(0, data))
    assert output.writes == [(64 * KIB, 4096), (124 * KIB, 4096)]


@pytest.mark.parametrize("subformat", [SPARSE, STREAM])
@pytest.mark.parametrize("size", [1, 511, 512, 513, 64 * KIB + 1, MIB - 1])
def test_odd_sizes(subformat: str, size: int) -> None:
    """Whole sectors, not whole grains; the last grain is there as a whole, zeros behind the disk's end."""
    data = random.Random(size).randbytes(size)
    image = made(data, subformat=subformat)
    sectors = -(-size // SECTOR)
    assert header(image).capacity == sectors
    if subformat == STREAM:
        found = front_to_back(image).grains
    else:
        found = {number: image[at * SECTOR :][: 64 * KIB] for number, at in enumerate(numbers(image, 27, 16)) if at}
        assert len(image) % (64 * KIB) == 0
    assert found == grains(data, 64 * KIB)
    assert check_of(image).clean


@pytest.mark.parametrize("subformat", [SPARSE, STREAM])
def test_pieces_that_cross_tables(subformat: str) -> None:
    """Whatever pieces the disk comes in, the image is the same."""
    whole = made(DATA, subformat=subformat, **LITTLE)
    for step in (8 * KIB, 3 * MIB, len(DATA)):
        output = MemoryOutput()
        writer = writer_of("vmdk", output, len(DATA), subformat=subformat, **LITTLE)
        for start in range(0, len(DATA), step):
            writer.put(start, writer.prepare(start, DATA[start : start + step]))
        writer.finish(Stamp(content_digest(DATA, len(DATA)), TIME))
        assert bytes(output.data) == whole


@pytest.mark.parametrize("subformat", [SPARSE, STREAM])
def test_large_disks_are_small(subformat: str) -> None:
    """62 TiB with data at both ends: tables have their places, no more is written than directories and two tables."""
    size = 62 * TIB
    output = MemoryOutput() if subformat == STREAM else Written()
    writer = writer_of("vmdk", output, size, subformat=subformat)
    for start in (0, size - 64 * KIB):
        writer.put(start, writer.prepare(start, b"a" * 64 * KIB))
        writer.zeros(start + 64 * KIB, 1)
    writer.finish(Stamp(bytes(range(32)), TIME))
    tables = size // (32 * MIB)
    if isinstance(output, Written):
        directory = tables * 4 // SECTOR
        assert output.size == (-(-(21 + 2 * directory + 8 * tables) // 128) * 128 + 2 * 128) * SECTOR
        assert output.written < 2 * tables * 4 + MIB
    else:
        seen = front_to_back(bytes(output.data))
        assert seen.order == ["grain", "table", "grain", "table", "directory", "footer", "end"]
        assert len(output.data) < tables * 4 + MIB
        assert check_of(bytes(output.data)).clean


class Written(CountingOutput):
    """Counts the bytes that were really written, too."""

    written = 0

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        self.written += len(data)
        super().write_at(offset, data)
