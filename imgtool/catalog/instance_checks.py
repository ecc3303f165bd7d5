"""The rules of instances (CAT): where their records, their disks and their images disagree.

Cost of each: the names of files, and the header of a root disk, read before; a rule reads nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from imgtool.catalog.checks import Stray
from imgtool.findings.core import Finding, rule
from imgtool.limits import Limits
from imgtool.model.instance import InstanceRecord
from imgtool.units import human_size


class LookedAt(NamedTuple):
    """An instance whose disks should be there. missing: those that are not. problem: why its root disk does not
    stand on its image, None where it does. damage: errors in its tables, where those were read."""

    record: InstanceRecord
    missing: tuple[str, ...] = ()
    problem: str | None = None
    damage: tuple[Finding, ...] = ()


@rule("CAT005", "instance-abandoned", "warning")
def instance_abandoned(record: InstanceRecord, limits: Limits) -> Iterator[Finding]:
    """The process that made an instance is gone.

    What it checks: an instance is `building`, and no process is at it any more.

    Why it matters: it can be neither started nor used, and its image cannot be deleted.

    What to do: `imgtool catalog repair` removes it; make it anew.
    """
    yield instance_abandoned.at(f"instance {record.id} ({record.name}): no process is making it any more")


@rule("CAT006", "disk-without-instance", "warning")
def disk_without_instance(stray: Stray, limits: Limits) -> Iterator[Finding]:
    """The store has disks that no instance owns.

    What it checks: files of an instance that is no longer there, or of a snapshot whose process is gone.

    Why it matters: they take space, and what is written in them was to be gone.

    What to do: `imgtool catalog repair` removes them.
    """
    yield disk_without_instance.at(f"instance {stray.what}: {human_size(stray.size)} that nobody needs")


@rule("CAT007", "instance-disk-missing", "error")
def instance_disk_missing(looked: LookedAt, limits: Limits) -> Iterator[Finding]:
    """A disk of an instance is not in the store.

    What it checks: every disk that the record tells of is there.

    Why it matters: the instance cannot be started, and what was written in it is lost.

    What to do: bring the folder `instances` back from a backup, or delete the instance.
    """
    for disk in looked.missing:
        record = looked.record
        yield instance_disk_missing.at(f"instance {record.id} ({record.name}): its {disk} disk is not there")


@rule("CAT306", "instance-base-differs", "error")
def instance_base_differs(looked: LookedAt, limits: Limits) -> Iterator[Finding]:
    """The root disk of an instance does not stand on its image.

    What it checks: the root disk is a qcow2 that names the data of the instance's image, in its format, and nothing
    else, as what lies below it.

    Why it matters: somebody changed the disk outside of the catalog. Read with what it names now it is another disk,
    and what it names may be a file that is nobody's business. Nothing here starts it or makes a snapshot of it.

    What to do: bring the disk back from a backup, or delete the instance.
    """
    if looked.problem is not None:
        yield instance_base_differs.at(f"instance {looked.record.id} ({looked.record.name}): {looked.problem}")


@rule("CAT307", "instance-disk-damaged", "error")
def instance_disk_damaged(looked: LookedAt, limits: Limits) -> Iterator[Finding]:
    """The tables of an instance's root disk do not hold.

    What it checks: the root disk has no error that `imgtool check` would find in its tables. One that runs is not
    looked at.

    Why it matters: what the guest wrote is lost where the tables are wrong, and a snapshot would be wrong there.

    What to do: see what `imgtool check` says of the disk, in `instances` of the store's folder; bring it back from a
    backup. `qemu-img check -r all` mends some faults.
    """
    record = looked.record
    for one in looked.damage:
        told = f"instance {record.id} ({record.name}): its root disk: {one.code} {one.name}: {one.message}"
        yield instance_disk_damaged.at(told)


OF_INSTANCES = (instance_disk_missing, instance_base_differs, instance_disk_damaged)
RULES = (*OF_INSTANCES, instance_abandoned, disk_without_instance)
