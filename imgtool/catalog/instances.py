"""Instances: disks over images. An image is never written to by them, and not deleted from under them.

An instance is seen by its owner's project and by administrators. While its disks are made, run, flattened or removed
it is held, so that no two processes are at it; what a killed one leaves is found by the repair.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from imgtool.catalog import images, instance_rows, launching, records
from imgtool.catalog.access import Action, Target
from imgtool.catalog.flavors import Flavors
from imgtool.catalog.images import Kept, New
from imgtool.catalog.instance_rows import Asked, Wanted
from imgtool.errors import ImgtoolError, OutputError, RefusedError
from imgtool.model.image import ImageRecord
from imgtool.model.instance import InstanceRecord
from imgtool.units import GIB, MIB

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from imgtool.catalog.machines import Claim, Disk, InstanceStore
    from imgtool.catalog.service import Catalog
    from imgtool.ingest.pump import Progress


class Instances:
    """The verbs of instances, for whoever acts in an open catalog."""

    def __init__(self, catalog: Catalog, store: InstanceStore) -> None:
        self._catalog = catalog
        self.store = store

    def create(self, name: str, image: str, flavor: str) -> InstanceRecord:
        """Make an instance of an image (id or name) with what a flavor gives; it belongs to the acting project.

        Raises NotFoundError, UsageError, OutputError, InputError, and RefusedError for access, for an image whose
        status or format does not allow it, and for a flavor that has not what the image needs.
        """
        catalog = self._catalog
        name, owner = records.called("the name of an instance", name), catalog.who.project
        catalog.access.require("add_instance", catalog.who, Target(owner=owner, name=name))
        with catalog.database.read() as connection:
            kept = catalog.named(connection, image, "download_image")
            chosen = Flavors(catalog).named(connection, flavor)
        launching.usable(kept, catalog.is_admin, "makes instances of it")
        size = launching.root_size(catalog.store, kept, chosen)
        if kept.linked:
            launching.unchanged(catalog.store, kept)
        wanted = Wanted(str(uuid4()), name, owner, chosen, size)
        catalog.own_store()
        with self.store.hold(wanted.id) as claim:
            with catalog.database.write() as connection:
                instance_rows.begin(connection, wanted, kept)
            try:
                _make(claim, wanted, kept)
                with catalog.database.write() as connection:
                    return instance_rows.finish(connection, wanted.id)
            except BaseException:
                self._undo(claim, wanted.id)
                raise

    def _undo(self, claim: Claim, identifier: str) -> None:
        """Take back what was begun. What fails here as well is left to the repair."""
        with suppress(ImgtoolError), self._catalog.database.write() as connection:
            instance_rows.remove(connection, identifier)
        with suppress(ImgtoolError):
            claim.remove()

    def list(self, *, name: str | None = None, image: str | None = None) -> tuple[InstanceRecord, ...]:
        """The instances that the identity sees, the newest first. `image`: those of one, by id or name.

        Raises NotFoundError, UsageError, RefusedError.
        """
        catalog = self._catalog
        catalog.access.require("get_instances", catalog.who, Target(owner=catalog.who.project))
        with catalog.database.read() as connection:
            base = catalog.named(connection, image, "get_image").record.id if image is not None else None
            found = instance_rows.every(connection, Asked(self._viewer, name, base))
        return tuple(map(self._as_it_is, found))

    @property
    def _viewer(self) -> str | None:
        return None if self._catalog.is_admin else self._catalog.who.project

    def show(self, called: str) -> InstanceRecord:
        """The instance of an id or a name. Raises NotFoundError, UsageError for a name of several, RefusedError."""
        with self._catalog.database.read() as connection:
            found = self._named(connection, called, "get_instances")
        return self._as_it_is(found)

    def _as_it_is(self, record: InstanceRecord) -> InstanceRecord:
        """A record that says whether it runs, which is known where its disks are."""
        return replace(record, status="running") if self.store.running(record.id) else record

    def _named(self, connection: Connection, called: str, action: Action) -> InstanceRecord:
        found = instance_rows.find(connection, called, self._viewer)
        target = Target(owner=found.owner, id=found.id, name=found.name, status=found.status)
        self._catalog.access.require(action, self._catalog.who, target)
        return found

    def delete(self, called: str) -> InstanceRecord:
        """Remove an instance with its disks, at once. Raises as `show`, RefusedError while it runs, OutputError."""
        catalog = self._catalog
        with catalog.database.read() as connection:
            record = self._named(connection, called, "delete_instance")
        catalog.own_store(mark=False)
        with self.store.hold(record.id) as claim:
            with catalog.database.write() as connection:
                self._named(connection, record.id, "delete_instance")
                instance_rows.remove(connection, record.id)
            claim.remove()
        return record

    def snapshot(self, called: str, name: str, *, progress: Progress | None = None) -> ImageRecord:
        """Register the root disk of an instance, with what is below it, as a new image of the instance's owner.

        It is private, and is judged as every image is. Raises as `show`, RefusedError while it runs and where its
        image is deactivated, RejectedError, InputError, OutputError, DamagedError where the image's data is damaged.
        """
        from imgtool.catalog.data import register

        catalog = self._catalog
        records.name(name)
        record, base = self._ready(called, "snapshot_instance", "makes snapshots over it")
        catalog.may_have(record.owner, "private", "add_image")
        new = _snapshot(record, base.record, name)
        records.properties(new.properties, catalog.quotas.properties)
        closed = base.record.status == "deactivated"  # its data is for administrators, and stays so
        why = f"image {base.record.id} is deactivated" if closed else None
        with self.store.hold(record.id) as claim:
            self._ready(record.id, "snapshot_instance", "makes snapshots over it")
            launching.stands_on(self.store, record.id, base)
            launching.unchanged(catalog.store, base, progress)
            root = self.store.path(record.id, "root")
            path = launching.flatten(claim, root, self.store.place, progress)
            try:
                os.chmod(path, 0o400)
            except OSError as error:
                raise OutputError(f"{path}: {error.strerror}") from error
            return register(catalog, new, path, why, progress)

    def boot(self, called: str, *, network: bool = False, display: bool = False, accel: str = "auto") -> None:
        """Start an instance in QEMU, whose console is this process' terminal, and wait until it is off.

        `network`: it gets one, behind this machine's address. `display`: in a window, where there is a screen.
        `accel`: "kvm", "tcg", or "auto" for the former where it can be.
        Raises as `snapshot`, ToolMissingError without QEMU, ToolError where it fails.
        """
        from imgtool.catalog import boot

        record, base = self._ready(called, "boot_instance", "starts instances over it")
        program = boot.find(base.record.properties)
        with self.store.hold(record.id) as claim:
            self._ready(record.id, "boot_instance", "starts instances over it")
            launching.stands_on(self.store, record.id, base)
            if base.linked:
                launching.unchanged(self._catalog.store, base)
            path = self._catalog.store.path(str(base.blob))
            if path is None:
                raise RefusedError(f"image {base.record.id}: its data is in no file that an instance could stand on")
            below = boot.Base(path, str(base.record.disk_format))
            root, *others = (self.store.path(record.id, disk) for disk in disks_of(record))
            given = boot.Given(network, display, accel)
            claim.run()
            boot.run(program, record, boot.Disks(root, below, tuple(others)), given, claim.fd)

    def _ready(self, called: str, action: Action, what: str) -> tuple[InstanceRecord, Kept]:
        """An instance whose disks are there, and its image, whose data may be used."""
        with self._catalog.database.read() as connection:
            record = self._named(connection, called, action)
            base = images.get(connection, record.image_id)
        if record.status != "ready":
            raise RefusedError(f"instance {record.id} is {record.status}: its disks are not there yet")
        launching.usable(base, self._catalog.is_admin, what)
        return record, base


def disks_of(record: InstanceRecord) -> tuple[Disk, ...]:
    """The disks that an instance has, the root disk first."""
    more: tuple[tuple[Disk, int], ...] = (("ephemeral", record.ephemeral), ("swap", record.swap))
    return ("root", *(disk for disk, size in more if size))


def _make(claim: Claim, wanted: Wanted, kept: Kept) -> None:
    """The disks of an instance."""
    from imgtool.conversion.qemu_options import TARGETS

    flavor = wanted.flavor
    claim.overlay(wanted.size, str(kept.blob), TARGETS[str(kept.record.disk_format)])
    if flavor.ephemeral:
        claim.empty("ephemeral", flavor.ephemeral * GIB)
    if flavor.swap:
        claim.empty("swap", flavor.swap * MIB)


def _snapshot(record: InstanceRecord, base: ImageRecord, name: str) -> New:
    """What is said of a snapshot: the image's own properties, and where it comes from."""
    origin = {"image_type": "snapshot", "base_image_ref": base.id, "instance_uuid": record.id}
    return New(
        name=name,
        owner=record.owner,
        visibility="private",
        disk_format="qcow2",
        container_format="bare",
        min_disk=max(base.min_disk, record.disk),
        min_ram=max(base.min_ram, record.ram),
        properties={**base.properties, **origin},
    )
