"""Bringing a catalog's schema up to this version: one SELECT when there is nothing to do.

A migration is one transaction, and one process does it while the others wait. Before it, a file is copied beside
itself; of a server the copy is the administrator's (pg_dump). A newer schema than this version's is refused.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from imgtool.catalog.database import BUSY, FILE, Database, alone, table_missing
from imgtool.catalog.held import flush
from imgtool.catalog.tables import REVISIONS
from imgtool.errors import InputError, NotFoundError, OutputError, RefusedError

if TYPE_CHECKING:
    from sqlalchemy import Connection

HEAD = REVISIONS[-1]

#: A copy that is not whole yet.
_HALF = re.compile(r"catalog-\d{4}-\d{8}T\d{6}Z\.db\.part", re.ASCII)


def bring_up(database: Database, *, create: bool) -> None:
    """Migrate a catalog to `HEAD`, or make it where there is none and `create` says so.

    Raises NotFoundError, InputError, OutputError, RefusedError for a newer schema.
    """
    found = revision_of(database)
    if found == HEAD:
        return
    if found is None and not create:
        raise NotFoundError(f"{database.place}: no catalog is there; `imgtool catalog init` makes one")
    if not database.writable:
        raise OutputError(
            f"{database.place}: its schema is {found or 'none'}, and it cannot be written to migrate it"
        )
    if database.folder is not None:
        _write_ahead(database)
    with database.write() as connection:
        alone(connection, "imgtool")
        again = _revision(connection, database)
        if again == HEAD:
            return
        if again is not None and database.folder is not None:
            back_up(database.folder, again)
        _upgrade(connection)


def revision_of(database: Database) -> str | None:
    """The revision of a catalog's schema; None where there is no catalog. Raises RefusedError, InputError."""
    from sqlalchemy import text

    try:
        with database.read() as connection:
            return _known(connection.execute(text("SELECT version_num FROM alembic_version")).scalar(), database)
    except InputError as error:
        if not table_missing(error):
            raise
    with database.read() as connection:
        return _revision(connection, database)


def _revision(connection: Connection, database: Database) -> str | None:
    """The same from within a transaction, which a missing table does not end."""
    from sqlalchemy import inspect, text

    names = set(inspect(connection).get_table_names())
    if "alembic_version" in names:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        if found is not None:
            return _known(found, database)
        names.discard("alembic_version")
    if names & {"images", "image_history"}:
        raise InputError(f"{database.place}: has tables of images, and is no catalog of imgtool")
    return None


def _known(found: str | None, database: Database) -> str | None:
    if found is not None and found not in REVISIONS:
        raise RefusedError(
            f"{database.place}: its schema is {found}, newer than this imgtool knows ({HEAD}): use the version that"
            " wrote it, or the backup made before it was migrated"
        )
    return found


def _write_ahead(database: Database) -> None:
    """Make a file's journal one that readers need not wait for. Its file system may not allow it: then it stays."""
    import sqlite3

    deadline = time.monotonic() + BUSY
    while True:
        try:
            with closing(sqlite3.connect(database.place, timeout=BUSY)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.DatabaseError as error:
            if not str(error).startswith("database is locked") or time.monotonic() > deadline:
                raise OutputError(f"{database.place}: {error}") from error
            time.sleep(0.02)


def back_up(folder: str, revision: str) -> str:
    """Copy the database beside itself before it is migrated; the copy's path. Raises OutputError.

    Half copies that killed processes left are removed: only one process migrates at a time.
    """
    import sqlite3

    path = os.path.join(folder, FILE)
    target = os.path.join(folder, f"catalog-{revision}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.db")
    part = f"{target}.part"
    try:
        for name in filter(_HALF.fullmatch, os.listdir(folder)):
            os.unlink(os.path.join(folder, name))
        with (
            closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY)) as source,
            closing(sqlite3.connect(part)) as copy,
        ):
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
        flush(part)
        os.replace(part, target)
        flush(folder)
    except (OSError, sqlite3.Error) as error:
        if os.path.exists(part):
            os.unlink(part)
        raise OutputError(f"{target}: the backup before the migration failed: {error}") from error
    return target


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, "head")
