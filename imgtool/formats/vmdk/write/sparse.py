"""Writing monolithicSparse: header, descriptor, the redundant directory with its tables, the primary ones, grains.

All tables have their place from the start, as in the files of VMware's programs and of qemu-img; the grains follow
in the order of the disk. A grain that is all zeros is not there, and steps of 4 KiB inside one stay holes.

Reference: VMware "Virtual Disk Format 5.0", sections "Hosted Sparse Extents", "Grain Directory and Grain Tables".
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

from imgtool.formats.vmdk import layout as lay
from imgtool.formats.vmdk.write.descriptor import DESCRIPTOR_AT, DESCRIPTOR_SECTORS, Chosen, descriptor
from imgtool.formats.vmdk.write.extent import TABLE_SECTORS, Room, Shape, header, little_endian
from imgtool.targets.output import Output
from imgtool.targets.writer import Stamp, Writer, data_runs
from imgtool.units import SECTOR, ceil_div

_STEP = 4096  #: bytes of what is looked at for zeros
_ENTRIES = 64 * lay.GTES_PER_GT  #: entries of tables that are held, and of directories that are written together


class Grains(NamedTuple):
    """Grains that follow each other, by their bytes in the piece, and the (start, end) of what is written of them."""

    start: int
    end: int
    parts: list[tuple[int, int]]


class SparsePiece(NamedTuple):
    """A piece, and its grains that are not all zeros."""

    data: bytes
    grains: list[Grains]


class SparseWriter(Writer[SparsePiece]):
    """One sparse extent, not compressed."""

    stamped = True

    def __init__(self, output: Output, shape: Shape, chosen: Chosen) -> None:
        self.output = output
        self.size = shape.capacity * SECTOR
        self.unit = shape.grain * SECTOR
        self._shape = shape
        self._chosen = chosen
        directory = ceil_div(shape.tables * 4, SECTOR)
        self._redundant = DESCRIPTOR_AT + DESCRIPTOR_SECTORS
        self._directory = self._redundant + directory + shape.tables * TABLE_SECTORS
        after = self._directory + directory + shape.tables * TABLE_SECTORS
        self._overhead = ceil_div(after, shape.grain) * shape.grain
        self._room = Room(output, self._overhead)
        self._tables = _Tables(output, (self._redundant + directory, self._directory + directory), shape.tables)

    def prepare(self, start: int, data: bytes) -> SparsePiece:
        found: list[Grains] = []
        for low, high in data_runs(data, _STEP):
            begin, end = low // self.unit * self.unit, ceil_div(high, self.unit) * self.unit
            if found and begin <= found[-1].end:
                last = found.pop()
                found.append(Grains(last.start, end, [*last.parts, (low, high)]))
            else:
                found.append(Grains(begin, end, [(low, high)]))
        return SparsePiece(data, found)

    def put(self, start: int, made: SparsePiece) -> None:
        view = memoryview(made.data)
        for grains in made.grains:
            sector = self._room.take((grains.end - grains.start) // SECTOR)
            self._tables.set(
                (start + grains.start) // self.unit,
                array("I", range(sector, self._room.end, self._shape.grain)),
            )
            for low, high in grains.parts:
                self.output.write_at(sector * SECTOR + low - grains.start, view[low:high])

    def finish(self, stamp: Stamp) -> None:
        self._tables.finish()
        for place in (self._redundant, self._directory):
            self._write_directory(place)
        head = header(
            self._shape,
            version=1,
            flags=lay.FLAG_REDUNDANT,
            rgd=self._redundant,
            gd=self._directory,
            overhead=self._overhead,
        )
        words = descriptor("monolithicSparse", "RW", self.output.name, self._shape.capacity, self._chosen, stamp)
        self.output.write_at(0, lay.SPARSE_HEADER.build(head) + words)
        self.output.truncate(self._room.end * SECTOR)

    def _write_directory(self, place: int) -> None:
        """A directory at sector `place`: its tables follow it, one after the other."""
        count = self._shape.tables
        first = place + ceil_div(count * 4, SECTOR)
        for low in range(0, count, _ENTRIES):
            high = min(count, low + _ENTRIES)
            sectors = range(first + low * TABLE_SECTORS, first + high * TABLE_SECTORS, TABLE_SECTORS)
            self.output.write_at(place * SECTOR + low * 4, little_endian(array("I", sectors)))


class _Tables:
    """All grain tables, filled in order and written to each of `places` (sectors). Some are held; those without an
    entry are never written."""

    def __init__(self, output: Output, places: tuple[int, ...], count: int) -> None:
        self._output = output
        self._places = places
        self._count = count * lay.GTES_PER_GT
        self._start = 0
        self._used = False
        self._held = array("I", [0]) * min(_ENTRIES, self._count)

    def set(self, first: int, entries: array[int]) -> None:
        """Set the entries of the grains from `first` on; the next ones have higher numbers."""
        done = 0
        while done < len(entries):
            at = first + done - self._start
            if at >= len(self._held):
                self._move(first + done)
                continue
            part = entries[done : done + len(self._held) - at]
            self._held[at : at + len(part)] = part
            self._used = True
            done += len(part)

    def finish(self) -> None:
        """Write what is not written yet."""
        if self._used:
            for place in self._places:
                self._output.write_at(place * SECTOR + self._start * 4, little_endian(self._held))
        self._used = False

    def _move(self, grain: int) -> None:
        """Hold the tables about `grain` in place of those before."""
        self.finish()
        self._start = grain // _ENTRIES * _ENTRIES
        self._held = array("I", [0]) * min(_ENTRIES, self._count - self._start)
