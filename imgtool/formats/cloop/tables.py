"""cloop: the table of offsets, all of it, once.

References: cloop's cloop.h; QEMU block/cloop.c.
"""

from __future__ import annotations

from dataclasses import dataclass

from imgtool.formats.cloop import layout as lay
from imgtool.formats.cloop.facts import CloopFacts
from imgtool.limits import Limits
from imgtool.model.tables import NOT_FAULTY, Faulty, TableFacts, Totals
from imgtool.sources.base import Source
from imgtool.sources.claims import noted


@dataclass(frozen=True, slots=True, kw_only=True)
class CloopTables(TableFacts):
    """The offsets, each with the number of its block. `backwards`: blocks that end before they begin; `outside`:
    those that begin before the end of the table or end past the file; `oversized`: packed to more than they hold.
    """

    facts: CloopFacts
    backwards: Faulty = NOT_FAULTY
    outside: Faulty = NOT_FAULTY
    oversized: Faulty = NOT_FAULTY


def walk(source: Source, facts: CloopFacts, limits: Limits) -> CloopTables | None:
    """The facts of the table of offsets; None where it is over its cap. Raises InputError only where the file cannot
    be read."""
    import numpy as np

    if facts.block_size is None or facts.num_blocks is None or facts.table_size is None:
        return None
    if facts.table_size > limits.cloop_offsets:
        return None
    begin = lay.HEADER.size + facts.table_size
    backwards = outside = oversized = NOT_FAULTY
    # What one block is packed to at most: zlib adds no more than this to what does not shrink.
    most = facts.block_size + facts.block_size // 1000 + 64
    step = limits.read // lay.OFFSET.size - 1
    for first in range(0, facts.num_blocks, step):
        count = min(step, facts.num_blocks - first) + 1
        raw = source.read_at(lay.HEADER.size + first * lay.OFFSET.size, count * lay.OFFSET.size)
        offsets = np.frombuffer(raw, ">u8", len(raw) // lay.OFFSET.size).astype(np.uint64)
        if len(offsets) < 2:
            break
        starts, ends = offsets[:-1], offsets[1:]
        numbers = np.arange(first, first + len(starts))
        wrong = ends < starts
        away = (starts < begin) | (ends > source.size)
        backwards = noted(backwards, numbers, starts, wrong, limits)
        outside = noted(outside, numbers, starts, away, limits)
        oversized = noted(oversized, numbers, starts, ~wrong & ~away & (ends - starts > most), limits)
    corruptions = backwards.total + outside.total + oversized.total
    totals = Totals(
        image_end_offset=facts.data_end,
        total_clusters=facts.num_blocks,
        allocated_clusters=facts.num_blocks,
        compressed_clusters=facts.num_blocks,
        corruptions=corruptions,
    )
    return CloopTables(facts=facts, totals=totals, backwards=backwards, outside=outside, oversized=oversized)
