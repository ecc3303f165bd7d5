"""VDI: the header as facts.

Reference: VirtualBox, "Virtual Disk Image" headers.
"""

from __future__ import annotations

from imgtool.formats.vdi import layout as lay
from imgtool.formats.vdi.facts import OtherVdiFacts, VdiFacts
from imgtool.limits import Limits
from imgtool.model.values import Problem, Reference, c_text
from imgtool.structs.layout import bit_names
from imgtool.structs.view import View
from imgtool.units import guid_text

_LINKAGE_OFFSET = lay.PREHEADER_SIZE + 352
_PARENT_OFFSET = lay.PREHEADER_SIZE + 368


def read(view: View, limits: Limits) -> VdiFacts | OtherVdiFacts:
    """The facts of a VDI image. Raises Unreadable when even the header is not there."""
    before = view.parse(lay.PREHEADER, 0)
    version = f"{before.u32Version >> 16}.{before.u32Version & 0xFFFF}"
    creator = c_text(before.szFileInfo).strip("<> \n")
    if before.u32Signature != lay.SIGNATURE:
        message = f"the signature is {before.u32Signature:#010x}, not {lay.SIGNATURE:#010x}"
        view.problem("u32Signature", message, offset=0x40, length=4)
    if before.u32Signature != lay.SIGNATURE or before.u32Version != lay.VERSION_1_1:
        return OtherVdiFacts(
            format="vdi", file_size=view.size, broken=True, version=version, creator=creator, problems=view.problems
        )
    head = view.parse(lay.HEADER, lay.PREHEADER_SIZE)
    geometry = None
    if head.cbHeader >= lay.HEADER_PLUS_SIZE:
        geometry = view.optional(lay.GEOMETRY, lay.PREHEADER_SIZE + lay.HEADER_SIZE)
    if head.cbDisk > limits.virtual_size:
        message = f"the virtual size of {head.cbDisk} bytes is over {limits.virtual_size}"
        view.problem("cbDisk", message, kind="cap", offset=368, length=8)
    cut = truncation(head, view.size)
    if cut is not None:
        view.note(cut)
    return VdiFacts(
        format="vdi",
        file_size=view.size,
        virtual_size=head.cbDisk,
        broken=head.cbBlock == 0 or head.cbHeader < lay.HEADER_SIZE,
        partial=bool(view.problems),
        references=_references(head),
        version=version,
        creator=creator,
        image_type=lay.IMAGE_TYPES.get(head.u32Type, f"unknown-{head.u32Type}"),
        cluster_size=head.cbBlock,
        header_size=head.cbHeader,
        block_extra=head.cbBlockExtra,
        map_offset=head.offBlocks,
        data_offset=head.offData,
        blocks=head.cBlocks,
        blocks_allocated=head.cBlocksAllocated,
        sector_size=head.cbSector,
        image_flags=bit_names(head.fFlags, lay.IMAGE_FLAGS),
        comment=c_text(head.szComment),
        image_uuid=_uuid(head.uuidCreate),
        snapshot_uuid=_uuid(head.uuidModify),
        link_uuid=_uuid(head.uuidLinkage),
        parent_uuid=_uuid(head.uuidParentModify),
        legacy_geometry=lay.Geometry(head.cCylinders, head.cHeads, head.cSectors, head.cbSector),
        geometry=geometry,
        problems=view.problems,
    )


def truncation(head: lay.Header, file_size: int) -> Problem | None:
    """What is missing at the end; None where the map and every allocated block can be there.

    Allocated blocks lie side by side from offData on. Of the block that holds the end of the disk only the
    virtual part need be there, and it may be the last one.
    """
    map_size = head.cBlocks * 4
    if head.offBlocks + map_size > file_size:
        message = f"block map ends at {head.offBlocks + map_size}, the file at {file_size}"
        return Problem("truncated", "block map", message, head.offBlocks, map_size)
    allocated = min(head.cBlocksAllocated, head.cBlocks)
    slack = max(0, min(head.cBlocks * head.cbBlock - head.cbDisk, head.cbBlock))
    end = head.offData + allocated * (head.cbBlock + head.cbBlockExtra)
    if head.offData > file_size or (allocated and end - slack > file_size):
        message = f"{allocated} allocated blocks from {head.offData} on end at {end}, the file at {file_size}"
        return Problem("truncated", "blocks", message, head.offData, end - head.offData)
    return None


def _uuid(raw: bytes) -> str | None:
    return None if raw == lay.NULL_UUID else guid_text(raw)


def _references(head: lay.Header) -> tuple[Reference, ...]:
    """The image below this one, by its UUID: a VDI names no file."""
    link, parent = _uuid(head.uuidLinkage), _uuid(head.uuidParentModify)
    if link is not None:
        return (Reference("parent", link, "vdi", _LINKAGE_OFFSET, 16),)
    if parent is not None:
        return (Reference("parent", parent, "vdi", _PARENT_OFFSET, 16),)
    if head.u32Type in (lay.UNDO, lay.DIFF):
        return (Reference("parent", "", "vdi", _LINKAGE_OFFSET, 16),)
    return ()
