"""U-Boot's header as facts that kernels and ramdisks share."""

from __future__ import annotations

from typing import NamedTuple

from imgtool.model.values import c_text
from imgtool.structs.view import View
from imgtool.volumes.uimage import layout as lay


class UImageFacts(NamedTuple):
    """What a uImage says of its data: `size` in bytes without the header, `time` in seconds since 1970."""

    type: str
    os: str
    architecture: str
    compression: str
    name: str
    time: int
    size: int
    load: int
    entry: int
    header_crc: int
    header_crc_actual: int


def uimage(view: View) -> tuple[lay.UImage, UImageFacts]:
    """The header at 0, as it is and as facts. Raises Unreadable where it is cut short."""
    import zlib

    head = view.parse(lay.UIMAGE, 0)
    raw = view.read(0, lay.UIMAGE.size, "uImage header")
    facts = UImageFacts(
        lay.TYPES.get(head.type, f"unknown-{head.type}"),
        lay.SYSTEMS.get(head.os, f"unknown-{head.os}"),
        lay.ARCHITECTURES.get(head.arch, f"unknown-{head.arch}"),
        lay.COMPRESSIONS.get(head.comp, f"unknown-{head.comp}"),
        c_text(head.name),
        head.time,
        head.size,
        head.load,
        head.ep,
        head.hcrc,
        zlib.crc32(raw[:4] + bytes(4) + raw[8:]),
    )
    return head, facts
