"""A catalog's database of either kind, empty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from imgtool.catalog.database import Database, open_database
from tests.catalog.server import Server, running


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
