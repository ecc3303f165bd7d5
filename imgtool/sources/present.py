"""Present: which tables lie in holes of the file, so that nothing is read of what only claims to be there."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from imgtool.limits import Limits
from imgtool.sources.base import Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Present:
    """The runs of a file that are not holes; all of it where `cost`, what would be read, is small.

    A file in more than `limits.table_runs` runs is data from there on.
    """

    def __init__(self, source: Source, cost: int, limits: Limits) -> None:
        import numpy as np

        runs: list[tuple[int, int]] = [(0, source.size)]
        if cost > limits.table_dense:
            runs = list(islice(source.data_extents(), limits.table_runs + 1))
            if len(runs) > limits.table_runs:
                runs[-1] = (runs[-1][0], source.size - runs[-1][0])
        bounds = np.array(runs, np.int64).reshape(-1, 2)
        self._starts = bounds[:, 0]
        self._ends = bounds.sum(axis=1)

    def mask(self, offsets: NDArray[np.int64], length: int) -> NDArray[np.bool_]:
        """Which ranges of `length` bytes have any byte that is not in a hole."""
        import numpy as np

        if not len(self._starts):
            return np.zeros(len(offsets), np.bool_)
        after = np.searchsorted(self._ends, offsets, "right")
        inside = after < len(self._starts)
        return inside & (self._starts[np.minimum(after, len(self._starts) - 1)] < offsets + length)

    def holds(self, offset: int, length: int) -> bool:
        """`mask` of one range."""
        import numpy as np

        return bool(self.mask(np.array([offset]), length)[0])
