"""bochs: the catalog, all of it, once.

An entry is the number of an extent: behind the catalog each has its bitmap and then its data, in whole sectors.
References: Bochs iodev/hdimage/hdimage.cc (redolog_t); QEMU block/bochs.c.
"""

from __future__ import annotations

from dataclasses import dataclass

from imgtool.formats.bochs.facts import BochsFacts
from imgtool.limits import Limits
from imgtool.model.tables import NOT_FAULTY, Faulty, TableFacts, Totals
from imgtool.sources.base import Source
from imgtool.sources.claims import Claims, Overlap, noted
from imgtool.units import SECTOR, ceil_div

NOT_ALLOCATED = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class BochsTables(TableFacts):
    """The catalog. `outside`: extents that end past the file, by the guest's extent and its number."""

    facts: BochsFacts
    outside: Faulty = NOT_FAULTY
    overlaps: int = 0
    overlapping: tuple[Overlap, ...] = ()


def walk(source: Source, facts: BochsFacts, limits: Limits) -> BochsTables | None:
    """The facts of the catalog; None where it is over its cap. Raises InputError only where the file cannot be
    read."""
    import numpy as np

    if facts.catalog > limits.bochs_catalog or max(facts.extent_size, facts.bitmap_size) > limits.bochs_extent:
        return None
    raw = source.read_at(facts.header_size, facts.catalog * 4)
    numbers = np.frombuffer(raw, "<u4", len(raw) // 4).astype(np.int64)
    there = np.flatnonzero(numbers != NOT_ALLOCATED)
    start = facts.header_size + facts.catalog * 4
    room = (ceil_div(facts.extent_size, SECTOR) + ceil_div(facts.bitmap_size, SECTOR)) * SECTOR
    ends = start + (numbers[there] + 1) * room
    outside = noted(NOT_FAULTY, there, numbers[there], ends > source.size, limits)
    claims = Claims(limits)
    claims.claim(numbers[there], numbers[there] + 1, there)
    claims.settle()
    totals = Totals(
        image_end_offset=int(ends.max(initial=start)),
        total_clusters=facts.catalog,
        allocated_clusters=len(there),
        corruptions=outside.total + claims.overlaps,
    )
    return BochsTables(
        facts=facts, totals=totals, outside=outside, overlaps=claims.overlaps, overlapping=tuple(claims.found)
    )
