"""Master boot record: four records, and the chain of logical partitions behind an extended one.

Reference: UEFI Specification, section 5.2 ("LBA 0 Format").
"""

from __future__ import annotations

from dataclasses import replace

from imgtool.limits import Limits
from imgtool.model.volumes import Partition, PartitionTable
from imgtool.structs.view import Unreadable, View
from imgtool.units import SECTOR
from imgtool.volumes.partitions import layout as lay
from imgtool.volumes.partitions.facts import MbrFacts, Slot
from imgtool.volumes.partitions.types import EXTENDED, PROTECTIVE, mbr_type_name

_FLAGS = (0x00, 0x80)


class _Chain:
    """The logical partitions behind one extended partition, and why reading them ended early."""

    def __init__(self) -> None:
        self.slots: list[tuple[Slot, int]] = []
        self.fault: str | None = None
        self.at: int | None = None


def slots_in(sector: bytes, base: int = 0) -> tuple[Slot, ...]:
    """The four records of a sector that lies at `base`, empty ones too; none when it does not end in 55AA."""
    if sector[510:512] != lay.BOOT_SIGNATURE:
        return ()
    places = [lay.MBR_ENTRIES_AT + number * lay.MBR_ENTRY_SIZE for number in range(4)]
    entries = [lay.MBR_ENTRY.parse(sector[at : at + lay.MBR_ENTRY_SIZE]) for at in places]
    return tuple(Slot(number + 1, base + at, entries[number]) for number, at in enumerate(places))


def slots_of(view: View) -> tuple[Slot, ...]:
    """The four records of sector 0, empty ones too; none when it does not end in 55AA."""
    return slots_in(view.peek(0, SECTOR), view.base)


def sane(slots: tuple[Slot, ...]) -> bool:
    """True when the records can be a table: every flag 00 or 80, one used at least, none past 2^32 sectors."""
    used = [slot.entry for slot in slots if slot.entry.size_in_lba]
    flags = all(slot.entry.boot_indicator in _FLAGS for slot in slots)
    ends = all(entry.starting_lba + entry.size_in_lba <= 1 << 32 for entry in used)
    return bool(used) and flags and ends


def protective(slots: tuple[Slot, ...]) -> bool:
    """True when a record is there that protects a GPT."""
    return any(slot.entry.os_type == PROTECTIVE and slot.entry.size_in_lba for slot in slots)


def hybrid(slots: tuple[Slot, ...]) -> bool:
    """True when a used record is there that is not the protective one."""
    return any(slot.entry.os_type != PROTECTIVE and slot.entry.size_in_lba for slot in slots)


def read(view: View, limits: Limits) -> MbrFacts | None:
    """The facts of a master boot record; None where sector 0 holds none that makes sense. Sectors of 512."""
    slots = slots_of(view)
    if not slots or not sane(slots):
        return None
    return _facts(view, view.parse(lay.MBR, 0), _annotated(view, 0), SECTOR, limits)


def read_at_sector_size(view: View, facts: MbrFacts, sector_size: int, limits: Limits) -> MbrFacts:
    """The same table with sectors of another size (bytes)."""
    again = _facts(view, view.parse(lay.MBR, 0), facts.slots, sector_size, limits)
    return replace(again, outer=facts.outer)


def _facts(view: View, record: lay.Mbr, slots: tuple[Slot, ...], sector_size: int, limits: Limits) -> MbrFacts:
    signature = record.unique_mbr_disk_signature
    partitions: list[Partition] = []
    places: list[int] = []
    containers: list[tuple[int, int]] = []
    chain = _Chain()
    for slot in slots:
        if not slot.entry.size_in_lba:
            continue
        partitions.append(_partition(slot, slot.entry.starting_lba, sector_size, signature))
        places.append(slot.offset)
        if slot.entry.os_type in EXTENDED:
            containers.append((partitions[-1].start, partitions[-1].length))
            _follow(view, slot.entry, sector_size, chain, limits)
    for slot, start in chain.slots:
        partitions.append(_partition(slot, start, sector_size, signature))
        places.append(slot.offset)
    name = f"0x{signature:08x}" if signature else None
    return MbrFacts(
        format="mbr",
        file_size=view.size,
        table=PartitionTable("mbr", sector_size, name, tuple(partitions)),
        mark=view.base + 510,
        places=tuple(places),
        slots=slots,
        containers=tuple(containers),
        chain_fault=chain.fault,
        chain_at=chain.at,
    )


def _follow(view: View, extended: lay.MbrEntry, sector_size: int, chain: _Chain, limits: Limits) -> None:
    """Read the links of an extended partition: each has one logical partition and where the next link is."""
    first = position = extended.starting_lba
    seen: set[int] = set()
    while True:
        offset = position * sector_size
        chain.at = view.base + offset
        if position in seen:
            chain.fault = f"the link at sector {position} is part of a loop"
            return
        if len(seen) >= limits.mbr_links:
            chain.fault = f"there are more than {limits.mbr_links} links"
            return
        seen.add(position)
        if offset + SECTOR > view.size:
            chain.fault = f"the link at sector {position} lies past the end"
            return
        try:
            link = view.parse(lay.MBR, offset, "extended boot record")
        except Unreadable as error:
            view.note(error.problem)
            break
        if link.signature != lay.BOOT_SIGNATURE:
            chain.fault = f"the link at sector {position} does not end in 55AA"
            return
        slots = _annotated(view, offset)
        following = 0
        for slot in slots[:2]:
            if slot.entry.os_type in EXTENDED:
                following = slot.entry.starting_lba if slot.entry.size_in_lba else 0
            elif slot.entry.size_in_lba:
                numbered = slot._replace(number=5 + len(chain.slots))
                chain.slots.append((numbered, position + slot.entry.starting_lba))
        if not following:
            break
        position = first + following
    chain.at = None


def _annotated(view: View, base: int) -> tuple[Slot, ...]:
    """The records of the sector at `base`, the used ones kept for `--fields`."""
    sector = view.peek(base, SECTOR)
    slots = slots_in(sector, view.base + base)
    for slot in slots:
        at = slot.offset - view.base
        raw = sector[at - base : at - base + lay.MBR_ENTRY_SIZE]
        if any(raw):
            view.decode(lay.MBR_ENTRY, raw, at, f"mbr partition record {slot.number}")
    return slots


def _partition(slot: Slot, start: int, sector_size: int, signature: int) -> Partition:
    entry = slot.entry
    return Partition(
        number=slot.number,
        start=start * sector_size,
        length=entry.size_in_lba * sector_size,
        type=f"0x{entry.os_type:02x}",
        type_name=mbr_type_name(entry.os_type),
        uuid=f"{signature:08x}-{slot.number:02x}" if signature else None,
        flags=("boot",) if entry.boot_indicator & 0x80 else (),
    )
