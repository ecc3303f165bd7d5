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
    signatures=(Signature(b"QFI\xfb\0\0\0\x02"), Signature(b"QFI\xfb\0\0\0\x03"), Signature(b"QFI\xfb")),
    reader="imgtool.formats.qcow2.reader:read",
    checks="imgtool.formats.qcow2.checks:RULES",
    rank=10,
    qemu="qcow2",
    glance="qcow2",
)

VHD = Entry(
    name="vhd",
    title="Virtual PC and Hyper-V virtual hard disk",
    family="VHD",
    kind="format",
    signatures=(Signature(b"conectix"), Signature(b"conectix", -512), Signature(b"conectix", -511)),
    reader="imgtool.formats.vhd.reader:read",
    checks="imgtool.formats.vhd.checks:RULES",
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
    rank=13,
    qemu="vmdk",
    glance="vmdk",
)

FORMATS: tuple[Entry, ...] = (QCOW2, VMDK, VHD, ISO, RAW)
