"""QED: the guest's disk, by its L1 and L2 tables.

An entry of an L2 table is 0 (not allocated: the backing file shows, or zeros), 1 (a cluster of zeros), or the
offset of a cluster: a multiple of the cluster size, behind the header, inside the file. An entry of the L1 table is
0 or such an offset.

Reference: QEMU docs/interop/qed_spec, sections "Tables" and "Data clusters".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgtool.errors import UnsupportedError, UsageError
from imgtool.formats.qed.facts import QedFacts
from imgtool.formats.qed.layout import ZERO_CLUSTER
from imgtool.limits import Limits
from imgtool.sources.base import Source
from imgtool.sources.blocks import BAD, DATA, HOLE, NOWHERE, ZERO, Entry
from imgtool.sources.disk import Disk, DiskError, Linked
from imgtool.sources.tables import FirstLevel, TwoLevelDisk

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def open_disk(
    source: Source, facts: QedFacts, limits: Limits, links: tuple[Linked, ...], snapshot: str | None
) -> Disk:
    """The guest's disk of a QED. Raises UnsupportedError for features that nobody knows, DiskError where its header
    cannot hold, UsageError for a snapshot."""
    if snapshot is not None:
        raise UsageError(f"{source.name}: a qed has no snapshots inside")
    unknown = [name for name in facts.features if name.startswith("unknown-")]
    if unknown:
        raise UnsupportedError(f"{source.name}: feature bits {', '.join(unknown)} are set, which nobody knows")
    if facts.image_size > limits.virtual_size:
        raise DiskError(f"{source.name}: {facts.image_size} guest bytes are over the cap of {limits.virtual_size}")
    backing = next((link.disk for link in links if link.reference.kind == "backing"), None)
    return QedDisk(source, facts, backing)


def floor_of(facts: QedFacts) -> int:
    """Where the header ends, and clusters begin."""
    return max(1, facts.header_size) * facts.cluster_size


def first_level(facts: QedFacts, floor: int) -> FirstLevel:
    """The L1 table; one that does not lie on a cluster behind the header names no tables, and nothing holds."""
    entries = facts.table_size * facts.cluster_size // 8
    start = facts.l1_table_offset
    count = 0 if start < floor or start % facts.cluster_size else entries
    return FirstLevel(start, count, entries, "little", facts.cluster_size, floor)


class QedDisk(TwoLevelDisk):
    """The guest's disk of a QED."""

    __slots__ = ("_floor",)

    def __init__(self, source: Source, facts: QedFacts, backing: Source | None) -> None:
        self._floor = floor_of(facts)
        super().__init__(
            source,
            facts.image_size,
            facts.cluster_size,
            first_level(facts, self._floor),
            backing=backing,
            referenced=facts.backing_file is not None,
        )

    def meaning(self, word: int) -> Entry:
        if not word:
            return Entry(HOLE, NOWHERE)
        if word == ZERO_CLUSTER:
            return Entry(ZERO, NOWHERE)
        holds = self._floor <= word < self.host.size and word % self.block_size == 0
        return Entry(DATA if holds else BAD, word if word < 1 << 63 else NOWHERE)

    def meanings(self, words: NDArray[np.uint64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        import numpy as np

        holds = (words >= np.uint64(self._floor)) & (words < np.uint64(self.host.size))
        holds &= words % np.uint64(self.block_size) == 0
        kinds = np.where(holds, DATA, BAD).astype(np.uint8)
        hosts = np.where(words < np.uint64(1 << 63), words.astype(np.int64), NOWHERE)
        for word, kind in ((0, HOLE), (ZERO_CLUSTER, ZERO)):
            where = words == np.uint64(word)
            kinds[where] = kind
            hosts[where] = NOWHERE
        return kinds, hosts
