"""bochs: the header as facts.

Reference: Bochs iodev/hdimage/hdimage.h (redolog_header_t).
"""

from __future__ import annotations

from imgtool.formats.bochs import layout as lay
from imgtool.formats.bochs.facts import BochsFacts
from imgtool.limits import Limits
from imgtool.model.values import c_text
from imgtool.structs.view import View


def read(view: View, limits: Limits) -> BochsFacts:
    """The facts of a Bochs disk. Raises Unreadable when its header is not there."""
    header = view.parse(lay.HEADER, 0)
    disk, timestamp = _disk(view, header.version)
    return BochsFacts(
        format="bochs",
        file_size=view.size,
        virtual_size=disk,
        broken=header.version not in lay.VERSIONS or c_text(header.type) != "Redolog" or not header.extent,
        partial=bool(view.problems),
        problems=view.problems,
        version=lay.VERSIONS.get(header.version, f"unknown-0x{header.version:08x}"),
        type=c_text(header.type),
        subtype=c_text(header.subtype),
        header_size=header.header,
        catalog=header.catalog,
        bitmap_size=header.bitmap,
        extent_size=header.extent,
        disk=disk,
        timestamp=timestamp,
    )


def _disk(view: View, version: int) -> tuple[int | None, int | None]:
    """Disk size and time stamp, which stand at different places in the two versions."""
    if version == lay.VERSION_1:
        first = view.parse(lay.DISK_V1, lay.HEADER.size)
        return first.disk, None
    if version == lay.VERSION_2:
        second = view.parse(lay.DISK_V2, lay.HEADER.size)
        return second.disk, second.timestamp
    return None, None
