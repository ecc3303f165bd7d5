"""Kernels: each form by the fields of its boot protocol; what only looks like one stays raw."""

from __future__ import annotations

import struct

import pytest

import imgtool
from imgtool.volumes.kernels.facts import KernelFacts
from tests.kit import codes, fixture, no_bug, report_of


def facts(report: imgtool.Report) -> KernelFacts:
    """The facts of a kernel."""
    assert isinstance(report.details, KernelFacts)
    return report.details


@pytest.mark.parametrize(
    ("name", "kind", "architecture", "version"),
    [
        ("bzimage.img", "bzImage", "x86-64", "6.1.0-fixture (builder@example) #1 SMP"),
        ("bzimage-protocol-204.img", "bzImage", "i386", "6.1.0-fixture (builder@example) #1 SMP"),
        ("arm64-image.img", "Image", "arm64", "6.1.0-fixture-arm64 (builder@example)"),
        ("riscv-image.img", "Image", "riscv64", "6.6.1-fixture-riscv64 (builder@example)"),
        ("arm-zimage.img", "zImage", "arm", None),
        ("zboot.efi", "zboot", "arm64", None),
        ("vmlinux-x86-64.elf", "vmlinux", "x86-64", "6.1.0-fixture (builder@example) #1 SMP"),
        ("vmlinux-ppc.elf", "vmlinux", "ppc", "6.1.0-fixture (builder@example) #1 SMP"),
        ("kernel.uimage", "uImage", "arm", "fixture 6.1"),
    ],
)
def test_kernel(name: str, kind: str, architecture: str, version: str | None) -> None:
    """A kernel is aki in aki and has no virtual size."""
    report = report_of(fixture(f"aki/{name}"))
    assert (report.format, report.container_format, report.disk_formats) == ("aki", "aki", ("aki",))
    assert report.virtual_size is None
    told = facts(report)
    assert (told.kind, told.architecture, told.version) == (kind, architecture, version)
    assert report.findings == ()


def test_setup_header() -> None:
    """Protocol, sizes and flags of the x86 header; the payload counts from the protected-mode code."""
    told = facts(report_of(fixture("aki/bzimage.img")))
    assert told.x86 is not None
    assert (told.x86.protocol, told.x86.setup_sects, told.x86.setup_size) == ("2.15", 2, 1536)
    assert (told.x86.relocatable, told.x86.handover) == (True, 0x190)
    assert told.x86.xloadflags == ("kernel-64", "can-be-loaded-above-4g", "efi-handover-64")
    assert told.efi_stub == "x86-64"
    assert told.payload is not None
    assert (told.payload.offset, told.payload.compression) == (1600, "gzip")


def test_a_packed_kernel_is_a_kernel() -> None:
    """arm64's Image.gz is aki in aki."""
    report = report_of(fixture("aki/arm64-image.gzip"))
    assert (report.format, report.container_format, report.virtual_size) == ("aki", "aki", None)


@pytest.mark.parametrize("path", ["/bin/ls", "/bin/sh"])
def test_programs_are_not_kernels(path: str) -> None:
    """An ELF program of the user is raw, static or not."""
    assert imgtool.inspect(path, ()).format == "raw"
    assert report_of(fixture("aki/program.elf")).format == "raw"


def test_other_uimages_are_raw() -> None:
    """A uImage that holds a script is neither kernel nor ramdisk."""
    data = bytearray(fixture("aki/kernel.uimage"))
    data[30] = 6
    assert report_of(bytes(data)).format == "raw"


@pytest.mark.parametrize(
    "name", ["bzimage.img", "arm64-image.img", "vmlinux-x86-64.elf", "zboot.efi", "kernel.uimage"]
)
def test_truncated(name: str) -> None:
    """Cut at any place behind its mark: never without a finding, but for forms that do not say their size."""
    data = fixture(f"aki/{name}")
    for cut in range(0x210, len(data) - 16, 97):
        report = report_of(data[:cut])
        no_bug(report)
        assert report.format == "aki"
        assert name == "arm64-image.img" or codes(report) & {"AMI051", "IMG002", "IMG004"}


def test_elf_with_many_headers_is_bounded() -> None:
    """A count of program headers over the cap is no kernel."""
    data = bytearray(fixture("aki/vmlinux-x86-64.elf"))
    data[56:58] = struct.pack("<H", 0xFFFF)
    assert report_of(bytes(data)).format == "raw"
