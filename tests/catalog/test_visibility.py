"""Who sees what: the table, and the database's lists by the same table."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest

from imgtool.catalog import images, listing, members
from imgtool.catalog.database import Database
from imgtool.catalog.status import LISTED, STATUSES
from imgtool.catalog.visibility import Seen, is_member, lists, sees
from imgtool.model.image import MemberStatus, Visibility
from tests.catalog.made import image_of

VISIBILITIES = get_args(Visibility)
MEMBERSHIPS = (None, *get_args(MemberStatus))

#: visibility, membership → seen by id, listed, listed where asked for: by another project than the owner's.
OTHERS: dict[tuple[str, str | None], tuple[bool, bool, bool]] = {
    ("public", None): (True, True, True),
    ("community", None): (True, False, True),
    ("shared", None): (False, False, False),
    ("shared", "pending"): (True, False, False),
    ("shared", "accepted"): (True, True, True),
    ("shared", "rejected"): (True, False, False),
    ("private", None): (False, False, False),
}


@pytest.mark.parametrize(("visibility", "membership"), OTHERS)
def test_other_projects(visibility: Visibility, membership: MemberStatus | None) -> None:
    """Row by row; nothing at all of what is deleted."""
    image = Seen("lab", visibility, "active", membership)
    told = (sees(image, "shop"), lists(image, "shop"), lists(image, "shop", asked=True))
    assert told == OTHERS[visibility, membership]
    assert is_member(image) == (membership is not None)
    for status in STATUSES:
        there = image._replace(status=status)
        assert sees(there, "shop") == (told[0] and status in LISTED)
        assert lists(there, "shop") == (told[1] and status in LISTED)


@pytest.mark.parametrize("visibility", VISIBILITIES)
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("project", ["lab", None])
def test_the_owner_and_administrators_see_everything(
    visibility: Visibility, status: str, project: str | None
) -> None:
    """Whatever its visibility and status, without asking."""
    image = Seen("lab", visibility, status)  # type: ignore[arg-type] # a text of STATUSES
    assert sees(image, project)
    assert lists(image, project)


@pytest.mark.parametrize("membership", get_args(MemberStatus))
@pytest.mark.parametrize("visibility", ["public", "community", "private"])
def test_rows_of_members_count_for_shared_images_only(visibility: Visibility, membership: MemberStatus) -> None:
    """An image that was made private is seen by its members no longer."""
    with_row = Seen("lab", visibility, "active", membership)
    without = with_row._replace(membership=None)
    assert not is_member(with_row)
    assert (sees(with_row, "shop"), lists(with_row, "shop")) == (sees(without, "shop"), lists(without, "shop"))


@pytest.mark.parametrize("wanted", [*get_args(MemberStatus), "all"])
def test_member_status_chooses_what_is_shared(wanted: str) -> None:
    """A list shows what the project said that to; all shows all, but nobody else's."""
    for membership in MEMBERSHIPS:
        image = Seen("lab", "shared", "active", membership)
        shown = lists(image, "shop", member_status=wanted)  # type: ignore[arg-type] # one of its texts
        assert shown == (membership is not None and wanted in ("all", membership))


def test_lists_of_the_database_are_those_of_the_table(database: Database) -> None:
    """Every visibility, membership and status, for every list that a project can ask for."""
    made: dict[str, Seen] = {}
    with database.write() as connection:
        for visibility, membership, status in itertools.product(
            VISIBILITIES, MEMBERSHIPS, ("queued", "active", "pending_delete", "deleted")
        ):
            early = membership is not None
            identifier = image_of(
                connection, "active" if early else status, visibility="shared" if early else visibility
            )
            if membership is not None:
                members.add_member(connection, identifier, "shop")
                members.set_member(connection, identifier, "shop", membership)
                images.update(connection, identifier, images.Changes(visibility=visibility))
            made[identifier] = Seen("lab", visibility, "active" if early else status, membership)
        for project, wanted, asked, statuses in itertools.product(
            ("lab", "shop", "none", None), (*get_args(MemberStatus), "all"), (False, True), ((), STATUSES)
        ):
            viewer = listing.Viewer(project, wanted) if project else None
            filters = listing.Filters(viewer=viewer, status=statuses, owner="lab" if asked else None)
            shown = {one.record.id for one in listing.list_images(connection, filters)}
            expected = {
                identifier
                for identifier, image in made.items()
                if (image.status in LISTED or statuses)
                and lists(
                    image._replace(membership=image.membership if project == "shop" else None),
                    project,
                    member_status=wanted,
                    asked=asked,
                )
            }
            assert shown == expected, (project, wanted, asked, statuses)
