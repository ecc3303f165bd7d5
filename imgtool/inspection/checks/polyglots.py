"""The rules of any image over content that is two things at once. Cost: nothing is read but what detection saw; of a
disk's inside the first sector, and that of each partition."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.detect.registry import Match
from imgtool.findings.core import Finding, rule
from imgtool.inspection.subject import Subject
from imgtool.limits import Limits

#: Pairs that one file is by design; any other pair is a polyglot. (Tables and file systems in bytes that are the
#: guest's as they lie, raw, ISO 9660, a fixed VHD, are what is inside, and the rules of partitions judge them.)
BENIGN_PAIRS: frozenset[frozenset[str]] = frozenset(
    frozenset(pair)
    for pair in (
        # An Apple disk image of raw chunks begins with the disk itself.
        *(("dmg", inside) for inside in ("iso", "apm", "gpt", "mbr", "hfs", "hfsplus", "apfs", "iso9660", "udf")),
        *(("dmg", inside) for inside in ("fat12", "fat16", "fat32", "exfat", "ntfs")),
        # A bzImage ends its first sector as a boot sector does; one with an EFI stub may be laid out as a volume.
        *(("aki", inside) for inside in ("mbr", "gpt", "fat12", "fat16")),
    )
)

#: What may lie at the start of a disk whose own mark stands behind its bytes (a fixed VHD): these bytes are read the
#: same with that mark as without it, and what begins them names no other file. An encrypted or optical disk inside.
AT_HOME = frozenset({"luks", "iso"})


@rule("IMG001", "several-formats", "error")
def several_formats(subject: Subject, limits: Limits) -> Iterator[Finding]:
    """The content is more than one disk format or container at once.

    What it checks: the marks of at least two formats hold, and their pair is not one that goes together
    by design (an ISO image with a partition table is fine; so is a fixed VHD whose guest's disk is LUKS or an ISO
    image, and no other format). A partition table or file system counts where the file
    is no raw disk: it takes up the place that the format's own tables have.

    Why it matters: one program inspects one format, another boots the other: what was checked is not what
    runs (CVE-2024-32498 and its kin).

    What to do: find out what the file is meant to be, and convert it to a fresh image naming the source
    format (`-f`) explicitly.
    """
    names = [reading.entry.name for reading in subject.readings if reading.entry.name != "raw"]
    pairs = [(first, second) for at, first in enumerate(names) for second in names[at + 1 :]]
    if subject.primary.facts.flat is None:
        outer = subject.primary.entry.name
        pairs += [(outer, name) for name in _begun(subject.matches) if name != outer]
    home = _at_home(subject)
    for first, second in pairs:
        if frozenset((first, second)) not in BENIGN_PAIRS | home:
            yield several_formats.at(f"the content is {first} and also {second}")


def _begun(found: tuple[Match, ...]) -> Iterator[str]:
    """Tables and file systems that begin the file. At its end may be the guest's own: a disk's last block."""
    for match in found:
        if match.entry.kind in ("table", "filesystem") and match.signature.offset >= 0:
            yield match.entry.name


def _at_home(subject: Subject) -> frozenset[frozenset[str]]:
    """The pairs that are fine in a disk whose mark stands behind its bytes."""
    name, facts = subject.primary.entry.name, subject.primary.facts
    behind = facts.flat is not None and 0 < facts.flat[0] + facts.flat[1] <= subject.primary.offset
    return frozenset(frozenset((name, inside)) for inside in AT_HOME) if behind else frozenset()


@rule("IMG015", "image-inside-disk", "warning")
def image_inside_disk(subject: Subject, limits: Limits) -> Iterator[Finding]:
    """What the guest sees begins like a disk image.

    What it checks: neither the guest's disk nor a partition of it begins with the mark of a disk format.

    Why it matters: written out raw, or handed on as a volume, the bytes are taken for that format by whatever
    looks at them, and what the mark's header names is opened on the host (CVE-2008-2004, CVE-2024-32498).

    What to do: if one image was wrapped into another by mistake, convert the inner one, naming its format (`-f`).
    Never let a program guess the format of this disk once it is raw.
    """
    for name, offset in subject.inside:
        where = f"at {offset} of the disk, where a partition begins," if offset else "the disk's first bytes"
        yield image_inside_disk.at(f"{where} {'there is' if offset else 'are'} the mark of {name}", field="guest")


RULES = (several_formats, image_inside_disk)
