"""TableDisk and TwoLevelDisk: disks whose blocks a table of plain numbers maps, or tables below a table.

A format says what one number means, one by one and in arrays (the two ways must agree; tests compare them). Where
the numbers lie, and what holds where tables do not, is said here once. Tables are read in pieces when asked for.
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from array import array
from bisect import bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from imgtool.sources.base import Source
from imgtool.sources.blocks import BAD, COMPRESSED, DATA, HOLE, NOWHERE, BlockDisk, Entry
from imgtool.sources.pieces import Pieces
from imgtool.units import ceil_div

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]

Order = Literal["little", "big"]

#: Bytes of one piece of a second level, and how many pieces are kept: 2 MiB at most.
PIECE = 16 * 1024
KEPT = 128

#: Entries of the first level that are looked at together for runs.
_STRETCH = 1 << 16

#: Blocks without tables that are told as one run; fewer are looked up with their neighbours.
_LONG = 4096

#: What stands for the offset of a table where there is none, and where its entry does not hold.
NO_TABLE = 0
BAD_TABLE = -1

_BAD = Entry(BAD, NOWHERE)


class TableDisk(BlockDisk):
    """A disk whose block n is told by the n-th number of 32 bits, little-endian, of the table at `start`.

    `count`: numbers that the table has; blocks past it, or past the file's end, do not hold.
    """

    __slots__ = ("_reach", "_table")

    def __init__(
        self,
        host: Source,
        size: int,
        block_size: int,
        *,
        start: int,
        count: int,
        backing: Source | None = None,
        referenced: bool = False,
    ) -> None:
        super().__init__(host, size, block_size, backing=backing, referenced=referenced)
        self._table = Pieces(host, start, count * 4)
        self._reach = self._table.length // 4

    @abstractmethod
    def meaning(self, word: int) -> Entry:
        """What a number of the table says of its block. Plain Python."""

    @abstractmethod
    def meanings(self, words: NDArray[np.int64]) -> Arrays:
        """`meaning` of many numbers: kinds and hosts, new arrays."""

    def alike(self, block: int) -> tuple[Entry, int] | None:
        return (_BAD, ceil_div(self.size, self.block_size) - block) if block >= self._reach else None

    def entry(self, block: int) -> Entry:
        raw = self._table.read(block * 4, 4)
        return self.meaning(int.from_bytes(raw, "little")) if len(raw) == 4 else _BAD

    def words(self, first: int, count: int) -> NDArray[np.int64]:
        """The numbers of up to `count` blocks from `first` on: those that the table has in the file."""
        import numpy as np

        held = max(0, min(count, self._reach - first))
        raw = self.host.read_at(self._table.start + first * 4, held * 4) if held else b""
        return np.frombuffer(raw, "<u4", len(raw) // 4).astype(np.int64)

    def entries(self, first: int, count: int) -> Arrays:
        import numpy as np

        kinds, hosts = self.meanings(self.words(first, count))
        missing = count - len(kinds)
        if missing:
            kinds = np.append(kinds, np.full(missing, BAD, np.uint8))
            hosts = np.append(hosts, np.full(missing, NOWHERE, np.int64))
        return kinds, hosts


class FirstLevel(NamedTuple):
    """The table that says where the tables of the second level lie; numbers of 64 bits in both.

    `tables`: how many it names; blocks below further ones do not hold. `per_table`: numbers in one of them. `align`,
    `floor`: what offsets of tables are multiples of, and at least. A number of 0 is no table.
    """

    start: int
    tables: int
    per_table: int
    order: Order
    align: int
    floor: int


class TwoLevelDisk(BlockDisk):
    """A disk whose block n is told by a number of 64 bits in one of the tables that `level` names."""

    __slots__ = ("_level", "_piece", "_piece_size", "_runs")

    def __init__(
        self,
        host: Source,
        size: int,
        block_size: int,
        level: FirstLevel,
        *,
        backing: Source | None = None,
        referenced: bool = False,
    ) -> None:
        super().__init__(host, size, block_size, backing=backing, referenced=referenced)
        self._level = level
        self._piece_size = min(PIECE, level.per_table * 8)
        self._piece = lru_cache(maxsize=KEPT)(self._load)
        self._runs = lru_cache(maxsize=2)(self._find_runs)

    @abstractmethod
    def meaning(self, word: int) -> Entry:
        """What a number of the second level says of its block. Plain Python."""

    @abstractmethod
    def meanings(self, words: NDArray[np.uint64]) -> Arrays:
        """`meaning` of many numbers: kinds and hosts, new arrays."""

    def entry(self, block: int) -> Entry:
        return self.run(block, 1)[0]

    def run(self, block: int, most: int) -> tuple[Entry, int]:
        table, index = divmod(block, self._level.per_table)
        pointer = self._pointer(table)
        if pointer == BAD_TABLE:
            return _BAD, 1
        if pointer == NO_TABLE:
            return Entry(HOLE, NOWHERE), min(most, self._level.per_table - index)
        piece, within = divmod(index * 8, self._piece_size)
        words, at = self._piece(pointer + piece * self._piece_size), within // 8
        if at >= len(words):
            return _BAD, 1
        word = words[at]
        entry = self.meaning(word)
        if entry.kind in (COMPRESSED, BAD):
            return entry, 1
        step = self.block_size if entry.kind == DATA else 0
        end = min(len(words), at + most)
        after = at + 1
        while after < end and words[after] == word + step:
            word += step
            after += 1
        return entry, after - at

    def alike(self, block: int) -> tuple[Entry, int] | None:
        table, within = divmod(block, self._level.per_table)
        if table >= self._level.tables:
            return _BAD, ceil_div(self.size, self.block_size) - block
        kind, count = self._settled(table)
        blocks = count * self._level.per_table - within
        return (Entry(kind, NOWHERE), blocks) if blocks >= _LONG else None

    def entries(self, first: int, count: int) -> Arrays:
        import numpy as np

        level = self._level
        dtype = "<u8" if level.order == "little" else ">u8"
        words = np.zeros(count, np.uint64)
        unread = np.zeros(count, np.bool_)
        low, high = first // level.per_table, (first + count - 1) // level.per_table + 1
        pointers = self._pointers(low, high - low)
        for number in np.flatnonzero(pointers).tolist():
            start = max(first, (low + number) * level.per_table)
            end = min(first + count, (low + number + 1) * level.per_table)
            held, pointer = 0, int(pointers[number])
            if pointer != BAD_TABLE:
                data = self.host.read_at(pointer + start % level.per_table * 8, (end - start) * 8)
                held = len(data) // 8
                words[start - first : start - first + held] = np.frombuffer(data, dtype, held)
            unread[start - first + held : end - first] = True
        kinds, hosts = self.meanings(words)
        kinds[unread] = BAD
        hosts[unread] = NOWHERE
        return kinds, hosts

    def _load(self, offset: int) -> array[int]:
        data = self.host.read_at(offset, self._piece_size)
        words = array("Q", data[: len(data) // 8 * 8])
        if sys.byteorder != self._level.order:
            words.byteswap()
        return words

    def _pointer(self, table: int) -> int:
        """The offset of table number `table`, or NO_TABLE, or BAD_TABLE."""
        level = self._level
        if table >= level.tables:
            return BAD_TABLE
        piece, within = divmod(table * 8, self._piece_size)
        words = self._piece(level.start + piece * self._piece_size)
        if within // 8 >= len(words):
            return BAD_TABLE
        offset = words[within // 8]
        if offset == NO_TABLE:
            return NO_TABLE
        return offset if level.floor <= offset < self.host.size and offset % level.align == 0 else BAD_TABLE

    def _pointers(self, first: int, count: int) -> NDArray[np.int64]:
        """`_pointer` of `count` tables from number `first` on."""
        import numpy as np

        level = self._level
        pointers = np.full(count, BAD_TABLE, np.int64)
        inside = max(0, min(count, level.tables - first))
        data = self.host.read_at(level.start + first * 8, inside * 8)
        dtype = "<u8" if level.order == "little" else ">u8"
        words = np.frombuffer(data, dtype, len(data) // 8).astype(np.uint64)
        holds = (words >= np.uint64(level.floor)) & (words < np.uint64(self.host.size))
        holds &= words % np.uint64(level.align) == 0
        known = pointers[: len(words)]
        known[holds] = words[holds].astype(np.int64)
        known[words == 0] = NO_TABLE
        return pointers

    def _settled(self, table: int) -> tuple[int, int]:
        """Of the tables from number `table` on: HOLE and how many there are not, BAD and how many do not hold, or
        a count of 0 where `table` is there."""
        stretch, within = divmod(table, _STRETCH)
        bounds, kinds = self._runs(stretch)
        run = bisect_right(bounds, within) - 1
        after = bounds[run + 1] if run + 1 < len(bounds) else min(_STRETCH, self._level.tables - stretch * _STRETCH)
        kind = kinds[run]
        return (kind, after - within) if kind in (HOLE, BAD) else (kind, 0)

    def _find_runs(self, stretch: int) -> tuple[list[int], list[int]]:
        import numpy as np

        first = stretch * _STRETCH
        kinds = np.sign(self._pointers(first, min(_STRETCH, self._level.tables - first)))
        begins = np.concatenate(([0], np.flatnonzero(np.diff(kinds)) + 1))
        names = {NO_TABLE: HOLE, BAD_TABLE: BAD}
        return begins.tolist(), [names.get(kind, DATA) for kind in kinds[begins].tolist()]
