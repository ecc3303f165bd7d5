"""The one call of this room: the decoded bytes of a range of a Source, in chunks, under caps.

It knows methods, not containers: what a header says (names, declared sizes) is read elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from imgtool.codecs import machines
from imgtool.codecs.feed import CHUNK, PIECE, CodecError, Feed
from imgtool.codecs.lz4 import lz4, lz4_follows
from imgtool.codecs.zstd import zstd_follows, zstd_frame
from imgtool.limits import Limits
from imgtool.sources.base import Source

Method = Literal["gzip", "deflate", "bzip2", "xz", "lzma", "zstd", "lz4", "stored"]


class _Units(NamedTuple):
    """How one stream, frame or member is decoded, and whether another one follows."""

    one: Callable[[Feed, Limits], Iterator[bytes]]
    more: Callable[[Feed], bool]


def _never(feed: Feed) -> bool:
    return False


_UNITS: dict[Method, _Units] = {
    "gzip": _Units(machines.gzip, machines.gzip_follows),
    "deflate": _Units(machines.deflate, _never),
    "bzip2": _Units(machines.bzip2, machines.bzip2_follows),
    "xz": _Units(machines.xz, machines.xz_follows),
    "lzma": _Units(machines.lzma_alone, _never),
    "zstd": _Units(zstd_frame, zstd_follows),
    "lz4": _Units(lz4, lz4_follows),
    "stored": _Units(machines.stored, _never),
}

_GATHER = CHUNK // 4


class Block(NamedTuple):
    """A part that decodes by itself, as an index tells it: `length` bytes of the source from `position` on, behind
    `prefix`, make `size` bytes, before which there are `output`."""

    position: int
    length: int
    output: int
    size: int
    prefix: bytes


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

    def __init__(
        self,
        method: Method,
        feed: Feed,
        limits: Limits,
        expected: Expected | None = None,
        blocks: Callable[[], tuple[Block, ...]] | None = None,
    ) -> None:
        self.method = method
        self.produced = 0
        self.end: int | None = None
        self.expected = expected
        self.blocks = blocks
        self._feed = feed
        self._limits = limits
        self._steps = 0
        self._chunks = self._gathered()

    def __iter__(self) -> Decoding:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    @property
    def feed(self) -> Feed:
        """The compressed bytes, as far as they were not handed out."""
        return self._feed

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
        expected, crc = self.expected, 0
        for part in parts(self.method, self._feed, self._limits):
            self._steps += 1
            self.produced += len(part)
            check_caps(self.method, self._limits, self.produced, self.consumed, self._steps, self._feed.position)
            if part:
                if expected is not None:
                    crc = _crc32(part, crc)
                yield part
        if expected is not None and (self.produced, crc) != (expected.size, expected.crc32):
            message = (
                f"{self.method}: {self.produced} bytes of CRC-32 {crc:08x} came out, "
                f"{expected.size} of {expected.crc32:08x} are declared"
            )
            raise CodecError("checksum", message, self._feed.start)
        self.end = self._feed.position


def parts(method: Method, feed: Feed, limits: Limits, begins: Callable[[], None] | None = None) -> Iterator[bytes]:
    """What all streams, frames or members make, one after the other. `begins` is called before each."""
    one, more = _UNITS[method]
    first = True
    while first or more(feed):
        if begins is not None:
            begins()
        yield from one(feed, limits)
        first = False


def check_caps(method: Method, limits: Limits, made: int, used: int, steps: int, position: int) -> None:
    """Raise CodecError where `made` bytes that came out of `used` in `steps` parts are too many."""
    used = max(1, used)
    if made > limits.wrapper_output:
        raise CodecError("cap", f"{method}: the output is over the cap of {limits.wrapper_output} bytes", position)
    if made > limits.wrapper_ratio_floor and made > used * limits.wrapper_ratio:
        message = f"{made} bytes came out of {used}, more are not decoded ({limits.wrapper_ratio} to one)"
        raise CodecError("not-read", f"{method}: {message}", position)
    if steps > limits.wrapper_steps + (made + used) // 64:
        raise CodecError("cap", f"{method}: over {steps} frames or blocks hold {made} bytes in all", position)


def _crc32(data: bytes, crc: int) -> int:
    from zlib_ng import zlib_ng

    return zlib_ng.crc32(data, crc)


def decode(
    method: Method,
    source: Source,
    limits: Limits,
    *,
    start: int = 0,
    length: int | None = None,
    prefix: bytes = b"",
    expected: Expected | None = None,
    blocks: Callable[[], tuple[Block, ...]] | None = None,
) -> Decoding:
    """The decoded bytes of `length` bytes of `source` from `start` on (all of the rest when None).

    `prefix` is put before them, for wrappers that leave a codec's own header out. `blocks` tells of parts that
    decode by themselves, in order; none where nobody knows.
    """
    end = source.size if length is None else start + length
    return Decoding(method, Feed(source, start, end, prefix), limits, expected, blocks)
