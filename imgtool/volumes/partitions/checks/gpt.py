"""GUID partition table: its headers, its entries, its backup, and the MBR in front of it.

Reference of all: UEFI Specification, section 5.3.
"""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.limits import Limits
from imgtool.units import SECTOR
from imgtool.volumes.partitions import layout as lay
from imgtool.volumes.partitions.checks.ranges import severity
from imgtool.volumes.partitions.facts import GptFacts, HeaderState, Slot
from imgtool.volumes.partitions.types import PROTECTIVE

_WHOLE_DISK = 0xFFFFFFFF
_FIRST_CHS = b"\x00\x02\x00"


def _judged(facts: GptFacts) -> HeaderState:
    """The header that rules look at: the primary, else the backup that stands in for it."""
    return facts.primary or facts.chosen


def _instead(facts: GptFacts) -> str:
    """What the partitions are taken from, where it is not the primary."""
    other = facts.chosen is not facts.primary
    return f"; the partitions are listed from the backup at {facts.chosen.offset}" if other else ""


@rule("PRT001", "gpt-primary-missing", "error")
def primary_missing(facts: GptFacts, limits: Limits) -> Iterator[Finding]:
    """The backup of a GPT is there, its primary header is not.

    What it checks: where the last sector holds a GPT header, sector 1 begins with `EFI PART` too.

    Why it matters: the start of the disk was overwritten. Some firmware repairs the table from its backup,
    some takes the disk for empty: the same image starts here and not there.

    What to do: take a fresh copy of the image, or restore the header: `gdisk`, recovery menu, `b` and `c`.
    """
    if facts.primary is None:
        place = facts.table.sector_size
        yield primary_missing.at(
            f"sector 1 does not begin with EFI PART{_instead(facts)}", field="signature", offset=place, length=8
        )


@rule("PRT002", "gpt-bad-header-size", "error")
def bad_header_size(facts: GptFacts, limits: Limits) -> Iterator[Finding]:
    """The size of the GPT header is out of range.

    What it checks: header_size is 92 at least and a sector at most.

    Why it matters: the checksum covers so many bytes; a size out of range makes programs read past it.

    What to do: take a fresh copy of the image, or write the table again (`sgdisk`).
    """
    state = _judged(facts)
    if not state.size_holds:
        message = f"header_size is {state.header.header_size}, allowed are 92 to {facts.table.sector_size}"
        yield bad_header_size.at(message + _instead(facts), field="header_size", offset=state.offset + 12, length=4)


@rule("PRT003", "gpt-bad-entry-size", "error")
def bad_entry_size(facts: GptFacts, limits: Limits) -> Iterator[Finding]:
    """The size of a GPT entry is not one that exists.

    What it checks: size_of_partition_entry is 128 times a power of two.

    Why it matters: every entry is found by it; with another one nothing can be read.

    What to do: take a fresh copy of the image, or write the table again (`sgdisk`).
    """
    state = _judged(facts)
    if not state.entries_hold:
        message = f"size_of_partition_entry is {state.header.size_of_partition_entry}, not 128 times a power of two"
        yield bad_entry_size.at(
            message + _instead(facts), field="size_of_partition_entry", offset=state.offset + 84, length=4
        )


@rule("PRT004", "gpt-misplaced-header", "error")
def misplaced_header(facts: GptFacts, limits: Limits) -> Iterator[Finding]:
    """The GPT header says it lies elsewhere.

    What it checks: my_lba is the sector that the header was found in.

    Why it matters: firmware refuses such a header; it was copied from elsewhere, or the sector size of the
    disk is not the one it was made for.

    What to do: write the image to a disk with the sector size it was made for, or write the table again.
    """
    state = _judged(facts)
    if not state.lba_holds:
        message = f"my_lba is {state.header.my_lba}, the header lies in sector {state.lba}"
        yield misplaced_header.at(message + _instead(facts), field="my_lba", offset=state.offset + 24, length=8)


