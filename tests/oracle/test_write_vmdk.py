"""VMDKs of the native engine against qemu-img and 7-Zip: contents × sizes × options."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest

import imgtool
from tests.kit import faults, need, qemu_info, report_of, run
from tests.oracle.check_kit import both
from tests.oracle.disks_kit import convert
from tests.oracle.write_kit import CONTENTS, KIB, MIB, proved, source
from tests.targets.kit import converted
from tests.test_golden import plain, stream_of

pytestmark = pytest.mark.oracle

SIZES = (1, 512, 65_537, MIB, MIB + 512, 7 * MIB + 1000, 33 * MIB)
GRAINS = {"8K": 8 * KIB, "64K": 64 * KIB, "1M": MIB}
SPARSE, STREAM = "monolithicSparse", "streamOptimized"
KINDS = ((SPARSE, "6"), (STREAM, "1"), (STREAM, "6"), (STREAM, "12"))
MATRIX = tuple(itertools.product(CONTENTS, SIZES, KINDS, GRAINS))

Case = tuple[str, int, tuple[str, str], str]


def agrees(folder: Path, case: Case) -> None:
    """Fail where an image is not what was asked."""
    kind, size, (subformat, level), grain = case
    raw = source(folder / "source.raw", kind, size)
    path = converted(raw, folder / "image.vmdk", "vmdk", subformat=subformat, level=level, grain_size=grain)
    proved(raw, path, "vmdk", "vmdk", checked=True)
    as_asked(path, -(-size // 512) * 512, subformat, GRAINS[grain])
    totals = both(path, "vmdk").totals
    with open(raw, "rb") as file:
        held = sum(any(file.read(GRAINS[grain])) for _ in range(-(-size // GRAINS[grain])))
    assert totals.allocated_clusters == held
    assert totals.compressed_clusters == (held if subformat == STREAM else 0)
    if subformat == STREAM:
        unpacked(raw, path)


def as_asked(path: Path, size: int, subformat: str, grain: int) -> None:
    """Fail where `qemu-img info` or our report tell another image."""
    info = qemu_info(path, "vmdk")
    assert info["virtual-size"] == size
    told: dict[str, Any] = info["format-specific"]["data"]
    assert told["create-type"] == subformat
    assert told["parent-cid"] == 0xFFFFFFFF
    assert told["cid"] not in (0, 0xFFFFFFFF)
    extent = told["extents"][0]
    assert extent["virtual-size"] == size
    assert extent["cluster-size"] == grain
    assert extent.get("compressed", False) == (subformat == STREAM)
    data = path.read_bytes()
    report = report_of(data, checksums=("sha256",))
    assert (report.format, report.virtual_size, faults(report)) == ("vmdk", size, set())
    first, second = plain(imgtool.inspect(stream_of(data))), plain(report)
    assert {**first, "path": ""} == {**second, "path": ""}


def unpacked(raw: Path, path: Path) -> None:
    """7-Zip lists a stream, tests it, and takes the guest's bytes out of it."""
    program = need("7z")
    listed = run(program, "l", "-slt", str(path)).decode()
    assert "\nType = VMDK\n" in listed
    assert f"\nPhysical Size = {path.stat().st_size}\n" in listed
    assert '\nMethod = "streamOptimized" zlib Marker\n' in listed
    assert "Warning" not in listed
    assert "Error" not in listed
    tested = run(program, "t", str(path)).decode()
    assert "\nEverything is Ok\n" in tested
    data = raw.read_bytes()
    assert run(program, "e", "-so", str(path)) == data.ljust(-(-len(data) // 512) * 512, b"\0")


@pytest.mark.parametrize("case", random.Random(42).sample(MATRIX, 26), ids=str)
def test_sample(tmp_path: Path, case: Case) -> None:
    """A sample of the matrix."""
    agrees(tmp_path, case)


@pytest.mark.full
@pytest.mark.parametrize("case", MATRIX, ids=str)
def test_matrix(tmp_path: Path, case: Case) -> None:
    """All of it."""
    agrees(tmp_path, case)


@pytest.mark.parametrize("adapter", ["ide", "buslogic", "lsilogic", "legacyESX"])
def test_the_adapter_as_qemu_img_writes_it(tmp_path: Path, adapter: str) -> None:
    """Adapter, hardware and tools are the lines that qemu-img writes for the same options."""
    raw = source(tmp_path / "source.raw", "sparse", 3 * MIB)
    options = {"adapter_type": adapter, "hwversion": "13", "toolsversion": "11333"}
    ours = converted(raw, tmp_path / "ours.vmdk", "vmdk", **options)
    theirs = convert(raw, "raw", tmp_path / "theirs.vmdk", "vmdk", *("=".join(option) for option in options.items()))
    assert database(ours) == database(theirs)


def database(path: Path) -> set[str]:
    """Lines of the disk database but for the geometry."""
    text = path.read_bytes()[512 : 21 * 512].rstrip(b"\0").decode()
    return {line for line in text.splitlines() if line.startswith("ddb.") and "geometry" not in line}


def test_the_same_place_for_everything_as_qemu_img(tmp_path: Path) -> None:
    """A sparse extent is the one of qemu-img byte for byte, but for the descriptor."""
    raw = source(tmp_path / "source.raw", "patterned", 33 * MIB)
    ours = converted(raw, tmp_path / "ours.vmdk", "vmdk").read_bytes()
    theirs = convert(raw, "raw", tmp_path / "theirs.vmdk", "vmdk", extra=("-S", "64k", "-m", "1")).read_bytes()
    assert ours[:512] == theirs[:512]
    assert ours[21 * 512 :] == theirs[21 * 512 :]


def test_a_guest_goes_on_writing(tmp_path: Path) -> None:
    """QEMU writes into grains that are there, and adds new ones and their entries, which our check finds in order."""
    raw = source(tmp_path / "source.raw", "sparse", 65 * MIB + 512)
    path = converted(raw, tmp_path / "image.vmdk", "vmdk")
    writes = [(0, 4096), (5 * MIB - 512, 3 * MIB), (64 * MIB + 512, MIB), (32 * MIB - 512, KIB)]
    commands = [word for at, length in writes for word in ("-c", f"write -P {at % 251 + 1} {at} {length}")]
    for file, form in ((raw, "raw"), (path, "vmdk")):
        run(need("qemu-io"), "-f", form, *commands, str(file))
    proved(raw, path, "vmdk", "vmdk", checked=True)


@pytest.mark.parametrize("kind", ["text", "patterned", "sparse"])
def test_a_stream_is_no_larger_than_qemu_img_makes_it(tmp_path: Path, kind: str) -> None:
    """At the default level, but for markers and the footer, which qemu-img does not write."""
    raw = source(tmp_path / "source.raw", kind, 33 * MIB)
    ours = converted(raw, tmp_path / "ours.vmdk", "vmdk", subformat=STREAM)
    theirs = convert(raw, "raw", tmp_path / "theirs.vmdk", "vmdk", f"subformat={STREAM}")
    assert ours.stat().st_size <= theirs.stat().st_size + 8 * 512


@pytest.mark.parametrize("subformat", [SPARSE, STREAM])
@pytest.mark.parametrize("size", [1 << 34, pytest.param(1 << 40, marks=pytest.mark.full)])
def test_large_and_nearly_empty(tmp_path: Path, subformat: str, size: int) -> None:
    """Data at both ends of 16 GiB, and of 1 TiB: all readers see them."""
    raw = source(tmp_path / "source.raw", "ends", size)
    path = converted(raw, tmp_path / "image.vmdk", "vmdk", subformat=subformat)
    proved(raw, path, "vmdk", "vmdk", checked=True)
    assert path.stat().st_blocks * 512 < 2 * MIB
