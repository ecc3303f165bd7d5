"""VHD: the footer, its copy, the dynamic disk header and the parent locators as facts.

References: Virtual Hard Disk Image Format Specification 1.0, sections "Hard Disk Footer Format", "Dynamic Disk
Header Format", "Implementing a Differencing Hard Disk".
"""

from __future__ import annotations

from time import gmtime, strftime
from typing import NamedTuple

from imgtool.formats.vhd import layout as lay
from imgtool.formats.vhd.facts import Locator, PlacedFooter, SizeRule, VhdFacts
from imgtool.limits import Limits
from imgtool.model.values import Reference, c_text, text
from imgtool.structs.layout import Layout, bit_names
from imgtool.structs.view import Unreadable, View
from imgtool.units import SECTOR, uuid_text


class Sizes(NamedTuple):
    """The sizes that a footer tells, in bytes, and the rule that chooses the one a guest sees."""

    virtual: int
    rule: SizeRule
    chs: int
    qemu: int


class Parent(NamedTuple):
    """What a dynamic disk header says of the parent disk."""

    name: str | None
    locators: tuple[Locator, ...]


def read(view: View, limits: Limits) -> VhdFacts:
    """The facts of a VHD. Raises Unreadable when neither the footer nor its copy is there in full."""
    trailing, copy = _trailing(view), _copy(view)
    footer = _choose(trailing, copy, view)
    record = footer.record
    sizes = visible_sizes(record)
    fixed = record.disk_type == lay.DISK_FIXED
    header, computed = (None, None) if fixed else _dynamic_header(view, record)
    parent = _parent(view, header, record, limits) if header else Parent(None, ())
    differencing = record.disk_type == lay.DISK_DIFFERENCING
    known_type = fixed or differencing or record.disk_type == lay.DISK_DYNAMIC
    return VhdFacts(
        format="vhd",
        file_size=view.size,
        virtual_size=sizes.virtual,
        broken=not known_type or (not fixed and header is None),
        partial=bool(view.problems),
        references=_references(parent, header, record, differencing),
        flat=_flat(trailing, sizes) if fixed else None,
        subformat=lay.DISK_TYPES.get(record.disk_type, "unknown") if known_type else f"unknown-{record.disk_type}",
        size_rule=sizes.rule,
        current_size=record.current_size,
        original_size=record.original_size,
        geometry=lay.Geometry(record.cylinders, record.heads, record.sectors),
        chs_size=sizes.chs,
        qemu_size=sizes.qemu,
        creator_application=c_text(record.creator_application),
        creator_version=f"{record.creator_version >> 16}.{record.creator_version & 0xFFFF}",
        creator_host_os=lay.HOST_SYSTEMS.get(record.creator_host_os, text(record.creator_host_os)),
        created=_time(record.time_stamp),
        unique_id=uuid_text(record.unique_id),
        features=bit_names(record.features & ~2, lay.FEATURES),
        saved_state=bool(record.saved_state),
        file_format_version=record.file_format_version,
        disk_type=record.disk_type,
        data_offset=record.data_offset,
        footer_offset=footer.offset,
        footer_size=trailing.size if trailing else None,
        footer_copy=copy is not None,
        header_version=header.header_version if header else None,
        block_size=header.block_size if header else None,
        max_table_entries=header.max_table_entries if header else None,
        table_offset=header.table_offset if header else None,
        parent_name=parent.name,
        parent_unique_id=uuid_text(header.parent_unique_id) if header and differencing else None,
        parent_time=_time(header.parent_time_stamp) if header and differencing else None,
        parent_locators=parent.locators,
        trailing=trailing,
        copy=copy,
        dynamic_header=header,
        dynamic_computed=computed,
        problems=view.problems,
    )


def checksum(data: bytes, at: int) -> int:
    """The one's complement of the sum of all bytes, the four of the checksum at `at` left out."""
    return ~(sum(data) - sum(data[at : at + 4])) & 0xFFFFFFFF


def visible_sizes(footer: lay.Footer) -> Sizes:
    """How large a guest sees the disk, and by which rule.

    The current size, unless the creator is one that means the geometry. A geometry of nothing and the largest
    one tell no size.
    """
    geometry = lay.Geometry(footer.cylinders, footer.heads, footer.sectors)
    chs = geometry.cylinders * geometry.heads * geometry.sectors * SECTOR
    telling = geometry != lay.MAX_GEOMETRY
    creator, current = footer.creator_application, footer.current_size
    qemu = chs if telling and creator not in lay.QEMU_CURRENT_SIZE else current // SECTOR * SECTOR
    if telling and chs and creator in lay.CHS_CREATORS:
        return Sizes(chs, "chs", chs, qemu)
    return Sizes(current, "current-size", chs, qemu)


def _trailing(view: View) -> PlacedFooter | None:
    """The footer at the end of the file: 512 bytes, or 511 of old programs."""
    tail = view.peek(max(0, view.size - lay.FOOTER_SIZE), lay.FOOTER_SIZE)
    if len(tail) >= lay.FOOTER_SIZE and tail.startswith(lay.COOKIE):
        return _placed(view, lay.FOOTER, view.size - lay.FOOTER_SIZE)
    if len(tail) >= lay.OLD_FOOTER_SIZE and tail[-lay.OLD_FOOTER_SIZE :].startswith(lay.COOKIE):
        return _placed(view, lay.OLD_FOOTER, view.size - lay.OLD_FOOTER_SIZE)
    return None


