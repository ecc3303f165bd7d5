"""Names of formats as people type them, as the one name that imgtool prints."""

from __future__ import annotations

from imgtool.containers import CONTAINERS
from imgtool.errors import UsageError
from imgtool.formats import FORMATS

#: Amazon's kernel, ramdisk and machine image: as disk format and as container format the same one.
MACHINE = ("ami", "ari", "aki")

#: Every disk format that content can be called.
DISK_FORMATS = (*(entry.name for entry in FORMATS), *MACHINE)

#: Every container format; bare is none around the disk.
CONTAINER_FORMATS = ("bare", *dict.fromkeys((*(entry.name for entry in CONTAINERS), *MACHINE)))


def disk_format(name: str) -> str:
    """The disk format that a name or alias means. Raises UsageError."""
    low = name.strip().lower()
    if low in DISK_FORMATS:
        return low
    for entry in FORMATS:
        if low in (entry.glance, *entry.aliases) or (low == entry.qemu and entry.qemu != "raw"):
            return entry.name
    raise UsageError(f"no such disk format: {name!r} (one of {', '.join(DISK_FORMATS)})")


def container_format(name: str) -> str:
    """The container format that a name or alias means. Raises UsageError."""
    low = name.strip().lower()
    if low in CONTAINER_FORMATS:
        return low
    for entry in CONTAINERS:
        if low in entry.aliases:
            return entry.name
    raise UsageError(f"no such container format: {name!r} (one of {', '.join(CONTAINER_FORMATS)})")
