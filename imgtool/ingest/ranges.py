"""Digests of ranges of bytes that go by in order: a tap on the pump, so that members are verified in the one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from imgtool.ingest import digests

if TYPE_CHECKING:
    from hashlib import _Hash

_STEP = 1024 * 1024


class Range(NamedTuple):
    """`length` bytes from `offset` on, and the digest that is wanted of them."""

    offset: int
    length: int
    algorithm: str


class RangeDigests:
    """What goes by (`take`, in order) is given to the digests of those ranges that it lies in.

    A range that began before it was asked for is missing from `found`, unless its beginning was handed in.
    """

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self.found: dict[Range, str] = {}
        self._known: set[Range] = set(ranges)
        self._waiting = sorted(self._known, reverse=True)
        self._active: list[tuple[Range, _Hash]] = []

    def __bool__(self) -> bool:
        return bool(self._waiting or self._active)

    def want(self, ranges: Iterable[Range], position: int, past: Callable[[int, int], bytes | None]) -> None:
        """Ask for more ranges while `position` bytes went by; `past` gives (offset, length) of those, or None."""
        fresh = set(ranges) - self._known
        self._known |= fresh
        self._waiting += [one for one in fresh if one.offset >= position]
        self._waiting.sort(reverse=True)
        for one in fresh:
            if one.offset < position:
                self._begin(one, position, past)

    def _begin(self, one: Range, position: int, past: Callable[[int, int], bytes | None]) -> None:
        hashed, at, end = digests.new(one.algorithm), one.offset, min(position, one.offset + one.length)
        while at < end:
            piece = past(at, min(_STEP, end - at))
            if not piece:
                return
            hashed.update(piece)
            at += len(piece)
        self._feed(one, hashed, memoryview(b""), position)

    def take(self, position: int, data: memoryview) -> None:
        """The next bytes, which begin at `position`."""
        end = position + len(data)
        active, self._active = self._active, []
        while self._waiting and self._waiting[-1].offset <= end:
            one = self._waiting.pop()
            if one.offset >= position:
                active.append((one, digests.new(one.algorithm)))
        for one, hashed in active:
            low, high = max(one.offset - position, 0), one.offset + one.length - position
            self._feed(one, hashed, data[low : max(low, high)], end)

    def _feed(self, one: Range, hashed: _Hash, data: memoryview, position: int) -> None:
        hashed.update(data)
        if one.offset + one.length <= position:
            self.found[one] = hashed.hexdigest()
        else:
            self._active.append((one, hashed))
