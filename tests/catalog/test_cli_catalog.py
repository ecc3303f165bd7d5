"""imgtool catalog init, info, scrub, verify and repair, as typed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import jsonschema
import pytest
from click.testing import Result
from typer.testing import CliRunner

from imgtool.catalog.images import New
from imgtool.catalog.lease import acquire
from imgtool.catalog.migrate import HEAD
from imgtool.catalog.moves import begin_upload
from imgtool.catalog.service import Catalog
from imgtool.catalog.store import LocalStore
from imgtool.config.config import Config
from imgtool.errors import OutputError
from imgtool.model.schema import SCHEMAS
from tests.catalog.made import ID
from tests.catalog.test_checks import OTHER, abandoned, folder_there, gone, half, ownerless
from tests.kit import fixture

GOOD = fixture("qcow2/plain.qcow2")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with nothing of this machine's configuration."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("IMGTOOL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("IMGTOOL_CONFIG", "/dev/null")
    monkeypatch.setenv("IMGTOOL_CATALOG", "catalog")
    monkeypatch.setenv("IMGTOOL_AS", "root:ops:admin")
    return tmp_path


@pytest.fixture
def catalog(folder: Path) -> Iterator[Catalog]:
    """One with an image."""
    (folder / "disk.img").write_bytes(GOOD)
    config = Config(location=str(folder / "catalog"))
    with Catalog.open(identity="root:ops:admin", create=True, config=config) as it:
        it.create(New("web", "ops", id=ID), folder / "disk.img")
        yield it


def run(verb: str, *arguments: str) -> Result:
    """Run a verb."""
    return CliRunner().invoke(import_module(f"imgtool.cli.catalog.{verb}").app, [*arguments])


def objects(done: Result, schema: str) -> list[dict[str, object]]:
    """What was printed as JSON lines, each of a schema."""
    told = [json.loads(line) for line in done.stdout.splitlines()]
    for one in told:
        jsonschema.validate(one, SCHEMAS[schema]())
    return told


def test_init_makes_one_once(folder: Path) -> None:
    """It says where; a second time it says that it is there, and changes nothing."""
    first = run("init")
    assert (first.exit_code, first.stdout) == (0, f"{folder}/catalog: a catalog was made (sqlite, schema {HEAD})\n")
    stamp = (folder / "catalog" / "catalog.db").stat().st_mtime_ns
    again = run("init")
    assert (again.exit_code, again.stdout) == (
        0,
        f"{folder}/catalog: a catalog is there already (sqlite, schema {HEAD})\n",
    )
    assert (folder / "catalog" / "catalog.db").stat().st_mtime_ns == stamp
    assert run("init", "--quiet").stdout == ""
    (told,) = objects(run("init", "--json", "--catalog", "other"), "catalog")
    assert (told["place"], told["database"], told["images"]) == (f"{folder}/other", "sqlite", {})


def test_init_is_for_those_who_may_look_at_it(folder: Path) -> None:
    """Whoever may not makes none."""
    done = run("init", "--catalog", "new", "--as", "x:y:foo")
    assert (done.exit_code, (folder / "new").exists()) == (6, False)
    assert run("init", "--catalog", "new", "--as", "x:y:reader").exit_code == 0


def test_init_on_a_server(place: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same on either database."""
    monkeypatch.setenv("IMGTOOL_STORE_LOCATION", str(folder / "store"))
    assert "a catalog was made" in run("init", "--catalog", place).stdout
    again = run("init", "--catalog", place)
    assert (again.exit_code, "is there already" in again.stdout) == (0, True)


def test_init_refuses_what_is_something_else(folder: Path) -> None:
    """A file, a database of another program, data without its records."""
    (folder / "file").write_text("text")
    assert run("init", "--catalog", "file").exit_code == 5
    (folder / "text").mkdir()
    (folder / "text" / "catalog.db").write_text("this is no database\n" * 60)
    done = run("init", "--catalog", "text")
    assert (done.exit_code, "is no database of SQLite" in done.stderr) == (3, True)
    (folder / "lost" / "blobs").mkdir(parents=True)
    (folder / "lost" / "blobs" / f"{ID}.1").write_bytes(GOOD)
    done = run("init", "--catalog", "lost")
    assert (done.exit_code, done.stderr) == (
        6,
        f"imgtool: {folder}/lost: has data of images and no catalog.db: bring that back from a backup\n",
    )
    assert run("init", "--catalog", "mysql://there/db").exit_code == 2
    assert run("info", "--catalog", "nowhere").exit_code == 3


