"""VMDK: which of its kinds this is, and the sparse extent and the descriptor as facts.

References: VMware "Virtual Disk Format 5.0"; QEMU block/vmdk.c where readers go beyond it.
"""

from __future__ import annotations

from dataclasses import replace

from imgtool.formats.vmdk import layout as lay
from imgtool.formats.vmdk.descriptor import looks_like_descriptor, parse_descriptor
from imgtool.formats.vmdk.esx import read_cowd, read_sesparse
from imgtool.formats.vmdk.facts import Descriptor, SparseFields, VmdkFacts
from imgtool.formats.vmdk.told import file_references, sparse_references, told
from imgtool.limits import Limits
from imgtool.structs.layout import bit_names
from imgtool.structs.view import Unreadable, View
from imgtool.units import SECTOR, is_power_of_two

#: What a reader that knows only one place takes as the descriptor: 20 sectors from sector 1 (QEMU DESC_SIZE).
FIXED_ROOM = 20 * SECTOR


def read(view: View, limits: Limits) -> VmdkFacts | None:
    """The facts of any VMDK; None for text that is no descriptor. Raises Unreadable for a cut header."""
    magic = view.peek(0, 8)
    if magic.startswith(lay.SPARSE_MAGIC):
        return _sparse(view, limits)
    if magic.startswith(lay.COWD_MAGIC):
        return read_cowd(view, limits)
    if magic == lay.SESPARSE_MAGIC:
        return read_sesparse(view, limits)
    return _descriptor_file(view, limits)


def _descriptor_file(view: View, limits: Limits) -> VmdkFacts | None:
    data = view.peek(0, min(view.size, limits.vmdk_descriptor))
    parsed = parse_descriptor(view, data, 0, view.size, limits)
    facts = told(view, "descriptor", parsed, limits)
    if not (parsed.marked or facts.create_type is not None or parsed.extent_count or parsed.stray):
        return None
    return replace(
        facts,
        virtual_size=parsed.sectors * SECTOR if parsed.extent_count else None,
        broken=facts.create_type is None,
        references=file_references(parsed, limits),
        partial=bool(view.problems),
        problems=view.problems,
    )


def _sparse(view: View, limits: Limits) -> VmdkFacts:
    header = view.parse(lay.SPARSE_HEADER, 0)
    footer, footer_state = _footer(view, header)
    parsed, second = _descriptors(view, header, limits)
    grain = header.grainSize if is_power_of_two(header.grainSize) and header.grainSize <= limits.vmdk_grain else 0
    metadata = header.overHead * SECTOR
    if header.capacity and metadata > view.size:
        message = f"the metadata (overHead) ends at byte {metadata}, the file at {view.size}"
        view.problem("sparse extent metadata", message, kind="truncated", offset=64, length=8)
    facts = told(view, "sparse", parsed or second, limits)
    if header.capacity == 0 and parsed is not None:
        sectors, references = parsed.sectors, file_references(parsed, limits)
        facts = replace(facts, kind="descriptor")
    else:
        sectors, references = header.capacity, sparse_references(parsed, second, limits)
    return replace(
        facts,
        virtual_size=sectors * SECTOR,
        broken=header.version not in lay.VERSIONS or (facts.kind == "sparse" and not grain),
        references=references,
        version=header.version,
        cluster_size=grain * SECTOR or None,
        capacity=header.capacity,
        compressed=header.compressAlgorithm == 1,
        compression=lay.COMPRESSION.get(header.compressAlgorithm, f"unknown-{header.compressAlgorithm}"),
        markers=bool(header.flags & lay.FLAG_MARKERS),
        unclean_shutdown=header.uncleanShutdown != 0,
        descriptor=parsed.place if parsed else None,
        descriptor_at_sector_1=second.place if second else None,
        footer_state=footer_state,
        sparse=sparse_fields(header),
        footer=sparse_fields(footer) if footer else None,
        parsed=parsed,
        second=second,
        header=header,
        footer_header=footer,
        partial=bool(view.problems),
        problems=view.problems,
    )


def _descriptors(view: View, header: lay.SparseHeader, limits: Limits) -> tuple[Descriptor | None, Descriptor | None]:
    """The descriptor where the header says, and one at sector 1 where that is another place."""
    parsed = second = None
    if header.descriptorOffset and (header.descriptorSize or not header.capacity):
        at, room = header.descriptorOffset * SECTOR, header.descriptorSize * SECTOR
        length = limits.vmdk_descriptor if not header.capacity else max(room, FIXED_ROOM)
        parsed = _embedded(view, at, min(room, limits.vmdk_descriptor), min(length, limits.vmdk_descriptor))
    if header.descriptorOffset != 1:
        second = _embedded(view, SECTOR, FIXED_ROOM, FIXED_ROOM)
    return parsed, second


def _embedded(view: View, at: int, room: int, length: int) -> Descriptor | None:
    """The descriptor at byte `at`; None where nothing like one stands there or the file ends before."""
    if at >= view.size:
        message = f"the descriptor is at byte {at}, the file ends at {view.size}"
        view.problem("descriptor", message, kind="truncated", offset=at)
        return None
    try:
        data = view.peek(at, min(length, view.size - at))
    except Unreadable as error:
        view.note(error.problem)
        return None
    if at + room > view.size and b"\0" not in data:
        message = f"the descriptor ends at byte {at + room}, the file at {view.size}"
        view.problem("descriptor", message, kind="truncated", offset=at, length=room)
    return parse_descriptor(view, data, at, room, view.limits) if looks_like_descriptor(data) else None


def _footer(view: View, header: lay.SparseHeader) -> tuple[lay.SparseHeader | None, str]:
    """The footer of a stream, and whether one is needed, there, or missing."""
    if header.gdOffset != lay.GD_AT_END:
        return None, "none"
    at = view.size - 2 * SECTOR
    try:
        there = at >= SECTOR and view.peek(at, 4) == lay.SPARSE_MAGIC
        if not there:
            message = f"the directory is at the end, and no footer stands at byte {max(at, 0)}, 1,024 before it"
            view.problem("footer", message, kind="truncated", offset=max(at, 0), length=SECTOR)
            return None, "missing"
        marker = view.parse(lay.MARKER, at - SECTOR, "footer marker")
        footer = view.parse(lay.SPARSE_HEADER, at, "footer")
        end = view.parse(lay.MARKER, at + SECTOR, "end-of-stream marker")
    except Unreadable as error:
        view.note(error.problem)
        return None, "not-read" if error.problem.kind == "not-read" else "missing"
    sound = (marker.size, marker.type) == (0, lay.MARKER_FOOTER)
    sound = sound and (end.val, end.size, end.type) == (0, 0, lay.MARKER_EOS)
    return footer, "present" if sound else "unmarked"


def sparse_fields(header: lay.SparseHeader) -> SparseFields:
    """The header's numbers, flags by name."""
    return SparseFields(
        header.version,
        bit_names(header.flags, lay.FLAGS),
        header.capacity,
        header.grainSize,
        header.descriptorOffset,
        header.descriptorSize,
        header.numGTEsPerGT,
        header.rgdOffset,
        header.gdOffset,
        header.overHead,
        header.uncleanShutdown,
        header.compressAlgorithm,
    )
