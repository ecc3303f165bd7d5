"""VMDK, 2xx: resource bombs; 5xx: what other programs will not take."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.vmdk import layout as lay
from imgtool.formats.vmdk.checks.descriptor import descriptors
from imgtool.formats.vmdk.checks.structure import directory_entries
from imgtool.formats.vmdk.facts import VmdkFacts
from imgtool.limits import Limits


@rule("VMD201", "vmdk-capacity-over-cap", "error")
def capacity_cap(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """The capacity is larger than any disk's.

    What it checks: no extent and no header has more than 2^54 sectors (`limits.vmdk_sectors`), and the capacity of a
    sparse extent needs at most 32 Mi entries of its directory (`limits.vmdk_directory`).

    Why it matters: readers allocate the directory from it; sums overflow (CVE-2014-0223 and its kin).

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU block/vmdk.c, vmdk_add_extent.
    """
    entries = directory_entries(facts)
    if facts.capacity is not None and facts.capacity > limits.vmdk_sectors:
        message = f"capacity is {facts.capacity} sectors, at most {limits.vmdk_sectors} is allowed"
        yield capacity_cap.at(message, field="capacity", offset=12, length=8)
    elif entries is not None and entries > limits.vmdk_directory:
        message = f"a directory of {entries} entries is over the cap of {limits.vmdk_directory}"
        yield capacity_cap.at(message, field="capacity", offset=12, length=8)
    for parsed in descriptors(facts):
        for extent in parsed.extents:
            if extent.sectors > limits.vmdk_sectors:
                message = f"an extent of {extent.sectors} sectors, at most {limits.vmdk_sectors} is allowed"
                yield capacity_cap.at(message, offset=extent.offset)


@rule("VMD202", "vmdk-disk-database-over-cap", "error")
def database_cap(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """The disk database is larger than any program writes it.

    What it checks: at most 1,024 lines `ddb.…` (`limits.vmdk_ddb`), none longer than 4,096 characters
    (`limits.vmdk_value`).

    Why it matters: readers keep all of it in memory, or copy it into buffers of a fixed size.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: VMware "Virtual Disk Format 5.0", section "The Disk Database".
    """
    for parsed in descriptors(facts):
        if parsed.ddb_count > limits.vmdk_ddb or parsed.ddb_longest > limits.vmdk_value:
            message = f"{parsed.ddb_count} entries, the longest of {parsed.ddb_longest} characters"
            yield database_cap.at(message, field="ddb", offset=parsed.place.offset)


@rule("VMD501", "vmdk-stream-without-footer", "warning")
def no_footer(facts: VmdkFacts, limits: Limits) -> Iterator[Finding]:
    """A compressed image without the markers or the footer of a stream.

    What it checks: where grains are compressed, flag bit 17 (markers) is set and gdOffset leaves the directory to the
    footer.

    Why it matters: the importers of ESXi and of some clouds read the image as a stream from front to back and refuse
    one without them (qemu-img writes such).

    What to do: where an importer refuses it, convert it: `imgtool convert IMAGE --to vmdk --option
    subformat=streamOptimized -o NEW.vmdk` writes both.

    References: VMware "Virtual Disk Format 5.0", section "Stream-Optimized Compressed Sparse Extents".
    """
    if facts.header is None or facts.kind != "sparse" or not facts.compressed:
        return
    missing = [] if facts.markers else ["markers"]
    missing += [] if facts.header.gdOffset == lay.GD_AT_END else ["footer"]
    if missing:
        yield no_footer.at(f"a compressed image without {' and '.join(missing)}", field="gdOffset", offset=56)


BOMBS = (capacity_cap, database_cap)
PORTABILITY = (no_footer,)
