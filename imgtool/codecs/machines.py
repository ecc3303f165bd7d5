"""Wrappers that a library decodes by itself: gzip, raw deflate, bzip2, xz, lzma-alone.

Each decoder is a generator of parts of at most `CHUNK` bytes of one stream, frame or member; it yields an empty part
when that begins, so that its caller can count them. Whether another one follows is told by `…_follows`.

References: RFC 1951, RFC 1952, the .xz file format 1.2, LZMA SDK (lzma.txt), bzip2's manual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, cast

from imgtool.codecs.feed import CHUNK, CodecError, Feed, skip_zeros, turned
from imgtool.limits import Limits

GZIP_MAGIC = b"\x1f\x8b"
XZ_MAGIC = b"\xfd7zXZ\0"
BZIP2_MAGIC = b"BZh"

_OVERHEAD = 4 * CHUNK  #: what an LZMA decoder needs besides its dictionary


class Machine(Protocol):
    """The shape of bz2's, lzma's and lz4's incremental decompressors."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class Inflater(Protocol):
    """The shape of zlib's decompressors, of which copies can be kept."""

    @property
    def eof(self) -> bool: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = 0, /) -> bytes: ...
    def copy(self) -> Inflater: ...


def drain(machine: Machine, feed: Feed, what: str, *kinds: type[Exception]) -> Iterator[bytes]:
    """What `machine` makes of `feed`, until it says that its stream ends. Unused bytes go back."""
    yield b""
    while not machine.eof:
        hungry = machine.needs_input
        data = feed.next() if hungry else b""
        with turned(what, feed, *kinds):
            made = machine.decompress(data, CHUNK)
        if made:
            yield made
        elif hungry and not data and not machine.eof:
            raise feed.ended(what)
        elif not hungry and not machine.eof and not machine.needs_input:
            raise CodecError("malformed", f"{what}: the decoder makes no progress", feed.position)
    feed.back(machine.unused_data or b"")


def inflate(
    feed: Feed,
    what: str,
    wbits: int,
    machine: Inflater | None = None,
    watch: Callable[[Inflater], None] | None = None,
) -> Iterator[bytes]:
    """One deflate stream, raw (`wbits` -15) or as a gzip member (31, its checksums are checked).

    `machine`: one to go on with, where `feed` begins in the middle. `watch` sees it before every step.
    """
    from zlib_ng import zlib_ng

    fault = cast(type[Exception], zlib_ng.error)
    yield b""
    if machine is None:
        machine = cast(Inflater, zlib_ng.decompressobj(wbits))  # their stub has no copy()
    while not machine.eof:
        if watch is not None:
            watch(machine)
        data = machine.unconsumed_tail or feed.next()
        with turned(what, feed, fault):
            made = machine.decompress(data, CHUNK)
        if made:
            yield made
        elif not machine.eof and not data:
            raise feed.ended(what)
    feed.back(machine.unused_data)


def deflate(feed: Feed, limits: Limits) -> Iterator[bytes]:
    """Raw deflate, as in zip."""
    yield from inflate(feed, "deflate", -15)


def gzip(feed: Feed, limits: Limits) -> Iterator[bytes]:
    """A member of a gzip file (RFC 1952, section 2.2)."""
    yield from inflate(feed, "gzip", 31)


def gzip_follows(feed: Feed) -> bool:
    """True where another member begins."""
    return feed.peek(3) == GZIP_MAGIC + b"\x08"


def bzip2(feed: Feed, limits: Limits) -> Iterator[bytes]:
    """A stream of a bzip2 file."""
    import bz2

    yield from drain(bz2.BZ2Decompressor(), feed, "bzip2", OSError, ValueError)


def bzip2_follows(feed: Feed) -> bool:
    """True where another stream begins."""
    mark = feed.peek(4)
    return mark[:3] == BZIP2_MAGIC and b"1" <= mark[3:4] <= b"9"


def xz(feed: Feed, limits: Limits) -> Iterator[bytes]:
    """A stream of an .xz file, with the padding of zeros in fours behind it (section 2.2)."""
    import lzma

    machine: Any = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=limits.wrapper_memory + _OVERHEAD)
    yield from drain(machine, feed, "xz", lzma.LZMAError, EOFError)
    skip_zeros(feed, 4)


def xz_follows(feed: Feed) -> bool:
    """True where another stream begins."""
    return feed.peek(6) == XZ_MAGIC


def xz_block(feed: Feed, limits: Limits, size: int) -> Iterator[bytes]:
    """One block of a stream: `feed` gives the stream's header, then the block and no more; `size` bytes come out."""
    import lzma

    yield b""
    machine: Any = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=limits.wrapper_memory + _OVERHEAD)
    made = 0
    while not machine.eof:
        hungry = machine.needs_input
        data = feed.next() if hungry else b""
        if hungry and not data:
            break
        with turned("xz", feed, lzma.LZMAError, EOFError):
            part = machine.decompress(data, CHUNK)
        made += len(part)
        if made > size:
            break
        yield part
    if made != size:
        raise CodecError("malformed", f"xz: the index gives a block {size} bytes, which it has not", feed.position)


def lzma_alone(feed: Feed, limits: Limits) -> Iterator[bytes]:
    """The one stream of an .lzma file: 13 bytes of header, then LZMA1."""
    import lzma

    machine: Any = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=limits.wrapper_memory + _OVERHEAD)
    yield from drain(machine, feed, "lzma", lzma.LZMAError, EOFError)


def stored(feed: Feed, limits: Limits) -> Iterator[bytes]:
    """Bytes as they are."""
    while data := feed.next():
        yield data
    if feed.left:
        raise CodecError("truncated", "stored bytes end early", feed.position)
