"""Disks of VDIs against qemu-img: every creation option × fills, made by create and qemu-io or by convert.

The map: QEMU's driver says `present` of blocks that are not allocated; we do not. Differencing and undo images,
blocks marked as zeros and blocks of other sizes, none of which QEMU writes, are in tests/formats/test_disk_vdi.py.
"""

from __future__ import annotations

import itertools
import random
import struct
from pathlib import Path

import pytest

from tests.kit import qemu_create
from tests.oracle import disks_kit as kit

pytestmark = pytest.mark.oracle

MIB = 1 << 20
IGNORE = ("present",)
OPTIONS = (
    ("static=off",),
    ("static=on",),
    ("static=on", "preallocation=falloc"),
    ("static=on", "preallocation=full"),
)
SIZES = (512, 100_000, MIB, MIB + 512, 3 * MIB + 1000, 9 * MIB - 512, 200 * MIB)
FILLS = ("empty", "writes", "zeros", "converted", "odd")
MATRIX = tuple(
    case for case in itertools.product(OPTIONS, SIZES, FILLS) if case[0][0] == "static=off" or case[1] < 1 << 25
)

Case = tuple[tuple[str, ...], int, str]


def made(folder: Path, case: Case) -> Path:
    """An image with what its case says in it."""
    options, size, fill = case
    path = folder / "image.vdi"
    if fill == "converted":
        raw = qemu_create(folder / "image.raw", "raw", size)
        kit.scribble(raw, "raw", case, unit=MIB, count=8)
        return kit.convert(raw, "raw", path, "vdi", *options)
    qemu_create(path, "vdi", size, *options)
    if fill != "empty":
        kit.scribble(path, "vdi", case, unit=MIB, count=8, zeros=fill == "zeros", discards=fill == "zeros")
    if fill == "odd" and size > 512:
        with path.open("r+b") as file:
            file.seek(0x170)
            file.write(struct.pack("<Q", size // 512 * 512 - 199))
    return path


@pytest.mark.parametrize("case", random.Random(5).sample(MATRIX, 20), ids=str)
def test_sample(tmp_path: Path, case: Case) -> None:
    """A seeded sample of all options together."""
    kit.check(made(tmp_path, case), "vdi", ignore=IGNORE, seed=case)


@pytest.mark.full
@pytest.mark.parametrize("case", MATRIX, ids=str)
def test_matrix(tmp_path: Path, case: Case) -> None:
    """All options together."""
    kit.check(made(tmp_path, case), "vdi", ignore=IGNORE, seed=case)


@pytest.mark.parametrize("size", [1 << 40, 3 << 40])
def test_large(tmp_path: Path, size: int) -> None:
    """A few blocks at both ends and in the middle of a large disk."""
    path = qemu_create(tmp_path / "x.vdi", "vdi", size)
    kit.scribble(path, "vdi", size, unit=MIB, count=12)
    kit.check(path, "vdi", ignore=IGNORE, mapped=size <= 1 << 40)
