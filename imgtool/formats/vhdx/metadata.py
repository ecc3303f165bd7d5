"""VHDX: the metadata region, its table and items.

Reference: [MS-VHDX] 2.6 (metadata region), 2.6.2.6 (parent locator).
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from imgtool.formats.vhdx import layout as lay
from imgtool.formats.vhdx.facts import Item, LocatorValue, ParentLocator
from imgtool.limits import Limits
from imgtool.structs.layout import Layout, bit_names
from imgtool.structs.view import Unreadable, View
from imgtool.units import guid_text

R = TypeVar("R", bound=NamedTuple)


class Metadata(NamedTuple):
    """What the metadata region says; None for what it does not. Sizes in bytes."""

    signature: bytes | None = None
    entry_count: int | None = None
    items: tuple[Item, ...] = ()
    parameters: lay.FileParameters | None = None
    virtual_size: int | None = None
    logical_sector_size: int | None = None
    physical_sector_size: int | None = None
    virtual_disk_id: str | None = None
    locator: ParentLocator | None = None


def read_metadata(view: View, region: int, limits: Limits) -> Metadata:
    """The metadata whose region begins at `region`. What cannot be read is noted and left out."""
    header = view.optional(lay.METADATA_TABLE_HEADER, region)
    if header is None:
        return Metadata()
    if header.signature != lay.METADATA_SIGNATURE:
        return Metadata(header.signature)
    items = _items(view, region, min(header.entry_count, limits.vhdx_entries))
    parameters = _value(view, region, items, lay.FILE_PARAMETERS_ID, lay.FILE_PARAMETERS)
    size = _value(view, region, items, lay.VIRTUAL_DISK_SIZE_ID, lay.VIRTUAL_DISK_SIZE)
    logical = _value(view, region, items, lay.LOGICAL_SECTOR_SIZE_ID, lay.SECTOR_SIZE)
    physical = _value(view, region, items, lay.PHYSICAL_SECTOR_SIZE_ID, lay.SECTOR_SIZE)
    identity = _value(view, region, items, lay.VIRTUAL_DISK_ID_ID, lay.VIRTUAL_DISK_ID)
    return Metadata(
        header.signature,
        header.entry_count,
        items,
        parameters,
        size.virtual_disk_size if size else None,
        logical.sector_size if logical else None,
        physical.sector_size if physical else None,
        guid_text(identity.virtual_disk_id) if identity else None,
        _locator(view, region, items, limits),
    )


def _items(view: View, region: int, count: int) -> tuple[Item, ...]:
    """The entries of the metadata table, as many of them as the file has."""
    size, start = lay.METADATA_TABLE_ENTRY.size, region + lay.METADATA_TABLE_HEADER.size
    try:
        data = view.peek(start, count * size)
    except Unreadable as error:
        view.note(error.problem)
        return ()
    if len(data) < count * size:
        message = f"metadata table: {count} entries need bytes {start}..{start + count * size}"
        view.problem("metadata table", message, kind="truncated", offset=start, length=count * size)
    found = []
    for at in range(0, len(data) // size * size, size):
        entry = view.decode(lay.METADATA_TABLE_ENTRY, data[at : at + size], start + at)
        identity = guid_text(entry.item_id)
        found.append(
            Item(
                identity,
                lay.ITEMS.get(identity, "unknown"),
                entry.offset,
                entry.length,
                bit_names(entry.flags, lay.ITEM_FLAGS),
                bool(entry.flags & lay.ITEM_USER),
                bool(entry.flags & lay.ITEM_REQUIRED),
                start + at,
            )
        )
    return tuple(found)


def _find(items: tuple[Item, ...], identity: str) -> Item | None:
    return next((item for item in items if item.id == identity and not item.user), None)


def _value(view: View, region: int, items: tuple[Item, ...], identity: str, layout: Layout[R]) -> R | None:
    """A known item, decoded; None where it is missing, or too short to hold the structure."""
    item = _find(items, identity)
    if item is None:
        return None
    if item.length < layout.size:
        message = f"{item.name}: {item.length} bytes, {layout.size} are needed"
        view.problem(item.name, message, offset=item.entry + 20, length=4)
        return None
    return view.optional(layout, region + item.offset, item.name)


def _locator(view: View, region: int, items: tuple[Item, ...], limits: Limits) -> ParentLocator | None:
    item = _find(items, lay.PARENT_LOCATOR_ID)
    if item is None:
        return None
    start = region + item.offset
    if item.length > limits.vhdx_item:
        message = f"parent locator of {item.length} bytes is over the cap of {limits.vhdx_item}"
        view.problem("parent locator", message, kind="cap", offset=start, length=item.length)
        return None
    if item.length < lay.LOCATOR_HEADER.size:
        message = f"parent locator: {item.length} bytes, {lay.LOCATOR_HEADER.size} are needed"
        view.problem("parent locator", message, offset=item.entry + 20, length=4)
        return ParentLocator("", "unknown", ())
    try:
        data = view.read(start, item.length, "parent locator")
        header = view.decode(lay.LOCATOR_HEADER, data[: lay.LOCATOR_HEADER.size], start)
    except Unreadable as error:
        view.note(error.problem)
        return None
    kind = guid_text(header.locator_type)
    entries = _locator_entries(view, data, start, header.key_value_count, limits)
    return ParentLocator(kind, "vhdx" if kind == lay.VHDX_PARENT else "unknown", entries)


def _locator_entries(view: View, data: bytes, start: int, count: int, limits: Limits) -> tuple[LocatorValue, ...]:
    """Keys and values of a parent locator, whose bytes are `data`, within the caps."""
    size = lay.LOCATOR_ENTRY.size
    budget = limits.vhdx_locator_strings
    found: list[LocatorValue] = []
    for index in range(count):
        at = lay.LOCATOR_HEADER.size + index * size
        raw = data[at : at + size]
        if len(raw) < size:
            view.problem("parent locator", f"{count} entries do not fit into its {len(data)} bytes", offset=start)
            break
        entry = view.decode(lay.LOCATOR_ENTRY, raw, start + at)
        budget -= entry.key_length + entry.value_length
        if budget < 0 or index >= limits.vhdx_locator_entries:
            message = f"parent locator: {count} entries are over the caps"
            view.problem("parent locator", message, kind="cap", offset=start + at, length=size)
            break
        key = _text(view, data, start, entry.key_offset, entry.key_length)
        value = _text(view, data, start, entry.value_offset, entry.value_length)
        found.append(LocatorValue(key, value, start + entry.value_offset, entry.value_length))
    return tuple(found)


def _text(view: View, data: bytes, start: int, at: int, length: int) -> str:
    """A string of the parent locator (UTF-16, not terminated); what of it lies inside."""
    if at + length > len(data):
        message = f"parent locator: a string at {at} of {length} bytes ends outside its {len(data)} bytes"
        view.problem("parent locator", message, offset=start, length=len(data))
    return data[at : at + length].decode("utf-16-le", "replace").rstrip("\0")
