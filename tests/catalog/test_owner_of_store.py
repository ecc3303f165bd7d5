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


def opened(place: str, store: Path | None = None) -> Catalog:
    """A catalog, made where there is none."""
    config = Config(location=place, store=None if store is None else str(store))
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
