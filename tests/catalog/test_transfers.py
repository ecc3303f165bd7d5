"""Export and import: everything arrives, on either database, whatever breaks one off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from imgtool.catalog.images import Changes, New
from imgtool.catalog.listing import Filters
from imgtool.catalog.moves import begin_upload
from imgtool.catalog.service import Catalog
from imgtool.catalog.store import blob_key
from imgtool.errors import (
    ExistsError,
    NotFoundError,
    OutputError,
    RefusedError,
    UsageError,
)
from imgtool.model.schema import export_schema
from tests.catalog.exports import GOOD, exported, write
from tests.catalog.made import ID
from tests.catalog.server import Server
from tests.kit import ROOT
from tests.targets.kit import small_room

OTHER = "12345678-1234-1234-1234-123456789abd"
Open = Callable[..., Catalog]


@pytest.fixture
def catalog(first: Catalog) -> Catalog:
    """The one that is exported."""
    return first


@pytest.mark.parametrize("inside", ["one/copy", "one/blobs/copy", "store-one/copy", "store-one/blobs/copy"])
def test_nothing_is_exported_into_the_catalog_itself(catalog: Catalog, tmp_path: Path, inside: str) -> None:
    """Neither into its folder nor into its store."""
    (tmp_path / inside).parent.mkdir(exist_ok=True)
    with pytest.raises(OutputError, match="is in the catalog's own folder; name a place elsewhere"):
        catalog.export(str(tmp_path / inside))
    assert not (tmp_path / inside).exists()


def filled(catalog: Catalog, tmp_path: Path) -> None:
    """Images of every kind."""
    disk, raw = tmp_path / "disk.img", tmp_path / "raw.img"
    with open(raw, "wb") as file:
        file.truncate(8 << 20)
        file.seek(4 << 20)
        file.write(b"x" * 4096)
    more = {"tags": ("linux", "déb"), "properties": {"os_distro": "débian", "note": "a\nb\t\u202e"}}
    shared = catalog.create(
        New("shared\u202e", "lab", protected=True, min_disk=2, min_ram=512, disk_format="raw", **more),  # type: ignore[arg-type] # of a table
        raw,
    )
    catalog.add_member(shared.id, "one")
    catalog.set_member(shared.id, "one", "accepted")
    catalog.add_member(shared.id, "two")
    catalog.create(New("public", "ops", visibility="public"), disk)
    catalog.create(New("odd", "ops"), disk)
    catalog.deactivate("odd", "looks odd")
    catalog.reserve(New("reserved", "ops", disk_format="ami"))
    catalog.create(New("retired", "ops"), disk)
    catalog.delete("retired")
    saving = catalog.reserve(New("saving", "ops")).id
    with catalog.database.write() as connection:
        begin_upload(connection, saving, 1, "ann")


def told(catalog: Catalog) -> dict[str, object]:
    """All that is said of the images that an export has, but when it was."""
    found: dict[str, object] = {}
    for record in catalog.list(Filters(status=("active", "deactivated", "queued"))):
        same = replace(record, created_at="", updated_at="")
        found[record.id] = (same, [(one.member, one.status) for one in catalog.members(record.id)])
    return found


@pytest.mark.parametrize("way", ["there", "back"])
def test_everything_arrives(open_at: Open, server: Server, tmp_path: Path, way: str) -> None:
    """From SQLite to PostgreSQL and back: records, tags, properties, members, data with its holes, deactivation."""
    places = [str(tmp_path / "one"), server.fresh()]
    first, second = (open_at(place) for place in (places if way == "there" else places[::-1]))
    filled(first, tmp_path)
    done = first.export(tmp_path / "out")
    assert sorted((one.name or "", one.what, one.exit) for one in done) == sorted(
        (
            *((name, "exported", 0) for name in ("shared\u202e", "public", "odd", "reserved")),
            *(("retired", "skipped", 0), ("", "failed", 6)),
        )
    )
    lines = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    for line in lines:
        jsonschema.validate(line, export_schema())
    assert {line["image"]["name"]: line["history"][-1]["why"] for line in lines}["odd"] == "looks odd"
    assert [line["verdict"] is None for line in lines if line["image"]["status"] == "queued"] == [True]
    assert all(line["verdict"]["accepted"] for line in lines if line["image"]["status"] != "queued")
    assert {one.what for one in second.import_from(tmp_path / "out")} == {"imported"}
    assert told(second) == told(first)
    assert list(second.verify_all()) == [one for one in second.verify_all() if one]
    changes = [(one.after, one.why) for one in second.history("odd")]
    assert changes[0] == ("queued", f"imported from {tmp_path}/out")
    assert changes[-1] == ("deactivated", f"it was in {tmp_path}/out")
    assert json.loads(second.report("public") or "")["accepted"] is True
    again = second.import_from(tmp_path / "out", skip_existing=True)
    assert {one.what for one in again} == {"skipped"}
    refused = second.import_from(tmp_path / "out")
    assert {(one.what, one.exit) for one in refused} == {("failed", 6)}
    holes = (tmp_path / "out" / "blobs" / next(one.id for one in done if one.name == "shared\u202e")).stat()  # type: ignore[arg-type] # it has one
    assert holes.st_blocks * 512 < holes.st_size


def test_a_min_disk_that_is_less_than_the_disk(catalog: Catalog, second: Catalog, tmp_path: Path) -> None:
    """Is what its owner said, and no claim on the way: a copy takes it over."""
    path = tmp_path / "three.raw"
    with open(path, "wb") as file:
        file.truncate(3 << 30)
    catalog.create(New("three", "ops", disk_format="raw"), path)
    catalog.change("three", Changes(min_disk=1))
    catalog.export(tmp_path / "out")
    assert {one.what for one in second.import_from(tmp_path / "out")} == {"imported"}
    assert (second.show("three").status, second.show("three").min_disk) == ("active", 1)


def test_what_was_named_alone(catalog: Catalog, tmp_path: Path) -> None:
    """By id or name, once each; one that cannot be exported is told, and the others are there."""
    catalog.create(New("db", "ops", id=OTHER), tmp_path / "disk.img")
    catalog.delete("db")
    heard: list[str | None] = []
    done = catalog.export(tmp_path / "out", "web", ID, "nobody", OTHER, tell=lambda one: heard.append(one.name))
    assert [(one.what, one.exit) for one in done] == [("exported", 0), ("failed", 3), ("failed", 6)]
    assert heard == ["web", None, None]
    assert os.listdir(tmp_path / "out" / "blobs") == [ID]
    assert len((tmp_path / "out" / "manifest.jsonl").read_text().splitlines()) == 1


def test_nothing_is_replaced(catalog: Catalog, tmp_path: Path) -> None:
    """What is at the target stays; where nothing could be exported, nothing appears."""
    (tmp_path / "there").mkdir()
    for name in ("there", "there/", "disk.img"):
        with pytest.raises(ExistsError):
            catalog.export(f"{tmp_path}/{name}")
    with pytest.raises(OutputError):
        catalog.export(tmp_path / "no" / "folder")
    for odd in ("", "a\0b"):
        with pytest.raises(UsageError):
            catalog.export(odd)
        with pytest.raises(UsageError):
            catalog.import_from(odd)
    assert [one.what for one in catalog.export(tmp_path / "out", "nobody")] == ["failed"]
    assert sorted(os.listdir(tmp_path)) == ["disk.img", "one", "store-one", "there"]


def test_damaged_data_is_left_out(catalog: Catalog, tmp_path: Path) -> None:
    """It is told, and the rest is whole."""
    catalog.create(New("db", "ops", id=OTHER), tmp_path / "disk.img")
    blob = Path(catalog.store.path(f"{ID}.1") or "")
    blob.chmod(0o600)
    blob.write_bytes(GOOD[:-1] + b"\x01")
    failed, good = catalog.export(tmp_path / "out")
    assert (failed.id, failed.what, good.what) == (ID, "failed", "exported")
    assert os.listdir(tmp_path / "out" / "blobs") == [OTHER]


def test_a_full_disk(catalog: Catalog, tmp_path: Path) -> None:
    """The export ends there, and nothing of it stays."""
    (tmp_path / "large.img").write_bytes(os.urandom(1 << 20))
    catalog.create(New("large", "ops", disk_format="raw"), tmp_path / "large.img")
    with small_room(tmp_path, 512 << 10) as room:
        with pytest.raises(OutputError, match="No space left"):
            catalog.export(room / "out")
        assert os.listdir(room) == []


def test_who_may(catalog: Catalog, open_at: Open, tmp_path: Path) -> None:
    """Administrators; by a rule of one's own others too, but not what is deactivated."""
    for verb in ("export", "import_from"):
        with pytest.raises(RefusedError, match=f"may not {verb.partition('_')[0]} catalog"):
            getattr(open_at(str(tmp_path / "one"), "ann:ops:member"), verb)(tmp_path / "out")
    (tmp_path / "access.yaml").write_text('export_catalog: "role:member"\n')
    member = open_at(str(tmp_path / "one"), "ann:ops:member", access=str(tmp_path / "access.yaml"))
    catalog.deactivate("web")
    (refused,) = member.export(tmp_path / "out", "web")
    assert (refused.exit, refused.why) == (6, f"image {ID} is deactivated: only an administrator reads its data")


