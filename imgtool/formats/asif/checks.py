"""asif: the header. Cost of each: what the reader has seen."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.asif import layout as lay
from imgtool.formats.asif.facts import AsifFacts
from imgtool.limits import Limits
from imgtool.units import SECTOR, is_power_of_two


@rule("OTH061", "asif-unknown-version", "error")
def unknown_version(facts: AsifFacts, limits: Limits) -> Iterator[Finding]:
    """The version is not one whose fields are known.

    What it checks: the version is 1, the header at least as long as its known fields.

    Why it matters: what is known of the format is version 1 only; the size of the disk would be a guess.

    What to do: convert the image where it was made (`diskutil image`), or take a fresh copy.

    References: huven/asif-format, section "Header".
    """
    if facts.version != 1:
        yield unknown_version.at(f"version is {facts.version}, known is 1", field="version", offset=4, length=4)
    if facts.header_size < lay.HEADER.size:
        message = f"header_size is {facts.header_size}, the known fields take {lay.HEADER.size}"
        yield unknown_version.at(message, field="header_size", offset=8, length=4)


@rule("OTH062", "asif-bad-geometry", "error")
def bad_geometry(facts: AsifFacts, limits: Limits) -> Iterator[Finding]:
    """Sector size, chunk size and disk size do not fit together.

    What it checks: the block size is a power of two of at least 512; the chunk size a power of two, a multiple of it
    and at most 1 GiB (`limits.asif_chunk`); the disk is not larger than it may grow, and at most 1 EiB
    (`limits.asif_size`).

    Why it matters: every place in the image is computed from them.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: huven/asif-format, section "Definitions".
    """
    block, chunk = facts.block_size, facts.chunk_size
    if not is_power_of_two(block) or block < SECTOR:
        message = f"block size is {block}: a power of two from {SECTOR} on is allowed"
        yield bad_geometry.at(message, field="block_size", offset=68, length=2)
    if not is_power_of_two(chunk) or chunk < block or chunk > limits.asif_chunk:
        message = f"chunk size is {chunk}: a power of two from {block} to {limits.asif_chunk} is allowed"
        yield bad_geometry.at(message, field="chunk_size", offset=64, length=4)
    size = facts.sector_count * block
    if size > min(facts.max_size, limits.asif_size):
        message = f"the disk has {size} bytes, at most {min(facts.max_size, limits.asif_size)} are allowed"
        yield bad_geometry.at(message, field="sector_count", offset=48, length=8)


@rule("OTH063", "asif-directory-outside", "error")
def directory_outside(facts: AsifFacts, limits: Limits) -> Iterator[Finding]:
    """A directory does not lie inside the file.

    What it checks: both directories begin behind the known header fields, inside the file.

    Why it matters: the mapping of the whole disk hangs on the newer of the two; the file was most likely cut.

    What to do: fetch the image again and compare its checksum with the publisher's.

    References: huven/asif-format, section "Directory".
    """
    for index, directory in enumerate(facts.directories):
        if directory.offset < lay.HEADER.size or directory.offset + 8 > facts.file_size:
            message = f"directory {index} at {directory.offset}, the file ends at {facts.file_size}"
            yield directory_outside.at(message, field=f"directory_offset_{index}", offset=16 + 8 * index, length=8)


RULES = (unknown_version, bad_geometry, directory_outside)
