"""VMDK, 04x and 05x: grain directories and tables. Cost of each: reading all tables, four bytes a grain (eight of
seSparse), one walk for all of them."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.vmdk.checks.grains import GRAINS
from imgtool.formats.vmdk.walk.facts import VmdkTables, label_name
from imgtool.limits import Limits


@rule("VMD040", "vmdk-tables-not-read", "error")
def not_read(tables: VmdkTables, limits: Limits) -> Iterator[Finding]:
    """The grain tables cannot be read, or not all of them.

    What it checks: header and footer say where the directory is, and the walk over the tables met none of its caps
    (`limits.claims`, `limits.vmdk_inflated`).

    Why it matters: what was not read was not checked.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: VMware "Virtual Disk Format 5.0", section "Grain Directory and Grain Tables".

    Cost: all tables are read.
    """
    for problem in tables.problems:
        yield not_read.at(problem.message, field=problem.what, offset=problem.offset, length=problem.length)


@rule("VMD041", "vmdk-grain-table-outside-file", "error")
def table_outside(tables: VmdkTables, limits: Limits) -> Iterator[Finding]:
    """A grain table is not in the file.

    What it checks: the directory has an entry for every table of the capacity, and each table ends inside the file.

    Why it matters: 512 grains (4,096 of COWD and seSparse) cannot be read; the file was cut or its directory damaged.

    What to do: fetch the image again and compare its size and checksum with the publisher's.

    References: VMware "Virtual Disk Format 5.0", section "Grain Directory and Grain Tables".

    Cost: all tables are read.
    """
    for entry in tables.tables_outside.first:
        message = f"grain table {entry.number} is not inside the file ({tables.tables_outside.total} such tables)"
        yield table_outside.at(message, field="grain directory")


@rule("VMD042", "vmdk-grain-outside-file", "error")
def grain_outside(tables: VmdkTables, limits: Limits) -> Iterator[Finding]:
    """A grain that a table has is not in the file.

    What it checks: the part of each grain that the guest has ends inside the file; a compressed one with its marker.

    Why it matters: the file was cut or its tables damaged; the guest finds errors or zeros there.

    What to do: fetch the image again and compare its size and checksum with the publisher's.

    References: VMware "Virtual Disk Format 5.0", section "Grain Directory and Grain Tables".

    Cost: all tables are read.
    """
    for entry in tables.grains_outside.first:
        message = (
            f"grain {entry.number} at byte {entry.value} is not inside the file of {tables.facts.file_size} bytes "
            f"({tables.grains_outside.total} such grains)"
        )
        yield grain_outside.at(message, field="grain table", offset=entry.value)
    for faults in tables.packed:
        for grain in faults.first if faults.fault == "outside" else ():
            yield grain_outside.at(f"grain {grain.number}: {grain.message}", field="grain table", offset=grain.host)


@rule("VMD043", "vmdk-grains-overlap", "error")
def overlap(tables: VmdkTables, limits: Limits) -> Iterator[Finding]:
    """A part of the file is used twice.

    What it checks: header, descriptor, directories, tables and grains (compressed ones as long as their marker says)
    are apart.

    Why it matters: what the guest writes to the one destroys the other.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: VMware "Virtual Disk Format 5.0", section "Hosted Sparse Extents".

    Cost: all tables are read.
    """
    for found in tables.overlapping:
        both = f"{label_name(found.label)} and {label_name(found.other)} both have"
        message = f"{both} {found.length} bytes at {found.start} ({tables.overlaps} such places)"
        yield overlap.at(message, offset=found.start, length=found.length)


@rule("VMD044", "vmdk-zero-grain-without-flag", "error")
def unflagged(tables: VmdkTables, limits: Limits) -> Iterator[Finding]:
    """A table marks a grain as zeros, and the header does not allow that.

    What it checks: entries of 1 (a grain of zeros) stand only where flag bit 2 is set.

    Why it matters: without the flag the entry is a place: readers show the descriptor's sectors as the guest's data,
    others show zeros.

    What to do: convert the image again from its source.

    References: VMware "Virtual Disk Format 5.0", section "Hosted Sparse Extents", flags.

    Cost: all tables are read.
    """
    for entry in tables.unflagged.first:
        message = f"grain {entry.number} has entry 1, flag bit 2 is clear ({tables.unflagged.total} such entries)"
        yield unflagged.at(message, field="grain table")


@rule("VMD045", "vmdk-redundant-tables-differ", "warning")
def redundant(tables: VmdkTables, limits: Limits) -> Iterator[Finding]:
    """The redundant grain tables are no copy of the primary ones.

    What it checks: where flag bit 1 says that there is a redundant directory, its tables lie elsewhere than the
    primary ones and have the same entries.

    Why it matters: a program that repairs the image by them, or reads them, sees another disk.

    What to do: convert the image; the copy has tables that agree.

    References: VMware "Virtual Disk Format 5.0", section "Grain Directory and Grain Tables".

    Cost: all tables are read, the redundant ones too.
    """
    found = tables.redundant
    if found is None:
        return
    if found.differing:
        message = f"{found.differing} redundant grain tables differ from the primary ones, the first is {found.first}"
        yield redundant.at(message, field="rgdOffset", offset=48, length=8)
    if found.shared:
        message = f"{found.shared} entries of the redundant directory name the primary tables themselves"
        yield redundant.at(message, field="rgdOffset", offset=48, length=8)


@rule("VMD046", "vmdk-unknown-grain-entry", "error")
def unknown(tables: VmdkTables, limits: Limits) -> Iterator[Finding]:
    """An entry of a grain table says nothing that is known.

    What it checks: the top four bits of each entry of a seSparse extent are 0 to 3, and an unallocated one is 0.

    Why it matters: the grain cannot be read.

    What to do: take a fresh copy of the extent.

    References: QEMU block/vmdk.c, get_cluster_offset.

    Cost: all tables are read.
    """
    for entry in tables.unknown.first:
        value = entry.value & ((1 << 64) - 1)
        message = f"grain {entry.number} has entry 0x{value:016x} ({tables.unknown.total} such entries)"
        yield unknown.at(message, field="grain table")


@rule("VMD047", "vmdk-stale-grains", "note")
def stale(tables: VmdkTables, limits: Limits) -> Iterator[Finding]:
    """Bytes inside the image belong to nothing.

    What it checks: behind the metadata and before the last thing in use every grain's room is some table's.

    Why it matters: these are grains that were freed: they take room and may hold old data of the guest.

    What to do: convert the image; the copy has none.

    References: VMware "Virtual Disk Format 5.0", section "Hosted Sparse Extents".

    Cost: all tables are read.
    """
    if tables.stale:
        yield stale.at(f"{tables.stale} bytes inside the image belong to nothing", offset=tables.stale_at)


TABLES = (not_read, table_outside, grain_outside, overlap, unflagged, redundant, unknown, stale)
RULES = (*TABLES, *GRAINS)
