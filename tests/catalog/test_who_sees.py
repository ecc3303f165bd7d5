"""Who sees, names and changes which images."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from imgtool.catalog.images import Changes, New
from imgtool.errors import NotFoundError, RefusedError, UsageError
from tests.catalog.launched import As
from tests.catalog.made import ID
from tests.catalog.test_service import GOOD


def test_owner_and_visibility_together(as_: As, tmp_path: Path) -> None:
    """Whether an image may be public is asked of the owner that it gets."""
    (tmp_path / "access.yaml").write_text("publicize_image: project_id:%(owner)s\n")
    admin = as_(access=str(tmp_path / "access.yaml"))
    admin.reserve(New("web", "ops"))
    with pytest.raises(RefusedError, match="may not publicize image"):
        admin.change("web", Changes(owner="dev", visibility="public"))
    assert admin.show("web").owner == "ops"
    admin.change("web", Changes(owner="dev"))
    assert admin.change("web", Changes(owner="ops", visibility="public")).visibility == "public"


def test_who_sees_and_changes_what(as_: As) -> None:
    """What is not one's own is not there, or not to be changed."""
    ann, bob, admin = as_("ann:lab:member"), as_("bob:dev:member"), as_()
    ann.reserve(New("mine", "lab", visibility="private"))
    record = ann.reserve(New("shared", "lab"))
    with pytest.raises(RefusedError):
        ann.reserve(New("x", "dev"))
    with pytest.raises(RefusedError, match="publicize"):
        ann.change("mine", Changes(visibility="public"))
    for called in ("mine", "shared", record.id):
        with pytest.raises(NotFoundError):
            bob.show(called)
    assert ann.add_member("shared", "dev").status == "pending"
    assert bob.show(record.id).id == record.id
    with pytest.raises(NotFoundError):  # a name that he did not accept is not his to stumble over
        bob.show("shared")
    assert bob.list() == ()
    with pytest.raises(RefusedError):
        ann.set_member("shared", "dev", "accepted")
    assert bob.set_member("shared", "dev", "accepted").status == "accepted"
    assert [one.name for one in bob.list()] == ["shared"]
    for call in (
        lambda: bob.change("shared", Changes(name="x")),
        lambda: bob.delete("shared"),
        lambda: bob.add_member("shared", "all"),
        lambda: bob.upload("shared", io.BytesIO(GOOD)),
        lambda: bob.history("shared"),
    ):
        with pytest.raises(RefusedError, match="may not"):
            call()
    ann.add_member("shared", "third")
    assert [one.member for one in bob.members("shared")] == ["dev"]
    assert [one.member for one in ann.members("shared")] == ["dev", "third"]
    ann.remove_member("shared", "dev")
    assert bob.list() == ()
    assert admin.change("mine", Changes(visibility="public"), tags=["t"], properties={"k": "v"}).tags == ("t",)
    assert bob.show("mine").properties == {"k": "v"}
    assert ann.unset("mine", tags=["t"], properties=["k"]).properties == {}


def test_nobody_stands_behind_anothers_name(as_: As) -> None:
    """What is shared and not accepted, or rejected, is found by its id, and by its name for the answer alone."""
    mallory, carol, admin = as_("mallory:evil:member"), as_("carol:lab:member"), as_()
    mallory.reserve(New("debian", "evil"))
    mallory.add_member("debian", "lab")
    theirs = mallory.show("debian")
    with pytest.raises(NotFoundError):
        carol.show("debian")
    assert carol.show(theirs.id) == theirs
    assert carol.set_member("debian", "lab", "rejected").status == "rejected"
    real = admin.reserve(New("debian", "ops", visibility="public"))
    assert carol.show("debian") == real
    carol.set_member(theirs.id, "lab", "accepted")
    with pytest.raises(UsageError, match="several images are called 'debian'"):
        carol.show("debian")


def test_a_page_begins_behind_what_is_seen(as_: As) -> None:
    """An image that one does not see is no marker, whether it is there or not."""
    ann, bob = as_("ann:lab:member"), as_("bob:dev:member")
    hidden = ann.reserve(New("hidden", "lab", visibility="private"))
    mine = bob.reserve(New("mine", "dev"))
    for marker in (hidden.id, ID):
        with pytest.raises(NotFoundError, match=f"no image {marker}"):
            bob.list(marker=marker)
    assert bob.list(marker=mine.id) == ()


def test_a_name_may_look_like_an_id(as_: As) -> None:
    """The image with the id goes before; where there is none, the name is looked for."""
    catalog = as_()
    odd = catalog.reserve(New(ID, "ops"))
    assert catalog.show(ID) == odd
    first = catalog.reserve(New("first", "ops", id=ID))
    assert catalog.show(ID) == first
    assert catalog.show(odd.id) == odd
