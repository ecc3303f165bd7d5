"""qcow, version 1: rules over all tables. Cost of each: the L1 table and every L2 table are read (one walk for all of
them)."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.qcow.tables import HEADER_LABEL, L1_LABEL, L2_LABEL, QcowTables
from imgtool.limits import Limits
from imgtool.model.tables import Faulty


def _entries(tables: QcowTables, first: Faulty, second: Faulty, what: str) -> Iterator[tuple[str, int | None]]:
    """Messages for entries of the L1 table and of L2 tables, with the place of the former."""
    for entry in first.first:
        offset = tables.facts.l1_table_offset + entry.number * 8
        yield f"L1 entry {entry.number} is {entry.value:#x}: {what} ({first.total} such entries)", offset
    for entry in second.first:
        yield f"cluster {entry.number} of the guest: {entry.value:#x} {what} ({second.total} such entries)", None


@rule("QCW056", "qcow-entry-misplaced", "error")
def misplaced(tables: QcowTables, limits: Limits) -> Iterator[Finding]:
    """An entry of a table leads to where nothing can lie.

    What it checks: L2 tables and clusters begin behind the header, clusters that are not compressed on a sector, and
    compressed ones have a length.

    Why it matters: the entry was damaged: the guest reads the image's own header, or errors.

    What to do: restore the image from a backup, or convert it from its source again.

    Cost: reads every table (the deep check).
    """
    for message, offset in _entries(tables, tables.tables, tables.clusters, "is no place for it"):
        yield misplaced.at(message, field="L1 table" if offset else "L2 table", offset=offset)


@rule("QCW057", "qcow-entry-outside-file", "error")
def outside(tables: QcowTables, limits: Limits) -> Iterator[Finding]:
    """An entry of a table leads past the end of the file.

    What it checks: L2 tables and compressed clusters end inside the file, other clusters begin inside it.

    Why it matters: the file was cut, or an entry was damaged: the guest reads zeros or errors there.

    What to do: fetch the image again and compare its size with the publisher's.

    Cost: reads every table (the deep check).
    """
    for message, offset in _entries(tables, tables.tables_outside, tables.clusters_outside, "ends past the file"):
        yield outside.at(message, field="L1 table" if offset else "L2 table", offset=offset)


@rule("QCW058", "qcow-clusters-overlap", "error")
def overlap(tables: QcowTables, limits: Limits) -> Iterator[Finding]:
    """The same bytes of the file are used for two things.

    What it checks: the header, the backing file's name, the L1 table, L2 tables and clusters lie apart.

    Why it matters: what the guest writes to one place it also writes to another, or into the image's tables.

    What to do: restore the image from a backup; one of the two is lost.

    Cost: reads every table (the deep check).
    """
    names = {HEADER_LABEL: "the header", L1_LABEL: "the L1 table", L2_LABEL: "an L2 table", -1: "another one"}
    for found in tables.overlapping:
        what = [names.get(label, f"cluster {label} of the guest") for label in (found.label, found.other)]
        message = f"{what[0]} lies on {what[1]} ({tables.overlaps} such places)"
        yield overlap.at(message, field="L2 table", offset=found.start, length=found.length)


@rule("QCW059", "qcow-table-not-read", "error")
def not_read(tables: QcowTables, limits: Limits) -> Iterator[Finding]:
    """A table could not be read, or there is more of them than is looked at.

    What it checks: the L1 table is in the file; the tables are within the caps of the deep check.

    Why it matters: the counts of this check are not complete.

    What to do: what other findings say of the table.

    Cost: reads every table (the deep check).
    """
    for problem in tables.problems:
        yield not_read.at(problem.message, field=problem.what, offset=problem.offset, length=problem.length)


@rule("QCW350", "qcow-compressed-data-malformed", "error")
def packed_data(tables: QcowTables, limits: Limits) -> Iterator[Finding]:
    """What is compressed does not make exactly one cluster.

    What it checks: the deflate stream of each compressed cluster makes as many bytes as a cluster has. Stops after
    `limits.table_inflated` bytes, and a note says so.

    Why it matters: the guest cannot read that part of its disk.

    What to do: restore the image from a backup, or convert it from its source again.

    Cost: reads and inflates compressed clusters (the deep check).
    """
    for entry in tables.packed.first:
        message = f"cluster {entry.number} of the guest, compressed at {entry.value} ({tables.packed.total} of them)"
        yield packed_data.at(message, field="L2 table", offset=entry.value)


@rule("QCW351", "qcow-compressed-not-all-inflated", "note")
def not_inflated(tables: QcowTables, limits: Limits) -> Iterator[Finding]:
    """Not every compressed cluster was inflated.

    What it checks: the compressed clusters are within `limits.table_inflated` guest bytes, and not encrypted.

    Why it matters: whether the others can be read is not known.

    What to do: `qemu-img convert` reads all of them.

    Cost: the deep check.
    """
    if tables.inflated < tables.compressed:
        yield not_inflated.at(f"{tables.inflated} of {tables.compressed} compressed clusters were inflated")


RULES = (misplaced, outside, overlap, not_read, packed_data, not_inflated)
