"""Parallels: the guest's disk, by the block allocation table.

An entry counts clusters with the magic "WithouFreSpacExt", sectors with "WithoutFreeSpace". It does not hold where
it lies before the data area, or outside the file, or (where the header says where the data area begins) not a whole
number of clusters behind its start. The table alone decides what is allocated, as it does for QEMU: what the flag
"empty image" would add, an image with that flag and with data, nothing is known to write.

Reference: QEMU docs/interop/parallels, sections "Header" and "BAT".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgtool.errors import UsageError
from imgtool.formats.parallels.facts import ParallelsFacts
from imgtool.formats.parallels.layout import HEADER
from imgtool.limits import Limits
from imgtool.sources.base import Source
from imgtool.sources.blocks import BAD, DATA, HOLE, NOWHERE, Entry
from imgtool.sources.disk import Disk, DiskError, Linked
from imgtool.sources.tables import TableDisk
from imgtool.units import SECTOR

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def open_disk(
    source: Source, facts: ParallelsFacts, limits: Limits, links: tuple[Linked, ...], snapshot: str | None
) -> Disk:
    """The guest's disk of a Parallels image. Raises DiskError where its header cannot hold, UsageError for a
    snapshot."""
    if snapshot is not None:
        raise UsageError(f"{source.name}: a parallels image has no snapshots inside")
    size, tracks = facts.virtual_size or 0, facts.header.tracks
    if size > limits.virtual_size:
        raise DiskError(f"{source.name}: {size} guest bytes are over the cap of {limits.virtual_size}")
    if not 1 <= tracks <= limits.parallels_tracks:
        raise DiskError(f"{source.name}: clusters of {tracks} sectors, 1 to {limits.parallels_tracks} is allowed")
    return ParallelsDisk(source, facts)


class ParallelsDisk(TableDisk):
    """The guest's disk of a Parallels image."""

    __slots__ = ("_align", "_first", "_unit")

    def __init__(self, source: Source, facts: ParallelsFacts) -> None:
        super().__init__(
            source, facts.virtual_size or 0, facts.cluster_size, start=HEADER.size, count=facts.bat_entries
        )
        self._unit = facts.cluster_size if facts.extended else SECTOR
        self._first = facts.data_offset
        self._align = facts.cluster_size if facts.header.data_off else SECTOR

    def meaning(self, word: int) -> Entry:
        if not word:
            return Entry(HOLE, NOWHERE)
        host = word * self._unit
        holds = self._first <= host < self.host.size and (host - self._first) % self._align == 0
        return Entry(DATA if holds else BAD, host)

    def meanings(self, words: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        import numpy as np

        hosts = words * self._unit
        holds = (hosts >= self._first) & (hosts < self.host.size) & ((hosts - self._first) % self._align == 0)
        kinds = np.where(holds, DATA, BAD).astype(np.uint8)
        kinds[words == 0] = HOLE
        hosts[words == 0] = NOWHERE
        return kinds, hosts
