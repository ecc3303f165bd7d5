"""dmg: the block maps. Cost of each: reading the property list (one walk for all of them)."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.dmg.tables import DmgTables
from imgtool.limits import Limits


@rule("OTH005", "dmg-block-map-broken", "error")
def map_broken(tables: DmgTables, limits: Limits) -> Iterator[Finding]:
    """A block map cannot be read.

    What it checks: the property list has at least one block map, each is base64 and as long as its chunks.

    Why it matters: a part of the disk cannot be found; readers that trust the count run past the map.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: newosxbook.com/DMG.html, "mish block"; QEMU block/dmg.c.

    Cost: the property list is read.
    """
    for problem in tables.misfits:
        yield map_broken.at(problem.message, field="blkx", offset=problem.offset, length=problem.length)


@rule("OTH006", "dmg-chunk-outside", "error")
def chunk_outside(tables: DmgTables, limits: Limits) -> Iterator[Finding]:
    """The bytes of a chunk are not in the data fork.

    What it checks: each chunk that has bytes begins and ends inside the data fork, inside the file.

    Why it matters: the file was cut or edited; readers run past its end.

    What to do: fetch the image again and compare its checksum with the publisher's.

    References: QEMU block/dmg.c, dmg_read_mish_block.

    Cost: the property list is read.
    """
    for entry in tables.outside.first:
        message = f"chunk {entry.number} at byte {entry.value} is not in the data fork ({tables.outside.total} such)"
        yield chunk_outside.at(message, field="blkx", offset=entry.value)


@rule("OTH007", "dmg-chunk-misplaced", "error")
def chunk_misplaced(tables: DmgTables, limits: Limits) -> Iterator[Finding]:
    """Chunks do not tile the disk.

    What it checks: the sectors of each chunk are in the range of its block map and in the disk, and no two chunks
    have the same.

    Why it matters: readers differ in which chunk they take, or write past the disk's end (CVE-2014-0145).

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU block/dmg.c, dmg_read_mish_block.

    Cost: the property list is read.
    """
    for entry in tables.misplaced.first:
        message = f"chunk {entry.number} from sector {entry.value} on is not in its map and disk"
        yield chunk_misplaced.at(f"{message} ({tables.misplaced.total} such)", field="blkx")
    for found in tables.overlapping:
        message = f"chunk {found.label} has {found.length} sectors from {found.start} on that another chunk has"
        yield chunk_misplaced.at(f"{message} ({tables.overlaps} such)", field="blkx")


@rule("OTH008", "dmg-unknown-chunk-type", "error")
def unknown_type(tables: DmgTables, limits: Limits) -> Iterator[Finding]:
    """A chunk has a type that does not exist.

    What it checks: each chunk is raw, zeros, ignored, packed by ADC, zlib, bzip2, LZFSE or LZMA, or a mark.

    Why it matters: no reader can show its sectors.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: newosxbook.com/DMG.html, "block chunk entry".

    Cost: the property list is read.
    """
    for entry in tables.unknown.first:
        message = f"chunk {entry.number} is of type 0x{entry.value:08x} ({tables.unknown.total} such)"
        yield unknown_type.at(message, field="blkx")


@rule("OTH201", "dmg-chunk-over-cap", "error")
def over_cap(tables: DmgTables, limits: Limits) -> Iterator[Finding]:
    """A chunk is larger than any program makes one.

    What it checks: chunks with bytes in the file have at most 64 MiB, packed and unpacked (`limits.dmg_chunk`).

    Why it matters: readers allocate the largest chunk (CVE-2014-0143).

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: QEMU block/dmg.c, DMG_LENGTHS_MAX.

    Cost: the property list is read.
    """
    for entry in tables.oversized.first:
        message = f"chunk {entry.number} has {entry.value} bytes, at most {limits.dmg_chunk} are allowed"
        yield over_cap.at(f"{message} ({tables.oversized.total} such)", field="blkx")


RULES = (map_broken, chunk_outside, chunk_misplaced, unknown_type, over_cap)
