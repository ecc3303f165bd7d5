"""Content digests: the block digest against its definition, written down here again; one for a disk in any format."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import imgtool
from imgtool.disks.digest import block_digest, content_digests
from imgtool.errors import UsageError
from imgtool.model.values import Extent
from imgtool.sources.disk import Disk, DiskError, clip
from imgtool.sources.flat import FlatDisk
from imgtool.sources.memory import BytesSource
from tests.kit import qemu_create
from tests.oracle.disks_kit import convert, scribble

BLOCK = 65_536


def sha(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


def defined(data: bytes) -> str:
    """The block digest by its definition, all of it in memory."""
    row = [sha(b"\0" + data[at : at + BLOCK].ljust(BLOCK, b"\0")) for at in range(0, len(data), BLOCK)]
    while len(row) > 1:
        row = [sha(b"\1" + b"".join(row[at : at + 256])) for at in range(0, len(row), 256)]
    return sha(b"\2" + len(data).to_bytes(8, "big") + (row[0] if row else bytes(32))).hex()


class Told(Disk):
    """Bytes whose extents are told: runs of zeros from a list of (start, end) that must be zeros."""

    __slots__ = ("data", "reads", "zeros")

    def __init__(self, data: bytes, zeros: list[tuple[int, int]]) -> None:
        self.data = data
        self.name = "told"
        self.size = len(data)
        self.zeros = zeros
        self.reads = 0

    def read_at(self, offset: int, length: int) -> bytes:
        self.reads += 1
        return self.data[offset : offset + length]

    def extents(self, start: int = 0, length: int | None = None) -> Iterator[Extent]:
        start, end = clip(self.size, start, length)
        for begin, after in self.zeros:
            if start < min(begin, end):
                yield Extent(start, min(begin, end) - start, "data")
            low, high = max(begin, start), min(after, end)
            if low < high:
                yield Extent(low, high - low, "hole")
            start = max(start, high)
        if start < end:
            yield Extent(start, end - start, "data")


SIZES = (0, 1, 511, 65_535, 65_536, 65_537, 131_072, 1_000_001, 256 * BLOCK, 256 * BLOCK + 1, 257 * BLOCK)


@pytest.mark.parametrize("size", SIZES)
def test_as_defined(size: int) -> None:
    """Odd sizes, whole blocks, just over a node; whether the zeros are known or not."""
    zeros = bytes(size)
    expected = defined(zeros)
    assert block_digest(FlatDisk(BytesSource(zeros), size)) == expected
    assert block_digest(Told(zeros, [(0, size)] if size else [])) == expected
    data = random.Random(size).randbytes(min(size, 70_000)) + bytes(max(0, size - 70_000))
    assert block_digest(FlatDisk(BytesSource(data), size)) == defined(data)


def test_holes_make_no_difference() -> None:
    """Runs of zeros that begin and end anywhere, small ones, large ones, told or not."""
    for seed in range(12):
        chance = random.Random(seed)
        data = bytearray(chance.randbytes(chance.randrange(20, 45) * BLOCK + chance.choice((0, 1, 77, 65_535))))
        zeros: list[tuple[int, int]] = []
        at = 0
        while at < len(data):
            start = min(len(data), at + chance.choice((0, 1, 500, BLOCK, 3 * BLOCK + 1)))
            end = min(len(data), start + chance.choice((1, 512, BLOCK, 4 * BLOCK, 11 * BLOCK + 5)))
            if start < end:
                data[start:end] = bytes(end - start)
                zeros.append((start, end))
            at = end + chance.choice((1, 512, BLOCK))
        assert block_digest(Told(bytes(data), zeros)) == block_digest(Told(bytes(data), [])) == defined(bytes(data))


def test_large_zeros() -> None:
    """Far beyond one subtree, with a little data in the middle: as the tree over all blocks gives."""

    class Sparse(Told):
        """Zeros but for 100 bytes; never in memory."""

        def read_at(self, offset: int, length: int) -> bytes:
            assert length <= 1 << 20
            data = bytearray(length)
            low, high = max(offset, self.zeros[0][1]), min(offset + length, self.zeros[1][0])
            if low < high:
                data[low - offset : high - offset] = b"x" * (high - low)
            return bytes(data)

    size, at = (1 << 36) + 12_345, (1 << 35) + 70_001
    sparse = Sparse(b"", [(0, at), (at + 100, size)])
    sparse.size = size
    count = -(-size // BLOCK)
    row: dict[int, bytes] = {at // BLOCK: sha(b"\0" + (bytes(at % BLOCK) + b"x" * 100).ljust(BLOCK, b"\0"))}
    zero = sha(b"\0" + bytes(BLOCK))
    while count > 1:
        above, nodes = -(-count // 256), {}
        for node in {index // 256 for index in row} | {above - 1}:
            children = [row.get(index, zero) for index in range(node * 256, min(count, node * 256 + 256))]
            nodes[node] = sha(b"\1" + b"".join(children))
        zero, row, count = sha(b"\1" + zero * 256), nodes, above
    assert block_digest(sparse) == sha(b"\2" + size.to_bytes(8, "big") + row.get(0, zero)).hex()


def test_an_empty_disk_costs_next_to_nothing(tmp_path: Path) -> None:
    """4 TiB of holes: no byte is read, well under a second of processor time."""
    path = tmp_path / "x.raw"
    with open(path, "wb") as file:
        file.truncate(4 << 40)
    begin = time.process_time()
    imgtool.checksum(path, content=True)
    assert time.process_time() - begin < 1.0


FORMS = (
    ("qcow2", "qcow2", ()),
    ("qcow2", "qcow2", ("cluster_size=4k", "compression_type=zstd")),
    ("vmdk", "vmdk", ()),
    ("vmdk", "vmdk", ("subformat=streamOptimized",)),
    ("vdi", "vdi", ()),
    ("vhdx", "vhdx", ()),
    ("vpc", "vhd", ("force_size=on",)),
    ("vpc", "vhd", ("subformat=fixed", "force_size=on")),
    ("parallels", "parallels", ()),
    ("qed", "qed", ()),
    ("qcow", "qcow", ()),
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw image of 9 MiB with data here and there."""
    path = qemu_create(tmp_path_factory.mktemp("digest") / "x.raw", "raw", 9 << 20)
    return scribble(path, "raw", "digest", unit=4096, zeros=False, discards=False, align=512)


