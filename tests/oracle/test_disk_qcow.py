"""Disks of qcow images, version 1, against qemu-img: fills, compressed clusters, backing files (smaller clusters)."""

from __future__ import annotations

import itertools
import random
import subprocess
from pathlib import Path

import pytest

from tests.kit import need, qemu_create, run
from tests.oracle import disks_kit as kit

pytestmark = pytest.mark.oracle

KIB, MIB = 1 << 10, 1 << 20
SIZES = (512, 4096, 100_000, MIB + 512, 3 * MIB, 20 * MIB)
BACKINGS = ("none", "raw-shorter", "raw-longer", "qcow", "qcow2")
FILLS = ("empty", "writes", "zeros", "packed", "converted", "converted-packed")
MATRIX = tuple(
    case for case in itertools.product(SIZES, BACKINGS, FILLS) if case[1] == "none" or "converted" not in case[2]
)

Case = tuple[int, str, str]


def made(folder: Path, case: Case) -> Path:
    """An image with what its case says in it, its backing file beside it."""
    size, backing, fill = case
    path = folder / "image.qcow"
    if fill.startswith("converted"):
        raw = qemu_create(folder / "image.raw", "raw", size)
        kit.scribble(raw, "raw", case, unit=64 * KIB, count=12)
        return packed(raw, path) if fill.endswith("packed") else kit.convert(raw, "raw", path, "qcow")
    qemu_create(path, "qcow", size, extra=backed(folder, case))
    if fill != "empty":
        unit = 4096 if backing == "none" else 512
        kit.scribble(
            path,
            "qcow",
            case,
            unit=unit,
            zeros=fill == "zeros",
            discards=fill == "zeros",
            compressed=fill == "packed",
        )
    return path


def packed(raw: Path, path: Path) -> Path:
    """What `qemu-img convert -c` makes. QEMU 7.2 writes it all, then fails at an empty write that ends it."""
    command = (need("qemu-img"), "convert", "-c", "-f", "raw", "-O", "qcow", str(raw), str(path))
    subprocess.run(command, check=False)
    assert b"identical" in run(need("qemu-img"), "compare", "-f", "raw", "-F", "qcow", str(raw), str(path))
    return path


def backed(folder: Path, case: Case) -> tuple[str, ...]:
    """The arguments that name a backing file, which is made."""
    if case[1] == "none":
        return ()
    form, _, kind = case[1].partition("-")
    size = {"shorter": max(512, case[0] // 3), "longer": case[0] * 2}.get(kind, case[0])
    base = qemu_create(folder / f"base.{form}", form, size)
    kit.scribble(base, form, (case, "base"), unit=4096, count=10)
    return "-b", str(base), "-F", form


@pytest.mark.parametrize("case", random.Random(8).sample(MATRIX, 40), ids=str)
def test_sample(tmp_path: Path, case: Case) -> None:
    """A seeded sample of all options together."""
    kit.check(made(tmp_path, case), "qcow", follow=True, seed=case)


@pytest.mark.full
@pytest.mark.parametrize("case", MATRIX, ids=str)
def test_matrix(tmp_path: Path, case: Case) -> None:
    """All options together."""
    kit.check(made(tmp_path, case), "qcow", follow=True, seed=case)


def test_large(tmp_path: Path) -> None:
    """A few clusters of a large disk, which QEMU walks through cluster by cluster."""
    path = qemu_create(tmp_path / "x.qcow", "qcow", 8 << 30)
    kit.scribble(path, "qcow", "large", unit=64 * KIB, count=12)
    kit.check(path, "qcow")
