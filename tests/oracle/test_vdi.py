"""VDI against qemu-img, over its creation options."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

import imgtool
from imgtool.formats.vdi.facts import VdiFacts
from tests.kit import codes, need, no_bug, qemu_create, qemu_info, run

pytestmark = pytest.mark.oracle

MIB = 1 << 20
SIZES = (512, 127 * 512, MIB, MIB + 512, 5 * MIB - 512, 1 << 40)


def agrees(path: Path) -> VdiFacts:
    """The facts, after they were compared with what qemu-img says."""
    report = imgtool.inspect(path, checksums=())
    no_bug(report)
    told = qemu_info(path, "vdi")
    facts = report.details
    assert isinstance(facts, VdiFacts)
    assert (report.format, report.broken, report.partial) == ("vdi", False, False)
    assert report.virtual_size is not None
    assert -(-report.virtual_size // 512) * 512 == told["virtual-size"]
    assert facts.cluster_size == told["cluster-size"]
    assert not report.encrypted
    assert codes(report) <= {"IMG008"}
    return facts


@pytest.mark.parametrize("size", SIZES)
def test_dynamic(tmp_path: Path, size: int) -> None:
    """Dynamic images of every kind of size."""
    facts = agrees(qemu_create(tmp_path / "x", "vdi", size, "static=off"))
    assert (facts.image_type, facts.blocks_allocated, facts.virtual_size) == ("dynamic", 0, size)


@pytest.mark.parametrize("size", [size for size in SIZES if size < 1 << 30])
@pytest.mark.parametrize("preallocation", ["off", "falloc", "full"])
def test_static(tmp_path: Path, size: int, preallocation: str) -> None:
    """Static images hold all their blocks."""
    facts = agrees(qemu_create(tmp_path / "x", "vdi", size, "static=on", f"preallocation={preallocation}"))
    assert (facts.image_type, facts.blocks_allocated) == ("static", facts.blocks)


@pytest.mark.parametrize("size", [size for size in SIZES if size < 1 << 30])
def test_filled(tmp_path: Path, size: int) -> None:
    """A dynamic image of which every block was written."""
    path = qemu_create(tmp_path / "x", "vdi", size, "static=off")
    run(need("qemu-io"), "-f", "vdi", "-c", f"write -P 1 0 {size}", str(path))
    facts = agrees(path)
    assert (facts.image_type, facts.blocks_allocated) == ("dynamic", facts.blocks)


@pytest.mark.parametrize("size", [1000, MIB + 1])
def test_odd_disk_sizes(tmp_path: Path, size: int) -> None:
    """VBoxManage writes sizes that are no whole sectors; qemu-img rounds up, the report is exact."""
    path = qemu_create(tmp_path / "x", "vdi", 2 * MIB)
    with path.open("r+b") as file:
        file.seek(0x170)
        file.write(struct.pack("<Q", size))
    assert agrees(path).virtual_size == size


@pytest.mark.full
def test_large(tmp_path: Path) -> None:
    """16 TiB: a map of 64 MiB."""
    assert agrees(qemu_create(tmp_path / "x", "vdi", 16 << 40)).blocks == 1 << 24
