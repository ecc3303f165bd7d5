"""dmg: the trailer. Cost of each: the trailer alone."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.dmg import layout as lay
from imgtool.formats.dmg.facts import DmgFacts
from imgtool.limits import Limits
from imgtool.units import SECTOR


@rule("OTH001", "dmg-bad-trailer", "error")
def bad_trailer(facts: DmgFacts, limits: Limits) -> Iterator[Finding]:
    """The trailer has a version or size that does not exist.

    What it checks: the version is 4, the header size 512 bytes.

    Why it matters: no reader can know what the rest of the trailer means.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: newosxbook.com/DMG.html, "koly block".
    """
    for field, value, known, at in (("version", facts.version, 4, 4), ("header_size", facts.header_size, 512, 8)):
        if value is not None and facts.trailer_offset is not None and value != known:
            message = f"{field} of the trailer is {value}, known is {known}"
            yield bad_trailer.at(message, field=field, offset=facts.trailer_offset + at, length=4)


@rule("OTH002", "dmg-part-outside", "error")
def part_outside(facts: DmgFacts, limits: Limits) -> Iterator[Finding]:
    """A part of the image does not lie in front of the trailer.

    What it checks: data fork, resource fork and property list, where they have a length, end before the trailer.

    Why it matters: the file was cut or edited; readers run past its end.

    What to do: fetch the image again and compare its checksum with the publisher's.

    References: newosxbook.com/DMG.html, "koly block".
    """
    for name, part, at in (
        ("data fork", facts.data_fork, 24),
        ("resource fork", facts.resource_fork, 40),
        ("property list", facts.plist, 216),
    ):
        if part is None or not part.length or facts.trailer_offset is None:
            continue
        if part.offset + part.length > facts.trailer_offset:
            message = f"{name} of {part.length} bytes at {part.offset}, the trailer begins at {facts.trailer_offset}"
            yield part_outside.at(message, field=name, offset=facts.trailer_offset + at, length=16)


@rule("OTH003", "dmg-without-block-map", "error")
def without_map(facts: DmgFacts, limits: Limits) -> Iterator[Finding]:
    """Nothing says where the blocks of the disk lie.

    What it checks: there is a property list or a resource fork, the former of at most 16 MiB (`limits.dmg_plist`).

    Why it matters: the map of the blocks is in one of them; without it nothing can be read.

    What to do: take a fresh copy of the image, or convert it again from its source.

    References: newosxbook.com/DMG.html; QEMU block/dmg.c.
    """
    if facts.plist is None or facts.resource_fork is None or facts.trailer_offset is None:
        return
    if not facts.plist.length and not facts.resource_fork.length:
        message = "neither a property list nor a resource fork"
        yield without_map.at(message, field="xml_length", offset=facts.trailer_offset + 224, length=8)
    if facts.plist.length > limits.dmg_plist:
        message = f"property list of {facts.plist.length} bytes is over the cap of {limits.dmg_plist}"
        yield without_map.at(message, field="xml_length", offset=facts.trailer_offset + 224, length=8)


@rule("OTH004", "dmg-disk-too-large", "error")
def too_large(facts: DmgFacts, limits: Limits) -> Iterator[Finding]:
    """The disk is larger than any can be.

    What it checks: the sector count gives at most 1 EiB (`limits.dmg_size`).

    Why it matters: such a size overflows in programs that compute with it.

    What to do: take a fresh copy of the image, or convert it again from its source.
    """
    size = (facts.sector_count or 0) * SECTOR
    if size > limits.dmg_size and facts.trailer_offset is not None:
        message = f"sector_count gives {size} bytes, at most {limits.dmg_size} are allowed"
        yield too_large.at(message, field="sector_count", offset=facts.trailer_offset + 492, length=8)


@rule("OTH101", "dmg-other-segments", "error")
def other_segments(facts: DmgFacts, limits: Limits) -> Iterator[Finding]:
    """The image is one segment of several.

    What it checks: the segment count of the trailer is 0 or 1.

    Why it matters: the rest of the disk lies in other files (.dmgpart) beside this one.

    What to do: join the segments where they are: `hdiutil convert`.

    References: newosxbook.com/DMG.html, "koly block".
    """
    if facts.segment_count is not None and facts.segment_count > 1 and facts.trailer_offset is not None:
        message = f"segment {facts.segment_number} of {facts.segment_count}"
        yield other_segments.at(message, field="segment_count", offset=facts.trailer_offset + 56, length=8)


@rule("OTH401", "dmg-encrypted", "warning")
def encrypted(facts: DmgFacts, limits: Limits) -> Iterator[Finding]:
    """The image is encrypted; what is inside cannot be inspected.

    What it checks: the image begins with the header of an encrypted image, or ends with its older mark.

    Why it matters: nothing said here is about the disk inside, not even its size.

    What to do: decrypt it where its passphrase is: `hdiutil convert`.

    References: nlitsme/encrypteddmg.
    """
    if facts.encrypted:
        at = 0 if facts.encryption is not None else facts.file_size - len(lay.ENCRYPTED_V1)
        yield encrypted.at("the disk is encrypted", field="signature", offset=at, length=8)


RULES = (bad_trailer, part_outside, without_map, too_large, other_segments, encrypted)
