"""What every verb of the catalog stands on: database and store, who acts, what he sees, may do, and has room for.

What somebody may not see is not there for him (NotFoundError); what he sees and may not do is refused (RefusedError).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from imgtool.catalog import listing, members, moves
from imgtool.catalog.access import Access, Action, Target, target_of
from imgtool.catalog.damage import texts
from imgtool.catalog.database import Database, alone
from imgtool.catalog.identity import Identity
from imgtool.catalog.images import Kept
from imgtool.catalog.listing import Viewer
from imgtool.catalog.records import Quotas
from imgtool.catalog.status import LISTED, STATUSES
from imgtool.catalog.store import BlobStore
from imgtool.catalog.tables import tables
from imgtool.catalog.visibility import Seen, sees
from imgtool.config.config import Config
from imgtool.errors import InputError, NotFoundError, RefusedError
from imgtool.model.image import ImageRecord, MemberStatus, Status

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Ground:
    """An open catalog, and who acts in it. Use as a context, or `close` it."""

    def __init__(self, database: Database, store: BlobStore, access: Access, who: Identity, config: Config) -> None:
        self.database = database
        self.store = store
        self.access = access
        self.who = who
        self.config = config
        self.quotas = Quotas(config.tags, config.properties, config.members)

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def own_store(self, *, mark: bool = True) -> None:
        """See that the store has the data of this catalog and of no other; with `mark` one that is nobody's is this
        catalog's from now on. Raises RefusedError, also for one that has nothing of it; OutputError, InputError."""
        from sqlalchemy import select

        with self.database.read() as connection:
            found = connection.execute(select(tables().catalog.c.id)).scalars().all()
        texts("the catalog", "id", found)
        if len(found) != 1:
            raise InputError(
                f"the catalog's database is damaged: the table catalog has {len(found)} rows, not one; restore it"
                " from a backup"
            )
        (identifier,) = found
        self.store.belong(identifier, self.database.folder, self._keys, mark=mark)

    def _keys(self) -> frozenset[str]:
        with self.database.read() as connection:
            return listing.blobs(connection)

    def own_data(self, called: str) -> None:
        """See the same where an image has data that is to be deleted at once. Raises as `named`, `own_store`."""
        with self.database.read() as connection:
            kept = self.named(connection, called, "delete_image")
        if kept.blob is not None:
            self.own_store(mark=False)

    @property
    def is_admin(self) -> bool:
        """True where an administrator acts."""
        return self.access.is_admin(self.who)

    def viewer(self, member_status: MemberStatus | Literal["all"] = "accepted") -> Viewer | None:
        """Whose lists are shown: None is everybody's."""
        return None if self.is_admin else Viewer(self.who.project, member_status)

    def named(
        self,
        connection: Connection,
        called: str,
        action: Action,
        status: tuple[Status, ...] = LISTED,
        *,
        member: str | None = None,
        every: bool = False,
    ) -> Kept:
        """The image that the user means, which he sees and may do `action` to.

        A name is looked for among what his lists show (nobody puts an image of his own behind it by sharing that);
        for what members say, among all that is shared with him. `status`: of those looked for by name. `member`: the
        project that a member's verb names. `every`: images of other statuses too, where none of those has the name.
        Raises NotFoundError, UsageError, RefusedError.
        """
        viewer = self.viewer("all" if action in ("get_members", "modify_member") else "accepted")
        try:
            kept = listing.find(connection, called, viewer, status)
        except NotFoundError:
            if not every:
                raise
            kept = listing.find(connection, called, viewer, STATUSES)
        if not self.sees(connection, kept):
            raise NotFoundError(f"no image {called}")
        self.require(action, connection, kept.record, member)
        return kept

    def sees(self, connection: Connection, kept: Kept) -> bool:
        """True where the identity sees an image."""
        record = kept.record
        seen = Seen(record.owner, record.visibility, record.status, self._membership(connection, record))
        return sees(seen, None if self.is_admin else self.who.project)

    def _membership(self, connection: Connection, record: ImageRecord) -> MemberStatus | None:
        if record.visibility != "shared" or record.owner == self.who.project:
            return None
        return members.membership(connection, record.id, self.who.project)

    def require(self, action: Action, connection: Connection, record: ImageRecord, member: str | None = None) -> None:
        """Raises RefusedError where the rules of `action` do not let the identity do it to an image."""
        target = target_of(record, self.who, self._membership(connection, record))
        self.access.require(action, self.who, target._replace(member_id=member) if member is not None else target)

    def may_have(self, owner: str, visibility: str, action: Action | None) -> None:
        """Raises RefusedError where the identity may not have an image of that owner and visibility."""
        target = Target(owner=owner, visibility=visibility)
        if action is not None:
            self.access.require(action, self.who, target)
        if visibility == "public":
            self.access.require("publicize_image", self.who, target)
        if visibility == "community":
            self.access.require("communitize_image", self.who, target)

    def room_for(
        self, connection: Connection, owner: str, *, images: int = 0, size: int = 0, fresh: bool = True
    ) -> None:
        """Raises RefusedError where so many more images, or bytes, are more than the quotas allow. `fresh`: False for
        what the catalog has, and only its owner gets."""
        config = self.config
        whole = ("the catalog", None, config.total_images, config.total_bytes)
        own = (owner, owner, config.owner_images, config.owner_bytes)
        for whose, of, most_images, most_bytes in (whole, own) if fresh else (own,):
            if most_images is None and most_bytes is None:
                continue
            alone(connection, "quotas")  # else two that ask at once would both have the room
            count, total = listing.totals(connection, of)
            if images and most_images is not None and count + images > most_images:
                raise RefusedError(f"{whose} has {count} images, and may have {most_images}")
            if size and most_bytes is not None and total + size > most_bytes:
                raise RefusedError(f"{whose} has {total} bytes, and may have {most_bytes}: {size} more do not fit")

    def room_left(self, connection: Connection, owner: str) -> int | None:
        """Bytes that the quotas leave to an owner; None where there are none."""
        config = self.config
        left = [
            max(0, most - listing.totals(connection, of)[1])
            for of, most in ((None, config.total_bytes), (owner, config.owner_bytes))
            if most is not None
        ]
        return min(left, default=None)

    def remove_data(self, identifier: str, blob: str) -> int | None:
        """Remove the data of a deleted image from the store, which is this catalog's (`own_store`): the bytes freed,
        None where it was not there. Raises OutputError."""
        freed = self.store.delete(blob)
        with self.database.write() as connection:
            moves.data_removed(connection, identifier, blob)
        return freed
