"""Rows that were damaged, or changed by hand: told as that, one by one; never a bug of the program."""

from __future__ import annotations

import json
import sqlite3
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from imgtool.catalog.images import New
from imgtool.catalog.service import Catalog
from imgtool.config.config import Config
from tests.catalog.launched import filled
from tests.catalog.made import ID

OTHER = "12345678-1234-1234-1234-123456789abd"
GONE = "12345678-1234-1234-1234-123456789abe"
STRANGER = "12345678-1234-1234-1234-123456789abf"

#: Every verb that reads records of images, with its arguments.
VERBS = (
    *("image list", "image show a", "image history a", "image verify a", "image save a --output out --force"),
    *("catalog info", "catalog verify --all", "catalog repair --dry-run", "catalog repair", "catalog scrub"),
    *("catalog export {new}", "instance list", "instance show vm", "instance snapshot vm shot"),
    *("image create fresh --file base.img", "instance create vm2 --image good --flavor plain"),
)

DAMAGE = (
    *("UPDATE images SET disk_format = 'zzz' WHERE name = 'a'", "UPDATE images SET disk_format = NULL"),
    *("UPDATE images SET created_at = 'abc' WHERE name = 'a'", "UPDATE images SET size = 'big' WHERE name = 'a'"),
    *("UPDATE images SET size = -1 WHERE name = 'a'", "UPDATE images SET name = x'ff00fe' WHERE name = 'b'"),
    *("UPDATE images SET status = 'odd' WHERE name = 'a'", "UPDATE images SET owner = x'ff'"),
    *("UPDATE images SET name = x'ff00fe' WHERE name = 'a'", "UPDATE images SET blob = 'x' WHERE name = 'a'"),
    *("UPDATE images SET os_hash_algo = 'crc99'", "UPDATE images SET os_hash_algo = NULL, os_hash_value = NULL"),
    *("UPDATE images SET deleted_at = NULL WHERE name = 'b'", "UPDATE images SET deleted_at = 'x' WHERE name = 'b'"),
    *("DELETE FROM catalog", "INSERT INTO catalog VALUES ('another')", "UPDATE catalog SET id = x'ff'"),
    *("UPDATE image_reports SET verdict = '{oops'", "UPDATE image_reports SET verdict = '[]'"),
    *("UPDATE image_history SET at = 'x'", "UPDATE image_history SET before = 'odd' WHERE before IS NOT NULL"),
    *("INSERT INTO leases VALUES ('scrub', 'x', 'y', 'z')", "INSERT INTO leases VALUES ('odd', 'x', 1, 'z')"),
    "INSERT INTO leases VALUES ('scrub', 'x', 9223372036854775807, 0)",
    *("UPDATE instances SET disk = 'x'", "UPDATE instances SET status = 'odd'", "UPDATE flavors SET ram = 'x'"),
    f"INSERT INTO image_tags VALUES ('{ID}', x'ff'), ('{ID}', 'plain')",
    f"INSERT INTO image_members VALUES ('{ID}', 'lab', 'pending', 'x', 1)",
    *("UPDATE images SET blob = id || '.2' WHERE name = 'a'", "UPDATE images SET blob = id || '.x' WHERE name = 'a'"),
    *("UPDATE images SET blob = NULL WHERE name = 'a'", "UPDATE images SET blob = id || '.0', attempt = 0"),
    *("UPDATE images SET status = 'saving' WHERE name = 'a'", "UPDATE images SET blob = id || '.x' WHERE name = 'b'"),
    "UPDATE images SET status = 'saving', attempt = 0, blob = NULL WHERE name = 'good'",
    "UPDATE images SET status = 'deleted', previous = NULL, blob = id || '.x' WHERE name = 'b'",
    "UPDATE images SET status = 'queued', blob = NULL, instances = 1 WHERE name = 'a'",
    *("UPDATE images SET id = 'zz' WHERE name = 'b'", "UPDATE images SET id = x'ff00' WHERE name = 'b'"),
    *("UPDATE images SET id = 'zz' WHERE name = 'a'", "UPDATE images SET id = upper(id) WHERE name = 'a'"),
    *("UPDATE instances SET image_id = 'x'", "UPDATE instances SET image_id = x'ff00'"),
    *("UPDATE instances SET id = 'x'", "UPDATE instances SET id = upper(id)", "UPDATE instances SET id = x'ff00'"),
)

