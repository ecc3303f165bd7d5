"""Names that lead anywhere, and images of every format that has a place for a name, built from the specifications."""

from __future__ import annotations

import struct
from collections.abc import Callable

from fixtures.recipes import ova, vhd, vhdx

#: Names that a reference may be disguised as. NUL cuts what a C program reads.
NAMES = (
    "/etc/passwd",
    "//server/share/disk",
    "\\\\server\\share\\disk",
    "\\\\.\\PhysicalDrive0",
    "\\\\?\\C:\\disk",
    "C:\\disk",
    "C:disk",
    "..",
    "../disk",
    "folder/../../disk",
    "folder\\..\\..\\disk",
    "~/disk",
    "~root/disk",
    "json:{}",
    'json:{"driver":"file","filename":"/etc/passwd"}',
    "JSON:{}",
    " json:{}",
    "nbd:localhost:10809",
    "nbd+unix:///disk?socket=/run/x",
    "file:disk",
    "file:///etc/passwd",
    "https://example.org/disk",
    "host_device:disk",
    "fd:3",
    "a\nb",
    "a\x1b[2Jb",
    "a\x7fb",
    "a\x9bb",
    "a\u202eb",
    "a\u200bb",
    "NUL",
    "con.img",
    "folder/lpt1",
)

#: Names that lead beside the image: references still.
PLAIN = ("disk", "disk.img", "folder/disk", "a name with spaces", "größe", "..disk", "a..b", "x" * 200)


def qcow2_backing(name: bytes) -> bytes:
    """Version 2, the name behind the header."""
    head = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 512, len(name), 16, MIB, 0, 0, 0, 65536, 1, 0, 0)
    return (head + bytes(8)).ljust(512, b"\0") + name.ljust(131072 - 512, b"\0")


def qcow2_data_file(name: bytes) -> bytes:
    """Version 3 with incompatible bit 2 and the header extension that names the file."""
    head = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 3, 0, 0, 16, MIB, 0, 0, 0, 65536, 1, 0, 0)
    head += struct.pack(">QQQII", 4, 0, 0, 4, 104)
    data = head + struct.pack(">II", 0x44415441, len(name)) + name.ljust(-(-len(name) // 8) * 8, b"\0") + bytes(8)
    return data.ljust(131072, b"\0")


def qcow(name: bytes) -> bytes:
    """Version 1."""
    head = struct.pack(">4sIQIIQBBHIQ", b"QFI\xfb", 1, 512, len(name), 0, MIB, 12, 9, 0, 0, 48)
    return head.ljust(512, b"\0") + name.ljust(4096, b"\0")


def qed(name: bytes) -> bytes:
    """With feature bit 0."""
    head = struct.pack("<4sIIIQQQQQII", b"QED\0", 65536, 1, 1, 1, 0, 0, 65536, MIB, 64, len(name))
    return (head + name).ljust(131072, b"\0")


def vmdk(hint: bytes = b"", extent: bytes = b"disk-flat.vmdk", more: bytes = b"", head: bytes = b"") -> bytes:
    """A descriptor file."""
    parent = b'parentFileNameHint="%s"\n' % hint if hint else b""
    cid = b"12345678" if hint else b"ffffffff"
    return (
        head
        + b"# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=%s\n" % cid
        + b'createType="monolithicFlat"\n'
        + parent
        + more
        + b'RW 2048 FLAT "%s" 0\nddb.adapterType = "ide"\n' % extent
    )


def vhd_parent(name: bytes) -> bytes:
    """A differencing disk that names its parent in its header."""
    disk = vhd.Disk(4, MIB, b"win ", (30, 4, 17))
    foot = vhd.footer(disk)
    head = vhd.header(1, 1536, parent=name.decode("utf-8", "replace"))
    return foot + head + b"\xff" * 512 + foot


def vhdx_parent(name: bytes) -> bytes:
    """A differencing disk with a parent locator."""
    text = name.decode("utf-8", "replace")
    pairs = [("parent_linkage", "{83ed0ec3-24c8-49a6-a959-5e4bd1288015}"), ("relative_path", text)]
    items = vhdx.items(4 * MIB, flags=2)
    return vhdx.disk([*items, vhdx.Item(LOCATOR, vhdx.locator(pairs))])


def ova_href(name: bytes) -> bytes:
    """An OVA whose descriptor names a file that is none of its members."""
    from xml.sax.saxutils import quoteattr

    href = quoteattr(name.decode("utf-8", "replace"))
    text = ova.descriptor(f'<File ovf:href={href} ovf:id="f"/>', "")
    return ova.tar(ova.member("x.ovf", text.encode()))


MIB = 1 << 20
LOCATOR = "a8d35f2d-b30b-454d-abf7-d3d84834ab0c"

#: Places for a name.
PLACES: dict[str, Callable[[bytes], bytes]] = {
    "qcow2 backing file": qcow2_backing,
    "qcow2 data file": qcow2_data_file,
    "qcow backing file": qcow,
    "qed backing file": qed,
    "vmdk parent": lambda name: vmdk(hint=name),
    "vmdk extent": lambda name: vmdk(extent=name),
    "vmdk change tracking": lambda name: vmdk(more=b'changeTrackPath="%s"\n' % name),
    "vmdk after comments": lambda name: vmdk(extent=name, head=b"# a note\n\n   \n#\n"),
    "vhd parent": vhd_parent,
    "vhdx parent": vhdx_parent,
}

#: Where a name stands between quotes on a line of its own: it cannot hold these.
LINES = frozenset({"vmdk parent", "vmdk extent", "vmdk change tracking", "vmdk after comments"})
