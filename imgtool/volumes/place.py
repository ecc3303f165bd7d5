"""File systems at one place: at the start of the bytes, or where a partition begins."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from imgtool.detect.match import Index, build_index, matches, resolve
from imgtool.detect.registry import Entry, Match, Windows
from imgtool.limits import Limits
from imgtool.structs.view import Unreadable, View
from imgtool.volumes import FILESYSTEMS, INSIDE
from imgtool.volumes.filesystems.facts import FileSystemFacts


class Located(NamedTuple):
    """A file system that was read: its entry, where its mark lies in the whole, its facts."""

    entry: Entry
    mark: int
    facts: FileSystemFacts


@lru_cache(maxsize=1)
def _index() -> Index:
    return build_index((*FILESYSTEMS, *INSIDE))


def marks(head: bytes, size: int) -> list[Match]:
    """The marks of file systems in the first bytes of a place of `size` bytes."""
    return matches(Windows(head, b"", size), _index())


def read_place(view: View, start: int, length: int, limits: Limits) -> tuple[Located, ...]:
    """Every file system whose mark holds in `length` bytes from `start` on, best rank first.

    What cannot be read is noted in `view`. The first one knows the names of the others.
    """
    part = view.part(start, length)
    try:
        head = part.peek(0, limits.head)
    except Unreadable as error:
        view.note(error.problem)
        return ()
    found: list[Located] = []
    for match in marks(head, part.size):
        try:
            facts: FileSystemFacts | None = resolve(match.entry.reader)(part, limits)
        except Unreadable as error:
            view.note(error.problem)
            continue
        if facts is not None:
            found.append(Located(match.entry, part.base + match.offset, facts))
    return tuple(found)
