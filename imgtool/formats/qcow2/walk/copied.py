"""qcow2: the copied flag of entries of the active image: set just where the cluster's recorded count is 1.

Reference: QEMU docs/interop/qcow2, sections "L1 table entry", "L2 table entry" (bit 63).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from imgtool.formats.qcow2 import layout as lay
from imgtool.formats.qcow2.walk.counting import Window
from imgtool.formats.qcow2.walk.facts import FaultKind, Faults, Place
from imgtool.formats.qcow2.walk.level1 import Level2
from imgtool.formats.qcow2.walk.level2 import Batch, Form
from imgtool.formats.qcow2.walk.refcounts import UNKNOWN, Refcounts
from imgtool.units import ceil_div

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

#: Entries whose cluster lies past the end of the file that are kept for the end.
_LATER = 1 << 20


#: Entries of the L1 table that are looked at together.
_STEP = 1 << 18


class _Entries(NamedTuple):
    """Entries of one kind of table: the clusters that they name, where they lie, how often each counts."""

    kind: FaultKind
    clusters: Numbers
    words: NDArray[np.uint64]
    at: Numbers
    times: Numbers

    def only(self, which: NDArray[np.bool_]) -> _Entries:
        """Some of them."""
        return _Entries(self.kind, self.clusters[which], self.words[which], self.at[which], self.times[which])


class Copied:
    """Compares the flags with the recorded counts. Entries that lead out of the file are looked at in the end."""

    def __init__(self, level: Level2, refcounts: Refcounts, form: Form, faults: Faults) -> None:
        self._level = level
        self._refcounts = refcounts
        self._form = form
        self._faults = faults
        self._end = ceil_div(form.file_size, form.rules.cluster_size)
        self._later: list[_Entries] = []
        self._kept = 0

    def tables(self, window: Window, *, first: bool) -> None:
        """The entries of the active L1 table that lead into a window."""
        import numpy as np

        for start in range(0, len(self._level.words), _STEP):
            words = self._level.words[start : start + _STEP]
            offsets = (words & np.uint64(lay.TABLE_OFFSET_MASK)).view(np.int64)
            at = self._level.places[start : start + _STEP]
            entries = _Entries("l1-copied", offsets >> self._form.shift, words, at, np.ones(len(words), np.int64))
            self._look(entries.only(offsets != 0), window, first=first)

    def data(self, batch: Batch, window: Window, *, first: bool) -> None:
        """The entries of a batch that lead into a window; those into a data file count as 1 each."""
        import numpy as np

        times = batch.active[batch.placed // batch.per_table]
        words = batch.words[batch.placed]
        entries = _Entries("l2-copied", batch.offsets >> self._form.shift, words, batch.at(batch.placed), times)
        if not times.all():
            entries = entries.only(times != 0)
        if not self._form.rules.external:
            self._look(entries, window, first=first)
        elif first:
            self._note(entries, entries.words >> np.uint64(63) == 0)

    def _look(self, entries: _Entries, window: Window, *, first: bool) -> None:
        if not len(entries.clusters):
            return
        if int(entries.clusters.max()) >= self._end:
            far = entries.clusters >= self._end
            if first and self._kept < _LATER:
                self._later.append(entries.only(far))
                self._kept += len(self._later[-1].clusters)
            entries = entries.only(~far)
        places, inside = window.places(entries.clusters)
        if inside is not None:
            entries = entries.only(inside)
        self._compare(entries, window.recorded[places])

    def rest(self) -> None:
        """The entries that lead out of the file: the table of counts may reach further than it."""
        import numpy as np

        for entries in self._later:
            order = np.argsort(entries.clusters, kind="stable")
            recorded = np.zeros(len(order), np.uint32)
            recorded[order] = self._refcounts.of(entries.clusters[order])
            self._compare(entries, recorded)
        self._later = []

    def _compare(self, entries: _Entries, recorded: NDArray[np.uint32]) -> None:
        import numpy as np

        wrong = (recorded == 1) != (entries.words >> np.uint64(63) != 0)
        if wrong.any():
            self._note(entries, wrong & (recorded != UNKNOWN))

    def _note(self, entries: _Entries, wrong: NDArray[np.bool_]) -> None:
        found = entries.only(wrong)
        first = zip(found.at[: self._faults.listed].tolist(), found.words.tolist(), strict=False)
        places = [Place(at, word) for at, word in first]
        self._faults.add(entries.kind, places, int(found.times.sum()))
