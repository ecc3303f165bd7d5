"""El Torito: the boot record and its catalog as facts.

References: El Torito bootable CD-ROM format 1.0, section 2; UEFI 2.10 section 13.3.2.1 (platform 0xEF).
"""

from __future__ import annotations

from imgtool.formats.iso import layout as lay
from imgtool.formats.iso.facts import BootImage, Descriptor, ElTorito
from imgtool.limits import Limits
from imgtool.model.values import c_text
from imgtool.structs.view import Unreadable, View


def read_el_torito(view: View, descriptors: tuple[Descriptor, ...], limits: Limits) -> ElTorito | None:
    """The boot catalog that a boot record names; None where no boot record is El Torito's."""
    for descriptor in descriptors:
        if descriptor.type != lay.BOOT_RECORD:
            continue
        record = view.optional(lay.BOOT_RECORD_DESCRIPTOR, descriptor.offset)
        if record is not None and record.boot_system_identifier.startswith(lay.EL_TORITO):
            return _catalog(view, descriptor.offset, record.catalog * lay.SECTOR, limits)
    return None


def _catalog(view: View, descriptor: int, offset: int, limits: Limits) -> ElTorito:
    validation = view.optional(lay.VALIDATION_ENTRY, offset)
    if validation is None:
        return ElTorito(descriptor, offset, None, None, None, None, None, (), 0)
    raw = view.peek(offset, lay.ENTRY)
    total = sum(int.from_bytes(raw[at : at + 2], "little") for at in range(0, lay.ENTRY, 2)) & 0xFFFF
    entries, count = _entries(view, offset, validation.platform, limits)
    return ElTorito(
        descriptor,
        offset,
        validation.header_id,
        _platform(validation.platform),
        c_text(validation.id.rstrip(b" ")),
        f"{validation.key_55:02x}{validation.key_aa:02x}",
        total,
        tuple(entries),
        count,
    )


def _entries(view: View, offset: int, platform: int, limits: Limits) -> tuple[list[BootImage], int]:
    """The entries of the catalog at `offset` and how many its headers announce; extensions are passed over."""
    found: list[BootImage] = []
    end = offset + limits.iso_boot_records * lay.ENTRY
    position = offset + lay.ENTRY
    try:
        found.append(_entry(view, position, platform, None))
        count = 1
        position += lay.ENTRY
        while position < end and view.peek(position, 1) in (b"\x90", b"\x91"):
            header = view.parse(lay.SECTION_HEADER, position)
            count += header.entries
            position += lay.ENTRY
            for _ in range(min(header.entries, limits.iso_boot_records)):
                if position >= end:
                    break
                found.append(_entry(view, position, header.platform, c_text(header.id.rstrip(b" "))))
                position = _past_extensions(view, position + lay.ENTRY, end)
            if header.indicator == lay.SECTION_LAST:
                break
    except Unreadable as error:
        view.note(error.problem)
        count = max(1, len(found))
    return found, count


def _past_extensions(view: View, position: int, end: int) -> int:
    while position < end and view.peek(position, 1) == b"\x44":
        position += lay.ENTRY
    return position


def _entry(view: View, offset: int, platform: int, section: str | None) -> BootImage:
    entry = view.parse(lay.BOOT_ENTRY, offset)
    media = entry.media & 0x0F
    return BootImage(
        _platform(platform),
        entry.indicator == lay.BOOTABLE,
        lay.MEDIA.get(media, f"unknown-{media}"),
        entry.load_segment,
        entry.system_type,
        entry.sector_count,
        entry.load_rba,
        entry.load_rba * lay.SECTOR,
        section,
        offset,
    )


def _platform(value: int) -> str:
    return lay.PLATFORMS.get(value, f"unknown-{value}")
