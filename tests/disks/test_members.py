"""Disks of containers inside containers, by their names; and the disks beside an OVF descriptor."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import imgtool
from fixtures.recipes.ova import descriptor, disk, packed
from imgtool.disks.links import RefusedLinkError
from imgtool.disks.members import disk_names
from imgtool.disks.recognise import recognise
from imgtool.errors import NotFoundError, UnsupportedError, UsageError
from imgtool.limits import DEFAULT, Limits
from imgtool.sources.memory import BytesSource

FIRST, SECOND = b"the first " * 900, b"the second " * 900


def appliance(*names: str, contents: tuple[bytes, ...]) -> list[tuple[str, bytes]]:
    """A descriptor that names each of `names` as a disk, and these files."""
    files = "".join(f'<File ovf:href="{name}" ovf:id="{name}"/>' for name in names)
    disks = "".join(
        f'<Disk ovf:capacity="1048576" ovf:diskId="vmdisk{number}" ovf:fileRef="{name}"/>'
        for number, name in enumerate(names, 1)
    )
    return [("two.ovf", descriptor(files, disks).encode()), *zip(names, contents, strict=True)]


@pytest.fixture(scope="module")
def two() -> list[tuple[str, bytes]]:
    """A descriptor and two disks: a vmdk, and a qcow2 that a descriptor may call anything."""
    return appliance("disk1.vmdk", "disk2.img", contents=(disk(data=FIRST), disk("qcow2", "", data=SECOND)))


def names(data: bytes, limits: Limits = DEFAULT) -> tuple[str, ...]:
    """The names of the disks in an archive."""
    source = BytesSource(data)
    return disk_names(source, recognise(source, limits).primary, limits)


def head(path: Path, **how: object) -> bytes:
    """The first bytes of a disk."""
    with imgtool.open_disk(path, **how) as opened:  # type: ignore[arg-type] # words of the call
        return opened.read_at(0, len(FIRST))


@pytest.mark.parametrize(
    "wrap", [gzip.compress, lzma.compress, bz2.compress, lambda data: gzip.compress(lzma.compress(data))]
)
def test_an_appliance_in_a_wrapper(
    two: list[tuple[str, bytes]], wrap: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    """Its disks are listed and taken by their own names, through as many wrappers as there are."""
    path = tmp_path / "two.ova.packed"
    path.write_bytes(wrap(packed(two)))
    assert names(path.read_bytes()) == ("disk1.vmdk", "disk2.img")
    assert head(path, member="disk1.vmdk") == FIRST
    assert head(path, member="disk2.img")[: len(SECOND)] == SECOND[: len(FIRST)]
    with pytest.raises(UsageError, match=r"several disks in it \(disk1\.vmdk, disk2\.img\)"):
        imgtool.open_disk(path)
    with pytest.raises(UsageError, match=r"no disk called 'x' in it \(there are: disk1\.vmdk, disk2\.img\)"):
        imgtool.open_disk(path, member="x")


def test_appliances_in_an_archive(two: list[tuple[str, bytes]], tmp_path: Path) -> None:
    """A disk in one of several is named after that; what has a single disk has its member's name."""
    inner = packed(two)
    outer = packed(
        appliance("a.ova", "b.ova.gz", "c.gz", contents=(inner, gzip.compress(inner), gzip.compress(FIRST)))
    )
    path = tmp_path / "all.ova"
    path.write_bytes(outer)
    assert names(outer) == (
        *("a.ova → disk1.vmdk", "a.ova → disk2.img"),
        *("b.ova.gz → disk1.vmdk", "b.ova.gz → disk2.img", "c.gz"),
    )
    for name in ("a.ova → disk1.vmdk", "b.ova.gz → disk1.vmdk", "c.gz"):
        assert head(path, member=name) == FIRST
    with pytest.raises(UsageError, match=r"no disk called 'd → x' in it \(there are: a\.ova, b\.ova\.gz, c\.gz\)"):
        imgtool.open_disk(path, member="d → x")


def test_looking_for_names_ends(two: list[tuple[str, bytes]]) -> None:
    """Below the depth, and beyond the members, that are looked into, a container is a disk by its own name."""
    data = gzip.compress(packed(two))
    assert names(data, DEFAULT._replace(depth=1)) == ("content",)
    assert names(data, DEFAULT._replace(nested_reports=0)) == ("content",)
    assert names(data[:-50]) == ("content",)
    assert names(gzip.compress(b"plain")) == ("content",)
    assert names(b"plain") == ()


@pytest.fixture
def beside(two: list[tuple[str, bytes]], tmp_path: Path) -> Path:
    """The descriptor, with its disks beside it."""
    for name, data in two:
        (tmp_path / name).write_bytes(data)
    return tmp_path / "two.ovf"


def test_disks_beside_a_descriptor(beside: Path) -> None:
    """They are its disks where following is allowed: one is named, and all files are closed with it."""
    before = len(os.listdir("/proc/self/fd"))
    for follow in (True, beside.parent):
        assert head(beside, member="disk1.vmdk", follow=follow) == FIRST
        assert head(beside, member="disk2.img", follow=follow)[: len(SECOND)] == SECOND[: len(FIRST)]
        with pytest.raises(UsageError, match=r"several disks in it \(disk1\.vmdk, disk2\.img\)"):
            imgtool.open_disk(beside, follow=follow)
    assert len(os.listdir("/proc/self/fd")) == before


def test_disks_beside_a_descriptor_without_leave(beside: Path, tmp_path: Path) -> None:
    """They are not opened, nor from another folder, nor through a name that leads out of it."""
    with pytest.raises(UnsupportedError, match="ovf without a disk in it; they lie beside it"):
        imgtool.open_disk(beside, member="disk1.vmdk")
    (tmp_path / "other").mkdir()
    with pytest.raises(RefusedLinkError, match="outside the allowed folder"):
        imgtool.open_disk(beside, member="disk1.vmdk", follow=tmp_path / "other")
    for name in ("../two/disk1.vmdk", "/etc/passwd", "http://example.com/disk.vmdk", "two.ovf"):
        (path := tmp_path / "two.ovf").write_bytes(appliance(name, contents=(b"",))[0][1])
        with pytest.raises(RefusedLinkError):
            imgtool.open_disk(path, follow=True)


def test_a_disk_that_is_not_beside_its_descriptor(beside: Path) -> None:
    """Not found, which names it; no file is left open."""
    (beside.parent / "disk1.vmdk").unlink()
    (beside.parent / "disk2.img").write_bytes(b"QFI\xfb")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(NotFoundError, match=r"disk1\.vmdk"):
        imgtool.open_disk(beside, member="disk1.vmdk", follow=True)
    with pytest.raises(imgtool.ImgtoolError, match="broken qcow2"):
        imgtool.open_disk(beside, member="disk2.img", follow=True)
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_a_disk_beside_a_descriptor_refers_to(tmp_path: Path) -> None:
    """Is followed from there: a descriptor of a split disk, and its extents."""
    (tmp_path / "flat.raw").write_bytes(FIRST.ljust(1 << 20, b"\0"))
    (tmp_path / "d.vmdk").write_text(
        "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n"
        'createType="monolithicFlat"\nRW 2048 FLAT "flat.raw" 0\n'
    )
    (tmp_path / "x.ovf").write_bytes(appliance("d.vmdk", contents=(b"",))[0][1])
    assert head(tmp_path / "x.ovf", follow=True) == FIRST