@rule("PRT005", "gpt-backup-missing", "warning")
def backup_missing(facts: GptFacts, limits: Limits) -> Iterator[Finding]:
    """The GPT has no backup.

    What it checks: a GPT header is in the sector that alternate_lba names, or in the last one. A note on a
    hybrid ISO image.

    Why it matters: most often the image was cut: what lay at its end is gone as well. Without a backup a
    damaged primary cannot be restored.

    What to do: compare size and checksum with the publisher's; if the image is whole, `sgdisk -e FILE`
    writes the backup at its end.
    """
    primary = facts.primary
    if primary is not None and primary.usable and facts.backup is None and facts.backup_known:
        message = (
            f"no header is in sector {primary.header.alternate_lba} (alternate_lba) "
            f"or in the last one, {facts.last_lba}"
        )
        yield backup_missing.at(
            message,
            field="alternate_lba",
            offset=primary.offset + 32,
            length=8,
            severity=severity(facts, "warning"),
        )


@rule("PRT006", "gpt-backup-different", "warning")
def backup_different(facts: GptFacts, limits: Limits) -> Iterator[Finding]:
    """The backup of the GPT is damaged, or tells something else.

    What it checks: both checksums of the backup hold, it and the primary point at one another, and revision, usable
    range, disk GUID, number, size and checksum of the entries are the primary's. A note on a hybrid ISO.

    Why it matters: firmware that falls back to the backup sees another disk: other partitions, other files.

    What to do: `sgdisk -e FILE` (or `gdisk`, recovery menu, `d`) writes the backup from the primary.
    """
    primary, backup = facts.primary, facts.backup
    if primary is None or backup is None or not primary.usable:
        return
    reasons = [*_damages(backup), *_differences(primary.header, backup)]
    if reasons:
        yield backup_different.at(
            f"the backup in sector {backup.lba}: {'; '.join(reasons)}",
            field="gpt backup header",
            offset=backup.offset,
            length=lay.GPT_HEADER_SIZE,
            severity=severity(facts, "warning"),
        )


def _damages(state: HeaderState) -> Iterator[str]:
    if not state.crc_holds:
        yield "its checksum does not hold"
    if not state.lba_holds:
        yield f"my_lba is {state.header.my_lba}"
    if state.entries_crc_holds is False:
        yield "the checksum of its entries does not hold"


def _differences(primary: lay.GptHeader, state: HeaderState) -> Iterator[str]:
    backup = state.header
    if primary.alternate_lba != state.lba:
        yield f"alternate_lba of the primary is {primary.alternate_lba}"
    if backup.alternate_lba != primary.my_lba:
        yield f"alternate_lba is {backup.alternate_lba}, not {primary.my_lba}"
    for name in (
        "revision",
        "first_usable_lba",
        "last_usable_lba",
        "disk_guid",
        "number_of_partition_entries",
        "size_of_partition_entry",
        "partition_entry_array_crc32",
    ):
        if getattr(primary, name) != getattr(backup, name):
            yield f"{name} differs"


@rule("PRT007", "gpt-backup-not-at-end", "warning")
def backup_not_at_end(facts: GptFacts, limits: Limits) -> Iterator[Finding]:
    """The backup of the GPT is not in the last sector.

    What it checks: the backup header lies in the last sector of the disk. A note on a hybrid ISO image.

    Why it matters: the disk was enlarged after it was partitioned; a partition cannot grow into the rest
    until the backup moved, and firmware that looks in the last sector finds none.

    What to do: `sgdisk -e FILE` moves it to the end.
    """
    if facts.backup is not None and facts.backup.lba < facts.last_lba:
        yield backup_not_at_end.at(
            f"the backup lies in sector {facts.backup.lba}, the last one is {facts.last_lba}",
            field="gpt backup header",
            offset=facts.backup.offset,
            length=lay.GPT_HEADER_SIZE,
            severity=severity(facts, "warning"),
        )


