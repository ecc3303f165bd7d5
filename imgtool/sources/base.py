"""Source: bytes with a size and `read_at`. Files, memory, windows and (later) disks are Sources.

Contract (tests/conformance/test_sources.py runs it against each one):
- `size` is bytes and does not change.
- `read_at(offset, length)` returns exactly the bytes that exist in the range: fewer than `length` only
  at the end, none past it. Negative arguments are a ValueError (a bug of the caller).
- It raises InputError on an I/O error, RangeError where only this range cannot be had (NotHeldError where a stream
  has not kept it).
- It may be called from several threads.
- `data_extents()` yields the (start, length) runs that are not holes, in order; the rest reads as zeros.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

from imgtool.errors import InputError

if TYPE_CHECKING:
    from imgtool.model.values import ProblemKind


class RangeError(InputError):
    """A range cannot be read, though others can. `problem`: what a reader calls the structures in it."""

    problem: ProblemKind = "malformed"


class NotHeldError(RangeError):
    """The range of a stream was not kept: `offset` and `length` in bytes."""

    code = "not-held"
    problem = "not-read"

    def __init__(self, offset: int, length: int) -> None:
        super().__init__(f"bytes {offset}..{offset + length} of the stream were not kept")
        self.offset = offset
        self.length = length


class Source(ABC):
    """Bytes with a size. See the module's docstring for the contract."""

    __slots__ = ("name", "size")

    name: str
    size: int

    @abstractmethod
    def read_at(self, offset: int, length: int) -> bytes:
        """The bytes of the range that exist."""

    def data_extents(self) -> Iterator[tuple[int, int]]:
        """Runs that may hold data, in order; everything between them reads as zeros."""
        if self.size:
            yield 0, self.size

    @property
    def allocated(self) -> int | None:
        """Bytes that this source takes up where it is stored; None when unknown."""
        return None

    def close(self) -> None:
        """Release what is held. Twice is fine."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def check_range(offset: int, length: int) -> None:
    """Raise ValueError for a negative range: a caller's bug, never a file's doing."""
    if offset < 0 or length < 0:
        raise ValueError(f"negative range: offset {offset}, length {length}")
