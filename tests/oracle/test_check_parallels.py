"""The deep check of Parallels images agrees with `qemu-img check`, on clean images and damaged tables.

Where the two differ by intent: qemu-img 7.2 takes a cluster that begins where the file ends as inside, looks neither
for overlaps nor for entries that are no place of a cluster (later ones do), does not know that extensions take
clusters, counts leaks at the end of the file alone, and takes an image without clusters to end after one cluster.
"""

from __future__ import annotations

import struct
from pathlib import Path
from random import Random

import pytest

from tests.kit import fixture, qemu_create
from tests.oracle.check_kit import Both, both, codes, patched, written
from tests.oracle.disks_kit import convert, scribble

pytestmark = pytest.mark.oracle

SIZES = (512, 1 << 20, (3 << 20) + 512, 1 << 40)
CLUSTERS = (65_536, 1 << 20, 4 << 20)
SEEDS = 60


def agree(result: Both, *besides: str) -> None:
    """All totals are the same; of an image without clusters all but its end."""
    assert result.theirs is not None
    allowed = set(besides)
    if not result.totals.allocated_clusters:
        allowed |= {"image-end-offset", "leaks"}
    assert result.differences().keys() <= allowed, result


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_clean(tmp_path: Path, size: int, cluster: int) -> None:
    """Empty, written at random, converted: the same totals, and nothing found."""
    path = qemu_create(tmp_path / "a.hds", "parallels", size, f"cluster_size={cluster}")
    for step in range(2):
        if step:
            scribble(path, "parallels", size, count=8, unit=cluster, discards=False)
        result = both(path, "parallels")
        agree(result)
        assert result.ours.clean, result.ours.findings
    if size < 1 << 30:
        other = convert(path, "parallels", tmp_path / "b.hds", "parallels", f"cluster_size={cluster}")
        result = both(other, "parallels")
        agree(result)
        assert result.ours.clean, result.ours.findings


def damaged(tmp_path: Path, seed: int) -> None:
    """One damaged image. Each entry changed is a hole, or far outside: what both look for."""
    chance = Random(seed)
    cluster = chance.choice((4096, 65_536))
    path = qemu_create(tmp_path / "a.hds", "parallels", 40 * cluster, f"cluster_size={cluster}")
    scribble(path, "parallels", seed, count=6, unit=cluster, discards=False)
    for _ in range(chance.randrange(3)):
        patched(path, (64 + 4 * chance.randrange(40), struct.pack("<I", chance.choice((0, 5000, 100_000)))))
    if chance.random() < 0.3:
        patched(path, (44, struct.pack("<I", 0x746F6E59)))
    if chance.random() < 0.5:
        patched(path, size=path.stat().st_size + cluster * chance.randrange(4) + 512 * chance.randrange(3))
    result = both(path, "parallels")
    inside = "PAR023" in codes(result.ours)
    agree(result, *(("leaks",) if inside else ()), *(("corruptions",) if "PAR022" in codes(result.ours) else ()))
    if inside:
        assert result.theirs is not None
        assert result.totals.leaks >= result.theirs.get("leaks", 0)


@pytest.mark.parametrize("seed", range(10))
def test_damaged(tmp_path: Path, seed: int) -> None:
    """Entries outside, leaks, the mark of an open image."""
    damaged(tmp_path, seed)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(10, SEEDS))
def test_damaged_all(tmp_path: Path, seed: int) -> None:
    """The same, more often."""
    damaged(tmp_path, seed)


def test_leaks_at_the_end(tmp_path: Path) -> None:
    """Whole and partial clusters behind the last one: the same count."""
    path = qemu_create(tmp_path / "a.hds", "parallels", 4 << 20, "cluster_size=65536")
    written(path, "parallels", "write -P 1 0 4M")
    patched(path, size=path.stat().st_size + 3 * 65_536 + 512)
    result = both(path, "parallels")
    assert not result.differences()
    assert result.totals.leaks == 4
    assert "PAR023" in codes(result.ours)


def test_overlap_and_leak_inside(tmp_path: Path) -> None:
    """A cluster used twice leaves another to nothing: two faults here, none for qemu-img 7.2."""
    path = qemu_create(tmp_path / "a.hds", "parallels", 4 << 20, "cluster_size=65536")
    written(path, "parallels", "write -P 1 0 256k")
    patched(path, (64, path.read_bytes()[68:72]))
    result = both(path, "parallels")
    assert result.differences() == {"leaks": (1, 0), "corruptions": (1, 0)}
    assert {"PAR022", "PAR023"} <= codes(result.ours)


def test_extension_is_no_leak(tmp_path: Path) -> None:
    """The cluster of the format extension is in use."""
    path = tmp_path / "a.hds"
    path.write_bytes(fixture("parallels/extension.hds"))
    result = both(path, "parallels")
    assert result.totals.leaks == 0
    assert result.ours.clean
