"""Export and import: everything arrives, on either database; nothing in a manifest is trusted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgtool.catalog import manifest
from imgtool.catalog.images import New
from imgtool.catalog.listing import Filters
from imgtool.catalog.moves import begin_upload
from imgtool.catalog.service import Catalog
from imgtool.config.config import Config
from imgtool.errors import (
    ExistsError,
    InputError,
    NotFoundError,
    NotRegularError,
    OutputError,
    RefusedError,
    UsageError,
)
from imgtool.model.schema import export_schema
from tests.catalog.made import ID
from tests.catalog.server import Server
from tests.kit import ROOT, fixture

GOOD = fixture("qcow2/plain.qcow2")
OTHER = "12345678-1234-1234-1234-123456789abd"
Open = Callable[..., Catalog]


@pytest.fixture
def open_at(tmp_path: Path) -> Iterator[Open]:
    """Open, or make, a catalog at a place; its data lies beside."""
    opened: list[Catalog] = []

    def one(place: str, who: str = "root:ops:admin", **settings: object) -> Catalog:
        name = place.rpartition("/")[2].partition("?")[0]
        config = Config(location=place, store=str(tmp_path / f"store-{name}"))._replace(**settings)
        opened.append(Catalog.open(identity=who, create=True, config=config))
        return opened[-1]

    (tmp_path / "disk.img").write_bytes(GOOD)
    yield one
    for catalog in opened:
        catalog.close()


@pytest.fixture
def catalog(open_at: Open, tmp_path: Path) -> Catalog:
    """One with an image."""
    found = open_at(str(tmp_path / "one"))
    found.create(New("web", "ops", id=ID), tmp_path / "disk.img")
    return found


@pytest.fixture
def second(open_at: Open, tmp_path: Path) -> Catalog:
    """Another one, empty."""
    return open_at(str(tmp_path / "two"))


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
    assert sorted((one.name, one.what) for one in done) == sorted(
        (name, "exported") for name in ("shared\u202e", "public", "odd", "reserved")
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


def exported(catalog: Catalog, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """An export of one image: its folder, and its line."""
    catalog.export(tmp_path / "out")
    return tmp_path / "out", json.loads((tmp_path / "out" / "manifest.jsonl").read_text())


def write(folder: Path, *lines: object) -> None:
    """Another manifest."""
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _nested(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Lists and objects of it."""
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)


def _as_line(value: object) -> bytes:
    """A line of a manifest, with the schema's name in it where it is an object."""
    return json.dumps({"schema": "imgtool.export/1", **value} if isinstance(value, dict) else value).encode()


#: The fields that are read.
NAMES = (
    *("id", "name", "owner", "status", "visibility", "protected", "tags", "properties", "min_disk", "min_ram"),
    *("disk_format", "container_format", "size", "checksum", "os_hash_algo", "os_hash_value"),
)

FAULTS: list[tuple[str, object, int]] = [
    ("id", "../../../etc/passwd", 2),
    ("id", ID + "/..", 2),
    ("id", None, 3),
    ("name", "", 2),
    ("name", "a\x1b[31m", 2),
    ("name", "n" * 256, 2),
    ("name", "\ud800", 2),
    ("name", ["web"], 3),
    ("owner", "", 2),
    ("owner", "x" * (1 << 21), 3),
    ("status", "pending_delete", 3),
    ("status", "saving", 3),
    ("status", 7, 3),
    ("visibility", "everybody", 2),
    ("protected", 1, 3),
    ("tags", ["a\n"], 2),
    ("tags", [str(number) for number in range(129)], 6),
    ("tags", ["t"] * 5000, 3),
    ("tags", "linux", 3),
    ("properties", {"os_glance_x": "1"}, 6),
    ("properties", {"checksum": "1"}, 6),
    ("properties", {"a": 1}, 3),
    ("properties", {"a": "\0"}, 2),
    ("properties", {"a": "v" * 65536}, 2),
    ("properties", None, 3),
    ("min_disk", -1, 3),
    ("min_disk", 1 << 31, 2),
    ("min_ram", True, 3),
    ("min_ram", 1.5, 3),
    ("disk_format", "../raw", 2),
    ("disk_format", "raw", 1),
    ("container_format", "ova", 1),
    ("size", None, 3),
    ("size", 1 << 63, 3),
    ("size", len(GOOD) - 1, 3),
    ("checksum", None, 3),
    ("checksum", "0" * 32, 1),
    ("checksum", "../x", 2),
    ("os_hash_algo", "crc32", 2),
    ("os_hash_algo", "md5", 2),
    ("os_hash_value", "0" * 128, 1),
    ("min_disk", 0, 0),
]


def numbered(number: int) -> str:
    """An id of its own."""
    return f"{number:08x}-1234-1234-1234-123456789abc"