def _copy(view: View) -> PlacedFooter | None:
    """The copy of the footer at the start of the file, which dynamic and differencing disks have."""
    if view.peek(0, len(lay.COOKIE)) != lay.COOKIE or view.size <= lay.FOOTER_SIZE:
        return None
    return _placed(view, lay.FOOTER, 0, "copy of the footer")


def _placed(view: View, layout: Layout[lay.Footer], at: int, name: str | None = None) -> PlacedFooter:
    data = view.read(at, layout.size, name or layout.name)
    return PlacedFooter(at, layout.size, view.decode(layout, data, at, name), checksum(data, 64))


def _choose(trailing: PlacedFooter | None, copy: PlacedFooter | None, view: View) -> PlacedFooter:
    """The footer to believe: the trailing one, unless its checksum is wrong and the copy's right."""
    if trailing is not None and copy is not None:
        return copy if copy.sound and not trailing.sound else trailing
    chosen = trailing or copy
    if chosen is None:
        return _placed(view, lay.FOOTER, 0)
    return chosen


def _flat(trailing: PlacedFooter | None, sizes: Sizes) -> tuple[int, int] | None:
    """Where the guest's bytes of a fixed disk lie: from 0 on, up to the footer at most."""
    return (0, min(sizes.virtual, trailing.offset)) if trailing is not None and trailing.offset else None


def _dynamic_header(view: View, footer: lay.Footer) -> tuple[lay.DynamicHeader | None, int | None]:
    """The dynamic disk header and the checksum that its bytes have."""
    name = lay.DYNAMIC_HEADER.name
    try:
        data = view.read(footer.data_offset, lay.DYNAMIC_HEADER_SIZE, name)
        header = view.decode(lay.DYNAMIC_HEADER, data, footer.data_offset)
    except Unreadable as error:
        view.note(error.problem)
        return None, None
    if header.cookie != lay.DYNAMIC_COOKIE:
        message = f"{name}: begins with {header.cookie!r}, not with {lay.DYNAMIC_COOKIE!r}"
        view.problem(name, message, offset=footer.data_offset, length=8)
        return None, None
    return header, checksum(data, 36)


def _parent(view: View, header: lay.DynamicHeader, footer: lay.Footer, limits: Limits) -> Parent:
    name = _wide(header.parent_unicode_name, "utf-16-be")
    locators = []
    for index in range(lay.LOCATORS):
        raw = header.parent_locators[24 * index : 24 * index + 24]
        if not any(raw):
            continue
        at = footer.data_offset + lay.LOCATORS_AT + 24 * index
        entry = view.decode(lay.LOCATOR_ENTRY, raw, at, f"parent locator entry {index + 1}")
        if entry.platform_code or entry.platform_data_length:
            locators.append(_locator(view, entry, limits))
    return Parent(name or None, tuple(locators))


def _locator(view: View, entry: lay.LocatorEntry, limits: Limits) -> Locator:
    platform = lay.PLATFORMS.get(entry.platform_code)
    name = platform or f"unknown-0x{entry.platform_code:08x}"
    offset, length = entry.platform_data_offset, entry.platform_data_length
    value = ""
    if length > limits.vhd_locator:
        message = f"parent locator {name} of {length} bytes is over the cap of {limits.vhd_locator}"
        view.problem("parent locator", message, kind="cap", offset=offset, length=length)
    elif length:
        try:
            value = _locator_text(view.read(offset, length, f"parent locator {name}"), platform)
        except Unreadable as error:
            view.note(error.problem)
    return Locator(name, value, offset, length, entry.platform_data_space)


def _locator_text(raw: bytes, platform: str | None) -> str:
    if platform in lay.WIDE_PLATFORMS:
        return _wide(raw, "utf-16-le")
    return raw.hex() if platform == "Mac " else text(raw).rstrip("\0")


def _wide(raw: bytes, encoding: str) -> str:
    """UTF-16 text of a field, without its padding of NULs."""
    return raw.decode(encoding, "replace").rstrip("\0")


def _references(
    parent: Parent, header: lay.DynamicHeader | None, footer: lay.Footer, differencing: bool
) -> tuple[Reference, ...]:
    """Every name of the parent; a differencing disk without any still has one."""
    at = footer.data_offset + lay.PARENT_NAME_AT
    found = []
    if parent.name is not None:
        found.append(Reference("parent", parent.name, "vhd", at, 512))
    for locator in parent.locators:
        found.append(Reference("parent", locator.value, "vhd", locator.offset, locator.length))
    if differencing and not found:
        found.append(Reference("parent", "", "vhd", *((at, 512) if header else (None, None))))
    return tuple(found)


def _time(seconds: int) -> str:
    """Seconds since 2000 as RFC 3339 (section "Hard Disk Footer Format", Time Stamp)."""
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(seconds + lay.EPOCH))
