"""VHDX: the region tables and where the regions lie. Cost of each: the region tables alone."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.vhdx import layout as lay
from imgtool.formats.vhdx.facts import Region, RegionTable, VhdxFacts
from imgtool.limits import Limits
from imgtool.units import MIB, ceil_div, is_power_of_two


@rule("VHX011", "vhdx-no-valid-region-table", "error")
def no_table(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """Neither of the two region tables is valid.

    What it checks: at 192 KiB or at 256 KiB lies a region table with its signature and a right CRC-32C.

    Why it matters: without it nobody can find the metadata and the block allocation table.

    What to do: fetch the image again and compare its checksum with the publisher's.

    References: [MS-VHDX] 2.2.3.
    """
    if facts.region_table is None:
        faults = "; ".join(_fault(table) for table in facts.region_tables) or "both lie past the end of the file"
        yield no_table.at(faults, offset=lay.REGIONS_AT[0], length=2 * lay.REGION_TABLE_SIZE)


def _fault(table: RegionTable) -> str:
    where = f"region table at {table.offset}"
    if table.signature != lay.REGION_SIGNATURE:
        return f"{where}: begins with {table.signature!r}"
    return f"{where}: checksum is 0x{table.checksum:08x}, its bytes give 0x{table.computed:08x}"


@rule("VHX012", "vhdx-one-region-table-invalid", "warning")
def one_table(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """One of the two region tables is invalid; the other one was read.

    What it checks: both region tables have their signature and a right CRC-32C.

    Why it matters: the file is damaged; the second table is there for this, and now there is none left.

    What to do: fetch the image again, or convert it.

    References: [MS-VHDX] 2.2.3.
    """
    if facts.region_table is not None:
        for table in facts.region_tables:
            if not table.sound:
                yield one_table.at(_fault(table), offset=table.offset, length=lay.REGION_TABLE_SIZE)


@rule("VHX013", "vhdx-region-tables-differ", "error")
def tables_differ(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """Both region tables are valid and name different regions.

    What it checks: the two tables have the same entries.

    Why it matters: two programs may read two disks out of one file.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: [MS-VHDX] 2.2.3.
    """
    sound = [table for table in facts.region_tables if table.sound]
    if len(sound) < 2:
        return
    first, second = (tuple(region._replace(entry=0) for region in table.regions) for table in sound)
    if first != second or sound[0].entry_count != sound[1].entry_count:
        message = f"the region tables at {sound[0].offset} and {sound[1].offset} differ"
        yield tables_differ.at(message, offset=sound[1].offset, length=lay.REGION_TABLE_SIZE)


@rule("VHX014", "vhdx-unknown-required-region", "error")
def unknown_region(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """A region is marked as required that no specification names.

    What it checks: every region with the required flag is the block allocation table or the metadata.

    Why it matters: the image says itself that a reader who does not know the region must not open it.

    What to do: convert the image with the program that made it.

    References: [MS-VHDX] 2.2.3.2.
    """
    unknown = [region for region in facts.regions if region.required and region.guid not in lay.REGIONS]
    for region in unknown[: limits.vhdx_named]:
        message = f"region {region.guid} is required and unknown"
        yield unknown_region.at(message, field="guid", offset=region.entry, length=32)


@rule("VHX015", "vhdx-region-repeated", "error")
def region_repeated(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """A region is named more than once.

    What it checks: no GUID stands twice in the region table.

    Why it matters: one program takes the first, another the last: two disks in one file.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: [MS-VHDX] 2.2.3.2.
    """
    first = {region.guid: region.entry for region in reversed(facts.regions)}
    repeated = [region for region in facts.regions if first[region.guid] != region.entry]
    for region in repeated[: limits.vhdx_named]:
        message = f"region {region.guid} ({region.name}) is named again"
        yield region_repeated.at(message, field="guid", offset=region.entry, length=32)


@rule("VHX016", "vhdx-region-missing", "error")
def region_missing(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """The block allocation table or the metadata region is not there.

    What it checks: the region table names both.

    Why it matters: without them no guest data can be found.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: [MS-VHDX] 2.2.3.2.
    """
    if facts.region_table is not None:
        for guid, name in lay.REGIONS.items():
            if facts.region(guid) is None:
                message = f"the region table does not name the {name} region"
                yield region_missing.at(message, offset=lay.REGIONS_AT[facts.region_table - 1])


@rule("VHX017", "vhdx-region-misplaced", "error")
def region_misplaced(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """A region is not on whole MiB, lies in the header section, or outside the file.

    What it checks: offset and length of each region are multiples of 1 MiB, not 0, the offset at least 1 MiB
    and inside the file.

    Why it matters: programs read other bytes as tables, or refuse the file.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: [MS-VHDX] 2.2.3.2, FileOffset and Length.
    """
    faulty = [region for region in facts.regions if _misplaced(region, facts.file_size)]
    for region in faulty[: limits.vhdx_named]:
        message = f"region {region.name} at {region.offset} of {region.length} bytes, in {facts.file_size} bytes"
        yield region_misplaced.at(message, field="file_offset", offset=region.entry + 16, length=12)


def _misplaced(region: Region, file_size: int) -> bool:
    uneven = region.offset % MIB or region.length % MIB or not region.length
    return bool(uneven) or not lay.HEADER_SECTION <= region.offset < file_size


@rule("VHX018", "vhdx-regions-overlap", "error")
def regions_overlap(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """Two regions, or a region and the log, share bytes.

    What it checks: regions and the log lie apart.

    Why it matters: writing one destroys the other; a table that is data at the same time can be forged.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: [MS-VHDX] 2.2.3.2.
    """
    places = [(region.offset, region.length, f"region {region.name}", region.entry) for region in facts.regions]
    if facts.log_offset is not None and facts.log_length:
        at = lay.HEADERS_AT[(facts.active_header or 1) - 1] + 68
        places.append((facts.log_offset, facts.log_length, "log", at))
    places.sort()
    end, owner, left = 0, "", limits.vhdx_named
    for start, length, name, at in places:
        if start < end and left:
            left -= 1
            yield regions_overlap.at(f"{name} at {start} begins inside {owner}, which ends at {end}", offset=at)
        if start + length > end:
            end, owner = start + length, name


@rule("VHX019", "vhdx-block-table-too-small", "error")
def table_too_small(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """The block allocation table has no room for all blocks of the disk, or ends outside the file.

    What it checks: the BAT region has 8 bytes for each payload block and each sector bitmap block that the
    virtual size needs, and these lie inside the file.

    Why it matters: the end of the disk has no place in the file; programs refuse it or read past the table.

    What to do: fetch the image again and compare its size and checksum with the publisher's.

    References: [MS-VHDX] 2.5.
    """
    region, entries = facts.region(lay.BAT), table_entries(facts)
    if region is None or entries is None:
        return
    if entries * 8 > region.length:
        message = f"the BAT has {region.length // 8} entries, a disk of {facts.virtual_size} bytes needs {entries}"
        yield table_too_small.at(message, field="length", offset=region.entry + 24, length=4)
    elif region.offset + entries * 8 > facts.file_size:
        end = region.offset + entries * 8
        message = f"the BAT's {entries} entries end at {end}, the file at {facts.file_size}"
        yield table_too_small.at(message, field="file_offset", offset=region.entry + 16, length=8)


def table_entries(facts: VhdxFacts) -> int | None:
    """Entries that the BAT of this disk has ([MS-VHDX] 2.5); None where its sizes make no sense."""
    block, sector, size = facts.block_size, facts.logical_sector_size, facts.virtual_size
    if block is None or size is None or sector not in lay.SECTOR_SIZES:
        return None
    if not lay.MIN_BLOCK <= block <= lay.MAX_BLOCK or not is_power_of_two(block):
        return None
    ratio = lay.CHUNK_SECTORS * sector // block
    blocks = ceil_div(size, block)
    if facts.has_parent:
        return ceil_div(blocks, ratio) * (ratio + 1)
    return blocks + (blocks - 1) // ratio if blocks else 0


@rule("VHX201", "vhdx-too-many-entries", "error")
def too_many(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """The region table or the metadata table says it has more entries than fit.

    What it checks: each has at most 2047 (`limits.vhdx_entries`).

    Why it matters: a reader that trusts the count reads past the table.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: [MS-VHDX] 2.2.3.1, 2.6.1.1.
    """
    for table in facts.region_tables:
        if table.signature == lay.REGION_SIGNATURE and table.entry_count > limits.vhdx_entries:
            message = f"region table with {table.entry_count} entries, at most {limits.vhdx_entries} are allowed"
            yield too_many.at(message, field="entry_count", offset=table.offset + 8, length=4)
    metadata = facts.region(lay.METADATA)
    if metadata and facts.metadata_count is not None and facts.metadata_count > limits.vhdx_entries:
        message = f"metadata table with {facts.metadata_count} entries, at most {limits.vhdx_entries} are allowed"
        yield too_many.at(message, field="entry_count", offset=metadata.offset + 10, length=2)


REGIONS = (
    no_table,
    one_table,
    tables_differ,
    unknown_region,
    region_repeated,
    region_missing,
    region_misplaced,
    regions_overlap,
    table_too_small,
    too_many,
)
