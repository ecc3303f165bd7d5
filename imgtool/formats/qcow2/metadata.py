"""qcow2: what the header points at: the snapshot table and the bitmap directory.

References: QEMU docs/interop/qcow2, sections "Snapshots", "Bitmaps".
"""

from __future__ import annotations

from imgtool.formats.qcow2 import layout as lay
from imgtool.formats.qcow2.facts import Bitmap, Extension, Snapshot
from imgtool.limits import Limits
from imgtool.model.values import Problem, text
from imgtool.structs.layout import bit_names
from imgtool.structs.view import Unreadable, View


def snapshots(view: View, header: lay.HeaderV2, limits: Limits) -> tuple[Snapshot, ...]:
    """The first `limits.qcow2_snapshots_listed` snapshots, as far as they can be read."""
    return snapshot_table(view, header, limits)[0]


def snapshot_table(view: View, header: lay.HeaderV2, limits: Limits) -> tuple[tuple[Snapshot, ...], int]:
    """`snapshots`, and where in the file the last of them ends."""
    found: list[Snapshot] = []
    position = header.snapshots_offset
    for _ in range(min(header.nb_snapshots, limits.qcow2_snapshots_listed)):
        try:
            snapshot, position = _snapshot(view, position, limits)
        except Unreadable as error:
            view.note(error.problem)
            break
        found.append(snapshot)
        if position - header.snapshots_offset > limits.qcow2_snapshot_table:
            message = f"snapshot table is over {limits.qcow2_snapshot_table} bytes"
            view.problem("snapshot table", message, kind="cap", offset=header.snapshots_offset)
            break
    return tuple(found), position


def _snapshot(view: View, offset: int, limits: Limits) -> tuple[Snapshot, int]:
    """The snapshot at `offset`, and where the next one begins."""
    entry = view.parse(lay.SNAPSHOT_ENTRY, offset)
    position = offset + lay.SNAPSHOT_ENTRY.size
    if entry.extra_data_size > limits.qcow2_snapshot_extra:
        message = f"snapshot extra data of {entry.extra_data_size} bytes is over {limits.qcow2_snapshot_extra}"
        raise Unreadable(Problem("cap", "snapshot table entry", message, offset + 36, 4))
    vm_state, virtual_size, icount = entry.vm_state_size, None, None
    if entry.extra_data_size >= lay.SNAPSHOT_EXTRA.size:
        extra = view.parse(lay.SNAPSHOT_EXTRA, position)
        vm_state, virtual_size = extra.vm_state_size, extra.virtual_disk_size
    if entry.extra_data_size >= lay.SNAPSHOT_EXTRA.size + lay.SNAPSHOT_COUNT.size:
        count = view.parse(lay.SNAPSHOT_COUNT, position + lay.SNAPSHOT_EXTRA.size).icount
        icount = None if count == lay.NO_ICOUNT else count
    position += entry.extra_data_size
    identity = _name(view, position, entry.id_str_size, "snapshot id", limits)
    position += entry.id_str_size
    name = _name(view, position, entry.name_size, "snapshot name", limits)
    position += entry.name_size
    snapshot = Snapshot(
        identity,
        name,
        virtual_size,
        vm_state,
        entry.date_sec,
        entry.date_nsec,
        entry.vm_clock_nsec,
        entry.l1_table_offset,
        entry.l1_size,
        entry.extra_data_size,
        icount,
        offset,
    )
    return snapshot, (position + 7) // 8 * 8


def _name(view: View, offset: int, length: int, what: str, limits: Limits) -> str:
    """A name of an entry, its first `limits.qcow2_name` bytes. Raises Unreadable when it is cut short."""
    if length > limits.qcow2_name:
        message = f"{what} of {length} bytes is over {limits.qcow2_name}"
        view.problem(what, message, kind="cap", offset=offset, length=length)
    return text(view.read(offset, min(length, limits.qcow2_name), what))


def bitmaps_extension(view: View, extension: Extension | None, version: int) -> lay.BitmapsExtension | None:
    """The bitmaps extension; version 2 has none, whatever stands there."""
    if extension is None or version < 3 or extension.length < lay.BITMAPS_EXTENSION.size:
        return None
    return view.optional(lay.BITMAPS_EXTENSION, extension.offset)


def bitmaps(view: View, extension: lay.BitmapsExtension | None, autoclear: int, limits: Limits) -> tuple[Bitmap, ...]:
    """The first `limits.qcow2_bitmaps_listed` bitmaps of the directory, as far as they can be read.

    None where autoclear bit 0 is clear: the directory may hold anything then.
    """
    if extension is None or not autoclear & lay.AUTOCLEAR_BITMAPS:
        return ()
    found: list[Bitmap] = []
    position = extension.bitmap_directory_offset
    end = position + extension.bitmap_directory_size
    for _ in range(min(extension.nb_bitmaps, limits.qcow2_bitmaps_listed)):
        if position + lay.BITMAP_ENTRY.size > end:
            message = f"bitmap directory ends at {end} before its {extension.nb_bitmaps} entries do"
            view.problem("bitmap directory", message, offset=position)
            break
        try:
            bitmap, position = _bitmap(view, position, limits)
        except Unreadable as error:
            view.note(error.problem)
            break
        found.append(bitmap)
    return tuple(found)


def _bitmap(view: View, offset: int, limits: Limits) -> tuple[Bitmap, int]:
    """The bitmap at `offset`, and where the next directory entry begins."""
    entry = view.parse(lay.BITMAP_ENTRY, offset)
    position = offset + lay.BITMAP_ENTRY.size + entry.extra_data_size
    name = _name(view, position, entry.name_size, "bitmap name", limits)
    bitmap = Bitmap(
        name,
        1 << entry.granularity_bits if entry.granularity_bits < 64 else None,
        entry.granularity_bits,
        lay.BITMAP_TYPES.get(entry.type, f"unknown-{entry.type}"),
        bit_names(entry.flags, lay.BITMAP_FLAGS),
        entry.bitmap_table_offset,
        entry.bitmap_table_size,
        entry.name_size,
        entry.extra_data_size,
        offset,
    )
    return bitmap, (position + entry.name_size + 7) // 8 * 8
