"""Lists: what they show to whom, in which order, in pages."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from imgtool.catalog import images, members
from imgtool.catalog.database import Database
from imgtool.catalog.listing import (
    SORT_KEYS,
    Filters,
    Sort,
    Viewer,
    find,
    list_images,
    parse_sort,
    parse_status,
    totals,
)
from imgtool.catalog.status import STATUSES
from imgtool.errors import NotFoundError, UsageError
from imgtool.model.image import ImageRecord
from tests.catalog.made import ID, image_of, queued


def names(database: Database, filters: Filters, sort: str = "name") -> list[str]:
    """The names of a list."""
    with database.read() as connection:
        return [one.record.name for one in list_images(connection, filters, parse_sort(sort))]


def test_what_is_deleted_is_shown_where_it_is_asked_for(database: Database) -> None:
    """Every other status is shown."""
    with database.write() as connection:
        for status in STATUSES:
            image_of(connection, status, name=status)
    assert names(database, Filters()) == ["active", "deactivated", "killed", "queued", "saving"]
    assert names(database, Filters(status=("deleted", "pending_delete"))) == ["deleted", "pending_delete"]


def test_filters(database: Database) -> None:
    """All that is given must hold."""
    with database.write() as connection:
        image_of(connection, "active", "a", tags=("x", "y"), properties={"os": "linux", "v": "1"})
        image_of(connection, "active", "b", tags=("x",), properties={"os": "linux"}, protected=True)
        queued(connection, "c", owner="ops", visibility="public", disk_format="raw", container_format="bare")
    for filters, expected in (
        (Filters(tags=("x",)), ["a", "b"]),
        (Filters(tags=("x", "y")), ["a"]),
        (Filters(properties=(("os", "linux"), ("v", "1"))), ["a"]),
        (Filters(properties=(("os", "1"),)), []),
        (Filters(protected=True), ["b"]),
        (Filters(protected=False, tags=("x",)), ["a"]),
        (Filters(owner="ops"), ["c"]),
        (Filters(visibility="public"), ["c"]),
        (Filters(disk_format="raw", container_format="bare"), ["c"]),
        (Filters(size_min=4096), ["a", "b"]),
        (Filters(size_max=4095), []),
        (Filters(name="a"), ["a"]),
        (Filters(name="%"), []),
        (Filters(status=("queued", "active"), owner="lab"), ["a", "b"]),
    ):
        assert names(database, filters) == expected, filters


@pytest.mark.parametrize("size", [-1, 1 << 63, 1 << 70])
def test_sizes_that_no_image_has(database: Database, size: int) -> None:
    """Are refused, whatever the database could compare with."""
    for filters in (Filters(size_min=size), Filters(size_max=size)):
        with pytest.raises(UsageError, match="is from 0 to 9223372036854775807"):
            names(database, filters)
    assert names(database, Filters(size_max=(1 << 63) - 1)) == []


def test_what_a_project_sees(database: Database) -> None:
    """Its own, what is public, and what is shared with it and taken; community images where they are asked for."""
    with database.write() as connection:
        for visibility in ("public", "community", "shared", "private"):
            queued(connection, f"mine-{visibility}", visibility=visibility)
            queued(connection, f"other-{visibility}", owner="ops", visibility=visibility)
        for status in ("pending", "accepted", "rejected"):
            one = queued(connection, f"to-me-{status}", owner="ops")
            members.add_member(connection, one, "lab")
            members.set_member(connection, one, "lab", status)
        withdrawn = queued(connection, "withdrawn", owner="ops")
        members.add_member(connection, withdrawn, "lab")
        members.set_member(connection, withdrawn, "lab", "accepted")
        images.update(connection, withdrawn, images.Changes(visibility="private"))
    mine = ["mine-community", "mine-private", "mine-public", "mine-shared"]
    lab = Filters(viewer=Viewer("lab"))
    assert names(database, lab) == [*mine, "other-public", "to-me-accepted"]
    assert names(database, lab._replace(visibility="community")) == ["mine-community", "other-community"]
    assert names(database, lab._replace(owner="ops")) == ["other-community", "other-public", "to-me-accepted"]
    for status in ("pending", "rejected"):
        shown = names(database, lab._replace(viewer=Viewer("lab", status), visibility="shared"))
        assert shown == ["mine-shared", f"to-me-{status}"]
    every = names(database, lab._replace(viewer=Viewer("lab", "all"), owner="ops", visibility="shared"))
    assert every == ["to-me-accepted", "to-me-pending", "to-me-rejected"]
    assert names(database, Filters(viewer=Viewer("nobody"))) == ["mine-public", "other-public"]
    assert len(names(database, Filters())) == 12


def plain(record: ImageRecord, key: str) -> tuple[bool, object]:
    """A value to sort by: absent ones first, text by code points."""
    value = getattr(record, key)
    return value is not None, value


@pytest.mark.parametrize("key", SORT_KEYS)
@pytest.mark.parametrize("descending", [False, True])
def test_orders_and_pages(database: Database, key: str, descending: bool) -> None:
    """Pages put together are the whole list, in order; the same on every database."""
    random.seed(key)
    with database.write() as connection:
        for name in ("b", "B", "a", "_", "é", "e", "Z", "10", "9", "b"):
            status = random.choice(("queued", "active", "deactivated"))
            image_of(connection, status, name, owner=random.choice(("x", "y")), min_disk=random.randrange(3))
    sort = (Sort(key, descending), Sort("name"))  # type: ignore[arg-type] # it is a key
    with database.read() as connection:
        whole = list_images(connection, Filters(), sort)
        paged, marker = [], None
        while page := list_images(connection, Filters(), sort, limit=3, marker=marker):
            paged += page
            marker = page[-1].record.id
    assert paged == whole
    assert len({one.record.id for one in whole}) == 10
    values = [plain(one.record, key) for one in whole]
    assert values == sorted(values, reverse=descending)
    for one, other in pairwise(whole):
        if key not in ("created_at", "updated_at") and plain(one.record, key) == plain(other.record, key):
            assert one.record.name <= other.record.name


def test_the_newest_comes_first(database: Database) -> None:
    """Where no order is asked for."""
    with database.write() as connection:
        made = [queued(connection, str(number)) for number in range(5)]
    with database.read() as connection:
        assert [one.record.id for one in list_images(connection)] == made[::-1]
        assert list_images(connection, limit=0) == []
        with pytest.raises(UsageError):
            list_images(connection, limit=-1)
        with pytest.raises(NotFoundError):
            list_images(connection, marker=ID)
        with pytest.raises(UsageError):
            list_images(connection, marker="0")


def test_an_image_by_what_it_is_called(database: Database) -> None:
    """By id whoever sees it; by a name that one alone has."""
    with database.write() as connection:
        one = queued(connection, "web")
        hidden = queued(connection, "web", owner="ops", visibility="private")
        image_of(connection, "pending_delete", "web")
        trick = queued(connection, one)  # a name in the form of another's id
        assert find(connection, "web", Viewer("lab")).record.id == one
        assert find(connection, one.upper()).record.id == one
        assert find(connection, hidden, Viewer("lab")).record.id == hidden
        assert find(connection, trick).record.name == one
        gone = find(connection, "web", Viewer("lab"), ("pending_delete",))
        assert gone.record.status == "pending_delete"
        with pytest.raises(NotFoundError, match="no image 'nothing'"):
            find(connection, "nothing")
        with pytest.raises(UsageError, match="several images are called 'web'") as caught:
            find(connection, "web")
    assert one in str(caught.value)
    assert hidden in str(caught.value)


def test_totals(database: Database) -> None:
    """What counts against quotas: what is not deleted yet."""
    with database.write() as connection:
        assert totals(connection) == (0, 0)
        for status in STATUSES:
            image_of(connection, status)
        queued(connection, owner="ops")
        assert totals(connection) == (7, 3 * 4096)
        assert totals(connection, "ops") == (1, 0)


def test_words_of_lists() -> None:
    """Orders and statuses as they are typed."""
    assert parse_sort("name,size:desc") == (Sort("name"), Sort("size", True))
    assert parse_status("killed") == "killed"
    for bad in ("", "name:up", "colour", "name,"):
        with pytest.raises(UsageError):
            parse_sort(bad)
    with pytest.raises(UsageError, match="no such status"):
        parse_status("gone")
