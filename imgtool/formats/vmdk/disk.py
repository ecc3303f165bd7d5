"""The guest's disk of a VMDK: one sparse extent, or the extents that a descriptor lists, over a parent if it has one.

A sparse file of a capacity is its own only extent, whatever its descriptor calls that. Every other extent is read
from the file that was opened for its line; without one its range is a reference.

References: VMware "Virtual Disk Format 5.0", sections "The Extent Description", "Delta Links"; QEMU block/vmdk.c.
"""

from __future__ import annotations

from typing import NamedTuple

from imgtool.errors import UsageError
from imgtool.formats.vmdk.facts import Descriptor, ExtentLine, VmdkFacts
from imgtool.formats.vmdk.grains import GrainDisk
from imgtool.formats.vmdk.hosted import cowd_disk, hosted_disk
from imgtool.formats.vmdk.reader import read
from imgtool.formats.vmdk.sesparse import sesparse_disk
from imgtool.formats.vmdk.told import content_number
from imgtool.limits import Limits
from imgtool.sources.base import Source
from imgtool.sources.disk import Disk, DiskError, Linked, NotFollowedError
from imgtool.sources.flat import FlatDisk
from imgtool.sources.spans import Piece, Slice, Spanned, Uniform
from imgtool.structs.view import Unreadable, View
from imgtool.units import SECTOR

_NO_PARENT = 0xFFFFFFFF
_SPARSE = {"sparse": hosted_disk, "cowd": cowd_disk, "sesparse": sesparse_disk}
_NO_DESCRIPTOR = frozenset({"cowd", "sesparse"})
_FLAT_TYPES = frozenset({"FLAT", "VMFS"})
_SPARSE_TYPES = frozenset({"SPARSE", "VMFSSPARSE", "SESPARSE"})


class _Parent(NamedTuple):
    """The disk below, or whether there is one that was not followed."""

    disk: Source | None
    referenced: bool


def open_disk(
    source: Source, facts: VmdkFacts, limits: Limits, links: tuple[Linked, ...], snapshot: str | None
) -> Disk:
    """The guest's disk; it owns `source` and the disks of `links`.

    Raises DiskError where header, descriptor or parent do not hold, UsageError for a snapshot: a VMDK has none.
    """
    if snapshot is not None:
        raise UsageError(f"{source.name}: a VMDK has no snapshots inside; {snapshot!r} is a file of its own")
    size = facts.virtual_size or 0
    if size > limits.vmdk_sectors * SECTOR:
        raise DiskError(f"{source.name}: a disk of {size} bytes; at most {limits.vmdk_sectors * SECTOR} are read")
    parent = _parent(source, facts, links)
    if facts.kind == "descriptor":
        return _described(source, facts, limits, links, parent)
    disk = _grains(source, facts, limits, size, parent)
    for link in links:
        if link.disk is not parent.disk:
            link.disk.close()
    return disk


def _parent(source: Source, facts: VmdkFacts, links: tuple[Linked, ...]) -> _Parent:
    """The parent. One that is a VMDK must have the content ID that this image remembers."""
    remembered = content_number(facts.parent_cid)
    linked = next((link for link in links if link.reference.kind == "parent"), None)
    if linked is None:
        named = any(reference.kind == "parent" and reference.value for reference in facts.references)
        return _Parent(None, named or remembered not in (None, _NO_PARENT))
    below = linked.facts
    if isinstance(below, VmdkFacts) and facts.kind not in _NO_DESCRIPTOR and below.kind not in _NO_DESCRIPTOR:
        told = content_number(below.cid)
        if told is None or told != remembered:
            raise DiskError(
                f"{source.name}: parentCID is {facts.parent_cid}, and the CID of its parent "
                f"{linked.reference.value!r} is {below.cid}: the parent was changed or is another disk"
            )
    return _Parent(linked.disk, False)


def _grains(source: Source, facts: VmdkFacts, limits: Limits, size: int, parent: _Parent) -> GrainDisk:
    opener = _SPARSE.get(facts.kind)
    if opener is None:
        raise DiskError(f"{source.name}: not a sparse extent")
    return opener(source, facts, limits, size, parent.disk, parent.referenced)


def _described(source: Source, facts: VmdkFacts, limits: Limits, links: tuple[Linked, ...], parent: _Parent) -> Disk:
    """The extents of a descriptor, in order."""
    parsed = facts.parsed
    if parsed is None:
        raise DiskError(f"{source.name}: no descriptor")
    if parsed.extent_count > len(parsed.extents):
        raise DiskError(f"{source.name}: {parsed.extent_count} extents; at most {len(parsed.extents)} are read")
    return Spanned(
        source.name, _pieces(source, parsed, limits, links, parent), (source, *(link.disk for link in links))
    )


def _pieces(
    source: Source, parsed: Descriptor, limits: Limits, links: tuple[Linked, ...], parent: _Parent
) -> list[Piece]:
    opened = {link.reference.offset: link.disk for link in links if link.reference.kind == "extent"}
    pieces: list[Piece] = []
    start = 0
    for line in parsed.extents:
        size = line.sectors * SECTOR
        below = _Parent(Slice(parent.disk, start, size), False) if parent.disk is not None else parent
        disks = _extent(source, line, limits, opened.get(line.offset), below)
        pieces += [Piece(disk, line.file_name) for disk in disks]
        start += size
    return pieces


def _extent(
    source: Source, line: ExtentLine, limits: Limits, opened: Source | None, parent: _Parent
) -> tuple[Disk, ...]:
    """The disk of one line, and what its own header does not cover."""
    size = line.sectors * SECTOR
    if line.type == "ZERO":
        return (Uniform(source.name, size),)
    reason = _unreadable(line)
    if reason is not None:
        return (Uniform(source.name, size, DiskError(f"{source.name}: {reason}")),)
    if opened is None:
        told = f"{source.name}: extent {line.file_name!r} is a file that was not followed (see --follow)"
        return (Uniform(source.name, size, NotFollowedError(told)),)
    if line.type in _FLAT_TYPES:
        return (FlatDisk(opened, size, (line.start or 0) * SECTOR),)
    facts = _extent_facts(source, line, opened, limits)
    covered = min(size, facts.virtual_size or 0)
    disk = _grains(opened, facts, limits, covered, parent)
    if covered == size:
        return (disk,)
    told = f"{source.name}: extent {line.file_name!r} has {covered} bytes, not {size}"
    return disk, Uniform(source.name, size - covered, DiskError(told))


def _unreadable(line: ExtentLine) -> str | None:
    """Why the range of this line can never be read."""
    if line.access == "NOACCESS":
        return f"extent {line.file_name!r} is NOACCESS"
    if line.access not in ("RW", "RDONLY"):
        return f"extent {line.file_name!r} has an access {line.access!r}"
    if line.type not in _FLAT_TYPES | _SPARSE_TYPES:
        return f"extent {line.file_name!r} of type {line.type} is a device, or of no known type"
    return None


def _extent_facts(source: Source, line: ExtentLine, opened: Source, limits: Limits) -> VmdkFacts:
    """What a sparse extent says of itself."""
    try:
        facts = read(View(opened, limits), limits)
    except Unreadable as error:
        raise DiskError(f"{source.name}: extent {line.file_name!r}: {error.problem.message}") from error
    if facts is None or facts.broken or facts.kind not in _SPARSE:
        raise DiskError(f"{source.name}: extent {line.file_name!r} is no sparse extent that holds")
    return facts
