"""Bringing a catalog's schema up to this version: one SELECT when there is nothing to do.

A migration is one transaction, and one process does it while the others wait. Before it, a file is copied beside
itself; of a server the copy is the administrator's (pg_dump). A newer schema than this version's is refused.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from imgtool.catalog.database import BUSY, FILE, Database, alone, has_data, no_catalog, table_missing
from imgtool.catalog.held import flush
from imgtool.catalog.tables import REVISIONS
from imgtool.errors import ImgtoolError, InputError, OutputError, RefusedError

if TYPE_CHECKING:
    from sqlalchemy import Connection

HEAD = REVISIONS[-1]

_REVISION = re.compile(r"\d{4}", re.ASCII)

#: A copy that is not whole yet.
_HALF = re.compile(r"catalog-\d{4}-\d{8}T\d{6}Z\.db\.part", re.ASCII)


def bring_up(database: Database, *, create: bool) -> None:
    """Migrate a catalog to `HEAD`, or make it where there is none and `create` says so.

    Raises NotFoundError, InputError, OutputError, RefusedError for a newer schema, and for a new catalog where the
    data of another is.
    """
    found = revision_of(database)
    if found == HEAD:
        return
    if found is None:
        _may_be_made(database, create)
    if not database.writable:
        raise OutputError(
            f"{database.place}: its schema is {found or 'none'}, and it cannot be written to migrate it"
        )
    if database.folder is not None:
        _write_ahead(database)
    _migrate(database)


def _may_be_made(database: Database, create: bool) -> None:
    """Raises NotFoundError, RefusedError where no catalog is, and none is to be made."""
    folder = database.folder
    lost = folder is not None and has_data(folder) and revision_of(database) is None  # nobody made it meanwhile
    if lost or not create:
        place = folder if folder is not None and lost else database.place
        raise no_catalog(place, create=create, lost=f"catalog in {FILE}" if lost else None)


def _migrate(database: Database) -> None:
    """In one transaction. Where that fails, and nothing was changed, no copy stays."""
    before = backup = None
    try:
        with database.write() as connection:
            alone(connection, "imgtool")
            found = _revision(connection, database)
            if found == HEAD:
                return
            if found is not None and database.folder is not None:
                backup = back_up(database.folder, found)
            before = found
            _upgrade(connection)
    except BaseException as error:
        if before is None or not _still(database, before):
            raise
        if backup is not None:
            with suppress(OSError):
                os.unlink(backup)
        if isinstance(error, ImgtoolError):
            raise _failed(database, before, error) from error
        raise


def _still(database: Database, revision: str) -> bool:
    """True where a catalog certainly has a revision."""
    with suppress(ImgtoolError):
        return revision_of(database) == revision
    return False


def _failed(database: Database, before: str, error: ImgtoolError) -> ImgtoolError:
    why = str(error).removeprefix(f"{database.place}: ")
    return type(error)(f"{database.place}: the migration from {before} failed: {why}; nothing was changed")


def revision_of(database: Database) -> str | None:
    """The revision of a catalog's schema; None where there is no catalog. Raises RefusedError, InputError."""
    try:
        with database.read() as connection:
            if (found := _version(connection, database)) is not None:
                return found
    except InputError as error:
        if not table_missing(error):
            raise
    with database.read() as connection:
        return _revision(connection, database)


def _revision(connection: Connection, database: Database) -> str | None:
    """The same from within a transaction, which a missing table does not end."""
    from sqlalchemy import inspect

    names = set(inspect(connection).get_table_names())
    versioned = "alembic_version" in names
    if versioned and (found := _version(connection, database)) is not None:
        return found
    if names & {"images", "image_history"}:
        raise InputError(
            _damaged(database, "the table alembic_version has no rows, not one")
            if versioned
            else f"{database.place}: has tables of images, and is no catalog of imgtool"
        )
    return None


def _version(connection: Connection, database: Database) -> str | None:
    """The revision that is noted. Raises RefusedError for a newer one, InputError for what is none."""
    from sqlalchemy import text

    rows = connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
    if len(rows) > 1:
        raise InputError(_damaged(database, f"the table alembic_version has {len(rows)} rows, not one"))
    found = rows[0] if rows else None
    if found is None or found in REVISIONS:
        return found
    if isinstance(found, str) and _REVISION.fullmatch(found) and found > HEAD:
        raise RefusedError(
            f"{database.place}: its schema is {found}, newer than this imgtool knows ({HEAD}): use the version that"
            " wrote it, or the backup made before it was migrated"
        )
    raise InputError(_damaged(database, f"its schema is {found!r}, which no imgtool wrote"))


def _damaged(database: Database, what: str) -> str:
    return f"{database.place}: the catalog's database is damaged: {what}; restore it from a backup"


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
    """Copy the database beside itself, for its owner alone, before it is migrated; the path. Raises OutputError.

    Half copies that killed processes left are removed: only one process migrates at a time.
    """
    import sqlite3

    path = os.path.join(folder, FILE)
    target = os.path.join(folder, f"catalog-{revision}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.db")
    part = f"{target}.part"
    try:
        for name in filter(_HALF.fullmatch, os.listdir(folder)):
            os.unlink(os.path.join(folder, name))
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))  # not by the umask
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
    """Raises InputError for a revision that Alembic has no way from."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise InputError(str(error)) from error
