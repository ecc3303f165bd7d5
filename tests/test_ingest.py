"""The pump: one pass, all digests right, holes not read, errors passed on, threads ended."""

from __future__ import annotations

import hashlib
import io
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import imgtool
from imgtool.errors import InputError, UsageError
from imgtool.ingest import digests
from imgtool.ingest.pump import CHUNK, RING, Pump, digest_source, digest_stream
from imgtool.sources.base import Source
from imgtool.sources.file import FileSource, open_file
from imgtool.sources.memory import BytesSource, Window

SIZES = (0, 1, 511, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7)


def expected(data: bytes, names: tuple[str, ...]) -> dict[str, str]:
    """What hashlib says."""
    return {name: hashlib.new(name, data).hexdigest() for name in names}


def pumps() -> int:
    """Digest threads that live."""
    return sum(thread.name.startswith("digest-") for thread in threading.enumerate())


@pytest.mark.parametrize("size", SIZES)
def test_every_algorithm(size: int) -> None:
    """All that are offered, in one pass, equal hashlib's."""
    data = random.Random(size).randbytes(size)
    assert digest_source(BytesSource(data), digests.ALGORITHMS) == expected(data, digests.ALGORITHMS)
    assert pumps() == 0


@pytest.mark.parametrize("step", [1, 7, 4096, 65_537, CHUNK, 2 * CHUNK + 3])
def test_odd_chunks_of_a_stream(step: int) -> None:
    """However a stream is cut, its digests are those of its bytes; the tap sees each byte once."""
    data = random.Random(5).randbytes(20_000 if step < 4096 else 5 * CHUNK + 17)
    seen = bytearray()
    pump = Pump(("md5", "sha256"))
    with pump:
        chunks = (memoryview(data[start : start + step]) for start in range(0, len(data), step))
        total = digest_stream(chunks, pump, seen.extend)
    assert total == len(data)
    assert seen == data
    assert pump.hexdigests() == expected(data, ("md5", "sha256"))
    assert pumps() == 0


