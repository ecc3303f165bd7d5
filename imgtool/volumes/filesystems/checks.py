"""File systems: what their superblocks say against where they lie."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, Severity, rule
from imgtool.limits import Limits
from imgtool.volumes.filesystems.facts import FileSystemFacts


def _severity(facts: FileSystemFacts, usual: Severity) -> Severity:
    return "note" if facts.outer == "iso" else usual


@rule("PRT060", "filesystem-larger-than-its-place", "warning")
def larger_than_its_place(facts: FileSystemFacts, limits: Limits) -> Iterator[Finding]:
    """A file system is larger than the partition or file it lies in.

    What it checks: the size by its superblock is not over the partition's, or the file's where there is no
    partition. A note inside an ISO image.

    Why it matters: the image was cut, or the partition shrunk without its file system; kernels refuse to
    mount it, and what lay at its end is gone.

    What to do: compare size and checksum with the publisher's; if the image is whole, enlarge the
    partition or shrink the file system.
    """
    if facts.size is not None and facts.size > facts.file_size:
        yield larger_than_its_place.at(
            f"{facts.format} at {facts.offset}: {facts.size} bytes by its superblock, there are {facts.file_size}",
            field=facts.format,
            offset=facts.offset,
            severity=_severity(facts, "warning"),
        )


@rule("PRT061", "several-filesystems", "warning")
def several_filesystems(facts: FileSystemFacts, limits: Limits) -> Iterator[Finding]:
    """The marks of several file systems hold at one place.

    What it checks: only one file system begins where a partition (or the file) does. A note inside an ISO
    image, where several are made to share their files.

    Why it matters: programs differ in which one they mount: what was checked is not what is used. Most often
    an old superblock was left behind by formatting.

    What to do: `wipefs FILE` lists the marks; erase the old one with `wipefs -o OFFSET FILE`.
    """
    if facts.others:
        names = ", ".join(facts.others)
        yield several_filesystems.at(
            f"{facts.format} at {facts.offset}, and there also {names}",
            field=facts.format,
            offset=facts.offset,
            severity=_severity(facts, "warning"),
        )


@rule("PRT062", "filesystem-beside-table", "warning")
def beside_table(facts: FileSystemFacts, limits: Limits) -> Iterator[Finding]:
    """A file system begins at the start of a disk that has a partition table.

    What it checks: where a partition table is, no file system takes the whole disk. A note inside an ISO
    image.

    Why it matters: programs differ in what they take the disk for. Most often the disk was partitioned
    after it had been formatted as a whole (or the reverse), and the other mark was left behind.

    What to do: `wipefs FILE` lists the marks; erase the one that is not meant.
    """
    if facts.beside_table:
        yield beside_table.at(
            f"{facts.format} takes the whole disk, which also has a partition table",
            field=facts.format,
            offset=facts.offset,
            severity=_severity(facts, "warning"),
        )


@rule("PRT360", "filesystem-checksum", "error")
def checksum(facts: FileSystemFacts, limits: Limits) -> Iterator[Finding]:
    """The checksum of a superblock does not hold.

    What it checks: the superblocks of ext4 (metadata_csum), xfs 5, btrfs (crc32c), erofs and nilfs2, and the
    label of an LVM2 volume have the checksum that they carry.

    Why it matters: the superblock was damaged or changed by hand; kernels refuse to mount it.

    What to do: take a fresh copy of the image; `fsck` can restore the superblock from a copy.
    """
    if facts.checksum_holds is False:
        yield checksum.at(
            f"{facts.format} at {facts.offset}: the checksum of its superblock does not hold",
            field=facts.format,
            offset=facts.offset,
        )


RULES = (larger_than_its_place, several_filesystems, beside_table, checksum)
