"""GrainDisk: a directory of tables of grains, as all sparse VMDKs have it, read lazily.

Subclasses say what an entry of the directory and of a table means, once in plain Python and once for arrays.
References: VMware "Virtual Disk Format 5.0", section "Hosted Sparse Extents"; QEMU block/vmdk.c.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from imgtool.limits import Limits
from imgtool.model.values import Extent
from imgtool.sources.base import Source
from imgtool.sources.blocks import BAD, HOLE, NOWHERE, BlockDisk, Entry
from imgtool.sources.pieces import Pieces

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Where a table lies, beside byte offsets: there is none, or the entry of the directory does not hold.
ABSENT = 0
WRONG = -1

#: Entries of the directory, and grains, that are looked up at once for extents.
_DIRECTORY_BATCH = 1 << 16
_GRAINS_BATCH = 1 << 16

BAD_ENTRY = Entry(BAD, NOWHERE)
HOLE_ENTRY = Entry(HOLE, NOWHERE)


class GrainDisk(BlockDisk):
    """A disk of grains.

    `directory_at`: byte of the directory. `directory_entries`: how many it is said to have. `table_entries`:
    grains of one table. `width`: bytes of an entry, in both. What has no entry in the file does not hold.
    """

    __slots__ = ("_directory", "_table", "directory_at", "held", "table_bytes", "table_entries", "width")

    def __init__(
        self,
        host: Source,
        size: int,
        grain: int,
        limits: Limits,
        *,
        directory_at: int,
        directory_entries: int,
        table_entries: int,
        width: int,
        backing: Source | None = None,
        referenced: bool = False,
    ) -> None:
        super().__init__(host, size, grain, backing=backing, referenced=referenced)
        self.directory_at = directory_at
        self.table_entries = table_entries
        self.width = width
        self.table_bytes = table_entries * width
        self.held = min(directory_entries, max(0, (host.size - directory_at) // width))
        self._directory = Pieces(host, directory_at, self.held * width)
        self._table = lru_cache(maxsize=limits.vmdk_tables)(self._read_table)

    @abstractmethod
    def place(self, value: int) -> int:
        """The byte where the table of a directory's entry begins, ABSENT or WRONG."""

    @abstractmethod
    def places(self, values: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.int64]:
        """`place` of many."""

    @abstractmethod
    def grain(self, value: int) -> Entry:
        """What a table's entry says of its grain."""

    @abstractmethod
    def grains(self, values: NDArray[np.unsignedinteger[Any]]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """`grain` of many."""

    def entry(self, block: int) -> Entry:
        number, index = divmod(block, self.table_entries)
        table = self._table(number)
        if table is None:
            return BAD_ENTRY
        if not table:
            return HOLE_ENTRY
        at = index * self.width
        value = int.from_bytes(table[at : at + self.width], "little")
        return self.grain(value) if value else HOLE_ENTRY

    def run(self, block: int, most: int) -> tuple[Entry, int]:
        number, index = divmod(block, self.table_entries)
        if self._table(number) == b"":
            return HOLE_ENTRY, min(most, self.table_entries - index)
        return super().run(block, most)

    def _read_table(self, number: int) -> bytes | None:
        """A table; empty where there is none, None where its entry does not hold."""
        if number >= self.held:
            return None
        raw = self._directory.read(number * self.width, self.width)
        place = self.place(int.from_bytes(raw, "little"))
        if place == ABSENT:
            return b""
        if place < 0 or place + self.table_bytes > self.host.size:
            return None
        table = self.host.read_at(place, self.table_bytes)
        return table if len(table) == self.table_bytes else None

    def table_places(self, first: int, count: int) -> NDArray[np.int64]:
        """Where `count` tables from `first` on lie: bytes, ABSENT or WRONG."""
        import numpy as np

        found = np.full(count, WRONG, np.int64)
        inside = max(0, min(count, self.held - first))
        raw = self.host.read_at(self.directory_at + first * self.width, inside * self.width) if inside else b""
        values = self._numbers(raw)
        places = self.places(values)
        places[places > self.host.size - self.table_bytes] = WRONG
        found[: len(places)] = places
        return found

    def tables(self, places: NDArray[np.int64]) -> NDArray[np.unsignedinteger[Any]]:
        """The entries of the tables at these places, one after the other; zeros where there is no table."""
        import numpy as np

        raw = np.zeros(len(places) * self.table_entries, f"<u{self.width}")
        for begin, after in _runs(places, self.table_bytes):
            values = self._numbers(self.host.read_at(int(places[begin]), (after - begin) * self.table_bytes))
            raw[begin * self.table_entries :][: len(values)] = values
        return raw

    def _numbers(self, raw: bytes) -> NDArray[np.unsignedinteger[Any]]:
        import numpy as np

        whole = len(raw) // self.width * self.width
        return np.frombuffer(raw[:whole], f"<u{self.width}")

    def entries(self, first: int, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        import numpy as np

        low, skipped = divmod(first, self.table_entries)
        high = (first + count - 1) // self.table_entries + 1
        places = self.table_places(low, high - low)
        raw = self.tables(places)
        raw = raw[skipped : skipped + count]
        if raw.any():
            kinds, hosts = self.grains(raw)
        else:
            kinds, hosts = np.full(count, HOLE, np.uint8), np.full(count, NOWHERE, np.int64)
        if places.min() == WRONG:
            wrong = np.repeat(places == WRONG, self.table_entries)[skipped : skipped + count]
            kinds[wrong], hosts[wrong] = BAD, NOWHERE
        return kinds, hosts

    def _extents(self, start: int, end: int) -> Iterator[Extent]:
        """Tables that are not there are one run each, however many grains they would have."""
        span = self.block_size * self.table_entries
        number, after = start // span, -(-end // span)
        while number < min(after, self.held):
            upto = min(after, self.held, number + _DIRECTORY_BATCH)
            yield from self._some_tables(number, upto, start, end)
            number = upto
        low = max(start, number * span)
        if low < end:
            yield from self._extent(BAD, NOWHERE, low, end)

    def _some_tables(self, first: int, after: int, start: int, end: int) -> Iterator[Extent]:
        """Extents of the range as far as these tables map it: long runs without a table at once, else by grains."""
        import numpy as np

        span = self.block_size * self.table_entries
        state = np.sign(self.table_places(first, after - first))
        begins = np.concatenate(([0], np.flatnonzero(state[1:] != state[:-1]) + 1))
        lengths = np.diff(begins, append=after - first)
        vacant = (state[begins] <= 0) & (lengths * self.table_entries >= _GRAINS_BATCH // 8)
        bounds = vacant | np.concatenate(([True], vacant[:-1]))
        places = (begins[bounds] + first).tolist()
        for begin, behind, alone in zip(places, [*places[1:], after], vacant[bounds].tolist(), strict=True):
            low, high = max(start, begin * span), min(end, behind * span)
            if alone:
                kind = HOLE if state[begin - first] == ABSENT else BAD
                yield from self._extent(kind, NOWHERE, low, high)
            else:
                yield from self._some_grains(low, high)

    def _some_grains(self, start: int, end: int) -> Iterator[Extent]:
        while start < end:
            first = start // self.block_size
            count = min(-(-end // self.block_size) - first, _GRAINS_BATCH)
            upto = min(end, (first + count) * self.block_size)
            yield from self._batch(first, count, start, upto)
            start = upto


def _runs(places: NDArray[np.int64], table_bytes: int) -> Iterator[tuple[int, int]]:
    """Tables that lie one after the other in the file: first and the one behind the last."""
    import numpy as np

    there = np.flatnonzero(places > 0)
    if not len(there):
        return
    follows = (there[1:] == there[:-1] + 1) & (places[there[1:]] == places[there[:-1]] + table_bytes)
    begins = np.concatenate(([0], np.flatnonzero(~follows) + 1))
    lasts = np.concatenate((begins[1:] - 1, [len(there) - 1]))
    for begin, last in zip(there[begins].tolist(), there[lasts].tolist(), strict=True):
        yield begin, last + 1
