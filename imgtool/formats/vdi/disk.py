"""VDI: the guest's disk, by the block map; static and dynamic ones alike, differencing and undo ones over a parent.

The number of a block counts blocks from the start of the data area; where blocks have extra bytes, these come
before each block's own. A free block shows the parent where the image names one, else zeros.

Reference: VirtualBox, "Virtual Disk Image" headers (offBlocks, offData, cbBlock, cbBlockExtra).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from imgtool.errors import UsageError
from imgtool.formats.vdi.facts import VdiFacts
from imgtool.formats.vdi.layout import BLOCK_FREE, BLOCK_ZERO, SECTOR_SIZE
from imgtool.limits import Limits
from imgtool.sources.base import Source
from imgtool.sources.blocks import BAD, DATA, HOLE, NOWHERE, ZERO, Entry
from imgtool.sources.disk import Disk, DiskError, Linked
from imgtool.sources.tables import TableDisk
from imgtool.units import is_power_of_two

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: A number, or an array of them.
Number = TypeVar("Number", "int", "NDArray[np.int64]")


def open_disk(
    source: Source, facts: VdiFacts, limits: Limits, links: tuple[Linked, ...], snapshot: str | None
) -> Disk:
    """The guest's disk of a VDI. Raises DiskError where its header cannot hold, UsageError for a snapshot."""
    if snapshot is not None:
        raise UsageError(f"{source.name}: a vdi has no snapshots inside")
    size, block, extra = facts.virtual_size or 0, facts.cluster_size, facts.block_extra
    if size > limits.virtual_size:
        raise DiskError(f"{source.name}: {size} guest bytes are over the cap of {limits.virtual_size}")
    if not is_power_of_two(block) or not SECTOR_SIZE <= block <= limits.vdi_block:
        raise DiskError(
            f"{source.name}: the block size is {block}: a power of two from {SECTOR_SIZE} to {limits.vdi_block} is "
            "allowed"
        )
    if extra > limits.vdi_block:
        raise DiskError(f"{source.name}: blocks with {extra} extra bytes are over the cap of {limits.vdi_block}")
    return VdiDisk(source, facts, _parent(source, facts, links))


def _parent(source: Source, facts: VdiFacts, links: tuple[Linked, ...]) -> Source | None:
    """The parent's disk, where it was opened and is as it was when this image was made upon it. Raises DiskError."""
    link = next((link for link in links if link.reference.kind == "parent"), None)
    if link is None:
        return None
    if not isinstance(link.facts, VdiFacts):
        raise DiskError(f"{source.name}: its parent {link.disk.name} is not a vdi")
    known = (
        ("UUID", facts.link_uuid, link.facts.image_uuid),
        ("last modification", facts.parent_uuid, link.facts.snapshot_uuid),
    )
    for what, wanted, found in known:
        if wanted is not None and found != wanted:
            raise DiskError(
                f"{source.name}: its parent's {what} is {wanted}, that of {link.disk.name} {found}: another disk"
            )
    return link.disk


class VdiDisk(TableDisk):
    """The guest's disk of a VDI."""

    __slots__ = ("_data", "_stride")

    def __init__(self, source: Source, facts: VdiFacts, parent: Source | None) -> None:
        super().__init__(
            source,
            facts.virtual_size or 0,
            facts.cluster_size,
            start=facts.map_offset,
            count=facts.blocks,
            backing=parent,
            referenced=bool(facts.references),
        )
        self._stride = facts.cluster_size + facts.block_extra
        self._data = facts.data_offset + facts.block_extra

    def place(self, number: Number) -> Number:
        """Where the guest's bytes of a block begin in the file, by the block's number there."""
        return self._data + number * self._stride

    def meaning(self, word: int) -> Entry:
        if word == BLOCK_FREE:
            return Entry(HOLE, NOWHERE)
        if word == BLOCK_ZERO:
            return Entry(ZERO, NOWHERE)
        host = self.place(word)
        return Entry(DATA if host < self.host.size else BAD, host)

    def meanings(self, words: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        import numpy as np

        hosts = self.place(words)
        kinds = np.where(hosts < self.host.size, DATA, BAD).astype(np.uint8)
        for word, kind in ((BLOCK_FREE, HOLE), (BLOCK_ZERO, ZERO)):
            where = words == word
            kinds[where] = kind
            hosts[where] = NOWHERE
        return kinds, hosts