def test_a_stream_that_reuses_its_buffer() -> None:
    """A chunk is copied before the next one overwrites it."""
    data = random.Random(6).randbytes(40 * CHUNK // 8)

    def chunks() -> Iterator[memoryview]:
        buffer = bytearray(100_000)
        for start in range(0, len(data), len(buffer)):
            part = data[start : start + len(buffer)]
            buffer[: len(part)] = part
            yield memoryview(buffer)[: len(part)]

    pump = Pump(("sha256", "sha3_512"))
    with pump:
        digest_stream(chunks(), pump, lambda chunk: None)
    assert pump.hexdigests() == expected(data, ("sha256", "sha3_512"))


class Counting(FileSource):
    """Counts the bytes that are really read."""

    total = 0

    def read_into(self, offset: int, buffer: memoryview) -> int:
        count = super().read_into(offset, buffer)
        self.total += count
        return count


def counting(path: Path) -> Counting:
    """A counting source of a path."""
    fd = os.open(path, os.O_RDONLY)
    return Counting(fd, os.fstat(fd), str(path))


def test_holes_are_not_read(tmp_path: Path) -> None:
    """300 MiB of hole between two pieces: a few blocks are read, the digest is of all bytes."""
    path = tmp_path / "sparse"
    size = 300 << 20
    with open(path, "wb") as file:
        file.write(b"head")
        file.seek(size - 4)
        file.write(b"tail")
    truth = hashlib.sha1(b"head")
    for _ in range(299):
        truth.update(bytes(1 << 20))
    truth.update(bytes((1 << 20) - 8) + b"tail")
    with counting(path) as source:
        assert digest_source(source, ("sha1",)) == {"sha1": truth.hexdigest()}
        assert isinstance(source, Counting)
        assert source.total <= 1 << 20


def test_a_hole_at_the_end_and_nothing_else(tmp_path: Path) -> None:
    """All hole: zeros, none of them read."""
    path = tmp_path / "hole"
    path.write_bytes(b"")
    os.truncate(path, 5 * CHUNK + 3)
    with counting(path) as source:
        assert digest_source(source, ("md5",)) == expected(bytes(5 * CHUNK + 3), ("md5",))
        assert isinstance(source, Counting)
        assert source.total == 0


def test_progress_tells_every_byte(tmp_path: Path) -> None:
    """The sum of what progress is told is the size, holes included; for a stream too."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    os.truncate(path, 3 * CHUNK)
    told: list[int] = []
    with open_file(str(path)) as source:
        digest_source(source, ("md5",), told.append)
    assert sum(told) == 3 * CHUNK
    told.clear()
    imgtool.checksum(io.BytesIO(b"y" * (CHUNK + 5)), progress=told.append)
    assert sum(told) == CHUNK + 5


class Failing(Source):
    """Ten buffers of bytes, then an I/O error."""

    name = "failing"
    size = 64 * CHUNK

    def read_at(self, offset: int, length: int) -> bytes:
        if offset >= 10 * CHUNK:
            raise InputError("failing: cannot read")
        return bytes(length)


def test_an_error_in_the_middle_passes() -> None:
    """The failure comes through, and every thread ends."""
    with pytest.raises(InputError, match="cannot read"):
        digest_source(Failing(), ("md5", "sha256"))
    wait_for_threads()


def test_an_error_of_a_tap_passes() -> None:
    """As does one of who looks at the chunks."""

    def tap(chunk: memoryview) -> None:
        raise RuntimeError("tap")

    pump = Pump(("md5",))
    with pytest.raises(RuntimeError, match="tap"), pump:
        digest_stream([memoryview(b"x")], pump, tap)
    wait_for_threads()


def wait_for_threads() -> None:
    """Digest threads end by themselves after an error: join those that are left."""
    for thread in threading.enumerate():
        if thread.name.startswith("digest-"):
            thread.join(10)
    assert pumps() == 0


def test_memory_is_a_ring() -> None:
    """However slow the digests are, no more than the ring's buffers are lent."""
    pump = Pump(("md5",))
    slots = [pump.slot() for _ in range(RING)]
    assert len({id(slot) for slot in slots}) == RING
    taken = threading.Event()

    def take() -> None:
        pump.slot()
        taken.set()

    waiting = threading.Thread(target=take, daemon=True)
    waiting.start()
    assert not taken.wait(0.05)
    slots[0].lend(1)
    slots[0].release()
    assert taken.wait(10)


def test_a_window_is_digested_alone() -> None:
    """Only the window's bytes."""
    data = random.Random(8).randbytes(3 * CHUNK)
    window = Window(BytesSource(data), 100, 2 * CHUNK)
    assert digest_source(window, ("sha256",)) == expected(data[100 : 100 + 2 * CHUNK], ("sha256",))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("SHA-256", "sha256"), ("sha256", "sha256"), ("Sha3-512", "sha3_512"), (" md5 ", "md5"), ("BLAKE2b", "blake2b")],
)
def test_spellings(typed: str, meant: str) -> None:
    """Algorithms as people write them."""
    assert digests.algorithm(typed) == meant


@pytest.mark.parametrize("typed", ["", "sha", "sha257", "shake_128", "md5;"])
def test_no_such_algorithm(typed: str) -> None:
    """UsageError that names what there is."""
    with pytest.raises(UsageError, match="sha256"):
        digests.algorithm(typed)


@pytest.mark.parametrize("typed", ["sha256", "sha256:", "sha256:abc", f"sha256:{'g' * 64}", f"md5:{'0' * 64}", ":00"])
def test_no_expected_digest(typed: str) -> None:
    """UsageError for what is not ALG:HEX of the right length."""
    with pytest.raises(UsageError):
        digests.parse_expected(typed)


def test_expected_digest_in_any_case() -> None:
    """Hex digits in either case, the algorithm in any spelling."""
    digits = hashlib.sha256(b"").hexdigest()
    assert digests.parse_expected(f"SHA-256: {digits.upper()}") == ("sha256", digits)


def test_checksum_of_everything_that_reads(tmp_path: Path) -> None:
    """Path, PathLike, file object, pipe: the same digests; names as they were meant, once each."""
    data = b"some bytes" * 1000
    path = tmp_path / "file"
    path.write_bytes(data)
    truth = expected(data, ("sha512", "md5"))
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    with open(path, "rb") as file, os.fdopen(reading, "rb") as pipe:
        inputs: list[Any] = [str(path), path, file, io.BytesIO(data), pipe]
        for given in inputs:
            assert imgtool.checksum(given, ("SHA-512", "md5", "sha512")) == truth
