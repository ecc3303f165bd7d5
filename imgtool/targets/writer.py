"""Writer: what makes a file of a format out of the guest's bytes. One for each format that is written natively.

The engine gives the guest's disk in order, from its first byte to the last of `size`: runs of zeros by `zeros`,
anything else in pieces, each by `prepare` and then by `put`. Contract (tests/conformance/test_writers.py runs it
against each):
- Pieces and runs begin at multiples of `unit` and are whole units, but for the disk's end.
- `prepare` runs in threads, several at once, and touches nothing but its arguments; `zeros`, `put` and `finish` run
  in one thread, in order. Where every unit has its place from the start (`anywhere`), `put` runs in threads, too.
- Units that are all zeros inside a piece are found by `prepare` and take no space, as far as the format allows.
- The same calls give the same bytes: ids and times come from `Stamp`, never from a clock or a random source.
- Memory is bounded: tables grow with the disk, data never does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

from imgtool.targets.output import Output

P = TypeVar("P")


class Stamp(NamedTuple):
    """What ids and times are made from: `content` is the digest of the guest's bytes (32 bytes, or none where the
    writer does not want it), `time` seconds since 1970 (UTC)."""

    content: bytes
    time: int


class Writer(ABC, Generic[P]):
    """See the module's docstring. `size`: bytes of the disk that the guest will see, at least as many as were asked
    for (a format may count in sectors). `unit`: bytes, a power of two. `stamped`: `finish` needs the digest.
    `anywhere`: pieces may be put in any order, several at once."""

    output: Output
    size: int
    unit: int
    stamped: bool = False
    anywhere: bool = False

    @abstractmethod
    def prepare(self, start: int, data: bytes) -> P:
        """What can be made of a piece without knowing what went before: zeros found, units compressed."""

    @abstractmethod
    def put(self, start: int, made: P) -> None:
        """Write what `prepare` made of the piece at `start`. Raises OutputError."""

    def share(self, start: int, length: int, fd: int, offset: int) -> bool:
        """Take guest bytes out of the file `fd` without copying them: its blocks are shared. False where they cannot
        be; nothing was done then. What is `put` there afterwards replaces them."""
        return False

    def zeros(self, start: int, length: int) -> None:
        """A run that is all zeros. Nothing to do where absence means zeros."""
        return

    @abstractmethod
    def finish(self, stamp: Stamp) -> None:
        """Write tables, headers, footers: the file is whole then, and has its size. Raises OutputError."""


@lru_cache(maxsize=4)
def _zeros(length: int) -> bytes:
    return bytes(length)


def is_zeros(data: bytes, start: int, end: int) -> bool:
    """True when every byte of the range is 0: a comparison of memory, which ends at the first that is not."""
    return data.startswith(_zeros(end - start), start)


def data_runs(data: bytes, unit: int) -> list[tuple[int, int]]:
    """The (start, end) of the runs of units in `data` that are not all zeros, joined, in order; `unit` is a multiple
    of 8."""
    found: list[tuple[int, int]] = []
    size = len(data)
    begin = 0
    for start in _suspects(data, unit):
        end = min(start + unit, size)
        if is_zeros(data, start, end):
            if begin < start:
                found.append((begin, start))
            begin = end
    if begin < size:
        found.append((begin, size))
    return found


def _suspects(data: bytes, unit: int) -> list[int]:
    """Where the units begin whose first 8 bytes are zeros, and a last one of fewer than 8: few of them in real data,
    and found without a step of the interpreter for each."""
    size = len(data)
    heads = memoryview(data)[: size & ~7].cast("Q")[:: unit // 8].tolist() if size >= 8 else []
    if 0 < size % unit < 8:
        heads.append(0)
    if 0 not in heads:
        return []
    return [number * unit for number, head in enumerate(heads) if not head]
