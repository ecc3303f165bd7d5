"""Whole disks in order: runs on their grid, order kept, errors passed on, threads ended."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from imgtool.disks.stream import GRID, PIECE, Run, chunks, over_pieces, runs
from imgtool.sources.disk import Disk, DiskError
from tests.disks.test_digest import Told
from tests.kit import ROOT


def reading() -> set[threading.Thread]:
    """Threads of this room that are alive."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("read")}


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """After every test."""
    yield
    assert reading() == set()


def sample(seed: int) -> Told:
    """A disk of a few MiB with zeros here and there."""
    chance = random.Random(seed)
    data = bytearray(chance.randbytes(chance.randrange(1, 5 * PIECE)))
    zeros: list[tuple[int, int]] = []
    at = 0
    while at < len(data):
        start = min(len(data), at + chance.choice((0, 100, GRID, PIECE)))
        end = min(len(data), start + chance.choice((1, 700, GRID, 2 * GRID + 1, PIECE)))
        if start < end:
            data[start:end] = bytes(end - start)
            zeros.append((start, end))
        at = end + 512
    return Told(bytes(data), zeros)


@pytest.mark.parametrize("seed", range(10))
def test_runs_lie_on_the_grid(seed: int) -> None:
    """They tile the range, alternate, and zeros begin and end at multiples of it, but for the range's ends."""
    disk = sample(seed)
    chance = random.Random(seed)
    for _ in range(5):
        low = chance.choice((0, chance.randrange(disk.size)))
        length = chance.choice((disk.size, chance.randrange(disk.size)))
        high = min(disk.size, low + length)
        found = list(runs(disk, low, length))
        assert sum(run.length for run in found) == high - low
        at = low
        for index, run in enumerate(found):
            assert run.start == at
            assert run.length > 0
            at += run.length
            if index:
                assert run.zeros != found[index - 1].zeros
                assert run.start % GRID == 0
            if run.zeros:
                assert not disk.data[run.start : run.start + run.length].strip(b"\0")


@pytest.mark.parametrize("threads", [None, 1, 3])
def test_pieces_come_in_order(threads: int | None) -> None:
    """However long each takes; zeros are not read."""
    disk = sample(77)

    def work(run: Run, data: bytes) -> bytes:
        if run.start // PIECE % 2 == 0:
            threading.Event().wait(0.01)
        return data

    rebuilt = bytearray()
    for run, data in over_pieces(disk, work, threads=threads):
        assert run.start == len(rebuilt)
        assert run.zeros == (data is None)
        if data is not None:
            assert run.start // PIECE == (run.start + run.length - 1) // PIECE
        rebuilt += bytes(run.length) if data is None else data
    assert bytes(rebuilt) == disk.data


def test_chunks() -> None:
    """The bytes of a part of the disk."""
    disk = sample(5)
    got = b"".join(data if data is not None else bytes(run.length) for run, data in chunks(disk, 1000, 200_000))
    assert got == disk.data[1000:201_000]


class Failing(Told):
    """A disk that cannot be read from some place on."""

    def read_at(self, offset: int, length: int) -> bytes:
        if offset >= 3 * PIECE:
            raise DiskError("here")
        return super().read_at(offset, length)


def test_an_error_in_the_middle() -> None:
    """What comes before it comes; then it is raised, and the threads end."""
    disk = Failing(bytes(40 * PIECE), [])
    seen: list[int] = []
    with pytest.raises(DiskError, match="here"):
        seen.extend(run.start for run, _ in chunks(disk))
    assert seen == [0, PIECE, 2 * PIECE]
    assert disk.reads < 40


def test_an_error_of_the_work() -> None:
    """Raised as it is."""

    def work(run: Run, data: bytes) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(over_pieces(Told(bytes(4 * PIECE), []), work))


def test_an_error_of_the_extents() -> None:
    """Raised where it comes, too."""

    class Torn(Told):
        """Extents that end in an error."""

        def extents(self, start: int = 0, length: int | None = None) -> Iterator[object]:  # type: ignore[override] # it fails
            yield next(super().extents(0, PIECE))
            raise DiskError("torn")

    with pytest.raises(DiskError, match="torn"):
        list(chunks(Torn(bytes(9 * PIECE), [])))


def test_stopping_early() -> None:
    """A caller that has enough leaves; no more than what was under way is read."""
    disk = Told(bytes(200 * PIECE), [])
    pieces = chunks(disk)
    assert next(pieces)[0] == Run(0, PIECE, False)
    pieces.close()  # type: ignore[attr-defined] # a generator
    assert disk.reads < 40


def test_memory_is_bounded() -> None:
    """A caller that is slow is not outrun."""
    disk = Told(bytes(100 * PIECE), [])
    pieces = chunks(disk)
    for _ in range(3):
        next(pieces)
    assert disk.reads < 40
    pieces.close()  # type: ignore[attr-defined] # a generator


def test_an_empty_disk() -> None:
    """No runs, no pieces."""
    empty: Disk = Told(b"", [])
    assert list(runs(empty)) == []
    assert list(chunks(empty)) == []


COPY = """
import resource, sys
from imgtool.disks.open import open_disk
from imgtool.disks.stream import over_pieces
with open_disk(sys.argv[1], format="raw") as disk:
    for round in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        read = sum(len(data) for _, data in over_pieces(disk, lambda run, data: data))
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(read >> 20, faults)
"""


def test_memory_of_pieces_is_used_again(tmp_path: Path) -> None:
    """Far fewer pages are asked of the system than were read: pieces do not each take fresh memory."""
    path = tmp_path / "image.raw"
    path.write_bytes(b"x" * (128 << 20))
    done = subprocess.run([sys.executable, "-c", COPY, str(path)], cwd=ROOT, capture_output=True, check=True)
    mebibytes, faults = map(int, done.stdout.split())
    assert mebibytes == 128
    assert faults < 128 * 256 // 8
