"""Opening catalogs: made, found, migrated, refused."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from bisect import bisect_left
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from imgtool.catalog import migrate
from imgtool.catalog.database import Database, now, open_database, stamp
from imgtool.catalog.images import New
from imgtool.catalog.migrate import back_up
from imgtool.catalog.service import Catalog
from imgtool.catalog.tables import REVISIONS, tables
from imgtool.config.config import Config
from imgtool.errors import ImgtoolError, InputError, NotFoundError, OutputError, RefusedError, UsageError
from tests.catalog.made import ID
from tests.kit import ROOT


def test_the_migrated_schema_is_the_declared_one(database: Database) -> None:
    """Alembic finds nothing to change."""
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables().metadata) == []


def test_revisions_are_those_shipped() -> None:
    """`REVISIONS` names every file of migrations/versions, in order."""
    scripts = ScriptDirectory(str(ROOT / "imgtool" / "catalog" / "migrations"))
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == REVISIONS


def test_there_must_be_one(place: str) -> None:
    """Nothing is made by looking."""
    with pytest.raises(NotFoundError, match="imgtool catalog init"):
        open_database(place)
    assert "://" in place or not os.path.exists(place)


def test_it_is_found_again(place: str) -> None:
    """Made once, open ever after; to make it again changes nothing."""
    open_database(place, create=True).close()
    with open_database(place) as database, database.read() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == REVISIONS[-1]
    open_database(place, create=True).close()


def test_a_file_waits_for_nobody_and_forgets_nothing(tmp_path: Path) -> None:
    """Write-ahead log, foreign keys, flushed commits; the folder is its owner's."""
    with open_database(tmp_path / "c", create=True) as database, database.read() as connection:
        pragmas = ("journal_mode", "foreign_keys", "synchronous")
        assert [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas] == ["wal", 1, 2]
    assert stat.S_IMODE((tmp_path / "c").stat().st_mode) == 0o700


def test_a_newer_schema_is_refused(place: str) -> None:
    """Clearly, and without touching it."""
    with open_database(place, create=True) as database, database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for create in (False, True):
        with pytest.raises(RefusedError, match=rf"its schema is 9999, newer than .* knows \({REVISIONS[-1]}\)"):
            open_database(place, create=create)


def test_a_half_made_file_is_made_again(tmp_path: Path) -> None:
    """An empty database is no catalog yet."""
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "catalog.db").touch()
    with pytest.raises(NotFoundError):
        open_database(tmp_path / "c")
    open_database(tmp_path / "c", create=True).close()
    open_database(tmp_path / "c").close()


@pytest.mark.parametrize("kept", ["blobs/a", "instances/a", "catalog-id"])
def test_an_empty_file_beside_data_is_no_new_catalog(tmp_path: Path, kept: str) -> None:
    """To the repair of a new one all of the data would be nobody's."""
    (tmp_path / "c" / kept).parent.mkdir(parents=True)
    (tmp_path / "c" / kept).touch()
    (tmp_path / "c" / "catalog.db").touch()
    wanted = "c: has data of images and no catalog in catalog.db: bring that back from a backup"
    with pytest.raises(NotFoundError, match=wanted):
        open_database(tmp_path / "c")
    with pytest.raises(RefusedError, match=wanted):
        open_database(tmp_path / "c", create=True)
    assert (tmp_path / "c" / "catalog.db").stat().st_size == 0
    (tmp_path / "c" / "catalog.db").unlink()
    with pytest.raises(NotFoundError, match=r"has data of images and no catalog.db: bring that back from a backup"):
        open_database(tmp_path / "c")


@pytest.mark.parametrize("found", ["x", "-1", "0000", "00002", ""])
def test_a_revision_that_nobody_wrote(place: str, found: str) -> None:
    """Is damage, and no newer version's."""
    with open_database(place, create=True) as database, database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": found})
    for create in (False, True):
        with pytest.raises(InputError, match=f"is damaged: its schema is '{found}', which no imgtool wrote"):
            open_database(place, create=create)


@pytest.mark.parametrize(
    ("statement", "count"),
    [("INSERT INTO alembic_version VALUES ('0002')", "2"), ("DELETE FROM alembic_version", "no")],
)
def test_one_revision_is_noted(place: str, statement: str, count: str) -> None:
    """With more, or with none and all other tables, the database is damaged; it is not said to be none."""
    with open_database(place, create=True) as database:
        write(database, statement)
    for create in (False, True):
        with pytest.raises(InputError, match=f"is damaged: the table alembic_version has {count} rows, not one"):
            open_database(place, create=create)


