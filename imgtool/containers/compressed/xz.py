"""xz: the stream header, and the indexes found from the end, which tell the content's exact size.

References: the .xz file format 1.2, sections 2.1 (streams), 2.2 (padding), 4 (index).
"""

from __future__ import annotations

from typing import NamedTuple

from imgtool.codecs.decode import Block, decode
from imgtool.containers.compressed import layout as lay
from imgtool.containers.compressed.facts import CompressedFacts, Mark, content, window_mark
from imgtool.limits import Limits
from imgtool.sources.base import Source
from imgtool.structs.view import Unreadable, View
from imgtool.units import ceil_div

_LZMA2 = 0x21
_PADDING = 64 * 1024  #: stream padding that is looked through for a footer


class Indexes(NamedTuple):
    """What the indexes of all streams say: content in bytes, how many streams and blocks."""

    size: int
    streams: int
    blocks: int


class _Index(NamedTuple):
    """One stream's index: the packed and the decoded bytes of each block, and where the stream begins."""

    records: tuple[tuple[int, int], ...]
    start: int


def xz(view: View, limits: Limits) -> CompressedFacts:
    """An .xz file. A damaged or missing index leaves the declared size unknown; decoding says why."""
    head = view.parse(lay.XZ_HEADER, 0)
    marks = _header_marks(view, head)
    indexes = _indexes(view, marks, limits)
    declared = indexes.size if indexes else None
    window = _dictionary(view)
    if window:
        marks += window_mark(window, "dictionary size", lay.XZ_HEADER.size, 1, limits)
    source = view.source
    return CompressedFacts(
        format="compressed",
        file_size=view.size,
        wrapper="xz",
        method="xz",
        declared_size=declared,
        stored_size=view.size,
        check=lay.XZ_CHECKS.get(head.check & 15, f"unknown-{head.check & 15}"),
        window=window,
        streams=indexes.streams if indexes else None,
        blocks=indexes.blocks if indexes else None,
        members=(
            content(None, declared, 0, lambda: decode("xz", source, limits, blocks=lambda: _blocks(source, limits))),
        ),
        members_total=1,
        marks=tuple(marks),
    )


def _dictionary(view: View) -> int | None:
    """The dictionary of the first block's LZMA2 filter, in bytes (sections 3.1 and 5.3.1)."""
    at = lay.XZ_HEADER.size
    raw = view.peek(at, 1024)
    if not raw[:1].strip(b"\0") or len(raw) < 2:
        return None
    raw = raw[: (raw[0] + 1) * 4]
    place = 2
    for bit in (0x40, 0x80):  # the block's sizes, where they are stored
        if raw[1] & bit:
            _, place = _number(raw, place)
    for _ in range((raw[1] & 3) + 1):
        kind, place = _number(raw, place)
        length, place = _number(raw, place)
        if kind == _LZMA2 and length == 1 and place < len(raw) and raw[place] <= 40:
            bits = raw[place]
            return (2 | bits & 1) << bits // 2 + 11 if bits < 40 else (1 << 32) - 1
        place += max(0, length)
    return None


def _header_marks(view: View, head: lay.XzHeader) -> list[Mark]:
    import zlib

    marks = []
    if head.reserved or head.check & 0xF0:
        marks.append(Mark("reserved", f"xz stream flags are {head.reserved:02x} {head.check:02x}", "check", 6, 2))
    actual = zlib.crc32(view.read(6, 2, "xz stream flags"))
    if head.crc32 != actual:
        message = f"xz stream header CRC-32 is {head.crc32:08x}, that of its flags {actual:08x}"
        marks.append(Mark("checksum", message, "crc32", 8, 4))
    return marks


def _indexes(view: View, marks: list[Mark], limits: Limits) -> Indexes | None:
    """What all streams say together; None where one of them does not add up."""
    streams = _streams(view, marks, limits)
    if not streams:
        return None
    sizes = [size for stream in streams for _, size in stream.records]
    return Indexes(sum(sizes), len(streams), len(sizes))