@rule("PRT008", "gpt-odd-protective-mbr", "warning")
def odd_protective_mbr(facts: GptFacts, limits: Limits) -> Iterator[Finding]:
    """The record that protects the GPT is not quite what the specification says.

    What it checks: the record of type EE is not active, begins at sector 1 (CHS 0/0/2) and covers the rest
    of the disk (FFFFFFFF sectors only where the disk is larger). A note on a hybrid ISO image.

    Why it matters: it is a deviation, no risk by itself; some firmware refuses to take the disk for a GPT.

    What to do: `sgdisk -e FILE` writes the record again (without other records: `gdisk`, expert menu, `n`).

    References: UEFI Specification, table 5-4 ("Protective MBR Partition Record").
    """
    protecting = _protecting(facts)
    reasons = list(_oddities(facts, protecting)) if protecting else []
    if protecting and reasons:
        yield odd_protective_mbr.at(
            f"protective MBR record {protecting.number}: {'; '.join(reasons)}",
            field="partition_record",
            offset=protecting.offset,
            length=lay.MBR_ENTRY_SIZE,
            severity=severity(facts, "warning"),
        )


def _protecting(facts: GptFacts) -> Slot | None:
    return next((slot for slot in facts.slots if slot.entry.os_type == PROTECTIVE and slot.entry.size_in_lba), None)


def _oddities(facts: GptFacts, slot: Slot) -> Iterator[str]:
    entry = slot.entry
    if entry.boot_indicator:
        yield f"boot_indicator is {entry.boot_indicator:#04x}"
    if entry.starting_lba != 1:
        yield f"starting_lba is {entry.starting_lba}"
    elif entry.starting_chs != _FIRST_CHS:
        yield f"starting_chs is {entry.starting_chs.hex()}, not {_FIRST_CHS.hex()}"
    if facts.table.hybrid:
        return
    header = facts.chosen.header
    made_for = max(header.alternate_lba, header.my_lba)
    if entry.size_in_lba not in (min(facts.last_lba, _WHOLE_DISK), min(made_for, _WHOLE_DISK)):
        yield f"size_in_lba is {entry.size_in_lba}, the disk has {facts.last_lba} sectors after the first"


@rule("PRT009", "gpt-without-protective-mbr", "warning")
def without_protective_mbr(facts: GptFacts, limits: Limits) -> Iterator[Finding]:
    """Nothing in sector 0 protects the GPT.

    What it checks: sector 0 ends in 55AA and has a record of type EE. A note on a hybrid ISO image.

    Why it matters: programs that do not know GPT take the disk for empty, or for what sector 0 says; most
    firmware and kernels do not believe the GPT then.

    What to do: `gdisk`, expert menu, `n`, then `w` writes the record.
    """
    if _protecting(facts) is None and facts.primary is not None:
        missing = "sector 0 has no record of type EE" if facts.boot_signature else "sector 0 does not end in 55AA"
        yield without_protective_mbr.at(
            missing, field="partition_record", offset=446, length=64, severity=severity(facts, "warning")
        )


@rule("PRT010", "gpt-hybrid-mbr", "warning")
def hybrid_mbr(facts: GptFacts, limits: Limits) -> Iterator[Finding]:
    """The MBR has partitions of its own beside the GPT.

    What it checks: sector 0 has no records but the protective one. A note on a hybrid ISO image.

    Why it matters: two tables describe one disk and need not agree; programs differ in which one they
    believe, and a change to the one leaves the other behind.

    What to do: unless old firmware needs it, `gdisk`, expert menu, `n`, then `w` makes it protective again.
    """
    if facts.table.hybrid:
        others = [slot for slot in facts.slots if slot.entry.os_type != PROTECTIVE and slot.entry.size_in_lba]
        told = ", ".join(f"{slot.number} (type {slot.entry.os_type:02X})" for slot in others)
        yield hybrid_mbr.at(
            f"MBR records beside the GPT: {told}",
            field="partition_record",
            offset=446,
            length=SECTOR - 446 - 2,
            severity=severity(facts, "warning"),
        )


