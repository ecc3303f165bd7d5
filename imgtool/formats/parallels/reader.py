"""Parallels (ploop): the header and its format extension as facts.

Reference: QEMU docs/interop/parallels, sections "Header" and "Format Extension".
"""

from __future__ import annotations

from imgtool.formats.parallels import layout as lay
from imgtool.formats.parallels.facts import Bitmap, Extension, Feature, ParallelsFacts
from imgtool.limits import Limits
from imgtool.structs.layout import bit_names
from imgtool.structs.view import Unreadable, View
from imgtool.units import SECTOR, ceil_div, uuid_text


def read(view: View, limits: Limits) -> ParallelsFacts:
    """The facts of a Parallels image. Raises Unreadable when even the header is not there."""
    head = view.parse(lay.HEADER, 0)
    extended = head.magic == lay.MAGIC_EXT
    sectors = head.nb_sectors if extended else head.nb_sectors & 0xFFFFFFFF
    virtual_size = sectors * SECTOR
    if virtual_size > limits.virtual_size:
        message = f"the virtual size of {virtual_size} bytes is over {limits.virtual_size}"
        view.problem("nb_sectors", message, kind="cap", offset=36, length=8)
    _table_is_there(view, head)
    extension = _extension(view, head, limits)
    return ParallelsFacts(
        format="parallels",
        file_size=view.size,
        virtual_size=virtual_size,
        broken=head.version != lay.VERSION or head.tracks == 0,
        partial=bool(view.problems),
        version=head.version,
        extended=extended,
        cluster_size=head.tracks * SECTOR,
        bat_entries=head.nb_bat_entries,
        data_offset=data_offset(head),
        heads=head.heads,
        cylinders=head.cylinders,
        dirty=head.in_use == lay.IN_USE,
        in_use=lay.IN_USE_MARKS.get(head.in_use, f"unknown-0x{head.in_use:08x}"),
        empty=bool(head.flags & 1),
        flags=bit_names(head.flags, lay.FLAGS),
        extension_offset=head.ext_off * SECTOR,
        extension=extension,
        header=head,
        problems=view.problems,
    )


def table_end(head: lay.Header) -> int:
    """Where the block allocation table ends, in bytes."""
    return lay.HEADER.size + head.nb_bat_entries * 4


def data_offset(head: lay.Header) -> int:
    """Where the data area begins, in bytes: after the table, on a sector, where the header does not say."""
    return (head.data_off or ceil_div(table_end(head), SECTOR)) * SECTOR


def _table_is_there(view: View, head: lay.Header) -> None:
    """Note a truncated block allocation table."""
    end = table_end(head)
    if end > view.size:
        message = f"block allocation table: needs bytes {lay.HEADER.size}..{end}, the file has {view.size}"
        view.problem("block allocation table", message, kind="truncated", offset=64, length=end - 64)


def _extension(view: View, head: lay.Header, limits: Limits) -> Extension | None:
    if not head.ext_off:
        return None
    at, cluster_size = head.ext_off * SECTOR, head.tracks * SECTOR
    start = view.optional(lay.EXTENSION_HEAD, at)
    if start is None:
        return None
    if start.magic != lay.EXTENSION_MAGIC:
        view.problem("format extension", f"format extension at {at}: no magic there", offset=at, length=8)
        return Extension(at, start.m_CheckSum.hex(), None, ())
    holds = _checksum_holds(view, at, cluster_size, start.m_CheckSum)
    return Extension(at, start.m_CheckSum.hex(), holds, _features(view, at, cluster_size, limits))


def _checksum_holds(view: View, at: int, cluster_size: int, expected: bytes) -> bool | None:
    """Whether the MD5 of the cluster, but for its first 24 bytes, is the stored one; None if unreadable."""
    import hashlib

    if cluster_size <= lay.EXTENSION_HEAD.size:
        return None
    try:
        data = view.read(at, cluster_size, "format extension cluster")
    except Unreadable as error:
        view.note(error.problem)
        return None
    return hashlib.md5(memoryview(data)[lay.EXTENSION_HEAD.size :], usedforsecurity=False).digest() == expected


def _features(view: View, at: int, cluster_size: int, limits: Limits) -> tuple[Feature, ...]:
    found: list[Feature] = []
    position, end = at + lay.EXTENSION_HEAD.size, at + cluster_size
    while position + lay.FEATURE_HEAD.size <= end and len(found) < limits.parallels_features:
        head = view.optional(lay.FEATURE_HEAD, position)
        if head is None or head.magic == lay.FEATURE_END:
            break
        data_at = position + lay.FEATURE_HEAD.size
        name = lay.FEATURES.get(head.magic, f"unknown-0x{head.magic:016x}")
        if data_at + head.data_size > end:
            message = f"feature {name} of {head.data_size} bytes crosses the end of its cluster at {end}"
            view.problem("format extension feature", message, offset=position, length=lay.FEATURE_HEAD.size)
            break
        bitmap = _bitmap(view, data_at, head.data_size) if name == "dirty-bitmap" else None
        found.append(Feature(name, bit_names(head.flags, lay.FEATURE_FLAGS), data_at, head.data_size, bitmap))
        position = data_at + ceil_div(head.data_size, 8) * 8
    return tuple(found)


def _bitmap(view: View, at: int, size: int) -> Bitmap | None:
    if size < lay.DIRTY_BITMAP.size:
        view.problem("dirty bitmap", f"a dirty bitmap of {size} bytes is too short", offset=at, length=size)
        return None
    head = view.optional(lay.DIRTY_BITMAP, at)
    if head is None:
        return None
    return Bitmap(uuid_text(head.id), head.size * SECTOR, head.granularity * SECTOR, head.l1_size)
