"""Several sources one after the other as one: a file that was cut into chunks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from imgtool.sources.base import Source, check_range


class Joined(Source):
    """The bytes of `parts`, in order. Owns nothing."""

    __slots__ = ("_parts", "_starts")

    def __init__(self, parts: Sequence[Source], name: str) -> None:
        self._parts = tuple(part for part in parts if part.size)
        self._starts: list[int] = []
        self.name = name
        self.size = 0
        for part in self._parts:
            self._starts.append(self.size)
            self.size += part.size

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(offset, length)
        end = min(offset + length, self.size)
        pieces: list[bytes] = []
        while offset < end:
            index = bisect_right(self._starts, offset) - 1
            part, start = self._parts[index], self._starts[index]
            piece = part.read_at(offset - start, min(end - start, part.size) - (offset - start))
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
        return b"".join(pieces)

    def data_extents(self) -> Iterator[tuple[int, int]]:
        for part, start in zip(self._parts, self._starts, strict=True):
            for offset, length in part.data_extents():
                yield start + offset, length
