"""Disks of Parallels images against qemu-img: every cluster size × fills, made by create and qemu-io or by convert.

QEMU writes the magic "WithouFreSpacExt" alone; images of the other one are made here from those it wrote, by the
specification, and QEMU reads them.
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

KIB, MIB = 1 << 10, 1 << 20
CLUSTERS = (512, 4 * KIB, 64 * KIB, 252 * KIB, MIB, 4 * MIB)
SIZES = (512, 100_000, MIB + 512, 5 * MIB - 512, 60 * MIB)
FILLS = ("empty", "writes", "zeros", "converted", "sectors")
MATRIX = tuple(itertools.product(CLUSTERS, SIZES, FILLS))

Case = tuple[int, int, str]


def made(folder: Path, case: Case) -> Path:
    """An image with what its case says in it."""
    cluster, size, fill = case
    path, option = folder / "image.hds", f"cluster_size={cluster}"
    if fill == "converted":
        raw = qemu_create(folder / "image.raw", "raw", size)
        kit.scribble(raw, "raw", case, unit=cluster, count=12)
        return kit.convert(raw, "raw", path, "parallels", option)
    qemu_create(path, "parallels", size, option)
    if fill != "empty":
        kit.scribble(path, "parallels", case, unit=cluster, count=16, zeros=fill == "zeros", discards=fill == "zeros")
    if fill == "sectors":
        in_sectors(path)
    return path


def in_sectors(path: Path) -> None:
    """Make an image one of the magic whose table counts sectors."""
    with path.open("r+b") as file:
        head = file.read(64)
        tracks, entries = struct.unpack_from("<II", head, 28)
        words = struct.unpack(f"<{entries}I", file.read(entries * 4))
        file.seek(0)
        file.write(b"WithoutFreeSpace" + head[16:])
        file.write(struct.pack(f"<{entries}I", *(word * tracks for word in words)))


@pytest.mark.parametrize("case", random.Random(6).sample(MATRIX, 30), ids=str)
def test_sample(tmp_path: Path, case: Case) -> None:
    """A seeded sample of all options together."""
    kit.check(made(tmp_path, case), "parallels", seed=case)


@pytest.mark.full
@pytest.mark.parametrize("case", MATRIX, ids=str)
def test_matrix(tmp_path: Path, case: Case) -> None:
    """All options together."""
    kit.check(made(tmp_path, case), "parallels", seed=case)


def test_large(tmp_path: Path) -> None:
    """A few clusters of a disk of a tebibyte (the map of its long holes trips an assertion in qemu-img 7.2)."""
    path = qemu_create(tmp_path / "x.hds", "parallels", 1 << 40)
    kit.scribble(path, "parallels", "large", unit=MIB, count=12)
    kit.check(path, "parallels", mapped=False)
