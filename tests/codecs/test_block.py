"""One compressed block: what was compressed comes out, never more than was asked for, whatever follows it."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable

import pytest
import zstandard

from imgtool.codecs.block import inflate, inflate_zlib, unzstd
from imgtool.codecs.feed import CodecError
from imgtool.limits import DEFAULT

SIZE = 64 * 1024
PLAIN = bytes(20_000) + random.Random(2).randbytes(SIZE - 20_000)


def raw(data: bytes, bits: int = -15) -> bytes:
    """A deflate stream; `bits` 15 for one in a zlib wrapper."""
    machine = zlib.compressobj(6, zlib.DEFLATED, bits)
    return machine.compress(data) + machine.flush()


def framed(data: bytes, *, sized: bool = True) -> bytes:
    """A zstd frame, with or without its content's size in the header."""
    return zstandard.ZstdCompressor(write_content_size=sized).compress(data)


def from_zstd(data: bytes, most: int) -> bytes:
    """`unzstd` under the usual limits."""
    return unzstd(data, most, DEFAULT)


BLOCKS = [
    pytest.param(inflate, raw(PLAIN), id="deflate"),
    pytest.param(inflate, raw(PLAIN, -9), id="deflate-window-512"),
    pytest.param(inflate_zlib, raw(PLAIN, 15), id="zlib"),
    pytest.param(from_zstd, framed(PLAIN), id="zstd"),
    pytest.param(from_zstd, framed(PLAIN, sized=False), id="zstd-unsized"),
    pytest.param(from_zstd, framed(PLAIN[:9]) + framed(b"") + framed(PLAIN[9:], sized=False), id="zstd-frames"),
    pytest.param(from_zstd, b"\x50\x2a\x4d\x18\x03\0\0\0abc" + framed(PLAIN), id="zstd-skippable"),
]
Decode = Callable[[bytes, int], bytes]


@pytest.mark.parametrize(("decode", "data"), BLOCKS)
def test_comes_out(decode: Decode, data: bytes) -> None:
    """The whole block, whatever follows: padding, or the next block."""
    assert decode(data, SIZE) == PLAIN
    assert decode(data + bytes(100), SIZE) == PLAIN
    assert decode(data + data, SIZE) == PLAIN


@pytest.mark.parametrize(("decode", "data"), BLOCKS)
def test_never_more(decode: Decode, data: bytes) -> None:
    """A block that makes more than the cap is an error, at one byte too many already."""
    for most in (SIZE - 1, 1, 0x1000):
        with pytest.raises(CodecError):
            decode(data, most)


@pytest.mark.parametrize(("decode", "data"), BLOCKS)
def test_cut_short(decode: Decode, data: bytes) -> None:
    """A block that is cut short or garbled is an error, or less comes out."""
    for broken in (data[:-1], data[: len(data) // 2], b"", b"\xff" * 100):
        try:
            made = len(decode(broken, SIZE))
        except CodecError:
            made = 0
        assert made < SIZE


def test_less_is_told() -> None:
    """A block that makes less than the cap gives what there is."""
    assert inflate(raw(b"abc"), SIZE) == b"abc"
    assert inflate_zlib(raw(b"abc", 15), SIZE) == b"abc"
    assert from_zstd(framed(b"abc"), SIZE) == b"abc"


def test_zstd_bombs_stop_at_the_cap() -> None:
    """A frame that claims 2^60 bytes, or a window of 2 GiB, is refused before anything is allocated."""
    huge = b"\x28\xb5\x2f\xfd\xe0" + (1 << 60).to_bytes(8, "little") + b"\x01\x00\x00"
    window = b"\x28\xb5\x2f\xfd\x00" + bytes([21 << 3]) + b"\x01\x00\x00"
    large = framed(bytes(3 * 1024 * 1024), sized=False)
    for bomb in (huge, window, large):
        with pytest.raises(CodecError):
            from_zstd(bomb, 2 * 1024 * 1024)
