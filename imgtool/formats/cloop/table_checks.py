"""cloop: the table of offsets. Cost of each: reading all of it, eight bytes a block (one walk for all of them)."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.cloop import layout as lay
from imgtool.formats.cloop.tables import CloopTables
from imgtool.limits import Limits
from imgtool.model.tables import Faulty


def _told(faulty: Faulty, fault: str) -> Iterator[tuple[str, int]]:
    """Message of each entry, and where it lies."""
    for entry in faulty.first:
        message = f"block {entry.number} at byte {entry.value} {fault} ({faulty.total} such blocks)"
        yield message, lay.HEADER.size + entry.number * lay.OFFSET.size


@rule("OTH044", "cloop-offsets-not-rising", "error")
def not_rising(tables: CloopTables, limits: Limits) -> Iterator[Finding]:
    """A block ends before it begins.

    What it checks: no offset of the table is less than the one before.

    Why it matters: readers compute the size of a block by it and allocate or read with a negative number
    (CVE-2014-0144).

    What to do: take a fresh copy of the image, or make it again.

    References: QEMU block/cloop.c.

    Cost: the whole table is read.
    """
    for message, at in _told(tables.backwards, "ends before it begins"):
        yield not_rising.at(message, field="offset", offset=at, length=16)


@rule("OTH045", "cloop-block-outside", "error")
def block_outside(tables: CloopTables, limits: Limits) -> Iterator[Finding]:
    """A block does not lie between the table and the end of the file.

    What it checks: each block begins behind the table of offsets and ends inside the file.

    Why it matters: the file was cut, or other bytes are taken for a block.

    What to do: fetch the image again; it was most likely cut short.

    References: QEMU block/cloop.c.

    Cost: the whole table is read.
    """
    for message, at in _told(tables.outside, "is not between the table and the end of the file"):
        yield block_outside.at(message, field="offset", offset=at, length=16)


@rule("OTH046", "cloop-block-oversized", "error")
def oversized(tables: CloopTables, limits: Limits) -> Iterator[Finding]:
    """A block takes more room packed than it can.

    What it checks: no block is more than a thousandth (and 64 bytes) longer than what it inflates to.

    Why it matters: readers allocate the largest of them (CVE-2014-0143).

    What to do: take a fresh copy of the image, or make it again.

    References: QEMU block/cloop.c.

    Cost: the whole table is read.
    """
    for message, at in _told(tables.oversized, "is longer than what it inflates to"):
        yield oversized.at(message, field="offset", offset=at, length=16)


RULES = (not_rising, block_outside, oversized)
