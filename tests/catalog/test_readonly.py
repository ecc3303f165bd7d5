"""A catalog that cannot be written is read: on a read-only mount, as another user; what would write says so."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from imgtool.catalog.images import New
from imgtool.catalog.service import Catalog
from imgtool.config.config import Config
from imgtool.errors import InputError, OutputError
from tests.catalog.made import ID
from tests.kit import ROOT, fixture
from tests.targets.kit import as_root

GOOD = fixture("qcow2/plain.qcow2")
OTHER = "12345678-1234-1234-1234-123456789abd"


def opened(folder: Path) -> Catalog:
    """The catalog there, as its administrator."""
    return Catalog.open(identity="root:ops:admin", config=Config(location=str(folder)))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A catalog with an image, closed."""
    (tmp_path / "disk.img").write_bytes(GOOD)
    config = Config(location=str(tmp_path / "catalog"))
    with Catalog.open(identity="root:ops:admin", create=True, config=config) as catalog:
        catalog.create(New("web", "ops", id=ID), tmp_path / "disk.img")
    return tmp_path / "catalog"


@pytest.fixture
def seen(written: Path, tmp_path: Path) -> Iterator[Path]:
    """The same, mounted read-only elsewhere; where it is written it stays writable."""
    place = tmp_path / "seen"
    place.mkdir()
    subprocess.run(as_root("mount", "--bind", str(written), str(place)), check=True)
    try:
        subprocess.run(as_root("mount", "-o", "remount,bind,ro", str(place)), check=True)
        yield place
    finally:
        subprocess.run(as_root("umount", str(place)), check=True)


