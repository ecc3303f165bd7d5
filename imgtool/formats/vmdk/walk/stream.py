"""What a reader from front to back sees of a stream: markers before tables, grains that no table has.

Reference: VMware "Virtual Disk Format 5.0", section "Stream-Optimized Compressed Sparse Extents".
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from imgtool.formats.vmdk.walk.facts import Stray
from imgtool.limits import Limits
from imgtool.sources.base import Source
from imgtool.units import SECTOR, ceil_div

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: A marker: sectors that follow (or the sector of a grain), bytes of a grain (0 for metadata), type of metadata.
_MARKER = struct.Struct("<QII")


def has_marker(source: Source, place: int, length: int, kind: int) -> bool:
    """Whether the sector before `place` is the marker of metadata of `length` bytes there."""
    raw = source.read_at(place - SECTOR, _MARKER.size) if place >= SECTOR else b""
    return len(raw) == _MARKER.size and _MARKER.unpack(raw) == (ceil_div(length, SECTOR), 0, kind)


class Leftover(NamedTuple):
    """What lies in the gaps between what is used: grains with a marker, and bytes that are none."""

    strays: tuple[Stray, ...]
    stray_total: int
    stale: int
    stale_at: int | None


def leftover(
    source: Source, gaps: tuple[NDArray[np.int64], NDArray[np.int64]], capacity: int, grain: int, limits: Limits
) -> Leftover:
    """Look at the gaps of a stream of `capacity` sectors in grains of `grain` sectors, the first of them; what is not
    a grain behind the last thing in use is not told."""
    lows, highs = gaps
    strays: list[Stray] = []
    total = 0
    stale = int((highs - lows)[highs < source.size].sum())
    stale_at = None
    for low, high in zip(lows[: limits.vmdk_gaps].tolist(), highs.tolist(), strict=False):
        at = low
        while total < limits.vmdk_gaps and (length := _grain(source, at, high, capacity, grain)):
            if len(strays) < limits.table_faults:
                strays.append(Stray(at, _MARKER.unpack(source.read_at(at, _MARKER.size))[0]))
            total += 1
            stale -= min(length, high - at) if high < source.size else 0
            at += length
        if at < high < source.size and stale_at is None:
            stale_at = at
    return Leftover(tuple(strays), total, stale, stale_at)


def _grain(source: Source, at: int, end: int, capacity: int, grain: int) -> int:
    """The bytes in whole sectors that a grain at `at` takes with its marker; 0 where there is none."""
    raw = source.read_at(at, _MARKER.size) if at < end else b""
    if len(raw) < _MARKER.size:
        return 0
    sector, size, _ = _MARKER.unpack(raw)
    if not 0 < size <= 2 * grain * SECTOR or sector >= capacity or sector % grain:
        return 0
    length = ceil_div(12 + size, SECTOR) * SECTOR
    return length if at + length <= ceil_div(end, SECTOR) * SECTOR else 0