def test_info_in_words_and_as_an_object(catalog: Catalog) -> None:
    """Numbers by status and owner, the next deletion, leases, what waits for a repair."""
    catalog.create(New("retired", "lab\u202e", id=OTHER), "disk.img")
    catalog.delete("retired")
    ownerless(catalog)
    with acquire(catalog.database, "scrub", holder="there:1"):
        text = run("info").stdout
        (told,) = objects(run("info", "--json"), "catalog")
    lines = text.splitlines()
    assert f"database       sqlite, schema {HEAD}" in lines
    assert "active          1       1.75 KiB" in lines
    assert "pending_delete  1       1.75 KiB" in lines
    assert "lab\\u202e  1       1.75 KiB" in lines
    assert any(line.startswith(f"next deletion  retired ({OTHER}), due 20") for line in lines)
    assert any(line.startswith("lease          scrub: there:1 until 20") for line in lines)
    assert "for `imgtool catalog repair`: 1 finding" in lines
    assert told["images"] == {"active": 1, "pending_delete": 1}
    assert told["bytes"] == {"active": len(GOOD), "pending_delete": len(GOOD)}
    assert told["owners"] == {
        "lab\u202e": {"images": 1, "size": len(GOOD)},
        "ops": {"images": 1, "size": len(GOOD)},
    }
    assert isinstance(told["on_disk"], int)
    assert told["on_disk"] >= len(GOOD)
    assert [one["code"] for one in told["waiting"]] == ["CAT002"]  # type: ignore[attr-defined] # of the schema


def test_info_is_for_readers(catalog: Catalog) -> None:
    """They are told of their own project, and nothing of others' images; somebody without a role learns nothing."""
    ownerless(catalog)
    catalog.delete("web")
    (told,) = objects(run("info", "--json", "--as", "ann:lab:reader"), "catalog")
    assert (told["owners"], told["pending"], told["waiting"]) == ({}, None, [])
    assert (told["images"], told["bytes"]) == ({}, {})
    (mine,) = objects(run("info", "--json", "--as", "ann:ops:reader"), "catalog")
    assert (mine["images"], mine["bytes"]) == ({"pending_delete": 1}, {"pending_delete": len(GOOD)})
    assert (mine["owners"], mine["pending"]["id"]) == ({"ops": {"images": 1, "size": len(GOOD)}}, ID)  # type: ignore[index] # of the schema
    assert run("info", "--as", "ann:lab:none").exit_code == 6


def test_info_where_the_store_cannot_be_looked_at(catalog: Catalog, folder: Path) -> None:
    """The records are told, and why the rest is not."""
    (folder / "file").write_text("no folder")
    (folder / "imgtool.toml").write_text('[store]\nlocation = "file"\n')
    done = run("info", "--config", "imgtool.toml")
    assert done.exit_code == 0
    assert "Not a directory" in next(line for line in done.stdout.splitlines() if line.startswith("on disk"))
    assert "active  1       1.75 KiB" in done.stdout


def test_scrub_tells_what_it_freed(catalog: Catalog) -> None:
    """What waits longer than the delay goes."""
    catalog.delete("web")
    assert run("scrub").stdout == "0 images deleted for good, 0 blobs removed, 0 B freed\n"
    assert run("scrub", "--delay", "1h", "--quiet").stdout == ""
    (told,) = objects(run("scrub", "--delay", "0", "--json"), "scrub")
    assert (told["images"], told["blobs"], told["freed"], told["failed"]) == (1, 1, len(GOOD), [])
    assert not list((Path(catalog.store.place) / "blobs").iterdir())


