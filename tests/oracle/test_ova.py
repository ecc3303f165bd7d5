"""OVAs of every disk format that qemu-img writes, packed by GNU tar in its formats: sound, and sized right."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fixtures.recipes.ova import descriptor
from tests.kit import need, no_bug, qemu_create, qemu_info, report_of

pytestmark = pytest.mark.oracle

DISKS = [
    ("vmdk", "vmdk", ("subformat=streamOptimized",), "http://www.vmware.com/interfaces/specifications/vmdk.html"),
    ("vmdk", "vmdk", ("subformat=monolithicSparse",), "http://www.vmware.com/specifications/vmdk.html#sparse"),
    ("qcow2", "qcow2", ("cluster_size=512",), "http://www.gnome.org/~markmc/qcow-image-format.html"),
    ("vpc", "vhd", ("subformat=dynamic", "force_size=on"), "http://www.microsoft.com/Windows/VirtualServer/"),
    ("vpc", "vhd", ("subformat=fixed", "force_size=on"), "http://technet.microsoft.com/en-us/library/bb676673.aspx"),
    ("vdi", "vdi", (), "http://example.org/#vdi"),
    ("vhdx", "vhdx", (), "http://example.org/#vhdx"),
    ("raw", "raw", (), "http://example.org/#raw"),
]


@pytest.mark.parametrize("form", ["gnu", "ustar", "posix"])
@pytest.mark.parametrize(("qemu", "name", "options", "uri"), DISKS, ids=lambda value: str(value)[:24])
def test_disk_in_ova(form: str, qemu: str, name: str, options: tuple[str, ...], uri: str, tmp_path: Path) -> None:
    """The OVA's format and size are the disk's; the nested report agrees with qemu-img info."""
    disk = qemu_create(tmp_path / "disk.img", qemu, 3 << 20, *options)
    file = f'<File ovf:href="disk.img" ovf:id="f" ovf:size="{disk.stat().st_size}"/>'
    row = '<Disk ovf:capacity="3" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="vmdisk1" ovf:fileRef="f" '
    (tmp_path / "x.ovf").write_text(descriptor(file, f'{row} ovf:format="{uri}"/>'))
    made = tmp_path / "x.ova"
    command = [need("tar"), f"--format={form}", "-cf", str(made), "-C", str(tmp_path), "x.ovf", "disk.img"]
    subprocess.run(command, check=True)
    report = report_of(made.read_bytes())
    no_bug(report)
    assert (report.format, report.container_format, report.virtual_size) == (name, "ova", 3 << 20)
    inner = report.members[1]
    assert (inner.format, inner.virtual_size) == (name, qemu_info(disk, qemu)["virtual-size"])
    assert not [one for one in (*report.findings, *inner.findings) if one.severity == "error"]
