"""The registry of disk formats: plain data, nothing of what it names is imported.

Adding a format: its folder, one entry here, its codes in the ledger, fixtures.
"""

from __future__ import annotations

from imgtool.detect.registry import Entry, Signature

RAW = Entry(
    name="raw",
    title="raw bytes",
    family="IMG",
    kind="format",
    signatures=(),
    reader="imgtool.formats.raw.reader:read",
    writer="imgtool.formats.raw.writer:open_writer",
    writer_options="imgtool.formats.raw.writer:OPTIONS",
    rank=99,
    qemu="raw",
    glance="raw",
    aliases=("img", "dd"),
)

QCOW2 = Entry(
    name="qcow2",
    title="QEMU copy-on-write, versions 2 and 3",
    family="QCW",
    kind="format",
    signatures=(
        Signature(b"QFI\xfb\0\0\0\x02"),
        Signature(b"QFI\xfb\0\0\0\x03"),
        Signature(b"QFI\xfb", probe="imgtool.formats.qcow2.probe:not_version_1"),
    ),
    reader="imgtool.formats.qcow2.reader:read",
    disk="imgtool.formats.qcow2.disk:open_disk",
    checks="imgtool.formats.qcow2.checks:RULES",
    tables="imgtool.formats.qcow2.walk.plain:walk",
    table_checks="imgtool.formats.qcow2.checks.tables:RULES",
    writer="imgtool.formats.qcow2.writer:open_writer",
    writer_options="imgtool.formats.qcow2.writer:OPTIONS",
    rank=10,
    qemu="qcow2",
    glance="qcow2",
)

VHDX = Entry(
    name="vhdx",
    title="Hyper-V virtual hard disk, version 2",
    family="VHX",
    kind="format",
    signatures=(
        Signature(b"vhdxfile"),
        Signature(b"head", 64 * 1024, "imgtool.formats.vhdx.probe:is_header"),
    ),
    reader="imgtool.formats.vhdx.reader:read",
    disk="imgtool.formats.vhdx.disk:open_disk",
    checks="imgtool.formats.vhdx.checks:RULES",
    tables="imgtool.formats.vhdx.tables_walk:walk",
    table_checks="imgtool.formats.vhdx.checks.tables:RULES",
    rank=14,
    qemu="vhdx",
    glance="vhdx",
)

VHD = Entry(
    name="vhd",
    title="Virtual PC and Hyper-V virtual hard disk",
    family="VHD",
    kind="format",
    signatures=(Signature(b"conectix"), Signature(b"conectix", -512), Signature(b"conectix", -511)),
    reader="imgtool.formats.vhd.reader:read",
    disk="imgtool.formats.vhd.disk:open_disk",
    writer="imgtool.formats.vhd.writer:open_writer",
    writer_options="imgtool.formats.vhd.writer:OPTIONS",
    checks="imgtool.formats.vhd.checks:RULES",
    tables="imgtool.formats.vhd.tables_walk:walk",
    table_checks="imgtool.formats.vhd.checks.tables:RULES",
    rank=20,
    qemu="vpc",
    glance="vhd",
    aliases=("vpc",),
)

ISO = Entry(
    name="iso",
    title="ISO 9660 and UDF optical disc image",
    family="ISO",
    kind="format",
    signatures=(
        Signature(b"CD001", 0x8001),
        Signature(b"CD001", 0x8801),
        Signature(b"BEA01", 0x8001),
        Signature(b"NSR02", 0x8801),
        Signature(b"NSR03", 0x8801),
        Signature(b"NSR02", 0x9001),
        Signature(b"NSR03", 0x9001),
    ),
    reader="imgtool.formats.iso.reader:read",
    checks="imgtool.formats.iso.checks:RULES",
    tables="imgtool.formats.iso.tables:walk",
    table_checks="imgtool.formats.iso.checks.tables:RULES",
    rank=45,
    qemu="raw",
    glance="iso",
)

VMDK = Entry(
    name="vmdk",
    title="VMware virtual disk",
    family="VMD",
    kind="format",
    signatures=(
        Signature(b"KDMV"),
        Signature(b"COWD"),
        Signature(b"\xbe\xba\xfe\xca\0\0\0\0"),
        Signature(b"", probe="imgtool.formats.vmdk.probe:is_descriptor", gate="text"),
    ),
    reader="imgtool.formats.vmdk.reader:read",
    checks="imgtool.formats.vmdk.checks:RULES",
    tables="imgtool.formats.vmdk.walk.tables:walk",
    table_checks="imgtool.formats.vmdk.checks.tables:RULES",
    disk="imgtool.formats.vmdk.disk:open_disk",
    writer="imgtool.formats.vmdk.writer:open_writer",
    writer_options="imgtool.formats.vmdk.writer:OPTIONS",
    rank=13,
    qemu="vmdk",
    glance="vmdk",
)

