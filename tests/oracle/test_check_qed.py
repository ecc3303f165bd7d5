"""The deep check of QED agrees with `qemu-img check`: clean images, damaged tables, cut files.

qemu-img tells no end of the image. A table that lies on what was claimed before is not looked into by qemu-img; here
every table is, once, so that what it names is counted: such images are compared by whether they are sound. Of a table
that the file ends in qemu-img reads the rest as zeros; here it does not hold.
"""

from __future__ import annotations

import struct
from pathlib import Path
from random import Random

import pytest

from tests.kit import qemu_create
from tests.oracle.check_kit import both, codes, patched
from tests.oracle.disks_kit import convert, scribble

pytestmark = pytest.mark.oracle

#: QEMU does not open what it makes with tables of one cluster ("table offset is invalid").
OPTIONS = ("cluster_size=4k,table_size=2", "cluster_size=8k,table_size=16", "cluster_size=64k,table_size=4", "")
TOTALS = ("total-clusters", "allocated-clusters", "fragmented-clusters", "leaks", "corruptions", "check-errors")
SEEDS = 60


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("size", [512, (5 << 20) + 512, 1 << 40])
def test_clean(tmp_path: Path, options: str, size: int) -> None:
    """Empty, written at random, converted: the same totals, nothing found but that clouds do not take it."""
    if size > 1 << 30 and "=4k" in options:
        size = 1 << 31  # such tables reach no further than 4 GiB
    path = qemu_create(tmp_path / "a.qed", "qed", size, *(options.split(",") if options else ()))
    for step in range(2):
        if step:
            scribble(path, "qed", size, count=8, unit=4096, discards=False, align=512)
        result = both(path, "qed")
        assert not result.differences(*TOTALS)
        assert codes(result.ours) == {"QCW560"}, result.ours.findings
    if size < 1 << 30:
        other = convert(path, "qed", tmp_path / "b.qed", "qed")
        assert codes(both(other, "qed").ours) == {"QCW560"}


def damage(path: Path, chance: Random) -> bool:
    """Entries changed at random, the file cut; False where a table was made to lie on something."""
    data = path.read_bytes()
    cluster, table = struct.unpack_from("<II", data, 4)
    (first,) = struct.unpack_from("<Q", data, 40)
    named = [at for at in range(first, first + cluster * table, 8) if struct.unpack_from("<Q", data, at)[0]]
    comparable = True
    for _ in range(chance.randrange(1, 4)):
        level = chance.choice((1, 2, 2))
        at = chance.choice(named)
        if level == 2:
            at = struct.unpack_from("<Q", data, at)[0] + 8 * chance.randrange(64)
        word = chance.choice((0, 1, 3, cluster, chance.randrange(len(data) // cluster + 2) * cluster, 1 << 62))
        comparable &= level == 2 or word < cluster or word >= len(data)
        patched(path, (at, struct.pack("<Q", word)))
    if chance.random() < 0.2:
        end = chance.randrange((first + cluster * table) // 512, len(data) // 512) * 512  # qemu counts sectors
        for at in named:
            (start,) = struct.unpack_from("<Q", data, at)
            comparable &= not start < end < start + cluster * table
        patched(path, size=end)
    return comparable


def damaged(tmp_path: Path, seed: int) -> None:
    """One damaged image."""
    chance = Random(seed)
    path = qemu_create(tmp_path / "a.qed", "qed", "5M", *OPTIONS[seed % 3].split(","))
    scribble(path, "qed", seed, count=8, unit=4096, discards=False, align=512)
    comparable = damage(path, chance)
    result = both(path, "qed")
    if comparable:
        assert not result.differences(*TOTALS), result
    assert result.theirs is not None
    assert bool(result.theirs.get("corruptions", 0)) == bool(codes(result.ours) & {"QCW069", "QCW070"}), result


@pytest.mark.parametrize("seed", range(8))
def test_damaged(tmp_path: Path, seed: int) -> None:
    """Entries of no cluster, clusters given twice, leaks, cuts."""
    damaged(tmp_path, seed)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(8, SEEDS))
def test_damaged_all(tmp_path: Path, seed: int) -> None:
    """The same, more often."""
    damaged(tmp_path, seed)