def test_members_and_histories_are_for_those_that_see_them(catalog: Catalog, open_at: Open, tmp_path: Path) -> None:
    """Of an image that is shared with him a member exports himself, of others' public ones nobody."""
    (tmp_path / "access.yaml").write_text('export_catalog: "role:member"\n')
    for project in ("one", "two"):
        catalog.add_member(ID, project)
    catalog.create(New("all", "ops", id=OTHER, visibility="public"), tmp_path / "disk.img")
    for project, seen in (("ops", [["one", "two"], []]), ("one", [["one"], []])):
        member = open_at(str(tmp_path / "one"), f"ann:{project}:member", access=str(tmp_path / "access.yaml"))
        assert {one.what for one in member.export(tmp_path / f"by-{project}", ID, OTHER)} == {"exported"}
        lines = [
            json.loads(line) for line in (tmp_path / f"by-{project}" / "manifest.jsonl").read_text().splitlines()
        ]
        assert [[one["member"] for one in line["members"]] for line in lines] == seen
        assert [bool(line["history"]) for line in lines] == [project == "ops"] * 2
        assert all(line["verdict"]["accepted"] for line in lines)
        for line in lines:
            jsonschema.validate(line, export_schema())


def test_a_killed_export_leaves_nothing_under_its_name(catalog: Catalog, tmp_path: Path) -> None:
    """What it left hidden goes with the next one; what a running one fills stays."""
    program = (
        "import sys, time\nfrom imgtool.catalog.service import Catalog\nfrom imgtool.config.config import Config\n"
        "config = Config(location=sys.argv[1], store=sys.argv[2])\n"
        "catalog = Catalog.open(identity='root:ops:admin', config=config)\n"
        "catalog.export(sys.argv[3], tell=lambda one: (print('one', flush=True), sys.stdin.read()))\n"
    )
    places = (tmp_path / "one", tmp_path / "store-one", tmp_path / "out")
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, places)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"one\n"
    (hidden,) = (name for name in os.listdir(tmp_path) if name.startswith(".out.imgtool-"))
    assert catalog.export(tmp_path / "out")[0].what == "exported"
    assert (tmp_path / hidden).exists()
    process.kill()
    process.communicate()
    (tmp_path / "out").rename(tmp_path / "before")
    catalog.export(tmp_path / "out")
    assert not (tmp_path / hidden).exists()
    assert sorted(os.listdir(tmp_path / "out")) == ["blobs", "manifest.jsonl"]