QED = Entry(
    name="qed",
    title="QEMU enhanced disk",
    family="QCW",
    kind="format",
    signatures=(Signature(b"QED\0"),),
    reader="imgtool.formats.qed.reader:read",
    disk="imgtool.formats.qed.disk:open_disk",
    checks="imgtool.formats.qed.checks:RULES",
    tables="imgtool.formats.qed.tables:walk",
    table_checks="imgtool.formats.qed.table_checks:RULES",
    rank=11,
    qemu="qed",
)

QCOW = Entry(
    name="qcow",
    title="QEMU copy-on-write, version 1",
    family="QCW",
    kind="format",
    signatures=(Signature(b"QFI\xfb\0\0\0\x01"),),
    reader="imgtool.formats.qcow.reader:read",
    disk="imgtool.formats.qcow.disk:open_disk",
    checks="imgtool.formats.qcow.checks:RULES",
    tables="imgtool.formats.qcow.tables:walk",
    table_checks="imgtool.formats.qcow.table_checks:RULES",
    rank=12,
    qemu="qcow",
    aliases=("qcow1",),
)

VDI = Entry(
    name="vdi",
    title="VirtualBox disk image",
    family="VDI",
    kind="format",
    signatures=(
        Signature(b"\x7f\x10\xda\xbe", 0x40),
        Signature(b"<<< ", 0, "imgtool.formats.vdi.probe:announced"),
    ),
    reader="imgtool.formats.vdi.reader:read",
    disk="imgtool.formats.vdi.disk:open_disk",
    writer="imgtool.formats.vdi.writer:open_writer",
    writer_options="imgtool.formats.vdi.writer:OPTIONS",
    checks="imgtool.formats.vdi.checks:RULES",
    tables="imgtool.formats.vdi.tables:walk",
    table_checks="imgtool.formats.vdi.checks.tables:RULES",
    rank=15,
    qemu="vdi",
    glance="vdi",
)

LUKS = Entry(
    name="luks",
    title="LUKS encrypted volume, versions 1 and 2",
    family="LUK",
    kind="format",
    signatures=(
        Signature(b"LUKS\xba\xbe"),
        Signature(b"SKUL\xba\xbe", 0x4000),
        Signature(b"SKUL\xba\xbe", 0x8000),
        Signature(b"SKUL\xba\xbe", 0x10000),
    ),
    reader="imgtool.formats.luks.reader:read",
    checks="imgtool.formats.luks.checks:RULES",
    rank=16,
    qemu="luks",
)

PARALLELS = Entry(
    name="parallels",
    title="Parallels expandable image (ploop)",
    family="PAR",
    kind="format",
    signatures=(Signature(b"WithoutFreeSpace"), Signature(b"WithouFreSpacExt")),
    reader="imgtool.formats.parallels.reader:read",
    disk="imgtool.formats.parallels.disk:open_disk",
    checks="imgtool.formats.parallels.checks:RULES",
    tables="imgtool.formats.parallels.tables:walk",
    table_checks="imgtool.formats.parallels.checks.tables:RULES",
    rank=17,
    qemu="parallels",
    glance="ploop",
    aliases=("ploop",),
)

BOCHS = Entry(
    name="bochs",
    title="Bochs growing disk and redolog",
    family="OTH",
    kind="format",
    signatures=(Signature(b"Bochs Virtual HD Image"),),
    reader="imgtool.formats.bochs.reader:read",
    checks="imgtool.formats.bochs.checks:RULES",
    tables="imgtool.formats.bochs.tables:walk",
    table_checks="imgtool.formats.bochs.table_checks:RULES",
    rank=18,
    qemu="bochs",
)

CLOOP = Entry(
    name="cloop",
    title="compressed loop image",
    family="OTH",
    kind="format",
    signatures=(Signature(b"#!/bin/sh\n#V"),),
    reader="imgtool.formats.cloop.reader:read",
    checks="imgtool.formats.cloop.checks:RULES",
    tables="imgtool.formats.cloop.tables:walk",
    table_checks="imgtool.formats.cloop.table_checks:RULES",
    rank=19,
    qemu="cloop",
)

DMG = Entry(
    name="dmg",
    title="Apple disk image (UDIF)",
    family="OTH",
    kind="format",
    signatures=(Signature(b"koly", -512), Signature(b"encrcdsa"), Signature(b"cdsaencr", -8)),
    reader="imgtool.formats.dmg.reader:read",
    checks="imgtool.formats.dmg.checks:RULES",
    tables="imgtool.formats.dmg.tables:walk",
    table_checks="imgtool.formats.dmg.table_checks:RULES",
    rank=21,
    qemu="dmg",
)

ASIF = Entry(
    name="asif",
    title="Apple sparse image",
    family="OTH",
    kind="format",
    signatures=(Signature(b"shdw\0\0\0"),),
    reader="imgtool.formats.asif.reader:read",
    checks="imgtool.formats.asif.checks:RULES",
    rank=22,
    qemu=None,
)

FORMATS: tuple[Entry, ...] = (
    QED,
    QCOW,
    VDI,
    LUKS,
    PARALLELS,
    QCOW2,
    VMDK,
    VHDX,
    VHD,
    BOCHS,
    CLOOP,
    DMG,
    ASIF,
    ISO,
    RAW,
)
