"""Writing streamOptimized: header, descriptor, compressed grains, each behind its marker, and behind the last grain
of a table the table; then the directory, the footer, the end-of-stream marker.

Everything lies where a reader that cannot go back meets it; only header and descriptor are written at the end, when
the content ID is known. Grains that are all zeros and tables without a grain are not there.

Reference: VMware "Virtual Disk Format 5.0", section "Stream-Optimized Compressed Sparse Extents".
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

from imgtool.formats.vmdk import layout as lay
from imgtool.formats.vmdk.write.descriptor import Chosen, descriptor
from imgtool.formats.vmdk.write.extent import TABLE_SECTORS, Room, Shape, header, little_endian
from imgtool.targets.output import Output
from imgtool.targets.writer import Stamp, Writer, is_zeros
from imgtool.units import SECTOR, ceil_div

_OVERHEAD = 128  #: sectors before the first grain, as VMware's programs have it
_FLAGS = lay.FLAG_COMPRESSED | lay.FLAG_MARKERS
_ENTRIES = 64 * 1024  #: entries of the directory that are written together


class Packed(NamedTuple):
    """The grains of a piece that are not all zeros: their numbers, the sectors of `data` at which their markers are,
    and how many sectors there are."""

    numbers: list[int]
    places: list[int]
    sectors: int
    data: bytes


class StreamWriter(Writer[Packed]):
    """One compressed extent that can be read from front to back."""

    stamped = True

    def __init__(self, output: Output, shape: Shape, chosen: Chosen, level: int) -> None:
        self.output = output
        self.size = shape.capacity * SECTOR
        self.unit = shape.grain * SECTOR
        self._shape = shape
        self._chosen = chosen
        self._level = level
        self._room = Room(output, _OVERHEAD)
        self._directory = array("I", [0]) * shape.tables
        self._number = -1
        self._table = array("I", [0]) * lay.GTES_PER_GT

    def prepare(self, start: int, data: bytes) -> Packed:
        from deflate import zlib_compress

        numbers: list[int] = []
        places: list[int] = []
        parts: list[bytes | bytearray] = []
        sectors = 0
        for low in range(0, len(data), self.unit):
            high = min(len(data), low + self.unit)
            if is_zeros(data, low, high):
                continue
            packed = zlib_compress(data[low:high].ljust(self.unit, b"\0"), self._level)
            length = lay.GRAIN_MARKER.size + len(packed)
            numbers.append((start + low) // self.unit)
            places.append(sectors)
            parts += (lay.GRAIN_MARKER.pack((start + low) // SECTOR, len(packed)), packed, bytes(-length % SECTOR))
            sectors += ceil_div(length, SECTOR)
        return Packed(numbers, places, sectors, b"".join(parts))

    def put(self, start: int, made: Packed) -> None:
        view = memoryview(made.data)
        done = 0
        while done < len(made.numbers):
            table = made.numbers[done] // lay.GTES_PER_GT
            if table != self._number:
                self._end_table()
                self._number = table
            done = self._put(made, view, done)

    def _put(self, made: Packed, view: memoryview, first: int) -> int:
        """Write the grains from `first` on that the current table has. The one behind them is returned."""
        after = first
        while after < len(made.numbers) and made.numbers[after] // lay.GTES_PER_GT == self._number:
            after += 1
        low = made.places[first]
        high = made.places[after] if after < len(made.places) else made.sectors
        sector = self._room.take(high - low)
        self.output.write_at(sector * SECTOR, view[low * SECTOR : high * SECTOR])
        for number, place in zip(made.numbers[first:after], made.places[first:after], strict=True):
            self._table[number % lay.GTES_PER_GT] = sector + place - low
        return after

    def _end_table(self) -> None:
        """Write the current table behind its last grain."""
        if self._number < 0:
            return
        self._directory[self._number] = self._metadata(lay.MARKER_TABLE, TABLE_SECTORS, little_endian(self._table))
        self._table = array("I", [0]) * lay.GTES_PER_GT

    def _metadata(self, kind: int, sectors: int, data: bytes) -> int:
        """Write a marker and the first bytes of what it announces. The sector behind the marker is returned."""
        at = self._room.take(1 + sectors)
        self.output.write_at(at * SECTOR, lay.MARKER.build(lay.Marker(sectors, 0, kind, bytes(496))) + data)
        return at + 1

    def finish(self, stamp: Stamp) -> None:
        self._end_table()
        directory = self._write_directory()
        head = header(self._shape, version=3, flags=_FLAGS, rgd=0, gd=lay.GD_AT_END, overhead=_OVERHEAD)
        footer = lay.SPARSE_HEADER.build(head._replace(gdOffset=directory))
        self._metadata(lay.MARKER_FOOTER, 1, footer)
        self._metadata(lay.MARKER_EOS, 0, b"")
        words = descriptor("streamOptimized", "RDONLY", self.output.name, self._shape.capacity, self._chosen, stamp)
        self.output.write_at(0, lay.SPARSE_HEADER.build(head) + words)
        self.output.truncate(self._room.end * SECTOR)

    def _write_directory(self) -> int:
        """Write the grain directory with its marker. Its sector is returned."""
        sectors = ceil_div(len(self._directory) * 4, SECTOR)
        at = self._metadata(lay.MARKER_DIRECTORY, sectors, b"")
        for low in range(0, len(self._directory), _ENTRIES):
            self.output.write_at(at * SECTOR + low * 4, little_endian(self._directory[low : low + _ENTRIES]))
        return at
