"""Marks of disk formats in what a guest sees: at the start of its disk, and where its partitions begin."""

from __future__ import annotations

from functools import lru_cache

from imgtool.detect.match import Index, build_index, matches
from imgtool.detect.registry import Windows
from imgtool.errors import UnsupportedError
from imgtool.formats import FORMATS
from imgtool.limits import Limits
from imgtool.model.volumes import Volumes
from imgtool.sources.base import RangeError
from imgtool.structs.view import Unreadable, View
from imgtool.units import SECTOR

#: What a guest's disk or partition is by rights.
_VOLUMES = frozenset({"luks", "iso"})


@lru_cache(maxsize=1)
def _index() -> Index:
    return build_index(entry for entry in FORMATS if entry.name not in _VOLUMES)


def image_marks(view: View, volumes: Volumes, limits: Limits, *, whole: bool) -> tuple[tuple[str, int], ...]:
    """Names of disk formats and where in the guest's bytes they begin; of the disk itself where `whole` says so.

    Looked at are the first sectors of as many partitions as the survey looks into.
    """
    starts = [partition.start for table in volumes.tables for partition in table.partitions]
    places = dict.fromkeys(([0] if whole else []) + [start for start in starts if 0 < start < view.size])
    found: list[tuple[str, int]] = []
    for start in list(places)[: limits.partitions_surveyed]:
        try:
            head = view.peek(start, 2 * SECTOR)
        except (Unreadable, RangeError, UnsupportedError):
            continue
        # what was not looked at is no mark: a text that may go on like one is none
        found += [(match.entry.name, start) for match in matches(Windows(head, b"", len(head)), _index())]
    return tuple(found)
