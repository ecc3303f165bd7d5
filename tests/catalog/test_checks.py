"""The rules of a catalog: each is raised by a catalog that it is made for, and not by one close by."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from imgtool.catalog import checks, moves
from imgtool.catalog.images import New
from imgtool.catalog.service import Catalog
from imgtool.catalog.upkeep import strays
from imgtool.config.config import Config
from imgtool.errors import RefusedError
from imgtool.render import upkeep
from tests.catalog.made import ID
from tests.kit import fixture

GOOD = fixture("qcow2/plain.qcow2")
OTHER = "12345678-1234-1234-1234-123456789abd"


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    """One with an image, copied."""
    with Catalog.open(
        identity="root:ops:admin", create=True, config=Config(location=str(tmp_path / "catalog"))
    ) as it:
        source = tmp_path / "disk.img"
        source.write_bytes(GOOD)
        it.create(New("web", "ops", id=ID), source)
        yield it


def blob(catalog: Catalog, key: str = f"{ID}.1") -> Path:
    """The file of a blob."""
    path = Path(catalog.store.path(key) or "")
    if path.exists():
        path.chmod(0o600)
    return path


def found(catalog: Catalog) -> set[str]:
    """The codes that reading everything anew finds."""
    return {one.code for each in catalog.verify_all() for one in each.findings}


def execute(catalog: Catalog, statement: str) -> None:
    """Change the records behind the catalog's back."""
    with catalog.database.write() as connection:
        connection.execute(text(statement))


def gone(catalog: Catalog) -> None:
    """The data is not there."""
    blob(catalog).unlink()


def ownerless(catalog: Catalog) -> None:
    """A blob of an upload that lost."""
    blob(catalog, f"{ID}.7").write_bytes(b"more")


def abandoned(catalog: Catalog) -> None:
    """A record that is saving, and nobody is at it."""
    catalog.reserve(New("db", "ops", id=OTHER))
    with catalog.database.write() as connection:
        moves.begin_upload(connection, OTHER, 1, "ann")


def half(catalog: Catalog) -> None:
    """What came of a dead upload."""
    with catalog.store.begin(f"{OTHER}.1"):
        pass
    (Path(catalog.store.place) / "uploads" / f"{OTHER}.1.part").write_bytes(b"some")


def left(catalog: Catalog) -> None:
    """A deleted image whose data was not removed."""
    with catalog.database.write() as connection:
        moves.delete(connection, ID, "ann", delay=False)


def short(catalog: Catalog) -> None:
    """The last byte is cut off."""
    os.truncate(blob(catalog), len(GOOD) - 1)


def flipped(catalog: Catalog) -> None:
    """A bit is another one."""
    blob(catalog).write_bytes(GOOD[:-1] + b"\x01")


def linked(catalog: Catalog) -> None:
    """An image that shares its file."""
    catalog.delete(ID)
    source = Path(catalog.store.place).parent / "linked.img"
    source.write_bytes(GOOD)
    catalog.create(New("linked", "ops", id=OTHER), source, how="link")


def linked_changed(catalog: Catalog) -> None:
    """And the file is written to."""
    linked(catalog)
    (Path(catalog.store.place).parent / "linked.img").write_bytes(GOOD[:-1] + b"\x01")


def linked_longer(catalog: Catalog) -> None:
    """Or grows."""
    linked(catalog)
    (Path(catalog.store.place).parent / "linked.img").write_bytes(GOOD + b"\x01")


def as_raw(catalog: Catalog) -> None:
    """The record calls the qcow2 raw."""
    execute(catalog, "UPDATE images SET disk_format = 'raw'")


def resized(catalog: Catalog) -> None:
    """The record has another virtual size."""
    execute(catalog, "UPDATE images SET virtual_size = virtual_size + 1")


def other_algorithm(catalog: Catalog) -> None:
    """The record names a digest that nobody knows."""
    execute(catalog, "UPDATE images SET os_hash_algo = 'rot13'")


def folder_there(catalog: Catalog) -> None:
    """Something else stands under the blob's name."""
    blob(catalog).unlink()
    blob(catalog).mkdir()


def symlink_there(catalog: Catalog) -> None:
    """A symbolic link to nothing."""
    blob(catalog).unlink()
    blob(catalog).symlink_to("nowhere")


def of_no_time(catalog: Catalog) -> None:
    """The record tells no time of its making."""
    execute(catalog, "UPDATE images SET created_at = 'abc'")


def nothing(catalog: Catalog) -> None:
    """All is as it was made."""


