"""Truncations at every structure boundary of every fixture: rejected or warned of, but for those that are listed."""

from __future__ import annotations

import io
import random
from fnmatch import fnmatch
from functools import cache
from typing import NamedTuple

import pytest

import imgtool
from tests.kit import check_of, fixture, images, no_bug, report_of

#: Cuts of one fixture in the default run.
SHARE = 4


class Unseen(NamedTuple):
    """Cuts of fixtures (a shell pattern) that nothing tells of: from `low` up to `high` bytes, counted from the end
    where negative; and why."""

    pattern: str
    low: int
    high: int
    why: str


END = 1 << 62
ANYWHERE = (0, END)

UNSEEN = [
    Unseen("vhd/fixed*", *ANYWHERE, "without its footer a fixed disk is raw bytes"),
    Unseen("vhd/*", -1, END, "of 511 bytes, as old programs wrote it, a footer is whole"),
    Unseen("vhdx/*", 3 * 1024**2 + 65_536, END, "padding of the regions for tables, and blocks without content"),
    Unseen("qcow/*", 56, END, "padding behind the table"),
    Unseen("qcow2/data-file.qcow2", -65_535, END, "inside the last cluster"),
    Unseen("parallels/plain.hds.gz", 68, END, "padding behind the table"),
    Unseen("asif/*", 1, END, "its tables are not walked"),
    Unseen("dmg/*", 1, END, "the trailer is all that tells; an encrypted one has nothing to compare with"),
    Unseen("iso/*", 0, 32769, "zeros, or boot code, up to the first descriptor"),
    Unseen("iso/udf-????.udf.gz", -8192, END, "the last of three anchors, of which two must be there"),
    Unseen("luks/*", -(1 << 20), END, "how long the payload is stands nowhere"),
    Unseen("luks/luks1-header*", *ANYWHERE, "key slots that are not in use"),
    Unseen("luks/luks2-*", 32768, END, "key slots that are not in use"),
    Unseen("vmdk/*descriptor.vmdk", *ANYWHERE, "text has no end mark"),
    Unseen("ovf/*", -2, END, "the line's end behind the last element"),
    Unseen("o*/*", -10_240, END, "blocks of zeros behind the last member"),
    Unseen("docker/*", -10_240, END, "blocks of zeros behind the last member"),
    Unseen("[od]*/*", 0, 1537, "the first headers of a tar name no member that tells of what kind it is"),
    Unseen("volumes/*", 0, 2173, "raw bytes before the superblock, or with the half of one"),
    Unseen("volumes/head-of-btrfs*", 0, 65537, "raw bytes before the superblock"),
    Unseen("volumes/gpt-grown*", -1_048_576, END, "room behind the table's end, of which the whole has the warning"),
    Unseen("volumes/squashfs*", *ANYWHERE, "padding up to 4 KiB"),
    Unseen("volumes/erofs*", 0, 1025, "raw bytes before the superblock"),
    Unseen("volumes/swap*", 0, 65527, "the mark is at the end of the first page"),
    Unseen("compressed/two-streams.xz", -4, END, "padding between streams"),
    Unseen("compressed/*", 0, 18, "less than a header"),
    Unseen("compressed/self-extracting.zip", *ANYWHERE, "its end tells of the archive"),
    Unseen("compressed/polyglot*", 1792, END, "inside the last cluster of the qcow2"),
    Unseen("aki/*.img", *ANYWHERE, "the size of an Image counts memory that the file lacks; sizes count paragraphs"),
    Unseen("aki/*.elf", 0, 86, "an ELF that names no part of it"),
    Unseen("aki/program.elf", *ANYWHERE, "no kernel"),
    Unseen("ari/*.cpio", -511, END, "zeros behind the trailer"),
    Unseen("ari/binary.cpio", 0, 31, "a mark of two bytes alone"),
    Unseen("ari/microcode*", -1100, END, "the first archive of a chain is one by itself; zeros behind a trailer"),
    Unseen("ari/packed.lzma", 0, 18, "less than a header"),
]

NAMES = [name for name in images() if "hostile" not in name]


def cuts(name: str) -> list[int]:
    """Where structures begin and end, and shortly before the end."""
    data = fixture(name)
    edges = {len(data) - 1, len(data) - 512}
    for structure in report_of(data, structures=True).structures:
        edges |= {structure.offset, structure.offset + structure.length}
    return sorted(edge for edge in edges if 0 < edge < len(data))


@cache
def used(name: str) -> int:
    """Where the last thing in use ends: what a file may be cut behind, or inside the unit that ends there."""
    data = fixture(name)
    totals = check_of(data).totals
    end = totals.image_end_offset if totals is not None else None
    return len(data) if end is None else min(end, len(data))


def is_unseen(name: str, cut: int) -> bool:
    """True where a cut is listed."""
    size = len(fixture(name))
    for one in UNSEEN:
        low = size + one.low if one.low < 0 else one.low
        if fnmatch(name, one.pattern) and low <= cut < one.high:
            return True
    return False


def judge(name: str, cut: int) -> None:
    """Fail where a cut is accepted without a word, though it is not listed."""
    whole = imgtool.validate(io.BytesIO(fixture(name)), policy="permissive", deep=True)
    told = imgtool.validate(io.BytesIO(fixture(name)[:cut]), policy="permissive", deep=True)
    no_bug(told.report)
    known = {(finding.code, finding.message) for finding in whole.findings}
    fresh = {(finding.code, finding.message) for finding in told.findings if finding.severity != "note"} - known
    if told.accepted and not fresh and cut < used(name):
        assert is_unseen(name, cut), (cut, told.report.format, told.findings)


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_of_cuts(name: str) -> None:
    """A seeded few of the boundaries."""
    every = cuts(name)
    for cut in random.Random(name).sample(every, min(SHARE, len(every))):
        judge(name, cut)


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_every_cut(name: str) -> None:
    """All boundaries."""
    for cut in cuts(name):
        judge(name, cut)


def test_the_list_is_not_idle() -> None:
    """Every line of the list is of fixtures that are there."""
    assert all(any(fnmatch(name, one.pattern) for name in NAMES) for one in UNSEEN)
