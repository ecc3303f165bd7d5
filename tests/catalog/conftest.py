"""A catalog's database of either kind, empty; a small catalog whose verbs are typed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from imgtool.catalog.database import Database, open_database
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
