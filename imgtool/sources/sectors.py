"""SectorDisk: a BlockDisk some of whose blocks are partial: a bitmap says sector by sector what is in them.

Sectors that are not in a partial block read from the disk below, or as zeros where the format knows none.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from imgtool.errors import InputError
from imgtool.model.values import Extent
from imgtool.sources.base import Source
from imgtool.sources.blocks import DATA, HOLE, NOWHERE, ZERO, BlockDisk, Entry, Unpacked
from imgtool.sources.disk import DiskError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PARTIAL = 5  #: the block's own sectors lie at `host`, its bitmap says which they are

#: Sectors whose bits are looked at together: 512 bytes of a bitmap.
_WINDOW = 4096

#: Own runs of one read above which they are read with what lies between them, at once.
_RUNS = 4


class Run(NamedTuple):
    """Bytes of a block, counted from its start: its own, or those of the disk below."""

    start: int
    end: int
    own: bool


class SectorDisk(BlockDisk):
    """A disk mapped by blocks, and within partial blocks by sectors of `sector` bytes.

    `layered`: sectors that are not in a partial block show the disk below; else they are zeros.
    """

    __slots__ = ("layered", "sector")

    def __init__(
        self,
        host: Source,
        size: int,
        block_size: int,
        sector: int,
        *,
        backing: Source | None = None,
        layered: bool = False,
    ) -> None:
        super().__init__(host, size, block_size, backing=backing, referenced=layered)
        self.sector = sector
        self.layered = layered

    @abstractmethod
    def bits(self, block: int, host: int, first: int, count: int) -> int:
        """A number whose bit i tells that sector `first` + i of a partial block is its own.

        `host` is what the entry says; `first` is a multiple of 4096, `count` at most that. Raises DiskError,
        InputError where the bitmap cannot be read.
        """

    def thinned(self, kinds: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """`kinds` of neighbouring blocks, for `entries`: where more of them are partial than the file has room for,
        entries share places, and their bitmaps could be looked at without end: they are told as data then."""
        import numpy as np

        if int(np.count_nonzero(kinds == PARTIAL)) * self.block_size > self.host.size + self.block_size:
            kinds[kinds == PARTIAL] = DATA
        return kinds

    def _bytes(self, block: int, entry: Entry, within: int, offset: int, span: int) -> Unpacked:
        if entry.kind != PARTIAL:
            return super()._bytes(block, entry, within, offset, span)
        runs = list(self._runs(block, entry.host, within, within + span))
        own = [run for run in runs if run.own]
        base, held = 0, b""
        if len(own) > _RUNS:
            base = own[0].start
            held = self._own(entry.host, base, own[-1].end, offset - within)
        parts = []
        for start, end, is_own in runs:
            if not is_own:
                parts.append(
                    self._below(offset - within + start, end - start) if self.layered else bytes(end - start)
                )
            elif held:
                parts.append(held[start - base : end - base])
            else:
                parts.append(self._own(entry.host, start, end, offset - within))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _own(self, host: int, start: int, end: int, guest: int) -> bytes:
        data = self.host.read_at(host + start, end - start)
        if len(data) < end - start:
            raise DiskError(f"{self.name}: guest bytes at {guest + start} lie past the end of the file")
        return data

    def _runs(self, block: int, host: int, low: int, high: int) -> Iterator[Run]:
        """The bytes from `low` to `high` of a partial block, merged where they are of one kind."""
        last: Run | None = None
        for run in self._window_runs(block, host, low, high):
            if last is not None and last.own == run.own:
                last = last._replace(end=run.end)
                continue
            if last is not None:
                yield last
            last = run
        if last is not None:
            yield last

    def _window_runs(self, block: int, host: int, low: int, high: int) -> Iterator[Run]:
        most = self.block_size // self.sector
        first = low // self.sector // _WINDOW * _WINDOW
        while first * self.sector < high:
            count = min(_WINDOW, most - first)
            bits = self.bits(block, host, first, count)
            at = max(0, low // self.sector - first)
            stop = min(count, -(-high // self.sector) - first)
            while at < stop:
                own = bool(bits >> at & 1)
                after = at + _ahead(bits >> at, own, stop - at)
                yield Run(max(low, (first + at) * self.sector), min(high, (first + after) * self.sector), own)
                at = after
            first += count

    def _extent(self, kind: int, host: int, low: int, high: int) -> Iterator[Extent]:
        if kind != PARTIAL:
            yield from super()._extent(kind, host, low, high)
            return
        while low < high:
            block, within = divmod(low, self.block_size)
            upto = min(high, (block + 1) * self.block_size)
            if self._whole(block, host - within):
                yield Extent(low, upto - low, "data", host)
            else:
                yield from self._partial(block, host - within, low - within, within, upto - (low - within))
            host += upto - low
            low = upto

    def _whole(self, block: int, host: int) -> bool:
        """True where all sectors of a block are its own, told in one look: for nearly all blocks they are."""
        count = self.block_size // self.sector
        if count > _WINDOW:
            return False
        try:
            return self.bits(block, host, 0, count) == (1 << count) - 1
        except InputError:
            return False

    def _partial(self, block: int, host: int, guest: int, within: int, end: int) -> Iterator[Extent]:
        """The extents of a partial block's bytes from `within` to `end`; what has no bitmap is data."""
        runs = self._runs(block, host, within, end)
        while within < end:
            try:
                run = next(runs)
            except InputError:
                yield Extent(guest + within, end - within, "data", host + within)
                return
            yield from self._run_extent(run, host, guest)
            within = run.end

    def _run_extent(self, run: Run, host: int, guest: int) -> Iterator[Extent]:
        low, high = guest + run.start, guest + run.end
        if run.own:
            yield Extent(low, high - low, "data", host + run.start)
        elif self.layered:
            yield from super()._extent(HOLE, NOWHERE, low, high)
        else:
            yield from super()._extent(ZERO, host + run.start, low, high)


def _ahead(bits: int, own: bool, most: int) -> int:
    """How many of the lowest bits are alike, `most` at the most."""
    if own:
        return min(most, (bits ^ (bits + 1)).bit_length() - 1)
    return min(most, (bits & -bits).bit_length() - 1) if bits else most
