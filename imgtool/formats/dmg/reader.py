"""dmg: the trailer as facts; the property list and the blocks are not read.

References: newosxbook.com/DMG.html; QEMU block/dmg.c.
"""

from __future__ import annotations

from imgtool.formats.dmg import layout as lay
from imgtool.formats.dmg.facts import DmgFacts, Encryption, Part
from imgtool.limits import Limits
from imgtool.structs.layout import bit_names
from imgtool.structs.view import View
from imgtool.units import SECTOR, uuid_text


def read(view: View, limits: Limits) -> DmgFacts:
    """The facts of an Apple disk image. Raises Unreadable when its header is not there."""
    if view.peek(0, len(lay.ENCRYPTED)) == lay.ENCRYPTED:
        return _encrypted(view)
    offset = view.size - lay.TRAILER_SIZE
    if view.peek(offset, len(lay.MAGIC)) != lay.MAGIC:
        return DmgFacts(format="dmg", file_size=view.size, encrypted=True, kind="encrypted")
    trailer = view.parse(lay.TRAILER, offset)
    size = trailer.sector_count * SECTOR
    sane = trailer.header_size == lay.TRAILER_SIZE and size <= limits.dmg_size
    return DmgFacts(
        format="dmg",
        file_size=view.size,
        virtual_size=size if size <= limits.dmg_size else None,
        broken=not sane,
        partial=bool(view.problems),
        problems=view.problems,
        kind="udif",
        version=trailer.version,
        header_size=trailer.header_size,
        flags=bit_names(trailer.flags, lay.FLAGS),
        variant=lay.VARIANTS.get(trailer.image_variant, f"unknown-{trailer.image_variant}"),
        sector_count=trailer.sector_count,
        data_fork=Part(trailer.data_fork_offset, trailer.data_fork_length),
        resource_fork=Part(trailer.rsrc_fork_offset, trailer.rsrc_fork_length),
        plist=Part(trailer.xml_offset, trailer.xml_length),
        segment_number=trailer.segment_number,
        segment_count=trailer.segment_count,
        segment_id=uuid_text(trailer.segment_id),
        data_checksum_type=_checksum_type(trailer.data_checksum_type),
        data_checksum=_digits(trailer.data_checksum, trailer.data_checksum_size),
        checksum_type=_checksum_type(trailer.checksum_type),
        checksum=_digits(trailer.checksum, trailer.checksum_size),
        trailer_offset=offset,
    )


def _encrypted(view: View) -> DmgFacts:
    header = view.parse(lay.ENCRYPTED_HEADER, 0)
    return DmgFacts(
        format="dmg",
        file_size=view.size,
        encrypted=True,
        kind="encrypted",
        encryption=Encryption(
            header.version,
            header.key_bits,
            header.block_size,
            header.data_size,
            header.data_offset,
            header.key_count,
            uuid_text(header.uuid),
        ),
    )


def _checksum_type(value: int) -> str:
    return lay.CHECKSUMS.get(value, f"unknown-{value}")


def _digits(raw: bytes, bits: int) -> str | None:
    """The first `bits` bits of a checksum in hex; None for none."""
    return raw[: min(bits // 8, len(raw))].hex() or None
