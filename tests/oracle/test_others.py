"""bochs, cloop and dmg against their makers and qemu-img."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

import imgtool
from imgtool.formats.bochs.facts import BochsFacts
from imgtool.formats.cloop.facts import CloopFacts
from imgtool.inspection.deep import check
from tests.kit import FIXTURES, fixture, images, need, no_bug, qemu_info, run

pytestmark = pytest.mark.oracle


def inspected(path: Path, form: str, *, deep: bool = True) -> imgtool.Report:
    """The report of a sound image, whose deep check is clean too; its size is qemu-img's."""
    report = imgtool.inspect(path, checksums=())
    no_bug(report)
    assert report.format == form
    assert not [finding for finding in report.findings if finding.severity != "note"]
    assert report.virtual_size == qemu_info(path, form)["virtual-size"]
    if deep:
        result = check(path)
        assert result.clean, result.findings
    return report


@pytest.mark.parametrize("megabytes", [10, 33, 1023, 4096, 130_000])
def test_bochs_growing(megabytes: int, tmp_path: Path) -> None:
    """Growing disks of several sizes by bximage."""
    path = tmp_path / "image.bochs"
    run(need("bximage"), "-q", "-func=create", f"-hd={megabytes}M", "-imgmode=growing", str(path))
    report = inspected(path, "bochs")
    assert isinstance(report.details, BochsFacts)
    assert report.details.subtype == "Growing"


def test_bochs_with_data(tmp_path: Path) -> None:
    """A growing disk that bximage fills: every extent is in the file, in the order it was written."""
    raw, path = tmp_path / "raw", tmp_path / "image.bochs"
    with open(raw, "wb") as file:
        for place in (0, 70_000, 5_000_000):
            file.seek(place)
            file.write(random.Random(place).randbytes(100_000))
        file.truncate(10_321_920)
    run(need("bximage"), "-q", "-func=convert", "-imgmode=growing", str(raw), str(path))
    inspected(path, "bochs")
    totals = check(path).totals
    assert totals is not None
    assert totals.image_end_offset == path.stat().st_size
    assert totals.allocated_clusters


@pytest.mark.parametrize("subtype", [b"Undoable", b"Volatile"])
def test_bochs_overlays_are_refused(subtype: bytes, tmp_path: Path) -> None:
    """A redolog needs its base: the one error, and qemu-img does not open it either."""
    data = bytearray(fixture("bochs/growing.bochs"))
    data[48:64] = subtype.ljust(16, b"\0")
    report = imgtool.inspect(_written(tmp_path, bytes(data)), checksums=())
    assert {finding.code for finding in report.findings} == {"OTH121"}


def _written(folder: Path, data: bytes) -> Path:
    path = folder / "image"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("size", [8192, 65536, 100_000, 1 << 20, (1 << 20) + 512])
@pytest.mark.parametrize("block", [512, 4096, 65536, 262144])
def test_cloop(size: int, block: int, tmp_path: Path) -> None:
    """Images of create_compressed_fs over sizes and block sizes."""
    raw, path = tmp_path / "raw", tmp_path / "image.cloop"
    raw.write_bytes(random.Random(size).randbytes(size // 2).ljust(size, b"\0"))
    run(need("create_compressed_fs"), "-B", str(block), str(raw), str(path))
    report = inspected(path, "cloop")
    assert isinstance(report.details, CloopFacts)
    assert report.details.block_size == block
    assert report.details.data_end == path.stat().st_size


@pytest.mark.parametrize("name", [name for name in images() if name.endswith((".bochs", ".cloop"))])
def test_fixtures(name: str) -> None:
    """qemu-img opens the fixtures and sees the same size."""
    inspected(FIXTURES / name, name.partition("/")[0])


@pytest.mark.parametrize("sectors", [1, 64, 1 << 20, 1 << 31, 1 << 40])
def test_dmg_size(sectors: int, tmp_path: Path) -> None:
    """The size in the trailer is what qemu-img takes, though the map has 64 sectors."""
    data = bytearray(fixture("dmg/zlib.dmg"))
    struct.pack_into(">Q", data, len(data) - 20, sectors)
    path = _written(tmp_path, bytes(data))
    assert inspected(path, "dmg", deep=sectors >= 64).virtual_size == sectors * 512
