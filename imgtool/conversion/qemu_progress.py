"""The progress of a qemu-img, which says "(12.34/100%)" now and then, on one line."""

from __future__ import annotations

import re

from imgtool.ingest.pump import Progress

_PERCENT = re.compile(rb"\((\d{1,3}(?:\.\d{1,2})?)/100%\)")
_LONGEST = 32


class Meter:
    """Progress in bytes, from percentages in what it says. Anything else that it says is nothing."""

    def __init__(self, size: int, progress: Progress | None) -> None:
        self._size = size
        self._progress = progress
        self._done = 0
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take what it said, in pieces cut anywhere."""
        text = self._rest + data
        self._rest = text[-_LONGEST:]
        found: list[bytes] = _PERCENT.findall(text)
        if found:
            self._reach(min(self._size, int(self._size * float(found[-1]) / 100)))

    def beat(self) -> None:
        """Nothing went by; the caller may still have something to say, as that it wants no more."""
        if self._progress is not None:
            self._progress(0)

    def whole(self) -> None:
        """All of it is done."""
        self._reach(self._size)

    def _reach(self, position: int) -> None:
        if self._progress is not None and position > self._done:
            self._progress(position - self._done)
        self._done = max(self._done, position)
