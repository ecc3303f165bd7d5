"""The descriptor inside an image that is written: its text, the content ID, the geometry.

The file is named in its descriptor, as VMware's programs want it, where the name can stand there. There is no
`ddb.uuid`: it would be made from the content, and two equal disks of one machine must not have the same.

References: VMware "Virtual Disk Format 5.0", section "The Descriptor File". The geometry of SCSI disks is the
translation of BusLogic's and LSI Logic's firmware, that of IDE disks the one of ATA, not capped, as VMware and
qemu-img write it.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from imgtool.formats.vmdk import layout as lay
from imgtool.targets.writer import Stamp
from imgtool.units import GIB, SECTOR

DESCRIPTOR_AT = 1  #: sector
DESCRIPTOR_SECTORS = 20

_ANY_NAME = "disk.vmdk"
_NAME = re.compile(r'[^\x00-\x1f\x7f"=/]+')
_KEYS = re.compile(r"createType|parentCID|parentFileNameHint", re.IGNORECASE)

_NO_ID = (0, int(lay.NO_PARENT, 16))


class Chosen(NamedTuple):
    """What the options say of the descriptor. `tools_version` is not written where it is empty."""

    adapter_type: str
    hardware_version: int
    tools_version: str


class Chs(NamedTuple):
    """Cylinders, heads, sectors of a track."""

    cylinders: int
    heads: int
    sectors: int


def descriptor(create_type: str, access: str, path: str, sectors: int, chosen: Chosen, stamp: Stamp) -> bytes:
    """The embedded descriptor of a disk of one sparse extent, as long as the room it is given."""
    geometry = chs(sectors, chosen.adapter_type)
    lines = [
        "# Disk DescriptorFile",
        "version=1",
        'encoding="UTF-8"',
        f"CID={content_id(stamp):08x}",
        f"parentCID={lay.NO_PARENT}",
        f'createType="{create_type}"',
        "",
        "# Extent description",
        f'{access} {sectors} SPARSE "{extent_name(path)}"',
        "",
        "# The Disk Data Base",
        "#DDB",
        "",
        f'ddb.adapterType = "{chosen.adapter_type}"',
        f'ddb.geometry.cylinders = "{geometry.cylinders}"',
        f'ddb.geometry.heads = "{geometry.heads}"',
        f'ddb.geometry.sectors = "{geometry.sectors}"',
        f'ddb.virtualHWVersion = "{chosen.hardware_version}"',
    ]
    if chosen.tools_version:
        lines.append(f'ddb.toolsVersion = "{chosen.tools_version}"')
    text = "".join(f"{line}\n" for line in lines).encode()
    assert len(text) < DESCRIPTOR_SECTORS * SECTOR
    return text.ljust(DESCRIPTOR_SECTORS * SECTOR, b"\0")


def content_id(stamp: Stamp) -> int:
    """The content ID: the first four bytes of the content's digest, big-endian; the next four, and so on, where they
    are 0 or the ID that means "no parent"."""
    words = (int.from_bytes(stamp.content[at : at + 4], "big") for at in range(0, len(stamp.content), 4))
    return next((word for word in words if word not in _NO_ID), 1)


def extent_name(path: str) -> str:
    """The file's own name as the extent's; one that would say something else in a descriptor is not written."""
    name = os.path.basename(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        return _ANY_NAME
    return name if _NAME.fullmatch(name) and not _KEYS.search(name) else _ANY_NAME


def chs(sectors: int, adapter_type: str) -> Chs:
    """The geometry of a disk of so many sectors on such an adapter; it has at least one cylinder."""
    size = sectors * SECTOR
    if adapter_type == "ide":
        return Chs(max(1, sectors // (16 * 63)), 16, 63)
    heads, track = (64, 32) if size < GIB else (128, 32) if size < 2 * GIB else (255, 63)
    return Chs(max(1, sectors // (heads * track)), heads, track)
