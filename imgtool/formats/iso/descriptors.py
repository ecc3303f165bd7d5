"""The volume recognition area from byte 32,768 on: which structures stand there, in which steps.

ISO 9660 puts its descriptors at steps of 2,048 bytes (ECMA-119, 8); the structures of ECMA-167 follow them, or
stand alone, at the next sector each, which on media of 4 KiB sectors is every 4,096 bytes (ECMA-167 2/8.4).
"""

from __future__ import annotations

from typing import NamedTuple

from imgtool.formats.iso import layout as lay
from imgtool.formats.iso.facts import Descriptor
from imgtool.formats.iso.udf import layout as udf
from imgtool.limits import Limits
from imgtool.model.values import text
from imgtool.structs.view import Unreadable, View

_EXTENDED = frozenset((udf.BEGIN, udf.END, *udf.NSR, *udf.OTHERS)) - {lay.STANDARD}
_STEPS = (2048, 4096, 8192, 16384, 32768)


class Area(NamedTuple):
    """The structures in order. `ended`: a terminator closed ISO 9660's set; `capped`: more than are read."""

    iso: tuple[Descriptor, ...]
    extended: tuple[Descriptor, ...]
    step: int
    ended: bool
    capped: bool


def read_area(view: View, limits: Limits) -> Area:
    """All structures of the volume recognition area."""
    iso, ended, capped = _iso(view, limits)
    start = iso[-1].offset + lay.SECTOR if iso else lay.SYSTEM_AREA
    step, extended = 2048, _extended(view, start, 2048, limits)
    if not iso:
        runs = {size: _extended(view, start, size, limits) for size in _STEPS}
        step = max(runs, key=lambda size: (len(runs[size]), -size))
        extended = runs[step]
    return Area(iso, extended, step, ended, capped)


def _iso(view: View, limits: Limits) -> tuple[tuple[Descriptor, ...], bool, bool]:
    found: list[Descriptor] = []
    position = lay.SYSTEM_AREA
    while len(found) < limits.iso_descriptors:
        identifier = _identifier(view, position)
        if identifier != lay.STANDARD:
            # a first descriptor that is damaged does not hide the second one
            if found or position > lay.SYSTEM_AREA or _identifier(view, position + lay.SECTOR) != lay.STANDARD:
                return tuple(found), bool(found) and found[-1].type == lay.TERMINATOR, False
            position += lay.SECTOR
            continue
        found.append(_descriptor(view, position))
        position += lay.SECTOR
        if found[-1].type == lay.TERMINATOR and _identifier(view, position) != lay.STANDARD:
            return tuple(found), True, False
    return tuple(found), False, True


def _extended(view: View, start: int, step: int, limits: Limits) -> tuple[Descriptor, ...]:
    """The structures of ECMA-167 from `start` on; a first one that is damaged does not hide the second."""
    found: list[Descriptor] = []
    for index in range(limits.iso_descriptors):
        offset = start + index * step
        identifier = _identifier(view, offset)
        if identifier in _EXTENDED:
            found.append(_descriptor(view, offset))
            if identifier == udf.END:
                break
        elif index or _identifier(view, offset + step) not in udf.NSR:
            break
    return tuple(found)


def _identifier(view: View, offset: int) -> bytes:
    try:
        return view.peek(offset + 1, 5)
    except Unreadable as error:
        view.note(error.problem)
        return b""


def _descriptor(view: View, offset: int) -> Descriptor:
    head = lay.DESCRIPTOR_HEAD.parse(
        view.peek(offset, lay.DESCRIPTOR_HEAD.size).ljust(lay.DESCRIPTOR_HEAD.size, b"\0")
    )
    known = lay.DESCRIPTOR_TYPES.get(head.type, f"unknown-{head.type}")
    name = known if head.identifier == lay.STANDARD else text(head.identifier)
    return Descriptor(head.type, name, text(head.identifier), head.version, offset)