def test_scrub_goes_on_where_one_blob_stays(catalog: Catalog) -> None:
    """The status says that the store could not be written; the others are gone."""
    catalog.create(New("db", "ops", id=OTHER), "disk.img")
    for name in ("web", "db"):
        catalog.delete(name)
    folder_there(catalog)
    done = run("scrub", "--delay", "0")
    assert done.exit_code == 5
    assert done.stdout == "2 images deleted for good, 1 blob removed, 1.75 KiB freed, 1 blob could not be removed\n"
    assert f"image {ID}: " in done.stderr


def test_delays_that_no_date_reaches(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are refused, by the option and the variable."""
    catalog.delete("web")
    done = run("scrub", "--delay", "999999999999w")
    assert (done.exit_code, done.stderr) == (2, "imgtool: --delay: a duration is from 0 to 1000 years (365250d)\n")
    monkeypatch.setenv("IMGTOOL_SCRUBBER_DELAY", "999999999999w")
    assert run("info").exit_code == 2
    monkeypatch.setenv("IMGTOOL_SCRUBBER_DELAY", "365250d")
    (told,) = objects(run("info", "--json"), "catalog")
    assert told["pending"]["due_at"].startswith("30")  # type: ignore[index] # of the schema


def test_scrub_is_refused(catalog: Catalog) -> None:
    """To others than administrators; while another is at it; with options that do not fit."""
    assert run("scrub", "--as", "ann:ops:member").exit_code == 6
    heard = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert run("scrub", "--daemon", "--as", "ann:ops:member").exit_code == 6
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == heard
    with acquire(catalog.database, "scrub", holder="there:1"):
        done = run("scrub")
        assert (done.exit_code, "there:1 is at it" in done.stderr) == (6, True)
        assert run("repair").exit_code == 6
    assert run("scrub", "--wakeup", "5m").exit_code == 2
    assert run("scrub", "--delay", "soon").exit_code == 2
    assert run("scrub", "--daemon", "--wakeup", "0").exit_code == 2


def test_verify_reads_all(catalog: Catalog) -> None:
    """A line an image; with a finding the status is 1; quiet leaves out what is sound."""
    catalog.create(New("odd\u202e", "ops", id=OTHER), "disk.img")
    done = run("verify", "--all")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == (f"{ID} web (active, 1.75 KiB): sound\n{OTHER} odd\\u202e (active, 1.75 KiB): sound\n")
    assert run("verify", "--all", "--quiet").stdout == ""
    gone(catalog)
    ownerless(catalog)
    done = run("verify", "--all", "--quiet")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[0] == f"{ID} web (active, 1.75 KiB): 1 finding"
    assert lines[1] == "  CAT001 data-missing: 1792 bytes should be there, and are not"
    assert lines[3] == "the store: 1 finding"
    told = objects(run("verify", "--all", "--json"), "verification")
    assert [(one["id"], one["read"]) for one in told] == [(ID, False), (OTHER, True), (None, False)]


def test_verify_needs_all_and_the_right_to(catalog: Catalog) -> None:
    """One image has a verb of its own."""
    done = run("verify")
    assert (done.exit_code, "imgtool image verify IMAGE" in done.stderr) == (2, True)
    assert run("verify", "--all", "--as", "ann:ops:member").exit_code == 6
    assert run("verify", "--all", "--progress", "loud").exit_code == 2


def test_repair_tells_and_does(catalog: Catalog) -> None:
    """A dry run tells the same and does nothing; what is missing is told, status 1."""
    for damage in (ownerless, abandoned, half):
        damage(catalog)
    dry = run("repair", "--dry-run")
    assert (dry.exit_code, dry.stdout) == (
        0,
        "1 upload without a process would be ended\n1 blob that nobody needs would be removed\n8 B would be freed\n",
    )
    (told,) = objects(run("repair", "--json"), "repair")
    assert (told["uploads"], told["blobs"], told["freed"], told["missing"]) == (1, 1, 8, [])
    assert run("repair", "--quiet").stdout == ""
    gone(catalog)
    done = run("repair", "--quiet")
    assert done.exit_code == 1
    assert "CAT001 data-missing" in done.stdout
    (told,) = objects(run("repair", "--dry-run", "--json"), "repair")
    assert [one["id"] for one in told["missing"]] == [ID]  # type: ignore[attr-defined] # of the schema
    assert run("repair", "--as", "ann:ops:member").exit_code == 6


def test_repair_goes_on_where_something_stays(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The status says that the store could not be written."""
    ownerless(catalog)
    abandoned(catalog)

    def fails(store: LocalStore, key: str) -> int:
        raise OutputError(f"{store.place}: {key} stays")

    monkeypatch.setattr(LocalStore, "delete", fails)
    done = run("repair")
    assert done.exit_code == 5
    assert done.stdout.startswith("1 upload without a process ended\n0 blobs that nobody needs removed\n")
    assert done.stderr == f"imgtool: {catalog.store.place}: {ID}.7 stays\n"


def test_an_import_of_a_text_that_is_none(catalog: Catalog, folder: Path) -> None:
    """A lone surrogate, as JSON allows it: that image is refused, and the next one comes."""
    catalog.reserve(New("bare", "ops", id=OTHER))
    run("export", "out", "--quiet")
    manifest = folder / "out" / "manifest.jsonl"
    manifest.write_text(manifest.read_text().replace('"web"', '"a\\ud800b"'))
    run("init", "--catalog", "second")
    came = run("import", "out", "--catalog", "second", "--json")
    assert came.exit_code == 3
    told = objects(came, "transfer")
    assert [(one["what"], one["why"]) for one in told] == [
        ("failed", "line 1 of the manifest: name: is not UTF-8"),
        ("imported", None),
    ]


def test_an_export_tells_what_it_leaves_out(catalog: Catalog, folder: Path) -> None:
    """What waits for its deletion is passed over, unless it is named; what is on its way is a failure."""
    catalog.reserve(New("bare", "ops", id=OTHER))
    catalog.delete("web")
    done = run("export", "out")
    assert (done.exit_code, done.stderr) == (0, "")
    left = f"image {ID} is pending_delete: there is nothing whole to export"
    assert done.stdout == f"{ID} web: skipped: {left}\n{OTHER} bare: exported, without data\n"
    named = run("export", "named", ID)
    assert (named.exit_code, named.stderr) == (6, f"imgtool: {ID}: failed: {left}\n")
    with catalog.database.write() as connection:
        begin_upload(connection, OTHER, 1, "ann")
    done = run("export", "none")
    assert done.exit_code == 6
    assert done.stderr == f"imgtool: {OTHER}: failed: image {OTHER} is saving: there is nothing whole to export\n"
    assert (folder / "none" / "manifest.jsonl").read_text() == ""


def test_export_and_import(catalog: Catalog, folder: Path) -> None:
    """A line an image; the worst status is the end."""
    catalog.reserve(New("bare\u202e", "ops", id=OTHER))
    done = run("export", "out")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == f"{ID} web: exported, 1.75 KiB\n{OTHER} bare\\u202e: exported, without data\n"
    assert run("export", "out").exit_code == 5
    assert run("export", "other", "web", "--quiet").stdout == ""
    half_done = run("export", "third", "web", "nobody")
    assert (half_done.exit_code, half_done.stderr) == (3, "imgtool: failed: no image 'nobody'\n")
    told = objects(run("export", "fourth", "web", "nobody", "--json"), "transfer")
    assert [(one["what"], one["exit"]) for one in told] == [("exported", 0), ("failed", 3)]
    run("init", "--catalog", "second")
    came = run("import", "out", "--catalog", "second")
    assert (came.exit_code, came.stderr) == (0, "")
    assert came.stdout == f"{ID} web: imported, 1.75 KiB\n{OTHER} bare\\u202e: imported, without data\n"
    again = run("import", "out", "--catalog", "second")
    assert (again.exit_code, again.stdout) == (6, "")
    assert f"imgtool: {ID} web: failed: image {ID} is here already (active)\n" in again.stderr
    told = objects(run("import", "out", "--catalog", "second", "--skip-existing", "--json"), "transfer")
    assert [(one["what"], one["exit"]) for one in told] == [("skipped", 0)] * 2
    assert run("import", "nowhere").exit_code == 3
    assert run("import", "out", "--as", "ann:ops:member").exit_code == 6
    assert run("export", "fifth", "--as", "ann:ops:member").exit_code == 6
    assert not (folder / "fifth").exists()
