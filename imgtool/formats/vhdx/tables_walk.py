"""VHDX: the walk over the block allocation table, for the deep check; the log is replayed in memory first.

Every entry is looked at once, those past the end of the disk too, in pieces.
A payload block takes as many bytes as the disk has of it, a sector bitmap block as many as the blocks of its chunk
need: a file ends inside its last block by rights. Blocks, regions, the log and the header section lie apart.

Reference: [MS-VHDX] 2.4 (blocks), 2.5 (BAT), 2.5.1.1 and 2.5.1.2 (states).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from imgtool.errors import InputError
from imgtool.formats.vhdx import layout as lay
from imgtool.formats.vhdx.checks.regions import table_entries
from imgtool.formats.vhdx.facts import Region, VhdxFacts
from imgtool.formats.vhdx.log import replayed
from imgtool.formats.vhdx.reader import read_as_stored
from imgtool.limits import Limits
from imgtool.model.tables import NOT_FAULTY, Faulty, TableFacts, Totals
from imgtool.model.values import Problem, ProblemKind
from imgtool.sources.base import Source
from imgtool.sources.claims import NO_LABEL, Claims, Overlap, noted
from imgtool.structs.view import Unreadable, View
from imgtool.units import MIB, ceil_div

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]
    Words = NDArray[np.uint64]

#: Entries of the table that are looked at together: 4 MiB.
_BATCH = 1 << 19

#: What may be wrong with an entry.
_FAULTS = ("state", "reserved", "misplaced", "outside", "bitmap", "beyond", "unmapped")


class Geometry(NamedTuple):
    """How the table is laid out. `blocks`: payload blocks of the disk; `ratio`: those of a chunk, which one sector
    bitmap block describes; an entry for it follows theirs. Sizes in bytes."""

    size: int
    block: int
    sector: int
    ratio: int
    layered: bool

    @property
    def blocks(self) -> int:
        return ceil_div(self.size, self.block)


@dataclass(frozen=True, slots=True, kw_only=True)
class VhdxTables(TableFacts):
    """Facts of the block allocation table. Entries are numbered as they stand in it, sector bitmap blocks included.

    `state`: reserved states. `reserved`: bits 3 to 19 that are not 0. `misplaced`: blocks in the header section or at
    no place that a file has. `outside`: blocks that do not end inside the file. `bitmap`: entries of sector bitmap
    blocks in use where there is no parent. `unmapped`: partly present blocks without a sector bitmap. `beyond`:
    blocks allocated past the end of the disk. `overlaps`: how often two things share bytes; `overlapping` the first
    of them, labels of `parts` below NO_LABEL.
    """

    facts: VhdxFacts
    table: int = 0
    state: Faulty = NOT_FAULTY
    reserved: Faulty = NOT_FAULTY
    misplaced: Faulty = NOT_FAULTY
    outside: Faulty = NOT_FAULTY
    bitmap: Faulty = NOT_FAULTY
    unmapped: Faulty = NOT_FAULTY
    beyond: Faulty = NOT_FAULTY
    overlaps: int = 0
    overlapping: tuple[Overlap, ...] = ()
    parts: tuple[str, ...] = ()


def walk(source: Source, facts: VhdxFacts, limits: Limits) -> VhdxTables:
    """The facts of all tables of a VHDX, its log replayed. What could not be looked at is a problem in them."""

    def failed(kind: ProblemKind, what: str, message: str) -> VhdxTables:
        text = message.removeprefix(f"{source.name}: ")
        problem = Problem(kind, what, text, facts.log_offset if what == "log" else None)
        return VhdxTables(facts=facts, totals=Totals(check_errors=1), problems=(problem,))

    try:
        overlay = replayed(source, facts, limits)
        if overlay is not None:
            facts = read_as_stored(View(overlay, limits), limits)
    except (InputError, Unreadable) as error:
        return failed("malformed", "log", str(error))
    table, entries = facts.region(lay.BAT), table_entries(facts)
    if facts.broken or table is None or entries is None:
        return failed("malformed", "BAT", "the headers do not tell where the blocks are")
    geometry = Geometry(
        min(facts.virtual_size or 0, limits.vhdx_size),
        facts.block_size or lay.MIN_BLOCK,
        facts.logical_sector_size or lay.SECTOR_SIZES[0],
        lay.CHUNK_SECTORS * (facts.logical_sector_size or lay.SECTOR_SIZES[0]) // (facts.block_size or lay.MIN_BLOCK),
        facts.has_parent,
    )
    try:
        walked = _Walk(overlay or source, facts, table, geometry, limits)
        walked.stored = source.size
        return walked.told(entries)
    except InputError as error:
        return failed("not-read", "BAT", str(error))


class _Walk:
    """What is counted along the table."""

    def __init__(self, host: Source, facts: VhdxFacts, table: Region, geometry: Geometry, limits: Limits) -> None:
        import numpy as np

        self.host, self.facts, self.table, self.geometry, self.limits = host, facts, table, geometry, limits
        self.claims = Claims(limits)
        self.parts: list[str] = []
        self.faulty = dict.fromkeys(_FAULTS, NOT_FAULTY)
        self.allocated = self.fragmented = 0
        self.stored = host.size  #: bytes of the file, which the log may make longer
        self.end = lay.HEADER_SECTION
        self.last: int | None = None
        self.partial: list[tuple[Numbers, Words]] = []
        self.bitmaps = np.zeros(ceil_div(geometry.blocks, geometry.ratio), np.bool_)
        self._part("the header section", 0, lay.HEADER_SECTION)
        if facts.log_offset is not None and facts.log_length:
            self._part("the log", facts.log_offset, facts.log_length)
        for region in facts.regions:
            self._part(f"the {region.name} region", region.offset, region.length)

    def _part(self, name: str, start: int, length: int) -> None:
        if start < self.host.size:
            self.parts.append(name)
            self.claims.one(start, start + length, NO_LABEL - len(self.parts))
            self.end = max(self.end, min(start + length, self.host.size))

    def told(self, entries: int) -> VhdxTables:
        """The facts, once every entry was looked at; `entries` are those that the disk needs."""
        held = max(0, min(self.table.length, self.host.size - self.table.offset)) // lay.BAT_ENTRY
        seen = min(held, self.limits.vhdx_table_entries)
        for first in range(0, seen, _BATCH):
            self._piece(first, min(_BATCH, seen - first))
        self.claims.settle()
        self._unmapped()
        problems = []
        if seen < held:
            message = f"a BAT of {held} entries, {seen} are looked at"
            problems.append(Problem("cap", "BAT", message, self.table.offset, self.table.length))
        if self.claims.full:
            message = f"blocks in more than {self.limits.claims} pieces: not all were compared with one another"
            problems.append(Problem("cap", "BAT", message, self.table.offset, self.table.length))
        faulty = self.faulty
        wrong = sum(one.total for what, one in faulty.items() if what != "beyond")
        return VhdxTables(
            facts=self.facts,
            table=self.table.offset,
            totals=Totals(
                image_end_offset=None if problems else min(self.end, self.stored),
                total_clusters=self.geometry.blocks,
                allocated_clusters=self.allocated,
                fragmented_clusters=self.fragmented,
                corruptions=wrong + self.claims.overlaps,
                check_errors=int(held < entries),
            ),
            problems=tuple(problems),
            unit=MIB,
            state=faulty["state"],
            reserved=faulty["reserved"],
            misplaced=faulty["misplaced"],
            outside=faulty["outside"],
            bitmap=faulty["bitmap"],
            unmapped=faulty["unmapped"],
            beyond=faulty["beyond"],
            overlaps=self.claims.overlaps,
            overlapping=tuple(self.claims.found),
            parts=tuple(self.parts),
        )

    def _piece(self, first: int, count: int) -> None:
        """The `count` entries from number `first` on. Those of payload blocks that are nowhere say nothing."""
        import numpy as np

        raw = self.host.read_at(self.table.offset + first * lay.BAT_ENTRY, count * lay.BAT_ENTRY)
        if raw == bytes(len(raw)):
            return
        words = np.frombuffer(raw, "<u8", len(raw) // lay.BAT_ENTRY)
        low = words.astype(np.uint32) & np.uint32(lay.BAT_STATE | lay.BAT_RESERVED)
        telling = low > lay.PAYLOAD_UNMAPPED
        stride = self.geometry.ratio + 1
        bitmaps = slice((self.geometry.ratio - first) % stride, None, stride)
        telling[bitmaps] |= low[bitmaps] != 0
        used = np.flatnonzero(telling)
        words, numbers = words[used].astype(np.uint64), used + first
        chunks, within = np.divmod(numbers, stride)
        bitmap = within == self.geometry.ratio
        self._payload(numbers[~bitmap], words[~bitmap], (numbers - chunks)[~bitmap])
        self._bitmaps(numbers[bitmap], words[bitmap], chunks[bitmap])

    def _payload(self, numbers: Numbers, words: Words, blocks: Numbers) -> None:
        """Entries of payload blocks; `blocks` says of which."""
        import numpy as np

        geometry = self.geometry
        states = (words & np.uint64(lay.BAT_STATE)).astype(np.int64)
        partial = states == lay.PAYLOAD_PARTIALLY_PRESENT
        self._note("state", numbers, words, (states == 4) | (states == 5) | (partial & (not geometry.layered)))
        present = (states == lay.PAYLOAD_FULLY_PRESENT) | (partial & geometry.layered)
        self._note("beyond", numbers, words, present & (blocks >= geometry.blocks))
        left = np.clip(geometry.size - blocks * geometry.block, 0, geometry.block)
        lengths = np.where(left > 0, left, geometry.block)
        sound = self._place(numbers, words, present, lengths, geometry.block)
        if geometry.layered and partial.any():
            chosen = partial & (blocks < geometry.blocks)
            self.partial.append((numbers[chosen], words[chosen]))
        offsets = (words & np.uint64(lay.BAT_OFFSET))[sound & (blocks < geometry.blocks)].astype(np.int64)
        if len(offsets):
            before = np.concatenate(
                ([self.last if self.last is not None else offsets[0] - geometry.block], offsets[:-1])
            )
            self.fragmented += int(np.count_nonzero(offsets != before + geometry.block))
            self.last = int(offsets[-1])
        self.allocated += int(np.count_nonzero(present & (blocks < geometry.blocks)))

    def _bitmaps(self, numbers: Numbers, words: Words, chunks: Numbers) -> None:
        """Entries of sector bitmap blocks; `chunks` says of which."""
        import numpy as np

        geometry = self.geometry
        states = (words & np.uint64(lay.BAT_STATE)).astype(np.int64)
        present = states == lay.BITMAP_PRESENT
        if not geometry.layered:
            self._note("bitmap", numbers, words, states != 0)
            self._note("reserved", numbers, words, words & np.uint64(lay.BAT_RESERVED) != 0)
            return
        self._note("state", numbers, words, (states != 0) & ~present)
        inside = chunks < len(self.bitmaps)
        self._note("beyond", numbers, words, present & ~inside)
        held = np.clip(geometry.blocks - chunks * geometry.ratio, 0, geometry.ratio)
        bits = held * (geometry.block // geometry.sector)
        self._place(numbers, words, present, np.where(held > 0, -(-bits // 8), MIB), MIB)
        self.bitmaps[chunks[present & inside]] = True

    def _place(
        self, numbers: Numbers, words: Words, present: NDArray[np.bool_], lengths: Numbers, whole: int
    ) -> NDArray[np.bool_]:
        """Notes what does not hold of where blocks lie, claims the bytes of the others; says which these are.

        `lengths` are what must be there of blocks that take `whole` bytes.
        """
        import numpy as np

        self._note("reserved", numbers, words, words & np.uint64(lay.BAT_RESERVED) != 0)
        offsets = words & np.uint64(lay.BAT_OFFSET)
        nowhere = present & ((offsets < lay.HEADER_SECTION) | (offsets >> np.uint64(63) != 0))
        self._note("misplaced", numbers, words, nowhere)
        starts = np.where(offsets >> np.uint64(62) != 0, 0, offsets).astype(np.int64)
        ends = np.where(offsets >> np.uint64(62) != 0, np.int64(1 << 62), starts + lengths)
        outside = present & ~nowhere & (ends > self.host.size)
        self._note("outside", numbers, words, outside)
        sound: NDArray[np.bool_] = present & ~nowhere & ~outside
        self.claims.claim(starts[sound], ends[sound], numbers[sound])
        if sound.any():
            self.end = max(self.end, min(int(starts[sound].max()) + whole, self.host.size))
        return sound

    def _unmapped(self) -> None:
        """Partly present blocks whose chunk has no sector bitmap block."""
        for numbers, words in self.partial:
            lacking = ~self.bitmaps[numbers // (self.geometry.ratio + 1)]
            self._note("unmapped", numbers, words, lacking)

    def _note(self, what: str, numbers: Numbers, words: Words, where: NDArray[np.bool_]) -> None:
        self.faulty[what] = noted(self.faulty[what], numbers, words, where, self.limits)
