"""bochs: the catalog. Cost of each: reading all of it, four bytes an extent (one walk for all of them)."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.bochs.tables import BochsTables
from imgtool.limits import Limits


@rule("OTH024", "bochs-extent-outside", "error")
def extent_outside(tables: BochsTables, limits: Limits) -> Iterator[Finding]:
    """An extent that the catalog has is not in the file.

    What it checks: each extent of the catalog, with its bitmap, ends inside the file.

    Why it matters: the file was cut or its catalog damaged; readers run past its end (CVE-2014-0143).

    What to do: fetch the image again and compare its size and checksum with the publisher's.

    References: QEMU block/bochs.c, seek_to_sector.

    Cost: the whole catalog is read.
    """
    for entry in tables.outside.first:
        message = (
            f"extent {entry.number} of the guest, number {entry.value}, ends past the end of the file at "
            f"{tables.facts.file_size} ({tables.outside.total} such extents)"
        )
        at = tables.facts.header_size + entry.number * 4
        yield extent_outside.at(message, field="catalog", offset=at, length=4)


@rule("OTH025", "bochs-extent-used-twice", "error")
def used_twice(tables: BochsTables, limits: Limits) -> Iterator[Finding]:
    """Two extents of the guest lie in one place of the file.

    What it checks: no two entries of the catalog have the same number.

    Why it matters: what the guest writes to the one it also writes to the other.

    What to do: take a fresh copy of the image; one of the two extents is lost.

    References: Bochs iodev/hdimage/hdimage.cc.

    Cost: the whole catalog is read.
    """
    for found in tables.overlapping:
        message = f"extents {found.other} and {found.label} of the guest both have number {found.start}"
        at = tables.facts.header_size + found.label * 4
        yield used_twice.at(f"{message} ({tables.overlaps} such)", field="catalog", offset=at, length=4)


RULES = (extent_outside, used_twice)
