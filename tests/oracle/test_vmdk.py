"""VMDK against qemu-img: every subformat × option × size, and the kinds of ESXi that only recipes make."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import imgtool
from imgtool.formats.vmdk.facts import VmdkFacts
from imgtool.model.report import Report
from tests.kit import codes, fixture, no_bug, qemu_create, qemu_info, report_of, run

pytestmark = pytest.mark.oracle

SUBFORMATS = ("monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized")
ADAPTERS = ("ide", "lsilogic", "buslogic", "legacyESX")
VERSIONS = ("hwversion=4", "hwversion=10", "hwversion=19", "compat6=on", "")
ZEROED = ("on", "off")
TIB = 1024**4
SIZES = (512, 513, 1536, 65536, 1024 * 1024 + 512, 3 * 1024**3 + 512, TIB)
#: The largest directory that qemu-img itself writes whole; above, its count of tables wraps.
NEAR_MAXIMUM = 255 * TIB
SPLIT = ("twoGbMaxExtentSparse", "twoGbMaxExtentFlat")


class Case(NamedTuple):
    """One way to make an image."""

    subformat: str
    adapter: str
    version: str
    zeroed: str
    size: int

    def options(self) -> tuple[str, ...]:
        """As for -o."""
        told = (f"subformat={self.subformat}", f"adapter_type={self.adapter}", self.version)
        return (*(word for word in told if word), *(("zeroed_grain=on",) if self.zeroed == "on" else ()))


def cases() -> list[Case]:
    """The whole matrix, without what qemu-img refuses (flat with zeroed grains) or would make 512 files of."""
    return [
        Case(*case)
        for case in itertools.product(SUBFORMATS, ADAPTERS, VERSIONS, ZEROED, SIZES)
        if not ("Flat" in case[0] and case[3] == "on") and not (case[0] in SPLIT and case[4] == TIB)
    ]


def agree(report: Report, told: dict[str, Any]) -> None:
    """The report says what qemu-img info says."""
    no_bug(report)
    facts = report.details
    assert isinstance(facts, VmdkFacts)
    data = told["format-specific"]["data"]
    assert report.format == told["format"]
    assert report.virtual_size == told["virtual-size"]
    assert facts.create_type == data["create-type"]
    assert int(facts.cid or "", 16) == data["cid"]
    assert int(facts.parent_cid or "", 16) == data["parent-cid"]
    assert facts.parent_file_name_hint == told.get("backing-filename")
    extents = data["extents"]
    assert facts.extent_count == len(extents)
    assert [extent.sectors * 512 for extent in facts.extents] == [extent["virtual-size"] for extent in extents]
    if facts.kind == "sparse":
        assert facts.cluster_size == told["cluster-size"] == extents[0]["cluster-size"]
        assert facts.compressed == extents[0].get("compressed", False)
    else:
        names = [Path(extent["filename"]).name for extent in extents]
        assert [extent.file_name for extent in facts.extents] == names
        assert [extent.type for extent in facts.extents] == [extent["format"] for extent in extents]
        assert [reference.value for reference in report.references if reference.kind == "extent"] == names


def expected(facts: VmdkFacts) -> set[str]:
    """The codes that such an image must have."""
    found = {"VMD501"} if facts.compressed else set()
    found |= {"IMG101"} if facts.kind == "descriptor" or facts.parent_file_name_hint else set()
    return found | ({"VMD101"} if facts.parent_file_name_hint else set())


def check(case: Case, folder: Path) -> None:
    """Make one, compare it and its extents."""
    path = qemu_create(folder / "disk.vmdk", "vmdk", case.size, *case.options())
    report = imgtool.inspect(path, checksums=())
    agree(report, qemu_info(path, "vmdk"))
    facts = report.details
    assert isinstance(facts, VmdkFacts)
    assert codes(report) == expected(facts)
    assert facts.adapter_type == case.adapter
    wanted = {"compat6=on": "6", "": "4"}.get(case.version, case.version.removeprefix("hwversion="))
    assert facts.hardware_version == wanted
    if facts.sparse is not None:
        assert ("zeroed-grains" in facts.sparse.flags) == (case.zeroed == "on")
    for extent in folder.glob("disk-s*.vmdk"):
        lone = imgtool.inspect(extent, checksums=())
        index = int(extent.stem[-3:]) - 1
        assert lone.virtual_size == facts.extents[index].sectors * 512
        assert codes(lone) == {"VMD009"}
    for file in folder.iterdir():
        file.unlink()


def sample() -> list[Case]:
    """A seeded sample in which each value of each option appears with each subformat."""
    chosen = random.Random(5).sample(cases(), 60)
    missing = [
        next(case for case in cases() if case.subformat == subformat and value in case)
        for subformat in SUBFORMATS
        for value in (*ADAPTERS, *SIZES[:-1])
        if not any(case.subformat == subformat and value in case for case in chosen)
    ]
    return [*dict.fromkeys((*chosen, *missing))]


def test_sample(tmp_path: Path) -> None:
    """Subformats, adapters, versions, zeroed grains, sizes: a sample."""
    for case in sample():
        check(case, tmp_path)


@pytest.mark.full
def test_whole_matrix(tmp_path: Path) -> None:
    """All of it."""
    for case in cases():
        check(case, tmp_path)


@pytest.mark.parametrize("subformat", ["monolithicSparse", "monolithicFlat"])
def test_near_the_maximum(subformat: str, tmp_path: Path) -> None:
    """255 TiB is the most that qemu-img writes sparse, just under the largest file the most flat."""
    size = NEAR_MAXIMUM if subformat == "monolithicSparse" else 15 * TIB
    path = qemu_create(tmp_path / "disk.vmdk", "vmdk", size, f"subformat={subformat}")
    report = imgtool.inspect(path, checksums=())
    agree(report, qemu_info(path, "vmdk"))
    assert isinstance(report.details, VmdkFacts)
    assert codes(report) == expected(report.details)


@pytest.mark.parametrize("subformat", ["monolithicSparse", "streamOptimized", "twoGbMaxExtentSparse"])
@pytest.mark.parametrize("zeroed", ZEROED)
def test_backing_file(subformat: str, zeroed: str, tmp_path: Path) -> None:
    """A parent by name and CID; tools version as given."""
    qemu_create(tmp_path / "base.vmdk", "vmdk", "3M")
    options = (f"subformat={subformat}", f"zeroed_grain={zeroed}", "toolsversion=11269")
    path = tmp_path / "over.vmdk"
    qemu_create(path, "vmdk", None, *options, extra=("-b", "base.vmdk", "-F", "vmdk"))
    report = imgtool.inspect(path, checksums=())
    agree(report, qemu_info(path, "vmdk"))
    assert isinstance(report.details, VmdkFacts)
    assert report.details.tools_version == "11269"
    assert codes(report) == expected(report.details)
    base = imgtool.inspect(tmp_path / "base.vmdk", checksums=()).details
    assert isinstance(base, VmdkFacts)
    assert report.details.parent_cid == base.cid


@pytest.mark.parametrize("subformat", SUBFORMATS)
def test_converted_data(subformat: str, tmp_path: Path) -> None:
    """With data in it, and after it was rewritten (a new CID), the report agrees as well."""
    raw = tmp_path / "raw"
    raw.write_bytes(random.Random(1).randbytes(300_000) + bytes(700_000))
    path = tmp_path / "disk.vmdk"
    run("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", f"subformat={subformat}", str(raw), str(path))
    for _ in range(2):
        report = imgtool.inspect(path, checksums=())
        agree(report, qemu_info(path, "vmdk"))
        assert isinstance(report.details, VmdkFacts)
        assert codes(report) == expected(report.details)
        if subformat != "streamOptimized":
            run("qemu-io", "-f", "vmdk", "-c", "write -P 7 0 64k", str(path))


def test_stream_of_the_recipe_is_one_to_qemu(tmp_path: Path) -> None:
    """The footer that no tool here writes is read alike."""
    path = tmp_path / "stream.vmdk"
    path.write_bytes(fixture("vmdk/stream-footer.vmdk.gz"))
    report = imgtool.inspect(path, checksums=())
    agree(report, qemu_info(path, "vmdk"))
    assert not codes(report)
    assert (
        run("qemu-img", "dd", "-f", "vmdk", "-O", "raw", "bs=512", f"if={path}", f"of={tmp_path / 'out'}") is not None
    )
    assert (tmp_path / "out").read_bytes()[:8] == b"imgtool "


@pytest.mark.parametrize(("kind", "extent"), [("vmfsSparse", "cowd-root"), ("seSparse", "sesparse")])
def test_extents_of_esxi_are_ones_to_qemu(kind: str, extent: str, tmp_path: Path) -> None:
    """COWD and seSparse extents of the recipes open in QEMU with the size and grain that is reported."""
    data = fixture(f"vmdk/{extent}.vmdk.gz")
    lone = report_of(data)
    assert lone.virtual_size is not None
    (tmp_path / "extent.vmdk").write_bytes(data)
    path = tmp_path / "disk.vmdk"
    path.write_text(
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
        f'createType="{kind}"\nRW {lone.virtual_size // 512} {kind.upper()} "extent.vmdk"\n'
    )
    report = imgtool.inspect(path, checksums=())
    told = qemu_info(path, "vmdk")
    agree(report, told)
    assert isinstance(lone.details, VmdkFacts)
    assert lone.details.cluster_size == told["format-specific"]["data"]["extents"][0]["cluster-size"]
    assert codes(report) == {"IMG101"}
