"""What the rules of a conversion say: over fixtures, each message as it is printed; and that none of them fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from imgtool.conversion.judge import before
from imgtool.conversion.native import options_of
from imgtool.conversion.plan import inner_report
from imgtool.conversion.planned import Planned
from imgtool.disks.recognise import entry_named
from imgtool.limits import DEFAULT
from imgtool.targets.options import Value, checked
from imgtool.units import MIB
from tests.kit import fixture, images, report_of


def plan_of(name: str, to: str, options: Mapping[str, Value] | None = None, member: str | None = None) -> Planned:
    """The plan for a fixture, with a target's options besides its defaults."""
    report = report_of(fixture(name))
    inner = inner_report(report, member)
    chosen: dict[str, Value] = dict(checked(options_of(entry_named(to)), {}, to)) if to != "ami" else {}
    size = inner.virtual_size or 0
    return Planned(inner, report, to, "native", chosen | dict(options or {}), size, size, member=member)


def told(plan: Planned, code: str) -> list[str]:
    """What the rule of a code says of a plan."""
    return [finding.message for finding in before(plan, DEFAULT) if finding.code == code]


def changed(plan: Planned, **facts: Any) -> Planned:
    """The plan for a source with other facts."""
    details: Any = plan.report.details
    return plan._replace(report=replace(plan.report, details=replace(details, **facts)))