def test_no_field_is_trusted(catalog: Catalog, second: Catalog, tmp_path: Path) -> None:
    """Each is judged as if it were typed; a fault of one image leaves the others, and nothing of its own but a record
    whose upload failed."""
    folder, line = exported(catalog, tmp_path)
    lines = []
    for number, (field, value, _) in enumerate(FAULTS):
        os.link(folder / "blobs" / ID, folder / "blobs" / numbered(number))
        lines.append({**line, "image": {**line["image"], "id": numbered(number), field: value}})
    write(folder, *lines)
    done = second.import_from(folder)
    wrong = [(fault, one) for fault, one in zip(FAULTS, done, strict=True) if one.exit != fault[2]]
    assert not wrong
    kept = {one.id: one.status for one in second.list()}
    status = {0: "active", 1: "killed"}
    assert kept == {numbered(number): status[code] for number, (_, _, code) in enumerate(FAULTS) if code in status}
    assert not any(second.repair())


@given(
    st.binary(max_size=64)
    | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), _nested).map(_as_line)
)
@settings(max_examples=200, deadline=None)
def test_any_line_is_read_or_refused(line: bytes) -> None:
    """Whatever stands there: no other failure than those that are told."""
    with suppress(InputError, UsageError):
        manifest.parsed(line)


@pytest.mark.parametrize("field", [None, *NAMES])
@given(value=st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9), _nested))
@settings(max_examples=15, deadline=None)
def test_any_value_is_read_or_refused(field: str | None, value: object) -> None:
    """In each field of a line that is otherwise whole."""
    image = dict.fromkeys(("name", "owner", "visibility"), "a") | dict.fromkeys(("min_disk", "min_ram", "size"), 1)
    image |= {"id": ID, "status": "active", "protected": False, "tags": [], "properties": {}}
    image |= {"checksum": "0" * 32, "os_hash_algo": "md5", "os_hash_value": "0" * 32}
    line = {"schema": "imgtool.export/1", "image": image, "members": []}
    if field is None:
        line["members"] = [value]
    else:
        image[field] = value
    with suppress(InputError, UsageError):
        manifest.parsed(json.dumps(line).encode())


LINES = (
    b"\n",
    b"{\n",
    b"null\n",
    b"[]\n",
    b'{"schema": "imgtool.export/2"}\n',
    b'{"schema": "imgtool.export/1"}\n',
    b'{"schema": "imgtool.export/1", "image": []}\n',
    b"[" * 100_000 + b"\n",
    b"9" * 10_000 + b"\n",
    b"\xff\xfe\n",
)


def test_lines_that_are_none(catalog: Catalog, second: Catalog, tmp_path: Path) -> None:
    """Each is told by its number, and the next one is read."""
    folder, _ = exported(catalog, tmp_path)
    good = (folder / "manifest.jsonl").read_bytes()
    (folder / "manifest.jsonl").write_bytes(b"".join(LINES) + good)
    *failed, other = second.import_from(folder)
    assert [(one.id, one.what, one.exit) for one in failed] == [(None, "failed", 3)] * len(LINES)
    assert [(one.why or "").partition(":")[0] for one in failed] == [
        f"line {number} of the manifest" for number in range(1, len(LINES) + 1)
    ]
    assert other.what == "imported"


def test_a_line_has_a_most(
    catalog: Catalog, second: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond it nothing is read."""
    folder, _ = exported(catalog, tmp_path)
    monkeypatch.setattr(manifest, "LINE", 100)
    with pytest.raises(InputError, match="line 1 has more than 100 bytes"):
        second.import_from(folder)


def as_symlink(path: Path) -> None:
    """To something that is there."""
    moved = path.with_name("moved")
    path.rename(moved)
    path.symlink_to(moved)


def as_fifo(path: Path) -> None:
    """That would block who opens it."""
    path.unlink()
    os.mkfifo(path)


def as_folder(path: Path) -> None:
    """Of the same name."""
    path.unlink()
    path.mkdir()


def as_nothing(path: Path) -> None:
    """It is not there."""
    path.unlink()


@pytest.mark.parametrize("change", [as_symlink, as_fifo, as_folder, as_nothing])
def test_only_regular_files_of_the_folder(
    catalog: Catalog, second: Catalog, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """Data and manifest; nothing is followed, nothing is waited for."""
    folder, _ = exported(catalog, tmp_path)
    change(folder / "blobs" / ID)
    (failed,) = second.import_from(folder)
    assert (failed.id, failed.what, failed.exit) == (ID, "failed", 3)
    assert second.list() == ()
    change(folder / "manifest.jsonl")
    with pytest.raises((InputError, NotFoundError, NotRegularError)):
        second.import_from(folder)


def test_the_folder_of_data_is_not_followed(catalog: Catalog, second: Catalog, tmp_path: Path) -> None:
    """A link in place of it is refused."""
    folder, _ = exported(catalog, tmp_path)
    as_symlink(folder / "blobs")
    (failed,) = second.import_from(folder)
    assert (failed.what, failed.exit) == ("failed", 3)
    with pytest.raises(InputError):
        second.import_from(tmp_path / "disk.img")
    with pytest.raises(NotFoundError):
        second.import_from(tmp_path / "nowhere")


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
