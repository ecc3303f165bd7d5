"""iso, 0xx: descriptors, sizes, the system area. Cost of each: what the reader has seen."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, Severity, rule
from imgtool.formats.iso import layout as lay
from imgtool.formats.iso.facts import IsoFacts, volume_end
from imgtool.limits import Limits

#: Where the volume size lies in the primary descriptor.
_SPACE = lay.SYSTEM_AREA + 80


@rule("ISO001", "iso-unknown-data-in-system-area", "warning")
def unknown_system_area(facts: IsoFacts, limits: Limits) -> Iterator[Finding]:
    """The first 32 KiB hold bytes that no known structure explains.

    What it checks: the system area is zero but for an MBR, a GPT, an Apple partition map, or a label or boot
    block of SPARC, MIPS, Alpha or PA-RISC machines; it names the first byte that is none of these.

    Why it matters: no file system reads this area, so it is where another format's header, a boot loader's
    second stage or plain hidden data can stand unseen.

    What to do: look at the bytes; GRUB's and other loaders' code there is fine if you know who put it.

    References: ECMA-119, 6.2.1.
    """
    at = facts.system_area.unknown_at
    if at is not None:
        message = f"the system area holds unknown data from byte {at} on"
        yield unknown_system_area.at(message, field="system area", offset=at, length=lay.SYSTEM_AREA - at)


@rule("ISO002", "iso-system-area-in-use", "note")
def used_system_area(facts: IsoFacts, limits: Limits) -> Iterator[Finding]:
    """The first 32 KiB hold partition tables or boot code.

    What it checks: the system area has an MBR, boot code, a GPT, an Apple partition map, or another machine's label
    or boot block: the image is a hybrid that starts from a disk as well.

    Why it matters: the same file is a disc to one program and a partitioned disk to another.

    What to do: nothing; isohybrid images are made that way.

    References: ECMA-119, 6.2.1; UEFI 2.10, section 5.
    """
    contents = [name for name in facts.system_area.contents if name != "unknown"]
    if contents:
        loader = f", started by {facts.system_area.isohybrid}" if facts.system_area.isohybrid else ""
        message = f"the system area holds {', '.join(contents)}{loader}"
        yield used_system_area.at(message, field="system area", offset=0, length=lay.SYSTEM_AREA)


@rule("ISO003", "iso-byte-orders-disagree", "error")
def byte_orders(facts: IsoFacts, limits: Limits) -> Iterator[Finding]:
    """A number that the descriptor holds in both byte orders differs between them.

    What it checks: volume space size, set size, sequence number, logical block size and path table size of
    the primary descriptor, little-endian against big-endian.

    Why it matters: programs read one or the other, so two of them see two different volumes.

    What to do: take a fresh copy of the image, or make it again.

    References: ECMA-119, 7.2.3 and 7.3.3.
    """
    for entry in facts.disagreements:
        message = f"{entry.field} is {entry.little} little-endian and {entry.big} big-endian"
        yield byte_orders.at(message, field=entry.field, offset=entry.offset, length=entry.length)


@rule("ISO004", "iso-bad-block-size", "error")
def bad_block_size(facts: IsoFacts, limits: Limits) -> Iterator[Finding]:
    """The logical block size is not one that exists.

    What it checks: it is 512, 1,024 or 2,048 bytes.

    Why it matters: every place in the volume is counted in these blocks.

    What to do: take a fresh copy of the image, or make it again.

    References: ECMA-119, 6.2.2.
    """
    size = facts.logical_block_size
    if size is not None and size not in lay.BLOCK_SIZES:
        message = f"logical_block_size is {size}, allowed are 512, 1024 and 2048"
        yield bad_block_size.at(message, field="logical_block_size", offset=lay.SYSTEM_AREA + 128, length=4)


@rule("ISO005", "iso-truncated", "error")
def truncated(facts: IsoFacts, limits: Limits) -> Iterator[Finding]:
    """The volume is larger than the file.

    What it checks: the volume space size of the primary descriptor, and the end of the last UDF partition,
    are not past the end of the file.

    Why it matters: the file was cut, most often by a download or copy that ended early; what is missing
    shows when a guest reads it.

    What to do: fetch the image again and compare its size and checksum with the publisher's.

    References: ECMA-119, 8.4.8; ECMA-167 3/10.5.9.
    """
    if facts.volume_id is not None and (facts.volume_size or 0) > facts.file_size:
        message = f"the volume takes {facts.volume_size} bytes, the file has {facts.file_size}"
        yield truncated.at(message, field="volume_space_size", offset=_SPACE, length=8)
    if facts.udf is not None and (facts.udf.volume_size or 0) > facts.file_size:
        message = f"the UDF partition ends at byte {facts.udf.volume_size}, the file at {facts.file_size}"
        yield truncated.at(message, field="udf")


@rule("ISO006", "iso-data-behind-volume", "warning")
def behind(facts: IsoFacts, limits: Limits) -> Iterator[Finding]:
    """The file is much larger than the volume.

    What it checks: behind the end of the volume come at most 2 MiB (`limits.iso_tail`), which is what
    writers leave as padding. More is a warning; a note where a partition of the system area's tables reaches over it.
    (The deep check tells of less, too, where it is not zeros.)

    Why it matters: what lies there belongs to no file; it can be another image, or hidden data.

    What to do: look at the bytes behind the volume, or cut them off (`truncate -s`) on a copy.

    References: ECMA-119, 8.4.8.
    """
    end = volume_end(facts)
    if end is None:
        return
    tail = facts.file_size - end
    if tail > limits.iso_tail:
        covered = facts.system_area.covered + limits.iso_tail >= facts.file_size
        message = f"the volume ends at byte {end}, {tail} bytes follow"
        if covered:
            message += ", which a partition reaches over"
        severity: Severity = "note" if covered else "warning"
        yield behind.at(message, field="volume_space_size", offset=end, length=tail, severity=severity)


@rule("ISO007", "iso-descriptors-without-end", "error")
def without_end(facts: IsoFacts, limits: Limits) -> Iterator[Finding]:
    """The set of volume descriptors is not closed.

    What it checks: the descriptors from sector 16 on end with a terminator, within 64 of them
    (`limits.iso_descriptors`).

    Why it matters: a reader that looks for the end runs through the whole file; two readers stop at two places.

    What to do: take a fresh copy of the image, or make it again.

    References: ECMA-119, 8.3.
    """
    if facts.ended:
        return
    count = sum(1 for entry in facts.descriptors if entry.identifier == "CD001")
    message = (
        f"more than {limits.iso_descriptors} volume descriptors"
        if facts.capped
        else f"{count} volume descriptors and no terminator"
    )
    yield without_end.at(message, field="volume descriptor set", offset=lay.SYSTEM_AREA)


@rule("ISO008", "iso-root-directory-misplaced", "error")
def root_misplaced(facts: IsoFacts, limits: Limits) -> Iterator[Finding]:
    """The root directory does not lie inside the volume.

    What it checks: where the primary descriptor's root directory record points: behind the system area,
    inside the volume and inside the file, and at least one record long.

    Why it matters: the whole tree of files hangs on it.

    What to do: take a fresh copy of the image, or make it again.

    References: ECMA-119, 8.4.18.
    """
    root = facts.root_directory
    if root is None:
        return
    end = min(facts.file_size, facts.volume_size or facts.file_size)
    if root.offset < lay.SYSTEM_AREA or root.length < 34 or root.offset + root.length > end:
        message = f"root directory of {root.length} bytes at {root.offset}, the volume ends at {end}"
        yield root_misplaced.at(message, field="root_directory_record", offset=lay.SYSTEM_AREA + 156, length=34)


@rule("ISO009", "iso-invalid-date", "note")
def invalid_date(facts: IsoFacts, limits: Limits) -> Iterator[Finding]:
    """A date of the volume is no date.

    What it checks: creation, modification, expiration and effective date are digits that make a date, or
    are left unspecified.

    Why it matters: little; such a date is shown as unknown.

    What to do: nothing.

    References: ECMA-119, 8.4.26.1.
    """
    for date in facts.dates:
        if not date.valid:
            yield invalid_date.at(f"{date.field} is no date", field=date.field, offset=date.offset, length=17)


@rule("ISO010", "iso-unknown-descriptor-version", "warning")
def unknown_version(facts: IsoFacts, limits: Limits) -> Iterator[Finding]:
    """The primary descriptor has a version that no edition of the standard names.

    What it checks: the version of the primary descriptor and its file structure version are 1.

    Why it matters: what a later version would mean is not known; some programs refuse it, others read on.

    What to do: make the image again with a usual tool.

    References: ECMA-119, 8.4.3 and 8.4.30.
    """
    for field, value, at in (
        ("version", facts.descriptor_version, 6),
        ("file_structure_version", facts.file_structure_version, 881),
    ):
        if value not in (None, 1):
            message = f"{field} of the primary descriptor is {value}, known is 1"
            yield unknown_version.at(message, field=field, offset=lay.SYSTEM_AREA + at, length=1)


@rule("ISO011", "iso-trees-disagree", "warning")
def trees_disagree(facts: IsoFacts, limits: Limits) -> Iterator[Finding]:
    """A supplementary descriptor describes a volume of another size than the primary one.

    What it checks: the volume space size of Joliet's and other supplementary descriptors is the primary
    descriptor's. A warning where it is larger; a note where it is smaller, as writers that append
    partitions behind the trees leave it.

    Why it matters: programs choose one of the trees; two of them see two different volumes.

    What to do: make the image again with a usual tool.

    References: ECMA-119, 8.5; Joliet specification, section 4.
    """
    for entry in facts.supplementary:
        if facts.volume_size is not None and entry.volume_size != facts.volume_size:
            message = f"the {entry.kind} volume takes {entry.volume_size} bytes, the primary one {facts.volume_size}"
            severity: Severity = "warning" if entry.volume_size > facts.volume_size else "note"
            yield trees_disagree.at(
                message, field="volume_space_size", offset=entry.offset + 80, length=8, severity=severity
            )


STRUCTURE = (
    unknown_system_area,
    used_system_area,
    byte_orders,
    bad_block_size,
    truncated,
    behind,
    without_end,
    root_misplaced,
    invalid_date,
    unknown_version,
    trees_disagree,
)
