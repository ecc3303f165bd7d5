"""One compressed block in memory, whole, under a cap: what disks inflate cluster by cluster and grain by grain.

The libraries release the interpreter's lock while they work, so several threads inflate at once.

References: RFC 1950, RFC 1951, RFC 8878.
"""

from __future__ import annotations

from imgtool.codecs.feed import CodecError, Feed
from imgtool.limits import Limits
from imgtool.sources.memory import BytesSource


def inflate(data: bytes, most: int) -> bytearray:
    """The raw deflate stream at the start of `data`, with the full window; what follows its end is ignored.

    Raises CodecError where it is malformed, cut short, or makes more than `most` bytes.
    """
    import deflate

    try:
        return deflate.deflate_decompress(data, most)
    except deflate.DeflateError:
        raise _refused("deflate", most) from None


def inflate_zlib(data: bytes, most: int) -> bytearray:
    """The zlib stream at the start of `data`; its checksum is checked, what follows its end is ignored.

    Raises CodecError where it is malformed, cut short, or makes more than `most` bytes.
    """
    import deflate

    try:
        return deflate.zlib_decompress(data, most)
    except deflate.DeflateError:
        raise _refused("zlib", most) from None


def _refused(what: str, most: int) -> CodecError:
    return CodecError("malformed", f"{what}: malformed, cut short, or more than {most} bytes come out")


def unzstd(data: bytes, most: int, limits: Limits) -> bytes:
    """The zstd frames at the start of `data` until they made `most` bytes or end; what follows is ignored.

    Raises CodecError where they are malformed, cut short, or make more than `most` bytes.
    """
    import zstandard

    try:
        content = zstandard.get_frame_parameters(data).content_size
        if content in (most, zstandard.CONTENTSIZE_UNKNOWN):
            decoder = zstandard.ZstdDecompressor(max_window_size=limits.wrapper_memory)
            made = decoder.decompress(data, max_output_size=most)
            if len(made) == most:
                return made
    except zstandard.ZstdError:
        pass  # what it was is said by the frames, one by one
    return _frames(data, most, limits)


def _frames(data: bytes, most: int, limits: Limits) -> bytes:
    from imgtool.codecs.zstd import zstd_frame

    parts: list[bytes] = []
    made = 0
    source = BytesSource(data)
    feed = Feed(source, 0, source.size)
    while made < most and feed.left:
        for part in zstd_frame(feed, limits):
            parts.append(part)
            made += len(part)
            if made > most:
                raise CodecError("malformed", f"zstd: more than {most} bytes come out")
    return b"".join(parts)
