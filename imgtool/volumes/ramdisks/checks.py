"""AMI, ramdisks: the rules over what the walk has seen. Nothing more is read."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.limits import Limits
from imgtool.volumes.ramdisks.facts import RamdiskFacts
from imgtool.volumes.uimage.layout import UIMAGE


@rule("AMI071", "ramdisk-truncated", "error")
def truncated(facts: RamdiskFacts, limits: Limits) -> Iterator[Finding]:
    """The ramdisk of a uImage is longer than the file.

    What it checks: the size in the uImage's header ends inside the file.

    Why it matters: the file was cut, most often by a download or copy that ended early.

    What to do: fetch it again and compare its checksum with the publisher's.
    """
    if facts.uimage is not None and UIMAGE.size + facts.uimage.size > facts.file_size:
        end = UIMAGE.size + facts.uimage.size
        message = f"the ramdisk ends at {end}, the file at {facts.file_size}"
        yield truncated.at(message, field="size", offset=12, length=4)


@rule("AMI072", "ramdisk-unknown-data", "warning")
def unknown_data(facts: RamdiskFacts, limits: Limits) -> Iterator[Finding]:
    """After a cpio archive come bytes that Linux cannot unpack.

    What it checks: what follows an archive is padding of zeros, another archive, or one compressed by gzip,
    xz, zstd, lz4, lzma or bzip2.

    Why it matters: Linux stops there ("invalid magic at start of compressed archive"): the main part of the
    ramdisk is missing, or something else is appended.

    What to do: look at what is there; build the ramdisk again.

    References: Linux Documentation/driver-api/early-userspace/buffer-format.
    """
    if facts.rest is not None:
        message = f"the bytes from {facts.rest} on are neither cpio nor compressed"
        yield unknown_data.at(message, offset=facts.rest, length=facts.file_size - facts.rest)


@rule("AMI073", "ramdisk-part-not-cpio", "warning")
def part_not_cpio(facts: RamdiskFacts, limits: Limits) -> Iterator[Finding]:
    """The compressed part of a ramdisk does not begin with a cpio archive.

    What it checks: the first bytes that a compressed part decodes to are a cpio header.

    Why it matters: Linux unpacks only cpio; the part is damaged, or is something else.

    What to do: decompress that part and look at it; build the ramdisk again.
    """
    for part in facts.segments:
        if part.holds != "cpio":
            yield part_not_cpio.at(f"the {part.kind} part at {part.offset} holds no cpio", offset=part.offset)


@rule("AMI171", "ramdisk-name-leaves-root", "warning")
def name_leaves_root(facts: RamdiskFacts, limits: Limits) -> Iterator[Finding]:
    """A name in the ramdisk has `..` in it.

    What it checks: the names of the entries that were walked (`limits.ramdisk_entries` at most).

    Why it matters: at boot it does no harm, but whoever unpacks the ramdisk by hand writes outside of the
    folder (CVE-2015-1197 and its kin). No tool writes such names.

    What to do: do not unpack it with programs that follow such names; build the ramdisk again.
    """
    for name in facts.unsafe:
        yield name_leaves_root.at(f"name {name!r}")


@rule("AMI371", "ramdisk-uimage-header-checksum", "error")
def header_checksum(facts: RamdiskFacts, limits: Limits) -> Iterator[Finding]:
    """The checksum of a uImage's header does not match.

    What it checks: the CRC-32 over the 64 bytes of the header, with the checksum itself taken as 0.

    Why it matters: U-Boot refuses such an image; the file was damaged or changed by hand.

    What to do: take a fresh copy, or make it again (`mkimage`).

    References: U-Boot include/image.h.
    """
    told = facts.uimage
    if told is not None and told.header_crc != told.header_crc_actual:
        message = f"the header's CRC-32 is {told.header_crc:08x}, computed is {told.header_crc_actual:08x}"
        yield header_checksum.at(message, field="hcrc", offset=4, length=4)


RULES = (truncated, unknown_data, part_not_cpio, name_leaves_root, header_checksum)
