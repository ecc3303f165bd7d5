"""FlatDisk: guest bytes that lie in a file one after the other (raw, iso, a fixed VHD, a flat extent)."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.model.values import Extent
from imgtool.sources.base import Source, check_range
from imgtool.sources.disk import Disk, DiskError, clip, merged


class FlatDisk(Disk):
    """`size` guest bytes from `offset` of `host` on; holes are those that the host itself has.

    Where the file ends before the disk does, reading raises DiskError.
    """

    __slots__ = ("host", "offset")

    def __init__(self, host: Source, size: int, offset: int = 0) -> None:
        check_range(offset, size)
        self.host = host
        self.offset = offset
        self.name = host.name
        self.size = size

    @property
    def allocated(self) -> int | None:
        return self.host.allocated

    def close(self) -> None:
        self.host.close()

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(offset, length)
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        data = self.host.read_at(self.offset + offset, length)
        if len(data) < length:
            raise DiskError(f"{self.name}: guest bytes at {offset + len(data)} lie past the end of the file")
        return data

    def extents(self, start: int = 0, length: int | None = None) -> Iterator[Extent]:
        return merged(self._extents(*clip(self.size, start, length)))

    def _extents(self, start: int, end: int) -> Iterator[Extent]:
        position = start
        for held, span in self.host.data_extents():
            low, high = max(held - self.offset, position), min(held - self.offset + span, end)
            if low >= end:
                break
            if high <= low:
                continue
            if low > position:
                yield Extent(position, low - position, "hole", self.offset + position)
            yield Extent(low, high - low, "data", self.offset + low)
            position = high
        if position < end:
            inside = max(position, min(end, self.host.size - self.offset))
            yield Extent(position, inside - position, "hole", self.offset + position)
            yield Extent(inside, end - inside, "data", self.offset + inside)
