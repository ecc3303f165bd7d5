"""VDIs of the native engine against qemu-img: contents × sizes × options."""

from __future__ import annotations

import itertools
import random
import struct
from pathlib import Path

import pytest

from imgtool.disks.digest import block_digest
from imgtool.disks.open import open_disk
from imgtool.formats.vdi.facts import VdiFacts
from imgtool.inspection.deep import check
from tests.kit import faults, need, qemu_info, report_of, run
from tests.oracle.write_kit import CONTENTS, MIB, proved, source
from tests.targets.kit import converted

pytestmark = pytest.mark.oracle

SIZES = (1, 512, 65_537, MIB, MIB + 512, 7 * MIB + 1000, 33 * MIB)
SUBFORMATS = ("dynamic", "static")
MATRIX = tuple(itertools.product(CONTENTS, SIZES, SUBFORMATS))


def agrees(folder: Path, case: tuple[str, int, str]) -> None:
    """Fail where an image is not what was asked."""
    kind, size, subformat = case
    raw = source(folder / "source.raw", kind, size)
    path = converted(raw, folder / "image.vdi", "vdi", subformat=subformat)
    proved(raw, path, "vdi", "vdi", checked=True)
    info = qemu_info(path, "vdi")
    assert info["virtual-size"] == -(-size // 512) * 512
    assert info["cluster-size"] == MIB
    report = report_of(path.read_bytes())
    assert (report.format, report.virtual_size) == ("vdi", info["virtual-size"])
    assert isinstance(report.details, VdiFacts)
    assert report.details.image_type == subformat
    blocks = held = -(-size // MIB)
    if subformat == "dynamic":
        with open(raw, "rb") as file:
            held = sum(any(file.read(MIB)) for _ in range(blocks))
    assert (report.details.blocks, report.details.blocks_allocated) == (blocks, held)
    assert path.stat().st_size == MIB + held * MIB


@pytest.mark.parametrize("case", random.Random(42).sample(MATRIX, 30), ids=str)
def test_sample(tmp_path: Path, case: tuple[str, int, str]) -> None:
    """A sample of the matrix."""
    agrees(tmp_path, case)


@pytest.mark.full
@pytest.mark.parametrize("case", MATRIX, ids=str)
def test_matrix(tmp_path: Path, case: tuple[str, int, str]) -> None:
    """All of it."""
    agrees(tmp_path, case)


@pytest.mark.parametrize("subformat", SUBFORMATS)
def test_a_guest_goes_on_writing(tmp_path: Path, subformat: str) -> None:
    """QEMU writes into blocks that are there, and adds new ones in place of blocks of zeros."""
    raw = source(tmp_path / "source.raw", "sparse", 33 * MIB)
    path = converted(raw, tmp_path / "image.vdi", "vdi", subformat=subformat)
    writes = [(0, 4096), (5 * MIB - 512, 3 * MIB), (32 * MIB + 512, MIB - 512), (17 * MIB, 512)]
    commands = [word for at, length in writes for word in ("-c", f"write -P {at % 251 + 1} {at} {length}")]
    for file, form in ((raw, "raw"), (path, "vdi")):
        run(need("qemu-io"), "-f", form, *commands, str(file))
    proved(raw, path, "vdi", "vdi", checked=True)


@pytest.mark.parametrize("block_size", ["2M", "8M"])
@pytest.mark.parametrize("subformat", SUBFORMATS)
def test_blocks_that_qemu_does_not_read(tmp_path: Path, block_size: str, subformat: str) -> None:
    """By the map: with the field set to 1 MiB and the map written out in blocks of that, QEMU sees the same disk."""
    raw = source(tmp_path / "source.raw", "patterned", 32 * MIB)
    path = converted(raw, tmp_path / "image.vdi", "vdi", block_size=block_size, subformat=subformat)
    assert faults(report_of(path.read_bytes())) == {"VDI006"}
    totals = check(path).totals
    assert totals is not None
    assert (totals.corruptions, totals.check_errors, totals.fragmented_clusters) == (0, 0, 0)
    with open_disk(path) as one, open_disk(raw, format="raw") as other:
        assert block_digest(one) == block_digest(other)
    data = bytearray(path.read_bytes())
    blocks, allocated = struct.unpack_from("<II", data, 0x180)
    times = 32 // blocks
    entries = struct.unpack_from(f"<{blocks}I", data, 512)
    small = [entry if entry > 0xFFFFFFFD else entry * times + part for entry in entries for part in range(times)]
    data[512 : 512 + 4 * 32] = struct.pack("<32I", *small)
    struct.pack_into("<IIII", data, 0x178, MIB, 0, 32, allocated * times)
    path.write_bytes(data)
    proved(raw, path, "vdi", "vdi", checked=True)