@pytest.mark.parametrize(
    ("damage", "codes"),
    [
        (gone, {"CAT001"}),
        (symlink_there, {"CAT001"}),
        (ownerless, {"CAT002"}),
        (abandoned, {"CAT003"}),
        (half, {"CAT003"}),
        (left, {"CAT004"}),
        (short, {"CAT301"}),
        (flipped, {"CAT302"}),
        (other_algorithm, {"CAT302"}),
        (linked_changed, {"CAT303"}),
        (linked_longer, {"CAT303"}),
        (as_raw, {"CAT304"}),
        (resized, {"CAT304"}),
        (folder_there, {"CAT305"}),
        (of_no_time, {"CAT308"}),
        (linked, set()),
        (nothing, set()),
    ],
    ids=lambda one: getattr(one, "__name__", None),
)
def test_each_is_raised(catalog: Catalog, damage: Callable[[Catalog], None], codes: set[str]) -> None:
    """By what it is for, and alone; a catalog that is sound, also one with a link, raises none."""
    damage(catalog)
    assert found(catalog) == codes


def test_every_rule_was_raised() -> None:
    """The table above has all of them."""
    (mark,) = (one for one in test_each_is_raised.pytestmark if one.name == "parametrize")  # type: ignore[attr-defined] # pytest's
    assert {code for _, codes in mark.args[1] for code in codes} == {rule.code for rule in checks.RULES}


def test_one_image(catalog: Catalog) -> None:
    """`verify` tells of one, and is true where nothing was found."""
    done = catalog.verify("web")
    assert done
    assert (done.id, done.status, done.size, done.read, done.findings) == (ID, "active", len(GOOD), True, ())
    flipped(catalog)
    (finding,) = catalog.verify("web").findings
    assert (finding.code, finding.message) == ("CAT302", "md5 and sha512 differ from what was recorded")
    assert not catalog.verify("web")
    told = catalog.verify("web").to_dict()
    assert told["schema"] == "imgtool.verification/1"


def test_deactivated_data_is_read_for_administrators_alone(catalog: Catalog, tmp_path: Path) -> None:
    """Others who may verify are told whether it is there, and that it was not read."""
    (tmp_path / "access.yaml").write_text('verify_catalog: "role:reader"\n')
    catalog.deactivate("web")
    config = catalog.config._replace(access=str(tmp_path / "access.yaml"))
    with Catalog.open(identity="ann:lab:member", config=config) as other:
        (told,) = other.verify_all()
        assert told
        assert not told.read
        assert "not read: only an administrator" in upkeep.verification(told)
        flipped(catalog)
        assert all(other.verify_all())
    assert found(catalog) == {"CAT302"}


def test_what_waits_for_its_deletion_is_read_too(catalog: Catalog) -> None:
    """It can be restored; what is deleted meanwhile is not missed; who may not, reads nothing."""
    catalog.delete("web")
    flipped(catalog)
    assert found(catalog) == {"CAT302"}
    blob(catalog).write_bytes(GOOD)
    run = catalog.verify_all(meters=None)
    catalog.scrub(delay=0)
    assert list(run) == []
    with (
        Catalog.open(identity="ann:lab:member", config=catalog.config) as other,
        pytest.raises(RefusedError, match="may not verify catalog"),
    ):
        list(other.verify_all())


def test_a_dry_run_changes_nothing(catalog: Catalog) -> None:
    """It tells the same that the repair does, and what the repair cannot mend."""
    for damage in (ownerless, abandoned, half):
        damage(catalog)
    blob(catalog).unlink()
    before = strays(catalog)
    told = catalog.repair(dry_run=True)
    assert (told.uploads, told.blobs, told.freed) == (1, 1, 8)
    assert [(one.id, one.findings[0].code) for one in told.missing] == [(ID, "CAT001")]
    assert strays(catalog) == before
    assert catalog.repair() == told
    assert strays(catalog) == ()


def test_one_that_cannot_be_removed_does_not_stop_the_rest(catalog: Catalog) -> None:
    """Its message is told, the others go; a later run tries it again."""
    linked(catalog)
    catalog.delete(OTHER)
    folder_there(catalog)
    done = catalog.scrub(delay=0)
    assert (done.images, done.blobs, done.freed) == (2, 1, len(GOOD))
    (message,) = done.failed
    assert message.startswith(f"image {ID}: ")
    blob(catalog).rmdir()
    blob(catalog).write_bytes(GOOD)
    assert catalog.scrub() == (0, 1, len(GOOD), ())
