"""BlockDisk: a disk that a table maps block by block. What block-mapped formats share, said once.

A format gives `entry` (one block, plain Python: a single read must not load numpy) and `entries` (many blocks,
numpy arrays: whole-table extents); everything else (splitting reads, joining neighbours, backing, bounds) is here.
"""

from __future__ import annotations

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
BAD = 4  #: the entry does not hold; reading raises DiskError, extents tell it as data at `host`

NOWHERE = -1  #: no host offset

_KINDS: tuple[ExtentKind, ...] = ("data", "zero", "hole", "compressed", "data")

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
    """

    __slots__ = ("backing", "block_size", "host", "referenced")

    def __init__(
        self,
        host: Source,
        size: int,
        block_size: int,
        *,
        backing: Source | None = None,
        referenced: bool = False,
    ) -> None:
        if block_size <= 0:
            raise ValueError(f"block size {block_size}")
        self.host = host
        self.name = host.name
        self.size = size
        self.block_size = block_size
        self.backing = backing
        self.referenced = referenced and backing is None

    @abstractmethod
    def entry(self, block: int) -> Entry:
        """What the table says of `block` (0 ≤ block < blocks). Plain Python. Raises DiskError, InputError."""

    @abstractmethod
    def entries(self, first: int, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Kinds and hosts of `count` blocks from `first` on, as arrays. Raises DiskError, InputError."""

    def read_packed(self, block: int, host: int) -> bytes:
        """The bytes of a compressed block, exactly `block_size` of them. Raises DiskError."""
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
        length = min(length, self.size - offset)
        parts: list[bytes] = []
        while length > 0:
            block, within = divmod(offset, self.block_size)
            entry = self.entry(block)
            span = min(length, self.block_size - within)
            if entry.kind == DATA:
                span = self._run(block, entry.host, within, length, span)
            parts.append(self._bytes(block, entry, within, offset, span))
            offset += span
            length -= span
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _run(self, block: int, host: int, within: int, length: int, span: int) -> int:
        """Bytes that can be read at once: as many data blocks as lie on after this one."""
        expected = host + self.block_size
        while span < length:
            block += 1
            following = self.entry(block)
            if following.kind != DATA or following.host != expected:
                break
            expected += self.block_size
            span = min(length, span + self.block_size)
        return span

    def _bytes(self, block: int, entry: Entry, within: int, offset: int, span: int) -> bytes:
        kind = entry.kind
        if kind == DATA:
            data = self.host.read_at(entry.host + within, span)
            if len(data) < span:
                raise DiskError(f"{self.name}: guest bytes at {offset} lie past the end of the file")
            return data
        if kind == COMPRESSED:
            return self.read_packed(block, entry.host)[within : within + span]
        if kind == HOLE:
            return self._below(offset, span)
        if kind == ZERO:
            return bytes(span)
        raise DiskError(f"{self.name}: the table entry of guest bytes at {offset} does not hold")

    def _below(self, offset: int, span: int) -> bytes:
        if self.backing is not None:
            data = self.backing.read_at(offset, span)
            return data if len(data) == span else data + bytes(span - len(data))
        if self.referenced:
            raise NotFollowedError(f"{self.name}: guest bytes at {offset} lie in a file it refers to (see --follow)")
        return bytes(span)

    def extents(self, start: int = 0, length: int | None = None) -> Iterator[Extent]:
        return merged(self._extents(*clip(self.size, start, length)))

    def _extents(self, start: int, end: int) -> Iterator[Extent]:
        while start < end:
            first = start // self.block_size
            last = min((end - 1) // self.block_size + 1, first + _BATCH)
            upto = min(end, last * self.block_size)
            yield from self._batch(first, last - first, start, upto)
            start = upto

    def _batch(self, first: int, count: int, start: int, end: int) -> Iterator[Extent]:
        import numpy as np

        kinds, hosts = self.entries(first, count)
        lies_on = (kinds[1:] == kinds[:-1]) & (
            (hosts[1:] == hosts[:-1] + self.block_size)
            | ((hosts[1:] == NOWHERE) & (hosts[:-1] == NOWHERE))
            | (kinds[1:] == COMPRESSED)
        )
        begins = np.concatenate(([0], np.flatnonzero(~lies_on) + 1, [count]))
        for begin, after in zip(begins[:-1].tolist(), begins[1:].tolist(), strict=True):
            low = max(start, (first + begin) * self.block_size)
            high = min(end, (first + after) * self.block_size)
            host = int(hosts[begin])
            if host != NOWHERE:
                host += low - (first + begin) * self.block_size
            yield from self._extent(int(kinds[begin]), host, low, high)

    def _extent(self, kind: int, host: int, low: int, high: int) -> Iterator[Extent]:
        if kind == HOLE and self.backing is not None:
            yield from below(self.backing, low, high)
        elif kind == HOLE and self.referenced:
            yield Extent(low, high - low, "reference")
        else:
            place = host if host != NOWHERE and kind != COMPRESSED else None
            yield Extent(low, high - low, _KINDS[kind], place)


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
