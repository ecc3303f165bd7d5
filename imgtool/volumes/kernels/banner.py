"""The text that a Linux kernel carries of itself: "Linux version 6.1.0-28-arm64 (…) …", looked for under a cap."""

from __future__ import annotations

from imgtool.limits import Limits
from imgtool.model.values import text
from imgtool.structs.view import Unreadable, View

_MARK = b"Linux version "
_STEP = 1024 * 1024
_LONGEST = 512


def banner(view: View, start: int, limits: Limits) -> str | None:
    """What follows "Linux version " up to the end of the line; None where it is not within the cap of bytes."""
    at, end = start, min(view.size, start + limits.kernel_search)
    while at < end:
        try:
            piece = view.peek(at, min(_STEP, end - at) + len(_MARK))
        except Unreadable:  # not kept of a stream
            return None
        found = piece.find(_MARK)
        while found >= 0:
            told = _told(view, at + found + len(_MARK))
            if told:
                return told
            found = piece.find(_MARK, found + 1)
        at += _STEP
    return None


def _told(view: View, at: int) -> str | None:
    """The line at `at`, where it begins with a number as a version does (a format string "%s" does not)."""
    try:
        raw = view.peek(at, _LONGEST)
    except Unreadable:
        return None
    line = raw.partition(b"\n")[0].partition(b"\0")[0]
    return text(line) if line[:1].isdigit() else None
