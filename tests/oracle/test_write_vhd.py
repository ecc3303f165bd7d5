"""VHDs of the native engine against qemu-img: contents × sizes × options."""

from __future__ import annotations

import itertools
import random
import struct
from pathlib import Path

import pytest

from imgtool.formats.vhd.facts import VhdFacts
from tests.kit import need, qemu_create, qemu_info, report_of, run
from tests.oracle.write_kit import CONTENTS, MIB, proved, source
from tests.targets.kit import converted, written

pytestmark = pytest.mark.oracle

SIZES = (1, 512, 65_537, 2 * MIB, 2 * MIB + 512, 7 * MIB + 1000, 33 * MIB)
OPTIONS: tuple[dict[str, str], ...] = (
    {},
    {"block_size": "512K"},
    {"subformat": "fixed"},
)
MATRIX = tuple(itertools.product(CONTENTS, SIZES, range(len(OPTIONS))))


def agrees(folder: Path, case: tuple[str, int, int]) -> None:
    """Fail where an image is not what was asked."""
    kind, size, number = case
    options = OPTIONS[number]
    raw = source(folder / "source.raw", kind, size)
    path = converted(raw, folder / "image.vhd", "vhd", **options)
    proved(raw, path, "vhd", "vpc")
    info = qemu_info(path, "vpc")
    assert info["virtual-size"] == -(-size // 512) * 512
    fixed = options.get("subformat") == "fixed"
    report = report_of(path.read_bytes())
    assert (report.format, report.virtual_size) == ("vhd", info["virtual-size"])
    assert isinstance(report.details, VhdFacts)
    assert report.details.subformat == ("fixed" if fixed else "dynamic")
    if fixed:
        assert path.stat().st_size == info["virtual-size"] + 512
    else:
        assert info["cluster-size"] == (512 << 10 if "block_size" in options else 2 << 20)


@pytest.mark.parametrize("case", random.Random(41).sample(MATRIX, 40), ids=str)
def test_sample(tmp_path: Path, case: tuple[str, int, int]) -> None:
    """A sample of the matrix."""
    agrees(tmp_path, case)


@pytest.mark.full
@pytest.mark.parametrize("case", MATRIX, ids=str)
def test_matrix(tmp_path: Path, case: tuple[str, int, int]) -> None:
    """All of it."""
    agrees(tmp_path, case)


@pytest.mark.parametrize("block_size", ["512K", "2M"])
def test_a_guest_goes_on_writing(tmp_path: Path, block_size: str) -> None:
    """QEMU writes into blocks that are there and adds new ones; the footer moves, and all holds."""
    raw = source(tmp_path / "source.raw", "sparse", 33 * MIB)
    path = converted(raw, tmp_path / "image.vhd", "vhd", block_size=block_size)
    writes = [(0, 4096), (5 * MIB - 512, 3 * MIB), (32 * MIB + 512, MIB - 512), (17 * MIB, 512)]
    commands = [word for at, length in writes for word in ("-c", f"write -P {at % 251 + 1} {at} {length}")]
    for file, form in ((raw, "raw"), (path, "vpc")):
        run(need("qemu-io"), "-f", form, *commands, str(file))
    proved(raw, path, "vhd", "vpc")


@pytest.mark.parametrize("size", [136 * 512 * 30, 963 * 5 * 17 * 512, 825 * 16 * 31 * 512, 20805 * 16 * 63 * 512])
def test_the_geometry_is_qemus(tmp_path: Path, size: int) -> None:
    """Where a geometry tells the size exactly, qemu-img without `force_size` writes the same one."""
    theirs = qemu_create(tmp_path / "theirs.vhd", "vpc", size).read_bytes()
    raw = tmp_path / "source.raw"
    with open(raw, "wb") as file:
        file.truncate(size)
    ours = converted(raw, tmp_path / "ours.vhd", "vhd").read_bytes()
    assert ours[56:60] == theirs[56:60]
    assert struct.unpack_from(">Q", theirs, 48)[0] == size
    assert qemu_info(tmp_path / "theirs.vhd", "vpc")["virtual-size"] == size


def test_only_identity_and_time_differ_from_qemus(tmp_path: Path) -> None:
    """One full block as qemu-img writes it: all the same but time, geometry, id, checksum and a spare table entry."""
    data = b"x" * (2 * MIB)
    raw = tmp_path / "source.raw"
    raw.write_bytes(data)
    theirs = tmp_path / "theirs.vhd"
    run(need("qemu-img"), "convert", "-f", "raw", "-O", "vpc", "-o", "force_size=on", str(raw), str(theirs))
    ours, other = written("vhd", data), theirs.read_bytes()
    assert len(ours) == len(other)
    allowed = {*range(24, 28), *range(32, 36), *range(56, 60), *range(64, 84)}
    allowed |= {len(ours) - 512 + at for at in allowed}
    allowed |= {*range(512 + 28, 512 + 32), *range(512 + 36, 512 + 40)}
    assert {at for at in range(len(ours)) if ours[at] != other[at]} <= allowed
