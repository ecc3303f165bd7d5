"""A stream, of which the head, the tail and planned windows are kept, as a Source. Memory is bounded.

While the stream runs, `source()` gives a Source that pretends to be endless and remembers what was asked for
outside the head: `want` makes those ranges windows, from the tail where they went by a moment ago, else from
what is still to come. After the end the same bytes are a Source of the true size; what was not kept raises
NotHeldError.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from imgtool.limits import Limits
from imgtool.sources.base import NotHeldError, Source, check_range

#: The size that a stream pretends to have while it runs.
ENDLESS = 1 << 62

#: A window is made this much longer than what was asked for: structures follow one another.
_AHEAD = 128 * 1024
_MAX_PIECES = 1024


class _Piece:
    """A kept range: `start` in the stream, `data` so far, `want` bytes in all."""

    __slots__ = ("data", "start", "want")

    def __init__(self, start: int, want: int) -> None:
        self.start = start
        self.want = want
        self.data = bytearray()

    @property
    def end(self) -> int:
        return self.start + self.want

    @property
    def full(self) -> bool:
        return len(self.data) >= self.want


class HeldStream:
    """Keeps of a stream what an inspection needs. `take` is a tap; `source` gives what was kept."""

    def __init__(self, name: str, limits: Limits) -> None:
        self.name = name
        self.position = 0
        self.ended = False
        self._limits = limits
        self._pieces = [_Piece(0, limits.stream_head)]
        self._tail = bytearray()
        self._budget = limits.stream_windows

    def take(self, chunk: memoryview) -> None:
        """See the next bytes of the stream."""
        start, end = self.position, self.position + len(chunk)
        for piece in self._pieces:
            if not piece.full and piece.start < end and piece.end > start:
                at = max(piece.start, start)
                piece.data += chunk[at - start : min(piece.end, end) - start]
        keep = self._limits.stream_tail
        self._tail += chunk[max(0, len(chunk) - keep) :]
        if len(self._tail) > 2 * keep:
            del self._tail[: len(self._tail) - keep]
        self.position = end

    @property
    def full(self) -> int:
        """How many wanted pieces are complete: when it grows, an inspection may get further."""
        return sum(piece.full for piece in self._pieces)

    @property
    def kept(self) -> int:
        """Bytes in memory."""
        return sum(len(piece.data) for piece in self._pieces) + len(self._tail)

    def want(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Plan windows for (offset, length) ranges, within the budget; what is planned already stays as it is."""
        for start, end in _merged(ranges):
            offset = self._covered_to(start)
            length = min(end - offset + _AHEAD, self._budget)
            ahead = offset >= self._tail_start and offset < ENDLESS // 2
            if offset >= end or length < end - offset or not ahead or len(self._pieces) >= _MAX_PIECES:
                continue
            piece = _Piece(offset, length)
            if offset < self.position:
                at = len(self._tail) - (self.position - offset)
                piece.data += self._tail[at : at + length]
            self._pieces.append(piece)
            self._budget -= length

    def _covered_to(self, offset: int) -> int:
        """The first byte from `offset` on that no piece keeps or waits for."""
        for piece in sorted(self._pieces, key=lambda piece: piece.start):
            if piece.start <= offset < piece.end:
                offset = piece.end
        return offset

    @property
    def _tail_start(self) -> int:
        return self.position - min(len(self._tail), self._limits.stream_tail)

    def source(self, size: int | None = None) -> HeldSource:
        """What was kept, as a Source: endless while the stream runs, of its true size afterwards.

        `size` is what to take for its size where it is known otherwise: a stream that was cut.
        """
        if size is None:
            size = self.position if self.ended else ENDLESS
        return HeldSource(self, size)

    def fetch(self, offset: int, length: int, tail: bool = True) -> bytes | None:
        """The range, from the pieces that were kept (and the tail); None when some of it was not."""
        parts: list[bytes] = []
        end = offset + length
        while offset < end:
            part = self._part(offset, end, tail)
            if not part:
                return None
            parts.append(part)
            offset += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _part(self, offset: int, end: int, tail: bool) -> bytes | None:
        for piece in self._pieces:
            if piece.start <= offset < piece.start + len(piece.data):
                return bytes(memoryview(piece.data)[offset - piece.start : end - piece.start])
        if tail and self._tail_start <= offset < self.position:
            at = len(self._tail) - (self.position - offset)
            return bytes(memoryview(self._tail)[at : at + end - offset])
        return None


def _merged(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Ranges (offset, length) as runs (start, end) that do not touch, in order."""
    start = end = -1
    for offset, length in sorted(set(ranges)):
        if offset > end:
            if end > start:
                yield start, end
            start = offset
        end = max(end, offset + length)
    if end > start:
        yield start, end


class HeldSource(Source):
    """The kept parts of a stream. `missed`: the ranges that were asked for and are not in a piece."""

    __slots__ = ("missed", "stream")

    def __init__(self, stream: HeldStream, size: int) -> None:
        self.stream = stream
        self.size = size
        self.name = stream.name
        self.missed: list[tuple[int, int]] = []

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(offset, length)
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        data = self.stream.fetch(offset, length, tail=False)
        if data is None:
            self.missed.append((offset, length))
            data = self.stream.fetch(offset, length)
        if data is None:
            raise NotHeldError(offset, length)
        return data
