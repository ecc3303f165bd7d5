"""What writers share whose formats keep the guest's bytes as they are: flat, or in blocks of one size with a table.

Blocks are added to the file in the order in which the guest has them; a block that is all zeros gets none.
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from array import array
from typing import Literal, NamedTuple

from imgtool.targets.ids import UNIT, ContentMark, unit_marks
from imgtool.targets.output import Output
from imgtool.targets.writer import Writer, data_runs

_STEP = 4096  #: bytes of what is looked at for zeros, and left out
_WINDOW = 256 * 1024  #: entries of a table that are held


class Piece(NamedTuple):
    """A piece, the (start, end) of what is written of it, and what it adds to the content's mark."""

    data: bytes
    runs: list[tuple[int, int]]
    marks: bytes


class PlainWriter(Writer[Piece]):
    """The guest's bytes as they are, but for pages of zeros. What is made of ids is made of `mark`."""

    unit = UNIT

    def __init__(self, output: Output, size: int) -> None:
        self.output = output
        self.size = size
        self._mark = ContentMark()

    @property
    def mark(self) -> bytes:
        """The mark of the content, once all of it was given."""
        return self._mark.digest(self.size)

    def prepare(self, start: int, data: bytes) -> Piece:
        return Piece(data, data_runs(data, _STEP), unit_marks(start, data))

    def put(self, start: int, made: Piece) -> None:
        self._mark.take(made.marks)
        view = memoryview(made.data)
        for low, high in made.runs:
            self.write(start + low, view[low:high])

    @abstractmethod
    def write(self, start: int, data: memoryview) -> None:
        """Write the guest's bytes from `start` on to where they belong."""


class FlatWriter(PlainWriter):
    """The guest's bytes one after the other, from `first` on in the file."""

    def __init__(self, output: Output, size: int, first: int) -> None:
        super().__init__(output, size)
        self._first = first

    def prepare(self, start: int, data: bytes) -> Piece:
        made = super().prepare(start, data)
        return made if self.output.known_zeros else made._replace(runs=[(0, len(data))])

    def write(self, start: int, data: memoryview) -> None:
        self.output.write_at(self._first + start, data)

    def zeros(self, start: int, length: int) -> None:
        if not self.output.known_zeros:
            self.output.write_zeros(self._first + start, length)


class BlockTable:
    """A table of 32-bit entries, one for each block, set in order; one that is not set is `absent`.

    Only a part of it is in memory. It lies at `offset` in the file and takes `length` bytes there.
    """

    def __init__(
        self, output: Output, offset: int, count: int, *, absent: int, order: Literal["big", "little"]
    ) -> None:
        self.offset = offset
        self.length = count * 4
        self._output = output
        self._count = count
        self._swapped = order != sys.byteorder
        self._empty = array("I", [absent]) * min(_WINDOW, count)
        self._start = 0
        self._held = self._empty[:]

    def set(self, index: int, entry: int) -> None:
        """Set the entry of block `index`; the next one has a higher index."""
        while index >= self._start + len(self._held):
            self._flush()
        self._held[index - self._start] = entry

    def in_order(self) -> None:
        """Set every entry to its own index."""
        while self._start < self._count:
            self._held = array("I", range(self._start, self._start + len(self._held)))
            self._flush()

    def finish(self) -> None:
        """Write what is not written yet."""
        while self._start < self._count:
            self._flush()

    def _flush(self) -> None:
        if self._swapped:
            self._held.byteswap()
        self._output.write_at(self.offset + self._start * 4, self._held.tobytes())
        self._start += len(self._held)
        self._held = self._empty[: self._count - self._start]


class BlockWriter(PlainWriter):
    """Blocks of `block_size` bytes, each with `lead` bytes of the format's own before it, from `first` on."""

    def __init__(
        self, output: Output, size: int, block_size: int, table: BlockTable, *, first: int, lead: int = 0
    ) -> None:
        assert block_size % self.unit == 0
        super().__init__(output, size)
        self.block_size = block_size
        self.table = table
        self.allocated = 0
        self._first = first
        self._lead = lead
        self._block = -1
        self._host = 0

    @property
    def end(self) -> int:
        """Where the next block would begin in the file."""
        return self._first + self.allocated * (self._lead + self.block_size)

    @abstractmethod
    def begin(self, number: int, at: int) -> int:
        """Write what stands before the bytes of the block that is the file's `number`th, from 0, and begins at `at`.
        The block's entry in the table is returned."""

    def write(self, start: int, data: memoryview) -> None:
        low = 0
        while low < len(data):
            block, inside = divmod(start + low, self.block_size)
            high = min(len(data), low + self.block_size - inside)
            if block != self._block:
                self._add(block)
            self.output.write_at(self._host + inside, data[low:high])
            low = high

    def _add(self, block: int) -> None:
        """Give the next place in the file to a block."""
        assert block > self._block
        at = self.end
        self._block = block
        self._host = at + self._lead
        if not self.output.known_zeros:
            self.output.write_zeros(self._host, self.block_size)
        self.table.set(block, self.begin(self.allocated, at))
        self.allocated += 1
