"""Lists of images: filtered, sorted, a page at a time; and an image by what the user calls it.

Reference: Image API v2, "List images": what a project's list shows without asking, `member_status`, `marker`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from imgtool.catalog import records
from imgtool.catalog.damage import Damaged
from imgtool.catalog.images import Kept, get, kept
from imgtool.catalog.status import LISTED, STATUSES
from imgtool.catalog.tables import tables
from imgtool.errors import NotFoundError, UsageError
from imgtool.model.image import MemberStatus, Status

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

SortKey = Literal[
    "created_at",
    "updated_at",
    "name",
    "status",
    "visibility",
    "owner",
    "disk_format",
    "container_format",
    "size",
    "virtual_size",
    "min_disk",
    "min_ram",
    "id",
]
SORT_KEYS: tuple[SortKey, ...] = get_args(SortKey)

#: What stands for an absent value where one sorts: before all others on every database.
_ABSENT: dict[str, object] = {"disk_format": "", "container_format": "", "size": -1, "virtual_size": -1}


#: Tags and properties that one list is asked for by: below what SQLite takes in one expression.
_MOST_ASKED = 500


class Sort(NamedTuple):
    """One key of an order."""

    key: SortKey
    descending: bool = False


#: The newest first.
DEFAULT_SORT: tuple[Sort, ...] = (Sort("created_at", True),)


class Viewer(NamedTuple):
    """Who looks at a list: a project. `member_status`: of what is shared with it, "all" for any."""

    project: str
    member_status: MemberStatus | Literal["all"] = "accepted"


class Filters(NamedTuple):
    """What a list shows: all that is given must hold. `viewer`: None sees everything.

    status: any of them; none given leaves out what is deleted. tags and properties: each. size_min, size_max: bytes.
    Images of visibility `community` are shown to others than their owner only where that visibility, or their owner,
    is asked for.
    """

    viewer: Viewer | None = None
    status: tuple[Status, ...] = ()
    visibility: str | None = None
    name: str | None = None
    owner: str | None = None
    protected: bool | None = None
    disk_format: str | None = None
    container_format: str | None = None
    tags: tuple[str, ...] = ()
    properties: tuple[tuple[str, str], ...] = ()
    size_min: int | None = None
    size_max: int | None = None


#: Every image that is not deleted.
ALL = Filters()


def list_images(
    connection: Connection,
    filters: Filters = ALL,
    sort: tuple[Sort, ...] = DEFAULT_SORT,
    *,
    limit: int | None = None,
    marker: str | None = None,
    damaged: list[Damaged] | None = None,
) -> list[Kept]:
    """The images of a list in order; equal ones by their ids. `limit`: at most so many; `marker`: those behind the
    image with that id. `damaged`: gets those that cannot be read, which are left out then. Raises UsageError,
    NotFoundError for a marker that does not exist, InputError for a damaged row."""
    from sqlalchemy import select

    images = tables().images
    if limit is not None and limit < 0:
        raise UsageError(f"limit: {limit} is less than 0")
    order = _order(sort)
    keys = [_sorting(one.key) for one in order]
    statement = select(images).where(*_conditions(filters))
    if marker is not None:
        statement = statement.where(_behind(connection, order, marker))
    statement = statement.order_by(
        *(key.desc() if one.descending else key.asc() for key, one in zip(keys, order, strict=True))
    )
    if limit is not None:
        statement = statement.limit(min(limit, records.INTEGER))
    return kept(connection, connection.execute(statement).all(), damaged)


def _order(sort: tuple[Sort, ...]) -> tuple[Sort, ...]:
    """Each key once, the ids last: an order in which no two images are equal."""
    by_key = {one.key: one for one in reversed(sort)}
    order = tuple(by_key[key] for key in dict.fromkeys(one.key for one in sort))
    return order if "id" in by_key else (*order, Sort("id", order[-1].descending if order else False))


def find(
    connection: Connection, called: str, viewer: Viewer | None = None, status: tuple[Status, ...] = LISTED
) -> Kept:
    """The image that a user means: by id, whoever sees it; else by a name that only one has of those that the
    viewer's list shows, and that are of one of the statuses.

    Raises NotFoundError, UsageError with the ids where several have the name.
    """
    if records.is_id(called):
        with suppress(NotFoundError):
            return get(connection, called)
    found = list_images(connection, Filters(viewer=viewer, name=called, status=status), limit=11)
    if not found:
        raise NotFoundError(f"no image {called!r}")
    if len(found) > 1:
        ids = ", ".join(one.record.id for one in found[:10]) + (", …" if len(found) > 10 else "")
        raise UsageError(f"several images are called {called!r}: {ids}")
    return found[0]


def parse_sort(text: str) -> tuple[Sort, ...]:
    """An order as it is typed: "name:asc,size:desc", ascending where nothing is said. Raises UsageError."""
    order = []
    for part in text.split(","):
        key, _, direction = part.strip().partition(":")
        if direction not in ("", "asc", "desc"):
            raise UsageError(f"sort {part.strip()!r}: the direction is asc or desc")
        known = next((one for one in SORT_KEYS if one == key), None)
        if known is None:
            raise UsageError(f"sort {key!r}: no such key (one of {', '.join(SORT_KEYS)})")
        order.append(Sort(known, direction == "desc"))
    return tuple(order)


def parse_status(text: str) -> Status:
    """A status as it is typed. Raises UsageError."""
    for known in STATUSES:
        if text == known:
            return known
    raise UsageError(f"no such status: {text!r} (one of {', '.join(STATUSES)})")


def blobs(connection: Connection) -> frozenset[str]:
    """The keys of all data that a record has, deleted images' too."""
    from sqlalchemy import select

    images = tables().images
    return frozenset(connection.execute(select(images.c.blob).where(images.c.blob.is_not(None))).scalars())


