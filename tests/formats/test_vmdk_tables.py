"""The walk over the tables of a VMDK: every kind of extent, clean and damaged, built from the
specification."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest

from imgtool.inspection.deep import check
from imgtool.model.tables import Check
from tests.formats.vmdk_made import SECTOR, Grains, cowd, hosted, sesparse

GRAIN = 16 * SECTOR
#: An extent alone is no disk: what every COWD and seSparse raises.
LONE = {"VMD009"}


def faults(result: Check) -> set[str]:
    """Codes of VMDK's own rules, notes left out (what a look inside the guest tells is another's)."""
    assert not [finding for finding in result.findings if finding.code.startswith("IMG9")], result.findings
    found = {finding.code for finding in result.findings if finding.severity != "note"}
    return {code for code in found if code.startswith("VMD")}


def some(count: int, step: int = 1) -> Grains:
    """Grains of letters."""
    return {number * step: bytes([65 + number % 26]) * GRAIN for number in range(count)}


def cut_at(path: Path, at: int, data: bytes) -> Path:
    """A file with bytes changed."""
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)
    return path


def test_plain(tmp_path: Path) -> None:
    """Two tables with a gap between, one grain of zeros: counted, nothing found."""
    path = hosted(tmp_path / "a.vmdk", {0: bytes(GRAIN), 1: "zero", 1500: bytes(GRAIN)}, 2048 * 16)
    result = check(path)
    assert faults(result) == {"VMD024"}  # its descriptor says streamOptimized
    assert result.totals is not None
    assert (result.totals.total_clusters, result.totals.allocated_clusters) == (2048, 2)


@pytest.mark.parametrize("count", [1, 3, 700])
def test_stream(tmp_path: Path, count: int) -> None:
    """A stream with a footer is clean, and all its grains are inflated."""
    path = hosted(tmp_path / "a.vmdk", some(count, 2), 4096 * 16, packed=True, footer=True)
    result = check(path)
    assert result.clean, result.findings
    assert result.totals is not None
    assert result.totals.compressed_clusters == count
    assert result.totals.image_end_offset == path.stat().st_size


def test_last_grain_may_be_short(tmp_path: Path) -> None:
    """The last grain of a capacity that is no whole number of grains inflates to what remains, or to a whole one."""
    for tail in (5, None):
        path = hosted(tmp_path / "a.vmdk", some(3), 2 * 16 + 5, packed=True, footer=True, tail=tail)
        assert check(path).clean
    path = hosted(tmp_path / "a.vmdk", some(3), 2 * 16 + 5, packed=True, footer=True, tail=4)
    assert faults(check(path)) == {"VMD301"}


def test_grain_that_makes_more(tmp_path: Path) -> None:
    """A grain that inflates to one byte more than a grain does not hold."""
    grains: Grains = {0: bytes(GRAIN), 1: bytes(GRAIN + 1)}
    assert faults(check(hosted(tmp_path / "a.vmdk", grains, 1024, packed=True, footer=True))) == {"VMD301"}


def test_cowd(tmp_path: Path) -> None:
    """COWD: 4,096 entries a table, grains of one sector; one outside, one given twice."""
    path = cowd(tmp_path / "a.vmdk", {0: b"A" * 512, 1: b"B" * 512, 5000: b"C" * 512}, 10_000)
    result = check(path)
    assert faults(result) == LONE
    assert result.totals is not None
    assert result.totals.allocated_clusters == 3
    table = struct.unpack_from("<I", path.read_bytes(), 4 * SECTOR)[0] * SECTOR
    first = path.read_bytes()[table : table + 4]
    assert faults(check(cut_at(path, table + 4, first))) == LONE | {"VMD043"}
    assert faults(check(cut_at(path, table + 4, b"\xff\xff\xff\x00"))) == LONE | {"VMD042"}
    assert "VMD041" in faults(check(cut_at(path, 4 * SECTOR, b"\xff\xff\xff\x00")))


def test_sesparse(tmp_path: Path) -> None:
    """seSparse: four kinds of entries; one that is no kind, one outside."""
    grains: Grains = {0: b"A" * 4096, 1: "zero", 2: "unmapped", 4096: b"B" * 4096}
    path = sesparse(tmp_path / "a.vmdk", grains, 65_536)
    result = check(path)
    assert faults(result) == LONE
    assert result.totals is not None
    assert result.totals.allocated_clusters == 2
    data = path.read_bytes()
    tables = struct.unpack_from("<Q", data, 8 * 18)[0] * SECTOR
    table = tables + (struct.unpack_from("<Q", data, 8 * SECTOR)[0] & 0xFFFFFFFF) * 32_768
    assert faults(check(cut_at(path, table + 8, struct.pack("<Q", 4 << 60)))) == LONE | {"VMD046"}
    assert faults(check(cut_at(path, table + 8, struct.pack("<Q", 3 << 60 | 1 << 20)))) == LONE | {"VMD042"}


def test_directory_that_names_one_table(tmp_path: Path) -> None:
    """A directory whose every entry is the same table: told as overlaps, and read once, not for each."""
    path = hosted(tmp_path / "a.vmdk", some(1), 16, packed=False)
    tables = 1 << 20
    with open(path, "r+b") as file:
        data = file.read()
        table = struct.unpack_from("<I", data, struct.unpack_from("<Q", data, 56)[0] * SECTOR)[0]
        file.seek(0, 2)
        directory = file.tell() // SECTOR
        file.write(struct.pack("<I", table) * tables)
        file.seek(12)
        file.write(struct.pack("<Q", tables * 512 * 16))
        file.seek(56)
        file.write(struct.pack("<Q", directory))
    start = time.monotonic()
    result = check(path)
    assert "VMD043" in faults(result)
    assert result.totals is not None
    assert result.totals.corruptions >= tables - 1
    assert time.monotonic() - start < 10


def test_empty_giant(tmp_path: Path) -> None:
    """A capacity of petabytes, a sparse file: as many tables as the directory has, in no time."""
    path = hosted(tmp_path / "a.vmdk", {}, 16)
    with open(path, "r+b") as file:
        file.truncate(1 << 30)
        file.seek(12)
        file.write(struct.pack("<Q", 1 << 37))
        file.seek(56)
        file.write(struct.pack("<Q", 2048))
    start = time.monotonic()
    check(path)
    assert time.monotonic() - start < 5


def test_one_grain_for_all(tmp_path: Path) -> None:
    """Tables without markers whose every entry is the same packed grain: it is not inflated a million times."""
    path = hosted(tmp_path / "a.vmdk", some(1), 512 * 512 * 16, packed=True, marked=False)
    data = bytearray(path.read_bytes())
    grain = 64
    tables = len(data) // SECTOR
    data += struct.pack("<I", grain) * 512
    directory = len(data) // SECTOR
    data += struct.pack("<I", tables) * 512
    data[56:64] = struct.pack("<Q", directory)
    path.write_bytes(data)
    start = time.monotonic()
    assert "VMD043" in faults(check(path))
    assert time.monotonic() - start < 5
