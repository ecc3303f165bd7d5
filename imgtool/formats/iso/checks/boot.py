"""iso, 02x and 301: El Torito's boot record and catalog."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.findings.core import Finding, Severity, rule
from imgtool.formats.iso import layout as lay
from imgtool.formats.iso.facts import IsoFacts
from imgtool.limits import Limits
from imgtool.units import SECTOR

_BOOT_RECORD_AT = 17 * lay.SECTOR


@rule("ISO020", "iso-boot-record-misplaced", "error")
def record_misplaced(facts: IsoFacts, limits: Limits) -> Iterator[Finding]:
    """The boot record does not lie in sector 17.

    What it checks: El Torito's boot record is the descriptor at byte 34,816.

    Why it matters: firmware looks there and nowhere else; the image boots in some programs only.

    What to do: make the image again with a usual tool.

    References: El Torito 1.0, section 2.
    """
    boot = facts.el_torito
    if boot is not None and boot.descriptor_offset != _BOOT_RECORD_AT:
        message = f"the boot record lies at byte {boot.descriptor_offset}, not {_BOOT_RECORD_AT}"
        yield record_misplaced.at(message, field="boot record", offset=boot.descriptor_offset, length=lay.SECTOR)


@rule("ISO021", "iso-boot-catalog-broken", "error")
def catalog_broken(facts: IsoFacts, limits: Limits) -> Iterator[Finding]:
    """The boot catalog does not begin with a validation entry.

    What it checks: the header id is 1 and the key bytes are 55 AA.

    Why it matters: what the boot record points at is no boot catalog; firmware refuses it or boots garbage.

    What to do: make the image again, or take a fresh copy.

    References: El Torito 1.0, section 2.1.
    """
    boot = facts.el_torito
    if boot is None or boot.header_id is None:
        return
    if boot.header_id != 1 or boot.key != "55aa":
        message = f"validation entry has header id {boot.header_id} and key {boot.key}, not 1 and 55aa"
        yield catalog_broken.at(message, field="validation entry", offset=boot.catalog_offset, length=lay.ENTRY)


@rule("ISO022", "iso-boot-image-outside", "error")
def image_outside(facts: IsoFacts, limits: Limits) -> Iterator[Finding]:
    """A boot image lies past the end of the file.

    What it checks: every bootable entry of the catalog points inside the file. A warning where it begins
    inside and the sectors to load end past it.

    Why it matters: firmware would load nothing, or what happens to lie there on a larger disc.

    What to do: make the image again, or take a fresh copy.

    References: El Torito 1.0, sections 2.2 to 2.4.
    """
    for entry in facts.el_torito.entries if facts.el_torito is not None else ():
        end = entry.offset + entry.sector_count * SECTOR
        if entry.bootable and max(end, entry.offset + 1) > facts.file_size:
            message = (
                f"{entry.platform} boot image of {entry.sector_count} sectors at {entry.offset}, "
                f"the file ends at {facts.file_size}"
            )
            severity: Severity = "error" if entry.offset >= facts.file_size else "warning"
            yield image_outside.at(
                message, field="load_rba", offset=entry.entry_offset, length=lay.ENTRY, severity=severity
            )


@rule("ISO023", "iso-boot-entries-missing", "error")
def entries_missing(facts: IsoFacts, limits: Limits) -> Iterator[Finding]:
    """The boot catalog announces more entries than it has room for.

    What it checks: the sections of the catalog announce no more entries than are there, within 128 records
    (`limits.iso_boot_records`).

    Why it matters: a reader that trusts the count reads far past the catalog.

    What to do: make the image again with a usual tool.

    References: El Torito 1.0, section 2.3.
    """
    boot = facts.el_torito
    if boot is not None and boot.entries_total > len(boot.entries):
        message = f"the catalog announces {boot.entries_total} entries, {len(boot.entries)} are there"
        yield entries_missing.at(message, field="boot catalog", offset=boot.catalog_offset)


@rule("ISO301", "iso-boot-catalog-checksum", "error")
def catalog_checksum(facts: IsoFacts, limits: Limits) -> Iterator[Finding]:
    """The validation entry of the boot catalog does not sum up to zero.

    What it checks: the 16 words of the validation entry, little-endian, modulo 65,536.

    Why it matters: the catalog was damaged or edited; firmware refuses to boot from it.

    What to do: make the image again, or take a fresh copy.

    References: El Torito 1.0, section 2.1.
    """
    boot = facts.el_torito
    if boot is not None and boot.sum:
        message = f"the validation entry sums up to 0x{boot.sum:04x}, not 0"
        yield catalog_checksum.at(message, field="checksum", offset=boot.catalog_offset + 28, length=2)


BOOT = (record_misplaced, catalog_broken, image_outside, entries_missing, catalog_checksum)
