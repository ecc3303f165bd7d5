"""Sources over bytes in memory, and a window of another source."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.sources.base import NotHeldError, Source, check_range


class BytesSource(Source):
    """Bytes in memory as a Source."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes, name: str = "<memory>") -> None:
        self._data = data
        self.name = name
        self.size = len(data)

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(offset, length)
        return self._data[offset : offset + length]


class Window(Source):
    """`length` bytes of another source from `offset` on, cut where that one ends. Owns nothing."""

    __slots__ = ("offset", "source")

    def __init__(self, source: Source, offset: int, length: int, name: str | None = None) -> None:
        check_range(offset, length)
        self.source = source
        self.offset = offset
        self.name = source.name if name is None else name
        self.size = max(0, min(length, source.size - offset))

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(offset, length)
        length = min(length, self.size - offset)
        return self.source.read_at(self.offset + offset, length) if length > 0 else b""

    def data_extents(self) -> Iterator[tuple[int, int]]:
        end = self.offset + self.size
        for start, length in self.source.data_extents():
            low, high = max(start, self.offset), min(start + length, end)
            if low < high:
                yield low - self.offset, high - low


class Peeked(Source):
    """A source whose head and tail are already in memory: reads inside them cost no system call."""

    __slots__ = ("_head", "_tail", "_tail_at", "source")

    def __init__(self, source: Source, head_size: int, tail_size: int) -> None:
        self.source = source
        self.name = source.name
        self.size = size = source.size
        self._head = source.read_at(0, min(head_size, size))
        self._tail_at = max(0, size - tail_size)
        held = len(self._head) >= size
        try:
            self._tail = self._head[self._tail_at :] if held else source.read_at(self._tail_at, tail_size)
        except NotHeldError:  # a stream: its end has not come yet, or was not kept
            self._tail, self._tail_at = b"", size

    @property
    def head(self) -> bytes:
        """The first bytes of the source."""
        return self._head

    @property
    def tail(self) -> bytes:
        """The last bytes of the source (they overlap the head where the file is short)."""
        return self._tail

    def before_tail(self, length: int) -> bytes:
        """Up to `length` bytes that end where the tail begins; none where a stream has not kept them."""
        start = max(0, self._tail_at - length)
        try:
            return self.read_at(start, self._tail_at - start) if self._tail else b""
        except NotHeldError:
            return b""

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(offset, length)
        end = offset + length
        if end <= len(self._head):
            return self._head[offset:end]
        if offset >= self._tail_at:
            return self._tail[offset - self._tail_at : end - self._tail_at]
        return self.source.read_at(offset, length)

    def data_extents(self) -> Iterator[tuple[int, int]]:
        return self.source.data_extents()

    @property
    def allocated(self) -> int | None:
        return self.source.allocated

    def close(self) -> None:
        self.source.close()
