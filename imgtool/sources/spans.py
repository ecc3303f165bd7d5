"""Disks put together: a slice of one, several one after the other, ranges of zeros, ranges that cannot be read."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from imgtool.model.values import Extent, ExtentKind
from imgtool.sources.base import Source, check_range
from imgtool.sources.disk import Disk, DiskError, NotFollowedError, clip, merged


class Slice(Disk):
    """`length` guest bytes of another disk from `offset` on, cut where that one ends. Owns nothing."""

    __slots__ = ("_disk", "_offset")

    def __init__(self, disk: Source, offset: int, length: int) -> None:
        check_range(offset, length)
        self._disk = disk
        self._offset = offset
        self.name = disk.name
        self.size = max(0, min(length, disk.size - offset))

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(offset, length)
        length = min(length, self.size - offset)
        return self._disk.read_at(self._offset + offset, length) if length > 0 else b""

    def extents(self, start: int = 0, length: int | None = None) -> Iterator[Extent]:
        start, end = clip(self.size, start, length)
        if isinstance(self._disk, Disk):
            for extent in self._disk.extents(self._offset + start, end - start):
                yield extent._replace(start=extent.start - self._offset)
        elif start < end:
            yield Extent(start, end - start, "data", self._offset + start)


class Uniform(Disk):
    """`size` bytes of one kind: zeros, or what cannot be read (`error` is raised then)."""

    __slots__ = ("_error", "_kind")

    def __init__(self, name: str, size: int, error: DiskError | NotFollowedError | None = None) -> None:
        check_range(0, size)
        self.name = name
        self.size = size
        self._error = error
        self._kind: ExtentKind = "zero"
        if error is not None:
            self._kind = "reference" if isinstance(error, NotFollowedError) else "data"

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(offset, length)
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        if self._error is not None:
            raise type(self._error)(str(self._error))
        return bytes(length)

    def extents(self, start: int = 0, length: int | None = None) -> Iterator[Extent]:
        start, end = clip(self.size, start, length)
        if start < end:
            yield Extent(start, end - start, self._kind)


class Piece(NamedTuple):
    """A part of a disk, and the file it lies in by its name in the image (None for the image's own file)."""

    disk: Disk
    file: str | None = None


class Spanned(Disk):
    """The guest bytes of `pieces`, one after the other. Closes them, and `owned` too."""

    __slots__ = ("_owned", "_pieces", "_starts")

    def __init__(self, name: str, pieces: Sequence[Piece], owned: Sequence[Source] = ()) -> None:
        self._pieces = tuple(piece for piece in pieces if piece.disk.size)
        self._starts: list[int] = []
        self._owned = (*owned, *(piece.disk for piece in pieces))
        self.name = name
        self.size = 0
        for piece in self._pieces:
            self._starts.append(self.size)
            self.size += piece.disk.size

    @property
    def allocated(self) -> int | None:
        return sum(source.allocated or 0 for source in self._owned)

    def close(self) -> None:
        for source in self._owned:
            source.close()

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(offset, length)
        end = min(offset + length, self.size)
        parts: list[bytes] = []
        while offset < end:
            index = bisect_right(self._starts, offset) - 1
            disk, start = self._pieces[index].disk, self._starts[index]
            within = offset - start
            parts.append(disk.read_at(within, min(end - start, disk.size) - within))
            offset = start + disk.size
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def extents(self, start: int = 0, length: int | None = None) -> Iterator[Extent]:
        return merged(self._extents(*clip(self.size, start, length)))

    def _extents(self, start: int, end: int) -> Iterator[Extent]:
        index = max(0, bisect_right(self._starts, start) - 1)
        for base, piece in zip(self._starts[index:], self._pieces[index:], strict=True):
            if base >= end:
                return
            low = max(0, start - base)
            for extent in piece.disk.extents(low, max(0, end - base - low)):
                file = piece.file if extent.depth == 0 and extent.file is None else extent.file
                yield extent._replace(start=base + extent.start, file=file)
