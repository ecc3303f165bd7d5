"""VMDK, 05x and 3xx: compressed grains. Cost of each: reading all tables and inflating every grain (one walk for all
of them, in threads)."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.vmdk.hosted import Fault
from imgtool.formats.vmdk.walk.facts import VmdkTables
from imgtool.limits import Limits


def _failed(tables: VmdkTables, fault: Fault) -> Iterator[tuple[str, int]]:
    """Message and byte of the grains that failed at one thing."""
    for faults in tables.packed:
        for grain in faults.first if faults.fault == fault else ():
            yield f"grain {grain.number}: {grain.message} ({faults.total} such grains)", grain.host


@rule("VMD050", "vmdk-grain-marker-mismatch", "error")
def marker(tables: VmdkTables, limits: Limits) -> Iterator[Finding]:
    """The marker of a compressed grain names another place of the disk than the table does.

    What it checks: the first sector in each grain's marker is where the table has the grain.

    Why it matters: who reads the stream from front to back gets another disk than who reads it by its tables.

    What to do: fetch the image again, or convert it from its source.

    References: VMware "Virtual Disk Format 5.0", section "Stream-Optimized Compressed Sparse Extents".

    Cost: all tables and grains are read.
    """
    for message, host in _failed(tables, "marker"):
        yield marker.at(message, field="lba", offset=host, length=8)


@rule("VMD051", "vmdk-grain-bad-size", "error")
def size(tables: VmdkTables, limits: Limits) -> Iterator[Finding]:
    """The stored size of a compressed grain is impossible.

    What it checks: the size in each grain's marker is more than 0 and at most two grains.

    Why it matters: readers that trust it allocate without bound or read past their buffer.

    What to do: fetch the image again, or convert it from its source.

    References: VMware "Virtual Disk Format 5.0", section "Stream-Optimized Compressed Sparse Extents".

    Cost: all tables and grains are read.
    """
    for message, host in _failed(tables, "size"):
        yield size.at(message, field="size", offset=host + 8, length=4)


@rule("VMD052", "vmdk-grain-in-no-table", "error")
def stray(tables: VmdkTables, limits: Limits) -> Iterator[Finding]:
    """A stream has a grain that no table has.

    What it checks: between what the tables name there are no further grains with a marker of this disk (the first
    `limits.vmdk_gaps` gaps are looked at).

    Why it matters: who reads the stream from front to back gets that grain's data, who reads it by its tables does
    not: two disks in one file.

    What to do: convert the image again from its source.

    References: VMware "Virtual Disk Format 5.0", section "Stream-Optimized Compressed Sparse Extents".

    Cost: all tables and grains are read.
    """
    for found in tables.strays:
        message = f"a grain for sector {found.sector} is in no table ({tables.stray_total} such grains)"
        yield stray.at(message, offset=found.offset)


@rule("VMD053", "vmdk-table-without-marker", "warning")
def unmarked(tables: VmdkTables, limits: Limits) -> Iterator[Finding]:
    """A grain table of a stream has no marker before it.

    What it checks: in a stream with a footer the sector before each grain table is the marker of one.

    Why it matters: who reads the stream from front to back takes the table for a grain, or gives up.

    What to do: convert the image again from its source.

    References: VMware "Virtual Disk Format 5.0", section "Stream-Optimized Compressed Sparse Extents".

    Cost: all tables are read.
    """
    for entry in tables.unmarked.first:
        message = f"grain table {entry.number} has no marker before it ({tables.unmarked.total} such tables)"
        yield unmarked.at(message, field="marker", offset=entry.value - 512, length=512)


@rule("VMD301", "vmdk-grain-does-not-inflate", "error")
def data(tables: VmdkTables, limits: Limits) -> Iterator[Finding]:
    """A compressed grain does not hold what a grain holds.

    What it checks: each grain is a zlib stream whose checksum holds and that makes exactly one grain, of the last one
    at least what the disk has of it, never more.

    Why it matters: the guest cannot read it; one that makes more is meant to overrun a buffer.

    What to do: fetch the image again and compare its checksum with the publisher's.

    References: VMware "Virtual Disk Format 5.0", section "Stream-Optimized Compressed Sparse Extents"; RFC 1950.

    Cost: all tables are read, all grains inflated.
    """
    for message, host in _failed(tables, "data"):
        yield data.at(message, field="grain", offset=host)


GRAINS = (marker, size, stray, unmarked, data)
