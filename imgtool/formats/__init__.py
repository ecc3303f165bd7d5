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

FORMATS: tuple[Entry, ...] = (QCOW2, RAW)
