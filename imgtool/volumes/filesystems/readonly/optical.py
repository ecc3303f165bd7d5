"""ISO 9660 and UDF inside a partition or a fixed disk: label, UUID, size.

A file that is one of them as a whole is a disk format of its own and not this module's. References: ECMA-119
section 8.4; ECMA-167 sections 3/10 and 1/7.2.12 (dstring).
"""

from __future__ import annotations

from typing import NamedTuple

from imgtool.limits import Limits
from imgtool.structs.view import Unreadable, View
from imgtool.volumes.filesystems.facts import FileSystemFacts, found
from imgtool.volumes.filesystems.readonly import layout as lay


def read_iso9660(view: View, limits: Limits) -> FileSystemFacts | None:
    """ISO 9660 by its primary volume descriptor; None where the first descriptor is another."""
    sb = view.parse(lay.PRIMARY, lay.VOLUME_AT)
    if sb.type != 1:
        return None
    return found(
        view,
        "iso9660",
        size=sb.volume_space_size * sb.logical_block_size,
        label=sb.volume_id.partition(b"\0")[0].decode("utf-8", "surrogateescape").rstrip(" "),
        uuid=_date(view, lay.MODIFICATION_AT) or _date(view, lay.CREATION_AT),
        block_size=sb.logical_block_size,
    )


def _date(view: View, at: int) -> str | None:
    """A date of the descriptor as its digits in groups; None where it is all zeros."""
    raw = view.peek(lay.VOLUME_AT + at, lay.DATE_DIGITS)
    if len(raw) < lay.DATE_DIGITS or not raw.isdigit() or not raw.strip(b"0"):
        return None
    digits = raw.decode("ascii")
    return "-".join((digits[:4], *(digits[place : place + 2] for place in range(4, 16, 2))))


class _Found(NamedTuple):
    set_id: bytes
    logical_id: bytes
    block_size: int
    revision: int
    partition_end: int


def read_udf(view: View, limits: Limits) -> FileSystemFacts | None:
    """UDF by its anchor and volume descriptors; None where there is no recognition sequence with NSR."""
    recognised = _recognised(view)
    if recognised is None:
        return None
    for block in lay.UDF_BLOCK_SIZES:
        try:
            anchor = view.parse(lay.ANCHOR, lay.ANCHOR_SECTOR * block)
        except Unreadable:
            continue
        if anchor.tag_id == lay.TAG_ANCHOR:
            known = _descriptors(view, anchor, block, limits)
            return found(
                view,
                "udf",
                size=known.partition_end or None,
                label=_dstring(known.logical_id),
                uuid=udf_uuid(known.set_id),
                block_size=known.block_size or block,
                version=f"{known.revision >> 8:x}.{known.revision & 0xFF:02x}" if known.revision else recognised,
            )
    return found(view, "udf", version=recognised)


def _recognised(view: View) -> str | None:
    """NSR02 or NSR03, out of the volume recognition sequence (steps of 2,048 or 4,096 bytes)."""
    for step in (2048, 4096):
        for number in range(8):
            mark = view.peek(lay.VOLUME_AT + number * step + 1, 5)
            if mark in (b"NSR02", b"NSR03"):
                return mark.decode("ascii")
            if mark not in (b"BEA01", b"CD001", b"BOOT2"):
                break
    return None


def _descriptors(view: View, anchor: lay.Anchor, block: int, limits: Limits) -> _Found:
    set_id = logical_id = b""
    block_size = revision = end = 0
    for number in range(min(anchor.main_length // block, limits.udf_descriptors)):
        try:
            raw = view.read((anchor.main_location + number) * block, 512, "udf volume descriptor")
        except Unreadable as error:
            view.note(error.problem)
            break
        tag = int.from_bytes(raw[:2], "little")
        if tag == lay.TAG_PRIMARY:
            set_id = raw[lay.VOLUME_SET_ID_AT : lay.VOLUME_SET_ID_AT + lay.ID_SIZE]
        elif tag == lay.TAG_LOGICAL:
            logical_id = raw[lay.LOGICAL_ID_AT : lay.LOGICAL_ID_AT + lay.ID_SIZE]
            block_size = int.from_bytes(raw[212:216], "little")
            revision = int.from_bytes(raw[lay.DOMAIN_REVISION_AT : lay.DOMAIN_REVISION_AT + 2], "little")
        elif tag == lay.TAG_PARTITION:
            start, length = int.from_bytes(raw[188:192], "little"), int.from_bytes(raw[192:196], "little")
            end = max(end, (start + length) * block)
        elif tag in (0, lay.TAG_TERMINATING):
            break
    return _Found(set_id, logical_id, block_size, revision, end)


def _dstring(raw: bytes) -> str:
    """A dstring: a compression id (8 or 16 bits a character), the text, its length in the last byte."""
    if not raw or not raw[-1]:
        return ""
    body = raw[1 : max(1, min(raw[-1], len(raw) - 1))]
    if raw[0] == 8:
        return body.decode("latin-1").rstrip("\0")
    return body.decode("utf-16-be", "replace").rstrip("\0") if raw[0] == 16 else ""


def udf_uuid(set_id: bytes) -> str | None:
    """The 16 digits that programs take for a UDF volume's UUID: the start of the volume set identifier.

    Sixteen hexadecimal digits stand as they are; after eight to fifteen the next four bytes are written in
    hexadecimal; after fewer the first eight bytes are.
    """
    raw = _dstring(set_id).encode("utf-8")[:16]
    if len(raw) < 8:
        return None
    raw = raw.ljust(16, b"\0")
    digits = next((at for at, byte in enumerate(raw) if byte not in b"0123456789abcdefABCDEF"), 16)
    if digits < 8:
        return raw[:8].hex()
    if digits < 16:
        return raw[:8].decode("ascii").lower() + raw[8:12].hex()
    return raw.decode("ascii").lower()
