"""Records in the database, on SQLite and PostgreSQL."""

from __future__ import annotations

import re

import jsonschema
import pytest

from imgtool.catalog import images, members
from imgtool.catalog.database import Database
from imgtool.catalog.images import Changes, New
from imgtool.catalog.records import Quotas
from imgtool.errors import NotFoundError, RefusedError, UsageError
from imgtool.model.schema import image_schema
from tests.catalog.made import ID, image_of, queued


def test_a_new_image(database: Database) -> None:
    """Everything that was said of it, and nothing that is not known yet."""
    new = New(
        name="web",
        owner="lab",
        id=ID.upper(),
        visibility="private",
        protected=True,
        disk_format="ami",
        min_disk=3,
        min_ram=512,
        tags=("b", "a", "b"),
        properties={"os": "linux", "arch": "x86_64"},
    )
    with database.write() as connection:
        images.create(connection, new, "ann")
    with database.read() as connection:
        kept = images.get(connection, ID)
    said = kept.record.to_dict()
    made = said.pop("created_at")
    assert isinstance(made, str)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made)
    assert said.pop("updated_at") == made
    assert said == {
        "schema": "imgtool.image/1", "id": ID, "name": "web", "status": "queued", "visibility": "private",
        "protected": True, "owner": "lab", "tags": ["a", "b"], "disk_format": "ami", "container_format": "ami",
        "size": None, "virtual_size": None, "checksum": None, "os_hash_algo": None, "os_hash_value": None,
        "min_disk": 3, "min_ram": 512, "reason": None, "properties": {"arch": "x86_64", "os": "linux"},
    }  # fmt: skip
    assert (kept.attempt, kept.blob, kept.linked, kept.previous, kept.deleted_at) == (0, None, False, None, None)
    jsonschema.validate(kept.record.to_dict(), image_schema())


def test_ids_are_fresh_or_given_once(database: Database) -> None:
    """The id of an image that was deleted is not given again."""
    with database.write() as connection:
        first, second = queued(connection), queued(connection)
        assert first != second
        gone = image_of(connection, "deleted")
        with pytest.raises(RefusedError, match=f"an image with the id {gone} exists, or existed"):
            queued(connection, id=gone)
        assert images.get(connection, first).record.status == "queued"
        with pytest.raises(NotFoundError):
            images.get(connection, ID)


def test_changing_fields(database: Database) -> None:
    """What is named changes; the rest stays."""
    with database.write() as connection:
        one = queued(connection, disk_format="raw", min_ram=64)
        changes = Changes(name="db", owner="ops", visibility="public", protected=True, min_disk=5)
        record = images.update(connection, one, changes).record
    said = (record.name, record.owner, record.visibility, record.protected, record.min_disk, record.min_ram)
    assert said == ("db", "ops", "public", True, 5, 64)
    assert record.disk_format == "raw"


def test_formats_are_fixed_once_data_is_there(database: Database) -> None:
    """Before, Amazon's fill each other in."""
    with database.write() as connection:
        one = queued(connection, disk_format="raw", container_format="bare")
        assert images.update(connection, one, Changes(disk_format="vpc")).record.disk_format == "vhd"
        record = images.update(connection, one, Changes(container_format="aki")).record
        assert (record.disk_format, record.container_format) == ("aki", "aki")
        with pytest.raises(UsageError):
            images.update(connection, one, Changes(disk_format="raw"))
        active = image_of(connection, "active")
        with pytest.raises(RefusedError, match="is active: formats are fixed once there is data"):
            images.update(connection, active, Changes(disk_format="raw"))


@pytest.mark.parametrize("status", ["deleted", "pending_delete"])
def test_deleted_images_do_not_change(database: Database, status: str) -> None:
    """Neither fields, tags, properties nor members."""
    with database.write() as connection:
        one = image_of(connection, status)  # type: ignore[arg-type] # it is a status
        for change in (
            lambda: images.update(connection, one, Changes(name="x")),
            lambda: images.add_tags(connection, one, ["x"]),
            lambda: images.set_properties(connection, one, {"x": "y"}),
            lambda: members.add_member(connection, one, "ops"),
        ):
            with pytest.raises(RefusedError, match=f"is {status}: it can no longer be changed"):
                change()


