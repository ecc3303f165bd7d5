"""Blocks that a target shares with its source, where the file system can: nothing is copied then."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from imgtool.disks.stream import Run
from imgtool.errors import InputError, UnsupportedError
from imgtool.sources.disk import Disk
from imgtool.sources.file import FileSource
from imgtool.targets.writer import Writer

#: Ranges begin and end at multiples of this, in both files: no file system has larger blocks.
_GRID = 64 * 1024

_LOOK = 4096  #: bytes at each end of a range that are compared before it is shared


class Shared:
    """The ranges of a disk that were shared with a writer's output."""

    def __init__(self, disk: Disk, writer: Writer[Any], source: FileSource) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for extent in disk.extents():
            if extent.kind != "data" or extent.depth or extent.file is not None or extent.host_offset is None:
                continue
            start = -(-extent.start // _GRID) * _GRID
            length = (extent.start + extent.length - start) // _GRID * _GRID
            offset = extent.host_offset + start - extent.start
            if length <= 0 or offset % _LOOK:
                continue
            if not _same(disk, start, source, offset, length) or not writer.share(start, length, source.fd, offset):
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


def _same(disk: Disk, start: int, source: FileSource, offset: int, length: int) -> bool:
    """True where a range of the file holds what the guest sees: the extents are of this very file."""
    last = length - _LOOK
    try:
        return all(
            disk.read_at(start + at, _LOOK) == source.read_at(offset + at, _LOOK) for at in dict.fromkeys((0, last))
        )
    except (InputError, UnsupportedError):  # reading the disk will say what is wrong, and where
        return False