def test_an_import_goes_on(catalog: Catalog, second: Catalog, tmp_path: Path) -> None:
    """What was refused, or broken off, is taken up by the next import; what others made is not."""
    folder, line = exported(catalog, tmp_path)
    (folder / "blobs" / ID).write_bytes(GOOD[:-1] + b"\x01")
    assert second.import_from(folder)[0].exit == 1
    assert second.show(ID).status == "killed"
    (folder / "blobs" / ID).write_bytes(GOOD)
    assert second.import_from(folder)[0].what == "imported"
    assert [one.after for one in second.history(ID)] == [
        *("queued", "saving", "killed", "queued", "saving", "active"),
    ]
    second.reserve(New("db", "ops", id=OTHER))
    (folder / "blobs" / OTHER).write_bytes(GOOD)
    write(folder, {**line, "image": {**line["image"], "id": OTHER}})
    (failed,) = second.import_from(folder)
    assert (failed.exit, failed.why) == (6, f"image {OTHER} is here already (queued)")


def draft(catalog: Catalog, second: Catalog, tmp_path: Path, visibility: str = "shared") -> Path:
    """An export with data of an image that came to the second catalog without, and under other words."""
    said = New("draft", "ops", id=OTHER, visibility="public", disk_format="raw", tags=["old"], properties={"a": "1"})
    catalog.reserve(said)
    catalog.export(tmp_path / "before", OTHER)
    assert second.import_from(tmp_path / "before")[0].what == "imported"
    catalog.change(
        OTHER,
        Changes("secret", "lab", "shared", True, "qcow2", "bare", 2, 512),
        tags=["new"],
        properties={"b": "2"},
    )
    catalog.unset(OTHER, tags=["old"], properties=["a"])
    catalog.add_member(OTHER, "one")
    catalog.set_member(OTHER, "one", "accepted")
    catalog.change(OTHER, Changes(visibility=visibility))
    catalog.upload(OTHER, tmp_path / "disk.img")
    catalog.export(tmp_path / "after", OTHER)
    return tmp_path / "after"


