"""Two levels of tables read whole, for deep checks: the first in pieces, each table of the second once.

What a number of the second level means its format says. The memory does not depend on what the image claims.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from imgtool.limits import Limits
from imgtool.model.tables import NOT_FAULTY
from imgtool.sources.base import Source
from imgtool.sources.claims import noted
from imgtool.sources.present import Present
from imgtool.sources.tables import FirstLevel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

#: Bytes of tables that are looked at together.
_BATCH = 1 << 20


class Batch(NamedTuple):
    """Numbers of some tables, one table after the other. `tables`: where each lies; `numbers`: which entry of the
    first level names it."""

    words: NDArray[np.uint64]
    tables: Numbers
    numbers: Numbers
    per_table: int

    def blocks(self, entries: Numbers) -> Numbers:
        """The guest's blocks of these entries."""
        return self.numbers[entries // self.per_table] * self.per_table + entries % self.per_table


class Levels:
    """The tables of an image.

    `named`: entries of the first level that name a table which holds, in order, `tables` where those lie.
    `misplaced`: entries that name what is no place of a table; `outside`: tables that do not end inside the file.
    `held`: entries of the first level that were read. `dropped`: tables over `limits.table_count`, not walked.
    """

    def __init__(self, source: Source, level: FirstLevel, limits: Limits) -> None:
        import numpy as np

        self.source = source
        self.level = level
        self.misplaced = NOT_FAULTY
        self.outside = NOT_FAULTY
        self.held = 0
        self.dropped = 0
        self._limits = limits
        named: list[Numbers] = []
        tables: list[Numbers] = []
        for first in range(0, level.tables, limits.table_batch):
            numbers, offsets = self._first(first, min(limits.table_batch, level.tables - first))
            room = max(0, limits.table_count - sum(map(len, named)))
            self.dropped += max(0, len(numbers) - room)
            named.append(numbers[:room])
            tables.append(offsets[:room])
            if self.misplaced.total + self.outside.total > limits.table_broken:
                break
        self.named = np.concatenate(named) if named else np.zeros(0, np.int64)
        self.tables = np.concatenate(tables) if tables else np.zeros(0, np.int64)

    @property
    def table_size(self) -> int:
        """Bytes of a table of the second level."""
        return self.level.per_table * 8

    def _first(self, first: int, count: int) -> tuple[Numbers, Numbers]:
        """Which of `count` entries of the first level from number `first` on name a table, and where it lies."""
        import numpy as np

        level, size = self.level, self.source.size
        data = self.source.read_at(level.start + first * 8, count * 8)
        words = np.frombuffer(data, "<u8" if level.order == "little" else ">u8", len(data) // 8).astype(np.uint64)
        self.held += len(words)
        numbers = np.arange(first, first + len(words), dtype=np.int64)
        placed = (words >= np.uint64(level.floor)) & (words % np.uint64(level.align) == 0)
        self.misplaced = noted(self.misplaced, numbers, words, (words != 0) & ~placed, self._limits)
        inside = words < np.uint64(max(0, size - self.table_size + 1))
        self.outside = noted(self.outside, numbers, words, placed & ~inside, self._limits)
        holds = placed & inside
        return numbers[holds], words[holds].astype(np.int64)

    def first_mentions(self) -> NDArray[np.bool_]:
        """Which of `tables` are not named by an entry before."""
        import numpy as np

        found = np.zeros(len(self.tables), np.bool_)
        order = np.argsort(self.tables, kind="stable")
        ordered = self.tables[order]
        found[order] = np.concatenate(([True], ordered[1:] != ordered[:-1])) if len(order) else False
        return found

    def batches(self) -> Iterator[Batch]:
        """Every table once, in the order of the first level; those in holes of the file hold nothing."""
        import numpy as np

        size = self.table_size
        present = Present(self.source, len(self.tables) * size, self._limits)
        chosen = np.flatnonzero(self.first_mentions() & present.mask(self.tables, size))
        step = max(1, _BATCH // size)
        order = "<u8" if self.level.order == "little" else ">u8"
        for start in range(0, len(chosen), step):
            part = chosen[start : start + step]
            raw = b"".join([self.source.read_at(offset, size) for offset in self.tables[part].tolist()])
            words = np.frombuffer(raw, order).astype(np.uint64)
            yield Batch(words, self.tables[part], self.named[part], self.level.per_table)
