"""A catalog's database of either kind, empty; a small catalog whose verbs are typed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imgtool.catalog import held
from imgtool.catalog.database import Database, open_database
from imgtool.catalog.images import New
from imgtool.catalog.service import Catalog
from imgtool.config.config import Config
from tests.catalog.exports import GOOD
from tests.catalog.launched import As
from tests.catalog.made import ID
from tests.catalog.seed import seeded
from tests.catalog.server import Server, running
from tests.catalog.typed import Typed


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL."""
    with running() as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a catalog is to be: a folder, or the URL of an empty database."""
    if request.param == "sqlite":
        return str(tmp_path / "catalog")
    found: Server = request.getfixturevalue("server")
    return found.fresh()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody else holds is not waited for."""
    monkeypatch.setattr(held, "_PATIENCE", 0.0)


@pytest.fixture
def database(place: str) -> Iterator[Database]:
    """An empty catalog on either kind of database."""
    with open_database(place, create=True) as found:
        yield found


@pytest.fixture(scope="session")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files and the catalog of `seeded`."""
    folder = tmp_path_factory.mktemp("seed")
    seeded(folder)
    return folder


@pytest.fixture
def typed(seed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Verbs of images, typed into a copy of it, with nothing of this machine's configuration."""
    for name in [name for name in os.environ if name.startswith("IMGTOOL_")]:
        monkeypatch.delenv(name)
    shutil.copytree(seed, tmp_path / "here", symlinks=True)
    return Typed(tmp_path / "here")


@pytest.fixture
def open_at(tmp_path: Path) -> Iterator[Callable[..., Catalog]]:
    """Open, or make, a catalog at a place; its data lies beside."""
    opened: list[Catalog] = []

    def one(place: str, who: str = "root:ops:admin", **settings: object) -> Catalog:
        name = place.rpartition("/")[2].partition("?")[0]
        config = Config(location=place, store=str(tmp_path / f"store-{name}"))._replace(**settings)
        opened.append(Catalog.open(identity=who, create=True, config=config))
        return opened[-1]

    (tmp_path / "disk.img").write_bytes(GOOD)
    yield one
    for catalog in opened:
        catalog.close()


@pytest.fixture
def first(open_at: Callable[..., Catalog], tmp_path: Path) -> Catalog:
    """One with an image."""
    found = open_at(str(tmp_path / "one"))
    found.create(New("web", "ops", id=ID), tmp_path / "disk.img")
    return found


@pytest.fixture
def second(open_at: Callable[..., Catalog], tmp_path: Path) -> Catalog:
    """Another one, empty."""
    return open_at(str(tmp_path / "two"))


@pytest.fixture
def as_(tmp_path: Path) -> Iterator[As]:
    """Open one catalog as anybody."""
    opened: list[Catalog] = []

    def open_as(who: str = "root:ops:admin", **settings: object) -> Catalog:
        config = Config(location=str(tmp_path / "catalog"))._replace(**settings)
        opened.append(Catalog.open(identity=who, create=True, config=config))
        return opened[-1]

    yield open_as
    for catalog in opened:
        catalog.close()
