"""The decoders: what real tools compress comes out again; what is cut, malformed or a bomb ends with a reason."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import struct
import zlib

import lz4.block
import lz4.frame
import pytest
import zstandard

from imgtool.codecs.decode import Decoding, Expected, Method, decode
from imgtool.codecs.feed import CodecError
from imgtool.limits import DEFAULT
from imgtool.sources.base import NotHeldError
from imgtool.sources.memory import BytesSource

MIB = 1024**2
PLAIN = random.Random(1).randbytes(300_000) + bytes(2 * MIB) + b"end"


def zstd(data: bytes, **options: bool) -> bytes:
    """One zstd frame with a checksum."""
    return zstandard.ZstdCompressor(write_checksum=True, **options).compress(data)


def legacy(data: bytes, tail: bytes = b"") -> bytes:
    """The legacy lz4 format: blocks of 8 MiB."""
    out = b"\x02\x21\x4c\x18"
    for at in range(0, len(data), 8 * MIB):
        block = lz4.block.compress(data[at : at + 8 * MIB], store_size=False)
        out += struct.pack("<I", len(block)) + block
    return out + tail


def raw_deflate(data: bytes) -> bytes:
    """A deflate stream without a header."""
    machine = zlib.compressobj(6, zlib.DEFLATED, -15)
    return machine.compress(data) + machine.flush()


MADE: dict[Method, bytes] = {
    "gzip": gzip.compress(PLAIN),
    "deflate": raw_deflate(PLAIN),
    "bzip2": bz2.compress(PLAIN),
    "xz": lzma.compress(PLAIN),
    "lzma": lzma.compress(PLAIN, lzma.FORMAT_ALONE),
    "zstd": zstd(PLAIN),
    "lz4": lz4.frame.compress(PLAIN, content_checksum=True),
    "stored": PLAIN,
}
SKIPPABLE = b"\x5a\x2a\x4d\x18\x03\0\0\0abc"


def of(method: Method, data: bytes, **limits: int) -> Decoding:
    """The decoding of bytes."""
    return decode(method, BytesSource(data), DEFAULT._replace(**limits))


def reason(decoding: Decoding) -> tuple[str, int]:
    """Why a decoding stops, and how many bytes came before."""
    count = 0
    try:
        for chunk in decoding:
            count += len(chunk)
    except CodecError as error:
        return error.reason, count
    return "none", count


@pytest.mark.parametrize("method", MADE)
def test_what_was_compressed_comes_out(method: Method) -> None:
    """All bytes, in chunks of at most 1 MiB; the end and the bytes behind it are known."""
    decoding = of(method, MADE[method])
    chunks = list(decoding)
    assert b"".join(chunks) == PLAIN
    assert max(map(len, chunks)) <= MIB
    assert (decoding.produced, decoding.end, decoding.trailing) == (len(PLAIN), len(MADE[method]), 0)


@pytest.mark.parametrize("method", [method for method in MADE if method != "stored"])
def test_trailing_bytes_are_counted(method: Method) -> None:
    """Bytes behind the end are not decoded; zeros are told from other bytes."""
    for tail, zeros in ((b"garbage", False), (bytes(7), True)):
        decoding = of(method, MADE[method] + tail)
        assert b"".join(decoding) == PLAIN
        padding = 4 if zeros and method == "xz" else 0
        assert (decoding.end, decoding.trailing) == (len(MADE[method]) + padding, 7 - padding)
        assert decoding.trailing_zeros() is zeros


@pytest.mark.parametrize("method", [method for method in MADE if method not in ("stored", "lzma")])
def test_data_cut_short_are_told(method: Method) -> None:
    """A cut anywhere is "truncated", after the bytes that still came out."""
    data = MADE[method]
    for cut in (len(data) - 1, len(data) // 2, 12):
        assert reason(of(method, data[:cut]))[0] == "truncated"


@pytest.mark.parametrize("method", ["gzip", "deflate", "bzip2", "xz", "lzma", "zstd", "lz4"])
def test_garbage_is_malformed(method: Method) -> None:
    """Bytes that no encoder writes end with a reason."""
    assert reason(of(method, b"\xff" * 100_000))[0] == "malformed"


def test_a_wrong_checksum_is_told() -> None:
    """The trailer's checksum is checked: gzip's CRC-32, zstd's and lz4's XXH; of xz it looks like damaged data."""
    for method, at, told in (
        ("gzip", -6, "checksum"),
        ("zstd", -2, "checksum"),
        ("lz4", -2, "checksum"),
        ("xz", -40, "malformed"),
    ):
        data = bytearray(MADE[method])  # type: ignore[index] # the names are Methods
        data[at] ^= 1
        assert reason(of(method, bytes(data)))[0] == told  # type: ignore[arg-type] # as above


def test_several_streams_are_one() -> None:
    """Members, streams and frames that follow one another are decoded in order, with what lies between."""
    joined = PLAIN + b"second"
    assert b"".join(of("gzip", MADE["gzip"] + gzip.compress(b"second"))) == joined
    assert b"".join(of("bzip2", MADE["bzip2"] + bz2.compress(b"second"))) == joined
    assert b"".join(of("xz", MADE["xz"] + bytes(8) + lzma.compress(b"second") + bytes(4))) == joined
    assert b"".join(of("zstd", SKIPPABLE + MADE["zstd"] + SKIPPABLE + zstd(b"second"))) == joined
    assert b"".join(of("lz4", MADE["lz4"] + SKIPPABLE + legacy(b"second"))) == joined
    assert b"".join(of("lz4", legacy(PLAIN) + lz4.frame.compress(b"second"))) == joined


def test_legacy_lz4_ends_at_a_size_word() -> None:
    """Linux puts the size behind the blocks; it is not a block."""
    data = bytes(9 * MIB) + b"x"
    decoding = of("lz4", legacy(data, struct.pack("<I", len(data))))
    assert b"".join(decoding) == data
    assert decoding.trailing == 4


def test_size_and_crc_that_another_place_declares() -> None:
    """Zip says size and CRC-32 in its directory; a difference is told as a checksum's."""
    source, crc = BytesSource(MADE["deflate"]), zlib.crc32(PLAIN)
    assert b"".join(decode("deflate", source, DEFAULT, expected=Expected(len(PLAIN), crc))) == PLAIN
    for wrong in (Expected(len(PLAIN) - 1, crc), Expected(len(PLAIN), crc ^ 1)):
        assert reason(decode("deflate", source, DEFAULT, expected=wrong)) == ("checksum", len(PLAIN))


