"""Writer: what makes a file of a format out of the guest's bytes. One for each format that is written natively.

The engine gives the guest's disk in order, from its first byte to its last: runs of zeros by `zeros`, anything else
in pieces, each by `prepare` and then by `put`. Contract (tests/conformance/test_writers.py runs it against each):
- Pieces and runs begin at multiples of `unit` and are whole units, but for the disk's end.
- `prepare` runs in threads, several at once, and touches nothing but its arguments; `zeros`, `put` and `finish` run
  in one thread, in order.
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
    """See the module's docstring. `size`: bytes of the disk that the guest will see, at least as many as are given
    (a format may count in sectors). `unit`: bytes, a power of two. `stamped`: `finish` needs the digest."""

    output: Output
    size: int
    unit: int
    stamped: bool = False

    @abstractmethod
    def prepare(self, start: int, data: bytes) -> P:
        """What can be made of a piece without knowing what went before: zeros found, units compressed."""

    @abstractmethod
    def put(self, start: int, made: P) -> None:
        """Write what `prepare` made of the piece at `start`. Raises OutputError."""

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
    """The (start, end) of the runs of units in `data` that are not all zeros, joined, in order."""
    found: list[tuple[int, int]] = []
    size = len(data)
    whole = _zeros(unit)
    begin = -1
    for start in range(0, size, unit):
        if data.startswith(whole, start) or (start + unit > size and is_zeros(data, start, size)):
            if begin >= 0:
                found.append((begin, start))
                begin = -1
        elif begin < 0:
            begin = start
    if begin >= 0:
        found.append((begin, size))
    return found
