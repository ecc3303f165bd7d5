"""The deep check of VMDK agrees with `qemu-img check`: clean images of every option, and damaged tables.

qemu-img gives no totals of a VMDK: it ends with an error at the first grain or table that lies outside the file, and
looks at nothing else. Overlaps, markers, compressed data and redundant tables are found only here.
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

SUBFORMATS = ("monolithicSparse", "streamOptimized")
SIZES = (512, (1 << 20) + 1536, 40 << 20, 1 << 40)
#: What every stream by qemu-img has: no footer.
ALLOWED = {"VMD501"}
OUTSIDE = {"VMD041", "VMD042"}
SEEDS = 60


def sector(path: Path, at: int, width: str = "<I") -> int:
    """A number of a file."""
    number: int = struct.unpack_from(width, path.read_bytes(), at)[0]
    return number


def table(path: Path, number: int = 0, field: int = 56) -> int:
    """The byte of a grain table, by the directory that a field of the header names."""
    return sector(path, sector(path, field, "<Q") * 512 + 4 * number) * 512


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("zeroed", ["off", "on"])
@pytest.mark.parametrize("version", ["off", "on"])
def test_clean_sparse(tmp_path: Path, size: int, zeroed: str, version: str) -> None:
    """Empty and written at random, with and without zeroed grains and the old version's fields."""
    options = ("subformat=monolithicSparse", f"zeroed_grain={zeroed}", f"compat6={version}")
    path = qemu_create(tmp_path / "a.vmdk", "vmdk", size, *options)
    for step in range(2):
        if step:
            scribble(path, "vmdk", size, count=8, discards=False)
        result = both(path, "vmdk")
        assert result.theirs is not None
        assert not result.differences("leaks", "corruptions", "check-errors")
        assert result.ours.clean, result.ours.findings


@pytest.mark.parametrize("subformat", SUBFORMATS)
@pytest.mark.parametrize("size", SIZES[:3])
def test_clean_converted(tmp_path: Path, subformat: str, size: int) -> None:
    """What qemu-img converts, noise and text: all grains inflate, all lie apart."""
    raw = tmp_path / "raw"
    chance = Random(size)
    with open(raw, "wb") as file:
        file.truncate(size)
        for _ in range(6):
            file.seek(chance.randrange(size) // 512 * 512)
            file.write(chance.randbytes(chance.randrange(1, 100_000))[: size - file.tell()])
            file.write((b"text " * chance.randrange(40_000))[: size - file.tell()])
    path = convert(raw, "raw", tmp_path / "a.vmdk", "vmdk", f"subformat={subformat}")
    result = both(path, "vmdk")
    assert result.theirs is not None
    assert not result.differences("leaks", "corruptions", "check-errors")
    assert codes(result.ours) <= ALLOWED, result.ours.findings
    if subformat == "streamOptimized":
        assert result.totals.compressed_clusters == result.totals.allocated_clusters


def damaged(tmp_path: Path, seed: int) -> None:
    """One damaged image: qemu-img gives up exactly where a grain or a table that the guest has is outside."""
    chance = Random(seed)
    path = qemu_create(tmp_path / "a.vmdk", "vmdk", 4 << 20)
    scribble(path, "vmdk", seed, count=4, discards=False)
    place, size = table(path), path.stat().st_size
    for _ in range(chance.randrange(1, 4)):
        number = chance.choice((0, 26, size // 512 - 128, size // 512 - 1, size // 512, 1 << 24, 0xFFFFFFFF))
        patched(path, (place + 4 * chance.randrange(64), struct.pack("<I", number)))
    if chance.random() < 0.2:
        patched(path, (sector(path, 56, "<Q") * 512, struct.pack("<I", chance.choice((0, size // 512, 1 << 30)))))
    if chance.random() < 0.2:
        patched(path, size=size - 65_536 * chance.randrange(1, 3))
    result = both(path, "vmdk")
    found = codes(result.ours)
    if result.theirs is None:
        assert found & OUTSIDE, result.ours.findings
    elif found & OUTSIDE:
        # qemu-img reads a table behind the end as zeros, and of a grain looks at its begin alone
        told = [finding for finding in result.ours.findings if finding.code == "VMD042"]
        assert all(one.offset is not None and one.offset < path.stat().st_size for one in told), told
    assert bool(result.totals.corruptions) == bool(found & {*OUTSIDE, "VMD043", "VMD044"})


@pytest.mark.parametrize("seed", range(10))
def test_damaged(tmp_path: Path, seed: int) -> None:
    """Entries outside, on metadata, given twice; a directory's entry changed; a cut file."""
    damaged(tmp_path, seed)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(10, SEEDS))
def test_damaged_all(tmp_path: Path, seed: int) -> None:
    """The same, more often."""
    damaged(tmp_path, seed)


def test_redundant_tables(tmp_path: Path) -> None:
    """qemu-img keeps the redundant tables equal; one entry changed is a warning and no corruption."""
    path = written(qemu_create(tmp_path / "a.vmdk", "vmdk", 4 << 20), "vmdk", "write -P 1 1M 1M")
    assert both(path, "vmdk").ours.clean
    patched(path, (table(path, field=48) + 4 * 16, struct.pack("<I", 0)))
    result = both(path, "vmdk")
    assert codes(result.ours) == {"VMD045"}
    assert not result.differences("corruptions", "check-errors")


def test_stream_damage(tmp_path: Path) -> None:
    """A bit of a compressed grain, its marker, its size: found, each by its own rule; qemu-img looks at none."""
    raw = tmp_path / "raw"
    raw.write_bytes(Random(7).randbytes(1 << 18))
    path = convert(raw, "raw", tmp_path / "a.vmdk", "vmdk", "subformat=streamOptimized")
    grain = sector(path, table(path) + 4) * 512
    whole = path.read_bytes()
    for at, data, code in ((0, b"\x01", "VMD050"), (8, b"\xff\xff\xff\xff", "VMD051"), (500, b"\0\0\0", "VMD301")):
        path.write_bytes(whole)
        patched(path, (grain + at, data))
        result = both(path, "vmdk")
        assert result.differences("corruptions").keys() == {"corruptions"}
        assert code in codes(result.ours)
    path.write_bytes(whole)
    patched(path, (table(path) + 4, struct.pack("<I", 0)), (table(path, field=48) + 4, struct.pack("<I", 0)))
    assert "VMD052" in codes(both(path, "vmdk").ours)
