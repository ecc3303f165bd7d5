"""Disks of QEDs against qemu-img: every creation option × fills × backing files, grown ones too.

Tables of one cluster are in tests/formats/test_disk_qed.py: QEMU 7.2 creates them and cannot open them.
"""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from tests.kit import need, qemu_create, run
from tests.oracle import disks_kit as kit

pytestmark = pytest.mark.oracle

KIB, MIB = 1 << 10, 1 << 20
CLUSTERS = (4 * KIB, 16 * KIB, 64 * KIB, 1 * MIB)
TABLES = (2, 4, 16)
SIZES = (512, 100_000, 3 * MIB + 512, 20 * MIB)
BACKINGS = ("none", "raw-shorter", "raw-longer", "qed", "qcow2")
FILLS = ("empty", "writes", "zeros", "converted", "grown")
MATRIX = tuple(
    case
    for case in itertools.product(CLUSTERS, TABLES, SIZES, BACKINGS, FILLS)
    if case[4] not in {"none": (), "raw-longer": ("converted", "grown")}.get(case[3], ("converted",))
)

Case = tuple[int, int, int, str, str]


def made(folder: Path, case: Case) -> Path:
    """An image with what its case says in it, its backing file beside it."""
    cluster, table, size, _, fill = case
    path, options = folder / "image.qed", (f"cluster_size={cluster}", f"table_size={table}")
    if fill == "converted":
        raw = qemu_create(folder / "image.raw", "raw", size)
        kit.scribble(raw, "raw", case, unit=cluster, count=12)
        return kit.convert(raw, "raw", path, "qed", *options)
    qemu_create(path, "qed", size, *options, extra=backed(folder, case))
    if fill != "empty":
        kit.scribble(path, "qed", case, unit=cluster, count=12, zeros=fill == "zeros", discards=fill == "zeros")
    if fill == "grown":
        run(need("qemu-img"), "resize", "-q", "-f", "qed", str(path), f"+{MIB + 512}")
        kit.scribble(path, "qed", (case, "again"), unit=cluster, count=6)
    return path


def backed(folder: Path, case: Case) -> tuple[str, ...]:
    """The arguments that name a backing file, which is made; raw ones set the bit that says not to probe."""
    if case[3] == "none":
        return ()
    form, _, kind = case[3].partition("-")
    size = {"shorter": max(512, case[2] // 3), "longer": case[2] * 2}.get(kind, case[2])
    base = qemu_create(folder / f"base.{form}", form, size)
    kit.scribble(base, form, (case, "base"), unit=64 * KIB, count=10)
    return "-b", str(base), "-F", form


@pytest.mark.parametrize("case", random.Random(7).sample(MATRIX, 40), ids=str)
def test_sample(tmp_path: Path, case: Case) -> None:
    """A seeded sample of all options together."""
    kit.check(made(tmp_path, case), "qed", follow=True, seed=case)


@pytest.mark.full
@pytest.mark.parametrize("case", MATRIX, ids=str)
def test_matrix(tmp_path: Path, case: Case) -> None:
    """All options together."""
    kit.check(made(tmp_path, case), "qed", follow=True, seed=case)


@pytest.mark.parametrize(("cluster", "table"), [(4 * KIB, 16), (64 * KIB, 4), (4 * MIB, 2)])
def test_large(tmp_path: Path, cluster: int, table: int) -> None:
    """A few clusters of a large disk (the map of the largest trips an assertion in qemu-img 7.2)."""
    entries = cluster * table // 8
    size = min(1 << 40, entries * entries * cluster)
    path = qemu_create(tmp_path / "x.qed", "qed", size, f"cluster_size={cluster}", f"table_size={table}")
    kit.scribble(path, "qed", "large", unit=min(cluster, MIB), count=8 if cluster < MIB else 1, discards=False)
    kit.check(path, "qed", mapped=cluster < MIB)
