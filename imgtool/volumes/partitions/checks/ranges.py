"""Partitions of any table: where they lie. On a hybrid ISO image they overlap by design: notes there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from imgtool.findings.core import Finding, Severity, rule
from imgtool.limits import Limits
from imgtool.model.volumes import Partition
from imgtool.units import ceil_div
from imgtool.volumes.partitions.facts import GptFacts, MbrFacts, TableFacts
from imgtool.volumes.partitions.layout import GptHeader
from imgtool.volumes.partitions.types import CONTAINERS, PROTECTIVE

_PROTECTIVE = f"0x{PROTECTIVE:02x}"
_ENTRY_SIZES = {"mbr": 16, "gpt": 128, "apm": 512}


def severity(facts: TableFacts, usual: Severity) -> Severity:
    """`usual`, or a note where the table is a hybrid ISO image's."""
    return "note" if facts.outer == "iso" else usual


def _groups(facts: TableFacts) -> Iterable[list[tuple[Partition, int]]]:
    """Partitions (with the places of their entries) that must lie apart: logical ones among themselves."""
    placed = list(zip(facts.partitions, facts.places, strict=True))
    if facts.table.kind == "mbr":
        logical = [pair for pair in placed if pair[0].number > 4]
        return [pair for pair in placed if pair[0].number <= 4 and pair[0].type != _PROTECTIVE], logical
    return (placed,)


@rule("PRT020", "partitions-overlap", "error")
def partitions_overlap(facts: TableFacts, limits: Limits) -> Iterator[Finding]:
    """Two partitions share sectors.

    What it checks: no partition begins before the one in front of it ends; logical partitions among
    themselves. A note on a hybrid ISO image, where one partition is the whole image by design.

    Why it matters: writing to the one destroys the other, and a check of the one does not see what the
    other makes of the same bytes.

    What to do: take a fresh copy of the image; if it is what the author made, lay the table out again
    (`sfdisk`, `sgdisk`).
    """
    for group in _groups(facts):
        ordered = sorted((pair for pair in group if pair[0].length > 0), key=lambda pair: pair[0].start)
        last: Partition | None = None
        for partition, place in ordered:
            if last is not None and partition.start < last.start + last.length:
                message = (
                    f"{facts.table.kind} partition {partition.number} begins at {partition.start}, "
                    f"partition {last.number} ends at {last.start + last.length}"
                )
                yield partitions_overlap.at(
                    message,
                    field=f"partition {partition.number}",
                    offset=place,
                    length=_ENTRY_SIZES[facts.table.kind],
                    severity=severity(facts, "error"),
                )
            if last is None or partition.start + partition.length > last.start + last.length:
                last = partition


@rule("PRT021", "partition-out-of-range", "error")
def partition_out_of_range(facts: TableFacts, limits: Limits) -> Iterator[Finding]:
    """A partition lies where its table allows none.

    What it checks: a GPT partition ends after it begins, lies between first_usable_lba and last_usable_lba, and
    not on the GPT's headers and entries, whatever these fields say; an MBR partition does not begin at sector 0;
    a logical one lies inside its extended partition. A note on a hybrid ISO image.

    Why it matters: such a partition covers the table itself, or its neighbours; programs differ in what
    they make of it.

    What to do: take a fresh copy of the image, or lay the table out again.

    References: UEFI Specification, table 5-5 (FirstUsableLBA, LastUsableLBA).
    """
    for partition, place in zip(facts.partitions, facts.places, strict=True):
        reason = _out_of_range(facts, partition)
        if reason:
            yield partition_out_of_range.at(
                f"{facts.table.kind} partition {partition.number} {reason}",
                field=f"partition {partition.number}",
                offset=place,
                length=_ENTRY_SIZES[facts.table.kind],
                severity=severity(facts, "error"),
            )


def _out_of_range(facts: TableFacts, partition: Partition) -> str | None:
    start, end = partition.start, partition.start + partition.length
    if isinstance(facts, GptFacts):
        size = facts.table.sector_size
        header = facts.chosen.header
        first, last = header.first_usable_lba * size, (header.last_usable_lba + 1) * size
        if partition.length <= 0:
            return f"begins at {start} and ends before that"
        if start < first or end > last:
            return f"takes {start}..{end}, usable are {first}..{last}"
        for low, high, name in _own(header, size):
            if start < high and low < end:
                return f"takes {start}..{end}, where the GPT's {name} are: {low}..{high}"
    if isinstance(facts, MbrFacts):
        if partition.number > 4 and not any(low <= start and end <= low + room for low, room in facts.containers):
            return f"takes {start}..{end}, which is not inside the extended partition"
        if start == 0:
            return "begins at sector 0, where the table itself is"
    return None


def _own(header: GptHeader, size: int) -> Iterator[tuple[int, int, str]]:
    """What the GPT takes for itself: start and end in bytes, and what it is."""
    length = ceil_div(header.number_of_partition_entries * header.size_of_partition_entry, size) * size
    entries = header.partition_entry_lba * size
    yield entries, entries + length, "entries"
    for lba in (header.my_lba, header.alternate_lba):
        yield lba * size, (lba + 1) * size, "headers"


@rule("PRT022", "partition-beyond-file", "warning")
def partition_beyond_file(facts: TableFacts, limits: Limits) -> Iterator[Finding]:
    """A partition ends after the file does.

    What it checks: every partition ends where the bytes do, or before. A note on a hybrid ISO image.

    Why it matters: the image was cut (a download or copy that ended early, a shrunk disk), or it was made
    for a larger disk: what lies there cannot be read.

    What to do: compare size and checksum with the publisher's; if the image is whole, enlarge it
    (`truncate -s`) to what the table needs.
    """
    for partition, place in zip(facts.partitions, facts.places, strict=True):
        end = partition.start + partition.length
        if end > facts.file_size and partition.type != _PROTECTIVE:
            kind = "extended " if partition.type in CONTAINERS else ""
            yield partition_beyond_file.at(
                f"{facts.table.kind} {kind}partition {partition.number} ends at {end}, the file at {facts.file_size}",
                field=f"partition {partition.number}",
                offset=place,
                length=_ENTRY_SIZES[facts.table.kind],
                severity=severity(facts, "warning"),
            )


RANGES = (partitions_overlap, partition_out_of_range, partition_beyond_file)
