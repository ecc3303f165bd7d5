"""Disk: what a guest would see of an image. A Disk is a Source, so detection, digests and volumes run on it.

Contract, beside Source's (tests/conformance/test_disks.py runs it against each format):
- `size` is the virtual size in bytes; it may be odd.
- `extents(start, length)` tiles the range (clipped to the disk) without gap or overlap, in order, merged where
  neighbours are of one kind and lie on; it is lazy, so the caller may stop early.
- Extents agree with bytes: zero and hole read as zeros; data and compressed read as what they hold; reading a
  reference raises NotFollowedError.
- An entry that points outside its file is an extent of kind data all the same; reading it raises DiskError.
- Reads may come from several threads. Nothing is cached beyond a bound.
"""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

from imgtool.errors import UnsupportedError
from imgtool.model.facts import Facts
from imgtool.model.values import Extent, Reference
from imgtool.sources.base import RangeError, Source


class DiskError(RangeError):
    """The guest's bytes cannot be read: a table entry or a compressed cluster does not hold."""

    code = "unreadable-data"


class NotFollowedError(RangeError):
    """The guest's bytes lie in a file that the image names, and following was not allowed."""

    code = "reference-not-followed"
    problem = "elsewhere"


class EncryptedError(UnsupportedError):
    """The guest's bytes are encrypted."""

    code = "encrypted"


#: Kinds of extents that read as zeros without looking.
ZEROS = frozenset({"zero", "hole"})


class Disk(Source):
    """What a guest would see. See the module's docstring for the contract."""

    __slots__ = ()

    @abstractmethod
    def extents(self, start: int = 0, length: int | None = None) -> Iterator[Extent]:
        """The runs of the range, in order; offsets and lengths in bytes of the guest's disk."""

    def data_extents(self) -> Iterator[tuple[int, int]]:
        for extent in self.extents():
            if extent.kind not in ZEROS:
                yield extent.start, extent.length

    def open(self) -> DiskFile:
        """The guest's bytes as a readable, seekable binary file."""
        return DiskFile(self)


class DiskFile(io.RawIOBase):
    """A Disk (or any Source) as a raw binary file. Closing it leaves the disk open."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}
        if whence not in base:
            raise ValueError(f"whence is 0, 1 or 2, not {whence}")
        position = base[whence] + offset
        if position < 0:
            raise ValueError(f"negative position {position}")
        self._position = position
        return position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: memoryview | bytearray) -> int:  # type: ignore[override] # any writable buffer
        view = memoryview(buffer).cast("B")
        data = self._source.read_at(self._position, len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


def clip(size: int, start: int, length: int | None) -> tuple[int, int]:
    """Start and end of a range clipped to a disk of `size` bytes."""
    if start < 0 or (length is not None and length < 0):
        raise ValueError(f"negative range: start {start}, length {length}")
    start = min(start, size)
    return start, size if length is None else min(size, start + length)


def merged(extents: Iterator[Extent]) -> Iterator[Extent]:
    """The same runs with neighbours joined where they are of one kind and lie on in the same file."""
    last: Extent | None = None
    for extent in extents:
        if not extent.length:
            continue
        if last is not None and _joins(last, extent):
            last = last._replace(length=last.length + extent.length)
            continue
        if last is not None:
            yield last
        last = extent
    if last is not None:
        yield last


def _joins(first: Extent, second: Extent) -> bool:
    if first.kind != second.kind or first.depth != second.depth or first.file != second.file:
        return False
    if first.kind == "compressed":
        return True
    if first.host_offset is None or second.host_offset is None:
        return first.host_offset is second.host_offset
    return first.host_offset + first.length == second.host_offset


class Linked(NamedTuple):
    """A file that an image refers to, opened by permission: `disk` is its guest's bytes (or its bytes as they
    are, for an extent or a data file), `facts` what its own reader says of it, where it was read."""

    reference: Reference
    disk: Source
    facts: Facts | None = None
