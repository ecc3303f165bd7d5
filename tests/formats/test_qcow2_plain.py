"""qcow2, the deep check in short: it says what the walk over everything says, or leaves it to that."""

from __future__ import annotations

import random
import struct
import subprocess
import sys

import pytest

from imgtool.formats.qcow2.facts import Qcow2Facts
from imgtool.formats.qcow2.reader import read
from imgtool.formats.qcow2.walk.plain import NotPlain, proved
from imgtool.formats.qcow2.walk.ramp import Ramp
from imgtool.formats.qcow2.walk.walk import walk
from imgtool.limits import DEFAULT
from imgtool.sources.base import Source
from imgtool.sources.memory import BytesSource
from imgtool.structs.view import View
from tests.kit import fixture, images

COPIED = 1 << 63


def built(bits: int, guest: list[int], tables: int = 1) -> bytes:
    """A version 2 image: `guest` says of each cluster of the disk which data cluster it has, from 1 on; 0: none.

    In the file: header, table of counts, blocks of counts, L1 table, `tables` L2 tables, data.
    """
    size = 1 << bits
    blocks = 1 + 1024 // (size // 2)
    data = 3 + blocks + tables
    used = data + max(guest)
    counts = struct.pack(f">{used}H", *[1] * used).ljust(blocks * size, b"\0")
    words = [COPIED | (data + number - 1) << bits if number else 0 for number in guest]
    level2 = struct.pack(f">{len(words)}Q", *words).ljust(tables * size, b"\0")
    level1 = struct.pack(f">{tables}Q", *[COPIED | (3 + blocks + number) << bits for number in range(tables)])
    refcounts = struct.pack(f">{blocks}Q", *[(2 + number) << bits for number in range(blocks)])
    at = (len(guest) << bits, 0, tables, (2 + blocks) << bits, size, 1, 0, 0)
    head = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 0, 0, bits, *at)
    parts = [head, refcounts.ljust(size, b"\0"), counts, level1]
    return b"".join(part.ljust(size, b"\0") for part in parts) + level2 + bytes(max(guest) << bits)


def opened(data: bytes) -> tuple[Source, Qcow2Facts]:
    """An image and the facts of its header."""
    source = BytesSource(data)
    facts = read(View(source, DEFAULT), DEFAULT)
    assert isinstance(facts, Qcow2Facts)
    return source, facts


def agrees(data: bytes) -> bool:
    """True where both say the same, False where the short way says nothing."""
    source, facts = opened(data)
    try:
        told = proved(source, facts)
    except NotPlain:
        return False
    assert told == walk(source, facts, DEFAULT)
    return True


@pytest.mark.parametrize("bits", range(9, 22))
def test_every_cluster_size(bits: int) -> None:
    """In order, backwards, with holes: as many as fit into a table, and into several."""
    count = min(64, (1 << bits) // 8)
    order = list(range(1, count + 1))
    holes = [number if number % 3 else 0 for number in order[:-1]] + [0, *order[2::3]]
    for chosen in (order, order[::-1], holes[:count], [*order[count // 2 :], 0, 0, *order[: count // 2 - 2]]):
        ranks = sorted({0, *chosen})
        assert agrees(built(bits, [ranks.index(number) for number in chosen]))


def test_totals() -> None:
    """Counted by hand: five of eight clusters, two of which do not lie on after the one before them."""
    source, facts = opened(built(9, [1, 2, 0, 3, 5, 0, 0, 4]))
    totals = proved(source, facts).totals
    assert (totals.total_clusters, totals.allocated_clusters, totals.fragmented_clusters) == (8, 5, 2)
    assert (totals.image_end_offset, totals.leaks, totals.corruptions) == (len(source.read_at(0, 1 << 20)), 0, 0)


def test_tables_that_follow() -> None:
    """The first entry of a table is no break, whatever the last one of the table before."""
    assert agrees(built(9, [*range(1, 65), 128, *range(65, 128)], tables=2))
    source, facts = opened(built(9, [*range(1, 65), 128, *range(65, 128)], tables=2))
    assert proved(source, facts).totals.fragmented_clusters == 1


@pytest.mark.parametrize("bits", [9, 12, 16])
def test_any_change(bits: int) -> None:
    """No change of a byte of any table is missed: the walk over everything is asked, or it changed nothing."""
    chance = random.Random(bits)
    whole = built(bits, [1, 2, 3, 0, 4, 6, 7, 0, 0, 5])
    end = len(whole) - (7 << bits)
    plain = 0
    for _ in range(400):
        data = bytearray(whole)
        at = chance.choice(
            [place for place in (chance.randrange(104, end), chance.randrange(24, 104)) if place < end]
        )
        if chance.random() < 0.7:
            at = chance.choice([number for number in range(104, end) if whole[number]])
        data[at] ^= 1 << chance.randrange(8)
        plain += agrees(bytes(data))
    assert plain < 300  # most of what is not a table is padding


@pytest.mark.parametrize(
    ("cluster", "value"),
    [
        (4, COPIED | 8 << 9 | 1),  # a reserved bit
        (4, 8 << 9),  # not copied
        (4, COPIED),  # no offset
        (4, COPIED | 1 << 62 | 8 << 9),  # compressed
        (4, COPIED | 10 << 9),  # what another one has
        (4, COPIED | 2 << 9),  # a table's
        (4, COPIED | 1 << 40),  # far away
        (4, 1),  # zeros
    ],
)
def test_what_is_not_plain(cluster: int, value: int) -> None:
    """An entry that is no plain one, at the start of a run and within one."""
    data = built(9, list(range(1, 33)))
    at = data.index(struct.pack(">Q", COPIED | (3 + 5 + 1) << 9))
    for place in (at, at + cluster * 8):
        changed = data[:place] + struct.pack(">Q", value) + data[place + 8 :]
        with pytest.raises(NotPlain):
            proved(*opened(changed))


def test_cut() -> None:
    """The last cluster may be missing but for its first byte."""
    whole = built(9, [1, 2, 3])
    assert agrees(whole[:-511])
    assert not agrees(whole[:-512])


def test_fixtures() -> None:
    """Every sound fixture that it takes; some that it does not."""
    names = [name for name in images() if name.startswith("qcow2/") and "hostile" not in name]
    assert {agrees(fixture(name)) for name in names} == {True, False}
    assert agrees(fixture("qcow2/plain.qcow2"))


def test_jumping_about() -> None:
    """Entries all over a huge file are given up soon; what counts on is one run over any border."""
    ramp = Ramp(16)
    assert list(ramp.runs(words(range(65_500, 65_500 + 8192)))) == [(65_500, 65_500 + 8192)]
    far = [number * 70_001 + 1 for number in range(2000)]
    assert len(list(ramp.runs(words(far)))) < 1100
    assert ramp.stopped
    assert list(Ramp(9).runs(words([]))) == []


def words(clusters: object) -> bytes:
    """A table of entries with clusters of 64 KiB."""
    return b"".join(struct.pack(">Q", COPIED | number << 16) for number in clusters)  # type: ignore[attr-defined]


def test_numpy_is_not_loaded() -> None:
    """A plain image is checked without it."""
    code = (
        "import sys; from imgtool.inspection.deep import check; told = check('fixtures/qcow2/plain.qcow2'); "
        "assert told.totals.allocated_clusters == 0; print('numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
