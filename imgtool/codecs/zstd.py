"""zstd: frames walked block by block, so that neither output nor window goes past its cap.

References: RFC 8878, sections 3.1.1 (frames and blocks) and 3.1.2 (skippable frames).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from imgtool.codecs.feed import CodecError, Feed, turned
from imgtool.limits import Limits

MAGIC = b"\x28\xb5\x2f\xfd"
BLOCK_MAX = 128 * 1024

_WHAT = "zstd"
_DICT_ID_SIZE = (0, 1, 2, 4)
_FCS_SIZE = (0, 2, 4, 8)


class FrameHeader(NamedTuple):
    """A frame header: `size` of itself with the magic; `window` and `content_size` in bytes."""

    size: int
    descriptor: int
    window: int
    dictionary: int
    content_size: int | None

    @property
    def single_segment(self) -> bool:
        """The window is the content's size: there is no window descriptor."""
        return bool(self.descriptor & 0x20)

    @property
    def reserved(self) -> bool:
        """The bit that must be 0 is set."""
        return bool(self.descriptor & 0x08)

    @property
    def checksum(self) -> bool:
        """Four bytes of XXH64 follow the last block."""
        return bool(self.descriptor & 0x04)


class Block(NamedTuple):
    """A block header: `stored` are the bytes that follow it."""

    last: bool
    kind: int
    size: int

    @property
    def stored(self) -> int:
        """Bytes in the file: one for a run (RLE)."""
        return 1 if self.kind == 1 else self.size


def is_skippable(magic: bytes) -> bool:
    """True for the sixteen magics of skippable frames (the LZ4 frame format has the same)."""
    return len(magic) >= 4 and magic[0] & 0xF0 == 0x50 and magic[1:4] == b"\x2a\x4d\x18"


def frame_header(data: bytes) -> FrameHeader | None:
    """The frame header at the start of `data`; None when it is cut short (18 bytes are enough)."""
    if len(data) < 6:
        return None
    descriptor = data[4]
    at, single = 5, bool(descriptor & 0x20)
    window = 0
    if not single:
        exponent, mantissa = data[5] >> 3, data[5] & 7
        window = (1 << (10 + exponent)) * (8 + mantissa) // 8
        at += 1
    id_size = _DICT_ID_SIZE[descriptor & 3]
    fcs_size = _FCS_SIZE[descriptor >> 6] or (1 if single else 0)
    if len(data) < at + id_size + fcs_size:
        return None
    dictionary = int.from_bytes(data[at : at + id_size], "little")
    at += id_size
    content = int.from_bytes(data[at : at + fcs_size], "little") + (256 if fcs_size == 2 else 0)
    content_size = content if fcs_size else None
    return FrameHeader(at + fcs_size, descriptor, content if single else window, dictionary, content_size)


def block_header(data: bytes) -> Block:
    """The block header in three bytes."""
    word = int.from_bytes(data[:3], "little")
    return Block(bool(word & 1), word >> 1 & 3, word >> 3)


def zstd_follows(feed: Feed) -> bool:
    """True where another frame begins."""
    mark = feed.peek(4)
    return mark == MAGIC or is_skippable(mark)


def zstd_frame(feed: Feed, limits: Limits) -> Iterator[bytes]:
    """A frame; a skippable one is passed over."""
    if is_skippable(feed.peek(4)):
        head = feed.exactly(8, "skippable frame")
        feed.skip(int.from_bytes(head[4:], "little"), "skippable frame")
        yield b""
    else:
        yield from _frame(feed, limits)


def _frame(feed: Feed, limits: Limits) -> Iterator[bytes]:
    import zstandard

    if feed.left >= 4 and feed.peek(4) != MAGIC:
        raise CodecError("malformed", "zstd: no frame begins here", feed.position)
    header = frame_header(feed.peek(18))
    if header is None:
        raise feed.ended("zstd frame header")
    if header.window > limits.wrapper_memory:
        message = f"zstd: a window of {header.window} bytes is over the cap of {limits.wrapper_memory}"
        raise CodecError("cap", message, feed.position)
    machine = zstandard.ZstdDecompressor(max_window_size=limits.wrapper_memory).decompressobj()
    with turned(_WHAT, feed, zstandard.ZstdError):
        machine.decompress(feed.exactly(header.size, "zstd frame header"))
    last = False
    while not last:
        block = block_header(raw := feed.exactly(3, "zstd block header"))
        if block.kind == 3 or block.size > BLOCK_MAX:
            raise CodecError("malformed", f"zstd: block of type {block.kind}, {block.size} bytes", feed.position - 3)
        raw += feed.exactly(block.stored, "zstd block")
        last = block.last
        if last and header.checksum:
            raw += feed.exactly(4, "zstd checksum")
        with turned(_WHAT, feed, zstandard.ZstdError):
            made = machine.decompress(raw)
        yield made
