"""VDI: the block map, all of it, once.

Reference: VirtualBox, "Virtual Disk Image" headers (the block map; new blocks are added behind those allocated).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgtool.formats.vdi.disk import VdiDisk, open_disk
from imgtool.formats.vdi.facts import OtherVdiFacts, VdiFacts
from imgtool.formats.vdi.layout import BLOCK_ZERO
from imgtool.limits import Limits
from imgtool.model.tables import NOT_FAULTY, Faulty, TableFacts, Totals
from imgtool.model.values import Problem
from imgtool.sources.base import Source
from imgtool.sources.claims import Claims, Overlap, noted
from imgtool.sources.disk import DiskError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class VdiTables(TableFacts):
    """The block map. `unknown`: numbers of no block that are no mark either; `outside`: blocks that end past the
    file; `behind`: numbers that the next blocks to be added will get. `overlaps`: a block's number given twice.
    """

    facts: VdiFacts
    allocated: int = 0
    unknown: Faulty = NOT_FAULTY
    outside: Faulty = NOT_FAULTY
    behind: Faulty = NOT_FAULTY
    overlaps: int = 0
    overlapping: tuple[Overlap, ...] = ()


class _Walk:
    """What is counted along the map."""

    def __init__(self, disk: VdiDisk, facts: VdiFacts, limits: Limits) -> None:
        self.disk, self.facts, self.limits = disk, facts, limits
        self.claims = Claims(limits)
        self.allocated = self.fragmented = self.held = 0
        self.end = facts.data_offset
        self.last = -1
        self.faulty = {"unknown": NOT_FAULTY, "outside": NOT_FAULTY, "behind": NOT_FAULTY}

    def faults(self) -> int:
        """Faults counted so far, but for overlaps that are still to be found."""
        return self.claims.overlaps + sum(faulty.total for faulty in self.faulty.values())

    def piece(self, first: int, words: NDArray[np.int64]) -> None:
        """The entries from block `first` on."""
        import numpy as np

        data = words < BLOCK_ZERO
        if not data.any():
            self.held += len(words)
            self.last = -1
            return
        inside = data & (words < self.facts.blocks)
        self._note("unknown", first, words, data & ~inside)
        numbers = words[inside]
        blocks = np.flatnonzero(inside) + first
        self.held += len(words)
        self.allocated += len(numbers)
        ends = self._ends(blocks, numbers)
        self._note("outside", first, words, _among(inside, ends > self.disk.host.size))
        self._note("behind", first, words, inside & (words >= self.facts.blocks_allocated))
        before = np.concatenate(([self.last], words[:-1]))
        elsewhere = (before >= 0) & (before < BLOCK_ZERO) & (words != before + 1)
        self.fragmented += int(np.count_nonzero(inside & elsewhere))
        self.last = int(words[-1])
        self.claims.claim(numbers, numbers + 1, blocks)
        self.end = max(self.end, int(ends.max(initial=0)))

    def _ends(self, blocks: NDArray[np.int64], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the part of each block that the guest has ends in the file."""
        import numpy as np

        size, block = self.disk.size, self.disk.block_size
        return self.disk.place(numbers) + np.clip(size - blocks * block, 0, block)

    def _note(self, what: str, first: int, words: NDArray[np.int64], where: NDArray[np.bool_]) -> None:
        import numpy as np

        places = np.flatnonzero(where)
        self.faulty[what] = noted(self.faulty[what], places + first, words[places], where[places], self.limits)


def _among(where: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask over all of those that `where` has, `chosen` says which."""
    whole = where.copy()
    whole[where] = chosen
    return whole


def walk(source: Source, facts: VdiFacts | OtherVdiFacts, limits: Limits) -> VdiTables | None:
    """The facts of the block map; None for a version whose header is not known. Raises InputError only where the
    file cannot be read."""
    if isinstance(facts, OtherVdiFacts):
        return None
    try:
        disk = open_disk(source, facts, limits, (), None)
    except DiskError as error:
        message = str(error).removeprefix(f"{source.name}: ")
        problem = Problem("malformed", "block map", message, facts.map_offset)
        return VdiTables(facts=facts, totals=Totals(check_errors=1), problems=(problem,))
    assert isinstance(disk, VdiDisk)
    state = _Walk(disk, facts, limits)
    batch = limits.table_batch
    for first in range(0, min(facts.blocks, limits.vdi_blocks), batch):
        words = disk.words(first, min(batch, facts.blocks - first))
        if not len(words) or state.faults() > limits.table_broken:
            break
        state.piece(first, words)
    return _facts(state, facts)


def _facts(state: _Walk, facts: VdiFacts) -> VdiTables:
    state.claims.settle()
    problems: list[Problem] = []
    if state.held < facts.blocks:
        message = f"the block map has {facts.blocks} entries, {state.held} of them were read"
        problems.append(Problem("truncated", "block map", message, facts.map_offset, facts.blocks * 4))
    if state.claims.full:
        message = "the blocks lie in too many pieces: not all were compared with one another"
        problems.append(Problem("cap", "block map", message, facts.map_offset))
    faulty = state.faulty
    miscounted = state.allocated != facts.blocks_allocated
    corruptions = faulty["unknown"].total + faulty["outside"].total + state.claims.overlaps + miscounted
    totals = Totals(
        image_end_offset=state.end,
        total_clusters=facts.blocks,
        allocated_clusters=state.allocated,
        fragmented_clusters=state.fragmented,
        corruptions=corruptions,
        check_errors=len(problems),
    )
    return VdiTables(
        facts=facts,
        totals=totals,
        problems=tuple(problems),
        allocated=state.allocated,
        unknown=faulty["unknown"],
        outside=faulty["outside"],
        behind=faulty["behind"] if not miscounted else NOT_FAULTY,
        overlaps=state.claims.overlaps,
        overlapping=tuple(state.claims.found),
    )