@pytest.mark.parametrize("visibility", ["shared", "private"])
def test_an_import_says_all_anew(
    catalog: Catalog, second: Catalog, open_at: Open, tmp_path: Path, visibility: str
) -> None:
    """Of what an earlier one left nothing stays: nobody sees by it what is not for him."""
    folder = draft(catalog, second, tmp_path, visibility)
    assert second.import_from(folder, skip_existing=True)[0].what == "imported"
    one, other = (replace(each.show(OTHER), created_at="", updated_at="") for each in (catalog, second))
    assert one == other
    assert [each.member for each in second.members(OTHER)] == (["one"] if visibility == "shared" else [])
    with pytest.raises(NotFoundError):
        open_at(str(tmp_path / "two"), "eve:other:member").show(OTHER)


def test_a_claim_that_was_wrong_is_no_hindrance(catalog: Catalog, second: Catalog, tmp_path: Path) -> None:
    """The image was killed for it; the manifest that is right brings the data in."""
    folder, line = exported(catalog, tmp_path)
    for disk in ("vmdk", "vdi"):
        write(folder, {**line, "image": {**line["image"], "disk_format": disk}})
        assert second.import_from(folder)[0].exit == 1
    write(folder, line)
    assert second.import_from(folder)[0].what == "imported"
    assert second.show(ID).disk_format == "qcow2"


def test_what_somebody_changed_stays(catalog: Catalog, second: Catalog, tmp_path: Path) -> None:
    """Before an import or while one went on: the next one leaves it alone."""
    folder = draft(catalog, second, tmp_path)
    with second.database.write() as connection:
        begin_upload(connection, OTHER, 1, "root")
    second.change(OTHER, Changes(name="mine"))
    for status in ("saving", "killed"):
        (failed,) = second.import_from(folder)
        assert (failed.exit, failed.why) == (6, f"image {OTHER} is here already ({status})")
        assert second.import_from(folder, skip_existing=True)[0].what == "skipped"
        second.repair()
    record = second.show(OTHER)
    assert (record.name, record.visibility, record.status) == ("mine", "public", "killed")


def test_what_an_import_left_is_not_everybodys(
    catalog: Catalog, second: Catalog, open_at: Open, tmp_path: Path
) -> None:
    """Who goes on with it needs what a change of it needs, and room; else all stays as it was."""
    folder = draft(catalog, second, tmp_path)
    (tmp_path / "access.yaml").write_text('import_catalog: "@"\nadd_image: "@"\n')
    rules = str(tmp_path / "access.yaml")
    before = second.show(OTHER)
    for who, settings in (
        ("eve:other:member", {"access": rules}),
        ("ann:ops:member", {"access": rules}),
        ("root:ops:admin", {"owner_images": 0}),
    ):
        (failed,) = open_at(str(tmp_path / "two"), who, **settings).import_from(folder)
        assert (failed.what, failed.exit) == ("failed", 6)
    assert second.show(OTHER) == before
    assert not second.members(OTHER)
    assert second.import_from(folder)[0].what == "imported"


def test_the_status_is_told_to_those_that_see_the_image(catalog: Catalog, open_at: Open, tmp_path: Path) -> None:
    """To others only that the id is taken."""
    folder, _ = exported(catalog, tmp_path)
    (tmp_path / "access.yaml").write_text('import_catalog: "@"\n')
    for who, seen in (("ann:ops:member", " (active)"), ("eve:other:member", "")):
        (failed,) = open_at(str(tmp_path / "one"), who, access=str(tmp_path / "access.yaml")).import_from(folder)
        assert failed.why == f"image {ID} is here already{seen}"


def test_an_import_without_a_process_is_ended(catalog: Catalog, second: Catalog, tmp_path: Path) -> None:
    """By the next one, which goes on; while a process is at it, that is a failure, whatever is skipped."""
    folder = draft(catalog, second, tmp_path)
    with second.store.begin(blob_key(OTHER, 1)):
        with second.database.write() as connection:
            begin_upload(connection, OTHER, 1, "root")
        (failed,) = second.import_from(folder, skip_existing=True)
        assert (failed.exit, failed.why) == (
            6,
            f"image {OTHER} is here already (saving): an upload into it is under way",
        )
    assert second.import_from(folder, skip_existing=True)[0].what == "imported"
    past = [(one.after, one.why) for one in second.history(OTHER)]
    assert past[1:4] == [("saving", "upload"), ("killed", "its process is gone"), ("queued", "a fresh upload")]
    assert second.show(OTHER).status == "active"


