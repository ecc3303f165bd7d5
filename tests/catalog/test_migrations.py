"""Catalogs of earlier versions: opened, migrated, backed up; killed in the middle; newer ones refused."""

from __future__ import annotations

import gzip
import random
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from sqlalchemy import text

from imgtool.catalog.database import open_database
from imgtool.catalog.listing import Filters, list_images
from imgtool.catalog.service import Catalog
from imgtool.catalog.status import STATUSES
from imgtool.catalog.tables import REVISIONS
from imgtool.config.config import Config
from imgtool.errors import InputError, RefusedError
from tests.catalog.earlier import COUNT, engine_of, made_by, rows_of
from tests.catalog.server import Server
from tests.kit import FIXTURES, ROOT

USUAL = [
    ("m1.tiny", 1, 512, 1),
    ("m1.small", 1, 2048, 20),
    ("m1.medium", 2, 4096, 40),
    ("m1.large", 4, 8192, 80),
    ("m1.xlarge", 8, 16384, 160),
]


def check_all_there(place: str, before: dict[str, list[tuple[object, ...]]]) -> None:
    """The catalog opens, is of this schema, and has every row that it had, and an id; images count instances."""
    with open_database(place) as database, database.read() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == REVISIONS[-1]
        assert len(list_images(connection, Filters(status=STATUSES))) == len(before["images"])
        flavors = connection.execute(text("SELECT name, vcpus, ram, disk FROM flavors ORDER BY ram")).all()
        assert [tuple(row) for row in flavors] == USUAL
        assert len(str(connection.execute(text("SELECT id FROM catalog")).scalar_one())) == 36
    assert "://" in place or not list(Path(place).glob("*.part"))
    after = rows_of(place)
    width = len(before["images"][0])
    assert [row[:width] for row in after["images"]] == before["images"]
    assert {row[-1] for row in after["images"]} <= {0}
    assert {name: rows for name, rows in after.items() if name != "images"} == {
        name: rows for name, rows in before.items() if name != "images"
    }


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_every_earlier_schema_is_migrated(place: str, revision: str) -> None:
    """With all its records; a file is copied beside itself before, as it was."""
    made_by(place, revision)
    before = rows_of(place)
    assert len(before["images"]) == COUNT
    check_all_there(place, before)
    if "://" not in place:
        (backup,) = Path(place).glob(f"catalog-{revision}-*.db")
        with closing(sqlite3.connect(backup)) as copy:
            assert copy.execute("SELECT version_num FROM alembic_version").fetchall() == [(revision,)]
            assert sorted(copy.execute("SELECT * FROM images").fetchall(), key=repr) == before["images"]


def test_a_catalog_that_the_first_version_made(tmp_path: Path) -> None:
    """A file of then opens, and its records are what they were: statuses, tags, members, histories, verdicts."""
    folder = tmp_path / "catalog"
    folder.mkdir()
    (folder / "catalog.db").write_bytes(gzip.decompress((FIXTURES / "catalog" / "catalog-0001.db.gz").read_bytes()))
    before = rows_of(str(folder))
    with Catalog.open(identity="root:ops:admin", config=Config(location=str(folder))) as catalog:
        found = {one.name: one for one in catalog.list(Filters(status=STATUSES))}
        assert {name: one.status for name, one in found.items()} == {
            "web": "active",
            "shared": "active",
            "quarantined": "deactivated",
            "broken": "killed",
            "retired": "deleted",
            "gone": "deleted",
            "late": "pending_delete",
            "reserved": "queued",
        }
        web = found["web"]
        assert (web.tags, web.properties, web.min_disk) == (("linux", "stable"), {"os_distro": "debian"}, 1)
        assert [(one.member, one.status) for one in catalog.members("shared")] == [("ops", "accepted")]
        assert [one.after for one in catalog.history("quarantined")] == ["queued", "saving", "active", "deactivated"]
        assert '"accepted":true' in (catalog.report("web") or "")
    check_all_there(str(folder), before)
    assert len(list(folder.glob("catalog-0001-*.db"))) == 1


