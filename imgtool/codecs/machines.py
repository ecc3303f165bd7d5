"""Wrappers that a library decodes by itself: gzip, raw deflate, bzip2, xz, lzma-alone.

Each decoder is a generator of parts of at most `CHUNK` bytes; it yields an empty part for every stream,
frame or member that begins, so that its caller can count them.

References: RFC 1951, RFC 1952, the .xz file format 1.2, LZMA SDK (lzma.txt), bzip2's manual.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

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


def inflate(feed: Feed, what: str, wbits: int) -> Iterator[bytes]:
    """One deflate stream, raw (`wbits` -15) or as a gzip member (31, its checksums are checked)."""
    import zlib

    yield b""
    machine = zlib.decompressobj(wbits)
    while not machine.eof:
        data = machine.unconsumed_tail or feed.next()
        with turned(what, feed, zlib.error):
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
    """Members of a gzip file, one after the other (RFC 1952, section 2.2)."""
    yield from inflate(feed, "gzip", 31)
    while feed.peek(3) == GZIP_MAGIC + b"\x08":
        yield from inflate(feed, "gzip", 31)


def bzip2(feed: Feed, limits: Limits) -> Iterator[bytes]:
    """Streams of a bzip2 file, one after the other."""
    import bz2

    first = True
    while first or _bzip2_stream(feed.peek(4)):
        yield from drain(bz2.BZ2Decompressor(), feed, "bzip2", OSError, ValueError)
        first = False


def _bzip2_stream(mark: bytes) -> bool:
    return mark[:3] == BZIP2_MAGIC and b"1" <= mark[3:4] <= b"9"


def xz(feed: Feed, limits: Limits) -> Iterator[bytes]:
    """Streams of an .xz file, with padding of zeros in fours between them (section 2.2)."""
    import lzma

    first = True
    while first or feed.peek(6) == XZ_MAGIC:
        machine: Any = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=limits.wrapper_memory + _OVERHEAD)
        yield from drain(machine, feed, "xz", lzma.LZMAError, EOFError)
        first = False
        skip_zeros(feed, 4)


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
