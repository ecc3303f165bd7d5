"""Disks of changed fixtures: opened, their extents listed, ranges read. Only the errors of a disk may come of it.

A change lies in the tables more often than not: at the places of fields that a reader knows, and at those that
reading the disk of the unchanged fixture asked for.
"""

from __future__ import annotations

import functools
import time
from itertools import islice, pairwise
from random import Random

from imgtool.disks.open import disk_of
from imgtool.errors import InputError, UnsupportedError, UsageError
from imgtool.limits import DEFAULT
from imgtool.model.values import Extent
from imgtool.sources.base import Source
from imgtool.sources.disk import ZEROS, Disk, DiskError, NotFollowedError
from imgtool.sources.memory import BytesSource
from tests.fuzz.mending import mend
from tests.fuzz.mutation import MOST, Sample, edit, number
from tests.kit import fixture, images

#: Seconds of processor time that one disk may take.
SECONDS = 2.0

EXTENTS = 5_000  #: extents listed of one disk
READS = 24  #: ranges read of one disk
LONGEST = 300_000  #: bytes of the longest range

#: What a disk may raise; opening one may also ask which of several is meant.
ALLOWED = (DiskError, NotFollowedError, UnsupportedError)

_FOLDERS = frozenset(
    {"qcow2", "qcow", "qed", "vmdk", "vdi", "vhd", "vhdx", "parallels", "compressed", "ova", "iso", "volumes"}
)


class Watched(BytesSource):
    """Remembers which ranges were read, large ones left out."""

    __slots__ = ("ranges",)

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.ranges: set[tuple[int, int]] = set()

    def read_at(self, offset: int, length: int) -> bytes:
        data = super().read_at(offset, length)
        if data:
            self.ranges.add((offset, len(data)))
        return data


@functools.cache
def bases() -> tuple[str, ...]:
    """The fixtures whose disk can be opened, or could if they were sound."""
    return tuple(name for name in images() if name.split("/")[0] in _FOLDERS and len(fixture(name)) <= MOST)


@functools.cache
def tables(name: str) -> tuple[tuple[int, int], ...]:
    """The ranges that opening a fixture's disk and listing its extents asks for: its tables."""
    source = Watched(fixture(name))
    try:
        disk = disk_of(source, DEFAULT)
        source.ranges = {one for one in source.ranges if one[1] <= 4096}
        for _ in islice(disk.extents(), EXTENTS):
            pass
        disk.read_at(0, 1)
    except (InputError, UsageError):
        pass
    return tuple(sorted(source.ranges)) or ((0, len(fixture(name))),)


def mutate(chance: Random) -> Sample:
    """A fixture with changes in its tables."""
    name = bases()[chance.randrange(len(bases()))]
    data, story = bytearray(fixture(name)), [name]
    for _ in range(chance.randrange(1, 6)):
        if chance.random() < 0.3 and data:
            story.append(edit(chance, name, data))
        elif data:
            story.append(_entry(chance, name, data))
    if chance.random() < 0.1:
        del data[chance.randrange(len(data) + 1) :]
        story.append(f"cut at {len(data)}")
    if chance.random() < 0.5:
        mend(data)
        story.append("mended")
    return Sample("; ".join(story), bytes(data))


def _entry(chance: Random, name: str, data: bytearray) -> str:
    """Change an entry of a table: a number, another entry of the same table, or a value close to what was there."""
    start, length = chance.choice(tables(name))
    width = chance.choice((4, 8, 8))
    at = start + chance.randrange(max(1, min(length, len(data) - start))) // width * width
    kind = chance.randrange(3)
    if kind == 0:
        raw = number(chance, width)
    elif kind == 1:
        other = start + chance.randrange(max(1, length)) // width * width
        raw = bytes(data[other : other + width])
    else:
        order = "big" if chance.random() < 0.5 else "little"
        value = int.from_bytes(data[at : at + width], order)  # type: ignore[arg-type] # one of the two
        value ^= 1 << chance.randrange(8 * width)
        raw = value.to_bytes(width, order)  # type: ignore[arg-type] # one of the two
    data[at : at + len(raw)] = raw
    return f"{raw.hex()} at {at}"


def check(sample: Sample, chance: Random) -> str:
    """Open the disk, list extents, read: only allowed errors, in time. How far it came."""
    begin = time.thread_time()
    source: Source = BytesSource(sample.data)
    came = "refused"
    try:
        disk = disk_of(source, DEFAULT)
        came = "opened"
        extents = _listed(disk)
        came = "listed"
        for _ in range(READS):
            _read(disk, extents, chance)
        came = "read"
    except (*ALLOWED, UsageError):
        pass
    taken = time.thread_time() - begin
    assert taken < SECONDS, f"{taken:.2f} s"
    return came


def _listed(disk: Disk) -> list[Extent]:
    """The extents: they tile the disk, as far as they were listed."""
    extents = list(islice(disk.extents(), EXTENTS))
    assert all(extent.length > 0 for extent in extents)
    assert all(one.start + one.length == other.start for one, other in pairwise(extents))
    assert not extents or extents[0].start == 0
    assert not extents or extents[-1].start + extents[-1].length <= disk.size
    if len(extents) < EXTENTS:
        assert sum(extent.length for extent in extents) == disk.size
    return extents


def _read(disk: Disk, extents: list[Extent], chance: Random) -> None:
    """One range: as long as it should be, zeros where extents say so, or an allowed error."""
    extent = chance.choice(extents) if extents else Extent(0, 1, "hole")
    start = max(0, extent.start + chance.choice((0, -1, -512, extent.length // 2, extent.length - 1)))
    length = chance.choice((1, 512, 4096, 70_000, LONGEST))
    if chance.random() < 0.3:
        start = chance.randrange(disk.size + 1)
    try:
        data = disk.read_at(start, length)
    except ALLOWED:
        return
    assert len(data) == max(0, min(length, disk.size - start))
    if extent.kind in ZEROS and extent.start <= start and start + len(data) <= extent.start + extent.length:
        assert data.count(0) == len(data), f"{extent} is not zeros at {start}"
