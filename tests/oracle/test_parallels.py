"""Parallels against qemu-img, over its creation options."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

import imgtool
from imgtool.formats.parallels.facts import ParallelsFacts
from tests.kit import faults, need, no_bug, qemu_create, qemu_info, run

pytestmark = pytest.mark.oracle

CLUSTERS = (4096, 32256, 65536, 1 << 20, 1 << 24)
SIZES = (512, 127 * 512, 1 << 20, (1 << 30) + 512, 1 << 36)


def agrees(path: Path) -> ParallelsFacts:
    """The facts, after they were compared with what qemu-img says."""
    report = imgtool.inspect(path, checksums=())
    no_bug(report)
    told = qemu_info(path, "parallels")
    facts = report.details
    assert isinstance(facts, ParallelsFacts)
    assert (report.format, report.broken, report.partial) == ("parallels", False, False)
    assert report.disk_formats == ("ploop",)
    assert report.virtual_size == told["virtual-size"]
    assert facts.dirty == told.get("dirty-flag", False)
    assert faults(report) == set()
    return facts


@pytest.mark.parametrize(
    ("cluster", "size"),
    [(4096, 512), (32256, 127 * 512), (65536, 1 << 30), (1 << 20, 1 << 40), (1 << 24, (1 << 20) + 512)],
)
def test_sample(tmp_path: Path, cluster: int, size: int) -> None:
    """A sample of the matrix below, and 1 TiB."""
    facts = agrees(qemu_create(tmp_path / "x", "parallels", size, f"cluster_size={cluster}"))
    assert facts.cluster_size == cluster


@pytest.mark.full
@pytest.mark.parametrize(("cluster", "size"), list(product(CLUSTERS, SIZES)))
def test_all(tmp_path: Path, cluster: int, size: int) -> None:
    """Every cluster size × size."""
    facts = agrees(qemu_create(tmp_path / "x", "parallels", size, f"cluster_size={cluster}"))
    assert facts.cluster_size == cluster


def test_with_data(tmp_path: Path) -> None:
    """Written by qemu-img convert: closed in order, data where the header says."""
    source = tmp_path / "source"
    source.write_bytes(b"\x5a" * 3_000_000 + bytes(2_000_000 - 320))
    path = tmp_path / "x"
    run(need("qemu-img"), "convert", "-O", "parallels", str(source), str(path))
    facts = agrees(path)
    assert facts.data_offset < path.stat().st_size


@pytest.mark.parametrize("preallocation", ["falloc", "full"])
def test_preallocated(tmp_path: Path, preallocation: str) -> None:
    """Preallocated bytes behind the table are no fault."""
    agrees(qemu_create(tmp_path / "x", "parallels", 1 << 20, f"preallocation={preallocation}"))


@pytest.mark.full
def test_large(tmp_path: Path) -> None:
    """64 TiB in clusters of 16 MiB."""
    agrees(qemu_create(tmp_path / "x", "parallels", 64 << 40, "cluster_size=16M"))
