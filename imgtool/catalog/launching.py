"""Whether an instance can stand on an image: what the image is, whether a flavor has room for it, whether the disks
that were made are still what they were.

Reference: Compute API, "Flavors": a disk of 0 GiB is the size that the image has, and min_disk is not asked then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgtool.catalog.damage import algorithm_of, unreadable
from imgtool.catalog.images import Kept
from imgtool.errors import DamagedError, InputError, RefusedError
from imgtool.limits import DEFAULT
from imgtool.model.instance import Flavor
from imgtool.units import GIB, SECTOR, ceil_div

if TYPE_CHECKING:
    from imgtool.catalog.machines import Claim, InstanceStore
    from imgtool.catalog.store import BlobStore
    from imgtool.ingest.pump import Progress

#: Disk formats that a guest can have as its disk, with nothing else beside them.
DISKS = ("raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi")

#: What to do with others.
_INSTEAD = {
    "iso": "an iso is read like a disc, and nothing can be installed on it",
    "ami": "it is a file system without what starts it",
    "aki": "it is a kernel",
    "ari": "it is a ramdisk",
}


def usable(kept: Kept, admin: bool, what: str) -> None:
    """Raises RefusedError where an image's data may not be used for `what` by whoever asks."""
    record = kept.record
    if record.status == "deactivated" and not admin:
        raise RefusedError(f"image {record.id} is deactivated: only an administrator {what}")
    if kept.blob is None or record.status not in ("active", "deactivated"):
        raise RefusedError(f"image {record.id} is {record.status}: there is no data for an instance")


def root_size(store: BlobStore, kept: Kept, flavor: Flavor) -> int:
    """The bytes of a root disk over an image. Raises RefusedError that says why there is none, InputError."""
    record = kept.record
    assert kept.blob is not None
    if record.container_format != "bare":
        raise RefusedError(f"image {record.id} is in a container ({record.container_format}): convert it first")
    if record.disk_format not in DISKS:
        told = _INSTEAD.get(str(record.disk_format), f"a disk is one of {', '.join(DISKS)}")
        raise RefusedError(f"image {record.id} is {record.disk_format}, no disk of an instance: {told}")
    size = _seen(store, kept)
    if flavor.ram < record.min_ram:
        raise RefusedError(f"flavor {flavor.name} has {flavor.ram} MiB of memory, image {record.id} needs "
                           f"{record.min_ram} (min_ram)")  # fmt: skip
    if flavor.disk == 0:
        return size
    if flavor.disk < record.min_disk:
        raise RefusedError(f"flavor {flavor.name} has a disk of {flavor.disk} GiB, image {record.id} needs "
                           f"{record.min_disk} (min_disk)")  # fmt: skip
    if flavor.disk * GIB < size:
        raise RefusedError(f"flavor {flavor.name} has a disk of {flavor.disk} GiB, image {record.id} needs "
                           f"{size} bytes (virtual_size)")  # fmt: skip
    return flavor.disk * GIB


def _seen(store: BlobStore, kept: Kept) -> int:
    """What a guest sees of an image that stands by itself: bytes, whole sectors."""
    from imgtool.disks.open import disk_of
    from imgtool.disks.recognise import entry_named, read_as

    record, blob = kept.record, str(kept.blob)
    entry = entry_named(str(record.disk_format))
    with store.open(blob) as source:
        named = [one.value for one in read_as(entry, source, DEFAULT).facts.references]
        if named:
            raise RefusedError(f"image {record.id} refers to other files ({named[0]!r}): convert it first")
        with disk_of(source, DEFAULT, format=entry.name) as disk:
            size = disk.size
    if not size:
        raise RefusedError(f"image {record.id} has no bytes: there is nothing to start from")
    return ceil_div(size, SECTOR) * SECTOR


def unchanged(store: BlobStore, kept: Kept, progress: Progress | None = None) -> None:
    """Read an image's data and raise DamagedError where it is not what was registered, InputError."""
    from imgtool.ingest.pump import digest_source

    record = kept.record
    name = algorithm_of(record)
    with store.open(str(kept.blob)) as source:
        sums = digest_source(source, (name,), progress)
        if (source.size, sums[name]) != (record.size, record.os_hash_value):
            raise DamagedError(f"image {record.id}: its data is not what was registered; instances cannot use it")


def stands_on(store: InstanceStore, identifier: str, kept: Kept) -> None:
    """Raises InputError where the root disk of an instance is not an overlay of the image's data."""
    from imgtool.conversion.qemu_options import TARGETS
    from imgtool.disks.recognise import entry_named, read_as
    from imgtool.sources.file import open_file

    record, path = kept.record, store.path(identifier, "root")
    driver = TARGETS.get(str(record.disk_format))
    if driver is None:
        raise unreadable(f"image {record.id}", "disk_format", record.disk_format)
    with open_file(path) as source:
        facts = read_as(entry_named("qcow2"), source, DEFAULT).facts
    named = [(one.kind, one.value, one.format) for one in facts.references]
    if facts.broken or named != [("backing", store.backing(str(kept.blob)), driver)]:
        raise InputError(f"{path}: is no overlay of image {record.id} any more")


def flatten(claim: Claim, root: str, folder: str, progress: Progress | None = None) -> str:
    """Write the root disk of an instance, with what is below it, as one qcow2; its path. Raises what `convert` does.

    `root`: the overlay; `folder`: where it and the data below it lie.
    """
    from imgtool.conversion.api import convert

    path = claim.snapshot()
    convert(
        root,
        path,
        "qcow2",
        engine="native",
        format="qcow2",
        follow=folder,
        if_unsafe="allow",
        progress=progress,
    )
    return path