def test_a_newer_schema_is_left_as_it_is(place: str) -> None:
    """It is said what to do, and not a byte is changed."""
    made_by(place, "head", 3)
    engine = engine_of(place)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    before = rows_of(place)
    content = (Path(place) / "catalog.db").read_bytes() if "://" not in place else b""
    with pytest.raises(RefusedError, match=rf"its schema is 9999, newer than .* knows \({REVISIONS[-1]}\): use"):
        open_database(place)
    assert rows_of(place) == before
    if "://" not in place:
        assert [path.name for path in Path(place).iterdir()] == ["catalog.db"]
        assert (Path(place) / "catalog.db").read_bytes() == content


def test_a_migration_that_fails(place: str) -> None:
    """It is told, however often it is tried; nothing is changed, and no copy stays."""
    made_by(place, "0001", 3)
    engine = engine_of(place)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE flavors (name INTEGER)"))
    engine.dispose()
    before = rows_of(place)
    for _ in range(2):
        with pytest.raises(InputError, match=r": the migration from 0001 failed: .*flavors.*; nothing was changed"):
            open_database(place)
    assert rows_of(place) == before
    assert revision_of(place) == "0001"
    assert "://" in place or not list(Path(place).glob("catalog-*"))


#: Loads all that a migration needs, says so, and migrates when it is told to.
PROGRAM = """
import sys
import alembic.command, alembic.config, sqlalchemy.dialects.sqlite
from imgtool.catalog.database import open_database
print("ready", flush=True)
sys.stdin.readline()
open_database(sys.argv[1]).close()
print("done", flush=True)
"""


def started(place: str) -> subprocess.Popen[str]:
    """A process that waits to migrate."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, place],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def migrating(place: str, after: float | None) -> tuple[float, str]:
    """Migrate, and kill that after so many seconds (None: never): how long it took, and what was seen of it."""
    process = started(place)
    assert process.stdin is not None
    assert process.stdout is not None
    begun = time.monotonic()
    process.stdin.write("go\n")
    process.stdin.flush()
    if after is not None and not select.select([process.stdout], [], [], after)[0]:
        process.send_signal(signal.SIGKILL)
    out, told = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), told
    return time.monotonic() - begun, "done" if out else "killed"


def revision_of(place: str) -> str:
    """As the database has it."""
    engine = engine_of(place)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    engine.dispose()
    return str(found)


def kills(fresh: Server | Path, count: int, span: float = 0.0) -> Counter[str]:
    """Kill migrations at random moments: what each left, and then everything is there. `span`: seconds that one
    takes; without it the first one tells, and is not killed."""
    random.seed(1)
    seen: Counter[str] = Counter()
    for number in range(1 if span else 0, count + 1):
        where = str(fresh / f"c{number}") if isinstance(fresh, Path) else fresh.fresh()
        made_by(where, "0001")
        before = rows_of(where)
        took, how = migrating(where, random.uniform(0, span) if number else None)
        span = span or took
        seen[f"{how}, found {revision_of(where)}"] += bool(number)
        check_all_there(where, before)
    return seen


@pytest.fixture
def fresh(place: str, request: pytest.FixtureRequest, tmp_path: Path) -> Server | Path:
    """Where more catalogs of the kind of `place` can be."""
    if "://" not in place:
        return tmp_path
    found: Server = request.getfixturevalue("server")
    return found


def test_a_migration_that_is_killed(fresh: Server | Path) -> None:
    """At some moment: the next opening finds all of it, and ends the work."""
    print(dict(kills(fresh, 1, 0.1)))


@pytest.mark.full
def test_a_migration_that_is_killed_fifty_times(fresh: Server | Path) -> None:
    """At fifty: some before it was done, and nothing is lost."""
    seen = kills(fresh, 50)
    print(dict(seen))
    assert seen["killed, found 0001"] >= 5
