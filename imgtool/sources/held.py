"""A stream, of which the head, the tail and planned windows are kept, as a Source. Memory is bounded.

While the stream runs, `reading(…)` gives a Source that pretends to be endless and remembers what was asked
for and is not here yet: those ranges become windows, if they still lie ahead. After the end the same
bytes are a Source of the true size; what was not kept raises NotHeldError.
"""

from __future__ import annotations

from collections import deque

from imgtool.limits import Limits
from imgtool.sources.base import NotHeldError, Source, check_range

_ENDLESS = 1 << 62


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
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._budget = limits.stream_windows

    def take(self, chunk: memoryview) -> None:
        """See the next bytes of the stream."""
        start, end = self.position, self.position + len(chunk)
        for piece in self._pieces:
            if not piece.full and piece.start < end and piece.end > start:
                at = max(piece.start, start)
                piece.data += chunk[at - start : min(piece.end, end) - start]
        self._take_tail(chunk)
        self.position = end

    def _take_tail(self, chunk: memoryview) -> None:
        self._tail.append(bytes(chunk))
        self._tail_size += len(chunk)
        while self._tail_size - len(self._tail[0]) >= self._limits.stream_tail:
            self._tail_size -= len(self._tail.popleft())

    @property
    def pending(self) -> bool:
        """True while a wanted piece is not complete."""
        return not all(piece.full for piece in self._pieces)

    def want(self, ranges: list[tuple[int, int]]) -> bool:
        """Plan windows for (offset, length) ranges that lie ahead, within the budget. True when any was."""
        planned = False
        for offset, length in sorted(set(ranges)):
            fits = length <= self._budget and offset < _ENDLESS // 2
            if offset >= self.position and fits and len(self._pieces) < 4096:
                self._pieces.append(_Piece(offset, length))
                self._budget -= length
                planned = True
        return planned

    def source(self) -> HeldSource:
        """What was kept, as a Source: endless while the stream runs, of its true size afterwards."""
        return HeldSource(self, self.position if self.ended else _ENDLESS)

    def fetch(self, offset: int, length: int) -> bytes | None:
        """The range, from the pieces that were kept; None when some of it was not."""
        parts: list[bytes] = []
        end = offset + length
        while offset < end:
            part = self._part(offset, end)
            if not part:
                return None
            parts.append(part)
            offset += len(part)
        return b"".join(parts)

    def _part(self, offset: int, end: int) -> bytes | None:
        for piece in self._pieces:
            if piece.start <= offset < piece.start + len(piece.data):
                return bytes(piece.data[offset - piece.start : end - piece.start])
        start = self.position - self._tail_size
        if start <= offset < self.position:
            for chunk in self._tail:
                if offset < start + len(chunk):
                    return chunk[offset - start : end - start]
                start += len(chunk)
        return None


class HeldSource(Source):
    """The kept parts of a stream; `missed` collects the ranges that were asked for and not there."""

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
        data = self.stream.fetch(offset, length)
        if data is None:
            self.missed.append((offset, length))
            raise NotHeldError(offset, length)
        return data
