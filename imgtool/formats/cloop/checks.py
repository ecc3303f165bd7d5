"""cloop: the header and the ends of its table. Cost of each: what the reader has seen."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.cloop import layout as lay
from imgtool.formats.cloop.facts import CloopFacts
from imgtool.limits import Limits
from imgtool.units import SECTOR


@rule("OTH041", "cloop-unknown-version", "error")
def unknown_version(facts: CloopFacts, limits: Limits) -> Iterator[Finding]:
    """The version is not one that can be read.

    What it checks: the second line of the header says version 2.0.

    Why it matters: other versions keep their table elsewhere; QEMU reads 2.0 only.

    What to do: unpack it with the program that made it (`extract_compressed_fs`).

    References: QEMU block/cloop.c.
    """
    if facts.block_size is None:
        yield unknown_version.at(f"version is {facts.version}, known is 2.0", field="version", offset=12, length=3)


@rule("OTH042", "cloop-bad-block-size", "error")
def bad_block_size(facts: CloopFacts, limits: Limits) -> Iterator[Finding]:
    """The block size is not whole sectors, or over its cap.

    What it checks: the block size is a multiple of 512, not 0, at most 64 MiB (`limits.cloop_block`).

    Why it matters: readers allocate a block and divide by its size (CVE-2014-0142, CVE-2014-0144).

    What to do: take a fresh copy of the image, or make it again.
    """
    size = facts.block_size
    if size is not None and (not size or size % SECTOR or size > limits.cloop_block):
        message = f"block size is {size}: a multiple of {SECTOR} up to {limits.cloop_block} is allowed"
        yield bad_block_size.at(message, field="block_size", offset=128, length=4)


@rule("OTH043", "cloop-bad-offsets", "error")
def bad_offsets(facts: CloopFacts, limits: Limits) -> Iterator[Finding]:
    """The table of offsets is over its cap, or does not agree with the file.

    What it checks: the table is at most 512 MiB (`limits.cloop_offsets`); the first block begins behind it, the last
    one ends inside the file and not before the first.

    Why it matters: readers allocate the table and seek by it (CVE-2014-0143, CVE-2014-0144).

    What to do: fetch the image again; it was most likely cut short.
    """
    if facts.table_size is None:
        return
    if facts.table_size > limits.cloop_offsets:
        message = f"table of {facts.table_size} bytes is over the cap of {limits.cloop_offsets}"
        yield bad_offsets.at(message, field="num_blocks", offset=132, length=4)
    begin = lay.HEADER.size + facts.table_size
    if facts.data_offset is not None and facts.data_offset < begin:
        message = f"the first block begins at {facts.data_offset}, the table ends at {begin}"
        yield bad_offsets.at(message, field="offset", offset=lay.HEADER.size, length=8)
    if facts.data_end is None or facts.data_offset is None:
        return
    if not facts.data_offset <= facts.data_end <= facts.file_size:
        message = f"blocks from {facts.data_offset} to {facts.data_end}, the file ends at {facts.file_size}"
        yield bad_offsets.at(message, field="offset", offset=begin - 8, length=8)


RULES = (unknown_version, bad_block_size, bad_offsets)
