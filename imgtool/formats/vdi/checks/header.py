"""VDI, 00x and 01x: the header. Cost of each: the header alone."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.vdi import layout as lay
from imgtool.formats.vdi.facts import OtherVdiFacts, VdiFacts
from imgtool.limits import Limits
from imgtool.units import is_power_of_two

AnyVdi = VdiFacts | OtherVdiFacts


@rule("VDI001", "vdi-bad-version", "error")
def bad_version(facts: AnyVdi, limits: Limits) -> Iterator[Finding]:
    """The version is not 1.1.

    What it checks: the version field is 0x00010001 (1.1), the only one in use since 2006.

    Why it matters: the header of another version has another form; QEMU refuses such images.

    What to do: take a fresh copy of the image; a very old one can be converted with VirtualBox itself.
    """
    if isinstance(facts, OtherVdiFacts) and facts.version != "1.1":
        message = f"version is {facts.version}, known is 1.1"
        yield bad_version.at(message, field="u32Version", offset=0x44, length=4)


@rule("VDI002", "vdi-bad-header-size", "error")
def bad_header_size(facts: AnyVdi, limits: Limits) -> Iterator[Finding]:
    """The size of the header is too small.

    What it checks: the header, counted from 0x48, is at least 0x180 bytes (0x180 and 0x190 are usual).

    Why it matters: the UUIDs at its end, and with them a parent image, would not be part of it.

    What to do: take a fresh copy of the image, or convert it again from its source.
    """
    if isinstance(facts, VdiFacts) and facts.header_size < lay.HEADER_SIZE:
        message = f"the header has 0x{facts.header_size:x} bytes, at least 0x{lay.HEADER_SIZE:x} are needed"
        yield bad_header_size.at(message, field="cbHeader", offset=0x48, length=4)


@rule("VDI003", "vdi-bad-sector-size", "error")
def bad_sector_size(facts: AnyVdi, limits: Limits) -> Iterator[Finding]:
    """The sector size is not 512.

    What it checks: both geometries of the header (the second where the header has 0x190 bytes) say 512.

    Why it matters: no reader supports another one; QEMU and VirtualBox refuse the image.

    What to do: take a fresh copy of the image, or convert it again from its source.
    """
    if not isinstance(facts, VdiFacts):
        return
    if facts.sector_size != lay.SECTOR_SIZE:
        message = f"the sector size is {facts.sector_size}"
        yield bad_sector_size.at(message, field="cbSector", offset=0x168, length=4)
    if facts.geometry is not None and facts.geometry.cbSector != lay.SECTOR_SIZE:
        message = f"the sector size of the logical geometry is {facts.geometry.cbSector}"
        yield bad_sector_size.at(message, field="cbSector", offset=0x1D4, length=4)


@rule("VDI004", "vdi-unknown-image-type", "error")
def unknown_type(facts: AnyVdi, limits: Limits) -> Iterator[Finding]:
    """The image type is not one that exists.

    What it checks: the type is 1 (dynamic), 2 (static), 3 (undo) or 4 (differencing); the last two are
    reported as references to a parent image.

    Why it matters: a reader cannot know whether another image lies below this one.

    What to do: take a fresh copy of the image, or convert it again from its source.
    """
    if isinstance(facts, VdiFacts) and facts.image_type.startswith("unknown-"):
        message = f"the image type is {facts.image_type.removeprefix('unknown-')}, known are 1 to 4"
        yield unknown_type.at(message, field="u32Type", offset=0x4C, length=4)


@rule("VDI005", "vdi-bad-block-size", "error")
def bad_block_size(facts: AnyVdi, limits: Limits) -> Iterator[Finding]:
    """The block size is not usable.

    What it checks: it is a power of two from one sector to `limits.vdi_block` bytes, and blocks carry no
    extra bytes.

    Why it matters: every offset in the image is computed from it.

    What to do: take a fresh copy of the image, or convert it again from its source.
    """
    if not isinstance(facts, VdiFacts):
        return
    size = facts.cluster_size
    if not is_power_of_two(size) or not lay.SECTOR_SIZE <= size <= limits.vdi_block:
        message = f"the block size is {size}: a power of two from 512 to {limits.vdi_block} is allowed"
        yield bad_block_size.at(message, field="cbBlock", offset=0x178, length=4)
    if facts.block_extra:
        message = f"each block has {facts.block_extra} extra bytes, no reader supports any"
        yield bad_block_size.at(message, field="cbBlockExtra", offset=0x17C, length=4)


@rule("VDI006", "vdi-unusual-block-size", "warning")
def unusual_block_size(facts: AnyVdi, limits: Limits) -> Iterator[Finding]:
    """The block size is not the usual 1 MiB.

    What it checks: the block size is 1 MiB, which is what all tools write unless told otherwise.

    Why it matters: QEMU refuses every other block size.

    What to do: convert the image with VirtualBox, or nothing where only VirtualBox will read it.
    """
    if isinstance(facts, VdiFacts) and is_power_of_two(facts.cluster_size) and facts.cluster_size != lay.BLOCK_SIZE:
        message = f"the block size is {facts.cluster_size}, usual is {lay.BLOCK_SIZE}"
        yield unusual_block_size.at(message, field="cbBlock", offset=0x178, length=4)


@rule("VDI007", "vdi-bad-block-count", "error")
def bad_block_count(facts: AnyVdi, limits: Limits) -> Iterator[Finding]:
    """The number of blocks does not fit the disk.

    What it checks: the blocks together are at least as large as the disk; there are at most
    `limits.vdi_blocks`; no more are allocated than there are.

    Why it matters: the end of the disk has no place in the file, or a reader allocates a map without bound
    (CVE-2014-0144).

    What to do: take a fresh copy of the image, or convert it again from its source.
    """
    if not isinstance(facts, VdiFacts):
        return
    room = facts.blocks * facts.cluster_size
    if facts.blocks > limits.vdi_blocks:
        message = f"{facts.blocks} blocks are over the cap of {limits.vdi_blocks}"
        yield bad_block_count.at(message, field="cBlocks", offset=0x180, length=4)
    if (facts.virtual_size or 0) > room:
        message = f"{facts.blocks} blocks hold {room} bytes, the disk has {facts.virtual_size}"
        yield bad_block_count.at(message, field="cBlocks", offset=0x180, length=4)
    if facts.blocks_allocated > facts.blocks:
        message = f"{facts.blocks_allocated} blocks are allocated, there are {facts.blocks}"
        yield bad_block_count.at(message, field="cBlocksAllocated", offset=0x184, length=4)


@rule("VDI008", "vdi-block-map-misplaced", "error")
def map_misplaced(facts: AnyVdi, limits: Limits) -> Iterator[Finding]:
    """The block map does not lie between the header and the data, inside the file.

    What it checks: the map begins on a sector, at or after the end of the header, and ends inside the file.

    Why it matters: header bytes, or bytes that are not there, would be taken for block numbers.

    What to do: take a fresh copy of the image, or convert it again from its source.
    """
    if not isinstance(facts, VdiFacts):
        return
    at, end = facts.map_offset, facts.map_offset + facts.blocks * 4
    header_end = lay.PREHEADER_SIZE + facts.header_size
    if at < header_end:
        message = f"the block map at {at} begins inside the header, which ends at {header_end}"
        yield map_misplaced.at(message, field="offBlocks", offset=0x154, length=4)
    if at % lay.SECTOR_SIZE:
        yield map_misplaced.at(f"the block map at {at} is not on a sector", field="offBlocks", offset=0x154, length=4)
    if end > facts.file_size:
        message = f"the block map at {at} ends at {end}, the file at {facts.file_size}"
        yield map_misplaced.at(message, field="offBlocks", offset=0x154, length=4)


@rule("VDI009", "vdi-data-area-misplaced", "error")
def data_misplaced(facts: AnyVdi, limits: Limits) -> Iterator[Finding]:
    """The blocks do not begin after the map, inside the file.

    What it checks: the data area begins on a sector, at or after the end of the block map, and not past the
    end of the file (an empty image ends where it begins).

    Why it matters: writing the first block would overwrite the map, or reading it would find nothing.

    What to do: take a fresh copy of the image, or convert it again from its source.
    """
    if not isinstance(facts, VdiFacts):
        return
    at, map_end = facts.data_offset, facts.map_offset + facts.blocks * 4
    if at < map_end:
        message = f"the data area at {at} begins before the block map ends at {map_end}"
        yield data_misplaced.at(message, field="offData", offset=0x158, length=4)
    if at % lay.SECTOR_SIZE:
        yield data_misplaced.at(f"the data area at {at} is not on a sector", field="offData", offset=0x158, length=4)
    if at > facts.file_size:
        message = f"the data area begins at {at}, the file ends at {facts.file_size}"
        yield data_misplaced.at(message, field="offData", offset=0x158, length=4)


@rule("VDI010", "vdi-null-uuid", "warning")
def null_uuid(facts: AnyVdi, limits: Limits) -> Iterator[Finding]:
    """The image has no UUID.

    What it checks: the UUIDs of the image and of its last modification are not null.

    Why it matters: VirtualBox refuses such an image: it knows disks by their UUID.

    What to do: `VBoxManage internalcommands sethduuid IMAGE`, or convert it again.
    """
    if not isinstance(facts, VdiFacts):
        return
    if facts.image_uuid is None:
        yield null_uuid.at("the UUID of the image is null", field="uuidCreate", offset=0x188, length=16)
    if facts.snapshot_uuid is None:
        message = "the UUID of its last modification is null"
        yield null_uuid.at(message, field="uuidModify", offset=0x198, length=16)


RULES = (
    bad_version,
    bad_header_size,
    bad_sector_size,
    unknown_type,
    bad_block_size,
    unusual_block_size,
    bad_block_count,
    map_misplaced,
    data_misplaced,
    null_uuid,
)
