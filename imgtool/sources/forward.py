"""Bytes that come once and in order as a Source that is read from front to back: what lies a bit behind is kept."""

from __future__ import annotations

from collections.abc import Iterable

from imgtool.sources.base import NotHeldError, Source, check_range
from imgtool.sources.held import ENDLESS

_KEPT = 64 * 1024


class ForwardSource(Source):
    """The bytes of `chunks`. Its size is not known, so it seems endless; `ended` says that `position` is the end.

    Reading passes on what the chunks raise, and raises NotHeldError for what went by too long ago.
    """

    __slots__ = ("_chunks", "_data", "_start", "ended")

    def __init__(self, chunks: Iterable[bytes], name: str) -> None:
        self.name = name
        self.size = ENDLESS
        self.ended = False
        self._chunks = iter(chunks)
        self._data = b""
        self._start = 0

    @property
    def position(self) -> int:
        """Bytes that came so far."""
        return self._start + len(self._data)

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(offset, length)
        if offset < self._start:
            raise NotHeldError(offset, length)
        while self.position < offset + length and self._pull(offset):
            pass
        return self._data[offset - self._start : offset - self._start + length]

    def drain(self) -> int:
        """Pass over everything that still comes; the size of the whole."""
        while self._pull(self.position):
            pass
        return self.position

    def _pull(self, wanted: int) -> bool:
        """Take the next chunk; keep what lies from `wanted` on, and a bit before it."""
        chunk = next(self._chunks, None)
        if chunk is None:
            self.ended = True
            return False
        cut = min(max(0, wanted - _KEPT - self._start), len(self._data))
        self._data = self._data[cut:] + chunk
        self._start += cut
        return True
