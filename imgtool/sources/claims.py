"""Claims: ranges of a file that its tables give out, each of them once; where two overlap it is found.

Ranges come in arrays and are kept as merged runs: what lies side by side takes no room, so that a full disk of any
size is a few runs. Numbers may count bytes, sectors or blocks, as the caller likes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from imgtool.limits import Limits
from imgtool.model.tables import Faulty, TableEntry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

#: The label of what has none, or was merged with its neighbours.
NO_LABEL = -1


class Overlap(NamedTuple):
    """A range that was given out twice: to `label`, and before to `other` (or NO_LABEL); what both have."""

    label: int
    other: int
    start: int
    length: int


class Claims:
    """What is taken of a file. `overlaps` and `found` (the first of them) count once `settle` was called.

    `full`: there were more separate runs than `limits.claims`; those that came then were not looked at.
    """

    __slots__ = ("_ends", "_limits", "_pending", "_starts", "_waiting", "found", "full", "overlaps")

    def __init__(self, limits: Limits) -> None:
        import numpy as np

        self.overlaps = 0
        self.found: list[Overlap] = []
        self.full = False
        self._limits = limits
        self._starts: Numbers = np.empty(0, np.int64)
        self._ends: Numbers = np.empty(0, np.int64)
        self._pending: list[tuple[Numbers, Numbers, Numbers]] = []
        self._waiting = 0

    def claim(self, starts: Numbers, ends: Numbers, labels: Numbers) -> None:
        """Take ranges, each from its start up to its end; empty ones take nothing."""
        keep = ends > starts
        if not keep.all():
            starts, ends, labels = starts[keep], ends[keep], labels[keep]
        self._pending.append((starts, ends, labels))
        self._waiting += len(starts)
        if self._waiting >= max(self._limits.claims_batch, len(self._starts)):
            self.settle()

    def one(self, start: int, end: int, label: int) -> None:
        """Take one range."""
        import numpy as np

        self.claim(*(np.array([number], np.int64) for number in (start, end, label)))

    def settle(self) -> None:
        """Look for overlaps among all that was taken so far."""
        import numpy as np

        pending, self._pending, self._waiting = self._pending, [], 0
        if self.full or not any(len(part[0]) for part in pending):
            return
        unnamed = np.full(len(self._starts), NO_LABEL, np.int64)
        parts = [(self._starts, self._ends, unnamed), *pending]
        starts, ends, labels = (np.concatenate([part[column] for part in parts]) for column in range(3))
        if (starts[1:] < starts[:-1]).any():
            order = np.argsort(starts, kind="stable")
            starts, ends, labels = starts[order], ends[order], labels[order]
        reach = np.maximum.accumulate(ends)
        clashes = np.flatnonzero(starts[1:] < reach[:-1]) + 1
        self.overlaps += len(clashes)
        for index in clashes[: max(0, self._limits.table_faults - len(self.found))].tolist():
            both = int(min(ends[index], reach[index - 1]) - starts[index])
            label, other = int(labels[index]), int(labels[index - 1])
            if label == NO_LABEL:
                label, other = other, label
            self.found.append(Overlap(label, other, int(starts[index]), both))
        begins = np.concatenate(([0], np.flatnonzero(starts[1:] > reach[:-1]) + 1))
        self._starts = starts[begins]
        self._ends = reach[np.append(begins[1:] - 1, len(reach) - 1)]
        self.full = len(self._starts) > self._limits.claims

    def runs(self) -> tuple[Numbers, Numbers]:
        """Starts and ends of what is taken, in order, neighbours merged."""
        self.settle()
        return self._starts, self._ends

    def gaps(self, start: int, end: int) -> tuple[Numbers, Numbers]:
        """Starts and ends of what nobody took between `start` and `end`."""
        import numpy as np

        starts, ends = self.runs()
        lows = np.maximum(np.concatenate(([start], ends)), start)
        highs = np.minimum(np.concatenate((starts, [end])), end)
        return lows[highs > lows], highs[highs > lows]


def noted(
    known: Faulty,
    indexes: Numbers,
    values: Numbers | NDArray[np.uint64],
    where: NDArray[np.bool_],
    limits: Limits,
) -> Faulty:
    """`known` and the entries that `where` has, the first `limits.table_faults` of all by their number and value."""
    import numpy as np

    places = np.flatnonzero(where)
    room = places[: max(0, limits.table_faults - len(known.first))].tolist()
    entries = tuple(TableEntry(int(indexes[place]), int(values[place])) for place in room)
    return Faulty(known.total + len(places), known.first + entries)