def test_reading_needs_no_writing(seen: Path, tmp_path: Path) -> None:
    """List, show, history, save, verify, info, a dry repair, an export."""
    before = sorted(os.listdir(seen))
    with opened(seen) as catalog:
        assert [one.name for one in catalog.list()] == ["web"]
        assert catalog.show("web").id == ID
        assert len(catalog.history("web")) == 3
        catalog.save("web", tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == GOOD
        assert catalog.verify("web")
        assert all(catalog.verify_all())
        assert not any(catalog.repair(dry_run=True))
        told = catalog.info()
        assert (told.writable, told.images) == (False, {"active": 1})
        assert catalog.export(tmp_path / "export")[0].what == "exported"
    assert sorted(os.listdir(seen)) == before


def test_writing_is_refused(seen: Path, tmp_path: Path) -> None:
    """With the reason, status 5, and nothing was begun."""
    with opened(seen) as catalog:
        for verb in (
            lambda: catalog.create(New("db", "ops"), tmp_path / "disk.img"),
            lambda: catalog.delete("web"),
            lambda: catalog.deactivate("web"),
            lambda: catalog.change("web", tags=("a",)),
            lambda: catalog.add_member("web", "lab"),
            catalog.scrub,
            catalog.repair,
        ):
            with pytest.raises(OutputError, match="it can only be read here") as caught:
                verb()
            assert caught.value.exit_status == 5
        assert [one.status for one in catalog.list()] == ["active"]


def test_what_others_write_is_seen(written: Path, seen: Path, tmp_path: Path) -> None:
    """While they have it open, and after; a change in the middle of a reading is told, not mixed in."""
    with opened(seen) as reader:
        with opened(written) as writer:
            writer.reserve(New("second", "ops"))
            assert (written / "catalog.db-wal").stat().st_size > 0
            assert len(reader.list()) == 2
        assert not (written / "catalog.db-wal").exists()
        assert len(reader.list()) == 2
        with (
            pytest.raises(InputError, match="others wrote to it while it was read"),
            reader.database.read(),
            opened(written) as writer,
        ):
            writer.reserve(New("third", "ops"))
        assert len(reader.list()) == 3


def test_a_journal_of_a_killed_process(written: Path, seen: Path) -> None:
    """What is in it belongs to the catalog; without the index beside it, it cannot be read without writing."""
    program = (
        "import os, sys\nfrom imgtool.catalog.images import New\nfrom imgtool.catalog.service import Catalog\n"
        "from imgtool.config.config import Config\n"
        "Catalog.open(identity='root:ops:admin', config=Config(location=sys.argv[1])).reserve(New('db', 'ops'))\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(written)], cwd=ROOT, check=True)
    with opened(seen) as catalog:
        assert {one.name for one in catalog.list()} == {"web", "db"}
    (written / "catalog.db-shm").unlink()
    with pytest.raises(OutputError, match="it cannot be opened"):
        opened(seen)
    with opened(written) as catalog:
        assert len(catalog.list()) == 2
    with opened(seen) as catalog:
        assert len(catalog.list()) == 2


def test_an_older_schema_is_not_migrated(written: Path, seen: Path) -> None:
    """It is told which it is."""
    with closing(sqlite3.connect(written / "catalog.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(OutputError, match="its schema is 0001, and it cannot be written to migrate it"):
        opened(seen)


def test_another_user_reads_what_he_may(written: Path, tmp_path: Path) -> None:
    """One who has no right to write there: by the rights of the files."""
    place = Path("/tmp") / f"imgtool-shared-{os.getpid()}"
    shutil.copytree(written, place)
    try:
        for folder, _, files in os.walk(place):
            os.chmod(folder, 0o755)
            for name in files:
                os.chmod(os.path.join(folder, name), 0o644)
        if os.geteuid() != 0:
            for folder, _, files in os.walk(place):
                for name in files:
                    os.chmod(os.path.join(folder, name), 0o444)
                os.chmod(folder, 0o555)
        program = (  # what is loaded is loaded by the first round, as root: the other user may not be able to
            "import os, sys\nfrom imgtool.catalog.service import Catalog\nfrom imgtool.config.config import Config\n"
            "from imgtool.errors import OutputError\n"
            "def all_of_it(place):\n"
            "    with Catalog.open(identity='ann:ops:admin', config=Config(location=place)) as catalog:\n"
            "        names = [one.name for one in catalog.list()]\n"
            "        print(names, bool(catalog.verify('web')), catalog.info().writable)\n"
            "        try:\n            print(catalog.delete('web').status)\n"
            "        except OutputError:\n            print('not deleted')\n"
            "all_of_it(sys.argv[1])\n"
            "if os.geteuid() == 0:\n    os.setgroups([])\n    os.setegid(65534)\n    os.seteuid(65534)\n"
            "all_of_it(sys.argv[2])\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(written), str(place)], cwd=ROOT, capture_output=True, text=True
        )
        told = "['web'] True True\npending_delete\n['web'] True False\nnot deleted\n"
        assert (done.stdout, done.stderr) == (told, "")
    finally:
        for folder, _, _ in os.walk(place):
            os.chmod(folder, 0o755)
        shutil.rmtree(place)


def test_a_server_that_only_answers(place: str, tmp_path: Path) -> None:
    """A standby is read; what would write says that it cannot."""
    config = Config(location=place, store=str(tmp_path / "store"))
    with Catalog.open(identity="root:ops:admin", create=True, config=config) as catalog:
        catalog.reserve(New("web", "ops", id=ID))
        assert catalog.info().writable
    if "://" not in place:
        return
    options = "&options=-cdefault_transaction_read_only%3Don"
    only = config._replace(location=place + options)
    with Catalog.open(identity="root:ops:admin", config=only) as catalog:
        assert [one.name for one in catalog.list()] == ["web"]
        assert not catalog.info().writable
        with pytest.raises(OutputError, match="it cannot be written"):
            catalog.reserve(New("db", "ops", id=OTHER))


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    """Its data is read; what would write it ends with status 5, and what is left is found by a later repair."""
    store, image = tmp_path / "store", tmp_path / "disk.img"
    image.write_bytes(GOOD)
    store.mkdir()
    config = Config(location=str(tmp_path / "catalog"), store=str(store), delay=0)
    with Catalog.open(identity="root:ops:admin", create=True, config=config) as catalog:
        catalog.create(New("web", "ops", id=ID), image)
        subprocess.run(as_root("mount", "--bind", str(store), str(store)), check=True)
        try:
            subprocess.run(as_root("mount", "-o", "remount,bind,ro", str(store)), check=True)
            assert all(catalog.verify_all())
            catalog.save("web", tmp_path / "out")
            with pytest.raises(OutputError, match="the store cannot be written"):
                catalog.create(New("db", "ops", id=OTHER), image)
            with pytest.raises(OutputError, match="the store cannot be written"):
                catalog.delete("web")
            assert [one.code for one in catalog.info().waiting] == ["CAT004"]
            done = catalog.repair()
            assert (done.blobs, len(done.failed)) == (0, 1)
        finally:
            subprocess.run(as_root("umount", str(store)), check=True)
        assert catalog.repair()[1:3] == (1, len(GOOD))
        assert catalog.upload(OTHER, image).status == "active"
