"""VHDX against `qemu-img info -f vhdx`: every creation option, sizes from one sector to the format's largest."""

from __future__ import annotations

import itertools
import random
import subprocess
from pathlib import Path

import pytest

import imgtool
from tests.kit import faults, fixture, need, no_bug, qemu_create, qemu_info, run

pytestmark = pytest.mark.oracle

MIB = 1 << 20
TIB = 1 << 40
SUBFORMATS = ("dynamic", "fixed")
BLOCKS = (0, 1, 2, 8, 32, 256)  # MiB; 0 lets QEMU choose
LOGS = (1, 2, 7, 64)  # MiB
ZERO = ("on", "off")
SIZES = (512, 1536, 1000, MIB, MIB + 512, 100 * 1000 * 1000, 4 << 30, (4 << 30) + 512, TIB, 64 * TIB - 512, 64 * TIB)


def small(case: tuple[str, int, int, str, int]) -> bool:
    """True where the image takes little room: a fixed one is as large as its disk, a BAT of zeros is written."""
    subformat, block, _, zero, size = case
    if subformat == "fixed":
        return size <= 100 * 1000 * 1000
    return size <= TIB or zero == "off" or block >= 32


MATRIX = tuple(case for case in itertools.product(SUBFORMATS, BLOCKS, LOGS, ZERO, SIZES) if small(case))


def agree(folder: Path, case: tuple[str, int, int, str, int]) -> None:
    """Fail where our report and QEMU's differ."""
    subformat, block, log, zero, size = case
    options = (f"subformat={subformat}", f"block_size={block}M", f"log_size={log}M", f"block_state_zero={zero}")
    path = qemu_create(folder / "image.vhdx", "vhdx", size, *options)
    told = qemu_info(path, "vhdx")
    report = imgtool.inspect(path, checksums=(), depth=0)
    no_bug(report)
    facts = report.details
    assert report.format == "vhdx"
    assert report.virtual_size == told["virtual-size"] == (size + 511) // 512 * 512
    assert facts.block_size == told["cluster-size"]
    assert facts.dirty == told["dirty-flag"]
    assert facts.log_length == log * MIB
    assert facts.creator.startswith("QEMU v")
    assert (facts.logical_sector_size, facts.physical_sector_size) == (512, 512)
    assert (report.references, report.encrypted) == ((), False)
    assert facts.subformat == subformat
    assert facts.leave_blocks_allocated == (subformat == "fixed")
    assert faults(report) == set()
    path.unlink()


@pytest.mark.parametrize("case", random.Random(11).sample(MATRIX, 24), ids=str)
def test_sample(tmp_path: Path, case: tuple[str, int, int, str, int]) -> None:
    """A seeded sample of all options together."""
    agree(tmp_path, case)


@pytest.mark.full
@pytest.mark.parametrize("case", MATRIX, ids=str)
def test_matrix(tmp_path: Path, case: tuple[str, int, int, str, int]) -> None:
    """All options together."""
    agree(tmp_path, case)


@pytest.mark.parametrize("subformat", SUBFORMATS)
def test_images_with_data(tmp_path: Path, subformat: str) -> None:
    """An image that a guest wrote to agrees, is clean and has no faults."""
    path = qemu_create(tmp_path / "image.vhdx", "vhdx", 8 * MIB, f"subformat={subformat}", "block_size=1M")
    run(need("qemu-io"), "-f", "vhdx", "-c", "write -P 65 0 64k", "-c", "write -P 66 7M 1M", str(path))
    report = imgtool.inspect(path, checksums=())
    no_bug(report)
    assert report.virtual_size == qemu_info(path, "vhdx")["virtual-size"] == 8 * MIB
    assert not report.details.dirty
    assert faults(report) == set()


def test_what_the_recipes_build_is_vhdx(tmp_path: Path) -> None:
    """QEMU opens the disk that was built from the specification, and shows the same sizes."""
    path = tmp_path / "windows.vhdx"
    path.write_bytes(fixture("vhdx/windows.vhdx.gz"))
    told = qemu_info(path, "vhdx")
    report = imgtool.inspect(path, checksums=())
    assert (report.virtual_size, report.details.block_size) == (told["virtual-size"], told["cluster-size"])


def test_a_log_that_qemu_replays_leaves_a_clean_disk(tmp_path: Path) -> None:
    """The log of the fixture is one that QEMU accepts: it replays it, and then nothing is to be said."""
    path = tmp_path / "log.vhdx"
    path.write_bytes(fixture("vhdx/log-to-replay.vhdx.gz"))
    assert faults(imgtool.inspect(path, checksums=())) == {"VHX007"}
    subprocess.run((need("qemu-img"), "check", "-q", "-f", "vhdx", "-r", "all", str(path)), check=True)
    report = imgtool.inspect(path, checksums=())
    assert faults(report) == set()
    assert not report.details.dirty


def test_sectors_of_4096_are_refused(tmp_path: Path) -> None:
    """QEMU 7.2 does not open a disk of 4096-byte sectors, as the rule's page says."""
    path = tmp_path / "image.vhdx"
    path.write_bytes(fixture("vhdx/sectors-4096.vhdx.gz"))
    done = subprocess.run((need("qemu-img"), "info", "-f", "vhdx", str(path)), capture_output=True, check=False)
    assert done.returncode != 0
