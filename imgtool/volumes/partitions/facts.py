"""What the readers of partition tables find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from imgtool.model.facts import Facts
from imgtool.model.volumes import Partition, PartitionTable
from imgtool.volumes.partitions.layout import GptHeader, MbrEntry


class Slot(NamedTuple):
    """A partition record of an MBR: its number, where it lies in the file, and what it says."""

    number: int
    offset: int
    entry: MbrEntry


class HeaderState(NamedTuple):
    """A GPT header that was found, and what of it holds. None: could not be looked at.

    `lba` is where it was found, `offset` the same in bytes. `table` is the size of the entries in bytes.
    """

    lba: int
    offset: int
    header: GptHeader
    size_holds: bool
    crc_holds: bool
    lba_holds: bool
    entries_hold: bool
    count_holds: bool
    entries_crc_holds: bool | None
    table: int

    @property
    def usable(self) -> bool:
        """True when its entries may be believed."""
        return self.crc_holds and self.lba_holds and self.entries_crc_holds is True


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFacts(Facts):
    """Facts of any partition table. `outer` is the format around the bytes; partitions in bytes.

    `mark` is where its signature lies in the file. `hybrid`: another table describes the same disk.
    """

    table: PartitionTable
    outer: str = "raw"
    mark: int = 0
    places: tuple[int, ...] = ()

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """The partitions, by number."""
        return self.table.partitions


@dataclass(frozen=True, slots=True, kw_only=True)
class MbrFacts(TableFacts):
    """Facts of a master boot record. `chain_fault` says why the chain of logical partitions was left.

    `containers` are extended partitions (start, length) in bytes; `guarded`: a GPT was found beside it.
    """

    slots: tuple[Slot, ...] = ()
    containers: tuple[tuple[int, int], ...] = ()
    chain_fault: str | None = None
    chain_at: int | None = None
    guarded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GptFacts(TableFacts):
    """Facts of a GUID partition table. `backup` is the second header, wherever it was found.

    `backup_known`: the place where it should be could be looked at. `last_lba`: last sector of the bytes.
    `slots`: the records of sector 0; `boot_signature`: it ends in 55AA.
    """

    primary: HeaderState | None
    backup: HeaderState | None
    chosen: HeaderState
    backup_known: bool
    last_lba: int
    slots: tuple[Slot, ...] = ()
    boot_signature: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ApmFacts(TableFacts):
    """Facts of an Apple partition map."""