def _streams(view: View, marks: list[Mark], limits: Limits) -> list[_Index]:
    """All streams, found from the last to the first; none where one of them does not add up."""
    streams: list[_Index] = []
    end = view.size
    try:
        while end > 0 and len(streams) < limits.wrapper_frames:
            index = _index(view, _without_padding(view, end), marks, limits)
            if index is None:
                return []
            streams.append(index)
            end = index.start
    except Unreadable:  # cut short, or not kept of a stream
        return []
    return streams[::-1] if end == 0 else []


def _blocks(source: Source, limits: Limits) -> tuple[Block, ...]:
    """All blocks of all streams, as their indexes tell them; none where one of these does not hold."""
    view = View(source, limits)
    found: list[Block] = []
    output = 0
    for stream in _streams(view, [], limits):
        header = view.peek(stream.start, lay.XZ_HEADER.size)
        at = stream.start + len(header)
        for packed, size in stream.records:
            found.append(Block(at, packed, output, size, header))
            at, output = at + packed, output + size
    return tuple(found)


def _without_padding(view: View, end: int) -> int:
    """Where the last stream ends: padding is zeros in fours."""
    piece = view.peek(max(0, end - _PADDING), min(end, _PADDING))
    return end - (len(piece) - len(piece.rstrip(b"\0"))) // 4 * 4


def _index(view: View, end: int, marks: list[Mark], limits: Limits) -> _Index | None:
    """The index of the stream that ends at `end`; None where no stream with a sound index does."""
    import zlib

    at = end - lay.XZ_FOOTER.size
    if at < 24 or view.peek(end - 2, 2) != lay.XZ_FOOTER_MAGIC:
        return None
    footer = view.parse(lay.XZ_FOOTER, at)
    actual = zlib.crc32(view.read(at + 4, 6, "xz stream footer"))
    if footer.crc32 != actual:
        message = f"xz stream footer CRC-32 is {footer.crc32:08x}, that of its fields {actual:08x}"
        marks.append(Mark("checksum", message, "crc32", at, 4))
    length = (footer.backward_size + 1) * 4
    if length > limits.wrapper_index or length > at - 12:
        return None
    raw = view.read(at - length, length, "xz index")
    stored = int.from_bytes(raw[-4:], "little")
    actual = zlib.crc32(raw[:-4])
    if stored != actual:
        message = f"xz index CRC-32 is {stored:08x}, that of its records {actual:08x}"
        marks.append(Mark("checksum", message, "index crc32", at - 4, 4))
        return None
    found = _records(raw[:-4], limits)
    if found is None:
        return None
    start = at - length - sum(packed for packed, _ in found) - lay.XZ_HEADER.size
    if start < 0 or view.peek(start, 6) != lay.XZ_MAGIC:
        return None
    marks += _flags_differ(footer, view.read(start + 6, 2, "xz stream flags"), at)
    return _Index(found, start)


def _flags_differ(footer: lay.XzFooter, flags: bytes, at: int) -> list[Mark]:
    """The flags of a stream's header and of its footer at `at` must be the same."""
    if flags == bytes((footer.reserved, footer.check)):
        return []
    message = (
        f"xz stream flags are {flags.hex()} in the header, {footer.reserved:02x}{footer.check:02x} in the footer"
    )
    return [Mark("mismatch", message, "check", at + 8, 2)]


def _records(raw: bytes, limits: Limits) -> tuple[tuple[int, int], ...] | None:
    """The bytes that each block takes, and those it holds (section 4.3); None where they do not hold."""
    if raw[:1] != b"\0":
        return None
    count, at = _number(raw, 1)
    if not 0 <= count <= limits.wrapper_records:
        return None
    found: list[tuple[int, int]] = []
    for _ in range(count):
        unpadded, at = _number(raw, at)
        uncompressed, at = _number(raw, at)
        if unpadded < 0 or uncompressed < 0:
            return None
        found.append((ceil_div(unpadded, 4) * 4, uncompressed))
    return tuple(found)


def _number(raw: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer (section 1.2) at `at`, and what follows; -1 where it does not hold."""
    value = 0
    for index, byte in enumerate(raw[at : at + 9]):
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return value, at + index + 1
    return -1, len(raw)