def test_others_tables_are_left_alone(tmp_path: Path) -> None:
    """A database with images of somebody else is no catalog."""
    (tmp_path / "catalog.db").touch()
    with closing(sqlite3.connect(tmp_path / "catalog.db")) as connection:
        connection.execute("CREATE TABLE images (id INTEGER)")
    with pytest.raises(InputError, match="is no catalog of imgtool"):
        open_database(tmp_path, create=True)


@pytest.mark.parametrize("content", [b"not a database at all" * 99, b"SQLite format 3\0" + bytes(range(256)) * 32])
def test_what_is_no_database(tmp_path: Path, content: bytes) -> None:
    """Other files, and damaged ones."""
    (tmp_path / "catalog.db").write_bytes(content)
    with pytest.raises(InputError):
        open_database(tmp_path)


def test_other_urls_are_refused_without_their_passwords() -> None:
    """A folder, or PostgreSQL; a password is never told."""
    with pytest.raises(UsageError, match="a catalog is a folder, or a postgresql:// URL"):
        open_database("mysql://root:secret@localhost/x")
    with pytest.raises(UsageError):
        open_database("postgresql://host:port/x")
    with pytest.raises(ImgtoolError) as caught:
        open_database("postgresql://me:secret@/x?host=/nowhere")
    assert isinstance(caught.value, InputError)
    assert "secret" not in str(caught.value)
    assert str(caught.value).startswith("postgresql://me:***@/x")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A file is in its place."""
    (tmp_path / "c").touch()
    with pytest.raises(OutputError, match="c: is no folder; name one"):
        open_database(tmp_path / "c", create=True)


def test_the_backup_is_whole(tmp_path: Path) -> None:
    """It has what was committed, also what still lies in the log, and is one file."""
    with open_database(tmp_path, create=True) as database:
        with database.write() as connection:
            connection.execute(text("INSERT INTO leases VALUES ('a', 'b', 1, 2)"))
        path = back_up(str(tmp_path), "0001")
    assert os.path.basename(path).startswith("catalog-0001-")
    with closing(sqlite3.connect(path)) as copy:
        assert copy.execute("SELECT * FROM leases").fetchall() == [("a", "b", 1, 2)]
        assert copy.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert not list(tmp_path.glob("*.part"))


def test_an_older_schema_is_migrated_after_a_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy is made before the first change; a migration that fails changes nothing, and leaves no copy."""
    with open_database(tmp_path, create=True) as database, database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    monkeypatch.setattr(migrate, "REVISIONS", ("0000", *REVISIONS))
    made: list[str] = []

    def copied(folder: str, revision: str) -> str:
        made.append(back_up(folder, revision))
        assert os.path.exists(made[-1])
        return made[-1]

    monkeypatch.setattr(migrate, "back_up", copied)
    with pytest.raises(InputError, match=r"catalog.db: the migration from 0000 failed: .*'0000'.*; nothing was"):
        open_database(tmp_path)
    assert len(made) == 1
    assert not list(tmp_path.glob("catalog-0000-*"))
    with closing(sqlite3.connect(tmp_path / "catalog.db")) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0000",)]


def test_many_make_the_same_catalog_at_once(place: str) -> None:
    """One migrates, the others wait for it."""
    program = f"from imgtool.catalog.database import open_database\nopen_database({place!r}, create=True).close()"
    started = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", program], cwd=ROOT, stderr=subprocess.PIPE)
        for _ in range(6)
    ]
    for process in started:
        _, told = process.communicate()
        assert process.returncode == 0, told.decode()
    open_database(place).close()


def write(database: Database, *statements: str, then: type[Exception] | None = None) -> None:
    """Run statements in one transaction, and fail behind them where asked to."""
    with database.write() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
        if then is not None:
            raise then


LEASE = "INSERT INTO leases VALUES ('a', '{}', 1, 2)"


def test_a_failed_transaction_changes_nothing(database: Database) -> None:
    """All of it, or nothing."""
    with pytest.raises(ZeroDivisionError):
        write(database, LEASE, then=ZeroDivisionError)
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM leases")).scalar() == 0


def test_a_full_or_read_only_place_is_a_failure_to_write(tmp_path: Path) -> None:
    """In words, and with the place."""
    with open_database(tmp_path, create=True) as database:
        with pytest.raises(OutputError, match=r"catalog.db: no space is left"):
            write(database, "PRAGMA max_page_count = 1", LEASE.format("b" * 100_000))
        with pytest.raises(OutputError, match=r"catalog.db: it cannot be written"):
            write(database, "PRAGMA query_only = ON", LEASE)


