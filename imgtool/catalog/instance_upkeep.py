"""What is done to instances when a catalog is verified and repaired.

What a killed process leaves is one of: an instance that is being made by nobody, disks of an instance that has no
record, half a snapshot. Whether somebody holds an instance is asked *before* its record: one that is being made has
its record before its disks, and is held until it is ready.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from imgtool.catalog import images, instance_checks, instance_rows, launching, records
from imgtool.catalog.checks import Stray, record_damaged
from imgtool.catalog.damage import Damaged
from imgtool.catalog.instance_checks import LookedAt
from imgtool.catalog.instances import disks_of
from imgtool.catalog.machines import Files
from imgtool.errors import ImgtoolError, InputError, NotFoundError, RefusedError
from imgtool.findings.core import Finding
from imgtool.limits import DEFAULT
from imgtool.model.instance import InstanceRecord

if TYPE_CHECKING:
    from imgtool.catalog.lease import Lease
    from imgtool.catalog.service import Catalog


class Left(NamedTuple):
    """What processes left: instances that nobody makes, files of no instance, half snapshots."""

    abandoned: tuple[InstanceRecord, ...]
    ownerless: tuple[Files, ...]
    snapshots: tuple[Files, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """Of which instances something is to be removed."""
        found = [one.id for one in self.abandoned]
        return tuple(dict.fromkeys((*found, *(one.id for one in (*self.ownerless, *self.snapshots)))))

    @property
    def size(self) -> int:
        """The bytes that a repair frees."""
        return sum(one.size for one in self.ownerless) + sum(one.snapshot for one in self.snapshots)


class Mended(NamedTuple):
    """What a repair did: of how many instances something was removed, bytes freed, what could not be removed."""

    instances: int
    freed: int
    failed: tuple[str, ...]


def left(catalog: Catalog) -> Left:
    """What processes left in the middle. What belongs to an instance whose row cannot be read is not. Raises
    InputError."""
    store, damaged = catalog.instances.store, list[Damaged]()
    with catalog.database.read() as connection:
        building = [one for one in instance_rows.every(connection, damaged=[]) if one.status == "building"]
    dead = {one.id for one in building if not store.held(one.id)}
    idle = [one for one in store.kept() if not store.held(one.id)]
    with catalog.database.read() as connection:
        known = {one.id: one for one in instance_rows.every(connection, damaged=damaged)}
    unread = {(one.id or "").lower() for one in damaged}
    idle = [one for one in idle if one.id not in unread]
    if not all(map(records.is_id, unread)):  # what is nobody's may be that one's
        idle = [one for one in idle if one.id in known]
    abandoned = tuple(known[one] for one in sorted(dead) if one in known and known[one].status == "building")
    gone = {one.id for one in abandoned}
    ownerless = tuple(one for one in idle if one.id not in known or one.id in gone)
    halves = tuple(one for one in idle if one.id in known and one.id not in gone and one.snapshot)
    return Left(abandoned, ownerless, halves)


def mend(catalog: Catalog, lease: Lease) -> Mended:
    """Remove what processes left. Raises InputError, RefusedError where the lease was lost."""
    count, freed, failed = 0, 0, []
    for identifier in left(catalog).ids:
        lease.renew()
        try:
            freed += _mend(catalog, identifier)
            count += 1
        except RefusedError:  # another process is at it now
            continue
        except ImgtoolError as error:
            failed.append(f"instance {identifier}: {error}")
    return Mended(count, freed, tuple(failed))


def _mend(catalog: Catalog, identifier: str) -> int:
    """Remove what was left of one instance, while it is held: bytes."""
    with catalog.instances.store.hold(identifier) as claim:
        with catalog.database.write() as connection:
            try:
                status = instance_rows.get(connection, identifier).status
            except NotFoundError:
                status = None
            if status == "building":
                instance_rows.remove(connection, identifier)
        return claim.drop_snapshot() if status == "ready" else claim.remove()


def strays(catalog: Catalog) -> tuple[Finding, ...]:
    """What processes left, as findings: what `mend` puts right."""
    found = left(catalog)
    abandoned = {one.id for one in found.abandoned}
    told = [one for record in found.abandoned for one in instance_checks.instance_abandoned(record, DEFAULT)]
    remains = [Stray(one.id, one.size) for one in found.ownerless if one.id not in abandoned]
    remains += [Stray(one.id, one.snapshot) for one in found.snapshots]
    told += [one for stray in remains for one in instance_checks.disk_without_instance(stray, DEFAULT)]
    return tuple(told)


def lost(catalog: Catalog, *, deep: bool = False) -> tuple[Finding, ...]:
    """What is wrong with instances that a repair cannot mend: rows that cannot be read, disks that are missing, or
    stand on something else.

    `deep`: the tables of root disks, too, of those that do not run.
    """
    damaged: list[Damaged] = []
    with catalog.database.read() as connection:
        ready = [one for one in instance_rows.every(connection, damaged=damaged) if one.status == "ready"]
    looked = [_look(catalog, record, deep) for record in ready]
    told = [found for one in looked for check in instance_checks.OF_INSTANCES for found in check(one, DEFAULT)]
    return (*told, *(found for one in damaged for found in record_damaged(one, DEFAULT)))


def _look(catalog: Catalog, record: InstanceRecord, deep: bool) -> LookedAt:
    store = catalog.instances.store
    missing = store.missing(record.id, disks_of(record))
    if "root" in missing:
        return LookedAt(record, missing)
    try:
        with catalog.database.read() as connection:
            base = images.get(connection, record.image_id)
        if base.blob is None:
            return LookedAt(record, missing, f"image {base.record.id} is {base.record.status}, and has no data")
        launching.stands_on(store, record.id, base)
        damage = _damage(store.path(record.id, "root")) if deep and not store.held(record.id) else ()
    except InputError as error:
        return LookedAt(record, missing, str(error))
    return LookedAt(record, missing, damage=damage)


def _damage(root: str) -> tuple[Finding, ...]:
    """Errors in the tables of a root disk. Raises InputError."""
    from imgtool.inspection.deep import check_tables
    from imgtool.sources.file import open_file

    with open_file(root) as source:
        _, found = check_tables(source, DEFAULT)
    return tuple(one for one in found if one.severity == "error")
