"""Whether two disks show a guest the same bytes, and every range where they do not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO

from imgtool.disks.open import open_disk
from imgtool.disks.stream import Run, over_pieces, runs
from imgtool.ingest.pump import Progress
from imgtool.limits import DEFAULT, Limits
from imgtool.model.comparison import Comparison, Difference
from imgtool.model.values import Extent
from imgtool.sources.disk import Disk, clip

SECTOR = 512  #: differing ranges are told in whole sectors


class _Pair(Disk):
    """Two disks at once: a range reads as zeros where both know that it does."""

    __slots__ = ("first", "second")

    def __init__(self, first: Disk, second: Disk) -> None:
        self.first = first
        self.second = second
        self.name = f"{first.name} and {second.name}"
        self.size = max(first.size, second.size)

    def read_at(self, offset: int, length: int) -> bytes:
        return _full(self.first, offset, min(length, self.size - offset))

    def extents(self, start: int = 0, length: int | None = None) -> Iterator[Extent]:
        low, high = clip(self.size, start, length)
        one, two = (_zeros_to(disk, low, high) for disk in (self.first, self.second))
        left, right = next(one, None), next(two, None)
        while left is not None and right is not None:
            end = min(left.start + left.length, right.start + right.length)
            yield Extent(low, end - low, "zero" if left.zeros and right.zeros else "data")
            low = end
            if left.start + left.length == end:
                left = next(one, None)
            if right.start + right.length == end:
                right = next(two, None)


def _zeros_to(disk: Disk, low: int, high: int) -> Iterator[Run]:
    """The runs of a disk in the range, zeros past its end."""
    yield from runs(disk, low, high - low)
    end = max(low, min(high, disk.size))
    if end < high:
        yield Run(end, high - end, True)


def _full(disk: Disk, offset: int, length: int) -> bytes:
    data = disk.read_at(offset, length)
    return data if len(data) == length else data + bytes(length - len(data))


def compare(
    first: str | os.PathLike[str] | IO[bytes],
    second: str | os.PathLike[str] | IO[bytes],
    *,
    format: str | None = None,
    other_format: str | None = None,
    ignore_size: bool = False,
    limit: int = 10_000,
    follow: bool | str | os.PathLike[str] = False,
    device: bool = False,
    limits: Limits = DEFAULT,
    progress: Progress | None = None,
) -> Comparison:
    """Whether two images show a guest the same bytes, whatever their formats, and where they do not.

    `format`, `other_format`: what they are; detected when not given. `ignore_size`: sizes may differ where the longer
    one ends in zeros. `limit`: differing ranges to list. `follow`, `device`: as for `open_disk`, for both. `progress`
    is told the bytes that went by. Raises what `open_disk` and reading raise.
    """
    with (
        open_disk(first, format=format, follow=follow, device=device, limits=limits) as one,
        open_disk(second, format=other_format, follow=follow, device=device, limits=limits) as two,
    ):
        return compare_disks(one, two, ignore_size=ignore_size, limit=limit, progress=progress)


def compare_disks(
    first: Disk, second: Disk, *, ignore_size: bool = False, limit: int = 10_000, progress: Progress | None = None
) -> Comparison:
    """Compare what two disks show a guest. What both know to be zero is not read. Raises what reading raises."""
    pair = _Pair(first, second)

    def work(run: Run, data: bytes) -> list[Difference]:
        return _differences(run.start, data, _full(second, run.start, run.length))

    found: list[Difference] = []
    compared = differing = count = 0
    last: Difference | None = None
    for run, differences in over_pieces(pair, work):
        compared += 0 if differences is None else run.length
        for difference in differences or ():
            differing += difference.length
            if last is not None and last.start + last.length == difference.start:
                last = Difference(last.start, last.length + difference.length)
            else:
                count, last = count + 1, difference
            if len(found) == count:
                found[-1] = last
            elif len(found) < limit:
                found.append(last)
        if progress is not None:
            progress(run.length)
    sizes = (first.size, second.size)
    identical = not count and (ignore_size or sizes[0] == sizes[1])
    return Comparison(identical, sizes, compared, differing, count, tuple(found))


def _differences(start: int, one: bytes, two: bytes) -> list[Difference]:
    """The differing ranges of two equally long pieces of a disk that begin at `start`."""
    if one == two:
        return []
    import numpy as np

    whole = len(one) // SECTOR * SECTOR
    left, right = (np.frombuffer(data, np.uint8, whole).reshape(-1, SECTOR) for data in (one, two))
    differs = (left != right).any(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], differs.view(np.int8), [0]))))
    found = [
        Difference(start + int(begin) * SECTOR, int(after - begin) * SECTOR)
        for begin, after in zip(edges[::2], edges[1::2], strict=True)
    ]
    if one[whole:] != two[whole:]:
        found.append(Difference(start + whole, len(one) - whole))
    return found
