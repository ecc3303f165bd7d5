"""BlockDisk: a disk that a table maps block by block. What block-mapped formats share, said once.

A format gives `entry` (one block, plain Python: a single read must not load numpy) and `entries` (many blocks,
numpy arrays: whole-table extents); everything else (splitting reads, joining neighbours, backing, bounds) is here.
"""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from imgtool.model.values import Extent, ExtentKind
from imgtool.sources.base import Source, check_range
from imgtool.sources.disk import Disk, DiskError, NotFollowedError, clip, merged

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# What an entry says of its block.
DATA = 0  #: the block's bytes lie at `host`
ZERO = 1  #: reads as zeros; `host` is where it is allocated, or NOWHERE
HOLE = 2  #: nothing allocated: reads from the backing disk, else as zeros
COMPRESSED = 3  #: `host` is the format's own descriptor; `read_packed` inflates it
BAD = 4  #: the entry does not hold; reading raises DiskError, extents tell it as data that lies nowhere
ELSEWHERE = 6  #: the bytes lie in a file that the image names and that was not followed

NOWHERE = -1  #: no host offset

_KINDS: tuple[ExtentKind, ...] = ("data", "zero", "hole", "compressed", "data", "data", "reference")

#: Kinds whose neighbouring blocks are read at once.
_RUNS = frozenset({DATA, ZERO, HOLE, ELSEWHERE})

#: Kinds whose `host` is no place of the block's bytes as they are.
_PLACELESS = frozenset({COMPRESSED, BAD, ELSEWHERE})

#: What a compressed block inflates to.
Unpacked = bytes | bytearray | memoryview

#: Blocks whose entries are looked up at once for extents.
_BATCH = 1 << 16


class Entry(NamedTuple):
    """What the table says of one block: a kind of this module, and a host offset in bytes (or NOWHERE)."""

    kind: int
    host: int


