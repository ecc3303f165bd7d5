"""lz4: the frame format, and the legacy format of `lz4 -l` and of Linux kernels and ramdisks.

References: LZ4 Frame Format Description 1.6.4 (frames, skippable frames, legacy frame).
"""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.codecs.feed import CHUNK, CodecError, Feed, turned
from imgtool.codecs.machines import drain
from imgtool.codecs.zstd import is_skippable
from imgtool.limits import Limits

MAGIC = b"\x04\x22\x4d\x18"
LEGACY_MAGIC = b"\x02\x21\x4c\x18"
LEGACY_BLOCK = 8 * 1024 * 1024  #: what a legacy block holds at most, uncompressed
_LEGACY_BOUND = LEGACY_BLOCK + LEGACY_BLOCK // 255 + 16


def lz4(feed: Feed, limits: Limits) -> Iterator[bytes]:
    """A frame of either format; a skippable one is passed over."""
    import lz4.frame

    mark = feed.peek(4)
    if mark == LEGACY_MAGIC:
        yield from _legacy(feed)
    elif is_skippable(mark):
        head = feed.exactly(8, "skippable frame")
        feed.skip(int.from_bytes(head[4:], "little"), "skippable frame")
        yield b""
    else:
        yield from drain(lz4.frame.LZ4FrameDecompressor(), feed, "lz4", RuntimeError, ValueError, EOFError)


def lz4_follows(feed: Feed) -> bool:
    """True where another frame begins."""
    mark = feed.peek(4)
    return mark in (MAGIC, LEGACY_MAGIC) or is_skippable(mark)


def _legacy(feed: Feed) -> Iterator[bytes]:
    """Blocks until the data end or what follows is no block: another frame, or a kernel's size word."""
    import lz4.block

    feed.skip(4, "lz4 legacy magic")
    first = True
    while len(word := feed.peek(4)) == 4:
        size = int.from_bytes(word, "little")
        if not 0 < size <= _LEGACY_BOUND or size > feed.left - 4:
            if first or (0 < size <= _LEGACY_BOUND and feed.left > 4):
                raise feed.ended("lz4 legacy block")
            return
        feed.skip(4, "lz4 block size")
        data = feed.exactly(size, "lz4 legacy block")
        with turned("lz4", feed, lz4.block.LZ4BlockError, ValueError):
            made = lz4.block.decompress(data, uncompressed_size=LEGACY_BLOCK)
        yield b""
        for at in range(0, len(made), CHUNK):
            yield made[at : at + CHUNK]
        first = False
    if first:
        raise CodecError("truncated", "lz4: no block follows the legacy magic", feed.position)
