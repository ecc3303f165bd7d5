"""The catalog's database: a file of SQLite in a folder, or PostgreSQL by its URL.

A transaction is `read()` or `write()`; SQLite's writers wait for each other when they begin, so that none fails in
the middle. Whatever the library raises leaves as one of ours, without the password of a URL.

A file that cannot be written (a read-only mount, another user's) is read without its journal, for which SQLite would
have to write beside it; that nobody wrote to it meanwhile is looked at behind each transaction.
Reference: SQLite, "Write-Ahead Logging", "Read-Only Databases".
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgtool.catalog.turns import take_turn
from imgtool.errors import (
    ImgtoolError,
    InputError,
    NotFoundError,
    OutputError,
    RefusedError,
    ToolMissingError,
    UsageError,
)

if TYPE_CHECKING:
    import sqlite3

    from sqlalchemy import Connection, Engine
    from sqlalchemy.exc import DBAPIError

FILE = "catalog.db"
MARK = "catalog-id"  #: the file that says whose data a folder has
BUSY = 60  #: seconds that a writer waits for another
REACH = 10  #: seconds within which a server must answer

_TAKEN = "another has that already, or was faster with it"
_AGAINST = "its own rules do not allow that"
_TOO_LARGE = "a number is larger than it can hold"

#: The second half of a failure, by the beginning of SQLite's name for it.
_SQLITE: tuple[tuple[str, type[ImgtoolError], str], ...] = (
    ("SQLITE_BUSY", OutputError, "another process is writing to it for too long"),
    ("SQLITE_PROTOCOL", OutputError, "too many processes use it at once"),
    ("SQLITE_READONLY", OutputError, "it cannot be written"),
    ("SQLITE_FULL", OutputError, "no space is left"),
    ("SQLITE_CANTOPEN", OutputError, "it cannot be opened"),
    ("SQLITE_IOERR", OutputError, "it cannot be read or written"),
    ("SQLITE_PERM", OutputError, "it cannot be opened"),
    ("SQLITE_NOTADB", InputError, "is no database of SQLite"),
    ("SQLITE_CORRUPT", InputError, "the database is damaged; the backups beside it are those before a migration"),
    ("SQLITE_CONSTRAINT_UNIQUE", RefusedError, _TAKEN),
    ("SQLITE_CONSTRAINT_PRIMARYKEY", RefusedError, _TAKEN),
    ("SQLITE_CONSTRAINT", OutputError, _AGAINST),
)


_UNDEFINED_TABLE = "42P01"

#: The same of a server, by the SQLSTATE.
_SERVER: dict[str, tuple[type[ImgtoolError], str]] = {
    "22003": (InputError, _TOO_LARGE),
    "23502": (OutputError, _AGAINST),
    "23503": (OutputError, _AGAINST),
    "23505": (RefusedError, _TAKEN),
    "23514": (OutputError, _AGAINST),
    "25006": (OutputError, "it cannot be written"),
    "42501": (RefusedError, "its user has no right to that"),
    _UNDEFINED_TABLE: (InputError, "a table of the catalog is missing"),
    "53100": (OutputError, "no space is left"),
}


class Database:
    """An open catalog. `place`: as it is shown; `folder`: where the file lies, None on a server. `writable`: False
    for a file that can only be read."""

    def __init__(self, engine: Engine, place: str, folder: str | None, writable: bool = True) -> None:
        self._engine = engine
        self.place = place
        self.folder = folder
        self.writable = writable

    @property
    def sqlite(self) -> bool:
        """True for a file, False for a server."""
        return self.folder is not None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads. Raises InputError, OutputError, RefusedError."""
        with self._transaction(writing=False) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes: all of it, or nothing. Raises InputError, OutputError, and RefusedError for what
        another has already."""
        with self._transaction(writing=True) as connection:
            yield connection

    @contextmanager
    def _transaction(self, writing: bool) -> Iterator[Connection]:
        from sqlalchemy.exc import DBAPIError

        if writing and not self.writable:
            raise OutputError(
                f"{self.place}: it can only be read here: the file, its folder or the disk is read-only"
            )
        before = None if self.writable else _unwritten(self.place)
        try:
            with self._engine.connect() as connection:
                chosen = connection.execution_options(imgtool_writing=writing)
                with chosen.begin():
                    yield chosen
        except UnicodeEncodeError as error:
            raise UsageError(f"{error.object!r} is not UTF-8") from None
        except OverflowError as error:
            raise InputError(f"{self.place}: {_TOO_LARGE} ({error})") from error
        except DBAPIError as error:
            raise failure(error, self.place) from error
        if before is not None and _unwritten(self.place) != before:
            raise InputError(f"{self.place}: others wrote to it while it was read; try again")

    def close(self) -> None:
        """Let go of every connection."""
        self._engine.dispose()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def open_database(place: str | os.PathLike[str], *, create: bool = False) -> Database:
    """The catalog in a folder, or behind a "postgresql://…" URL, migrated to this version's schema.

    `create`: make the folder and the catalog where there is none (on a server: the tables). Raises NotFoundError,
    InputError, OutputError, UsageError for another kind of URL, ToolMissingError without psycopg, RefusedError for a
    catalog of a newer version.
    """
    from imgtool.catalog.migrate import bring_up

    text = os.fsdecode(place)
    if "\0" in text:
        raise UsageError(f"{text!r}: is no path: it has a null byte")
    database = _server(text) if "://" in text else _file(text, create)
    try:
        bring_up(database, create=create)
    except BaseException:
        database.close()
        raise
    return database


def find_or_make(place: str, may_make: Callable[[], None] | None) -> Database:
    """The catalog of a place. Where there is none one is made, unless `may_make` raises, or is None. Raises as
    `open_database`."""
    try:
        return open_database(place)
    except NotFoundError:
        if may_make is None:
            raise
        may_make()
        return open_database(place, create=True)


def now(connection: Connection) -> int:
    """Microseconds since 1970: of the server, whose clock all machines share, or of this machine for a file."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy import text

        told = connection.execute(text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"))
        return int(told.scalar_one())
    return time.time_ns() // 1000


def alone(connection: Connection, what: str) -> None:
    """Wait until no other transaction is at the same, which has a name of at most seven bytes; until this one ends.

    Transactions that write to a file are alone at everything.
    """
    if connection.dialect.name == "postgresql":
        from sqlalchemy import text

        number = int.from_bytes(what.encode())
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": number})


def stamp(at: int) -> str:
    """Microseconds since 1970 as RFC 3339 in UTC, whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at // 1_000_000))


def failure(error: DBAPIError, place: str) -> ImgtoolError:
    """A failure of the database as one of ours."""
    name = getattr(error.orig, "sqlite_errorname", None)
    if name is None:
        lines = str(error.orig or error).strip().splitlines() or ["no answer"]
        known = _SERVER.get(getattr(error.orig, "sqlstate", None) or "")
        return (
            InputError(f"{place}: the database says: {lines[0]}")
            if known is None
            else known[0](f"{place}: {known[1]} ({lines[0]})")
        )
    for begin, kind, said in _SQLITE:
        if name.startswith(begin):
            return kind(f"{place}: {said} ({error.orig})")
    return InputError(f"{place}: {error.orig}")


def table_missing(error: ImgtoolError) -> bool:
    """True for a failure of a transaction that asked for a table that is not there."""
    cause = getattr(error.__cause__, "orig", None)
    return getattr(cause, "sqlstate", None) == _UNDEFINED_TABLE or "no such table" in str(cause)


def _file(folder: str, create: bool) -> Database:
    path = os.path.join(folder, FILE)
    if not os.path.exists(path):
        lost = has_data(folder) and not os.path.exists(path)  # nobody made it meanwhile
        if lost or not create:
            raise no_catalog(folder, create=create, lost=FILE if lost else None)
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite's would be by the umask
        except FileExistsError as error:
            raise OutputError(f"{folder}: is no folder; name one, or one to make") from error
        except OSError as error:
            raise OutputError(f"{folder}: {error.strerror}") from error
    from sqlalchemy import URL, NullPool, create_engine, event

    writable = all(os.access(one, os.W_OK, effective_ids=True) for one in (path, folder)) or not os.path.exists(path)
    if writable:
        engine = create_engine(URL.create("sqlite", database=path), connect_args={"timeout": BUSY})
    else:
        engine = create_engine("sqlite://", creator=lambda: _reader(path), poolclass=NullPool)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return Database(engine, path, folder, writable)


def has_data(folder: str) -> bool:
    """True where a folder has, or had, the data of a catalog. (The repair of an empty one would remove it.)"""
    if os.path.lexists(os.path.join(folder, MARK)):
        return True
    return any(_has_files(os.path.join(folder, name)) for name in ("blobs", "instances"))


def _has_files(folder: str) -> bool:
    try:
        with os.scandir(folder) as found:
            return any(True for _ in found)
    except OSError:
        return False


def no_catalog(place: str, *, create: bool, lost: str | None) -> ImgtoolError:
    """The failure where no catalog is. `create`: one was to be made. `lost`: what is missing beside data that is
    there; without it nothing is."""
    if lost is None:
        return NotFoundError(f"{place}: no catalog is there; `imgtool catalog init` makes one")
    kind = RefusedError if create else NotFoundError
    return kind(f"{place}: has data of images and no {lost}: bring that back from a backup")


def _reader(path: str) -> sqlite3.Connection:
    """A connection to a file that cannot be written. Raises sqlite3.Error."""
    import sqlite3

    how = "immutable=1" if _unwritten(path) else "mode=ro"
    return sqlite3.connect(f"{Path(path).absolute().as_uri()}?{how}", uri=True, timeout=BUSY)


def _unwritten(path: str) -> tuple[int, int, int] | None:
    """What tells a file's content from another; None while there is a journal that belongs to it."""
    try:
        found = os.stat(path)
        if os.path.exists(f"{path}-wal") and os.stat(f"{path}-wal").st_size:
            return None
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _prepare(connection: Any, record: object) -> None:
    """Set a new connection up: transactions are begun by `_begin` alone; what was committed is on the disk."""
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")


def _begin(connection: Connection) -> None:
    if not connection.get_execution_options().get("imgtool_writing"):
        connection.exec_driver_sql("BEGIN")
        return
    raw: Any = connection.connection.driver_connection
    raw.execute("PRAGMA busy_timeout = 0")
    try:
        take_turn(f"{connection.engine.url.database}-turn", lambda: _begun(raw), BUSY)
        if not raw.in_transaction:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # which says why not
    finally:
        raw.execute(f"PRAGMA busy_timeout = {BUSY * 1000}")


def _begun(raw: Any) -> bool:
    """True where a transaction that writes has begun, or never will; False where others write."""
    import sqlite3

    try:
        raw.execute("BEGIN IMMEDIATE")
    except sqlite3.DatabaseError as error:
        return not error.sqlite_errorname.startswith("SQLITE_BUSY")
    return True


def _server(text: str) -> Database:
    from sqlalchemy import create_engine, make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise UsageError("the URL of a catalog is postgresql://USER@HOST/DATABASE") from None
    if url.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise UsageError(f"{url.drivername}://: a catalog is a folder, or a postgresql:// URL")
    url = url.set(drivername="postgresql+psycopg")
    try:
        engine = create_engine(
            url,
            connect_args={"connect_timeout": REACH},
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,
        )
    except ImportError:
        raise ToolMissingError("PostgreSQL needs psycopg: pip install 'disk-imgtool[postgresql]'") from None
    return Database(engine, url.set(drivername="postgresql").render_as_string(hide_password=True), None)
