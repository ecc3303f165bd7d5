"""What every decoder shares: compressed bytes in order from a range of a Source, and one error.

It knows no wrapper. A library's error never passes: `turned` makes it a CodecError.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from imgtool.model.values import ProblemKind
from imgtool.sources.base import NotHeldError, Source

CHUNK = 1024 * 1024  #: the most that a decoder yields at once, in bytes
PIECE = 64 * 1024  #: compressed bytes read at once


class CodecError(Exception):
    """Decoding cannot go on. `reason` says which kind it is; `offset` is the place in the compressed source."""

    def __init__(self, reason: ProblemKind, message: str, offset: int | None = None) -> None:
        super().__init__(message)
        self.reason: ProblemKind = reason
        self.message = message
        self.offset = offset


class Feed:
    """Bytes of `source` from `start` to `end`, in order. `prefix` is handed out before them."""

    __slots__ = ("_at", "_data", "_read", "end", "prefix", "source", "start")

    def __init__(self, source: Source, start: int, end: int, prefix: bytes = b"") -> None:
        self.source = source
        self.start = start
        self.end = min(end, source.size)
        self.prefix = prefix
        self._read = start
        self._data = prefix
        self._at = 0

    def again(self, position: int | None = None) -> Feed:
        """The same bytes once more: all of them with their prefix, or those from `position` of the source on."""
        if position is None:
            return Feed(self.source, self.start, self.end, self.prefix)
        return Feed(self.source, position, self.end)

    @property
    def position(self) -> int:
        """The offset in the source of the next byte that is handed out."""
        return self._read - (len(self._data) - self._at)

    @property
    def left(self) -> int:
        """Bytes that can still be handed out."""
        return max(0, self.end - self.position)

    def next(self) -> bytes:
        """The next piece, at most `PIECE` bytes; empty at the end. Raises CodecError, InputError."""
        piece = self._data[self._at : self._at + PIECE]
        self._at += len(piece)
        return piece or self._fetch(PIECE)

    def peek(self, length: int) -> bytes:
        """The next `length` bytes (fewer at the end), which stay."""
        if len(self._data) - self._at < length:
            kept = self._data[self._at :]
            self._data, self._at = kept + self._fetch(max(PIECE, length - len(kept))), 0
        return self._data[self._at : self._at + length]

    def exactly(self, length: int, what: str) -> bytes:
        """The next `length` bytes. Raises CodecError ("truncated") when they are not all there."""
        data = self.peek(length)
        if len(data) < length:
            raise self.ended(what)
        self._at += length
        return data

    def skip(self, length: int, what: str) -> None:
        """Pass over `length` bytes without reading them. Raises CodecError when they are not all there."""
        if length > self.left:
            raise self.ended(what)
        held = min(length, len(self._data) - self._at)
        self._at += held
        self._read += length - held

    def back(self, data: bytes) -> None:
        """Hand `data` out again: bytes that a decoder did not use."""
        if data:
            self._data, self._at = data + self._data[self._at :], 0

    def ended(self, what: str) -> CodecError:
        """The error of data that ends too early."""
        return CodecError("truncated", f"{what}: the compressed data end at byte {self.end}", self.end)

    def _fetch(self, length: int) -> bytes:
        length = min(length, self.end - self._read)
        if length <= 0:
            return b""
        try:
            data = self.source.read_at(self._read, length)
        except NotHeldError:
            message = f"compressed bytes from {self._read} on were not kept of the stream"
            raise CodecError("not-read", message, self._read) from None
        self._read += len(data)
        return data


@contextmanager
def turned(what: str, feed: Feed, *kinds: type[Exception]) -> Iterator[None]:
    """A library's errors of these kinds as CodecError: over a memory cap, a checksum that does not hold (where the
    library tells), or malformed data."""
    try:
        yield
    except MemoryError:
        raise CodecError("cap", f"{what}: memory for its window is not there", feed.position) from None
    except kinds as error:
        text = str(error).strip() or type(error).__name__
        raise CodecError(_reason(text), f"{what}: {text}", feed.position) from None


def _reason(text: str) -> ProblemKind:
    if "emory" in text and "imit" in text:
        return "cap"
    lowered = text.lower()
    return "checksum" if "check" in lowered and "header" not in lowered else "malformed"


def skip_zeros(feed: Feed, unit: int, most: int = 1024 * 1024) -> None:
    """Pass over zeros, in whole units of `unit` bytes, at most `most` bytes."""
    while most > 0:
        piece = feed.peek(PIECE)
        zeros = (len(piece) - len(piece.lstrip(b"\0"))) // unit * unit
        feed.skip(zeros, "padding")
        most -= zeros
        if not zeros or zeros < len(piece):
            return
