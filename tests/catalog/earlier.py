"""Catalogs as earlier versions of the schema made them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine, create_engine, make_url, text

from tests.kit import ROOT

if TYPE_CHECKING:
    from sqlalchemy import Connection

COUNT = 40  #: images in one that was filled

TABLES = ("images", "image_tags", "image_properties", "image_members", "image_history", "image_reports", "leases")

_IMAGES = (
    "INSERT INTO images (id, name, status, visibility, protected, owner, disk_format, container_format, size,"
    " min_disk, min_ram, created_at, updated_at, attempt, blob, linked) VALUES (:id, :name, :status, 'shared', :no,"
    " 'lab', 'raw', 'bare', :size, 0, 0, :at, :at, :attempt, :blob, :no)"
)
_OTHERS = (
    "INSERT INTO image_tags VALUES (:id, 'linux')",
    "INSERT INTO image_properties VALUES (:id, 'os_distro', :name)",
    "INSERT INTO image_members VALUES (:id, 'ops', 'pending', :at, :at)",
    "INSERT INTO image_history (image_id, at, before, after, who, why)"
    " VALUES (:id, :at, NULL, 'queued', 'ann', 'created')",
    "INSERT INTO image_reports VALUES (:id, '{}')",
)


def engine_of(place: str) -> Engine:
    """The database of a place, without the catalog's own way to it."""
    if "://" in place:
        return create_engine(make_url(place).set(drivername="postgresql+psycopg"))
    Path(place).mkdir(exist_ok=True)
    return create_engine(f"sqlite:///{place}/catalog.db")


def made_by(place: str, revision: str, count: int = COUNT) -> None:
    """A catalog whose schema is of a revision, with `count` images: every other one is active."""
    from alembic import command
    from alembic.config import Config

    engine = engine_of(place)
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(ROOT / "imgtool" / "catalog" / "migrations"))
        config.set_main_option("path_separator", "os")
        command.upgrade(config, revision)
        for number in range(count):
            fill(connection, number)
    engine.dispose()


def fill(connection: Connection, number: int) -> None:
    """An image, and what belongs to it."""
    identifier, active = f"00000000-0000-4000-8000-{number:012x}", number % 2
    row: dict[str, object] = {
        "id": identifier,
        "name": f"image {number}",
        "status": "active" if active else "queued",
        "size": 4096 if active else None,
        "attempt": active,
        "blob": f"{identifier}.1" if active else None,
        "no": False,
        "at": 1_700_000_000_000_000 + number,
    }
    for statement in (_IMAGES, *_OTHERS):
        connection.execute(text(statement), row)


def rows_of(place: str) -> dict[str, list[tuple[object, ...]]]:
    """Every row of the first schema's tables, in order."""
    engine = engine_of(place)
    with engine.connect() as connection:
        found = {
            table: sorted(map(tuple, connection.execute(text(f"SELECT * FROM {table}"))), key=repr)
            for table in TABLES
        }
    engine.dispose()
    return found
