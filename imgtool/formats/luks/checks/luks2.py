"""LUKS2, 0xx and 3xx: its headers, their checksums and what the JSON area says. Cost: the header alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from imgtool.findings.core import Finding, rule
from imgtool.formats.luks import layout as lay
from imgtool.formats.luks.facts import Luks2Facts, LuksFacts
from imgtool.limits import Limits

#: Requirements that programs of this field know (LUKS2 On-Disk Format Specification, "Config Object").
REQUIREMENTS = (
    "offline-reencrypt",
    "online-reencrypt",
    "online-reencrypt-v2",
    "online-reencrypt-v3",
    "online-reencrypt-v4",
    "opal",
    "inline-hw-tags",
)


@rule("LUK020", "luks2-bad-header-size", "error")
def header_size(facts: LuksFacts, limits: Limits) -> Iterator[Finding]:
    """The size of a header is not one that may be.

    What it checks: hdr_size of both headers is 16 KiB, 32 KiB … 4 MiB, and the second one lies there.

    Why it matters: it is also where the second header lies: with a wrong one it cannot be found.

    What to do: `cryptsetup repair` on a copy, or restore the header from a backup.

    References: LUKS2 On-Disk Format Specification, section "Binary Header".
    """
    if not isinstance(facts, Luks2Facts):
        return
    for header in (facts.primary, facts.secondary):
        if header is None:
            continue
        misplaced = header.offset not in (0, header.size)
        if header.size not in lay.HEADER_SIZES or misplaced:
            message = f"the header at {header.offset} says it has {header.size} bytes"
            yield header_size.at(message, field="hdr_size", offset=header.offset + 8, length=8)


@rule("LUK021", "luks2-json-size-differs", "error")
def json_size(facts: LuksFacts, limits: Limits) -> Iterator[Finding]:
    """The size of the JSON area is given twice, and the two differ.

    What it checks: json_size of the config is hdr_size less the 4,096 bytes of the binary header.

    Why it matters: cryptsetup refuses such a header.

    What to do: restore the header from a backup.

    References: LUKS2 On-Disk Format Specification, section "Config Object".
    """
    if not isinstance(facts, Luks2Facts) or facts.metadata is None:
        return
    room = facts.header_size - lay.BINARY_SIZE
    if facts.metadata.json_size != room:
        message = f"the config says {facts.metadata.json_size} bytes of JSON, the header has room for {room}"
        yield json_size.at(message, field="config.json_size")


@rule("LUK022", "luks2-key-slot-area-misplaced", "error")
def slot_area(facts: LuksFacts, limits: Limits) -> Iterator[Finding]:
    """The area of a key slot lies outside the key slots area, or in another slot's.

    What it checks: every area has an offset and a size, lies between the two headers' end and the end of
    the key slots area, and no two overlap.

    Why it matters: setting or wiping a passphrase would destroy another one, a header or data.

    What to do: restore the header from a backup.

    References: LUKS2 On-Disk Format Specification, sections "Keyslots Object" and "Keyslots Area".
    """
    if not isinstance(facts, Luks2Facts):
        return
    start = 2 * facts.header_size
    end = start + (facts.keyslots_size or 0)
    last_id, last_end = "", 0
    for slot in sorted(facts.key_slots, key=lambda one: one.area_offset or 0):
        if slot.area_offset is None or slot.area_size is None:
            yield slot_area.at(f"key slot {slot.id} has no area", field=f"keyslots.{slot.id}.area")
            continue
        at, over = slot.area_offset, slot.area_offset + slot.area_size
        fault = None
        if at < start or over > end:
            fault = f"is not inside the key slots area at {start}..{end}"
        elif at < last_end:
            fault = f"overlaps that of key slot {last_id}, which ends at {last_end}"
        if fault:
            message = f"the area of key slot {slot.id} at {at}..{over} {fault}"
            yield slot_area.at(message, field=f"keyslots.{slot.id}.area", offset=at, length=over - at)
        last_id, last_end = slot.id, max(last_end, over)


@rule("LUK023", "luks2-bad-segment", "error")
def bad_segment(facts: LuksFacts, limits: Limits) -> Iterator[Finding]:
    """A segment does not say where the payload lies and how it is encrypted.

    What it checks: there is at least one; each has an offset that is a multiple of 512, a size (or "dynamic",
    the last one only), and, where its type is crypt, a cipher and a sector size of 512, 1024, 2048 or 4096.

    Why it matters: without it the payload cannot be found; wrong sectors decrypt to noise.

    What to do: restore the header from a backup.

    References: LUKS2 On-Disk Format Specification, section "Segments Object".
    """
    if not isinstance(facts, Luks2Facts) or facts.metadata is None:
        return
    if not facts.segments:
        yield bad_segment.at("there is no segment", field="segments")
    for segment in facts.segments:
        faults = []
        if segment.offset is None or segment.offset % 512:
            faults.append(f"offset {segment.offset}")
        if segment.size is None and not segment.dynamic:
            faults.append("no size")
        if segment.type == "crypt" and not segment.encryption:
            faults.append("no cipher")
        if segment.type == "crypt" and segment.sector_size not in (512, 1024, 2048, 4096):
            faults.append(f"sector size {segment.sector_size}")
        if faults:
            yield bad_segment.at(f"segment {segment.id}: {', '.join(faults)}", field=f"segments.{segment.id}")


@rule("LUK024", "luks2-unknown-requirement", "error")
def unknown_requirement(facts: LuksFacts, limits: Limits) -> Iterator[Finding]:
    """The header requires something that no specification names.

    What it checks: the mandatory requirements of the config are known ones.

    Why it matters: a program that does not know a requirement must not open the payload.

    What to do: use the program that made it.

    References: LUKS2 On-Disk Format Specification, section "Config Object", requirements.
    """
    if not isinstance(facts, Luks2Facts):
        return
    unknown = [name for name in facts.requirements if name not in REQUIREMENTS]
    if unknown:
        message = f"unknown requirements: {', '.join(map(repr, unknown))}"
        yield unknown_requirement.at(message, field="config.requirements")


@rule("LUK025", "luks2-reencryption-in-progress", "warning")
def reencryption(facts: LuksFacts, limits: Limits) -> Iterator[Finding]:
    """The payload is being encrypted anew, or that was broken off.

    What it checks: no requirement of (online or offline) re-encryption is set.

    Why it matters: parts of the payload have one key, parts another, and some may not be encrypted yet.

    What to do: let `cryptsetup reencrypt --resume-only` finish it.

    References: LUKS2 On-Disk Format Specification, section "Config Object", requirements.
    """
    if not isinstance(facts, Luks2Facts):
        return
    running = [name for name in facts.requirements if "reencrypt" in name and name in REQUIREMENTS]
    if running:
        message = f"re-encryption is in progress ({', '.join(running)})"
        yield reencryption.at(message, field="config.requirements")


@rule("LUK026", "luks2-segments-overlap", "error")
def segments_overlap(facts: LuksFacts, limits: Limits) -> Iterator[Finding]:
    """Two segments of the payload lie in one place.

    What it checks: the segments in use (not the copies that re-encryption keeps) are apart; one that reaches to the
    end of the device is the last.

    Why it matters: what is written to the one destroys the other.

    What to do: restore the header from a backup.

    References: LUKS2 On-Disk Format Specification, section "Segments Object".
    """
    if not isinstance(facts, Luks2Facts):
        return
    used = [one for one in facts.segments if not any(flag.startswith("backup-") for flag in one.flags)]
    placed = sorted((one for one in used if one.offset is not None), key=lambda one: one.offset or 0)
    for one, after in pairwise(placed):
        end = None if one.dynamic else (one.offset or 0) + (one.size or 0)
        if end is None or end > (after.offset or 0):
            told = "the end of the device" if end is None else str(end)
            message = f"segment {one.id} from {one.offset} to {told} overlaps segment {after.id} at {after.offset}"
            yield segments_overlap.at(message, field=f"segments.{after.id}.offset", offset=after.offset)


@rule("LUK027", "luks2-dangling-name", "error")
def dangling(facts: LuksFacts, limits: Limits) -> Iterator[Finding]:
    """The metadata names a key slot or a segment that is not there.

    What it checks: the key slots and segments that digests and tokens name are in the metadata.

    Why it matters: cryptsetup refuses the whole header; no key opens the payload.

    What to do: restore the header from a backup.

    References: LUKS2 On-Disk Format Specification, sections "Digests Object" and "Tokens Object".
    """
    if not isinstance(facts, Luks2Facts):
        return
    slots, segments = {slot.id for slot in facts.key_slots}, {segment.id for segment in facts.segments}
    if max(len(slots), len(segments)) >= limits.luks_objects:
        return
    named = [("digest", one.id, "key slot", name, slots) for one in facts.digests for name in one.key_slots]
    named += [("digest", one.id, "segment", name, segments) for one in facts.digests for name in one.segments]
    named += [("token", one.id, "key slot", name, slots) for one in facts.tokens for name in one.key_slots]
    for what, number, kind, name, known in named:
        if name not in known:
            message = f"{what} {number} names {kind} {name!r}, which is not there"
            yield dangling.at(message, field=f"{what}s.{number}")


@rule("LUK028", "luks2-bad-key-slots-size", "error")
def key_slots_size(facts: LuksFacts, limits: Limits) -> Iterator[Finding]:
    """The size of the key slots area is not one it can have.

    What it checks: keyslots_size is there, a multiple of 4,096, at most 128 MiB.

    Why it matters: cryptsetup refuses the whole header; the payload would begin inside the area.

    What to do: restore the header from a backup.

    References: LUKS2 On-Disk Format Specification, section "Config Object".
    """
    if not isinstance(facts, Luks2Facts) or facts.metadata is None:
        return
    size = facts.keyslots_size
    if size is None or size % 4096 or size > limits.luks_key_slots:
        message = f"keyslots_size is {size}: a multiple of 4096 up to {limits.luks_key_slots} is allowed"
        yield key_slots_size.at(message, field="config.keyslots_size")


@rule("LUK301", "luks2-no-valid-header", "error")
def no_valid_header(facts: LuksFacts, limits: Limits) -> Iterator[Finding]:
    """Neither of the two headers is valid.

    What it checks: of at least one the checksum holds, and it lies where it says it does.

    Why it matters: cryptsetup opens the payload by none of them; what this report says of it is a guess.

    What to do: restore the header from a backup (`cryptsetup luksHeaderRestore`).

    References: LUKS2 On-Disk Format Specification, section "Metadata Recovery".
    """
    if not isinstance(facts, Luks2Facts):
        return
    found = [header for header in (facts.primary_header, facts.secondary_header) if header is not None]
    if any(header.valid for header in found):
        return
    for header in found:
        state = {None: "cannot be computed", False: "differs", True: "holds"}[header.checksum_holds]
        message = (
            f"the header at {header.offset} is not valid: its {header.checksum_algorithm!r} checksum {state}, "
            f"it says it lies at {header.hdr_offset}"
        )
        yield no_valid_header.at(message, field="csum", offset=header.offset + lay.CHECKSUM_OFFSET, length=64)


@rule("LUK302", "luks2-one-header-invalid", "warning")
def one_header_invalid(facts: LuksFacts, limits: Limits) -> Iterator[Finding]:
    """Only one of the two headers is valid.

    What it checks: both headers are there, their checksums hold, and they lie where they say.

    Why it matters: an update was interrupted, or a header was damaged; when the other one goes too, no key
    can ever open the payload.

    What to do: `cryptsetup repair`, then `cryptsetup luksHeaderBackup`.

    References: LUKS2 On-Disk Format Specification, section "Metadata Recovery".
    """
    if not isinstance(facts, Luks2Facts):
        return
    first = facts.primary is not None and facts.primary.valid
    second = facts.secondary is not None and facts.secondary.valid
    if first != second:
        which = "second" if first else "first"
        bad = facts.secondary if first else facts.primary
        state = "missing or damaged beyond its mark" if bad is None else f"not valid (at {bad.offset})"
        yield one_header_invalid.at(f"the {which} header is {state}", offset=bad.offset if bad else None)


@rule("LUK303", "luks2-headers-disagree", "error")
def headers_disagree(facts: LuksFacts, limits: Limits) -> Iterator[Finding]:
    """Two valid headers of one sequence id say different things.

    What it checks: where both headers are valid and have the same sequence id, size, UUID, label and JSON
    are the same too.

    Why it matters: which keys open the payload depends on the header that a program happens to read.

    What to do: restore the header from a backup.

    References: LUKS2 On-Disk Format Specification, section "Metadata Recovery".
    """
    if not isinstance(facts, Luks2Facts):
        return
    one, two = facts.primary_header, facts.secondary_header
    if one is None or two is None or not (one.valid and two.valid and one.sequence_id == two.sequence_id):
        return
    if (one.hdr_size, one.uuid, one.label, one.json) != (two.hdr_size, two.uuid, two.label, two.json):
        message = f"the headers at {one.offset} and {two.offset} differ, both have sequence id {one.sequence_id}"
        yield headers_disagree.at(message, offset=two.offset, length=two.hdr_size)


LUKS2 = (
    header_size,
    json_size,
    slot_area,
    bad_segment,
    unknown_requirement,
    reencryption,
    segments_overlap,
    dangling,
    key_slots_size,
    no_valid_header,
    one_header_invalid,
    headers_disagree,
)