def test_numbers_that_are_too_large(database: Database) -> None:
    """Those of more than 63 bits are a failure in words, on either."""
    with pytest.raises(InputError, match="a number is larger than it can hold"), database.write() as connection:
        connection.execute(tables().leases.insert().values(name="a", holder="b", generation=1, expires_at=1 << 63))


def test_what_its_own_rules_do_not_allow(database: Database) -> None:
    """What is there already is a conflict; anything else cannot be written."""
    write(database, LEASE)
    with pytest.raises(RefusedError, match=r"another has that already, or was faster with it \(.*leases"):
        write(database, LEASE)
    with pytest.raises(OutputError, match=r"its own rules do not allow that \("):
        write(database, f"INSERT INTO image_reports VALUES ('{ID}', '')")


def test_a_table_that_is_missing(place: str, tmp_path: Path) -> None:
    """Is told, whatever asks for it."""
    config = Config(location=place, store=str(tmp_path / "store"))
    with Catalog.open(identity="root:ops:admin", create=True, config=config) as catalog:
        write(catalog.database, "ALTER TABLE images RENAME TO pictures")
        for verb in (catalog.list, catalog.scrub, catalog.info, lambda: catalog.reserve(New("web", "ops"))):
            with pytest.raises(InputError, match="images"):
                verb()
        assert migrate.revision_of(catalog.database) == REVISIONS[-1]
        write(catalog.database, "ALTER TABLE alembic_version RENAME TO lost")
        with pytest.raises(InputError, match="has tables of images, and is no catalog"):
            migrate.revision_of(catalog.database)


def test_times(database: Database) -> None:
    """Microseconds that only grow, and RFC 3339."""
    with database.read() as connection:
        first, second = now(connection), now(connection)
    assert 1_700_000_000_000_000 < first <= second
    assert stamp(1_399_310_230_999_999) == "2014-05-05T17:17:10Z"


def test_opening_a_catalog_that_is_up_to_date_loads_no_alembic(tmp_path: Path) -> None:
    """Migrations are loaded where there is one to run."""
    open_database(tmp_path, create=True).close()
    program = (
        "import sys\nfrom imgtool.catalog.database import open_database\n"
        f"open_database({str(tmp_path)!r}).close()\n"
        "print(sorted({'alembic', 'psycopg', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_writer_comes_to_its_turn(tmp_path: Path) -> None:
    """Of many that write all the time none waits for long, however often the others come back."""
    with open_database(tmp_path / "catalog", create=True):
        pass
    program = (
        "import sys, time\nfrom imgtool.catalog.database import open_database\n"
        "with open_database(sys.argv[1]) as database:\n"
        "    print('ready', flush=True)\n    sys.stdin.readline()\n"
        "    for _ in range(100):\n"
        "        asked = time.monotonic_ns()\n"
        "        with database.write():\n"
        "            print(asked, time.monotonic_ns(), flush=True)\n"
        "            time.sleep(0.002)\n"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "catalog")],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    waits: list[tuple[int, int]] = []
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in started:
        out, _ = process.communicate()
        assert process.returncode == 0
        waits += [(int(asked), int(came)) for asked, came in map(str.split, out.splitlines())]
    turns = sorted(came for _, came in waits)
    assert len(turns) == 400
    longest = max(bisect_left(turns, came) - bisect_left(turns, asked) for asked, came in waits)
    assert longest < 150, longest  # of the 300 of the others


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_backup_is_the_owners(tmp_path: Path, mask: int) -> None:
    """Whatever the umask, it is for nobody else to read."""
    open_database(tmp_path / "catalog", create=True).close()
    before = os.umask(mask)
    try:
        path = back_up(str(tmp_path / "catalog"), "0001")
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_what_is_made_is_the_owners(tmp_path: Path, mask: int) -> None:
    """Whatever the umask, and though the folder was there: the records are for nobody else to read or to change."""
    (tmp_path / "catalog").mkdir(mode=0o755)
    before = os.umask(mask)
    try:
        with open_database(tmp_path / "catalog", create=True) as database, database.write() as connection:
            connection.exec_driver_sql("DELETE FROM images")
            modes = {name.name: name.stat().st_mode & 0o777 for name in os.scandir(tmp_path / "catalog")}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("catalog.db", "catalog.db-wal", "catalog.db-shm", "catalog.db-turn"), 384)
