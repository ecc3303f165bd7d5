"""Nothing lost, nothing half: verbs that are killed, interrupted, or fail for want of space, at any moment.

After each, the repair makes everything right (`sound` checks it), and what a verb said to have done is done.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from imgtool.catalog.images import New
from imgtool.catalog.listing import Filters
from imgtool.catalog.service import Catalog
from imgtool.catalog.store import Import
from imgtool.config.config import Config
from imgtool.errors import InputError, OutputError, RejectedError
from tests.catalog.moments import How, Tell, calls_of, end_at
from tests.catalog.test_upkeep import sound
from tests.kit import fixture
from tests.targets.kit import as_root, small_room

GOOD = fixture("qcow2/plain.qcow2")
ADMIN = "root:ops:admin"
MIB = 1 << 20
LEFT = ("active", "deactivated", "pending_delete")


class Place(NamedTuple):
    """Where a catalog is on either database, and a folder for files."""

    config: Config
    folder: Path

    def opened(self, **settings: Any) -> Catalog:
        """The catalog, as its administrator."""
        return Catalog.open(identity=ADMIN, create=True, config=self.config._replace(**settings))

    def image(self) -> Path:
        """A file to import."""
        path = self.folder / "disk.img"
        path.write_bytes(GOOD)
        return path


@pytest.fixture
def where(place: str, tmp_path: Path) -> Place:
    """An empty catalog."""
    found = Place(Config(location=place, store=str(tmp_path / "store")), tmp_path)
    found.opened().close()
    return found


def three(catalog: Catalog, where: Place) -> list[str]:
    """Ids of three images with data."""
    return [catalog.create(New(f"n{number}", "ops"), where.image()).id for number in range(3)]


class Ready(NamedTuple):
    """What a verb begins with: the catalog, the same without a grace period, three images, and a folder of files."""

    catalog: Catalog
    eager: Catalog
    ids: list[str]
    folder: Path


def create(ready: Ready, tell: Tell) -> None:
    """Images by every way in."""
    catalog, moved = ready.catalog, ready.folder / "moved.img"
    tell(f"{catalog.create(New('copied', 'ops'), ready.folder / 'disk.img').id} active")
    tell(f"{catalog.create(New('piped', 'ops'), BytesIO(GOOD)).id} active")
    tell(f"{catalog.create(New('moved', 'ops'), moved, how='move').id} active")
    assert not moved.exists()


def save(ready: Ready, tell: Tell) -> None:
    """To new files, over old ones, to go on with."""
    for number, resume in enumerate((False, True, True)):
        out = ready.folder / f"out{number}"
        ready.catalog.save(ready.ids[number], out, force=number == 2, resume=resume)
        assert out.read_bytes() == GOOD


def delete(ready: Ready, tell: Tell) -> None:
    """With a grace period, and without; and taken back."""
    one, *others = ready.ids
    ready.catalog.delete(one)
    tell(f"{one} pending_delete")
    tell(f"{ready.catalog.restore(one).id} active")
    for identifier in others:
        ready.eager.delete(identifier)
        tell(f"{identifier} deleted")


def scrub(ready: Ready, tell: Tell) -> None:
    """All that was deleted."""
    for identifier in ready.ids:
        ready.catalog.delete(identifier)
        tell(f"{identifier} pending_delete")
    assert ready.catalog.scrub(delay=0).images == 3
    for identifier in ready.ids:
        tell(f"{identifier} deleted")


def mend(ready: Ready, tell: Tell) -> None:
    """The repair itself: of data that nobody owns, which an upload brought that nobody waits for."""
    for number in (7, 8):
        with ready.catalog.store.begin(f"{ready.ids[0]}.{number}") as upload:
            upload.write(GOOD)
            upload.commit()
    assert ready.catalog.repair().blobs == 2


Verb = Callable[[Ready, Tell], None]
VERBS: tuple[Verb, ...] = (create, save, delete, scrub, mend)


def end_often(where: Place, verb: Verb, count: int, how: How = "kill", calls: int = 0) -> None:
    """End a verb at as many moments, each time with other images; print what was met. `calls`: about how many it
    makes; counted where that is not said."""
    draw = random.Random(f"{verb.__name__} {count} {how}")
    met: Counter[str] = Counter()
    with where.opened() as catalog:
        for _ in range(count):
            ids = three(catalog, where)
            for name in ("out0", "out1", "out2", "moved.img"):
                (where.folder / name).unlink(missing_ok=True)
            for name in ("out2", "moved.img"):
                (where.folder / name).write_bytes(GOOD)

            def prepare(ids: list[str] = ids) -> Ready:
                return Ready(where.opened(), where.opened(delay=0), ids, where.folder)

            calls = calls or counted(where, verb)
            ended = end_at(draw.randint(1, calls), prepare, verb, how)
            met["ended in it"] += ended.early
            told = dict(line.split() for line in ended.told if " " in line)
            after(catalog, where.folder, told, met)
    print(f"{verb.__name__}, {how}, {where.config.location}: {dict(met)} of {count}, at {calls} calls")
    assert met["ended in it"] >= count // 2


def counted(where: Place, verb: Verb) -> int:
    """How many calls a verb makes, with images of its own."""
    with where.opened() as catalog:
        ids = three(catalog, where)
    saved = {path: path.read_bytes() for path in where.folder.iterdir() if path.is_file()}
    calls = calls_of(lambda: Ready(where.opened(), where.opened(delay=0), ids, where.folder), verb)
    for path, content in saved.items():
        path.write_bytes(content)
    for name in ("out0", "out1"):
        (where.folder / name).unlink(missing_ok=True)
    return calls


def after(catalog: Catalog, folder: Path, told: dict[str, str], met: Counter[str]) -> None:
    """What must hold after a verb ended in its middle; then all is cleared away for the next."""
    with catalog.database.write() as connection:  # the lease of a killed scrubber would hold for a minute
        connection.exec_driver_sql("UPDATE leases SET expires_at = 1")
    done = catalog.repair()
    met["uploads ended"] += done.uploads
    met["blobs removed"] += done.blobs
    assert (done.missing, done.failed) == ((), ())
    sound(catalog)
    for identifier, status in told.items():
        now = catalog.show(identifier).status
        assert now == status or (status, now) in _ON, (identifier, status, now)
    for name in ("out0", "out1", "moved.img"):
        assert not (folder / name).exists() or (folder / name).read_bytes() == GOOD
    assert (folder / "out2").read_bytes() == GOOD  # what is replaced is there until the new one is
    assert (folder / "moved.img").exists() or catalog.list(Filters(name="moved", status=("active",)))
    for name in os.listdir(folder):
        if name.startswith("."):
            assert name.startswith(".imgtool-save-") or name.endswith(".part")
            met["files to go on with"] += name.startswith(".imgtool-save-")
            (folder / name).unlink()
    for record in catalog.list(Filters(status=("active", "queued", "killed"))):
        catalog.delete(record.id)
    catalog.scrub(delay=0)


#: Where the last word of a killed process was followed by a step that it could not tell any more.
_ON = {("pending_delete", "active"), ("pending_delete", "deleted")}


@pytest.mark.parametrize(
    ("verb", "calls"),
    [(create, 18_000), (save, 5_000), (delete, 9_500), (scrub, 13_000), (mend, 6_000)],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_killed_at_any_moment(tmp_path: Path, verb: Verb, calls: int) -> None:
    """A few moments of each verb."""
    end_often(_on_file(tmp_path), verb, 2, calls=calls)


@pytest.mark.full
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
def test_killed_at_fifty_moments(where: Place, verb: Verb) -> None:
    """Fifty of each."""
    end_often(where, verb, 50)


@pytest.mark.full
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
def test_interrupted_at_fifty_moments(where: Place, verb: Verb) -> None:
    """Fifty of each."""
    end_often(where, verb, 50, "interrupt")


def _on_file(folder: Path) -> Place:
    return Place(Config(location=str(folder / "catalog"), store=str(folder / "store")), folder)


def fails(catalog: Catalog, name: str, given: Any, **how: Any) -> str:
    """Create an image, which fails for the store or the database; what was said."""
    with pytest.raises(OutputError) as caught:
        catalog.create(New(name, "ops", disk_format="raw"), given, **how)
    return str(caught.value)


def test_no_space_for_data(tmp_path: Path) -> None:
    """The image is killed, nothing of it stays, the others are whole; with room, it comes."""
    large = tmp_path / "large.img"
    large.write_bytes(os.urandom(3 * MIB))
    with small_room(tmp_path, 2 * MIB) as room:
        where = Place(Config(location=str(tmp_path / "catalog"), store=str(room)), tmp_path)
        with where.opened() as catalog:
            three(catalog, where)
            for given in (large, BytesIO(large.read_bytes())):
                assert "No space left on device" in fails(catalog, "large", given)
                record = catalog.list(limit=1)[0]
                assert (record.status, "No space left" in (record.reason or "")) == ("killed", True)
                assert os.listdir(room / "uploads") == []
            assert sound(catalog) == {"active": 3, "killed": 2}
            subprocess.run(as_root("mount", "-o", "remount,size=8M", str(room)), check=True)
            assert catalog.upload(record.id, large).status == "active"
            assert sound(catalog) == {"active": 4, "killed": 1}


def test_no_space_for_records(tmp_path: Path) -> None:
    """However far a verb gets: what it did is done, what it did not is not; with room, all goes on."""
    met: Counter[str] = Counter()
    with small_room(tmp_path, 8 * MIB) as room:
        where = Place(Config(location=str(room / "catalog"), store=str(tmp_path / "store")), tmp_path)
        with where.opened() as catalog:
            three(catalog, where)
            for left in range(60, 420, 40):
                filler = room / "filler"
                filler.write_bytes(bytes(max(0, _free(room) - left * 1024)))
                for number in range(6):
                    try:
                        catalog.deactivate(catalog.create(New(f"{left}-{number}", "ops"), where.image()).id)
                        met["done"] += 1
                    except OutputError as error:
                        met[str(error).rpartition(": ")[2]] += 1
                filler.unlink()
                met["uploads ended"] += catalog.repair().uploads
                sound(catalog)
            assert catalog.create(New("last", "ops"), where.image()).status == "active"
    print(dict(met))
    assert set(met) <= {"done", "uploads ended", *_FULL}
    assert sum(met[said] for said in _FULL) >= 10
    assert met["done"] >= 1


#: What is said of a database that has no space.
_FULL = (
    "no space is left (database or disk is full)",
    "it cannot be read or written (disk I/O error)",
    "it cannot be opened (unable to open database file)",
)


def _free(room: Path) -> int:
    found = os.statvfs(room)
    return found.f_bavail * found.f_bsize


def test_a_store_that_becomes_read_only(tmp_path: Path) -> None:
    """In the middle: data can be read, nothing can come; what a scrubbing could not remove the next one does."""
    with small_room(tmp_path, 8 * MIB) as room:
        where = Place(Config(location=str(tmp_path / "catalog"), store=str(room)), tmp_path)

        def remount(how: str) -> None:
            subprocess.run(as_root("mount", "-o", f"remount,{how}", str(room)), check=True)

        with where.opened() as catalog, where.opened(delay=0) as eager:
            ids = three(catalog, where)
            queued = catalog.reserve(New("queued", "ops"))
            plain = catalog.remove_data

            def once(identifier: str, blob: str) -> int | None:
                freed = plain(identifier, blob)
                remount("ro")
                return freed

            catalog.remove_data = once  # type: ignore[method-assign] # the store changes after the first of two
            for identifier in ids[:2]:
                catalog.delete(identifier)
            done = catalog.scrub(delay=0)
            assert (done.images, done.blobs, done.freed) == (2, 1, len(GOOD))
            assert "Read-only file system" in done.failed[0]
            catalog.save(ids[2], tmp_path / "out")
            assert (tmp_path / "out").read_bytes() == GOOD
            assert catalog.verify(ids[2])
            with pytest.raises(OutputError, match="Read-only file system"):
                catalog.upload(queued.id, where.image())
            assert catalog.show(queued.id).status == "queued"
            with pytest.raises(OutputError, match="Read-only file system"):
                eager.delete(ids[2])
            assert catalog.show(ids[2]).status == "deleted"
            remount("rw")
            catalog.remove_data = plain  # type: ignore[method-assign] # as it was
            assert plain(ids[2], f"{ids[2]}.1") == len(GOOD)
            assert catalog.scrub(delay=0).blobs == 1
            assert catalog.upload(queued.id, where.image()).status == "active"
            assert sound(catalog) == {"active": 1, "deleted": 3}


@pytest.mark.parametrize("how", ["copy", "move", "link"])
@pytest.mark.parametrize("what", ["vanishes", "shrinks", "grows", "is written to"])
def test_a_source_that_changes_while_it_is_read(tmp_path: Path, how: Import, what: str) -> None:
    """One that vanishes was read all the same; of one that changes nothing is kept, and it is not removed."""
    where, path = _on_file(tmp_path), tmp_path / "large.img"
    path.write_bytes(os.urandom(2 * MIB))

    def change(count: int) -> None:
        with suppress(FileNotFoundError):
            if what == "vanishes":
                path.unlink()
            elif what == "shrinks":
                os.truncate(path, MIB // 2)
            else:
                with open(path, "r+b") as file:
                    file.seek(0 if what == "is written to" else 2 * MIB)
                    file.write(b"changed")

    with where.opened() as catalog:
        new = New("large", "ops", disk_format="raw")
        if what == "vanishes":
            assert catalog.create(new, path, how=how, progress=change).size == 2 * MIB
            assert sound(catalog) == {"active": 1}
            return
        with pytest.raises((RejectedError, InputError)):
            catalog.create(new, path, how=how, progress=change)
        assert path.exists()
        assert sound(catalog) == {"killed": 1}
        assert os.listdir(tmp_path / "store" / "blobs") == []
