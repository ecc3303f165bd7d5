"""QED against qemu-img, over its creation options.

QEMU 7.2 makes images with tables of one cluster and then takes their table for misplaced: the specification
allows them, and there the report alone is looked at.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

import imgtool
from imgtool.formats.qed.facts import QedFacts
from tests.kit import faults, no_bug, qemu_create, qemu_info

pytestmark = pytest.mark.oracle

CLUSTERS = (4096, 65536, 1 << 20, 1 << 22)
TABLES = (1, 2, 4, 8, 16)
SIZES = (512, 127 * 512, 1 << 20, 1 << 30, 1 << 40)


def most(cluster: int, table: int) -> int:
    """The largest disk that the tables map."""
    return (cluster * table // 8) ** 2 * cluster


#: Where the tables could map more than 64 bits can count, QEMU 7.2 refuses every size.
MATRIX = [point for point in product(CLUSTERS, TABLES, SIZES) if most(*point[:2]) < 1 << 64]


def agrees(path: Path, expected: frozenset[str] = frozenset()) -> QedFacts:
    """The facts, after they were compared with what qemu-img says."""
    report = imgtool.inspect(path, checksums=())
    no_bug(report)
    facts = report.details
    assert isinstance(facts, QedFacts)
    assert (report.format, report.broken, report.partial) == ("qed", False, False)
    assert faults(report) == {"QCW560", *expected}
    if facts.table_size == 1:
        return facts
    told = qemu_info(path, "qed")
    assert report.virtual_size == told["virtual-size"]
    assert facts.cluster_size == told["cluster-size"]
    assert facts.backing_file == told.get("backing-filename")
    assert facts.backing_format == told.get("backing-filename-format")
    assert facts.dirty == told["dirty-flag"]
    return facts


@pytest.mark.parametrize(
    ("cluster", "table", "size"),
    [(4096, 1, 512), (4096, 16, 127 * 512), (65536, 4, 1 << 40), (65536, 2, 1 << 20), (1 << 20, 1, 1 << 30)],
)
def test_sample(tmp_path: Path, cluster: int, table: int, size: int) -> None:
    """A sample of the matrix below."""
    facts = agrees(qemu_create(tmp_path / "x", "qed", size, f"cluster_size={cluster}", f"table_size={table}"))
    assert facts.table_size == table


@pytest.mark.full
@pytest.mark.parametrize(("cluster", "table", "size"), MATRIX)
def test_all(tmp_path: Path, cluster: int, table: int, size: int) -> None:
    """Every cluster size × table size × size that the tables can map."""
    size = min(size, most(cluster, table))
    facts = agrees(qemu_create(tmp_path / "x", "qed", size, f"cluster_size={cluster}", f"table_size={table}"))
    assert facts.table_size == table


@pytest.mark.parametrize(("cluster", "table"), [(4096, 1), (4096, 2), (4096, 16), (65536, 4)])
def test_the_largest_disk(tmp_path: Path, cluster: int, table: int) -> None:
    """As large as the tables can map: still no fault."""
    size = most(cluster, table)
    facts = agrees(qemu_create(tmp_path / "x", "qed", size, f"cluster_size={cluster}", f"table_size={table}"))
    assert facts.virtual_size == size


@pytest.mark.parametrize("form", ["raw", "qcow2"])
@pytest.mark.parametrize("name", ["base.img", "/srv/images/base.img", "nbd://localhost:10809/disk", "b" * 255])
def test_backing_file(tmp_path: Path, form: str, name: str) -> None:
    """The name is a reference; only raw is kept as its format."""
    path = qemu_create(tmp_path / "x", "qed", 1 << 20, f"backing_file={name}", f"backing_fmt={form}", extra=("-u",))
    unsafe = {"IMG102"} if name[0] == "/" or ":" in name else set()
    facts = agrees(path, frozenset({"IMG101", *unsafe}))
    assert facts.backing_file == name
