"""What a report says of the whole: which format, in which container, how large for a guest.

The names follow Glance: `format` is the disk format as it would be registered, `container_format` the
wrapper around it. Null where nothing holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from imgtool.disks.recognise import Reading
from imgtool.limits import Limits
from imgtool.model.report import Report
from imgtool.model.values import Facet, Problem
from imgtool.model.volumes import Volumes

if TYPE_CHECKING:
    from imgtool.containers.member import ContainerFacts

#: Linux file systems that an unpartitioned machine image (ami) may be.
AMI_FILESYSTEMS = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"})


class Whole(NamedTuple):
    """The summary facts of a report; `virtual_size` in bytes."""

    format: str | None
    container_format: str | None
    disk_formats: tuple[str, ...]
    virtual_size: int | None
    encrypted: bool
    label: str | None


def compose(reading: Reading, volumes: Volumes | None, members: tuple[Report, ...], facets: set[str]) -> Whole:
    """The summary of what the primary reading, the volumes and the members say."""
    facts, entry = reading.facts, reading.entry
    if entry.kind == "container":
        return _container(reading, members)
    if entry.kind in ("kernel", "ramdisk"):
        return Whole(entry.name, entry.name, (entry.name,), None, facts.encrypted, facts.label)
    formats = (entry.glance,) if entry.glance else ()
    if entry.name == "raw" and is_machine_image(volumes):
        formats = (*formats, "ami")
    if entry.name == "iso" and facets & {"mbr", "gpt", "apm"}:
        formats = (*formats, "raw")
    label = facts.label
    if label is None and volumes is not None and volumes.filesystems:
        label = volumes.filesystems[0].label
    return Whole(entry.name, "bare", formats, facts.virtual_size, facts.encrypted, label)


def too_large(reading: Reading, whole: Whole, limits: Limits) -> tuple[Problem, ...]:
    """That the disks of a container together are over the cap; of what is one disk its own reader tells."""
    entry, size = reading.entry, whole.virtual_size
    if entry.kind != "container" or entry.name == "compressed" or size is None or size <= limits.virtual_size:
        return ()
    message = f"the virtual size of {size} bytes is over {limits.virtual_size}"
    return (Problem("cap", "virtual size", message),)


def is_machine_image(volumes: Volumes | None) -> bool:
    """True for a Linux file system at 0 and no partition table: usable as `ami`."""
    if volumes is None or volumes.tables:
        return False
    return any(system.kind in AMI_FILESYSTEMS for system in volumes.filesystems)


def _container(reading: Reading, members: tuple[Report, ...]) -> Whole:
    from imgtool.containers.member import ContainerFacts

    facts, name = reading.facts, reading.entry.name
    if not isinstance(facts, ContainerFacts):
        return Whole(None, name, (), None, False, None)
    roles = {member.name: member.role for member in facts.members}
    disks = [member for member in members if roles.get(member.path) in ("disk", "content")]
    if name == "compressed" and len(disks) == 1:
        return _compressed(disks[0], facts)
    formats = [facts.disk_format] if facts.disk_format else [disk.format for disk in disks if disk.format]
    sizes = [disk.virtual_size for disk in disks if disk.virtual_size is not None]
    total = facts.virtual_size if facts.virtual_size is not None else sum(sizes) if sizes else None
    chosen = formats[0] if formats else None
    encrypted = facts.encrypted or any(disk.encrypted for disk in disks)
    return Whole(chosen, name, (chosen,) if chosen else (), total, encrypted, facts.label)


def _compressed(inner: Report, facts: ContainerFacts) -> Whole:
    directly = inner.container_format in ("aki", "ari")
    container = inner.container_format if directly else "compressed"
    encrypted = facts.encrypted or inner.encrypted
    return Whole(inner.format, container, inner.disk_formats, inner.virtual_size, encrypted, inner.label)


def facet_names(facets: tuple[Facet, ...]) -> set[str]:
    """The names of facets, as a set."""
    return {facet.name for facet in facets}
