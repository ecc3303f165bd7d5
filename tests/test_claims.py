"""Claims: what is taken twice of a file is found, whatever the order and the batches; the gaps are what is left."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from imgtool.limits import DEFAULT
from imgtool.sources.claims import NO_LABEL, Claims


def claimed(ranges: list[tuple[int, int]], batch: int) -> Claims:
    """Claims of ranges, labelled by their place in the list, looked at `batch` at a time."""
    claims = Claims(DEFAULT._replace(claims_batch=batch))
    for first in range(0, len(ranges), 3):
        part = ranges[first : first + 3]
        columns = ([one[0] for one in part], [one[1] for one in part], list(range(first, first + len(part))))
        claims.claim(*(np.array(column, np.int64) for column in columns))
    claims.settle()
    return claims


def test_neighbours_are_apart() -> None:
    """Ranges side by side are one run and no overlap; what lies between runs is a gap."""
    claims = claimed([(10, 20), (0, 10), (30, 40)], 1)
    assert claims.overlaps == 0
    assert [column.tolist() for column in claims.runs()] == [[0, 30], [20, 40]]
    assert [column.tolist() for column in claims.gaps(5, 50)] == [[20, 40], [30, 50]]


def test_whose_overlap() -> None:
    """An overlap tells both labels, and the bytes that both have."""
    claims = claimed([(0, 10), (8, 12)], 100)
    assert [tuple(found) for found in claims.found] == [(1, 0, 8, 2)]


def test_whose_overlap_with_what_was_merged() -> None:
    """What was taken in an earlier batch has no label any more; the later range keeps its own."""
    claims = claimed([(0, 10), (20, 30), (40, 50), (25, 26)], 1)
    assert [tuple(found) for found in claims.found] == [(3, NO_LABEL, 25, 1)]


def test_empty_ranges_take_nothing() -> None:
    """A range without length overlaps nothing."""
    claims = claimed([(5, 5), (0, 10), (7, 7)], 1)
    assert claims.overlaps == 0
    claims.one(3, 3, 1)
    assert claims.gaps(0, 10)[0].tolist() == []


@pytest.mark.parametrize("seed", range(40))
def test_blocks_given_twice_are_counted(seed: int) -> None:
    """Of blocks of one size each further use counts once, in any order and batches; the gaps are the unused ones."""
    chance = Random(seed)
    blocks = [chance.randrange(60) for _ in range(chance.randrange(1, 80))]
    claims = claimed([(block * 4, block * 4 + 4) for block in blocks], chance.choice((1, 5, 1000)))
    assert claims.overlaps == len(blocks) - len(set(blocks))
    lows, highs = claims.gaps(0, 240)
    unused = [number for low, high in zip(lows, highs, strict=True) for number in range(low // 4, high // 4)]
    assert unused == [block for block in range(60) if block not in blocks]


@pytest.mark.parametrize("seed", range(40))
def test_any_ranges(seed: int) -> None:
    """There is an overlap exactly where a byte is taken twice; what is taken is what no gap has."""
    chance = Random(seed)
    ranges = [(start, start + chance.randrange(12)) for start in (chance.randrange(200) for _ in range(12))]
    taken = [0] * 220
    for start, end in ranges:
        for byte in range(start, end):
            taken[byte] += 1
    claims = claimed(ranges, chance.choice((1, 4, 1000)))
    assert (claims.overlaps > 0) == (max(taken) > 1)
    lows, highs = claims.gaps(0, 220)
    free = {byte for low, high in zip(lows.tolist(), highs.tolist(), strict=True) for byte in range(low, high)}
    assert free == {byte for byte, times in enumerate(taken) if not times}


def test_too_many_pieces_are_said() -> None:
    """Above the cap of separate runs nothing more is compared, and `full` says so."""
    claims = Claims(DEFAULT._replace(claims=4, claims_batch=1))
    for number in range(10):
        claims.one(number * 10, number * 10 + 1, number)
    claims.settle()
    assert claims.full