def totals(connection: Connection, owner: str | None = None) -> tuple[int, int]:
    """How many images are there that are not deleted, and the bytes of their data; of one owner, or of all."""
    from sqlalchemy import func, select

    images = tables().images
    conditions = [images.c.status != "deleted"]
    if owner is not None:
        conditions.append(images.c.owner == owner)
    count, size = connection.execute(
        select(func.count(), func.coalesce(func.sum(images.c.size), 0)).where(*conditions)
    ).one()
    return int(count), int(size)


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    from sqlalchemy import exists

    table = tables()
    images = table.images
    conditions: list[ColumnElement[bool]] = [images.c.status.in_(dict.fromkeys(filters.status or LISTED))]
    if len(filters.tags) + len(filters.properties) > _MOST_ASKED:
        raise UsageError(f"a list is asked for by at most {_MOST_ASKED} tags and properties")
    for field in ("visibility", "name", "owner", "protected", "disk_format", "container_format"):
        value = getattr(filters, field)
        if value is not None:
            conditions.append(images.c[field] == value)
    if filters.size_min is not None:
        conditions.append(images.c.size >= _size("size_min", filters.size_min))
    if filters.size_max is not None:
        conditions.append(images.c.size <= _size("size_max", filters.size_max))
    for tag in filters.tags:
        conditions.append(exists().where(table.tags.c.image_id == images.c.id, table.tags.c.tag == tag))
    for name, value in filters.properties:
        own = (table.properties.c.image_id == images.c.id, table.properties.c.name == name)
        conditions.append(exists().where(*own, table.properties.c.value == value))
    if filters.viewer is not None:
        conditions.append(_seen(filters.viewer, filters))
    return conditions


def _size(what: str, size: int) -> int:
    """Bytes that a database can compare with. Raises UsageError."""
    if not 0 <= size < 1 << 63:
        raise UsageError(f"{what} is from 0 to {(1 << 63) - 1}")
    return size


def _seen(viewer: Viewer, filters: Filters) -> ColumnElement[bool]:
    """What the list of a project shows: `visibility.lists` as a condition."""
    from sqlalchemy import and_, or_, select

    images, members = tables().images, tables().members
    mine = [members.c.member == viewer.project]
    if viewer.member_status != "all":
        mine.append(members.c.status == viewer.member_status)
    shared = images.c.id.in_(select(members.c.image_id).where(*mine))
    open_to_all = [images.c.visibility == "public"]
    if filters.visibility == "community" or filters.owner is not None:
        open_to_all.append(images.c.visibility == "community")
    seen = or_(*open_to_all, and_(images.c.visibility == "shared", shared))
    if set(filters.status) - set(LISTED):
        seen = and_(seen, images.c.status.in_(LISTED))
    return or_(images.c.owner == viewer.project, seen)


def _sorting(key: SortKey) -> ColumnElement[object]:
    from sqlalchemy import func

    column = tables().images.c[key]
    return func.coalesce(column, _ABSENT[key]) if key in _ABSENT else column


def _behind(connection: Connection, order: tuple[Sort, ...], marker: str) -> ColumnElement[bool]:
    """True for rows that come after the marker's."""
    from sqlalchemy import and_, or_, select

    images = tables().images
    row = connection.execute(
        select(*(_sorting(one.key).label(f"k{number}") for number, one in enumerate(order))).where(
            images.c.id == records.image_id(marker)
        )
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"no image {marker}")
    either = []
    for number, one in enumerate(order):
        same = [_sorting(order[before].key) == row[before] for before in range(number)]
        key = _sorting(one.key)
        either.append(and_(*same, key < row[number] if one.descending else key > row[number]))
    return or_(*either)
