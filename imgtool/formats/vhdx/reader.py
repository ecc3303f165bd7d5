"""VHDX: identifier, headers, region tables, metadata and the state of the log as facts.

Where there is a log to replay the facts are those after it: it is replayed in memory, as what opens the disk does it.

References: [MS-VHDX] 2.2 (header section), 2.3 (log), 2.6 (metadata region).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from imgtool.formats.vhdx import layout as lay
from imgtool.formats.vhdx.facts import HeaderCopy, LogChange, LogEntry, LogState, Region, RegionTable, VhdxFacts
from imgtool.formats.vhdx.metadata import Metadata, read_metadata
from imgtool.formats.vhdx.probe import crc
from imgtool.limits import Limits
from imgtool.model.values import Reference
from imgtool.sources.base import RangeError
from imgtool.sources.disk import DiskError
from imgtool.structs.view import Unreadable, View
from imgtool.units import guid_text


class Regions(NamedTuple):
    """Both region tables, and the index of the one that counts (None where neither holds)."""

    tables: tuple[RegionTable, ...]
    active: int | None

    @property
    def stated(self) -> int:
        """How many regions the table that counts says it names."""
        return self.tables[self.active].entry_count if self.active is not None else len(self.regions)

    @property
    def regions(self) -> tuple[Region, ...]:
        """The regions of the table that counts; where none does, of the first that names any."""
        if self.active is not None:
            return self.tables[self.active].regions
        return next((table.regions for table in self.tables if table.regions), ())


def read(view: View, limits: Limits) -> VhdxFacts:
    """The facts of a VHDX. Raises Unreadable when even the file type identifier is not there."""
    facts = read_as_stored(view, limits)
    return _after_log(view, facts, limits) if facts.dirty else facts


def read_as_stored(view: View, limits: Limits) -> VhdxFacts:
    """The facts as the file has them, whatever its log says. Raises Unreadable as `read` does."""
    identifier = view.parse(lay.FILE_IDENTIFIER, 0)
    headers = tuple(header for at in lay.HEADERS_AT if (header := _header(view, at)))
    active = active_header(headers)
    tables = _tables(view, limits)
    place = next((region for region in tables.regions if region.guid == lay.METADATA), None)
    meta = read_metadata(view, place.offset, limits) if place else Metadata()
    parameters = meta.parameters
    return VhdxFacts(
        format="vhdx",
        file_size=view.size,
        virtual_size=meta.virtual_size,
        broken=identifier.signature != lay.FILE_SIGNATURE
        or active is None
        or active.version != lay.VERSION
        or tables.active is None
        or meta.virtual_size is None,
        partial=bool(view.problems),
        references=_references(meta),
        subformat=_subformat(parameters),
        creator=identifier.creator.decode("utf-16-le", "replace").partition("\0")[0],
        block_size=parameters.block_size if parameters else None,
        logical_sector_size=meta.logical_sector_size,
        physical_sector_size=meta.physical_sector_size,
        virtual_disk_id=meta.virtual_disk_id,
        leave_blocks_allocated=bool(parameters and parameters.flags & lay.LEAVE_BLOCKS_ALLOCATED),
        has_parent=bool(parameters and parameters.flags & lay.HAS_PARENT),
        active_header=lay.HEADERS_AT.index(active.offset) + 1 if active else None,
        version=active.version if active else None,
        sequence_number=active.sequence_number if active else None,
        file_write_guid=active.file_write_guid if active else None,
        data_write_guid=active.data_write_guid if active else None,
        dirty=bool(active and active.log_guid),
        log_guid=active.log_guid if active else None,
        log_version=active.log_version if active else None,
        log_offset=active.log_offset if active else None,
        log_length=active.log_length if active else None,
        log_entry=_log_entry(view, active) if active and active.log_guid else None,
        region_table=tables.active + 1 if tables.active is not None else None,
        regions=tables.regions,
        region_count=tables.stated,
        metadata_count=meta.entry_count,
        metadata=meta.items,
        parent_locator=meta.locator,
        headers=headers,
        region_tables=tables.tables,
        identifier=identifier.signature,
        metadata_signature=meta.signature,
        problems=view.problems,
    )


#: Facts that a log may change and that say what the disk is.
_CHANGEABLE = (
    *("virtual_size", "block_size", "logical_sector_size", "physical_sector_size", "virtual_disk_id", "subformat"),
    *("regions", "metadata", "references"),
)


def _after_log(view: View, stored: VhdxFacts, limits: Limits) -> VhdxFacts:
    """The facts once the log is replayed; as they are stored where it cannot be, with the reason.

    The log can name a parent as well as take one away: references of both are kept.
    """
    from imgtool.formats.vhdx.log import LogCapError, replayed

    glance = min(limits.vhdx_log_glance, limits.vhdx_log)
    state: LogState = "not-replayed"
    try:
        overlay = replayed(view.source, stored, limits._replace(vhdx_log=glance, vhdx_log_work=glance))
        scratch = View(overlay or view.source, limits)
        after = read_as_stored(scratch, limits)
    except LogCapError as error:
        fault = str(error)
    except DiskError as error:
        state, fault = "damaged", str(error)
    except RangeError as error:
        fault = str(error)
        view.problem("log", f"log: {fault}", kind=error.problem, offset=stored.log_offset, length=stored.log_length)
    except Unreadable as error:
        state, fault = "damaged", f"broken once it is replayed: {error.problem.message}"
    else:
        for problem in scratch.problems:
            if problem not in view.problems:
                view.note(problem)
        if not after.broken or stored.broken:
            return replace(
                after,
                file_size=stored.file_size,
                partial=bool(view.problems),
                problems=view.problems,
                references=tuple(dict.fromkeys((*after.references, *stored.references))),
                log_state="replayed",
                log_changes=_changes(stored, after),
            )
        reason = after.problems[0].message if after.problems else "its headers do not hold"
        state, fault = "damaged", f"broken once it is replayed: {reason}"
    fault = fault.removeprefix(f"{view.source.name}: ")
    return replace(stored, log_state=state, log_fault=fault, partial=True, problems=view.problems)


def _changes(stored: VhdxFacts, after: VhdxFacts) -> tuple[LogChange, ...]:
    found = []
    for name in _CHANGEABLE:
        before, now = getattr(stored, name), getattr(after, name)
        if before != now:
            told = (str(len(one)) if isinstance(one, tuple) else str(one) for one in (before, now))
            found.append(LogChange(name, *told))
    return tuple(found)


def _header(view: View, at: int) -> HeaderCopy | None:
    """The header at `at`; None, and a problem, where the file ends before it does."""
    name = f"header {lay.HEADERS_AT.index(at) + 1}"
    try:
        data = view.read(at, lay.HEADER_SIZE, name)
        header = view.decode(lay.HEADER, data[: lay.HEADER.size], at, name)
    except Unreadable as error:
        view.note(error.problem)
        return None
    computed = crc(data)
    return HeaderCopy(
        at,
        header.signature,
        header.signature == lay.HEADER_SIGNATURE and header.checksum == computed,
        header.checksum,
        computed,
        header.sequence_number,
        guid_text(header.file_write_guid),
        guid_text(header.data_write_guid),
        guid_text(header.log_guid) if any(header.log_guid) else None,
        header.log_version,
        header.version,
        header.log_length,
        header.log_offset,
    )


def active_header(headers: tuple[HeaderCopy, ...]) -> HeaderCopy | None:
    """The sound header with the highest sequence number ([MS-VHDX] 2.2.2); the first of two equal ones."""
    sound = [header for header in headers if header.sound]
    return max(sound, key=lambda header: header.sequence_number, default=None)


def _tables(view: View, limits: Limits) -> Regions:
    tables = tuple(table for at in lay.REGIONS_AT if (table := _table(view, at, limits)))
    active = next((index for index, table in enumerate(tables) if table.sound), None)
    return Regions(tables, active)


def _table(view: View, at: int, limits: Limits) -> RegionTable | None:
    """The region table at `at`; None, and a problem, where the file ends before it does."""
    name = f"region table {lay.REGIONS_AT.index(at) + 1}"
    try:
        data = view.read(at, lay.REGION_TABLE_SIZE, name)
        header = view.decode(lay.REGION_TABLE_HEADER, data[: lay.REGION_TABLE_HEADER.size], at, name)
    except Unreadable as error:
        view.note(error.problem)
        return None
    computed = crc(data)
    signed = header.signature == lay.REGION_SIGNATURE
    regions = _regions(view, data, at, min(header.entry_count, limits.vhdx_entries)) if signed else ()
    sound = signed and header.checksum == computed
    return RegionTable(at, header.signature, sound, header.checksum, computed, header.entry_count, regions)


def _regions(view: View, data: bytes, table: int, count: int) -> tuple[Region, ...]:
    found = []
    size = lay.REGION_TABLE_ENTRY.size
    for index in range(count):
        at = lay.REGION_TABLE_HEADER.size + index * size
        entry = view.decode(lay.REGION_TABLE_ENTRY, data[at : at + size], table + at)
        guid = guid_text(entry.guid)
        name = lay.REGIONS.get(guid, "unknown")
        required = bool(entry.required & 1)
        found.append(Region(guid, name, entry.file_offset, entry.length, required, table + at))
    return tuple(found)


def _log_entry(view: View, header: HeaderCopy) -> LogEntry | None:
    """The entry that the log begins with; None where none begins there."""
    entry = view.optional(lay.LOG_ENTRY_HEADER, header.log_offset)
    if entry is None or entry.signature != lay.LOG_SIGNATURE:
        return None
    return LogEntry(
        header.log_offset,
        entry.entry_length,
        entry.tail,
        entry.sequence_number,
        entry.descriptor_count,
        guid_text(entry.log_guid),
        entry.flushed_file_offset,
        entry.last_file_offset,
    )


def _subformat(parameters: lay.FileParameters | None) -> str | None:
    if parameters is None:
        return None
    if parameters.flags & lay.HAS_PARENT:
        return "differencing"
    return "fixed" if parameters.flags & lay.LEAVE_BLOCKS_ALLOCATED else "dynamic"


def _references(meta: Metadata) -> tuple[Reference, ...]:
    """Every place that the parent locator names; a disk with a parent and no name of it still has one."""
    locator = meta.locator
    kind = "vhdx" if locator is None or locator.type_name == "vhdx" else None
    entries = locator.entries if locator else ()
    found = [
        Reference("parent", entry.value, kind, entry.offset, entry.length)
        for entry in entries
        if entry.key not in lay.LINKAGES
    ]
    differencing = bool(meta.parameters and meta.parameters.flags & lay.HAS_PARENT)
    if not found and (differencing or locator is not None):
        found.append(Reference("parent", "", kind))
    return tuple(found)
