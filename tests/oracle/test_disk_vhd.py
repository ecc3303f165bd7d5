"""Disks of VHDs against qemu-img: every creation option × fills, made by create and qemu-io or by convert.

The map: QEMU's driver says `present` of blocks that are not allocated; we do not. Of a fixed disk it says `data` of
holes that the file system has in the file, and `zero` at once; they are holes here, as those of a raw image are: what
both say of zeros is compared. Differencing disks, which QEMU 7.2
does not open, and bitmaps with clear bits, which it does not look at, are in tests/formats/test_disk_vhd.py.
"""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest

import imgtool.disks.open as disks
from imgtool.render.maps import qemu_json
from tests.kit import fixture, need, qemu_create, run
from tests.oracle import disks_kit as kit

pytestmark = pytest.mark.oracle

MIB = 1 << 20
IGNORE = ("present",)
SUBFORMATS = ("dynamic", "fixed")
EXACT = ("on", "off")
SIZES = (512, 1536, 100_000, 2 * MIB, 2 * MIB + 512, 33 * MIB, 300 * MIB)
FILLS = ("empty", "writes", "zeros", "converted", "resized")
MATRIX = tuple(itertools.product(SUBFORMATS, EXACT, SIZES, FILLS))


def made(folder: Path, case: tuple[str, str, int, str]) -> Path:
    """An image with what its case says in it."""
    subformat, exact, size, fill = case
    options = (f"subformat={subformat}", f"force_size={exact}")
    path = folder / "image.vhd"
    if fill == "converted":
        raw = qemu_create(folder / "image.raw", "raw", size)
        kit.scribble(raw, "raw", case, unit=2 * MIB, count=12)
        return kit.convert(raw, "raw", path, "vpc", *options)
    qemu_create(path, "vpc", size, *options)
    if fill == "writes":
        kit.scribble(path, "vpc", case, unit=2 * MIB, zeros=False, discards=False)
    elif fill == "zeros":
        kit.scribble(path, "vpc", case, unit=2 * MIB, count=12)
    elif fill == "resized" and subformat == "fixed":
        kit.scribble(path, "vpc", case, unit=MIB, count=4)
        raw = kit.convert(path, "vpc", folder / "image.raw", "raw")
        run(need("qemu-img"), "resize", "-q", "-f", "raw", str(raw), "+1M")
        return kit.convert(raw, "raw", path, "vpc", *options)
    return path


def agree(folder: Path, case: tuple[str, str, int, str]) -> None:
    """Fail where bytes or map differ from qemu-img's."""
    path = made(folder, case)
    fixed = case[0] == "fixed"
    kit.check(path, "vpc", name="vhd", ignore=IGNORE, mapped=not fixed, seed=case)
    if fixed:
        told = json.loads(run(need("qemu-img"), "map", "-f", "vpc", "--output=json", str(path)))
        with disks.open_disk(path, format="vhd") as disk:
            assert zeros(json.loads("".join(qemu_json(disk.extents())))) == zeros(told)


def zeros(told: list[dict[str, Any]]) -> list[tuple[int, int, bool]]:
    """Start, length and whether they read as zeros of a flat disk's ranges; each lies at its own offset."""
    found: list[tuple[int, int, bool]] = []
    for row in told:
        assert row["offset"] == row["start"]
        if found and found[-1][2] == row["zero"]:
            start, length, zero = found.pop()
            found.append((start, length + row["length"], zero))
        else:
            found.append((row["start"], row["length"], row["zero"]))
    return found


@pytest.mark.parametrize("case", random.Random(3).sample(MATRIX, 16), ids=str)
def test_sample(tmp_path: Path, case: tuple[str, str, int, str]) -> None:
    """A seeded sample of all options together."""
    agree(tmp_path, case)


@pytest.mark.full
@pytest.mark.parametrize("case", MATRIX, ids=str)
def test_matrix(tmp_path: Path, case: tuple[str, str, int, str]) -> None:
    """All options together."""
    agree(tmp_path, case)


def test_near_the_largest(tmp_path: Path) -> None:
    """2040 GiB with a few blocks near its end."""
    path = qemu_create(tmp_path / "image.vhd", "vpc", 2040 << 30, "force_size=on")
    writes = ("-c", "write -q -P 1 2039G 3M", "-c", f"write -q -P 2 {(2040 << 30) - 512} 512")
    run(need("qemu-io"), "-f", "vpc", *writes, str(path))
    with disks.open_disk(path) as disk:
        kit.same_map(disk, path, "vpc", IGNORE)
        assert disk.read_at(2039 << 30, 3 * MIB) == b"\1" * (3 * MIB)
        assert disk.read_at((2040 << 30) - 1024, 4096) == bytes(512) + b"\2" * 512


@pytest.mark.parametrize("name", ["vhd/dynamic-data.vhd.gz", "vhd/windows.vhd", "vhd/virtual-pc-geometry.vhd"])
def test_fixtures(tmp_path: Path, name: str) -> None:
    """The images of the repository that QEMU reads as we do."""
    path = tmp_path / "image.vhd"
    path.write_bytes(fixture(name))
    kit.check(path, "vpc", name="vhd", ignore=IGNORE)


def test_qemu_does_not_look_at_sector_bitmaps(tmp_path: Path) -> None:
    """Where a dynamic disk's bitmap has clear bits QEMU 7.2 shows what lies there; the specification says it was
    never written, and we show zeros. All else is the same."""
    path = tmp_path / "image.vhd"
    path.write_bytes(fixture("vhd/chain-base.vhd.gz"))
    theirs = kit.guest(path, "vpc").read_bytes()
    with disks.open_disk(path) as disk:
        for extent in disk.extents():
            held = theirs[extent.start : extent.start + extent.length]
            if extent.kind == "zero":
                assert held.startswith(b"old!")
            else:
                assert disk.read_at(extent.start, extent.length) == held
