"""The catalog: the one place where access, status, store and validation meet. Every verb of images is a method.

Whoever acts sees what the table of `visibility` shows, and does what the rules of `access` permit. What somebody may
not see is not there for him (NotFoundError); what he sees and may not do is refused (RefusedError).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal, cast

from imgtool.catalog import images, listing, members, moves, records
from imgtool.catalog.access import load_access
from imgtool.catalog.database import find_or_make
from imgtool.catalog.ground import Ground
from imgtool.catalog.identity import Identity, acting, owner_of, parse_identity
from imgtool.catalog.images import NO_CHANGES, Changes, New
from imgtool.catalog.listing import DEFAULT_SORT, Filters, Sort
from imgtool.catalog.store import LocalStore
from imgtool.config.config import Config
from imgtool.config.load import load_config, usual_location
from imgtool.errors import NotFoundError, UsageError
from imgtool.model.image import Change, ImageRecord, Member, MemberStatus
from imgtool.units import duration

if TYPE_CHECKING:
    from threading import Event
    from typing import IO

    from imgtool.catalog.cleaning import Round
    from imgtool.catalog.data import Begun
    from imgtool.catalog.exporting import Tell
    from imgtool.catalog.flavors import Flavors
    from imgtool.catalog.instances import Instances
    from imgtool.catalog.saving import Watch
    from imgtool.catalog.store import Import
    from imgtool.catalog.verifying import Meters
    from imgtool.ingest.pump import Progress
    from imgtool.inspection.api import Input
    from imgtool.model.conversion import Conversion
    from imgtool.model.export import Transfer
    from imgtool.model.upkeep import CatalogInfo, Repaired, Scrubbed, Verification
    from imgtool.policy.policy import Policy


class Catalog(Ground):
    """An open catalog, and who acts in it. Use as a context, or `close` it."""

    @classmethod
    def open(
        cls,
        place: str | os.PathLike[str] | None = None,
        *,
        identity: str | Identity | None = None,
        create: bool = False,
        config: Config | None = None,
    ) -> Catalog:
        """The catalog in a folder or behind a "postgresql://…" URL; without one, where the configuration says.

        `identity`: "user:project:role,…", who acts; without it, whom the configuration names, else the user of this
        machine. `create`: make it where there is none; whoever could not look at it then makes none. `config`: what
        holds, read from the user's file and the environment where it is not given. Raises NotFoundError, InputError,
        OutputError, UsageError, RefusedError.
        """
        config = load_config() if config is None else config
        where = os.fsdecode(place) if place is not None else config.location or usual_location()
        if where.startswith("postgres") and "://" in where and config.store is None:
            raise UsageError("a catalog on a server needs store.location: the folder of its data")
        owner = owner_of(config.store or where)
        who = identity if isinstance(identity, Identity) else parse_identity(identity) if identity else None
        who = who or acting(config.acting, config.where("catalog.as"), owner)
        access = load_access(config.access)
        may = (lambda: access.require("get_catalog", who)) if create else None
        database = find_or_make(where, may)
        return cls(database, LocalStore(config.store or where), access, who, config)

    # what is there

    def list(
        self,
        filters: Filters = listing.ALL,
        sort: tuple[Sort, ...] = DEFAULT_SORT,
        *,
        limit: int | None = None,
        marker: str | None = None,
        member_status: MemberStatus | Literal["all"] = "accepted",
    ) -> tuple[ImageRecord, ...]:
        """The images that the identity's list shows. Raises UsageError, NotFoundError, RefusedError."""
        self.access.require("get_images", self.who)
        asked = filters._replace(viewer=self.viewer(member_status))
        with self.database.read() as connection:
            if marker is not None and not self.sees(connection, images.get(connection, records.image_id(marker))):
                raise NotFoundError(f"no image {marker}")
            found = listing.list_images(connection, asked, sort, limit=limit, marker=marker)
            return tuple(one.record for one in found)

    def show(self, called: str) -> ImageRecord:
        """The image of an id or a name. Raises NotFoundError, UsageError for a name of several, RefusedError."""
        with self.database.read() as connection:
            return self.named(connection, called, "get_image").record

    def report(self, called: str) -> str | None:
        """The verdict that is kept with an image, as JSON. Raises as `show`."""
        with self.database.read() as connection:
            return images.verdict_of(connection, self.named(connection, called, "get_image").record.id)

    def history(self, called: str) -> tuple[Change, ...]:
        """Every change of an image's status, oldest first. Raises as `show`."""
        with self.database.read() as connection:
            found = self.named(connection, called, "get_history", every=True)
            return tuple(moves.history(connection, found.record.id))

    # what changes

    def reserve(self, new: New, *, size: int = 0) -> ImageRecord:
        """A queued image, without data, where `size` bytes have room. Raises UsageError, RefusedError."""
        self.may_have(new.owner, records.visibility(new.visibility), "add_image")
        images.check(new, self.quotas)
        with self.database.write() as connection:
            self.room_for(connection, new.owner, images=1, size=size)
            return images.create(connection, new, str(self.who), quotas=self.quotas).record

    def change(
        self,
        called: str,
        changes: Changes = NO_CHANGES,
        *,
        tags: Iterable[str] = (),
        properties: Mapping[str, str] | None = None,
    ) -> ImageRecord:
        """Set fields and properties, and add tags: all of them, or none. Raises as `show`, RefusedError."""
        with self.database.write() as connection:
            record = self.named(connection, called, "modify_image").record
            owner = record.owner if changes.owner is None else records.owner(changes.owner)
            if owner != record.owner:
                self.require("change_owner", connection, record)
            if changes.visibility is not None and changes.visibility != record.visibility:
                self.may_have(owner, changes.visibility, None)
            if owner != record.owner:
                self.room_for(connection, owner, images=1, size=record.size or 0, fresh=False)
            kept = images.update(connection, record.id, changes)
            if tags:
                kept = images.add_tags(connection, record.id, tags, self.quotas)
            if properties:
                kept = images.set_properties(connection, record.id, properties, self.quotas)
            return kept.record

    def create(
        self,
        new: New,
        given: Input | None = None,
        *,
        how: Import | None = None,
        policy: str | os.PathLike[str] | Policy | None = None,
        expect: Iterable[str] = (),
        checksums: Iterable[str] = (),
        progress: Progress | None = None,
        begun: Begun | None = None,
    ) -> ImageRecord:
        """Register an image: `reserve`, and `upload` where there is something `given`. Raises as both.

        What is wrong with the call, and a file that cannot be read, is told before anything is reserved.
        """
        if given is None:
            return self.reserve(new)
        from imgtool.catalog.data import create

        return create(self, new, given, how or self._importing(given), policy, expect, checksums, progress, begun)

    def upload(
        self,
        called: str,
        given: Input,
        *,
        how: Import | None = None,
        policy: str | os.PathLike[str] | Policy | None = None,
        expect: Iterable[str] = (),
        checksums: Iterable[str] = (),
        progress: Progress | None = None,
        begun: Begun | None = None,
    ) -> ImageRecord:
        """Bring data into a queued image, or into one whose upload failed, in one pass.

        `given`: a path, or a binary file object. `how`: copy, move (the path goes once the image is active), link.
        `policy`, `expect`, `checksums`: as for `imgtool.validate`; md5 and sha512 are always computed. `progress`
        is told the bytes that went by, `begun` the record as the upload begins.

        Raises RejectedError for data that the policy does not let through, RefusedError for access, status and
        quotas, InputError, OutputError. The image is killed then, the reason is in its record, and its data is gone.
        """
        from imgtool.catalog.data import upload

        return upload(self, called, given, how or self._importing(given), policy, expect, checksums, progress, begun)

    def _importing(self, given: Input) -> Import:
        """How data comes into the store where that is not said: as configured, and a stream by copying."""
        return cast("Import", self.config.importing) if isinstance(given, (str, os.PathLike)) else "copy"

    def save(
        self,
        called: str,
        target: str | os.PathLike[str],
        *,
        force: bool = False,
        resume: bool = False,
        progress: Progress | None = None,
        watch: Watch | None = None,
    ) -> ImageRecord:
        """Write an image's data to a new file, which appears once its digest was found right. `force`: in place of
        one that is there. `resume`: what a run that fails wrote stays beside the target, hidden, and the next one
        compares it and goes on. `watch` is told the bytes that will go by, `progress` those that did.

        Raises as `show`, RefusedError, InputError, OutputError, DamagedError for damaged data.
        """
        from imgtool.catalog.saving import save

        return save(self, called, os.fsdecode(target), force, resume, progress, watch)

    def save_to(
        self, called: str, stream: IO[bytes], *, progress: Progress | None = None, watch: Watch | None = None
    ) -> ImageRecord:
        """Write an image's data to a stream; whether it was right is known at the end. Raises as `save`."""
        from imgtool.catalog.saving import save_to

        return save_to(self, called, stream, progress, watch)

    def save_as(
        self,
        called: str,
        target: str | os.PathLike[str],
        to: str,
        *,
        options: Mapping[str, str] | None = None,
        compress: str | None = None,
        level: int | None = None,
        member: str | None = None,
        force: bool = False,
        policy: str | os.PathLike[str] | Policy | None = None,
        if_unsafe: str = "reject",
        progress: Progress | None = None,
        watch: Watch | None = None,
    ) -> Conversion:
        """Write an image's disk to a new file in the format `to`. The arguments are those of `imgtool.convert`;
        `policy` is the catalog's where none is named, and the image is read as the format of its record.

        The digest of the image is checked on the file that is converted, before; that it did not change, at the end.
        Raises as `save`, and as `imgtool.convert`.
        """
        from imgtool.catalog.data import site_policy
        from imgtool.catalog.saving import save_as

        return save_as(
            self,
            called,
            os.fsdecode(target),
            to,
            options=options or {},
            compress=compress,
            level=level,
            member=member,
            force=force,
            policy=site_policy(self, policy),
            if_unsafe=if_unsafe,
            progress=progress,
            watch=watch,
        )

    def verify(self, called: str, *, progress: Progress | None = None) -> Verification:
        """Read an image's data anew, and find (CAT) where it is not what was recorded: true where it all is.

        Raises as `show`, RefusedError for access, and for an image without data.
        """
        from imgtool.catalog.verifying import verify

        return verify(self, called, progress)

    def verify_all(self, *, meters: Meters | None = None) -> Iterator[Verification]:
        """Read the data of every image anew, the oldest first; at the end one without an id tells of what is in the
        store and should not be. `meters`: gives what counts the bytes of an image. Raises RefusedError, InputError.
        """
        from imgtool.catalog.verifying import verify_all

        return verify_all(self, meters)

    def scrub(self, *, delay: int | None = None) -> Scrubbed:
        """Remove the data of images whose grace period (`delay` seconds, else the configuration's) is over.

        Raises RefusedError for access, and where another process is at it; OutputError, UsageError.
        """
        from imgtool.catalog.upkeep import scrub

        return scrub(self, duration(self.config.delay if delay is None else delay))

    def keep_scrubbing(
        self,
        stop: Event,
        tell: Callable[[Round], None],
        *,
        delay: int | None = None,
        wakeup: int | None = None,
    ) -> None:
        """Scrub every `wakeup` seconds (else the configuration's) until `stop` is set; one process does so at a time,
        others wait for their turn. `tell` is told each cleaning and each failure, which end nothing.

        Raises RefusedError for access, UsageError.
        """
        from imgtool.catalog.cleaning import keep_scrubbing

        config = self.config
        pause = duration(config.wakeup if wakeup is None else wakeup)
        keep_scrubbing(self, duration(config.delay if delay is None else delay), pause, stop, tell)

    def info(self) -> CatalogInfo:
        """The catalog in numbers: what it has, whose, and what waits to be done. Raises RefusedError, InputError."""
        from imgtool.catalog.info import info

        return info(self)

    def repair(self, *, dry_run: bool = False) -> Repaired:
        """Put right what killed processes left: their uploads, data that nobody owns. `dry_run`: only tell what would
        be done. Raises as `scrub`."""
        from imgtool.catalog.upkeep import repair, would_repair

        return would_repair(self) if dry_run else repair(self)

    def export(
        self, target: str | os.PathLike[str], *called: str, tell: Tell | None = None, meters: Meters | None = None
    ) -> tuple[Transfer, ...]:
        """Write images, all without any named, with their data into a new folder, which appears when it is whole:
        `manifest.jsonl` (a line is an imgtool.export/1) and `blobs/`. One that fails is left out, and told of.

        `tell`: is told each when it is done. `meters`: as for `verify_all`. Raises RefusedError, OutputError.
        """
        from imgtool.catalog.exporting import export

        return export(self, os.fsdecode(target), called, tell, meters)

    def import_from(
        self,
        source: str | os.PathLike[str],
        *,
        skip_existing: bool = False,
        tell: Tell | None = None,
        meters: Meters | None = None,
    ) -> tuple[Transfer, ...]:
        """Bring in what an export has: each image is validated anew, and must have the digests of the manifest. One
        that fails does not stop the rest. `skip_existing`: those that are here are none, unless an import is at it.

        `tell`, `meters`: as for `export`. Raises RefusedError for access, InputError for a folder that is none.
        """
        from imgtool.catalog.importing import bring_in

        return bring_in(self, os.fsdecode(source), skip_existing=skip_existing, tell=tell, meters=meters)

    def unset(self, called: str, *, tags: Iterable[str] = (), properties: Iterable[str] = ()) -> ImageRecord:
        """Take off tags, and remove properties: all of them, or none. Raises as `show`, RefusedError."""
        with self.database.write() as connection:
            kept = self.named(connection, called, "modify_image")
            if tags:
                kept = images.remove_tags(connection, kept.record.id, tags)
            if properties:
                kept = images.unset_properties(connection, kept.record.id, properties)
            return kept.record

    def delete(self, called: str, why: str = "deleted") -> ImageRecord:
        """Delete an image: its data waits for the scrubber where the configuration has a delay, else it goes at once.

        Raises as `show`, RefusedError for a protected image and one whose status does not allow it, and where its
        data is to go and the store is not the catalog's.
        """
        if not self.config.delay:
            self.own_data(called)
        with self.database.write() as connection:
            identifier = self.named(connection, called, "delete_image").record.id
            kept = moves.delete(
                connection, identifier, str(self.who), records.reason(why), delay=self.config.delay > 0
            )
        if kept.record.status == "deleted" and kept.blob is not None:
            self.remove_data(identifier, kept.blob)
        return kept.record

    def restore(self, called: str, why: str = "restored") -> ImageRecord:
        """Take a deletion back while its grace period lasts. Raises as `show`, RefusedError."""
        with self.database.write() as connection:
            kept = self.named(connection, called, "restore_image", ("pending_delete",), every=True)
            return moves.restore(connection, kept.record.id, str(self.who), records.reason(why)).record

    def deactivate(self, called: str, why: str = "deactivated") -> ImageRecord:
        """Keep an image's data from all but administrators. Raises as `show`, RefusedError."""
        with self.database.write() as connection:
            kept = self.named(connection, called, "deactivate")
            return moves.deactivate(connection, kept.record.id, str(self.who), records.reason(why)).record

    def reactivate(self, called: str, why: str = "reactivated") -> ImageRecord:
        """Take a deactivation back. Raises as `show`, RefusedError."""
        with self.database.write() as connection:
            kept = self.named(connection, called, "reactivate")
            return moves.reactivate(connection, kept.record.id, str(self.who), records.reason(why)).record

    # flavors and instances

    @property
    def flavors(self) -> Flavors:
        """What instances can get: create, list, show, delete."""
        from imgtool.catalog.flavors import Flavors

        return Flavors(self)

    @property
    def instances(self) -> Instances:
        """Disks over images: create, list, show, delete, snapshot, boot."""
        from imgtool.catalog.instances import Instances
        from imgtool.catalog.machines import LocalInstances

        return Instances(self, LocalInstances(self.store.place))

    # members

    def members(self, called: str) -> tuple[Member, ...]:
        """Whom an image is shared with: of a member's view, himself alone. Raises as `show`."""
        with self.database.read() as connection:
            record = self.named(connection, called, "get_members").record
            found = members.members(connection, record.id)
        mine = self.is_admin or record.owner == self.who.project
        return tuple(one for one in found if mine or one.member == self.who.project)

    def add_member(self, called: str, project: str) -> Member:
        """Share an image with a project. Raises as `show`, RefusedError."""
        with self.database.write() as connection:
            record = self.named(connection, called, "add_member", member=project).record
            return members.add_member(connection, record.id, project, self.quotas)

    def set_member(self, called: str, project: str, status: str) -> Member:
        """Accept or reject an image that is shared with a project. Raises as `show`, RefusedError."""
        with self.database.write() as connection:
            record = self.named(connection, called, "modify_member", member=project).record
            return members.set_member(connection, record.id, project, status)

    def remove_member(self, called: str, project: str) -> None:
        """Share an image with a project no longer. Raises as `show`, RefusedError."""
        with self.database.write() as connection:
            record = self.named(connection, called, "delete_member", member=project).record
            members.remove_member(connection, record.id, project)