#: A rule, a fixture and a target with options, and what is said of it: nothing where it is None.
MESSAGES: list[tuple[str, str, str, dict[str, Value], str | None]] = [
    ("CNV001", "qcow2/snapshots.qcow2", "qcow2", {}, "2 internal snapshots stay behind: first, zweiter Stand ✓"),
    ("CNV001", "qcow2/plain.qcow2", "qcow2", {}, None),
    ("CNV001", "qcow2/hostile-counts-huge.qcow2", "raw", {}, "4294967295 internal snapshots stay behind"),
    ("CNV002", "qcow2/bitmaps.qcow2.gz", "raw", {}, "1 persistent bitmap stays behind: bitmap0"),
    ("CNV002", "parallels/plain.hds.gz", "raw", {}, None),
    (
        "CNV002",
        "parallels/extension.hds",
        "raw",
        {},
        "1 persistent bitmap stays behind: 00010203-0405-0607-0809-0a0b0c0d0e0f",
    ),
    ("CNV003", "vhd/dynamic.vhd", "raw", {}, None),
    (
        "CNV003",
        "vhd/chain-child.vhd.gz",
        "raw",
        {},
        "the target holds what lies in parent D:\\Disks\\chain-base.vhd, parent .\\chain-base.vhd",
    ),
    (
        "CNV003",
        "vmdk/split-flat-descriptor.vmdk",
        "raw",
        {},
        "the target holds what lies in extent image-f001.vmdk, extent image-f002.vmdk",
    ),
    (
        "CNV005",
        "vmdk/monolithic-sparse.vmdk.gz",
        "raw",
        {},
        "2 entries of the disk database stay behind: ddb.virtualHWVersion = 10, ddb.adapterType = lsilogic",
    ),
    (
        "CNV005",
        "vmdk/monolithic-sparse.vmdk.gz",
        "vmdk",
        {"hwversion": 10},
        "the adapter lsilogic becomes ide (--option adapter_type=lsilogic keeps it)",
    ),
    ("CNV005", "vmdk/monolithic-sparse.vmdk.gz", "vmdk", {"adapter_type": "lsilogic", "hwversion": 10}, None),
    ("CNV005", "vmdk/backing.vmdk.gz", "vmdk", {"hwversion": 0}, None),
    ("CNV006", "vhd/dynamic.vhd", "qcow2", {}, "the geometry stays behind: 31 × 4 × 17 (cylinders, heads, sectors)"),
    ("CNV006", "vhd/dynamic.vhd", "vhd", {}, None),
    (
        "CNV006",
        "vhd/virtual-pc-geometry.vhd",
        "vmdk",
        {},
        "the geometry stays behind: 30 × 4 × 17 (cylinders, heads, sectors)",
    ),
    ("CNV006", "vhd/dynamic-exact.vhd", "raw", {}, None),
    (
        "CNV006",
        "vmdk/cowd-root.vmdk.gz",
        "vmdk",
        {},
        "the geometry stays behind: 16 × 32 × 32 (cylinders, heads, sectors)",
    ),
    ("CNV006", "vmdk/backing.vmdk.gz", "vmdk", {}, None),
    (
        "CNV006",
        "vdi/virtualbox.vdi.gz",
        "vdi",
        {},
        "the geometry stays behind: 20 × 4 × 17 (cylinders, heads, sectors)",
    ),
    (
        "CNV006",
        "parallels/plain.hds.gz",
        "raw",
        {},
        None,
    ),
    ("CNV006", "vmdk/monolithic-sparse.vmdk.gz", "raw", {}, None),
    (
        "CNV007",
        "iso/hostile-data-behind.iso.gz",
        "qcow2",
        {},
        "3227653 bytes become 3228160: 507 bytes of zeros more",
    ),
    ("CNV007", "iso/hostile-data-behind.iso.gz", "raw", {}, None),
    (
        "CNV007",
        "vhd/fixed-exact.vhd",
        "vhd",
        {"align": MIB},
        "1024 bytes become 1048576: 1047552 bytes of zeros more",
    ),
    (
        "CNV007",
        "qcow2/plain.qcow2",
        "vhd",
        {"force_size": False},
        "1048576 bytes become as many as the next geometry holds",
    ),
    ("CNV008", "qcow2/plain.qcow2", "vhd", {}, None),
    ("CNV008", "vmdk/monolithic-sparse.vmdk.gz", "qcow2", {}, "not carried over: CID 4c759e7e"),
    (
        "CNV008",
        "vhd/virtualbox.vhd",
        "raw",
        {},
        "not carried over: unique id 01020304-0506-0708-090a-0b0c0d0e0f10, made 2007-01-01T00:00:00Z, by vbox",
    ),
    (
        "CNV008",
        "vdi/virtualbox.vdi.gz",
        "raw",
        {},
        "not carried over: image uuid 03020100-0504-0706-0809-0a0b0c0d0e0f, by Oracle VM VirtualBox Disk Image",
    ),
    (
        "CNV008",
        "vhdx/windows.vhdx.gz",
        "raw",
        {},
        "not carried over: virtual disk id 33333333-0000-4000-8000-000000000003, by imgtool fixture",
    ),
    ("CNV009", "vhdx/sectors-4096.vhdx.gz", "qcow2", {}, "logical sectors of 4096 bytes become 512"),
    ("CNV009", "vhdx/sectors-4096.vhdx.gz", "raw", {}, "logical sectors of 4096 bytes are not in a raw image"),
    ("CNV009", "vhdx/windows.vhdx.gz", "qcow2", {}, None),
    (
        "CNV010",
        "ova/several.ova.gz",
        "qcow2",
        {},
        "the ova stays behind with the description of the machine small appliance, 1 network, several.mf, "
        "1 other disk (data.qcow2)",
    ),
    ("CNV010", "compressed/named.gzip", "qcow2", {}, None),
    ("CNV011", "vhd/fixed-exact.vhd", "raw", {}, "the space of 1 KiB is not reserved any more"),
    ("CNV011", "vhd/fixed-exact.vhd", "raw", {"preallocation": "falloc"}, None),
    (
        "CNV011",
        "vhd/fixed-exact.vhd",
        "qcow2",
        {"preallocation": "metadata"},
        "the space of 1 KiB is not reserved any more",
    ),
    ("CNV011", "vhdx/fixed.vhdx.gz", "vdi", {"subformat": "static"}, None),
    ("CNV011", "vhdx/fixed.vhdx.gz", "vdi", {}, "the space of 512 B is not reserved any more"),
    ("CNV011", "vdi/static.vdi.gz", "vdi", {"static": True}, None),
    ("CNV011", "vmdk/flat-descriptor.vmdk", "vmdk", {}, "the space of 1 MiB is not reserved any more"),
    ("CNV011", "vmdk/vmfs-descriptor.vmdk", "vmdk", {}, None),
    ("CNV014", "qcow2/subclusters.qcow2.gz", "qcow2", {}, "extended L2 entries (subclusters) become plain ones"),
    ("CNV014", "qcow2/subclusters.qcow2.gz", "qcow2", {"extended_l2": True}, None),
    ("CNV014", "qcow2/subclusters.qcow2.gz", "vhd", {}, None),
    ("CNV015", "vmdk/vmfs-descriptor.vmdk", "raw", {}, "not carried over: change-tracking B\udcfcro-ctk.vmdk"),
    ("CNV015", "vmdk/flat-descriptor.vmdk", "raw", {}, None),
    ("CNV017", "vdi/virtualbox.vdi.gz", "vdi", {}, "not carried over: the comment 'Böden & Keller'"),
    ("CNV017", "vdi/dynamic.vdi", "vdi", {}, None),
    (
        "CNV017",
        "vmdk/cowd-root.vmdk.gz",
        "raw",
        {},
        "not carried over: the name 'first', the description 'a redo log'",
    ),
    ("CNV017", "parallels/extension.hds", "raw", {}, "not carried over: the extension unknown-0x0000000000001234"),
    ("CNV018", "qcow2/version2.qcow2", "qcow2", {"cluster_size": 512}, "compat 0.10 becomes 1.1"),
    ("CNV018", "qcow2/version2.qcow2", "qcow2", {"cluster_size": 512, "compat": "v2"}, None),
    ("CNV018", "qcow2/version2.qcow2", "vdi", {}, None),
    (
        "CNV018",
        "qcow2/lazy-refcounts.qcow2",
        "qcow2",
        {},
        "cluster_size 512 becomes 65536; refcount_bits 64 becomes 16; lazy_refcounts on becomes off",
    ),
    ("CNV018", "vmdk/stream-footer.vmdk.gz", "vmdk", {}, "grain_size 8192 becomes 65536"),
    ("CNV018", "vhd/dynamic.vhd", "vhd", {"block_size": MIB // 2}, "block_size 2097152 becomes 524288"),
    ("CNV018", "vhd/dynamic.vhd", "vhd", {}, None),
    ("CNV018", "vhdx/windows.vhdx.gz", "vhdx", {"block_size": MIB}, "block_size 2097152 becomes 1048576"),
    ("CNV018", "vhdx/windows.vhdx.gz", "vhdx", {"block_size": 0}, None),
    ("CNV018", "vdi/dynamic.vdi", "vdi", {"block_size": 2 * MIB}, "block_size 1048576 becomes 2097152"),
    ("CNV018", "parallels/plain.hds.gz", "parallels", {}, "cluster_size 4096 becomes 1048576"),
    ("CNV019", "qcow2/plain.qcow2", "raw", {}, None),
    ("CNV019", "ova/small.ova.gz", "raw", {}, None),
    (
        "CNV019",
        "compressed/comment.zip",
        "raw",
        {},
        "the zip around the disk is taken off, and with it the name disk.qcow2, the comment 'a comment', "
        "the crc32 of the content",
    ),
    ("CNV019", "compressed/plain.lzma", "raw", {}, "the lzma around the disk is taken off"),
    ("CNV501", "iso/plain.iso.gz", "qcow2", {}, "the disc image (iso9660) becomes a hard disk"),
    (
        "CNV501",
        "iso/el-torito.iso.gz",
        "vmdk",
        {},
        "the disc image (iso9660), which boots by El Torito, becomes a hard disk",
    ),
    ("CNV501", "iso/plain.iso.gz", "raw", {}, None),
    ("CNV501", "iso/isohybrid.iso.gz", "qcow2", {}, None),
    ("CNV501", "iso/udf-2048.udf.gz", "qcow2", {}, "the disc image (udf) becomes a hard disk"),
    ("CNV501", "iso/udf-4096.udf.gz", "qcow2", {}, None),
]


@pytest.mark.parametrize(("code", "name", "to", "options", "message"), MESSAGES)
def test_what_is_said(code: str, name: str, to: str, options: dict[str, Value], message: str | None) -> None:
    """Each message names what is lost, how many, and by which value."""
    assert told(plan_of(name, to, options), code) == ([] if message is None else [message])


@pytest.mark.parametrize("name", images())
def test_no_rule_fails(name: str) -> None:
    """Over every fixture, hostile ones too, into every target: no rule ends with an error of its own."""
    for to in ("raw", "ami", "qcow2", "qcow", "qed", "vhd", "vhdx", "vdi", "vmdk", "parallels", "luks"):
        assert all(one.code.startswith("CNV") for one in before(plan_of(name, to), DEFAULT))


def test_a_member_is_the_disk() -> None:
    """The other disk of an appliance; what the first one has does not count."""
    plan = plan_of("ova/several.ova.gz", "raw", member="data.qcow2")
    assert plan.report.format == "qcow2"
    assert told(plan, "CNV005") == []
    assert told(plan, "CNV010")[0].endswith("1 other disk (disk1.vmdk)")


def test_a_disk_in_two_wrappers() -> None:
    """Each of them is told."""
    assert len(told(plan_of("compressed/nested.gzip", "raw"), "CNV019")) == 2


def test_a_saved_machine() -> None:
    """A vhd of a machine that was saved in mid-run, and of one that was not."""
    plan = plan_of("vhd/dynamic.vhd", "raw")
    assert told(plan, "CNV016") == []
    assert told(changed(plan, saved_state=True), "CNV016") == [
        "the machine is in a saved state, whose memory stays behind"
    ]
