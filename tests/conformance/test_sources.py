"""One suite for every Source: the contract that sources/base.py states."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imgtool.limits import DEFAULT
from imgtool.sources.base import Source
from imgtool.sources.file import open_file
from imgtool.sources.fileobj import FileObjectSource
from imgtool.sources.held import HeldStream
from imgtool.sources.joined import Joined
from imgtool.sources.memory import BytesSource, Peeked, Window

DATA = random.Random(11).randbytes(70_001) + bytes(200_000) + random.Random(12).randbytes(30_123)


def of_file(data: bytes, folder: Path) -> Source:
    """A file, with a hole where `data` has a long run of zeros."""
    path = folder / "file"
    with open(path, "wb") as file:
        for start in range(0, len(data), 4096):
            block = data[start : start + 4096]
            if block.count(0) == len(block):
                file.seek(len(block), os.SEEK_CUR)
            else:
                file.write(block)
        file.truncate(len(data))
    return open_file(str(path))


def of_stream(data: bytes, folder: Path) -> Source:
    """A stream that was kept whole."""
    held = HeldStream("-", DEFAULT)
    for start in range(0, len(data), 9_999):
        held.take(memoryview(data[start : start + 9_999]))
    held.ended = True
    return held.source()


def of_windows_of_a_stream(data: bytes, folder: Path) -> Source:
    """A stream of which head, tail and one window make up the whole."""
    third = len(data) // 3
    limits = DEFAULT._replace(stream_head=third + 1, stream_tail=third + 1, stream_windows=1 << 20)
    held = HeldStream("-", limits)
    for start in range(0, len(data), 5_000):
        held.take(memoryview(data[start : start + 5_000]))
        held.want([(third, third + 1)])
    held.ended = True
    return held.source()


MAKERS: dict[str, Callable[[bytes, Path], Source]] = {
    "FileSource": of_file,
    "BytesSource": lambda data, folder: BytesSource(data),
    "Window": lambda data, folder: Window(BytesSource(b"before" + data + b"behind"), 6, len(data)),
    "Window of FileSource": lambda data, folder: Window(of_file(bytes(8192) + data + b"!", folder), 8192, len(data)),
    "Window cut at the end": lambda data, folder: Window(BytesSource(b"before" + data), 6, 1 << 70),
    "Peeked": lambda data, folder: Peeked(BytesSource(data), 4_000, 1_000),
    "Peeked whole": lambda data, folder: Peeked(BytesSource(data), 1 << 20, 1_000),
    "Peeked FileSource": lambda data, folder: Peeked(of_file(data, folder), 68 * 1024, 16 * 1024),
    "FileObjectSource": lambda data, folder: FileObjectSource(io.BytesIO(data)),
    "FileObjectSource, buffered": lambda data, folder: FileObjectSource(io.BufferedReader(io.BytesIO(data))),
    "Joined": lambda data, folder: Joined(
        [
            BytesSource(data[:777]),
            BytesSource(b""),
            Window(BytesSource(data), 777, 99_999),
            BytesSource(data[100_776:]),
        ],
        "joined",
    ),
    "HeldSource": of_stream,
    "HeldSource, windows": of_windows_of_a_stream,
}


@pytest.fixture(params=MAKERS, ids=lambda name: name.replace(" ", "-"))
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[bytes], Source]]:
    """Makes a source of given bytes; closed afterwards."""
    made: list[Source] = []

    def maker(data: bytes) -> Source:
        made.append(MAKERS[request.param](data, tmp_path))
        return made[-1]

    yield maker
    for source in made:
        source.close()


def test_size_and_name(make: Callable[[bytes], Source]) -> None:
    """Its size is the number of its bytes; it has a name."""
    source = make(DATA)
    assert source.size == len(DATA)
    assert isinstance(source.name, str)


def test_ranges(make: Callable[[bytes], Source]) -> None:
    """Exactly the bytes that exist in the range: fewer only at the end, none past it."""
    source = make(DATA)
    size = len(DATA)
    edges = sorted(
        {0, 1, 3_999, 4_000, 4_001, 69_631, 70_001, size // 3, size - 16_384, size - 1_000, size - 1, size}
    )
    for offset in edges:
        for length in (0, 1, 2, 511, 4_096, 70_000, size, size + 1):
            got = source.read_at(offset, length)
            assert type(got) is bytes
            assert got == DATA[offset : offset + length]


def test_past_the_end(make: Callable[[bytes], Source]) -> None:
    """Nothing, however far; a length over the end is cut."""
    source = make(DATA)
    for offset in (len(DATA), len(DATA) + 1, 1 << 40, 1 << 63, 1 << 80):
        assert source.read_at(offset, 10) == b""
    assert source.read_at(len(DATA) - 3, 1 << 70) == DATA[-3:]


def test_negative_is_a_bug_of_the_caller(make: Callable[[bytes], Source]) -> None:
    """ValueError, for offset and length alike."""
    source = make(DATA)
    for offset, length in ((-1, 10), (0, -1), (-5, -5)):
        with pytest.raises(ValueError, match="negative"):
            source.read_at(offset, length)


def test_nothing_at_all(make: Callable[[bytes], Source]) -> None:
    """An empty source has size 0, no bytes and no extents."""
    source = make(b"")
    assert source.size == 0
    assert source.read_at(0, 100) == b""
    assert list(source.data_extents()) == []


def test_one_byte(make: Callable[[bytes], Source]) -> None:
    """The smallest source that has anything."""
    source = make(b"x")
    assert source.read_at(0, 100) == b"x"
    assert source.read_at(1, 1) == b""
    assert list(source.data_extents()) == [(0, 1)]


def test_extents_tile(make: Callable[[bytes], Source]) -> None:
    """In order, inside, not touching backwards; with zeros between them they make up the bytes."""
    source = make(DATA)
    rebuilt = bytearray(len(DATA))
    position = 0
    for start, length in source.data_extents():
        assert start >= position
        assert length > 0
        assert start + length <= source.size
        rebuilt[start : start + length] = source.read_at(start, length)
        position = start + length
    assert bytes(rebuilt) == DATA


def test_concurrent_readers(make: Callable[[bytes], Source]) -> None:
    """Several threads read at once and each gets its own bytes."""
    source = make(DATA)

    def reads(seed: int) -> bool:
        chance = random.Random(seed)
        places = [(chance.randrange(len(DATA)), chance.randrange(5_000)) for _ in range(200)]
        return all(source.read_at(at, length) == DATA[at : at + length] for at, length in places)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(reads, range(8)))


def test_closing_twice_is_fine(make: Callable[[bytes], Source]) -> None:
    """As is leaving it as a context."""
    source = make(DATA)
    with source:
        pass
    source.close()


def test_allocated_is_bytes_or_unknown(make: Callable[[bytes], Source]) -> None:
    """Never negative; None where nobody knows."""
    allocated = make(DATA).allocated
    assert allocated is None or allocated >= 0


def test_a_hole_is_not_an_extent(tmp_path: Path) -> None:
    """A sparse file's holes are left out."""
    path = tmp_path / "sparse"
    with open(path, "wb") as file:
        file.write(b"head")
        file.seek(64 << 20)
        file.write(b"tail")
    with open_file(str(path)) as source:
        extents = list(source.data_extents())
        assert sum(length for _, length in extents) < 1 << 20
        assert source.allocated is not None
        assert source.allocated < 1 << 20


def test_a_file_that_shrinks_gives_what_is_left(tmp_path: Path) -> None:
    """Fewer bytes than the size said: what exists, no endless loop; and it is told as changed."""
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with open_file(str(path)) as source:
        os.truncate(path, 100)
        assert source.read_at(0, 1_000) == DATA[:100]
        assert source.size == len(DATA)
        assert source.changed() == "size"
