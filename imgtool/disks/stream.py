"""Whole disks in order, read ahead by threads: what digests, comparison and conversion consume.

Runs that are known to read as zeros are told as such and never made into bytes. Memory is bounded by the pieces
that are under way.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import NamedTuple, TypeVar

from imgtool.sources.disk import ZEROS, Disk, clip

T = TypeVar("T")

PIECE = 1024 * 1024  #: bytes of one piece; pieces begin at its multiples
GRID = 64 * 1024  #: runs of zeros begin and end at its multiples

_LARGEST = 32 * 1024 * 1024 - 64 * 1024  #: glibc takes a block of up to 32 MiB as a measure


class Run(NamedTuple):
    """A run of guest bytes: known zeros, or bytes to be read."""

    start: int
    length: int
    zeros: bool


def runs(disk: Disk, start: int = 0, length: int | None = None, grid: int = GRID) -> Iterator[Run]:
    """The range as alternating runs of zeros and of bytes, which meet at multiples of `grid` bytes.

    What is left of a run of zeros before and after such a multiple counts as bytes, but for the range's own ends.
    """
    low, high = clip(disk.size, start, length)
    return _joined(part for run in _joined(_by_zeros(disk, low, high)) for part in _aligned(run, low, high, grid))


def _by_zeros(disk: Disk, low: int, high: int) -> Iterator[Run]:
    for extent in disk.extents(low, high - low):
        yield Run(extent.start, extent.length, extent.kind in ZEROS)


def _joined(parts: Iterable[Run]) -> Iterator[Run]:
    last: Run | None = None
    for part in parts:
        if last is not None and last.zeros == part.zeros:
            last = Run(last.start, last.length + part.length, part.zeros)
            continue
        if last is not None:
            yield last
        last = part
    if last is not None:
        yield last


def _aligned(run: Run, low: int, high: int, grid: int) -> Iterator[Run]:
    start, end = run.start, run.start + run.length
    if not run.zeros:
        yield run
        return
    first = start if start == low else -(-start // grid) * grid
    after = end if end == high else end // grid * grid
    if after <= first:
        yield Run(start, run.length, False)
        return
    for begin, upto, zeros in ((start, first, False), (first, after, True), (after, end, False)):
        if begin < upto:
            yield Run(begin, upto - begin, zeros)


def _cut(run: Run, size: int) -> Iterator[Run]:
    """A run of bytes in pieces that begin at multiples of `size`; zeros stay whole."""
    if run.zeros:
        yield run
        return
    start, end = run.start, run.start + run.length
    while start < end:
        upto = min(end, start - start % size + size)
        yield Run(start, upto - start, False)
        start = upto


def threads_wanted() -> int:
    """Threads that read ahead: one more than the cores this process may use, at least 2, at most 9.

    While one waits for the interpreter's lock or for its file, another works.
    """
    return max(2, min(8, len(os.sched_getaffinity(0))) + 1)


@cache
def keep_freed_memory() -> None:
    """Have the memory of pieces used again, not given back and taken anew, which costs a fifth of a copy's time.

    glibc gives back what is larger than the largest block that was freed so far, and free memory of twice that size
    (mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD). So one large block is taken and freed, and never touched.
    """
    block = bytes(_LARGEST)
    del block


def over_pieces(
    disk: Disk,
    work: Callable[[Run, bytes], T],
    *,
    start: int = 0,
    length: int | None = None,
    piece: int = PIECE,
    grid: int = GRID,
    threads: int | None = None,
    skip: Callable[[Run], bool] | None = None,
) -> Iterator[tuple[Run, T | None]]:
    """Every run of the range in order, with what `work` made of its bytes (None for zeros, which are not read, and
    for pieces that `skip` does not want read).

    `work` runs in threads, several pieces at once. Raises what reading raises (DiskError, NotFollowedError …).
    """
    keep_freed_memory()
    count = threads or threads_wanted()
    todo = (part for run in runs(disk, start, length, grid) for part in _cut(run, piece))
    with ThreadPoolExecutor(count, thread_name_prefix="read") as pool:
        waiting: deque[tuple[Run, Future[T] | None]] = deque()
        try:
            for part in todo:
                unread = part.zeros or (skip is not None and skip(part))
                waiting.append((part, None if unread else pool.submit(_one, disk, part, work)))
                if len(waiting) > 2 * count + 2:
                    run, future = waiting.popleft()
                    yield run, None if future is None else future.result()
            while waiting:
                run, future = waiting.popleft()
                yield run, None if future is None else future.result()
        finally:
            for _, left in waiting:
                if left is not None:
                    left.cancel()


def _one(disk: Disk, part: Run, work: Callable[[Run, bytes], T]) -> T:
    return work(part, disk.read_at(part.start, part.length))


def chunks(disk: Disk, start: int = 0, length: int | None = None) -> Iterator[tuple[Run, bytes | None]]:
    """Every run of the range in order with its bytes; None for zeros."""
    return over_pieces(disk, _as_they_are, start=start, length=length)


def _as_they_are(run: Run, data: bytes) -> bytes:
    return data
