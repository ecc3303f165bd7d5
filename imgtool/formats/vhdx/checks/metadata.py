"""VHDX: the metadata table and what its items say. Cost of each: the metadata alone."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.vhdx import layout as lay
from imgtool.formats.vhdx.facts import VhdxFacts
from imgtool.limits import Limits
from imgtool.units import is_power_of_two


@rule("VHX021", "vhdx-bad-metadata-table", "error")
def bad_table(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """The metadata region does not begin with a metadata table.

    What it checks: its first eight bytes are `metadata`.

    Why it matters: without it nobody knows the size of the disk and of its blocks.

    What to do: fetch the image again and compare its checksum with the publisher's.

    References: [MS-VHDX] 2.6.1.1.
    """
    region = facts.region(lay.METADATA)
    if region and facts.metadata_signature not in (None, lay.METADATA_SIGNATURE):
        message = f"the metadata region at {region.offset} begins with {facts.metadata_signature!r}"
        yield bad_table.at(message, field="signature", offset=region.offset, length=8)


@rule("VHX022", "vhdx-unknown-required-item", "error")
def unknown_item(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """A metadata item is marked as required that no specification names.

    What it checks: every item with the required flag is one of the six that are known.

    Why it matters: the image says itself that a reader who does not know the item must not open it.

    What to do: convert the image with the program that made it.

    References: [MS-VHDX] 2.6.1.2.
    """
    unknown = [item for item in facts.metadata if item.required and (item.user or item.id not in lay.ITEMS)]
    for item in unknown[: limits.vhdx_named]:
        message = f"metadata item {item.id} is required and unknown"
        yield unknown_item.at(message, field="item_id", offset=item.entry, length=32)


@rule("VHX023", "vhdx-item-repeated", "error")
def item_repeated(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """A metadata item is there more than once.

    What it checks: no item id stands twice in the table (an item of a user's may have the id of another).

    Why it matters: one program takes the first, another the last: two sizes of one disk.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: [MS-VHDX] 2.6.1.2.
    """
    first = {(item.id, item.user): item.entry for item in reversed(facts.metadata)}
    repeated = [item for item in facts.metadata if first[item.id, item.user] != item.entry]
    for item in repeated[: limits.vhdx_named]:
        message = f"metadata item {item.id} ({item.name}) is there again"
        yield item_repeated.at(message, field="item_id", offset=item.entry, length=32)


@rule("VHX024", "vhdx-item-missing", "error")
def item_missing(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """A metadata item that every disk has is not there.

    What it checks: file parameters, virtual disk size and id, logical and physical sector size are there.

    Why it matters: programs refuse the file, or guess.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: [MS-VHDX] 2.6.2.
    """
    region = facts.region(lay.METADATA)
    if region is None or facts.metadata_signature != lay.METADATA_SIGNATURE:
        return
    for identity in lay.REQUIRED_ITEMS:
        if facts.item(identity) is None:
            yield item_missing.at(f"{lay.ITEMS[identity]} is not in the metadata", offset=region.offset)


@rule("VHX025", "vhdx-item-misplaced", "error")
def item_misplaced(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """A metadata item lies on the table, outside its region, or is too long.

    What it checks: an item begins 64 KiB or more into the region, is at most 1 MiB long
    (`limits.vhdx_item`) and ends inside the region. An empty item has no place.

    Why it matters: other bytes of the file are read as its value.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: [MS-VHDX] 2.6.1.2, Offset and Length.
    """
    region = facts.region(lay.METADATA)
    if region is None:
        return
    low, high = lay.METADATA_TABLE_SIZE, region.length
    faulty = [
        item
        for item in facts.metadata
        if item.length and not (item.offset >= low and item.length <= min(limits.vhdx_item, high - item.offset))
    ]
    for item in faulty[: limits.vhdx_named]:
        message = f"metadata item {item.name} at {item.offset} of {item.length} bytes"
        yield item_misplaced.at(message, field="offset", offset=item.entry + 16, length=8)


@rule("VHX026", "vhdx-bad-block-size", "error")
def bad_block_size(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """The block size is out of range.

    What it checks: it is a power of two from 1 MiB to 256 MiB.

    Why it matters: every place in the image is computed from it; 0 has made programs divide by zero.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: [MS-VHDX] 2.6.2.1, BlockSize.
    """
    size = facts.block_size
    if size is not None and not (lay.MIN_BLOCK <= size <= lay.MAX_BLOCK and is_power_of_two(size)):
        message = f"block_size is {size}: a power of two from {lay.MIN_BLOCK} to {lay.MAX_BLOCK} is allowed"
        yield bad_block_size.at(message, field="block_size", offset=place(facts, lay.FILE_PARAMETERS_ID), length=4)


def place(facts: VhdxFacts, identity: str) -> int | None:
    """Where a metadata item lies in the file."""
    region, item = facts.region(lay.METADATA), facts.item(identity)
    return region.offset + item.offset if region and item else None


@rule("VHX027", "vhdx-bad-sector-size", "error")
def bad_sector_size(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """A sector size is not one that exists.

    What it checks: the logical and the physical sector size are 512 or 4096.

    Why it matters: the sector bitmaps are laid out by it; 0 has made programs divide by zero.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: [MS-VHDX] 2.6.2.4, 2.6.2.5.
    """
    for identity, size in (
        (lay.LOGICAL_SECTOR_SIZE_ID, facts.logical_sector_size),
        (lay.PHYSICAL_SECTOR_SIZE_ID, facts.physical_sector_size),
    ):
        if size is not None and size not in lay.SECTOR_SIZES:
            message = f"{lay.ITEMS[identity]} is {size}, allowed are 512 and 4096"
            yield bad_sector_size.at(message, field="sector_size", offset=place(facts, identity), length=4)


@rule("VHX028", "vhdx-size-not-whole-sectors", "error")
def whole_sectors(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """The disk does not end on a sector.

    What it checks: the virtual disk size is a multiple of the logical sector size.

    Why it matters: programs round the rest up or cut it off, or refuse the file.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: [MS-VHDX] 2.6.2.2.
    """
    size, sector = facts.virtual_size, facts.logical_sector_size
    if size is not None and sector in lay.SECTOR_SIZES and size % sector:
        message = f"virtual disk size is {size} bytes, the logical sector {sector}"
        at = place(facts, lay.VIRTUAL_DISK_SIZE_ID)
        yield whole_sectors.at(message, field="virtual_disk_size", offset=at, length=8)


@rule("VHX101", "vhdx-parent-mismatch", "error")
def parent_mismatch(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """The disk says it has a parent and has no parent locator, or the other way round.

    What it checks: a parent locator is in the metadata exactly when has_parent is set.

    Why it matters: one program reads the missing blocks from another file, another reads zeros.

    What to do: merge it with its parent where it was made, or take a fresh copy.

    References: [MS-VHDX] 2.6.2.1 HasParent, 2.6.2.6.
    """
    located = facts.item(lay.PARENT_LOCATOR_ID) is not None
    if facts.block_size is not None and facts.has_parent != located:
        flag, there = ("set", "no") if facts.has_parent else ("clear", "a")
        message = f"has_parent is {flag}, and {there} parent locator is there"
        yield parent_mismatch.at(message, field="flags", offset=place(facts, lay.FILE_PARAMETERS_ID), length=8)


@rule("VHX102", "vhdx-unknown-parent-type", "warning")
def unknown_parent(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """The parent is of a type that no specification names.

    What it checks: the parent locator's type is the VHDX one.

    Why it matters: nobody can tell what the disk is built upon.

    What to do: merge it with its parent where it was made.

    References: [MS-VHDX] 2.6.2.6.3.
    """
    if facts.parent_locator is not None and facts.parent_locator.type_name != "vhdx":
        message = f"the type of the parent locator is {facts.parent_locator.type or 'missing'}"
        at = place(facts, lay.PARENT_LOCATOR_ID)
        yield unknown_parent.at(message, field="locator_type", offset=at, length=16)


@rule("VHX202", "vhdx-too-large", "error")
def too_large(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """The disk is larger than the format allows.

    What it checks: the virtual disk size is at most 64 TiB (`limits.vhdx_size`).

    Why it matters: a reader that trusts it allocates a table without bound.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: [MS-VHDX] 2.6.2.2.
    """
    if facts.virtual_size is not None and facts.virtual_size > limits.vhdx_size:
        message = f"virtual disk size is {facts.virtual_size} bytes, at most {limits.vhdx_size} are allowed"
        at = place(facts, lay.VIRTUAL_DISK_SIZE_ID)
        yield too_large.at(message, field="virtual_disk_size", offset=at, length=8)


@rule("VHX501", "vhdx-sectors-of-4096", "warning")
def large_sectors(facts: VhdxFacts, limits: Limits) -> Iterator[Finding]:
    """The guest sees sectors of 4096 bytes.

    What it checks: the logical sector size is 512.

    Why it matters: QEMU 7.2 refuses the file, and a partition table made for one sector size is not found
    at the other.

    What to do: attach it under Hyper-V only, or copy its file systems to a disk of 512-byte sectors.

    References: [MS-VHDX] 2.6.2.4.
    """
    if facts.logical_sector_size == 4096:
        at = place(facts, lay.LOGICAL_SECTOR_SIZE_ID)
        yield large_sectors.at("the logical sector size is 4096", field="sector_size", offset=at, length=4)


METADATA = (
    bad_table,
    unknown_item,
    item_repeated,
    item_missing,
    item_misplaced,
    bad_block_size,
    bad_sector_size,
    whole_sectors,
    parent_mismatch,
    unknown_parent,
    too_large,
    large_sectors,
)
