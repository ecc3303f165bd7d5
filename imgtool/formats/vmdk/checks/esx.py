"""VMDK, 013 and 014: the tables of COWD and seSparse extents. Cost of each: the headers alone."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.vmdk import layout as lay
from imgtool.formats.vmdk.facts import VmdkFacts
from imgtool.limits import Limits
from imgtool.units import SECTOR, ceil_div


@rule("VMD013", "vmdk-cowd-directory-misplaced", "error")
def cowd_directory(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """The grain directory of a COWD extent is misplaced or too small.

    What it checks: gdOffset lies behind the four sectors of the header, the directory ends inside the file and has an
    entry for every 4,096 grains of the capacity.

    Why it matters: the whole mapping of the disk hangs on it.

    What to do: take a fresh copy of the extent.

    References: VMware "Virtual Disk Format 5.0", section "ESXi Host Sparse Extents".
    """
    cowd = facts.cowd
    if cowd is None:
        return
    end = cowd.gd_offset * SECTOR + cowd.num_gd_entries * 4
    if cowd.gd_offset < 4 or end > facts.file_size:
        message = f"grain directory at sector {cowd.gd_offset} ends at byte {end}, the file at {facts.file_size}"
        yield cowd_directory.at(message, field="gdOffset", offset=20, length=4)
    needed = ceil_div(cowd.num_sectors, cowd.grain_size * lay.COWD_GTES_PER_GT) if cowd.grain_size else 0
    if cowd.num_gd_entries < needed:
        message = f"grain directory has {cowd.num_gd_entries} entries, {cowd.num_sectors} sectors need {needed}"
        yield cowd_directory.at(message, field="numGDEntries", offset=24, length=4)


@rule("VMD014", "vmdk-sesparse-tables-misplaced", "error")
def sesparse_tables(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """A table of a seSparse extent is misplaced or too small, or its volatile header is not one.

    What it checks: grain directory and grain tables lie behind the header and end inside the file; the directory
    has an entry for every 4,096 grains of the capacity; the volatile header has its magic.

    Why it matters: the whole mapping of the disk hangs on them.

    What to do: take a fresh copy of the extent.

    References: QEMU block/vmdk.c, vmdk_open_se_sparse.
    """
    head, told = facts.sesparse_header, facts.sesparse
    if head is None or told is None:
        return
    for name, start, size in (
        ("grain_dir", head.grain_dir_offset, head.grain_dir_size),
        ("grain_tables", head.grain_tables_offset, head.grain_tables_size),
    ):
        if not start or (start + size) * SECTOR > facts.file_size:
            message = f"{name}: {size} sectors at sector {start}, the file has {facts.file_size} bytes"
            yield sesparse_tables.at(message, field=f"{name}_offset", offset=128 if name == "grain_dir" else 144)
    needed = ceil_div(ceil_div(head.capacity, lay.SESPARSE_GRAIN), 4096)
    if head.grain_dir_size * SECTOR // 8 < needed:
        message = f"grain directory of {head.grain_dir_size} sectors, {head.capacity} sectors need {needed} entries"
        yield sesparse_tables.at(message, field="grain_dir_size", offset=136, length=8)
    if facts.volatile is not None and facts.volatile.magic != lay.SESPARSE_VOLATILE_MAGIC:
        message = f"magic of the volatile header is 0x{facts.volatile.magic:x}"
        yield sesparse_tables.at(message, field="magic", offset=head.volatile_header_offset * SECTOR, length=8)


ESX = (cowd_directory, sesparse_tables)
