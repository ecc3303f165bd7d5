"""Where an image ends by its tables, and what lies behind: looked at for the deep check, a bounded part of it."""

from __future__ import annotations

from typing import NamedTuple

from imgtool.detect.match import matches
from imgtool.detect.registry import Windows
from imgtool.disks.recognise import signature_index
from imgtool.limits import Limits
from imgtool.model.tables import TableFacts
from imgtool.sources.base import Source
from imgtool.units import MIB

#: Bytes that are read at once.
_STEP = 4 * MIB


class Behind(NamedTuple):
    """What lies behind the end: `looked` bytes of it were seen. `first`: where the first byte is that is not zero.
    `mark`: whose mark is there."""

    looked: int
    first: int | None = None
    mark: str | None = None


class Ending(NamedTuple):
    """Where an image ends: `end` by its tables, `size` its file. `unit`: bytes of what the format gives out and takes
    back, 0 where nothing is taken back. `behind`: None where nothing lies behind."""

    size: int
    end: int
    unit: int
    behind: Behind | None = None


def ending_of(facts: TableFacts, source: Source, limits: Limits) -> Ending | None:
    """Where an image ends; None where its tables do not tell. Raises InputError."""
    end, unit = facts.totals.image_end_offset, facts.unit
    if end is None or facts.totals.check_errors:
        return None
    behind = _behind(source, end, unit, limits) if end < source.size else None
    return Ending(source.size, end, unit, behind)


def _behind(source: Source, end: int, unit: int, limits: Limits) -> Behind:
    stop = min(source.size, end + limits.behind)
    for start, length in source.data_extents():
        low, high = max(start, end), min(start + length, stop)
        for at in range(low, high, _STEP):
            data = source.read_at(at, min(_STEP, high - at))
            blank = len(data) - len(data.lstrip(b"\0"))
            if blank < len(data):
                return Behind(stop - end, at + blank, _mark(source, end, at + blank, unit, limits))
        if start >= stop:
            break
    return Behind(stop - end)


def _mark(source: Source, end: int, first: int, unit: int, limits: Limits) -> str | None:
    """Whose mark the bytes have: seen from the end, and from the first that is not zero. Among clusters that were
    freed only a disk format's counts: a guest's files begin there, too."""
    for at in dict.fromkeys((end, first)):
        windows = Windows(source.read_at(at, limits.head), b"", source.size - at)
        for match in matches(windows, signature_index()):
            if match.entry.kind == "format" or (not unit and match.entry.kind == "container"):
                return match.entry.name
    return None
