"""What is said of a catalog as a whole: what reading it anew found, what was put right, what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from imgtool.findings.core import Finding
from imgtool.model.image import Status

VERIFICATION = "imgtool.verification/1"
CATALOG = "imgtool.catalog/1"
SCRUB = "imgtool.scrub/1"
REPAIR = "imgtool.repair/1"


class Verification(NamedTuple):
    """What looking at one image found, or at what is in the store without an image (then the id is null).

    size: bytes of its data that the record tells. read: False where the data was not read, only looked for.
    findings: what is wrong, none where all is as recorded.
    """

    id: str | None
    name: str | None
    status: Status | None
    size: int | None
    read: bool
    findings: tuple[Finding, ...] = ()

    def __bool__(self) -> bool:
        """True where nothing was found."""
        return not self.findings

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values."""
        from imgtool.model.jsonable import value_object

        return value_object(self, VERIFICATION)


class Scrubbed(NamedTuple):
    """What a scrubbing did: images whose grace period was over, blobs removed, bytes freed; and what could not be
    removed, a message each, which the next one tries again."""

    images: int
    blobs: int
    freed: int
    failed: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values."""
        from imgtool.model.jsonable import value_object

        return value_object(self, SCRUB)


class Repaired(NamedTuple):
    """What a repair did: uploads without a process that were ended, blobs that nobody owned or needed any more, bytes
    freed. missing: images whose data is not there, and instances whose disks are not (without an id), which it cannot
    bring back; failed: what could not be removed. instances: of how many a killed process left something."""

    uploads: int
    blobs: int
    freed: int
    missing: tuple[Verification, ...]
    failed: tuple[str, ...] = ()
    instances: int = 0

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values."""
        from imgtool.model.jsonable import value_object

        return value_object(self, REPAIR)


class Amount(NamedTuple):
    """So many images, and the bytes of their data."""

    images: int
    size: int


class Pending(NamedTuple):
    """An image whose data goes when its grace period is over. Times are RFC 3339 in UTC."""

    id: str
    name: str
    deleted_at: str
    due_at: str


class Holder(NamedTuple):
    """Who has a lease, and until when it holds."""

    name: str
    holder: str
    expires_at: str


class CatalogInfo(NamedTuple):
    """A catalog in numbers.

    place: folder or URL. database: its kind; revision: of its schema; writable: False where it can only be read.
    store: where the data is. images, bytes: by status. on_disk: bytes that the store takes, null where it could not
    be looked at; problem: why. owners: by project. pending: the deletion that is due first. leases: those that are
    held. waiting: what a repair would put right. Others than administrators are told of their own project, and
    nothing that waits.
    """

    place: str
    database: str
    revision: str
    writable: bool
    store: str
    images: Mapping[str, int]
    bytes: Mapping[str, int]
    on_disk: int | None
    owners: Mapping[str, Amount]
    pending: Pending | None
    leases: tuple[Holder, ...]
    waiting: tuple[Finding, ...]
    problem: str | None = None

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values."""
        from imgtool.model.jsonable import value_object

        return value_object(self, CATALOG)