@rule("PRT011", "gpt-duplicate-guid", "warning")
def duplicate_guid(facts: GptFacts, limits: Limits) -> Iterator[Finding]:
    """Two partitions have the same unique GUID.

    What it checks: no unique_partition_guid comes twice.

    Why it matters: systems that find their root by it (`root=PARTUUID=…`) may start the wrong one.

    What to do: `sgdisk -u N:R FILE` gives partition N a new one.
    """
    seen: dict[str, int] = {}
    for partition, place in zip(facts.partitions, facts.places, strict=True):
        if partition.uuid is None:
            continue
        if partition.uuid in seen:
            yield duplicate_guid.at(
                f"partitions {seen[partition.uuid]} and {partition.number} are both {partition.uuid}",
                field="unique_partition_guid",
                offset=place + 16,
                length=16,
                severity=severity(facts, "warning"),
            )
        seen.setdefault(partition.uuid, partition.number)


@rule("PRT012", "gpt-unknown-revision", "warning")
def unknown_revision(facts: GptFacts, limits: Limits) -> Iterator[Finding]:
    """The revision of the GPT is not 1.0.

    What it checks: revision is 00010000, the only one there is.

    Why it matters: what a later revision changes is not known here; firmware may refuse it.

    What to do: take a fresh copy of the image, or write the table again (`sgdisk`).
    """
    state = _judged(facts)
    if state.header.revision != lay.GPT_REVISION:
        yield unknown_revision.at(
            f"revision is {state.header.revision:08x}", field="revision", offset=state.offset + 8, length=4
        )


@rule("PRT201", "gpt-entry-count", "error")
def entry_count(facts: GptFacts, limits: Limits) -> Iterator[Finding]:
    """The number of GPT entries is out of range.

    What it checks: number_of_partition_entries is not 0, and neither it nor the size of all entries is over
    its cap (32,768 entries, 4 MiB).

    Why it matters: programs allocate and read what it says; 128 entries of 128 bytes are usual.

    What to do: take a fresh copy of the image, or write the table again (`sgdisk`).
    """
    state = _judged(facts)
    if not state.count_holds:
        count, size = state.header.number_of_partition_entries, state.header.size_of_partition_entry
        yield entry_count.at(
            f"{count} entries of {size} bytes{_instead(facts)}",
            field="number_of_partition_entries",
            offset=state.offset + 80,
            length=4,
        )


@rule("PRT301", "gpt-header-checksum", "error")
def header_checksum(facts: GptFacts, limits: Limits) -> Iterator[Finding]:
    """The checksum of the GPT header does not hold.

    What it checks: header_crc32 is the CRC-32 of the header with that field zero.

    Why it matters: the header was damaged, or changed by a program that does not know the format; firmware
    falls back to the backup, or takes the disk for empty.

    What to do: take a fresh copy of the image, or restore the header: `gdisk`, recovery menu, `b`.
    """
    state = _judged(facts)
    if state.size_holds and not state.crc_holds:
        message = f"header_crc32 is {state.header.header_crc32:08x}, the header's is another{_instead(facts)}"
        yield header_checksum.at(message, field="header_crc32", offset=state.offset + 16, length=4)


@rule("PRT302", "gpt-entries-checksum", "error")
def entries_checksum(facts: GptFacts, limits: Limits) -> Iterator[Finding]:
    """The checksum of the GPT entries does not hold.

    What it checks: partition_entry_array_crc32 is the CRC-32 of all entries, the unused ones too.

    Why it matters: the list of partitions was damaged, or changed by a program that does not know the
    format; firmware falls back to the backup, or takes the disk for empty.

    What to do: take a fresh copy of the image, or restore the entries: `gdisk`, recovery menu, `c`.
    """
    state = _judged(facts)
    if state.entries_crc_holds is False:
        crc = state.header.partition_entry_array_crc32
        message = f"partition_entry_array_crc32 is {crc:08x}, the entries' is another{_instead(facts)}"
        yield entries_checksum.at(message, field="partition_entry_array_crc32", offset=state.offset + 88, length=4)


GPT = (
    primary_missing,
    bad_header_size,
    bad_entry_size,
    misplaced_header,
    backup_missing,
    backup_different,
    backup_not_at_end,
    odd_protective_mbr,
    without_protective_mbr,
    hybrid_mbr,
    duplicate_guid,
    unknown_revision,
    entry_count,
    header_checksum,
    entries_checksum,
)
