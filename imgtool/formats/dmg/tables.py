"""dmg: the block maps in the property list, all of them, once.

The list is not parsed as XML: it always names a document type, which no reader here allows. Its <data> elements are
found as they stand, as QEMU does; those that begin with "mish" are block maps. Images that keep their maps in a
resource fork alone are not looked into.
References: newosxbook.com/DMG.html; QEMU block/dmg.c.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgtool.formats.dmg import layout as lay
from imgtool.formats.dmg.facts import DmgFacts
from imgtool.limits import Limits
from imgtool.model.tables import NOT_FAULTY, Faulty, TableFacts, Totals
from imgtool.model.values import Problem
from imgtool.sources.base import Source
from imgtool.sources.claims import Claims, Overlap, noted
from imgtool.units import SECTOR

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DATA = re.compile(rb"<data>([A-Za-z0-9+/=\s]*+)</data>")
_CHUNK = [
    ("type", ">u4"),
    ("comment", ">u4"),
    ("sector", ">u8"),
    ("count", ">u8"),
    ("offset", ">u8"),
    ("length", ">u8"),
]

#: Larger numbers than these are no place of a disk or a file; they are cut so that sums stay whole.
_MOST = 1 << 61


@dataclass(frozen=True, slots=True, kw_only=True)
class DmgTables(TableFacts):
    """The chunks of all block maps, numbered through. `outside`: their bytes are not in the data fork; `misplaced`:
    their sectors are not in their map or the disk; `oversized`: over their cap; `unknown`: of no known type.
    `overlaps`: sectors of the guest that two chunks have. `misfits`: maps that cannot be read.
    """

    facts: DmgFacts
    maps: int = 0
    outside: Faulty = NOT_FAULTY
    misplaced: Faulty = NOT_FAULTY
    oversized: Faulty = NOT_FAULTY
    unknown: Faulty = NOT_FAULTY
    overlaps: int = 0
    overlapping: tuple[Overlap, ...] = ()
    misfits: tuple[Problem, ...] = ()


class _Walk:
    """What is counted along the maps."""

    def __init__(self, facts: DmgFacts, size: int, limits: Limits) -> None:
        self.facts, self.size, self.limits = facts, size, limits
        self.claims = Claims(limits)
        self.maps = self.chunks = self.packed = 0
        self.end = 0
        self.outside = self.misplaced = self.oversized = self.unknown = NOT_FAULTY
        self.misfits: list[Problem] = []

    def table(self, data: bytes, at: int, length: int) -> None:
        """One block map, and where it stands in the file."""
        import numpy as np

        if len(data) < lay.BLOCK_MAP.size:
            self.misfit(f"a block map of {len(data)} bytes is too short", at, length)
            return
        head = lay.BLOCK_MAP.parse(data[: lay.BLOCK_MAP.size])
        room = (len(data) - lay.BLOCK_MAP.size) // lay.CHUNK_SIZE
        if head.chunks > room:
            self.misfit(f"a block map of {head.chunks} chunks has room for {room}", at, length)
        self.maps += 1
        count = min(head.chunks, room)
        rows = np.frombuffer(data, np.dtype(_CHUNK), count, lay.BLOCK_MAP.size)
        self._chunks(rows, head.sector, head.sectors, head.data_offset)

    def _chunks(self, rows: NDArray[np.void], base: int, sectors: int, data_offset: int) -> None:
        import numpy as np

        kinds = rows["type"].astype(np.int64)
        start, count, offset, length = (
            np.minimum(rows[name].astype(np.uint64), _MOST // SECTOR).astype(np.int64)
            for name in ("sector", "count", "offset", "length")
        )
        numbers = np.arange(self.chunks, self.chunks + len(rows))
        self.chunks += len(rows)
        stored = np.isin(kinds, lay.STORED)
        empty = np.isin(kinds, lay.EMPTY)
        self.unknown = noted(self.unknown, numbers, kinds, ~stored & ~empty & ~np.isin(kinds, lay.MARKS), self.limits)
        fork = self.facts.data_fork
        first, most = (fork.offset, fork.offset + fork.length) if fork is not None else (0, self.size)
        begin = offset + min(first + data_offset, _MOST)
        away = stored & ((begin + length > min(most, self.size)) | (begin < first))
        self.outside = noted(self.outside, numbers, begin, away, self.limits)
        big = stored & ((count * SECTOR > self.limits.dmg_chunk) | (length > self.limits.dmg_chunk))
        self.oversized = noted(self.oversized, numbers, count * SECTOR, big, self.limits)
        used = stored | empty
        place = start + min(base, _MOST // SECTOR)
        disk = min(self.facts.sector_count or 0, _MOST // SECTOR)
        wrong = used & ((start + count > min(sectors, _MOST)) | (place + count > disk))
        self.misplaced = noted(self.misplaced, numbers, place, wrong, self.limits)
        self.packed += int(np.count_nonzero(stored))
        self.claims.claim(place[used], (place + count)[used], numbers[used])
        self.end = max(self.end, int((begin + length)[stored].max(initial=0)))

    def misfit(self, message: str, at: int, length: int) -> None:
        if len(self.misfits) < self.limits.table_faults:
            self.misfits.append(Problem("malformed", "block map", message, at, length))


def walk(source: Source, facts: DmgFacts, limits: Limits) -> DmgTables | None:
    """The facts of the block maps; None where no property list holds them. Raises InputError only where the file
    cannot be read."""
    from base64 import b64decode

    plist = facts.plist
    if plist is None or not 0 < plist.length <= limits.dmg_plist:
        return None
    text = source.read_at(plist.offset, plist.length)
    state = _Walk(facts, source.size, limits)
    for match in _DATA.finditer(text):
        letters = b"".join(match[1].split())
        try:
            data = b64decode(letters, validate=True)
        except ValueError:
            if letters.startswith(b"bWlzaA"):
                state.misfit("a block map is no base64", plist.offset + match.start(1), len(match[1]))
            continue
        if data[:4] == lay.BLOCK_MAP_MAGIC:
            state.table(data, plist.offset + match.start(1), len(match[1]))
    if not state.maps and not state.misfits:
        state.misfit("the property list has no block map", plist.offset, plist.length)
    state.claims.settle()
    return _facts(state, facts)


def _facts(state: _Walk, facts: DmgFacts) -> DmgTables:
    faults = (state.outside, state.misplaced, state.oversized)
    totals = Totals(
        image_end_offset=max(state.end, facts.file_size),
        total_clusters=state.chunks,
        allocated_clusters=state.packed,
        corruptions=sum(faulty.total for faulty in faults) + state.claims.overlaps,
        check_errors=len(state.misfits),
    )
    return DmgTables(
        facts=facts,
        totals=totals,
        maps=state.maps,
        outside=state.outside,
        misplaced=state.misplaced,
        oversized=state.oversized,
        unknown=state.unknown,
        overlaps=state.claims.overlaps,
        overlapping=tuple(state.claims.found),
        misfits=tuple(state.misfits),
    )