@pytest.mark.oracle
@pytest.mark.parametrize(("form", "name", "options"), FORMS)
def test_equal_in_every_format(source: Path, tmp_path: Path, form: str, name: str, options: tuple[str, ...]) -> None:
    """What qemu-img converts has the same digests, plain and of blocks, compressed or not."""
    data = source.read_bytes()
    expected = {"blocks": defined(data), "sha256": hashlib.sha256(data).hexdigest()}
    packed = ("-c",) if form == "qcow2" or "subformat=streamOptimized" in options else ()
    path = convert(source, "raw", tmp_path / "x", form, *options, extra=packed)
    assert imgtool.checksum(path, ("blocks", "sha256"), content=True, format=name) == expected


def test_equal_in_every_wrapper(source: Path) -> None:
    """And in wrappers; by default it is the block digest that is computed."""
    data = source.read_bytes()
    for packed in (data, gzip.compress(data, 1), bz2.compress(data, 1), lzma.compress(data, preset=0)):
        assert imgtool.checksum(io.BytesIO(packed), content=True) == {"blocks": defined(data)}


def test_sparse_or_not(source: Path, tmp_path: Path) -> None:
    """Zeros that are written and zeros that are holes."""
    full = tmp_path / "full.raw"
    full.write_bytes(source.read_bytes())
    assert os.stat(full).st_blocks > os.stat(source).st_blocks
    assert imgtool.checksum(full, content=True) == imgtool.checksum(source, content=True)


def test_another_size_is_another_digest() -> None:
    """Zeros at the end count."""
    short, long = (block_digest(FlatDisk(BytesSource(bytes(size)), size)) for size in (512, 513))
    assert short != long


def test_what_may_be_asked() -> None:
    """Names in the order they were asked; unknown ones, and `format` without `content`, are the caller's mistake."""
    disk = FlatDisk(BytesSource(b"abc"), 3)
    assert list(content_digests(disk, ["md5", "blocks", "sha256"])) == ["md5", "blocks", "sha256"]
    assert content_digests(disk, ["md5"]) == {"md5": hashlib.md5(b"abc").hexdigest()}
    with pytest.raises(UsageError):
        content_digests(disk, ["sha257"])
    with pytest.raises(UsageError, match="content"):
        imgtool.checksum(io.BytesIO(b"abc"), format="raw")
    with pytest.raises(UsageError):
        imgtool.checksum(io.BytesIO(b"abc"), ("blocks",))


def test_progress_and_errors() -> None:
    """Progress adds up to the disk's size; a disk that cannot be read has no digest."""
    seen: list[int] = []
    block_digest(Told(bytes(10 * BLOCK + 3), [(BLOCK, 5 * BLOCK)]), seen.append)
    assert sum(seen) == 10 * BLOCK + 3
    with pytest.raises(DiskError):
        block_digest(FlatDisk(BytesSource(bytes(BLOCK)), 3 * BLOCK))
