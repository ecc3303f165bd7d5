"""UDF: the recognition sequence, the anchors and the volume descriptor sequence as facts.

References: ECMA-167 2/8 (recognition), 3/8.4 (anchors at block 256, N - 256 and N), 3/10 (descriptors).
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from imgtool.formats.iso.facts import BadTag, Descriptor, Udf, UdfPartition
from imgtool.formats.iso.texts import dstring, regid, timestamp
from imgtool.formats.iso.udf import layout as lay
from imgtool.limits import Limits
from imgtool.structs.view import Unreadable, View


class _Sequence(NamedTuple):
    """What a volume descriptor sequence holds; the descriptor with the highest number prevails."""

    primary: lay.Primary | None
    logical: lay.Logical | None
    partitions: tuple[lay.Partition, ...]
    bad: tuple[BadTag, ...]


class _Found(NamedTuple):
    """An anchor that holds: its place, and the block size that it proves."""

    anchor: lay.Anchor
    offset: int
    block_size: int


def read_udf(view: View, structures: tuple[Descriptor, ...], step: int, limits: Limits) -> Udf | None:
    """The UDF volume that the recognition sequence `structures` announces; None where it announces none."""
    names = tuple(entry.identifier for entry in structures)
    if not names:
        return None
    sound = _sound(structures, step)
    found = tuple(_anchors(view, step))
    if not found:
        return Udf(names, sound, step, None, ())
    block_size = found[0].block_size
    sequence = _sequence(view, found, limits)
    primary, logical = sequence.primary, sequence.logical
    partitions = tuple(_partition(part, block_size) for part in sequence.partitions)
    return Udf(
        names,
        sound,
        step,
        block_size,
        tuple(entry.offset for entry in found),
        dstring(primary.volume_identifier) if primary else None,
        dstring(primary.volume_set_identifier) if primary else None,
        dstring(logical.logical_volume_identifier) if logical else None,
        regid(b"\0" + logical.domain_identifier) if logical else None,
        f"{logical.domain_revision >> 8:x}.{logical.domain_revision & 0xFF:02x}" if logical else None,
        logical.logical_block_size if logical else None,
        regid(primary.application_identifier) if primary else None,
        regid(primary.implementation_identifier) if primary else None,
        timestamp(primary.recording_date) if primary else None,
        partitions,
        max((part.offset + part.length for part in partitions), default=None),
        sequence.bad,
    )


def _sound(structures: tuple[Descriptor, ...], step: int) -> bool:
    """True for BEA01, one NSR among what follows, TEA01, with no gap (ECMA-167 2/8.3.1)."""
    names = [entry.identifier.encode("utf-8", "surrogateescape") for entry in structures]
    gaps = [second.offset - first.offset for first, second in pairwise(structures)]
    whole = names[0] == lay.BEGIN and names[-1] == lay.END and any(name in lay.NSR for name in names[1:-1])
    return whole and all(gap == step for gap in gaps) and all(entry.version == 1 for entry in structures)


def _anchors(view: View, step: int) -> Iterator[_Found]:
    """Anchors at block 256, N - 256 and N, for the block size that the first one proves."""
    sizes = dict.fromkeys((step, *lay.BLOCK_SIZES) if step > 2048 else lay.BLOCK_SIZES)
    for size in sizes:
        first = _anchor(view, lay.ANCHOR_BLOCK, size)
        if first is not None:
            yield first
            blocks = view.size // size
            if blocks < 1 << 32:
                rest = (
                    _anchor(view, block, size) for block in (blocks - 257, blocks - 1) if block > lay.ANCHOR_BLOCK
                )
                yield from (anchor for anchor in rest if anchor is not None)
            return
    for size in (size for size in sizes if size <= 4096 and view.size // size < 1 << 32):
        blocks = view.size // size
        ends = tuple(
            anchor
            for block in (blocks - 257, blocks - 1)
            if block > 0 and (anchor := _anchor(view, block, size)) is not None
        )
        if ends:
            yield from ends
            return


def _anchor(view: View, block: int, size: int) -> _Found | None:
    """The anchor at `block`, where its tag says that it is one and lies there."""
    offset = block * size
    try:
        data = view.peek(offset, lay.ANCHOR.size)
        if len(data) < lay.ANCHOR.size:
            return None
        tag = lay.TAG.parse(data)
        if tag.tag_identifier != lay.TAG_ANCHOR or tag.tag_location != block:
            return None
        return _Found(view.decode(lay.ANCHOR, data, offset), offset, size)
    except Unreadable as error:
        view.note(error.problem)
        return None


def _sequence(view: View, found: tuple[_Found, ...], limits: Limits) -> _Sequence:
    bad = [fault for entry in found if (fault := _bad_tag(view, entry.offset, entry.block_size)) is not None]
    anchor, _, size = found[0]
    best = _Sequence(None, None, (), ())
    for location, length in (
        (anchor.main_location, anchor.main_length),
        (anchor.reserve_location, anchor.reserve_length),
    ):
        best = _descriptors(view, location, min(length // size, limits.iso_udf_descriptors), size)
        bad.extend(best.bad)
        if best.logical is not None:
            break
    return best._replace(bad=tuple(bad))


def _descriptors(view: View, location: int, count: int, size: int) -> _Sequence:
    primaries: list[lay.Primary] = []
    logicals: list[lay.Logical] = []
    partitions: dict[int, lay.Partition] = {}
    bad: list[BadTag] = []
    for block in range(location, location + count):
        offset = block * size
        try:
            tag = lay.TAG.parse(view.read(offset, lay.TAG.size, "UDF descriptor"))
            if tag.tag_identifier not in lay.TAG_NAMES:
                break
            fault = _bad_tag(view, offset, size)
            bad.extend([fault] if fault else [])
            if tag.tag_identifier == lay.TAG_PRIMARY:
                primaries.append(view.parse(lay.PRIMARY, offset))
            elif tag.tag_identifier == lay.TAG_LOGICAL:
                logicals.append(view.parse(lay.LOGICAL, offset))
            elif tag.tag_identifier == lay.TAG_PARTITION:
                part = view.parse(lay.PARTITION, offset)
                partitions[part.number] = part
            elif tag.tag_identifier == lay.TAG_TERMINATING:
                break
        except Unreadable as error:
            view.note(error.problem)
            break
    primary = max(primaries, key=lambda entry: entry.volume_descriptor_sequence_number, default=None)
    logical = max(logicals, key=lambda entry: entry.volume_descriptor_sequence_number, default=None)
    return _Sequence(primary, logical, tuple(partitions.values()), tuple(bad))


def _bad_tag(view: View, offset: int, block_size: int) -> BadTag | None:
    """What is wrong with the tag at `offset`: its sum, its place, or the CRC of what follows (ECMA-167 3/7.2)."""
    head = view.peek(offset, lay.TAG.size)
    tag = lay.TAG.parse(head)
    what = lay.TAG_NAMES.get(tag.tag_identifier, f"descriptor {tag.tag_identifier}")
    total = (sum(head) - tag.tag_checksum) & 0xFF
    if total != tag.tag_checksum:
        return BadTag(what, f"tag checksum is {tag.tag_checksum}, the tag sums up to {total}", offset)
    if tag.tag_location != offset // block_size:
        return BadTag(what, f"tag location is {tag.tag_location}, it lies in block {offset // block_size}", offset)
    length = tag.descriptor_crc_length
    if length > block_size - lay.TAG.size:
        return BadTag(what, f"CRC over {length} bytes, a block has {block_size}", offset)
    body = view.peek(offset + lay.TAG.size, length)
    actual = crc_hqx(body, 0)
    if length and actual != tag.descriptor_crc:
        return BadTag(what, f"CRC is 0x{tag.descriptor_crc:04x}, computed 0x{actual:04x}", offset)
    return None


def _partition(part: lay.Partition, block_size: int) -> UdfPartition:
    access = lay.ACCESS_TYPES.get(part.access_type, f"unknown-{part.access_type}")
    offset, length = part.starting_location * block_size, part.length * block_size
    return UdfPartition(part.number, regid(part.contents), access, offset, length)
