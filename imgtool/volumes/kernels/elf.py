"""vmlinux: an ELF executable that is a kernel. Ordinary programs are not.

A kernel is linked without an interpreter to addresses in the upper half of a 64-bit space, or it says so
itself: notes of Xen or Linux, or its "Linux version" text. Reference: the ELF specification 1.2.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from imgtool.limits import Limits
from imgtool.structs.view import Unreadable, View
from imgtool.volumes.kernels import layout as lay
from imgtool.volumes.kernels.banner import banner
from imgtool.volumes.kernels.facts import KernelFacts


class _Segment(NamedTuple):
    """A program header, of either width."""

    type: int
    offset: int
    vaddr: int
    filesz: int


def vmlinux(view: View, limits: Limits) -> KernelFacts | None:
    """The facts of a kernel as an ELF executable; None for any other ELF file."""
    ident = view.peek(0, 16)
    if len(ident) < 16 or ident[4] not in (1, 2) or ident[5] not in (1, 2):
        return None
    wide, big = ident[4] == 2, ident[5] == 2
    try:
        head = view.parse(lay.ELF_HEADERS[wide, big], 16)
        if head.type not in (lay.ET_EXEC, lay.ET_DYN) or not 0 < head.phnum <= limits.kernel_segments:
            return None
        segments = _segments(view, head, wide, big)
    except Unreadable:
        return None
    loads = [segment for segment in segments if segment.type == lay.PT_LOAD]
    if not loads or any(segment.type == lay.PT_INTERP for segment in segments):
        return None
    notes = _notes(view, segments, big)
    high = wide and all(segment.vaddr >> 63 for segment in loads if segment.vaddr)
    low32 = not wide and all(segment.vaddr >= 0x80000000 for segment in loads)
    xen = b"Xen" in notes
    if not (high or low32 or xen):
        return None
    version = banner(view, loads[0].offset, limits)
    if not (high or xen or version or b"Linux" in notes):
        return None
    return KernelFacts(
        format="aki",
        file_size=view.size,
        partial=bool(view.problems),
        kind="vmlinux",
        architecture=lay.ELF_MACHINES.get(head.machine, f"unknown-{head.machine}"),
        version=version,
        load_address=loads[0].vaddr,
        entry_point=head.entry,
        xen=xen,
        needs=max(segment.offset + segment.filesz for segment in loads),
        problems=view.problems,
    )


def _segments(view: View, head: lay.ElfHeader, wide: bool, big: bool) -> list[_Segment]:
    found = []
    for index in range(head.phnum):
        if wide:
            part: lay.Segment64 | lay.Segment32 = view.parse(lay.SEGMENTS64[big], head.phoff + index * head.phentsize)
        else:
            part = view.parse(lay.SEGMENTS32[big], head.phoff + index * head.phentsize)
        found.append(_Segment(part.type, part.offset, part.vaddr, part.filesz))
    return found


def _notes(view: View, segments: list[_Segment], big: bool) -> set[bytes]:
    """The owners of the notes in the note segments, the first 4 KiB of each."""
    order: Literal["big", "little"] = "big" if big else "little"
    owners: set[bytes] = set()
    for segment in segments:
        if segment.type != lay.PT_NOTE:
            continue
        try:
            raw = view.peek(segment.offset, min(segment.filesz, 4096))
        except Unreadable:  # not kept of a stream
            continue
        at = 0
        while at + 12 <= len(raw):
            name = int.from_bytes(raw[at : at + 4], order)
            desc = int.from_bytes(raw[at + 4 : at + 8], order)
            owners.add(raw[at + 12 : at + 12 + min(name, 16)].rstrip(b"\0"))
            at += 12 + (name + 3) // 4 * 4 + (desc + 3) // 4 * 4
    return owners
