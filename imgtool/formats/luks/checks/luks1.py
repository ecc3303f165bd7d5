"""LUKS, 0xx: what every version has, and the structure of LUKS1. Cost of each: the header alone."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, rule
from imgtool.formats.luks import layout as lay
from imgtool.formats.luks.facts import KeySlot1, Luks1Facts, Luks2Facts, LuksFacts
from imgtool.limits import Limits
from imgtool.units import SECTOR, ceil_div


@rule("LUK001", "luks-bad-version", "error")
def bad_version(facts: LuksFacts, limits: Limits) -> Iterator[Finding]:
    """The version is not one that exists.

    What it checks: the version field is 1 or 2.

    Why it matters: no reader can know what the rest of the header means.

    What to do: restore the header from a backup (`cryptsetup luksHeaderRestore`).
    """
    if facts.version not in (1, 2):
        yield bad_version.at(f"version is {facts.version}, known are 1 and 2", field="version", offset=6, length=2)


@rule("LUK002", "luks-payload-missing", "warning")
def payload_missing(facts: LuksFacts, limits: Limits) -> Iterator[Finding]:
    """The payload is not in the file, or not all of it.

    What it checks: the file does not end before the payload begins, nor before a segment of fixed size ends.
    A header whose payload is elsewhere by design (offset 0, or a file that ends where it begins) is fine.

    Why it matters: it is either a backup of a header, or an image whose download or copy ended early.

    What to do: compare the size of the file with the publisher's.
    """
    if facts.detached or facts.payload_offset is None:
        return
    if facts.file_size < facts.payload_offset:
        message = f"the payload begins at {facts.payload_offset}, the file ends at {facts.file_size}"
        yield payload_missing.at(message, offset=facts.payload_offset)
        return
    if isinstance(facts, Luks2Facts) and not facts.header_only:
        for segment in facts.segments:
            end = (segment.offset or 0) + (segment.size or 0)
            if not segment.dynamic and end > facts.file_size:
                message = f"segment {segment.id} ends at {end}, the file at {facts.file_size}"
                yield payload_missing.at(message, offset=segment.offset)


@rule("LUK003", "luks1-unknown-key-slot-state", "error")
def slot_state(facts: LuksFacts, limits: Limits) -> Iterator[Finding]:
    """A key slot is neither enabled nor disabled.

    What it checks: the state of each key slot is 0x00AC71F3 (enabled) or 0x0000DEAD (disabled).

    Why it matters: programs disagree whether a passphrase in it opens the payload.

    What to do: restore the header from a backup.

    References: LUKS1 On-Disk Format Specification, section "PHDR".
    """
    for slot in facts.key_slots if isinstance(facts, Luks1Facts) else ():
        if slot.state.startswith("unknown-"):
            message = f"the state of key slot {slot.id} is {slot.state.removeprefix('unknown-')}"
            yield slot_state.at(message, field="active", offset=_slot_at(slot.id), length=4)


def _slot_at(index: int) -> int:
    return lay.PHDR.size + index * lay.SLOT.size


@rule("LUK004", "luks1-key-material-misplaced", "error")
def key_material(facts: LuksFacts, limits: Limits) -> Iterator[Finding]:
    """The key material of a slot lies in the header, in the payload, or in another slot's.

    What it checks: the areas of all slots (key size × stripes, in whole sectors) begin after the header,
    end before the payload (where that is in the file), and do not overlap.

    Why it matters: setting or wiping a passphrase would destroy another one, the header or data.

    What to do: restore the header from a backup; wiped key material cannot be had back.

    References: LUKS1 On-Disk Format Specification, section "Partition layout".
    """
    if not isinstance(facts, Luks1Facts):
        return
    first = ceil_div(_slot_at(lay.KEY_SLOTS), SECTOR) * SECTOR
    placed = sorted(facts.key_slots, key=lambda slot: slot.offset)
    for index, slot in enumerate(placed):
        fault = _fault(facts, slot, first)
        if fault is None and index + 1 < len(placed) and slot.offset + slot.length > placed[index + 1].offset:
            fault = f"overlaps that of slot {placed[index + 1].id}, which begins at {placed[index + 1].offset}"
        if fault:
            message = f"key material of slot {slot.id} at {slot.offset}..{slot.offset + slot.length} {fault}"
            at = _slot_at(slot.id) + 40
            yield key_material.at(message, field="key_material_offset", offset=at, length=4)


def _fault(facts: Luks1Facts, slot: KeySlot1, first: int) -> str | None:
    if slot.offset < first:
        return f"begins inside the header, which ends at {first}"
    payload = facts.payload_offset or 0
    if payload and slot.offset + slot.length > payload:
        return f"reaches into the payload, which begins at {payload}"
    return None


@rule("LUK005", "luks1-bad-stripes", "error")
def stripes(facts: LuksFacts, limits: Limits) -> Iterator[Finding]:
    """A key slot in use is not split into 4,000 stripes.

    What it checks: every enabled slot has 4,000 anti-forensic stripes.

    Why it matters: no program writes another number; the size of the key material follows from it.

    What to do: restore the header from a backup.

    References: LUKS1 On-Disk Format Specification, section "PHDR".
    """
    for slot in facts.key_slots if isinstance(facts, Luks1Facts) else ():
        if slot.state == "enabled" and slot.stripes != lay.STRIPES:
            message = f"key slot {slot.id} has {slot.stripes} stripes, {lay.STRIPES} are usual"
            yield stripes.at(message, field="stripes", offset=_slot_at(slot.id) + 44, length=4)


@rule("LUK006", "luks1-unterminated-string", "error")
def unterminated(facts: LuksFacts, limits: Limits) -> Iterator[Finding]:
    """A name in the header does not end inside its field.

    What it checks: cipher name, cipher mode, hash and UUID end with a NUL.

    Why it matters: a program that trusts it reads on into the next fields.

    What to do: restore the header from a backup.

    References: LUKS1 On-Disk Format Specification, section "PHDR".
    """
    if not isinstance(facts, Luks1Facts):
        return
    head = facts.header
    fields = (
        ("cipher_name", head.cipher_name, 8),
        ("cipher_mode", head.cipher_mode, 40),
        ("hash_spec", head.hash_spec, 72),
        ("uuid", head.uuid, 168),
    )
    for name, raw, at in fields:
        if b"\0" not in raw:
            yield unterminated.at(f"{name} has no end", field=name, offset=at, length=len(raw))


@rule("LUK007", "luks1-bad-key-size", "error")
def key_size(facts: LuksFacts, limits: Limits) -> Iterator[Finding]:
    """The size of the volume key is 0, or over its cap.

    What it checks: key_bytes is 1 to `limits.luks_key`.

    Why it matters: no cipher has such keys; the size of the key material follows from it.

    What to do: restore the header from a backup.

    References: LUKS1 On-Disk Format Specification, section "PHDR".
    """
    if isinstance(facts, Luks1Facts) and not 1 <= facts.key_size <= limits.luks_key:
        message = f"the volume key has {facts.key_size} bytes, 1 to {limits.luks_key} are allowed"
        yield key_size.at(message, field="key_bytes", offset=108, length=4)


@rule("LUK008", "luks1-no-iterations", "error")
def no_iterations(facts: LuksFacts, limits: Limits) -> Iterator[Finding]:
    """A key derivation has no iterations.

    What it checks: the digest of the volume key and every enabled key slot have at least one iteration.

    Why it matters: PBKDF2 without iterations is not defined; programs fail, or protect nothing.

    What to do: restore the header from a backup.

    References: LUKS1 On-Disk Format Specification, section "PHDR".
    """
    if not isinstance(facts, Luks1Facts):
        return
    if not facts.digest_iterations:
        message = "the digest of the volume key has no iterations"
        yield no_iterations.at(message, field="mk_digest_iter", offset=164, length=4)
    for slot in facts.key_slots:
        if slot.state == "enabled" and not slot.iterations:
            message = f"key slot {slot.id} has no iterations"
            yield no_iterations.at(message, field="iterations", offset=_slot_at(slot.id) + 4, length=4)


LUKS1 = (
    bad_version,
    payload_missing,
    slot_state,
    key_material,
    stripes,
    unterminated,
    key_size,
    no_iterations,
)
