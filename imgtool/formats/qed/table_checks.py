"""QED: rules over all tables. Cost of each: the L1 table and every L2 table are read (one walk for all of them)."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.qed.tables import L1_LABEL, L2_LABEL, QedTables
from imgtool.limits import Limits


@rule("QCW069", "qed-entry-misplaced", "error")
def misplaced(tables: QedTables, limits: Limits) -> Iterator[Finding]:
    """An entry of a table leads to no cluster of the file.

    What it checks: each entry of the L1 table, and each of an L2 table other than 0 and 1, is a multiple of the
    cluster size, behind the header and inside the file; an L2 table ends inside it, too.

    Why it matters: the guest reads errors there, or the file was cut.

    What to do: fetch the image again and compare its size with the publisher's; else `qemu-img check -r all` on a
    copy, which forgets such entries.

    Cost: reads every table (the deep check).

    References: QEMU docs/interop/qed_spec, section "Tables".
    """
    for entry in tables.tables.first:
        message = f"L1 entry {entry.number} is {entry.value:#x} ({tables.tables.total} such entries)"
        offset = tables.facts.l1_table_offset + entry.number * 8
        yield misplaced.at(message, field="L1 table", offset=offset, length=8)
    for entry in tables.clusters.first:
        message = f"cluster {entry.number} of the guest: {entry.value:#x} ({tables.clusters.total} such entries)"
        yield misplaced.at(message, field="L2 table")


@rule("QCW070", "qed-clusters-overlap", "error")
def overlap(tables: QedTables, limits: Limits) -> Iterator[Finding]:
    """A cluster of the file is used twice.

    What it checks: every cluster is part of the L1 table, of one L2 table, or the data of one cluster of the guest.

    Why it matters: what the guest writes to one place it also writes to another, or into the tables.

    What to do: restore the image from a backup; one of the two is lost.

    Cost: reads every table (the deep check).

    References: QEMU docs/interop/qed_spec, section "Consistency checking".
    """
    names = {L1_LABEL: "the L1 table", L2_LABEL: "an L2 table"}
    for found in tables.overlapping:
        what = [
            names.get(label, f"cluster {label} of the guest") if label != -1 else "another one"
            for label in (found.label, found.other)
        ]
        size = tables.facts.cluster_size
        message = f"{what[0]} lies on {what[1]} ({tables.overlaps} clusters are used more than once)"
        yield overlap.at(message, field="L2 table", offset=found.start * size, length=size)


@rule("QCW071", "qed-table-not-read", "error")
def not_read(tables: QedTables, limits: Limits) -> Iterator[Finding]:
    """A table could not be read, or there is more of them than is looked at.

    What it checks: the L1 table is in the file; the tables are within the caps of the deep check.

    Why it matters: the counts of this check are not complete.

    What to do: what other findings say of the table; a sound image that is over a cap: `qemu-img check`.

    Cost: reads every table (the deep check).
    """
    for problem in tables.problems:
        yield not_read.at(problem.message, field=problem.what, offset=problem.offset, length=problem.length)


@rule("QCW360", "qed-clusters-leaked", "warning")
def leaked(tables: QedTables, limits: Limits) -> Iterator[Finding]:
    """Clusters of the file are used by nothing.

    What it checks: every cluster behind the header is part of a table or the data of a cluster of the guest. Not
    said of an image that needs a check by its own word.

    Why it matters: they take up space, and may hold old data. Nothing is wrong with the guest's disk.

    What to do: `qemu-img convert` the image.

    Cost: reads every table (the deep check).

    References: QEMU docs/interop/qed_spec, section "Consistency checking".
    """
    if tables.totals.leaks and not tables.facts.dirty:
        yield leaked.at(f"{tables.totals.leaks} clusters are leaked", field="leak")


RULES = (misplaced, overlap, not_read, leaked)
