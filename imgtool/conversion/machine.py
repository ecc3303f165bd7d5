"""Machine images (ami): the root file system of a disk, raw and unpartitioned. Nothing is extracted: it is a range.

Reference: Amazon EC2, "Create an instance store-backed AMI" (a machine image is a file system image, not a disk).
"""

from __future__ import annotations

from typing import NamedTuple

from imgtool.errors import UnsupportedError
from imgtool.inspection.compose import AMI_FILESYSTEMS, is_machine_image
from imgtool.model.volumes import Partition, Volumes

#: Partitions that a machine image does without: what starts the machine, which is not started from this image.
_STARTERS = ("EFI System", "EFI (FAT-12/16/32)", "BIOS boot", "PReP boot", "GRUB")


class RootRange(NamedTuple):
    """Where the root file system lies on the disk, in bytes; `left_out` are the partitions that go."""

    start: int
    length: int | None
    left_out: tuple[Partition, ...] = ()


def root_range(volumes: Volumes | None, name: str) -> RootRange:
    """The range of the one Linux file system. Raises UnsupportedError that says why there is not one."""
    if is_machine_image(volumes):
        return RootRange(0, None)
    if volumes is None or not volumes.tables:
        held = ", ".join(one.kind for one in volumes.filesystems) if volumes is not None else ""
        raise UnsupportedError(
            f"{name}: an ami is a Linux file system, and there is {f'only {held}' if held else 'none'} on this disk"
        )
    partitions = [one for table in volumes.tables[:1] for one in table.partitions]
    roots = [one for one in partitions if one.filesystem is not None and one.filesystem.kind in AMI_FILESYSTEMS]
    if len(roots) != 1:
        told = ", ".join(f"{one.number} ({one.filesystem.kind})" for one in roots if one.filesystem is not None)
        several = f"{len(roots)} partitions hold one: {told}" if roots else "no partition holds one"
        raise UnsupportedError(f"{name}: an ami is made of the one Linux file system of a disk; {several}")
    others = tuple(one for one in partitions if one is not roots[0])
    for other in others:
        if other.type_name not in _STARTERS:
            held = other.filesystem.kind if other.filesystem is not None else other.type_name or other.type
            raise UnsupportedError(
                f"{name}: partition {other.number} ({held}) would be lost in an ami, which holds one file system;"
                " --to raw keeps the whole disk"
            )
    return RootRange(roots[0].start, roots[0].length, others)
