"""All compressed grains of an extent, inflated in threads: the library releases the interpreter's lock."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from imgtool.formats.vmdk.hosted import Fault, GrainError, PackedGrains
from imgtool.formats.vmdk.walk.facts import PackedFaults, PackedGrain
from imgtool.limits import Limits
from imgtool.units import SECTOR, ceil_div

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

#: Grains that one thread takes at once.
_SHARE = 64

_FAULTS: tuple[Fault, ...] = ("outside", "marker", "size", "data")


class _Share(NamedTuple):
    """What one thread found: where each grain ends in the file, what failed, bytes inflated."""

    ends: list[int]
    failed: list[tuple[Fault, PackedGrain]]
    inflated: int


class Inflating:
    """Compressed grains of one disk, counted. `stopped`: over a cap, and so not all were inflated."""

    def __init__(self, disk: PackedGrains, limits: Limits) -> None:
        self.disk, self.limits = disk, limits
        self.stopped = False
        self._left = limits.vmdk_inflated
        # Each grain takes a sector at least: more than the file has can only be the same ones again.
        self._grains = ceil_div(disk.host.size, SECTOR)
        self._counts = dict.fromkeys(_FAULTS, 0)
        self._first: dict[Fault, tuple[PackedGrain, ...]] = dict.fromkeys(_FAULTS, ())
        threads = max(2, min(8, len(os.sched_getaffinity(0))))
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="inflate")

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def __call__(self, blocks: Numbers, hosts: Numbers) -> Numbers:
        """Inflate these grains. Where each ends in the file, in whole sectors; a sector where nothing says so."""
        import numpy as np

        if self.stopped or len(blocks) > self._grains:
            self.stopped = True
            return hosts + SECTOR
        self._grains -= len(blocks)
        shares = range(0, len(blocks), _SHARE)
        parts = self._pool.map(
            self._share,
            (blocks[first : first + _SHARE].tolist() for first in shares),
            (hosts[first : first + _SHARE].tolist() for first in shares),
        )
        ends: list[int] = []
        for part in parts:
            ends += part.ends
            self._left -= part.inflated
            for fault, grain in part.failed:
                self._counts[fault] += 1
                if len(self._first[fault]) < self.limits.table_faults:
                    self._first[fault] += (grain,)
        self.stopped = self._left <= 0
        return np.array(ends, np.int64)

    def _share(self, blocks: list[int], hosts: list[int]) -> _Share:
        ends: list[int] = []
        failed: list[tuple[Fault, PackedGrain]] = []
        inflated = 0
        for block, host in zip(blocks, hosts, strict=True):
            end = host + SECTOR
            try:
                stored = self.disk.stored(block, host)
                if stored.end is not None:
                    end = ceil_div(stored.end, SECTOR) * SECTOR
                inflated += len(self.disk.unpack(block, host, stored.data))
            except GrainError as error:
                message = str(error).removeprefix(f"{self.disk.name}: ")
                failed.append((error.fault, PackedGrain(block, host, message)))
            ends.append(end)
        return _Share(ends, failed, inflated)

    def faults(self) -> tuple[PackedFaults, ...]:
        """What failed so far, by kind."""
        return tuple(
            PackedFaults(fault, self._counts[fault], self._first[fault]) for fault in _FAULTS if self._counts[fault]
        )
