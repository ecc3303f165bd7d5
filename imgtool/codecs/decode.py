"""The one call of this room: the decoded bytes of a range of a Source, in chunks, under caps.

It knows methods, not containers: what a header says (names, declared sizes) is read elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from imgtool.codecs import machines
from imgtool.codecs.feed import CHUNK, PIECE, CodecError, Feed
from imgtool.codecs.lz4 import lz4
from imgtool.codecs.zstd import zstd
from imgtool.limits import Limits
from imgtool.sources.base import Source

Method = Literal["gzip", "deflate", "bzip2", "xz", "lzma", "zstd", "lz4", "stored"]

_DECODERS: dict[Method, Callable[[Feed, Limits], Iterator[bytes]]] = {
    "gzip": machines.gzip,
    "deflate": machines.deflate,
    "bzip2": machines.bzip2,
    "xz": machines.xz,
    "lzma": machines.lzma_alone,
    "zstd": zstd,
    "lz4": lz4,
    "stored": machines.stored,
}

_GATHER = CHUNK // 4


class Expected:
    """What the decoded bytes must come to, where the wrapper says it elsewhere: CRC-32 and size in bytes."""

    __slots__ = ("crc32", "size")

    def __init__(self, size: int, crc32: int) -> None:
        self.size = size
        self.crc32 = crc32


class Decoding:
    """An iterator of decoded chunks, each at most 1 MiB; nothing is decoded before it is asked for.

    `produced` bytes came out so far. Once the end is reached `end` is the offset in the source of the
    first byte behind the compressed data, and `trailing` counts those up to the end of the range.
    `next()` raises CodecError where the data are cut short or malformed, where a cap is met, or where they
    are not read: a stream has not kept them, or the output is too many times larger (zeros of an empty
    disk are, so that is no fault). InputError when the source cannot be read.
    """

    def __init__(self, method: Method, feed: Feed, limits: Limits, expected: Expected | None = None) -> None:
        self.method = method
        self.produced = 0
        self.end: int | None = None
        self._feed = feed
        self._limits = limits
        self._expected = expected
        self._steps = 0
        self._chunks = self._gathered()

    def __iter__(self) -> Decoding:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    @property
    def consumed(self) -> int:
        """Compressed bytes that were handed to the decoder."""
        return self._feed.position - self._feed.start

    @property
    def trailing(self) -> int | None:
        """Bytes between the end of the compressed data and the end of the range; None before the end."""
        return None if self.end is None else self._feed.end - self.end

    def trailing_zeros(self) -> bool:
        """True when what is behind the end are zeros, as far as one piece of it tells."""
        return self.end is not None and not self._feed.peek(PIECE).strip(b"\0")

    def _gathered(self) -> Iterator[bytes]:
        """Parts joined until they are worth passing on."""
        parts: list[bytes] = []
        size = 0
        try:
            for part in self._checked():
                if size + len(part) > CHUNK or size >= _GATHER:
                    yield b"".join(parts)
                    parts, size = [], 0
                parts.append(part)
                size += len(part)
        except CodecError:
            if size:
                yield b"".join(parts)
            raise
        if size:
            yield b"".join(parts)

    def _checked(self) -> Iterator[bytes]:
        expected, crc = self._expected, 0
        for part in _DECODERS[self.method](self._feed, self._limits):
            self._steps += 1
            self.produced += len(part)
            self._cap()
            if part:
                if expected is not None:
                    crc = _crc32(part, crc)
                yield part
        if expected is not None and (self.produced, crc) != (expected.size, expected.crc32):
            message = (
                f"{self.method}: {self.produced} bytes of CRC-32 {crc:08x} came out, "
                f"{expected.size} of {expected.crc32:08x} are declared"
            )
            raise CodecError("malformed", message, self._feed.start)
        self.end = self._feed.position

    def _cap(self) -> None:
        limits, made, used = self._limits, self.produced, max(1, self.consumed)
        if made > limits.wrapper_output:
            raise self._over(f"the output is over the cap of {limits.wrapper_output} bytes")
        if made > limits.wrapper_ratio_floor and made > used * limits.wrapper_ratio:
            message = f"{made} bytes came out of {used}, more are not decoded ({limits.wrapper_ratio} to one)"
            raise CodecError("not-read", f"{self.method}: {message}", self._feed.position)
        if self._steps > limits.wrapper_steps + (made + used) // 64:
            raise self._over(f"over {self._steps} frames or blocks hold {made} bytes in all")

    def _over(self, message: str) -> CodecError:
        return CodecError("cap", f"{self.method}: {message}", self._feed.position)


def _crc32(data: bytes, crc: int) -> int:
    import zlib

    return zlib.crc32(data, crc)


def decode(
    method: Method,
    source: Source,
    limits: Limits,
    *,
    start: int = 0,
    length: int | None = None,
    prefix: bytes = b"",
    expected: Expected | None = None,
) -> Decoding:
    """The decoded bytes of `length` bytes of `source` from `start` on (all of the rest when None).

    `prefix` is put before them, for wrappers that leave a codec's own header out.
    """
    end = source.size if length is None else start + length
    return Decoding(method, Feed(source, start, end, prefix), limits, expected)
