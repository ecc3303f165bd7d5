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
from imgtool.ingest.pump import CHUNK, RING, SMALL, Pump, digest_source, digest_stream
from imgtool.ingest.ranges import Range, RangeDigests
from imgtool.sources.base import NotHeldError, Source
from imgtool.sources.file import FileSource, open_file
from imgtool.sources.forward import ForwardSource
from imgtool.sources.memory import BytesSource, Window

SIZES = (0, 1, 511, CHUNK, SMALL - 1, SMALL, SMALL + 1, SMALL + CHUNK, SMALL + 3 * CHUNK + 7)


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
    os.truncate(path, 5 * SMALL + 3)
    with counting(path) as source:
        assert digest_source(source, ("md5",)) == expected(bytes(5 * SMALL + 3), ("md5",))
        assert isinstance(source, Counting)
        assert source.total == 0


def test_progress_tells_every_byte(tmp_path: Path) -> None:
    """The sum of what progress is told is the size, holes included; for a stream too."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    os.truncate(path, 3 * SMALL)
    told: list[int] = []
    with open_file(str(path)) as source:
        digest_source(source, ("md5",), told.append)
    assert sum(told) == 3 * SMALL
    told.clear()
    imgtool.checksum(io.BytesIO(b"y" * (SMALL + 5)), progress=told.append)
    assert sum(told) == SMALL + 5


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
    with pump:
        pump.send(slots[0], memoryview(b"x"))
        assert taken.wait(10)


def test_an_error_of_a_digest_passes() -> None:
    """What fails in a thread is raised where the bytes are read, and every thread ends."""

    class Broken(RangeDigests):
        """Fails when its second buffer comes."""

        def __bool__(self) -> bool:
            return True

        def take(self, position: int, data: memoryview) -> None:
            if position:
                raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        digest_source(BytesSource(bytes(4 * SMALL)), ("md5",), ranges=Broken())
    wait_for_threads()


@pytest.mark.parametrize("cores", [1, 2, 3, 64])
def test_the_caller_works_too(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread for each core but the caller's, at least one, and no more than there are digests."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    data = random.Random(cores).randbytes(2 * SMALL)
    names = ("md5", "sha1", "sha256", "sha512")
    pump = Pump(names)
    with pump:
        assert pumps() == max(1, min(cores - 1, len(names)))
        digest_stream([memoryview(data)], pump, lambda chunk: None)
    assert pump.hexdigests() == expected(data, names)


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


def test_ranges_in_the_one_pass() -> None:
    """Digests of ranges that overlap, touch, are empty or lie across buffers come with those of the whole."""
    data = random.Random(9).randbytes(SMALL + 4 * CHUNK + 99)
    places = [(0, 0), (0, 1), (5, 3 * CHUNK), (CHUNK - 1, 2), (CHUNK, CHUNK), (2 * CHUNK + 7, 50), (len(data), 0)]
    places += [(len(data) - 9, 9), (0, len(data))]
    wanted = [Range(start, length, name) for start, length in places for name in ("sha1", "sha256")]
    tap = RangeDigests([*wanted, Range(len(data) - 1, 2, "md5")])
    sums = digest_source(BytesSource(data), ("md5",), ranges=tap)
    assert sums == expected(data, ("md5",))
    told = {one: hashlib.new(one.algorithm, data[one.offset : one.offset + one.length]).hexdigest() for one in wanted}
    assert tap.found == told  # what ends behind the end is not found
    assert pumps() == 0


def test_ranges_alone_and_of_small_files() -> None:
    """Without a digest of the whole only ranges are computed; what fits one buffer needs no thread."""
    for size in (100, 2 * SMALL + 5):
        data = random.Random(size).randbytes(size)
        tap = RangeDigests([Range(10, 50, "sha256")])
        assert digest_source(BytesSource(data), (), ranges=tap) == {}
        assert list(tap.found.values()) == [hashlib.sha256(data[10:60]).hexdigest()]


def test_a_range_that_is_asked_for_late() -> None:
    """One that began already is taken up where its beginning is still there, else it is not found."""
    data = random.Random(4).randbytes(3 * CHUNK)
    tap = RangeDigests()
    tap.take(0, memoryview(data)[: 2 * CHUNK])
    late, lost, done = Range(CHUNK, CHUNK + 500, "sha1"), Range(0, 3 * CHUNK, "sha1"), Range(CHUNK + 3, 8, "md5")
    tap.want((late, lost, done), 2 * CHUNK, lambda at, length: data[at : at + length] if at >= CHUNK else None)
    tap.take(2 * CHUNK, memoryview(data)[2 * CHUNK :])
    assert tap.found == {
        late: hashlib.sha1(data[CHUNK : 2 * CHUNK + 500]).hexdigest(),
        done: hashlib.md5(data[CHUNK + 3 : CHUNK + 11]).hexdigest(),
    }


def test_forward_source() -> None:
    """Reads from front to back, a bit back too; what went by long ago is not held; the end is known when it comes."""
    data = random.Random(6).randbytes(1_000_000)
    source = ForwardSource((data[start : start + 70_001] for start in range(0, len(data), 70_001)), "x")
    assert source.read_at(0, 10) == data[:10]
    assert source.read_at(300_000, 5) == data[300_000:300_005]
    assert source.read_at(299_500, 100) == data[299_500:299_600]
    with pytest.raises(NotHeldError):
        source.read_at(10, 1)
    assert not source.ended
    assert source.read_at(999_990, 100) == data[999_990:]
    assert source.ended
    assert source.position == source.drain() == len(data)


def test_a_signal_that_left_the_lock_held() -> None:
    """It can raise just as the lock was taken: leaving the pump waits for nothing, and its threads end."""
    pump = Pump(("sha256",))

    def broken_off() -> None:
        with pump:
            pump._changed.acquire()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    taken: list[bool] = []
    other = threading.Thread(target=lambda: taken.append(pump._changed.acquire(timeout=5)))
    other.start()
    other.join()
    assert taken == [True]