def test_nothing_is_decoded_before_it_is_taken() -> None:
    """Of a bomb only as much is decoded as the caller takes."""
    bombs: dict[Method, bytes] = {
        "gzip": gzip.compress(bytes(64 * MIB)),
        "bzip2": bz2.compress(bytes(64 * MIB)),
        "xz": lzma.compress(bytes(64 * MIB)),
        "zstd": zstd(bytes(64 * MIB)),
        "lz4": lz4.frame.compress(bytes(64 * MIB)),
    }
    for method, bomb in bombs.items():
        decoding = of(method, bomb)
        assert 0 < len(next(decoding)) <= MIB
        assert decoding.produced <= 2 * MIB


def test_output_cap_is_proved_by_one_byte_more() -> None:
    """Exactly the cap passes; one byte past it is "cap"."""
    assert b"".join(of("gzip", MADE["gzip"], wrapper_output=len(PLAIN))) == PLAIN
    assert reason(of("gzip", MADE["gzip"], wrapper_output=len(PLAIN) - 1))[0] == "cap"


def test_ratio_cap_holds_above_its_floor() -> None:
    """A ratio over the cap passes below the floor; above it no more is decoded."""
    bomb = zstd(bytes(16 * MIB))
    assert len(b"".join(of("zstd", bomb, wrapper_ratio=10))) == 16 * MIB
    assert reason(of("zstd", bomb, wrapper_ratio=10, wrapper_ratio_floor=MIB))[0] == "not-read"


def test_memory_caps() -> None:
    """A dictionary or window over the cap is not allocated."""
    for method in ("xz", "lzma"):
        assert reason(of(method, MADE[method], wrapper_memory=0)) == ("cap", 0)
    long = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=0)
    data = zstandard.ZstdCompressor(compression_params=long).compressobj()
    frame = data.compress(PLAIN) + data.flush()
    assert b"".join(of("zstd", frame)) == PLAIN
    assert reason(of("zstd", frame, wrapper_memory=128 * MIB - 1)) == ("cap", 0)


@pytest.mark.parametrize(
    ("method", "crumb"),
    [
        ("gzip", gzip.compress(b"", mtime=0)),
        ("bzip2", bz2.compress(b"")),
        ("xz", lzma.compress(b"")),
        ("zstd", zstd(b"")),
        ("zstd", b"\x50\x2a\x4d\x18\0\0\0\0"),
        ("lz4", lz4.frame.compress(b"")),
        ("lz4", b"\x50\x2a\x4d\x18\0\0\0\0"),
    ],
)
def test_endless_empty_frames_end(method: Method, crumb: bytes) -> None:
    """Frames with nothing in them do not keep a decoder busy."""
    assert reason(of(method, crumb * 20_000)) == ("cap", 0)


def test_zstd_blocks_with_nothing_in_them_end() -> None:
    """The same inside one frame."""
    frame = b"\x28\xb5\x2f\xfd\x00\x58" + b"\0\0\0" * 100_000 + b"\x01\0\0"
    assert reason(of("zstd", frame)) == ("cap", 0)


def test_bytes_that_a_stream_did_not_keep() -> None:
    """A source that has lost a range ends the decoding with "not-read"."""

    class Lossy(BytesSource):
        def read_at(self, offset: int, length: int) -> bytes:
            if offset + length > 128 * 1024:
                raise NotHeldError(offset, length)
            return super().read_at(offset, length)

    decoding = decode("gzip", Lossy(MADE["gzip"]), DEFAULT)
    why, count = reason(decoding)
    assert why == "not-read"
    assert count > 100_000


def test_lz4_blocks_of_4_mib() -> None:
    """Blocks larger than a chunk come out in chunks."""
    data = random.Random(2).randbytes(5 * MIB) + bytes(20 * MIB)
    packed = lz4.frame.compress(data, block_size=lz4.frame.BLOCKSIZE_MAX4MB, content_checksum=True)
    chunks = list(of("lz4", packed))
    assert b"".join(chunks) == data
    assert max(map(len, chunks)) <= MIB