#: Rows that were made to look as if data, or disks, were nobody's.
ASTRAY = (
    *("UPDATE images SET blob = id || '.2' WHERE name = 'a'", "UPDATE images SET blob = id || '.x' WHERE name = 'a'"),
    *("UPDATE images SET blob = NULL WHERE name = 'a'", "UPDATE images SET status = 'saving' WHERE name = 'a'"),
    *("UPDATE images SET blob = NULL, status = 'saving', attempt = 0 WHERE name = 'a'",),
    *("UPDATE images SET blob = id || '.2' WHERE name = 'b'", "UPDATE images SET id = 'zz' WHERE name = 'b'"),
    *("UPDATE images SET id = x'ff00' WHERE name = 'b'", "UPDATE images SET id = upper(id) WHERE name = 'a'"),
    *("UPDATE instances SET image_id = 'x'", "UPDATE instances SET id = 'x'"),
    *("UPDATE instances SET id = upper(id)", "UPDATE instances SET id = x'ff00'"),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a catalog: images `a` with an instance, `good`, and `b`, which waits for its deletion."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMGTOOL_CONFIG", "/dev/null")
    monkeypatch.setenv("IMGTOOL_CATALOG", "catalog")
    monkeypatch.setenv("IMGTOOL_AS", "root:ops:admin")
    config = Config(location=str(tmp_path / "catalog"))
    with Catalog.open(identity="root:ops:admin", create=True, config=config) as it:
        filled(it, tmp_path, "a", id=ID)
        it.create(New("good", "ops", id=OTHER), tmp_path / "base.img")
        it.create(New("b", "ops", id=GONE), tmp_path / "base.img")
        it.delete("b")
        it.instances.create("vm", "a", "plain")
    return tmp_path


def damage(folder: Path, statement: str) -> None:
    """Change the database behind the catalog's back, and past its rules."""
    with sqlite3.connect(folder / "catalog" / "catalog.db") as connection:
        connection.execute("PRAGMA ignore_check_constraints = 1")
        connection.execute(statement)
    connection.close()


def run(words: str) -> Result:
    """Run a verb as it is typed."""
    group, verb, *arguments = words.split()
    return CliRunner().invoke(import_module(f"imgtool.cli.{group}.{verb}").app, arguments)


@pytest.mark.parametrize("statement", DAMAGE)
def test_no_verb_ends_as_a_bug(folder: Path, statement: str) -> None:
    """Each tells what is damaged, or does its work."""
    damage(folder, statement)
    for number, words in enumerate(VERBS):
        done = run(words.format(new=f"new{number}"))
        assert done.exit_code in (0, 1, 3, 5, 6), f"{words}: {done.exit_code} {done.output}"


@pytest.mark.parametrize("statement", ASTRAY)
def test_what_a_damaged_row_may_have_stays(folder: Path, statement: str) -> None:
    """Nothing of it is removed, and no half upload; the row is found, and everything else is done."""
    blobs, uploads = folder / "catalog" / "blobs", folder / "catalog" / "uploads"
    damage(folder, statement)
    damage(folder, "UPDATE images SET deleted_at = 1 WHERE deleted_at IS NOT NULL")
    kept = {path.name for path in (*blobs.iterdir(), *(folder / "catalog" / "instances").iterdir())}
    if "images" in statement and "'a'" in statement:
        (uploads / f"{ID}.1.part").write_bytes(b"half")
        (uploads / f"{ID}.1.lock").write_bytes(b"")
        kept |= {f"{ID}.1.part", f"{ID}.1.lock"}
    (blobs / f"{STRANGER}.1").write_bytes(b"nobody's")
    with Catalog.open(identity="root:ops:admin", config=Config(location=str(folder / "catalog"))) as it:
        found = [one.code for told in it.verify_all() for one in told.findings]
        done = it.repair()
        scrubbed = it.scrub(delay=0)
    assert found.count("CAT308") == 1
    assert done.failed == ()
    assert [one.code for told in done.missing for one in told.findings].count("CAT308") == 1
    assert not (blobs / f"{STRANGER}.1").exists()
    if "'b'" in statement:
        assert [one.startswith("the catalog's database is damaged: image ") for one in scrubbed.failed] == [True]
    else:
        assert (scrubbed.images, scrubbed.failed) == (1, ())
        kept.remove(f"{GONE}.1")
    assert {path.name for path in (folder / "catalog").glob("*/*")} == kept


