"""GUID partition table: both headers, both arrays of entries, at sectors of 512 and of 4096 bytes.

Reference: UEFI Specification, section 5.3 ("GUID Partition Table (GPT) Disk Layout").
"""

from __future__ import annotations

from typing import NamedTuple

from imgtool.limits import Limits
from imgtool.model.volumes import Partition, PartitionTable
from imgtool.structs.layout import bit_names
from imgtool.structs.view import Unreadable, View
from imgtool.units import guid_text, is_power_of_two
from imgtool.volumes.partitions import layout as lay
from imgtool.volumes.partitions.facts import GptFacts, HeaderState
from imgtool.volumes.partitions.mbr import protective, slots_of
from imgtool.volumes.partitions.types import gpt_type_name

SECTOR_SIZES = (512, 4096)

_UNUSED = bytes(16)


class _Headers(NamedTuple):
    sector_size: int
    primary: HeaderState | None
    backup: HeaderState | None
    backup_known: bool


class _Listed(NamedTuple):
    partitions: tuple[Partition, ...]
    places: tuple[int, ...]


def read(view: View, limits: Limits, *, orphan: bool = True) -> GptFacts | None:
    """The facts of a GUID partition table; None where no header is. `orphan`: believe a backup that is alone."""
    slots = slots_of(view)
    headers = _headers(view, limits, orphan or protective(slots))
    if headers is None:
        return None
    chosen = _choose(headers)
    if chosen is None:
        return None
    size = headers.sector_size
    listed = _entries(view, chosen, size, limits)
    guid = guid_text(chosen.header.disk_guid) if any(chosen.header.disk_guid) else None
    return GptFacts(
        format="gpt",
        file_size=view.size,
        broken=headers.primary is None or not headers.primary.usable,
        table=PartitionTable("gpt", size, guid, listed.partitions),
        mark=chosen.offset,
        places=listed.places,
        primary=headers.primary,
        backup=headers.backup,
        chosen=chosen,
        backup_known=headers.backup_known,
        last_lba=view.size // size - 1,
        slots=slots,
        boot_signature=bool(slots),
    )


def _headers(view: View, limits: Limits, orphan: bool) -> _Headers | None:
    for size in SECTOR_SIZES:
        primary = _header(view, 1, size, limits)
        if primary is not None:
            return _Headers(size, primary, *_backup(view, primary, size, limits))
    for size in SECTOR_SIZES if orphan else ():
        backup = _header(view, view.size // size - 1, size, limits)
        if backup is not None and backup.lba_holds:
            return _Headers(size, None, backup, True)
    return None


def _backup(view: View, primary: HeaderState, size: int, limits: Limits) -> tuple[HeaderState | None, bool]:
    """The backup header: where the primary says, else in the last sector; and whether both could be seen."""
    last = view.size // size - 1
    places = dict.fromkeys((primary.header.alternate_lba, last) if primary.crc_holds else (last,))
    known = True
    for lba in places:
        if not 1 < lba <= last:
            continue
        try:
            found = _header(view, lba, size, limits)
        except Unreadable as error:
            view.note(error.problem)
            known = False
            continue
        if found is not None:
            return found, True
    return None, known


def _choose(headers: _Headers) -> HeaderState | None:
    """The header to believe: the primary where it holds, else the backup where that does, else what there is."""
    candidates = [state for state in (headers.primary, headers.backup) if state is not None]
    return next((state for state in candidates if state.usable), candidates[0] if candidates else None)


def _header(view: View, lba: int, size: int, limits: Limits) -> HeaderState | None:
    """The header at `lba`, judged; None when its signature is not there. Raises Unreadable."""
    offset = lba * size
    if lba < 1 or view.peek(offset, 8) != lay.GPT_SIGNATURE:
        return None
    header = view.parse(lay.GPT_HEADER, offset, "gpt header" if lba == 1 else "gpt backup header")
    size_holds = lay.GPT_HEADER_SIZE <= header.header_size <= size
    crc_holds = size_holds and _crc_without_itself(view, offset, header) == header.header_crc32
    entry_size, count = header.size_of_partition_entry, header.number_of_partition_entries
    entries_hold = entry_size >= 128 and is_power_of_two(entry_size)
    table = entry_size * count
    count_holds = 0 < count <= limits.gpt_entries and table <= limits.gpt_table
    holds = None
    if entries_hold and count_holds:
        holds = _entries_crc_holds(view, header, size, table)
    return HeaderState(
        lba,
        view.base + offset,
        header,
        size_holds,
        crc_holds,
        header.my_lba == lba,
        entries_hold,
        count_holds,
        holds,
        table,
    )


def _crc_without_itself(view: View, offset: int, header: lay.GptHeader) -> int:
    from zlib import crc32

    raw = view.read(offset, header.header_size, "gpt header")
    return crc32(raw[: lay.CRC_AT] + bytes(4) + raw[lay.CRC_AT + 4 :])


def _entries_crc_holds(view: View, header: lay.GptHeader, size: int, table: int) -> bool | None:
    from zlib import crc32

    try:
        raw = view.read(header.partition_entry_lba * size, table, "gpt partition entries")
    except Unreadable as error:
        view.note(error.problem)
        return None
    return crc32(raw) == header.partition_entry_array_crc32


def _entries(view: View, state: HeaderState, size: int, limits: Limits) -> _Listed:
    """The used entries behind a header, at most `limits.partitions_listed`."""
    header = state.header
    if not (state.entries_hold and state.count_holds):
        return _Listed((), ())
    start, step = header.partition_entry_lba * size, header.size_of_partition_entry
    try:
        raw = view.peek(start, state.table)
    except Unreadable as error:
        view.note(error.problem)
        return _Listed((), ())
    used = [at for at in range(0, len(raw) - lay.GPT_ENTRY.size + 1, step) if raw[at : at + 16] != _UNUSED]
    kept = used[: limits.partitions_listed]
    if len(used) > len(kept):
        message = f"{len(used)} partitions, only the first {len(kept)} are listed and checked"
        view.problem("gpt partition entries", message, kind="cap", offset=start, length=state.table)
    partitions = []
    for at in kept:
        number = at // step + 1
        body = raw[at : at + lay.GPT_ENTRY.size]
        entry = view.decode(lay.GPT_ENTRY, body, start + at, f"gpt partition entry {number}")
        partitions.append(_partition(entry, number, size))
    return _Listed(tuple(partitions), tuple(view.base + start + at for at in kept))


def _partition(entry: lay.GptEntry, number: int, size: int) -> Partition:
    guid = guid_text(entry.partition_type_guid)
    name = entry.partition_name.decode("utf-16-le", "replace").partition("\0")[0]
    return Partition(
        number=number,
        start=entry.starting_lba * size,
        length=max(0, entry.ending_lba - entry.starting_lba + 1) * size,
        type=guid,
        type_name=gpt_type_name(guid),
        name=name or None,
        uuid=guid_text(entry.unique_partition_guid),
        flags=bit_names(entry.attributes, lay.ATTRIBUTES),
    )
