"""qcow2: references counted for each host cluster and compared with what the image records, in bounded memory.

A file of few clusters is counted in arrays as long as it. Of a larger one only the clusters that are referred to are
looked at, where they are few; else it takes a pass over the L2 tables for each window with something in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from imgtool.formats.qcow2.walk.facts import FaultKind, Faults, Place
from imgtool.formats.qcow2.walk.level1 import MOST, summed
from imgtool.formats.qcow2.walk.refcounts import UNKNOWN, Refcounts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]


#: Clusters that are compared at once.
_PIECE = 1 << 20


class Compared(NamedTuple):
    """What a window gave: clusters that are recorded as used in it, those recorded too high, the last one in use."""

    recorded: int
    leaks: int
    last: int


class Window:
    """Counts of references of the clusters from `low` to `high`; with `scattered`, of those in it alone, in order."""

    def __init__(self, refcounts: Refcounts, low: int, high: int, scattered: Numbers | None = None) -> None:
        import numpy as np

        self.low = low
        self.high = high
        self._scattered = scattered
        self._refcounts = refcounts
        count = high - low if scattered is None else len(scattered)
        self.counts = np.zeros(count, np.uint32)
        if scattered is None:
            self.recorded = np.zeros(count, np.uint32)
            refcounts.fill(low, self.recorded)
        else:
            self.recorded = refcounts.of(scattered)

    def places(self, clusters: Numbers) -> tuple[Numbers, NDArray[np.bool_] | None]:
        """Where clusters stand in `counts`, and which of them do; None: all. Those that do not are left out."""
        import numpy as np

        if self._scattered is None:
            if not len(clusters) or (int(clusters.min()) >= self.low and int(clusters.max()) < self.high):
                return clusters - self.low if self.low else clusters, None
            inside = (clusters >= self.low) & (clusters < self.high)
            return clusters[inside] - self.low, inside
        if not len(self._scattered):
            return np.zeros(0, np.int64), np.zeros(len(clusters), np.bool_)
        found = np.minimum(np.searchsorted(self._scattered, clusters), len(self._scattered) - 1)
        inside = self._scattered[found] == clusters
        return (found, None) if inside.all() else (found[inside], inside)

    def add(self, clusters: Numbers, weights: Numbers | None) -> None:
        """Count references to clusters; of those outside the window nothing is counted."""
        import numpy as np

        places, inside = self.places(clusters)
        if not len(places):
            return
        if weights is not None and (weights == 1).all():
            weights = None
        if weights is None and (places[1:] > places[:-1]).all():
            if int(places[-1]) - int(places[0]) + 1 == len(places):
                self.counts[int(places[0]) : int(places[-1]) + 1] += np.uint32(1)
            else:
                self.counts[places] += np.uint32(1)
            return
        if weights is None:
            found, added = np.unique(places, return_counts=True)
        else:
            found, added = summed(places, weights if inside is None else weights[inside])
        self.counts[found] = np.minimum(self.counts[found].astype(np.int64) + added, MOST)

    def number(self, place: int) -> int:
        """The cluster that stands at a place of `counts`."""
        return self.low + place if self._scattered is None else int(self._scattered[place])

    def overlaps(self, tables: Numbers, faults: Faults, cluster_size: int) -> None:
        """Note tables (clusters in order, each once) that what was counted so far lies on."""
        places, _ = self.places(tables)
        hit = places[self.counts[places] != 0]
        at = [self.number(place) * cluster_size for place in hit[: faults.listed].tolist()]
        faults.add("overlap", [Place(offset, what="a data cluster lies on tables") for offset in at], len(hit))

    def compare(self, faults: Faults, cluster_size: int, clusters: int) -> Compared:
        """Note where references and what is recorded differ. `clusters`: how many the file has; what is recorded of
        further ones counts only where something refers to them."""
        import numpy as np

        if self._scattered is None and self.low <= clusters < self.high and not self.counts[clusters - self.low]:
            self.recorded[clusters - self.low] = 0
        inside = clusters - self.low if self._scattered is None else int(np.searchsorted(self._scattered, clusters))
        recorded = leaks = 0
        last = -1
        for start in range(0, len(self.counts), _PIECE):
            piece = self._compare(start, faults, cluster_size)
            leaks += piece.leaks
            last = piece.last if piece.last >= 0 else last
            told = self.recorded[start : min(start + _PIECE, max(start, inside))]
            recorded += int(np.count_nonzero(told)) - int(np.count_nonzero(told == UNKNOWN))
        return Compared(recorded, leaks, self.number(last) if last >= 0 else -1)

    def _compare(self, start: int, faults: Faults, cluster_size: int) -> Compared:
        """`compare` of one piece; `last` is a place of `counts`."""
        import numpy as np

        counts, recorded = self.counts[start : start + _PIECE], self.recorded[start : start + _PIECE]
        most = self._refcounts.most
        if most < MOST and int(counts.max()) > most:
            over = np.flatnonzero(counts > most)
            extra = counts[over].astype(np.int64) - most
            first = over[: faults.listed].tolist()
            places = [Place(self.number(start + at) * cluster_size, int(counts[at]), most) for at in first]
            faults.add("refcount-overflow", places, int(extra.sum()))
            counts[over] = most
        known = recorded != UNKNOWN
        leaks = 0
        if not np.array_equal(counts, recorded):
            self._note("refcount-low", np.flatnonzero((counts > recorded) & known) + start, faults, cluster_size)
            high = np.flatnonzero((counts < recorded) & known) + start
            self._note("leak", high, faults, cluster_size)
            leaks = len(high)
        used = ((counts != 0) | (recorded != 0)) & known
        last = start + len(used) - 1 - int(used[::-1].argmax()) if used.any() else -1
        return Compared(0, leaks, last)

    def _note(self, kind: FaultKind, where: Numbers, faults: Faults, cluster_size: int) -> None:
        first = where[: faults.listed].tolist()
        places = [Place(self.number(at) * cluster_size, int(self.recorded[at]), int(self.counts[at])) for at in first]
        faults.add(kind, places, len(where))
