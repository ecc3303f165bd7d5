"""Kernels and initial ramdisks of Debian packages, fetched by package name."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import imgtool
from tests.kit import no_bug, run

pytestmark = pytest.mark.real


def unpacked(folder: Path, package: str) -> Path:
    """The files of a Debian package, without installing it."""
    subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True, capture_output=True)
    archive = next(folder.glob("*.deb"))
    run("dpkg-deb", "-x", str(archive), str(folder / "root"))
    return folder / "root"


def no_errors(report: imgtool.Report) -> None:
    """Fail on an error finding, members included."""
    no_bug(report)
    assert [finding for finding in report.findings if finding.severity == "error"] == []
    for member in report.members:
        no_errors(member)


def test_cloud_kernel(tmp_path: Path) -> None:
    """The kernel of linux-image-cloud-amd64: a bzImage whose version is that of its package."""
    depends = run("apt-cache", "depends", "linux-image-cloud-amd64").decode()
    package = next(word for word in depends.split() if word.startswith("linux-image-") and word[12].isdigit())
    root = unpacked(tmp_path, package)
    kernel = next((root / "boot").glob("vmlinuz-*"))
    report = imgtool.inspect(kernel)
    no_errors(report)
    assert (report.format, report.container_format, report.virtual_size) == ("aki", "aki", None)
    details = report.to_dict()["details"]
    assert isinstance(details, dict)
    assert details["kind"] == "bzImage"
    assert details["architecture"] == "x86-64"
    assert details["efi_stub"] == "x86-64"
    assert details["version"].startswith(kernel.name.removeprefix("vmlinuz-") + " ")
    assert details["payload"]["compression"] in ("lz4", "xz", "zstd")


def test_installer_kernel_and_ramdisk(tmp_path: Path) -> None:
    """Kernel and initrd of debian-installer-12-netboot-amd64: aki, and ari in gzip."""
    root = unpacked(tmp_path, "debian-installer-12-netboot-amd64")
    kernel = next(path for path in root.rglob("linux") if path.is_file() and not path.is_symlink())
    report = imgtool.inspect(kernel)
    no_errors(report)
    assert (report.format, report.container_format) == ("aki", "aki")
    initrd = next(path for path in root.rglob("initrd.gz") if path.is_file() and not path.is_symlink())
    report = imgtool.inspect(initrd)
    no_errors(report)
    assert (report.format, report.container_format, report.virtual_size) == ("ari", "ari", None)
    (inner,) = report.members
    assert (inner.format, inner.container_format) == ("ari", "ari")
    assert inner.size == len(run("gzip", "-dc", str(initrd)))
