"""The deep check of VDI agrees with `qemu-img check`: clean images of every option, and damaged maps.

qemu-img looks at the numbers of the map alone; what lies past the end of the file is a corruption only here.
"""

from __future__ import annotations

import struct
from pathlib import Path
from random import Random

import pytest

from tests.kit import qemu_create
from tests.oracle.check_kit import both, codes, patched, written
from tests.oracle.disks_kit import convert, scribble

pytestmark = pytest.mark.oracle

SIZES = (512, 1 << 20, (1 << 20) + 512, 12 << 20, (12 << 20) + 1536, 1 << 40)
SEEDS = 60


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("static", ["off", "on"])
def test_clean(tmp_path: Path, size: int, static: str) -> None:
    """Empty, written at random, converted: the same totals, and nothing found."""
    if static == "on" and size > 1 << 30:
        size = 64 << 20
    path = qemu_create(tmp_path / "a.vdi", "vdi", size, f"static={static}")
    for step in range(2):
        if step:
            scribble(path, "vdi", size, count=8, unit=1 << 20, discards=False)
        result = both(path, "vdi")
        assert not result.differences("corruptions", "leaks", "check-errors")
        assert result.ours.clean, result.ours.findings
        assert result.totals.image_end_offset is not None
        assert result.totals.image_end_offset <= path.stat().st_size
    if size < 1 << 30:
        other = convert(path, "vdi", tmp_path / "b.vdi", "vdi", f"static={static}")
        assert both(other, "vdi").ours.clean


def damage(path: Path, chance: Random) -> None:
    """Entries and the count of a map changed at random."""
    data = path.read_bytes()
    at, blocks = struct.unpack_from("<I", data, 0x154)[0], struct.unpack_from("<I", data, 0x180)[0]
    for _ in range(chance.randrange(1, 4)):
        number = chance.choice((0, 1, 2, chance.randrange(blocks), blocks, blocks + 1, 0xFFFFFFFD, 0xFFFFFFFE))
        patched(path, (at + 4 * chance.randrange(blocks), struct.pack("<I", number)))
    if chance.random() < 0.3:
        patched(path, (0x184, struct.pack("<I", chance.randrange(blocks + 1))))


def damaged(tmp_path: Path, seed: int) -> None:
    """One damaged image: corruptions as qemu-img counts them, and those that lie outside the file."""
    chance = Random(seed)
    path = qemu_create(tmp_path / "a.vdi", "vdi", chance.randrange(1, 12) << 20)
    scribble(path, "vdi", seed, count=4, unit=1 << 20, discards=False)
    damage(path, chance)
    result = both(path, "vdi")
    outside = [finding for finding in result.ours.findings if finding.code == "VDI022"]
    if not outside:
        assert not result.differences("corruptions", "check-errors"), result
    else:
        assert result.theirs is not None
        assert result.totals.corruptions == result.theirs.get("corruptions", 0) + len(outside)
    assert bool(result.totals.corruptions) == bool(codes(result.ours) & {"VDI020", "VDI021", "VDI022", "VDI023"})


@pytest.mark.parametrize("seed", range(8))
def test_damaged(tmp_path: Path, seed: int) -> None:
    """Numbers of no block, numbers given twice, wrong counts."""
    damaged(tmp_path, seed)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(8, SEEDS))
def test_damaged_all(tmp_path: Path, seed: int) -> None:
    """The same, more often."""
    damaged(tmp_path, seed)


def test_cut(tmp_path: Path) -> None:
    """A block past the end of the file, which qemu-img does not look for."""
    path = written(qemu_create(tmp_path / "a.vdi", "vdi", 4 << 20), "vdi", "write -P 1 3M 64k")
    patched(path, size=path.stat().st_size - 512)
    result = both(path, "vdi")
    assert result.differences() == {"corruptions": (1, 0)} | _known(result.totals.image_end_offset)
    assert "VDI022" in codes(result.ours)


def _known(end: int | None) -> dict[str, tuple[int, int]]:
    """Totals that qemu-img does not count of a VDI."""
    return {"image-end-offset": (end or 0, 0), "total-clusters": (4, 0), "allocated-clusters": (1, 0)}
