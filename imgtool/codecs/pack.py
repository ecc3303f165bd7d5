"""One block in memory, compressed whole: what disks deflate cluster by cluster and grain by grain.

The libraries release the interpreter's lock while they work, so several threads compress at once. The same block,
level and version of a library give the same bytes.

References: RFC 1951, RFC 8878.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from imgtool.errors import UsageError

if TYPE_CHECKING:
    import zstandard

#: A block to what it is compressed to.
Pack = Callable[[bytes | memoryview], bytes | bytearray]

#: Levels of each way to compress, the least and the most, and the one that is taken for 0.
DEFLATE_LEVELS = (1, 12, 2)
DEFLATE_4K_LEVELS = (1, 9, 6)
ZSTD_LEVELS = (1, 22, 3)

_WINDOW_4K = -12  #: zlib's windowBits: a raw stream, distances of at most 2 ** 12 bytes


def deflater(level: int = 0) -> Pack:
    """Raw deflate with the full window of 32 KiB. Raises UsageError for a level that there is not."""
    import deflate

    chosen = _level("zlib", level, DEFLATE_LEVELS)
    compress: Callable[[bytes | memoryview, int], bytearray] = deflate.deflate_compress
    return lambda block: compress(block, chosen)


def deflater_4k(level: int = 0) -> Pack:
    """Raw deflate for readers with a window of 4 KiB. Raises UsageError for a level that there is not."""
    from zlib_ng import zlib_ng

    chosen = _level("zlib with a window of 4k", level, DEFLATE_4K_LEVELS)
    return lambda block: zlib_ng.compress(block, chosen, _WINDOW_4K)


def zstd_packer(level: int = 0) -> Pack:
    """One zstd frame, which tells the block's size. Raises UsageError for a level that there is not."""
    import zstandard

    chosen = _level("zstd", level, ZSTD_LEVELS)
    own = threading.local()  # a compressor serves one thread at a time

    def pack(block: bytes | memoryview) -> bytes:
        machine: zstandard.ZstdCompressor | None = getattr(own, "machine", None)
        if machine is None:
            machine = own.machine = zstandard.ZstdCompressor(level=chosen)
        return machine.compress(block)

    return pack


def _level(what: str, level: int, levels: tuple[int, int, int]) -> int:
    least, most, default = levels
    if level and not least <= level <= most:
        raise UsageError(f"{what} has levels from {least} to {most}, not {level}")
    return level or default
