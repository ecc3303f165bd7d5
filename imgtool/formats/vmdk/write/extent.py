"""What both kinds of sparse extent share: the header, and room at the end of the file, given out in order.

Reference: VMware "Virtual Disk Format 5.0", section "Hosted Sparse Extents".
"""

from __future__ import annotations

import sys
from array import array
from typing import NamedTuple

from imgtool.errors import OutputError
from imgtool.formats.vmdk import layout as lay
from imgtool.formats.vmdk.write.descriptor import DESCRIPTOR_AT, DESCRIPTOR_SECTORS
from imgtool.targets.output import Output

TABLE_SECTORS = 4  #: 512 entries of 4 bytes

#: Entries of directories and tables have 32 bits and count sectors.
_SECTORS = 1 << 32


class Shape(NamedTuple):
    """The disk in sectors and its grains; how many tables those need."""

    capacity: int
    grain: int
    tables: int


class Room:
    """The rest of a file from a sector on: `end` is the first that is free."""

    def __init__(self, output: Output, start: int) -> None:
        self._name = output.name
        self.end = start

    def take(self, sectors: int) -> int:
        """The first of so many sectors. Raises OutputError where no entry could name them."""
        start = self.end
        self.end += sectors
        if self.end > _SECTORS:
            raise OutputError(f"{self._name}: the file of a vmdk ends at 2 TiB, and the disk's data takes more")
        return start


def little_endian(entries: array[int]) -> bytes:
    """Entries of a directory or table as they are stored."""
    assert entries.itemsize == 4
    if sys.byteorder == "big":
        entries = entries[:]
        entries.byteswap()
    return entries.tobytes()


def header(shape: Shape, *, version: int, flags: int, rgd: int, gd: int, overhead: int) -> lay.SparseHeader:
    """The header of an extent with a descriptor inside; offsets in sectors."""
    newlines = [lay.NEWLINES[at : at + 1] for at in range(4)]
    return lay.SparseHeader(
        magicNumber=lay.SPARSE_MAGIC,
        version=version,
        flags=flags | lay.FLAG_NEWLINES,
        capacity=shape.capacity,
        grainSize=shape.grain,
        descriptorOffset=DESCRIPTOR_AT,
        descriptorSize=DESCRIPTOR_SECTORS,
        numGTEsPerGT=lay.GTES_PER_GT,
        rgdOffset=rgd,
        gdOffset=gd,
        overHead=overhead,
        uncleanShutdown=0,
        singleEndLineChar=newlines[0],
        nonEndLineChar=newlines[1],
        doubleEndLineChar1=newlines[2],
        doubleEndLineChar2=newlines[3],
        compressAlgorithm=1 if flags & lay.FLAG_COMPRESSED else 0,
        pad=bytes(433),
    )
