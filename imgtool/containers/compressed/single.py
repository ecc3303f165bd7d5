"""gzip, bzip2, lzma-alone, zstd and lz4: wrappers around one content. From their headers to facts.

References: RFC 1952, RFC 8878, LZ4 Frame Format Description 1.6.4, LZMA SDK's lzma.txt, bzip2's manual.
"""

from __future__ import annotations

from imgtool.codecs.decode import decode
from imgtool.codecs.zstd import FrameHeader, block_header, frame_header, is_skippable
from imgtool.containers.compressed import layout as lay
from imgtool.containers.compressed.facts import CompressedFacts, Mark, content, window_mark
from imgtool.limits import Limits
from imgtool.model.values import Problem, text
from imgtool.structs.view import Unreadable, View
from imgtool.units import ceil_div

_UNKNOWN = (1 << 64) - 1
_GZIP_MODULUS = 1 << 32
_DEFLATE_RATIO = 1032  #: the most that deflate can expand to: 258 bytes from two bits


def gzip(view: View, limits: Limits) -> CompressedFacts:
    """A gzip file by the header of its first member and the trailer of its last (RFC 1952, section 2.3)."""
    head = view.parse(lay.GZIP_HEADER, 0)
    at, marks = lay.GZIP_HEADER.size, []
    blocked = False
    if head.flg & lay.FEXTRA:
        length = int.from_bytes(view.read(at, 2, "gzip extra length"), "little")
        blocked = view.peek(at + 2, 2) == b"BC"
        at += 2 + length
    name, at = _gzip_string(view, at, bool(head.flg & lay.FNAME))
    comment, at = _gzip_string(view, at, bool(head.flg & lay.FCOMMENT))
    if head.flg & lay.FHCRC:
        marks += _gzip_header_crc(view, at)
        at += 2
    if head.flg & 0xE0:
        marks.append(Mark("reserved", f"gzip flags are 0x{head.flg:02x}: bits 5 to 7 are reserved", "flg", 3, 1))
    declared = None
    if view.size >= at + lay.GZIP_TRAILER.size + 2 and not blocked:
        trailer = view.optional(lay.GZIP_TRAILER, view.size - lay.GZIP_TRAILER.size)
        declared = gzip_size(trailer.isize, view.size - at - lay.GZIP_TRAILER.size) if trailer else None
    source = view.source
    member = content(name, declared, 0, lambda: decode("gzip", source, limits))
    return CompressedFacts(
        format="compressed",
        file_size=view.size,
        partial=bool(view.problems),
        problems=view.problems,
        wrapper="gzip",
        method="deflate",
        stored_name=name,
        comment=comment,
        mtime=head.mtime or None,
        system=lay.GZIP_SYSTEMS.get(head.os, f"unknown-{head.os}"),
        declared_size=declared,
        stored_size=view.size,
        check="crc32",
        window=32 * 1024,
        members=(member,),
        members_total=1,
        marks=tuple(marks),
    )


def _gzip_string(view: View, at: int, there: bool) -> tuple[str | None, int]:
    """A NUL-terminated header field at `at`, and where the next one begins."""
    if not there:
        return None, at
    raw, end, _ = view.peek(at, min(view.limits.string, max(1, view.size - at))).partition(b"\0")
    if not end:
        message = f"gzip header: the string at {at} has no end"
        raise Unreadable(Problem("truncated", "gzip header", message, at, len(raw)))
    return text(raw), at + len(raw) + 1


def _gzip_header_crc(view: View, at: int) -> list[Mark]:
    import zlib

    stored = int.from_bytes(view.read(at, 2, "gzip header CRC"), "little")
    actual = zlib.crc32(view.read(0, at, "gzip header")) & 0xFFFF
    if stored == actual:
        return []
    return [Mark("checksum", f"gzip header CRC is {stored:04x}, the header's is {actual:04x}", "crc16", at, 2)]


def gzip_size(isize: int, compressed: int) -> int | None:
    """The content's size, known modulo 2^32, where only one size can have deflated to `compressed` bytes."""
    low = compressed - compressed // 50 - 1024
    size = isize + max(0, ceil_div(low - isize, _GZIP_MODULUS)) * _GZIP_MODULUS
    high = compressed * _DEFLATE_RATIO
    return size if size <= high < size + _GZIP_MODULUS else None


def bzip2(view: View, limits: Limits) -> CompressedFacts:
    """A bzip2 file: nothing but the size of its blocks is in the header."""
    head = view.parse(lay.BZIP2_HEADER, 0)
    if head.block not in (lay.BZIP2_BLOCK, lay.BZIP2_END):
        message = f"bzip2 stream header: {head.block.hex()} begins no block"
        raise Unreadable(Problem("malformed", "bzip2 stream header", message, 4, 6))
    source = view.source
    return CompressedFacts(
        format="compressed",
        file_size=view.size,
        wrapper="bzip2",
        method="bzip2",
        stored_size=view.size,
        check="crc32",
        window=(head.level[0] - 0x30) * 100_000,
        members=(content(None, None, 0, lambda: decode("bzip2", source, limits)),),
        members_total=1,
    )


def lzma(view: View, limits: Limits) -> CompressedFacts:
    """An .lzma file; the probe of its weak magic has looked at the header already."""
    head = view.parse(lay.LZMA_HEADER, 0)
    declared = None if head.uncompressed_size == _UNKNOWN else head.uncompressed_size
    marks = window_mark(head.dictionary_size, "dictionary_size", 1, 4, limits)
    source = view.source
    return CompressedFacts(
        format="compressed",
        file_size=view.size,
        wrapper="lzma",
        method="lzma1",
        declared_size=declared,
        stored_size=view.size,
        check="none",
        window=head.dictionary_size,
        members=(content(None, declared, 0, lambda: decode("lzma", source, limits)),),
        members_total=1,
        marks=marks,
    )


