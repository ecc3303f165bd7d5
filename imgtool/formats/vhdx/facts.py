"""What the VHDX reader finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from imgtool.model.facts import Facts


class HeaderCopy(NamedTuple):
    """One of the two headers. `sound`: signature and checksum hold."""

    offset: int
    signature: bytes
    sound: bool
    checksum: int
    computed: int
    sequence_number: int
    file_write_guid: str
    data_write_guid: str
    log_guid: str | None
    log_version: int
    version: int
    log_length: int
    log_offset: int


class Region(NamedTuple):
    """A region of the file. `name` is what its GUID stands for; `entry` is where the table names it."""

    guid: str
    name: str
    offset: int
    length: int
    required: bool
    entry: int


class RegionTable(NamedTuple):
    """One of the two region tables. `sound`: signature and checksum hold."""

    offset: int
    signature: bytes
    sound: bool
    checksum: int
    computed: int
    entry_count: int
    regions: tuple[Region, ...]


class Item(NamedTuple):
    """A metadata item. `offset` counts from the start of the region; `entry` is where the table names it."""

    id: str
    name: str
    offset: int
    length: int
    flags: tuple[str, ...]
    user: bool
    required: bool
    entry: int


class LocatorValue(NamedTuple):
    """A key of the parent locator, its value, and where that lies in the file."""

    key: str
    value: str
    offset: int
    length: int


class ParentLocator(NamedTuple):
    """The parent locator. `type_name` is "vhdx" for the one type that the specification defines."""

    type: str
    type_name: str
    entries: tuple[LocatorValue, ...]


class LogEntry(NamedTuple):
    """The header of the entry that the log begins with."""

    offset: int
    entry_length: int
    tail: int
    sequence_number: int
    descriptor_count: int
    log_guid: str
    flushed_file_offset: int
    last_file_offset: int


#: What came of the log: none to replay, replayed in memory, damaged, or larger than what inspecting looks through.
LogState = Literal["clean", "replayed", "damaged", "not-replayed"]


class LogChange(NamedTuple):
    """A fact that the log changes: as the file has it, and as it is once the log is replayed."""

    fact: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VhdxFacts(Facts):
    """Facts of a VHDX. Sizes and offsets in bytes.

    `active_header` is 1 or 2, null where neither header holds; `region_table` likewise. `subformat` is
    "fixed", "dynamic" or "differencing". `log_guid` not null: there is a log to replay (`dirty`). The facts are
    those after it (`log_state` "replayed"); `log_fault` says why it was not, `log_changes` what it changes of them.
    """

    HIDDEN = frozenset({"identifier", "metadata_signature", "region_tables"})

    subformat: str | None
    creator: str
    block_size: int | None = None
    logical_sector_size: int | None = None
    physical_sector_size: int | None = None
    virtual_disk_id: str | None = None
    leave_blocks_allocated: bool = False
    has_parent: bool = False
    active_header: int | None = None
    version: int | None = None
    sequence_number: int | None = None
    file_write_guid: str | None = None
    data_write_guid: str | None = None
    dirty: bool = False
    log_guid: str | None = None
    log_version: int | None = None
    log_offset: int | None = None
    log_length: int | None = None
    log_entry: LogEntry | None = None
    log_state: LogState = "clean"
    log_fault: str | None = None
    log_changes: tuple[LogChange, ...] = ()
    region_table: int | None = None
    regions: tuple[Region, ...] = ()
    region_count: int = 0
    metadata_count: int | None = None
    metadata: tuple[Item, ...] = ()
    parent_locator: ParentLocator | None = None
    headers: tuple[HeaderCopy, ...] = ()
    region_tables: tuple[RegionTable, ...] = ()
    identifier: bytes = b""
    metadata_signature: bytes | None = None

    def region(self, guid: str) -> Region | None:
        """The first region with this GUID."""
        return next((region for region in self.regions if region.guid == guid), None)

    def item(self, identity: str) -> Item | None:
        """The first metadata item (of the system's, not a user's) with this id."""
        return next((item for item in self.metadata if item.id == identity and not item.user), None)
