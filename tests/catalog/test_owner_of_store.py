"""A store has the data of one catalog: another's would look to its repair as if nobody owned it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from imgtool.catalog.images import New
from imgtool.catalog.service import Catalog
from imgtool.config.config import Config
from imgtool.errors import RefusedError
from tests.kit import fixture

ADMIN = "root:ops:admin"


def opened(place: str, store: Path | None = None, delay: int = 60) -> Catalog:
    """A catalog, made where there is none."""
    config = Config(location=place, store=None if store is None else str(store), delay=delay)
    return Catalog.open(identity=ADMIN, create=True, config=config)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A small image."""
    path = tmp_path / "disk.qcow2"
    path.write_bytes(fixture("qcow2/plain.qcow2"))
    return path


def test_two_catalogs_do_not_share_a_store(place: str, tmp_path: Path, disk: Path) -> None:
    """The second brings nothing in, and repairs nothing: the first one's data stays."""
    store = tmp_path / "store"
    with opened(place, store) as first, opened(str(tmp_path / "other"), store) as second:
        kept = first.create(New("web", "ops"), disk)
        for refused in (
            second.repair,
            lambda: second.repair(dry_run=True),
            lambda: second.create(New("db", "ops"), disk),
        ):
            with pytest.raises(RefusedError, match="the data of another catalog"):
                refused()
        assert not second.list()
        assert first.verify(kept.id)
        assert not first.repair().blobs
        (store / "catalog-id").unlink()  # as its message says for a catalog that was restored
        assert second.repair().blobs == 1


def test_the_folder_of_another_catalog_is_no_store(tmp_path: Path, disk: Path) -> None:
    """Whether or not something is in it yet."""
    opened(str(tmp_path / "first")).close()
    with (
        opened(str(tmp_path / "second"), tmp_path / "first") as second,
        pytest.raises(RefusedError, match="is the folder of another catalog"),
    ):
        second.repair()


def test_a_folder_goes_with_its_database(tmp_path: Path, disk: Path) -> None:
    """A catalog's folder is its own, copied, moved, or with an older database put back in its place."""
    with opened(str(tmp_path / "first")) as first:
        kept = first.create(New("web", "ops"), disk)
    shutil.copytree(tmp_path / "first", tmp_path / "copy")
    with opened(str(tmp_path / "copy")) as copy:
        assert copy.verify(kept.id)
        assert not copy.repair().blobs
    opened(str(tmp_path / "older")).close()
    shutil.copy(tmp_path / "older" / "catalog.db", tmp_path / "copy" / "catalog.db")
    with opened(str(tmp_path / "copy")) as restored:
        restored.create(New("db", "ops"), disk)
    assert (tmp_path / "copy" / "catalog-id").read_text() != (tmp_path / "first" / "catalog-id").read_text()


def test_a_store_that_is_not_mounted(place: str, tmp_path: Path, disk: Path) -> None:
    """An empty folder is not believed: nothing is taken for removed, and nothing comes into it."""
    store, away = tmp_path / "store", tmp_path / "away"
    with opened(place, store) as catalog, opened(place, store, delay=0) as eager:
        web, db = (catalog.create(New(name, "ops"), disk).id for name in ("web", "db"))
        catalog.delete(web)
        store.rename(away)
        store.mkdir()
        for refused in (
            catalog.repair,
            lambda: catalog.repair(dry_run=True),
            lambda: catalog.scrub(delay=0),
            lambda: catalog.create(New("new", "ops"), disk),
            lambda: eager.delete(db),
        ):
            with pytest.raises(RefusedError, match="has none of this catalog's data: is its disk mounted"):
                refused()
        assert not list(store.iterdir())
        assert catalog.show(db).status == "active"
        store.rmdir()
        away.rename(store)
        assert catalog.scrub(delay=0)[:2] == (1, 1)
        assert eager.delete(db).status == "deleted"
        assert not list((store / "blobs").iterdir())


def test_another_store_is_not_scrubbed(place: str, tmp_path: Path, disk: Path) -> None:
    """Neither by the scrubber, nor by a deletion that has no delay."""
    store, other = tmp_path / "store", tmp_path / "other"
    with opened(place, store) as catalog, opened(str(tmp_path / "second"), other) as second:
        kept = catalog.create(New("web", "ops"), disk).id
        second.create(New("db", "ops"), disk)
        with opened(place, other, delay=0) as wrong:
            for refused in (lambda: wrong.scrub(delay=0), lambda: wrong.delete(kept)):
                with pytest.raises(RefusedError, match="holds the data of another catalog"):
                    refused()
        assert catalog.verify(kept)


def test_a_store_that_was_made_before_stores_had_marks(place: str, tmp_path: Path, disk: Path) -> None:
    """It is known by the data that is in it."""
    store = tmp_path / "store"
    with opened(place, store) as catalog:
        kept = catalog.create(New("web", "ops"), disk).id
        mark = store / "catalog-id"
        identifier = mark.read_text()
        mark.unlink()
        assert catalog.scrub(delay=0) == (0, 0, 0, ())
        assert not mark.exists()
        catalog.create(New("db", "ops"), disk)
        assert mark.read_text() == identifier
        assert catalog.verify(kept)


def test_data_that_is_lost(place: str, tmp_path: Path, disk: Path) -> None:
    """Whoever writes the mark, as the message says, begins anew; what was not there is not told as removed."""
    store = tmp_path / "store"
    with opened(place, store) as catalog:
        web, db = (catalog.create(New(name, "ops"), disk).id for name in ("web", "db"))
        catalog.delete(web)
        shutil.rmtree(store)
        with pytest.raises(RefusedError) as told:
            catalog.repair()
        identifier, _, path = str(told.value).rpartition("write ")[2].partition(" into ")
        store.mkdir()
        Path(path).write_text(f"{identifier}\n")
        assert [one.id for one in catalog.repair().missing] == [web, db]
        assert catalog.scrub(delay=0) == (1, 0, 0, ())
        assert not catalog.repair(dry_run=True).blobs
        assert catalog.create(New("new", "ops"), disk).status == "active"