def test_deleted_data_of_a_damaged_row(folder: Path) -> None:
    """It stays, and that is told by the scrubber, by each that comes; another's is removed."""
    damage(folder, f"UPDATE images SET status = 'deleted', previous = NULL, blob = id || '.7' WHERE id = '{GONE}'")
    damage(folder, f"UPDATE images SET status = 'deleted' WHERE id = '{OTHER}'")
    with Catalog.open(identity="root:ops:admin", config=Config(location=str(folder / "catalog"))) as it:
        done, again = it.scrub(), it.scrub()
    why = f"the catalog's database is damaged: image {GONE}: blob is '{GONE}.7'; restore it from a backup"
    assert (done.blobs, done.failed, again.blobs, again.failed) == (1, (why,), 0, (why,))
    assert sorted(path.name for path in (folder / "catalog" / "blobs").iterdir()) == [f"{ID}.1", f"{GONE}.1"]


def test_an_image_without_data_under_an_instance(folder: Path) -> None:
    """That is what is told of the instance."""
    damage(folder, "UPDATE images SET status = 'queued', blob = NULL WHERE name = 'a'")
    done = run("catalog verify --all")
    assert f"(vm): image {ID} is queued, and has no data" in done.stdout
    assert done.exit_code == 1


def test_others_go_on(folder: Path) -> None:
    """A row that cannot be read is a finding, and a failure of an export; its data and its instances stay."""
    damage(folder, f"UPDATE images SET created_at = 'abc' WHERE id = '{ID}'")
    damage(folder, "UPDATE instances SET disk = 'x'")
    why = f"the catalog's database is damaged: image {ID}: created_at is 'abc'; restore it from a backup"
    done = run("catalog verify --all --json")
    told = {
        one["id"]: [found["code"] for found in one["findings"]] for one in map(json.loads, done.stdout.splitlines())
    }
    assert (done.exit_code, told) == (1, {ID: ["CAT308"], OTHER: [], GONE: [], None: ["CAT308"]})
    assert f"{ID}: 1 finding\n  CAT308 record-damaged: {why}" in run("catalog verify --all").stdout
    before = sorted(path.name for path in (folder / "catalog").rglob("*"))
    done = run("catalog repair --json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["blobs"], found["instances"], found["failed"]) == (1, 0, 0, [])
    assert [one["id"] for one in found["missing"]] == [ID, None]
    assert sorted(path.name for path in (folder / "catalog").rglob("*")) == before
    done = run("catalog export copy --json")
    ends = {one["id"]: (one["what"], one["why"]) for one in map(json.loads, done.stdout.splitlines())}
    passed = f"image {GONE} is pending_delete: there is nothing whole to export"
    expected = {OTHER: ("exported", None), GONE: ("skipped", passed), ID: ("failed", why)}
    assert (done.exit_code, ends) == (3, expected)
    assert [path.name for path in (folder / "copy" / "blobs").iterdir()] == [OTHER]


def test_a_verdict_that_is_none(folder: Path) -> None:
    """The image is left out of an export, with its data; the others are in it."""
    damage(folder, f"UPDATE image_reports SET verdict = '{{oops' WHERE image_id = '{ID}'")
    done = run("catalog export copy")
    assert (done.exit_code, "its verdict is '{oops'" in done.output) == (3, True)
    assert [path.name for path in (folder / "copy" / "blobs").iterdir()] == [OTHER]


@pytest.mark.parametrize(
    "verdict", ["'xx'", "x'ff00'", "'[1]'", "'{}'", "'1'", "json_set(verdict, '$.not_run', json_array(5))"]
)
@pytest.mark.parametrize("more", ["", " --json"])
def test_a_report_that_is_none(folder: Path, verdict: str, more: str) -> None:
    """It is told as that, and nothing of it is printed."""
    damage(folder, f"UPDATE image_reports SET verdict = {verdict}")
    done = run(f"image show a --report{more}")
    assert (done.exit_code, done.stdout, "the kept report cannot be read: " in done.stderr) == (3, "", True)


def test_one_that_waits_does_not_stop_the_scrubber(folder: Path) -> None:
    """Others are deleted; it is told, and its data stays."""
    with Catalog.open(identity="root:ops:admin", config=Config(location=str(folder / "catalog"))) as it:
        it.delete("good")
        damage(folder, f"UPDATE images SET name = x'ff' WHERE id = '{GONE}'")
        done = it.scrub(delay=0)
    assert (done.images, done.blobs) == (1, 1)
    assert [f"image {GONE}: name is b'\\xff'" in one for one in done.failed] == [True]
    assert [path.name for path in (folder / "catalog" / "blobs").glob(f"{GONE}*")] == [f"{GONE}.1"]
