"""OVAs of disks that take no bytes and are as large as a disk can be, or nearly."""

from __future__ import annotations

from fixtures.recipes.ova import STREAM_OPTIMIZED, descriptor, packed

#: Bytes of one: two of them are more than 63 bits tell.
OVERSIZED = ((1 << 54) - 8192) * 512

_VMDK = f"""# Disk DescriptorFile
version=1
CID=12345678
parentCID=ffffffff
createType="monolithicFlat"
RW {OVERSIZED // 512} ZERO
ddb.adapterType = "lsilogic"
ddb.virtualHWVersion = "4"
ddb.geometry.cylinders = "16383"
ddb.geometry.heads = "16"
ddb.geometry.sectors = "63"
""".encode()


def oversized(count: int = 2, *, unknown: bool = False) -> bytes:
    """An OVA of `count` of them. `unknown`: the descriptor does not tell their sizes."""
    capacity = "${disk.size.1}" if unknown else str(OVERSIZED)
    files = "".join(
        f'<File ovf:href="{number}.vmdk" ovf:id="file{number}" ovf:size="{len(_VMDK)}"/>'
        for number in range(1, count + 1)
    )
    disks = "".join(
        f'<Disk ovf:capacity="{capacity}" ovf:diskId="vmdisk{number}" ovf:fileRef="file{number}" '
        f'ovf:format="{STREAM_OPTIMIZED}"/>'
        for number in range(1, count + 1)
    )
    members = [(f"{number}.vmdk", _VMDK) for number in range(1, count + 1)]
    return packed([("x.ovf", descriptor(files, disks).encode()), *members])
