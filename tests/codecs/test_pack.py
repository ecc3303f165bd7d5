"""Blocks compressed whole: what other libraries read back, levels, the window, several threads."""

from __future__ import annotations

import random
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard

from imgtool.codecs.pack import Pack, deflater, deflater_4k, zstd_packer
from imgtool.errors import UsageError

_CHANCE = random.Random(3)
WORDS = [_CHANCE.randbytes(5).hex().encode() for _ in range(300)]
TEXT = b" ".join(_CHANCE.choice(WORDS) for _ in range(6000))[:65536]

#: 8 KiB of noise twice: what is alike is farther apart than 4 KiB, and nearer than 32.
FAR = random.Random(5).randbytes(8192) * 2


def inflated(data: bytes, bits: int) -> bytes:
    """What zlib makes of a raw stream with a window of 2 ** bits bytes; all of it must be used.

    It comes out in steps, or zlib finds what is farther back in its output.
    """
    machine = zlib.decompressobj(-bits)
    made = bytearray(machine.decompress(data, 1000))
    while not machine.eof:
        more = machine.decompress(machine.unconsumed_tail, 1000)
        assert more
        made += more
    assert not machine.unused_data
    return bytes(made)


@pytest.mark.parametrize("level", range(13))
def test_deflate_levels(level: int) -> None:
    """Each level makes a raw stream that zlib reads."""
    assert inflated(deflater(level)(TEXT), 15) == TEXT


@pytest.mark.parametrize("level", range(10))
def test_deflate_levels_with_a_window_of_4k(level: int) -> None:
    """Each level makes a raw stream that zlib reads with a window of 4 KiB, near matches and far ones."""
    for data in (TEXT, FAR, random.Random(6).randbytes(300) * 200):
        assert inflated(deflater_4k(level)(data), 12) == data


def test_the_full_window_is_used() -> None:
    """What lies 8 KiB back is found, so a window of 4 KiB cannot read it."""
    packed = deflater(6)(FAR)
    assert len(packed) < 8192 + 1024
    with pytest.raises(zlib.error, match="distance too far back"):
        inflated(packed, 12)
    assert len(deflater_4k(9)(FAR)) > 16_000


@pytest.mark.parametrize("level", range(23))
def test_zstd_levels(level: int) -> None:
    """Each level makes one frame that tells the size of what it holds."""
    packed = zstd_packer(level)(TEXT)
    assert zstandard.get_frame_parameters(packed).content_size == len(TEXT)
    assert zstandard.ZstdDecompressor().decompress(packed) == TEXT


def test_levels_that_there_are_not() -> None:
    """Each way says how far its levels go."""
    for packer, most in ((deflater, 12), (deflater_4k, 9), (zstd_packer, 22)):
        with pytest.raises(UsageError, match=f"has levels from 1 to {most}, not {most + 1}"):
            packer(most + 1)


@pytest.mark.parametrize("pack", [deflater(), deflater_4k(), zstd_packer()], ids=["32k", "4k", "zstd"])
def test_threads_make_the_same(pack: Pack) -> None:
    """One packer, many threads: each block comes out as it does alone."""
    blocks = [TEXT[start : start + 4096 * (1 + start % 5)] for start in range(0, 40_000, 1000)]
    alone = [pack(block) for block in blocks]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(pack, blocks * 5)) == alone * 5


def test_higher_levels_are_smaller() -> None:
    """The level reaches the library."""
    for packer, low, high in ((deflater, 1, 12), (deflater_4k, 1, 9), (zstd_packer, 1, 19)):
        numbers = b"".join(b"%d, " % (number * number) for number in range(7000))
        assert len(packer(high)(numbers)) < len(packer(low)(numbers))
