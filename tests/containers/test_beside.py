"""The deep check of what lies beside an OVF descriptor or a bundle manifest: only where following is allowed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from fixtures.recipes.ami import manifest
from fixtures.recipes.ova import OVF1, descriptor, small
from imgtool.inspection.deep import check
from imgtool.model.tables import Check


def codes(result: Check) -> set[str]:
    """The codes of a check, but for the reference itself and what the disk's own rules say."""
    found = {finding.code for finding in result.findings}
    assert not {code for code in found if code.startswith("IMG9")}
    return {code for code in found if code[:3] in ("OVF", "AMI")}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A descriptor with its manifest and its disk beside it."""
    for name, data in small():
        (tmp_path / name).write_bytes(data)
    return tmp_path / "small.ovf"


def test_nothing_is_opened_without_leave(package: Path) -> None:
    """Without following a note says so; with it a sound package is clean."""
    assert codes(check(package)) == {"OVF305"}
    assert codes(check(package, follow=True)) == set()
    assert codes(check(package, follow=package.parent)) == set()
    assert check(package, follow=True).totals is not None


def test_a_file_of_another_size(package: Path) -> None:
    """A disk that was cut has another size and another digest."""
    disk = package.parent / "disk1.vmdk"
    os.truncate(disk, disk.stat().st_size - 512)
    assert codes(check(package, follow=True)) == {"OVF301", "OVF303"}


def test_a_file_that_is_not_there(package: Path) -> None:
    """A missing disk is told, and so is one that lies outside of the allowed folder."""
    (package.parent / "disk1.vmdk").unlink()
    assert codes(check(package, follow=True)) == {"OVF302"}
    (package.parent / "disk1.vmdk").symlink_to("/etc/passwd")
    result = check(package, follow=True)
    assert codes(result) == {"OVF302"}
    assert any("outside" in finding.message for finding in result.findings)


@pytest.mark.parametrize("name", ["disk1.vmdk", "small.ovf", "small.mf"])
def test_a_changed_file(package: Path, name: str) -> None:
    """One byte of the disk, of the descriptor (in a comment of its own), or of the manifest's digest."""
    path = package.parent / name
    data = bytearray(path.read_bytes())
    if name == "small.ovf":
        path.write_bytes(bytes(data) + b"<!-- -->")
    elif name == "small.mf":
        data[-10] = ord("1") if data[-10] == ord("0") else ord("0")  # a digit, whatever the digest is
        path.write_bytes(data)
    else:
        data[1000] ^= 1
        path.write_bytes(data)
    assert codes(check(package, follow=True)) == {"OVF303"}


def test_a_weak_manifest(package: Path) -> None:
    """SHA-1 is read in its old spelling, verified, and told to be weak."""
    data = (package.parent / "disk1.vmdk").read_bytes()
    (package.parent / "small.mf").write_text(f"SHA1 (disk1.vmdk) = {hashlib.sha1(data).hexdigest()}\r\n")
    assert codes(check(package, follow=True)) == {"OVF304"}


def test_a_manifest_opens_nothing_else(package: Path) -> None:
    """A name that the descriptor does not have is not opened, whatever the manifest says."""
    with open(package.parent / "small.mf", "a") as file:
        file.write(f"SHA256(other)= {'0' * 64}\nSHA256(../other)= {'0' * 64}\nSHA256(/etc/passwd)= {'0' * 64}\n")
    (package.parent / "other").write_bytes(b"x")
    assert codes(check(package, follow=True)) == set()


def test_chunks_beside(tmp_path: Path) -> None:
    """A file in chunks is as large as they are together."""
    (tmp_path / "d.img.000000000").write_bytes(bytes(512))
    (tmp_path / "d.img.000000001").write_bytes(bytes(100))
    for size, expected in ((612, set()), (613, {"OVF301"})):
        file = f'<File ovf:href="d.img" ovf:id="f" ovf:size="{size}" ovf:chunkSize="512"/>'
        row = '<Disk ovf:capacity="612" ovf:diskId="vmdisk1" ovf:fileRef="f" ovf:format="http://example.org/raw"/>'
        (tmp_path / "x.ovf").write_text(descriptor(file, row, namespace=OVF1))
        assert codes(check(tmp_path / "x.ovf", follow=True)) == expected


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle manifest with its three parts beside it."""
    for number in range(3):
        (tmp_path / f"image.part.{number:02d}").write_bytes(b"%d" % number)
    path = tmp_path / "image.manifest.xml"
    path.write_bytes(manifest().replace(b"<bundled_size>2345678<", b"<bundled_size>3<"))
    return path


def test_parts_beside(bundle: Path) -> None:
    """Digests are of the parts as they lie there: encrypted or not, no key is needed."""
    assert codes(check(bundle)) == {"AMI305"}
    assert codes(check(bundle, follow=True)) == set()


def test_a_changed_part(bundle: Path) -> None:
    """One byte of one part."""
    (bundle.parent / "image.part.01").write_bytes(b"x")
    assert codes(check(bundle, follow=True)) == {"AMI302"}


def test_a_part_that_is_not_there(bundle: Path) -> None:
    """A missing part is told; then sizes are not added up."""
    (bundle.parent / "image.part.02").unlink()
    assert codes(check(bundle, follow=True)) == {"AMI303"}


def test_parts_of_another_size(bundle: Path) -> None:
    """The parts together have to come to bundled_size."""
    bundle.write_bytes(bundle.read_bytes().replace(b"<bundled_size>3<", b"<bundled_size>4<"))
    assert codes(check(bundle, follow=True)) == {"AMI304"}
