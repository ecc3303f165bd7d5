"""Pieces of a source, read when they are asked for; the last ones used are kept. For tables and bitmaps."""

from __future__ import annotations

from functools import lru_cache

from imgtool.sources.base import Source

#: Bytes of one piece, and how many of them are kept: 2 MiB at most.
PIECE = 32 * 1024
KEPT = 64


class Pieces:
    """The `length` bytes of `source` from `start` on, in pieces of `piece` bytes of which `kept` are remembered.

    May be used from several threads. Offsets of `read` count from `start`.
    """

    __slots__ = ("_piece_at", "length", "piece", "source", "start")

    def __init__(self, source: Source, start: int, length: int, piece: int = PIECE, kept: int = KEPT) -> None:
        self.source = source
        self.start = start
        self.length = max(0, min(length, source.size - start))
        self.piece = piece
        self._piece_at = lru_cache(maxsize=kept)(self._load)

    def read(self, at: int, length: int) -> bytes:
        """The bytes of the range that exist, as `Source.read_at` would give them."""
        parts: list[bytes] = []
        while length > 0 and at < self.length:
            index, within = divmod(at, self.piece)
            part = self._piece_at(index)[within : within + length]
            if not part:
                break
            parts.append(part)
            at += len(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _load(self, index: int) -> bytes:
        at = index * self.piece
        return self.source.read_at(self.start + at, min(self.piece, self.length - at))
