"""Decoded bytes at any place: the same as decoding in order, with bounded work and memory; and what is told of
data that do not hold."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import lz4.frame
import pytest
import zstandard

from imgtool.codecs.decode import Expected, Method, decode
from imgtool.codecs.feed import CHUNK
from imgtool.codecs.seekable import SeekableDecoding
from imgtool.disks.open import open_disk
from imgtool.errors import UnsupportedError
from imgtool.limits import DEFAULT, Limits
from imgtool.sources.disk import DiskError
from imgtool.sources.memory import BytesSource
from tests.kit import need, run

#: Small caps: marks every 256 KiB, few of them, one chunk that is kept.
TIGHT = DEFAULT._replace(wrapper_mark=256 * 1024, wrapper_marks=8, wrapper_kept=CHUNK)

WORDS = random.Random(41).randbytes(550_000).hex().encode()
DATA = (
    WORDS[:900_001] + bytes(700_000) + random.Random(42).randbytes(1_300_000) + WORDS + random.Random(43).randbytes(7)
)

THIRDS = (DATA[:1_000_003], DATA[1_000_003:2_500_000], DATA[2_500_000:])


class Counting(BytesSource):
    """Counts the bytes that were read."""

    __slots__ = ("count",)

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.count = 0

    def read_at(self, offset: int, length: int) -> bytes:
        data = super().read_at(offset, length)
        self.count += len(data)
        return data


def raw_deflate(data: bytes) -> bytes:
    """Deflate without a wrapper."""
    machine = zlib.compressobj(6, zlib.DEFLATED, -15)
    return machine.compress(data) + machine.flush()


PACKED: dict[str, tuple[Method, Callable[[], bytes]]] = {
    "gzip": ("gzip", lambda: gzip.compress(DATA, 6)),
    "gzip-members": ("gzip", lambda: b"".join(gzip.compress(part, 1) for part in THIRDS)),
    "deflate": ("deflate", lambda: raw_deflate(DATA)),
    "bzip2": ("bzip2", lambda: bz2.compress(DATA, 1)),
    "bzip2-streams": ("bzip2", lambda: b"".join(bz2.compress(part, 1) for part in THIRDS)),
    "xz": ("xz", lambda: lzma.compress(DATA, preset=0)),
    "xz-streams": ("xz", lambda: b"".join(lzma.compress(part, preset=0) + bytes(8) for part in THIRDS)),
    "lzma": ("lzma", lambda: lzma.compress(DATA, lzma.FORMAT_ALONE, preset=0)),
    "zstd": ("zstd", lambda: zstandard.compress(DATA)),
    "zstd-frames": ("zstd", lambda: b"".join(zstandard.compress(part) for part in THIRDS)),
    "lz4": ("lz4", lambda: lz4.frame.compress(DATA)),
    "lz4-frames": ("lz4", lambda: b"".join(lz4.frame.compress(part) for part in THIRDS)),
}


def seekable(method: Method, packed: bytes, limits: Limits = TIGHT, size: int | None = None) -> SeekableDecoding:
    """Packed bytes as what they decode to."""
    return SeekableDecoding(decode(method, BytesSource(packed), limits), "packed", limits, size)


@pytest.mark.parametrize("name", PACKED)
def test_any_range(name: str) -> None:
    """Its size and its bytes at random places, forwards and backwards."""
    method, make = PACKED[name]
    source = seekable(method, make())
    assert source.size == len(DATA)
    chance = random.Random(name)
    for _ in range(8):
        start, length = chance.randrange(len(DATA) + 10), chance.randrange(1 << chance.randrange(22))
        assert source.read_at(start, length) == DATA[start : start + length]
    assert b"".join(source.read_at(start, 99_999) for start in range(0, len(DATA), 99_999)) == DATA
    assert source.read_at(len(DATA), 1) == b""
    assert source.read_at(1 << 70, 1) == b""


@pytest.mark.parametrize("name", ["gzip", "xz-streams", "zstd-frames"])
def test_several_threads(name: str) -> None:
    """Each gets its own bytes."""
    method, make = PACKED[name]
    source = seekable(method, make(), DEFAULT)

    def reads(seed: int) -> bool:
        chance = random.Random(seed)
        places = [(chance.randrange(len(DATA)), chance.randrange(50_000)) for _ in range(50)]
        return all(source.read_at(start, length) == DATA[start : start + length] for start, length in places)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(reads, range(4)))


@pytest.mark.parametrize(
    ("name", "most"), [("gzip", 0.3), ("deflate", 0.3), ("zstd-frames", 0.6), ("lz4-frames", 0.6)]
)
def test_going_back_does_not_begin_again(name: str, most: float) -> None:
    """Close to the end, backwards: a part of the compressed bytes is read again, not all."""
    method, make = PACKED[name]
    packed = Counting(make())
    source = SeekableDecoding(decode(method, packed, TIGHT), "packed", TIGHT)
    source.read_at(0, 10)
    source.read_at(len(DATA) - 10, 10)
    packed.count = 0
    source.read_at(CHUNK + 5, 10)
    assert 0 < packed.count < most * packed.size


def test_marks_are_thinned_out() -> None:
    """As many as the cap says; then they are further apart."""
    limits = TIGHT._replace(wrapper_mark=1, wrapper_marks=4)
    source = seekable("gzip", gzip.compress(DATA, 1), limits)
    for start in (3_000_000, 10, 2_000_000, 1_000_000):
        assert source.read_at(start, 1_000) == DATA[start : start + 1_000]
    assert len(source._marks) <= 4
    assert len(source._kept) <= 1
    assert len(source._runs) <= 2


@pytest.mark.parametrize("cut", [20, 400_000])
@pytest.mark.parametrize("name", PACKED)
def test_cut_short(name: str, cut: int) -> None:
    """Of unknown size: DiskError when opened. Of a known one: what comes before the cut can be read."""
    method, make = PACKED[name]
    packed = make()[:-cut]
    if name not in ("xz-streams", "lzma") or cut > 20:
        with pytest.raises(DiskError):
            seekable(method, packed)
    known = seekable(method, packed, size=len(DATA))
    assert known.read_at(0, 1_000) == DATA[:1_000]
    if cut > 20:
        for _ in range(3):
            with pytest.raises(DiskError):
                known.read_at(len(DATA) - 10, 10)
        assert known.read_at(5, 1_000) == DATA[5:1_005]


@pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1, len(DATA) + 5 * CHUNK, 10, 1 << 60])
def test_a_size_that_lies(size: int) -> None:
    """What is declared must come out, no more and no less."""
    source = seekable("gzip", gzip.compress(DATA, 1), size=size)
    with pytest.raises(DiskError, match="declared"):
        source.read_at(max(0, min(size, len(DATA)) - 10), 20)


def test_a_checksum_that_lies() -> None:
    """Read in order to the end, the CRC-32 that a directory declares is checked."""
    decoding = decode("deflate", BytesSource(raw_deflate(DATA)), TIGHT, expected=Expected(len(DATA), 1))
    source = SeekableDecoding(decoding, "packed", TIGHT, len(DATA))
    assert source.read_at(0, 10) == DATA[:10]
    with pytest.raises(DiskError, match="CRC-32"):
        source.read_at(len(DATA) - 10, 10)


def test_caps_hold() -> None:
    """Output over its cap is an error, as anywhere."""
    with pytest.raises(DiskError, match="over the cap"):
        seekable("gzip", gzip.compress(DATA, 1), TIGHT._replace(wrapper_output=1 << 20))


def test_malformed() -> None:
    """Bytes that do not decode: told once and again, without decoding all of it each time."""
    packed = bytearray(gzip.compress(DATA, 6))
    packed[len(packed) // 2 : len(packed) // 2 + 50] = bytes(50)
    source = seekable("gzip", bytes(packed), size=len(DATA))
    assert source.read_at(0, 100) == DATA[:100]
    for _ in range(5):
        with pytest.raises(DiskError):
            source.read_at(len(DATA) - 10, 10)


@pytest.fixture(scope="module")
def blocks() -> bytes:
    """An .xz file with several blocks, made by xz."""
    return run(need("xz"), "-0", "--block-size=300000", "-T1", "-c", stdin=DATA)


def test_blocks_of_xz(blocks: bytes) -> None:
    """The index tells the size and where each begins: the last byte costs one block."""
    packed = Counting(blocks)
    with open_disk(io.BytesIO(blocks), limits=TIGHT) as disk:
        assert disk.size == len(DATA)
        chance = random.Random("blocks")
        for _ in range(40):
            start, length = chance.randrange(len(DATA)), chance.randrange(200_000)
            assert disk.read_at(start, length) == DATA[start : start + length]
    from imgtool.containers.compressed.xz import _blocks

    source = SeekableDecoding(decode("xz", packed, TIGHT, blocks=lambda: _blocks(packed, TIGHT)), "packed", TIGHT)
    assert source.size == len(DATA)
    before = packed.count
    assert source.read_at(len(DATA) - 3, 3) == DATA[-3:]
    assert packed.count - before < packed.size / 3


def test_an_index_that_lies(blocks: bytes) -> None:
    """One whose checksums hold and that gives a block another size than it has."""
    footer = blocks[-12:]
    length = (struct.unpack("<I", footer[4:8])[0] + 1) * 4
    index = bytearray(blocks[-12 - length : -12])
    at = index.index(bytes((0xE0, 0xA7, 0x12)))  # 300,000
    index[at] ^= 1
    index[-4:] = struct.pack("<I", zlib.crc32(index[:-4]))
    lying = blocks[: -12 - length] + bytes(index) + footer
    with pytest.raises(DiskError, match="index"), open_disk(io.BytesIO(lying), limits=TIGHT) as disk:
        disk.read_at(0, disk.size)


def zipped(method: int) -> bytes:
    """An archive of one file."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        archive.writestr("disk.raw", DATA)
    return made.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip(method: int) -> None:
    """The one file of an archive, whatever its method."""
    with open_disk(io.BytesIO(zipped(method))) as disk:
        assert disk.size == len(DATA)
        assert disk.read_at(2_000_000, 70_000) == DATA[2_000_000:2_070_000]
        assert disk.read_at(0, len(DATA)) == DATA


def test_wrappers_in_wrappers() -> None:
    """As deep as the limit; deeper is refused."""
    data = gzip.compress(bz2.compress(lzma.compress(DATA, preset=0)))
    with open_disk(io.BytesIO(data)) as disk:
        assert disk.size == len(DATA)
        assert disk.read_at(1_234_567, 5) == DATA[1_234_567:1_234_572]
    with pytest.raises(UnsupportedError, match="nested deeper than 2"):
        open_disk(io.BytesIO(data), limits=DEFAULT._replace(depth=2))


@pytest.mark.parametrize("name", PACKED)
def test_damage_anywhere(name: str) -> None:
    """Changed bytes give an error of ours or other bytes, never another failure."""
    method, make = PACKED[name]
    packed, chance = make(), random.Random(f"damage {name}")
    for _ in range(3):
        data = bytearray(packed)
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        try:
            source = seekable(method, bytes(data))
            source.read_at(chance.randrange(len(DATA)), 1000)
        except DiskError:
            continue