def test_an_upload_of_somebody_is_not_ended(catalog: Catalog, second: Catalog, tmp_path: Path) -> None:
    """An image that no import made is here already, whether its upload has a process or not."""
    folder, _ = exported(catalog, tmp_path)
    second.reserve(New("own", "ops", id=ID))
    with second.database.write() as connection:
        begin_upload(connection, ID, 1, "ann")
    assert second.import_from(folder, skip_existing=True)[0].what == "skipped"
    assert second.show(ID).status == "saving"


def test_a_killed_import_leaves_nothing_half(catalog: Catalog, second: Catalog, tmp_path: Path) -> None:
    """A repair ends it, and the next import brings all in."""
    folder, _ = exported(catalog, tmp_path)
    program = (
        "import os, sys\nfrom contextlib import nullcontext\nfrom imgtool.catalog.service import Catalog\n"
        "from imgtool.config.config import Config\nconfig = Config(location=sys.argv[1], store=sys.argv[2])\n"
        "catalog = Catalog.open(identity='root:ops:admin', config=config)\n"
        "catalog.import_from(sys.argv[3], meters=lambda record: nullcontext(lambda count: os.kill(os.getpid(), 9)))\n"
    )
    places = (tmp_path / "two", tmp_path / "store-two", folder)
    done = subprocess.run([sys.executable, "-c", program, *map(str, places)], cwd=ROOT)
    assert done.returncode == -9
    assert second.show(ID).status == "saving"
    assert second.repair().uploads == 1
    assert second.import_from(folder)[0].what == "imported"
    assert list(second.verify_all()) == [one for one in second.verify_all() if one]
    assert not any(second.repair())


def test_the_policy_is_this_catalogs(open_at: Open, catalog: Catalog, tmp_path: Path) -> None:
    """What another catalog let through is judged anew; so are the quotas."""
    folder, _ = exported(catalog, tmp_path)
    strict = open_at(str(tmp_path / "two"), disk_formats=("raw",))
    (failed,) = strict.import_from(folder)
    assert (failed.exit, "IMG013" in (failed.why or "")) == (1, True)
    full = open_at(str(tmp_path / "three"), total_images=0)
    assert full.import_from(folder)[0].exit == 6


def broken_off(second: Catalog, folder: Path, tmp_path: Path, moments: int) -> None:
    """Kill imports at moments of theirs; a repair and one more import make everything right."""
    program = (
        "import sys\nfrom imgtool.catalog.service import Catalog\nfrom imgtool.config.config import Config\n"
        "config = Config(location=sys.argv[1], store=sys.argv[2])\n"
        "catalog = Catalog.open(identity='root:ops:admin', config=config)\n"
        "print('ready', flush=True)\ncatalog.import_from(sys.argv[3], skip_existing=True)\n"
    )
    places = (second.config.location or "", second.config.store or "", str(folder))
    ended = 0
    for moment in range(moments):
        process = subprocess.Popen([sys.executable, "-c", program, *places], cwd=ROOT, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.004 * moment + 0.01)
        process.kill()
        process.communicate()
        second.repair()
        states = {one.status for one in second.list()}
        assert states <= {"active", "queued", "killed"}
        assert not [one for one in second.verify_all() if not one]
        ended += process.returncode == 0
    last = second.import_from(folder, skip_existing=True)
    assert {one.what for one in last} <= {"imported", "skipped"}
    assert {one.status for one in second.list()} == {"active"}
    assert len(second.list()) == len(last)
    print(f"{moments} imports killed, {ended} of them too late; {len(last)} images")


@pytest.mark.full
def test_imports_killed_fifty_times(catalog: Catalog, second: Catalog, tmp_path: Path) -> None:
    """At fifty moments, of an export of sixty images."""
    (tmp_path / "large.img").write_bytes(os.urandom(1 << 20))
    for number in range(60):
        catalog.create(New(f"image-{number}", "ops", disk_format="raw"), tmp_path / "large.img")
    catalog.export(tmp_path / "out")
    broken_off(second, tmp_path / "out", tmp_path, 50)