def test_tags(database: Database) -> None:
    """Put on once, taken off, counted."""
    with database.write() as connection:
        one = queued(connection, tags=("b",))
        assert images.add_tags(connection, one, ["a", "b", "a"]).record.tags == ("a", "b")
        assert images.remove_tags(connection, one, ["b"]).record.tags == ("a",)
        with pytest.raises(RefusedError, match="has no tag 'b'"):
            images.remove_tags(connection, one, ["b"])
        with pytest.raises(RefusedError, match="at most 2"):
            images.add_tags(connection, one, ["c", "d"], Quotas(tags=2))
        assert images.get(connection, one).record.tags == ("a",)


def test_properties(database: Database) -> None:
    """Set, set anew, removed, counted."""
    with database.write() as connection:
        one = queued(connection, properties={"os": "linux"})
        record = images.set_properties(connection, one, {"os": "bsd", "x": "ü\n'; DROP TABLE images; --"}).record
        assert record.properties == {"os": "bsd", "x": "ü\n'; DROP TABLE images; --"}
        assert images.unset_properties(connection, one, ["os"]).record.properties == {"x": record.properties["x"]}
        with pytest.raises(RefusedError, match="has no property 'os'"):
            images.unset_properties(connection, one, ["os"])
        with pytest.raises(RefusedError, match="at most 1 properties"):
            images.set_properties(connection, one, {"y": ""}, Quotas(properties=1))
        with pytest.raises(RefusedError, match="set by the catalog alone"):
            images.set_properties(connection, one, {"size": "0"})


def test_the_longest_values(database: Database) -> None:
    """Every limit fits the database."""
    with database.write() as connection:
        one = queued(connection, name="é" * 255, owner="ü" * 255, tags=["🜁" * 255], min_disk=2**31 - 1)
        record = images.set_properties(connection, one, {"k" * 255: "v" * 65_535}).record
    assert (len(record.name), len(record.tags[0]), len(record.properties["k" * 255])) == (255, 255, 65_535)


def test_the_verdict_is_kept(database: Database) -> None:
    """The last one."""
    with database.write() as connection:
        one = queued(connection)
        assert images.verdict_of(connection, one) is None
        images.keep_verdict(connection, one, '{"accepted": false}')
        images.keep_verdict(connection, one, '{"accepted": true}')
        assert images.verdict_of(connection, one) == '{"accepted": true}'


def test_members(database: Database) -> None:
    """Added as pending, once; accepted; removed."""
    with database.write() as connection:
        one = queued(connection)
        assert members.add_member(connection, one, "ops").status == "pending"
        with pytest.raises(RefusedError, match="ops is a member already"):
            members.add_member(connection, one, "ops")
        with pytest.raises(RefusedError, match="at most 1 members"):
            members.add_member(connection, one, "dev", Quotas(members=1))
        members.add_member(connection, one, "dev")
        assert members.set_member(connection, one, "ops", "accepted").status == "accepted"
        assert [(each.member, each.status) for each in members.members(connection, one)] == [
            ("dev", "pending"),
            ("ops", "accepted"),
        ]
        members.remove_member(connection, one, "dev")
        for call in (
            lambda: members.remove_member(connection, one, "dev"),
            lambda: members.set_member(connection, one, "dev", "rejected"),
            lambda: members.member(connection, one, "dev"),
        ):
            with pytest.raises(NotFoundError, match="has no member dev"):
                call()


@pytest.mark.parametrize("visibility", ["public", "community", "private"])
def test_only_shared_images_have_members(database: Database, visibility: str) -> None:
    """The others are for everybody, or for nobody."""
    with database.write() as connection:
        one = queued(connection, visibility=visibility)
        with pytest.raises(RefusedError, match=f"is {visibility}: only a shared image has members"):
            members.add_member(connection, one, "ops")