class BlockDisk(Disk):
    """A disk mapped by a table of blocks.

    `host`: the file that holds the blocks. `block_size`: bytes, a positive number that met its cap.
    `backing`: the disk below (its bytes show where this one has holes; past its end zeros), or None.
    `referenced`: True where holes belong to a disk that was not followed: they are `reference` extents then.
    `packed_size`: bytes that one compressed entry holds, a multiple of the block size (more than one block where
    blocks are parts of what is compressed). `file`: the name of the file that data lies in, where that is not
    the image.
    """

    __slots__ = ("_unpacked", "backing", "block_size", "file", "host", "packed_size", "referenced")

    def __init__(
        self,
        host: Source,
        size: int,
        block_size: int,
        *,
        backing: Source | None = None,
        referenced: bool = False,
        packed_size: int | None = None,
        file: str | None = None,
    ) -> None:
        if block_size <= 0:
            raise ValueError(f"block size {block_size}")
        self.host = host
        self.name = host.name
        self.size = size
        self.block_size = block_size
        self.backing = backing
        self.referenced = referenced and backing is None
        self.packed_size = packed_size or block_size
        self.file = file
        self._unpacked: tuple[int, Unpacked] = (-1, b"")

    @abstractmethod
    def entry(self, block: int) -> Entry:
        """What the table says of `block` (0 ≤ block < blocks). Plain Python. Raises DiskError, InputError."""

    @abstractmethod
    def entries(self, first: int, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Kinds and hosts of `count` blocks from `first` on, as arrays. Raises DiskError, InputError."""

    def run(self, block: int, most: int) -> tuple[Entry, int]:
        """What the table says of `block`, and of how many blocks from it on (1 to `most`) in the same way: one
        kind, hosts that follow one another. Formats with small blocks say it faster than by asking for each.
        """
        entry = self.entry(block)
        kind, host = entry
        step = self.block_size if kind == DATA else 0
        count = 1
        while count < most and kind in _RUNS:
            host += step
            following = self.entry(block + count)
            if following.kind != kind or (step and following.host != host):
                break
            count += 1
        return entry, count

    def alike(self, block: int) -> tuple[Entry, int] | None:
        """An entry that `block` and the next blocks share, and how many they are, where that is known without
        looking at each (outside the table, below an empty entry of a directory); None where it is not."""
        return None

    def read_packed(self, block: int, host: int) -> Unpacked:
        """The bytes of what is compressed from `block` on, exactly `packed_size` of them. Raises DiskError."""
        raise DiskError(f"{self.name}: block {block} is compressed, which this format does not know")

    @property
    def allocated(self) -> int | None:
        return self.host.allocated

    def close(self) -> None:
        self.host.close()
        if self.backing is not None:
            self.backing.close()

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(offset, length)
        start, end = offset, min(offset + length, self.size)
        whole = io.BytesIO()  # parts are freed at once: joining a list of them costs as much again in page faults
        while offset < end:
            block, within = divmod(offset, self.block_size)
            entry, count = self.run(block, (end - 1) // self.block_size + 1 - block)
            upto = min(end, (block + count) * self.block_size)
            if entry.kind == COMPRESSED:
                upto = min(end, offset - offset % self.packed_size + self.packed_size)
            part = self._bytes(block, entry, within, offset, upto - offset)
            if offset == start and upto == end:
                return bytes(part)
            whole.write(part)
            offset = upto
        return whole.getvalue()

    def _bytes(self, block: int, entry: Entry, within: int, offset: int, span: int) -> Unpacked:
        kind = entry.kind
        if kind == DATA:
            data = self.host.read_at(entry.host + within, span)
            if len(data) < span:
                raise DiskError(f"{self.name}: guest bytes at {offset + len(data)} lie past the end of the file")
            return data
        if kind == COMPRESSED:
            return self._unpack(entry.host, offset, span)
        if kind == HOLE:
            return self._below(offset, span)
        if kind == ZERO:
            return bytes(span)
        if kind == ELSEWHERE:
            raise self._not_followed(offset)
        raise DiskError(f"{self.name}: the table entry of guest bytes at {offset} does not hold")

    def _unpack(self, host: int, offset: int, span: int) -> Unpacked:
        """A range of what one compressed entry holds. The last one that was not read whole is kept."""
        within = offset % self.packed_size
        if span == self.packed_size:
            return self.read_packed(offset // self.block_size, host)
        start, data = self._unpacked
        if start != offset - within:
            start = offset - within
            data = self.read_packed(start // self.block_size, host)
            self._unpacked = (start, data)
        return memoryview(data)[within : within + span]

    def _below(self, offset: int, span: int) -> bytes:
        if self.backing is not None:
            data = self.backing.read_at(offset, span)
            return data if len(data) == span else data + bytes(span - len(data))
        if self.referenced:
            raise self._not_followed(offset)
        return bytes(span)

    def _not_followed(self, offset: int) -> NotFollowedError:
        return NotFollowedError(f"{self.name}: guest bytes at {offset} lie in a file it refers to (see --follow)")

    def extents(self, start: int = 0, length: int | None = None) -> Iterator[Extent]:
        return merged(self._extents(*clip(self.size, start, length)))

    def _extents(self, start: int, end: int) -> Iterator[Extent]:
        while start < end:
            first = start // self.block_size
            known = self.alike(first)
            if known is not None and known[1] > 0:
                (kind, host), count = known
                upto = min(end, (first + count) * self.block_size)
                yield from self._extent(kind, host, start, upto)
            else:
                after = min((end - 1) // self.block_size + 1, first + _BATCH)
                upto = min(end, after * self.block_size)
                yield from self._batch(first, after - first, start, upto)
            start = upto

    def _batch(self, first: int, count: int, start: int, end: int) -> Iterator[Extent]:
        import numpy as np

        kinds, hosts = self.entries(first, count)
        lies_on = (kinds[1:] == kinds[:-1]) & (
            (hosts[1:] == hosts[:-1] + self.block_size)
            | ((hosts[1:] == NOWHERE) & (hosts[:-1] == NOWHERE))
            | (kinds[1:] == COMPRESSED)
        )
        begins = np.concatenate(([0], np.flatnonzero(~lies_on) + 1))
        bounds = (np.append(begins, count) + first).tolist()
        runs = zip(kinds[begins].tolist(), hosts[begins].tolist(), bounds[:-1], bounds[1:], strict=True)
        for kind, host, begin, after in runs:
            low = max(start, begin * self.block_size)
            high = min(end, after * self.block_size)
            place = host if host == NOWHERE else host + low - begin * self.block_size
            yield from self._extent(kind, place, low, high)

    def _extent(self, kind: int, host: int, low: int, high: int) -> Iterator[Extent]:
        if kind == HOLE and self.backing is not None:
            yield from below(self.backing, low, high)
        elif kind == HOLE and self.referenced:
            yield Extent(low, high - low, "reference")
        else:
            place = host if host != NOWHERE and kind not in _PLACELESS else None
            yield Extent(low, high - low, _KINDS[kind], place, 0, self.file if place is not None else None)


def below(backing: Source, low: int, high: int) -> Iterator[Extent]:
    """The extents of a backing disk for a range of the disk above it, one deeper; zeros past its end."""
    covered = min(high, max(low, backing.size))
    if low < covered:
        if isinstance(backing, Disk):
            for extent in backing.extents(low, covered - low):
                yield extent._replace(depth=extent.depth + 1)
        else:
            yield Extent(low, covered - low, "data", low, 1)
    if covered < high:
        yield Extent(covered, high - covered, "hole")
