"""Parallels (ploop), 02x: the block allocation table. Cost of each: reading all of it, four bytes a cluster (one walk
for all of them)."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.parallels.layout import HEADER
from imgtool.formats.parallels.tables import (
    BITMAP_LABEL,
    EXTENSION_LABEL,
    TABLE_LABEL,
    ParallelsTables,
)
from imgtool.limits import Limits
from imgtool.model.tables import TableEntry

_NAMES = {
    TABLE_LABEL: "the block allocation table",
    EXTENSION_LABEL: "the format extension",
    BITMAP_LABEL: "a cluster of a dirty bitmap",
}


def _at(entry: TableEntry) -> int:
    """Where an entry lies in the file."""
    return HEADER.size + entry.number * 4


def _name(label: int) -> str:
    if label >= 0:
        return f"cluster {label} of the guest"
    return _NAMES.get(label, "another cluster")


@rule("PAR020", "parallels-cluster-outside-file", "error")
def outside(tables: ParallelsTables, limits: Limits) -> Iterator[Finding]:
    """A cluster that the table has is not in the file.

    What it checks: the part of each cluster that the guest has ends inside the file.

    Why it matters: the file was cut; the guest finds errors or zeros there.

    What to do: fetch the image again and compare its size and checksum with the publisher's.

    References: QEMU docs/interop/parallels, section "BAT".

    Cost: the whole block allocation table is read.
    """
    for entry in tables.outside.first:
        message = (
            f"cluster {entry.number} of the guest at byte {entry.value} ends past the end of the file at "
            f"{tables.facts.file_size} ({tables.outside.total} such clusters)"
        )
        yield outside.at(message, field="BAT", offset=_at(entry), length=4)


@rule("PAR021", "parallels-cluster-misplaced", "error")
def misplaced(tables: ParallelsTables, limits: Limits) -> Iterator[Finding]:
    """An entry of the table is no place of a cluster.

    What it checks: no entry is before the data area; where the header says where that begins, each is a whole number
    of clusters behind its begin.

    Why it matters: writing the cluster would overwrite the table or two other clusters.

    What to do: take a fresh copy of the image; what the entry was cannot be known.

    References: QEMU docs/interop/parallels, section "BAT".

    Cost: the whole block allocation table is read.
    """
    for entry in tables.misplaced.first:
        message = (
            f"cluster {entry.number} of the guest at byte {entry.value} is no cluster of the data area, which begins "
            f"at {tables.facts.data_offset} ({tables.misplaced.total} such entries)"
        )
        yield misplaced.at(message, field="BAT", offset=_at(entry), length=4)


@rule("PAR022", "parallels-clusters-overlap", "error")
def overlap(tables: ParallelsTables, limits: Limits) -> Iterator[Finding]:
    """A part of the file is used twice.

    What it checks: clusters of the guest, the table, the format extension and the clusters of its bitmaps are apart.

    Why it matters: what the guest writes to the one destroys the other.

    What to do: take a fresh copy of the image; newer qemu-img repairs a copy (`qemu-img check -r all`), but which of
    the two clusters was right it cannot know.

    References: QEMU docs/interop/parallels, section "BAT".

    Cost: the whole block allocation table is read.
    """
    for found in tables.overlapping:
        message = f"{_name(found.label)} and {_name(found.other)} both have {found.length} bytes at {found.start}"
        yield overlap.at(f"{message} ({tables.overlaps} such places)", offset=found.start, length=found.length)


@rule("PAR023", "parallels-leaked-clusters", "warning")
def leaked(tables: ParallelsTables, limits: Limits) -> Iterator[Finding]:
    """Parts of the data area belong to nothing.

    What it checks: from the begin of the data area to the end of the file each cluster is one of the guest's, the
    format extension's or its bitmaps'.

    Why it matters: it takes room, and may hold old data of the guest.

    What to do: `qemu-img check -r leaks` on a copy, or convert the image.

    References: QEMU docs/interop/parallels, section "BAT".

    Cost: the whole block allocation table is read.
    """
    if tables.totals.leaks:
        message = f"{tables.totals.leaks} clusters, {tables.leaked} bytes, belong to nothing"
        yield leaked.at(message, offset=tables.leaked_at)


@rule("PAR024", "parallels-table-not-read", "error")
def not_read(tables: ParallelsTables, limits: Limits) -> Iterator[Finding]:
    """The block allocation table cannot be read, or not all of it.

    What it checks: the table is inside the file, its sizes hold, it has at most `limits.parallels_bat_entries`
    entries, and not so many faults that the rest of it was left (`limits.table_broken`).

    Why it matters: what was not read was not checked; the guest's disk ends there.

    What to do: take a fresh copy of the image.

    References: QEMU docs/interop/parallels, section "BAT".

    Cost: the whole block allocation table is read.
    """
    for problem in tables.problems:
        yield not_read.at(problem.message, field=problem.what, offset=problem.offset, length=problem.length)


RULES = (outside, misplaced, overlap, leaked, not_read)
