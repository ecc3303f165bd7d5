"""Blocks that a target shares with its source, where the file system can: nothing is copied then."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from imgtool.disks.stream import Run
from imgtool.sources.disk import Disk
from imgtool.sources.file import FileSource
from imgtool.targets.writer import Writer

#: Ranges begin and end at multiples of this on the disk: no file system has larger blocks.
_GRID = 64 * 1024

_BLOCK = 4096  #: bytes: what lies elsewhere in the source's file than at its multiples is shared by none


class Shared:
    """The ranges of a disk that were shared with a writer's output. `source`: the file that the extents are of."""

    def __init__(self, disk: Disk, writer: Writer[Any], source: FileSource) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for extent in disk.extents():
            if extent.kind != "data" or extent.depth or extent.file is not None or extent.host_offset is None:
                continue
            start = -(-extent.start // _GRID) * _GRID
            length = (extent.start + extent.length - start) // _GRID * _GRID
            offset = extent.host_offset + start - extent.start
            if length <= 0 or offset % _BLOCK:
                continue
            if not writer.share(start, length, source.fd, offset):
                break  # what one range cannot do, none can
            if self._ends and self._ends[-1] == start:
                self._ends[-1] += length
            else:
                self._starts.append(start)
                self._ends.append(start + length)

    def covers(self, run: Run) -> bool:
        """True where all of a run was shared."""
        found = bisect_right(self._starts, run.start) - 1
        return found >= 0 and run.start + run.length <= self._ends[found]
