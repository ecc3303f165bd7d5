"""VHD against `qemu-img info -f vpc`: every creation option, sizes from one sector to the format's largest."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

import imgtool
from tests.kit import faults, need, no_bug, qemu_create, qemu_info, run

pytestmark = pytest.mark.oracle

LARGEST = 2040 << 30
#: One sector, odd sectors, around what a geometry of each kind can tell, 1 TiB, the largest.
SIZES = (
    *(512, 1536, 1000, 34816, 35328, 1 << 20, (1 << 20) + 512, 10 * 1000 * 1000, 504 << 20, (504 << 20) + 512),
    *(8 << 30, 65535 * 16 * 63 * 512, 65535 * 16 * 63 * 512 + 512, 127 << 30, 65535 * 16 * 255 * 512, 128 << 30),
    *(1 << 40, (1 << 40) + 512, LARGEST - 512, LARGEST),
)
MATRIX = tuple(itertools.product(("dynamic", "fixed"), ("off", "on"), SIZES))


def agree(folder: Path, subformat: str, force_size: str, size: int) -> None:
    """Fail where our report and QEMU's differ."""
    path = qemu_create(folder / "image.vhd", "vpc", size, f"subformat={subformat}", f"force_size={force_size}")
    told = qemu_info(path, "vpc")
    report = imgtool.inspect(path, checksums=(), depth=0)
    no_bug(report)
    facts = report.details
    assert report.format == "vhd"
    assert report.virtual_size == told["virtual-size"] == facts.qemu_size
    assert facts.subformat == subformat
    assert facts.block_size == told.get("cluster-size")
    assert facts.creator_application == ("qem2" if force_size == "on" else "qemu")
    assert facts.size_rule == ("current-size" if facts.geometry == (65535, 16, 255) else "chs")
    assert report.references == ()
    assert not report.encrypted
    assert faults(report) == set()
    if force_size == "on":
        assert report.virtual_size == (size + 511) // 512 * 512
    path.unlink()


@pytest.mark.parametrize(("subformat", "force_size", "size"), random.Random(7).sample(MATRIX, 24))
def test_sample(tmp_path: Path, subformat: str, force_size: str, size: int) -> None:
    """A seeded sample of subformat × force_size × size."""
    agree(tmp_path, subformat, force_size, size)


@pytest.mark.full
@pytest.mark.parametrize(("subformat", "force_size", "size"), MATRIX)
def test_matrix(tmp_path: Path, subformat: str, force_size: str, size: int) -> None:
    """All of subformat × force_size × size."""
    agree(tmp_path, subformat, force_size, size)


@pytest.mark.parametrize("subformat", ["dynamic", "fixed"])
def test_images_with_data(tmp_path: Path, subformat: str) -> None:
    """An image that a guest wrote to agrees and has no faults."""
    path = qemu_create(tmp_path / "image.vhd", "vpc", 8 << 20, f"subformat={subformat}", "force_size=on")
    run(need("qemu-io"), "-f", "vpc", "-c", "write -P 65 0 64k", "-c", "write -P 66 7M 1M", str(path))
    report = imgtool.inspect(path, checksums=())
    no_bug(report)
    assert report.virtual_size == qemu_info(path, "vpc")["virtual-size"] == 8 << 20
    assert faults(report) == set()


@pytest.mark.parametrize("subformat", ["dynamic", "fixed"])
@pytest.mark.parametrize("size", [1 << 20, 3_000_000])
def test_converted_images(tmp_path: Path, subformat: str, size: int) -> None:
    """What `qemu-img convert` writes agrees and has no faults."""
    raw, path = tmp_path / "image.raw", tmp_path / "image.vhd"
    raw.write_bytes(random.Random(size).randbytes(4096).ljust(size, b"\0"))
    run(need("qemu-img"), "convert", "-f", "raw", "-O", "vpc", "-o", f"subformat={subformat}", str(raw), str(path))
    report = imgtool.inspect(path, checksums=(), depth=0)
    no_bug(report)
    assert report.virtual_size == qemu_info(path, "vpc")["virtual-size"]
    assert faults(report) == set()


#: Creators that QEMU 7.2 takes to mean the geometry, and we the current size.
DIFFERENT = (b"vbox", b"vs  ", b"wa\0\0", b"abcd")


@pytest.mark.parametrize("creator", [b"vpc ", b"qemu", b"win ", b"qem2", b"d2v ", b"CTXS", b"tap\0", *DIFFERENT])
def test_what_qemu_makes_of_each_creator(tmp_path: Path, creator: bytes) -> None:
    """`qemu_size` is what QEMU 7.2 shows; it is the virtual size but for the creators listed here."""
    from fixtures.recipes.vhd import Disk, sparse

    path = tmp_path / "image.vhd"
    path.write_bytes(sparse(Disk(3, 1 << 20, creator, (30, 4, 17))))
    report = imgtool.inspect(path, checksums=())
    shown = qemu_info(path, "vpc")["virtual-size"]
    assert report.details.qemu_size == shown
    assert (report.virtual_size == shown) == (creator not in DIFFERENT)
    assert ("VHD502" in faults(report)) == (shown != 1 << 20)