def framed(view: View, limits: Limits) -> CompressedFacts | None:
    """zstd or lz4, after skippable frames, which both have; None where neither follows them."""
    at = 0
    for _ in range(limits.wrapper_frames):
        magic = view.peek(at, 4)
        if magic == lay.ZSTD_MAGIC:
            return _zstd(view, at, limits)
        if magic == lay.LZ4_MAGIC:
            return _lz4(view, at, limits)
        if not is_skippable(magic) or at + 8 > view.size:
            return None
        at += 8 + view.parse(lay.SKIPPABLE_HEADER, at).size
    return None


def _zstd(view: View, at: int, limits: Limits) -> CompressedFacts:
    view.parse(lay.ZSTD_HEADER, at)
    head = frame_header(view.peek(at, 18))
    if head is None:
        raise Unreadable(Problem("truncated", "zstd frame header", "zstd frame header is cut short", at, 18))
    declared, frames, blocks = _zstd_walk(view, at, head, limits)
    marks = list(window_mark(head.window, "window_descriptor", at + 5, 1, limits))
    if head.reserved:
        marks.append(Mark("reserved", "zstd frame header: bit 3 is reserved", "descriptor", at + 4, 1))
    if head.dictionary:
        message = f"the zstd frame needs dictionary {head.dictionary}"
        marks.append(Mark("dictionary", message, "dictionary_id", at + (5 if head.single_segment else 6), 4))
    source = view.source
    return CompressedFacts(
        format="compressed",
        file_size=view.size,
        wrapper="zstd",
        method="zstd",
        declared_size=declared,
        stored_size=view.size,
        check="xxh64" if head.checksum else "none",
        window=head.window,
        streams=frames,
        blocks=blocks,
        members=(content(None, declared, 0, lambda: decode("zstd", source, limits)),),
        members_total=1,
        marks=tuple(marks),
    )


def _zstd_walk(view: View, at: int, first: FrameHeader, limits: Limits) -> tuple[int | None, int | None, int | None]:
    """The declared size of all frames, how many there are, and their blocks; by their headers, under a cap.

    Beyond the cap the first frame is taken to be the only one, as zstd writes it.
    """
    total: int | None = 0
    frames = blocks = 0
    try:
        for _ in range(limits.wrapper_blocks):
            magic = view.peek(at, 4)
            head = frame_header(view.peek(at, 18)) if magic == lay.ZSTD_MAGIC else None
            if head is None:
                if not is_skippable(magic):
                    return total, frames, blocks
                at += 8 + int.from_bytes(view.read(at + 4, 4, "skippable frame"), "little")
                continue
            frames += 1
            total = None if total is None or head.content_size is None else total + head.content_size
            at += head.size
            last = False
            while not last and blocks < limits.wrapper_blocks:
                block = block_header(view.read(at, 3, "zstd block header"))
                at, last, blocks = at + 3 + block.stored, block.last, blocks + 1
            at += 4 if head.checksum else 0
    except Unreadable:  # cut short, or not kept of a stream: decoding says where
        return first.content_size, None, None
    return first.content_size, None, None


def _lz4(view: View, at: int, limits: Limits) -> CompressedFacts:
    head = view.parse(lay.LZ4_HEADER, at)
    marks: list[Mark] = []
    if head.flg >> 6 != 1:
        marks.append(Mark("method", f"lz4 frame of version {head.flg >> 6}, known is 1", "flg", at + 4, 1))
    if head.flg & 0x02 or head.bd & 0x8F:
        marks.append(Mark("reserved", f"lz4 descriptor {head.flg:02x} {head.bd:02x}", "flg", at + 4, 2))
    declared = None
    if head.flg & 0x08:
        declared = int.from_bytes(view.read(at + 6, 8, "lz4 content size"), "little")
    if head.flg & 0x01:
        marks.append(Mark("dictionary", "the lz4 frame needs a dictionary", "flg", at + 4, 1))
    source = view.source
    return CompressedFacts(
        format="compressed",
        file_size=view.size,
        wrapper="lz4",
        method="lz4",
        declared_size=declared,
        stored_size=view.size,
        check="xxh32" if head.flg & 0x04 else "none",
        window=lay.LZ4_BLOCKS.get(head.bd >> 4 & 7),
        members=(content(None, declared, 0, lambda: decode("lz4", source, limits)),),
        members_total=1,
        marks=(*marks, *_lz4_header_checksum(view, at, head)),
    )


def _lz4_header_checksum(view: View, at: int, head: lay.Lz4Header) -> tuple[Mark, ...]:
    import lz4.frame

    place = at + 6 + (8 if head.flg & 0x08 else 0) + (4 if head.flg & 0x01 else 0)
    try:
        lz4.frame.get_frame_info(view.peek(at, 32))
    except RuntimeError as error:
        if "headerChecksum" in str(error):
            return (Mark("checksum", "the lz4 frame descriptor's checksum does not match", "hc", place, 1),)
    return ()


def lz4_legacy(view: View, limits: Limits) -> CompressedFacts:
    """The legacy format of `lz4 -l`: blocks of at most 8 MiB, and no header but the magic."""
    source = view.source
    return CompressedFacts(
        format="compressed",
        file_size=view.size,
        wrapper="lz4",
        method="lz4-legacy",
        stored_size=view.size,
        check="none",
        window=8 * 1024 * 1024,
        members=(content(None, None, 0, lambda: decode("lz4", source, limits)),),
        members_total=1,
    )
