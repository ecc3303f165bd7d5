"""Two at the same: what one does between the steps of the other."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from imgtool.catalog import data, images
from imgtool.catalog.images import Changes, New
from imgtool.catalog.service import Catalog
from imgtool.catalog.store import LocalStore, blob_key
from imgtool.config.config import Config
from imgtool.errors import OutputError, RefusedError, RejectedError, UsageError
from tests.catalog.test_upkeep import sound
from tests.kit import ROOT, fixture

GOOD = fixture("qcow2/plain.qcow2")
BAD = b"QFI\xfb" + bytes(2000)


def config_of(place: str, tmp_path: Path) -> Config:
    """Of a catalog on either database, with a store beside."""
    return Config(location=place, store=str(tmp_path / "store"))


@pytest.fixture
def catalog(place: str, tmp_path: Path) -> Iterator[Catalog]:
    """One on either database, as its administrator."""
    with Catalog.open(identity="root:ops:admin", create=True, config=config_of(place, tmp_path)) as found:
        yield found


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A file to import."""
    path = tmp_path / "disk.img"
    path.write_bytes(GOOD)
    return path


def test_repair_on_a_machine_that_sees_no_locks(
    catalog: Catalog, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine's upload is ended, or left alone; never is a record active without its data."""
    with Catalog.open(identity="root:ops:admin", config=config_of(catalog.config.location or "", tmp_path)) as other:
        monkeypatch.setattr(other.store, "alive", lambda key: False)
        plain = LocalStore.begin

        def begin(store: LocalStore, key: str) -> Any:
            upload = plain(store, key)
            commit = upload.commit

            def late() -> None:
                commit()
                seen.append(_orphans_of(other))

            upload.commit = late
            return upload

        seen: list[list[str]] = []
        monkeypatch.setattr(LocalStore, "begin", begin)
        record = catalog.create(New("web", "ops"), image)
        assert seen == [[]]
        assert catalog.verify("web")
        monkeypatch.undo()
        monkeypatch.setattr(other.store, "alive", lambda key: False)
        with pytest.raises(RefusedError, match=r"only an image that is saving|another upload|is killed"):
            catalog.create(New("db", "ops"), image, progress=lambda count: other.repair() and None)
        assert catalog.show("db").status == "killed"
        assert sound(catalog) == {"active": 1, "killed": 1}
        assert record.status == "active"


def test_a_stale_rejection_says_nothing_of_the_data(
    catalog: Catalog, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload that was given up ends in its rejection; the verdict stays that of the one that took over."""
    with Catalog.open(identity="root:ops:admin", config=config_of(catalog.config.location or "", tmp_path)) as other:
        monkeypatch.setattr(other.store, "alive", lambda key: False)
        taken_over: list[str] = []

        def meanwhile(count: int) -> None:
            if not taken_over:
                other.repair()
                taken_over.append(other.upload("web", image).status)

        with pytest.raises(RejectedError) as caught:
            catalog.create(New("web", "ops"), BytesIO(BAD), progress=meanwhile)
    assert caught.value.findings
    assert taken_over == ["active"]
    assert json.loads(catalog.report("web") or "")["accepted"] is True
    assert catalog.show("web").status == "active"
    assert sound(catalog) == {"active": 1}


def test_the_owner_that_pays_is_the_one_at_the_end(place: str, tmp_path: Path) -> None:
    """An image that gets another owner while its data comes needs room with that one."""
    config = config_of(place, tmp_path)._replace(owner_bytes=len(GOOD))
    with Catalog.open(identity="root:ops:admin", create=True, config=config) as catalog:
        catalog.create(New("full", "dev"), BytesIO(GOOD))
        moved: list[str] = []

        def move(count: int) -> None:
            if not moved:
                moved.append(catalog.change("web", Changes(owner="dev")).owner)

        with pytest.raises(RefusedError, match=r"dev has .* do not fit"):
            catalog.create(New("web", "ops"), BytesIO(GOOD), progress=move)
        assert moved == ["dev"]
        assert sound(catalog) == {"active": 1, "killed": 1}


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)  # those who write to a file are alone
def test_two_verdicts_at_once(catalog: Catalog, tmp_path: Path) -> None:
    """The second waits for the first, and is the one that is kept."""
    identifier = catalog.reserve(New("web", "ops")).id
    with Catalog.open(identity="root:ops:admin", config=config_of(catalog.config.location or "", tmp_path)) as other:

        def second() -> None:
            with other.database.write() as connection:
                images.keep_verdict(connection, identifier, "second")

        with ThreadPoolExecutor(1) as pool:
            with catalog.database.write() as connection:
                images.keep_verdict(connection, identifier, "first")
                told = pool.submit(second)
                while not connection.exec_driver_sql(WAITING).scalar() and not told.done():
                    pass
            told.result()
    assert catalog.report("web") == "second"


#: True while somebody waits for a transaction to end.
WAITING = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"


def _orphans_of(catalog: Catalog) -> list[str]:
    from imgtool.catalog.upkeep import _orphans

    return [blob.key for blob in _orphans(catalog)]


def test_a_file_that_changes_while_it_is_moved(catalog: Catalog, image: Path) -> None:
    """What took its place, or what it became, stays."""

    def replace(record: Any) -> None:
        os.replace(new, image)

    new = image.with_name("new")
    new.write_bytes(b"precious")
    plain = catalog.store.begin

    def begin(key: str) -> Any:
        upload = plain(key)
        close = upload.close
        upload.close = lambda: (replace(None), close())
        return upload

    catalog.store.begin = begin  # type: ignore[method-assign] # replaced when all is done but the removing
    with pytest.raises(OutputError, match="has changed since, and stays"):
        catalog.create(New("web", "ops"), image, how="move")
    assert image.read_bytes() == b"precious"
    assert catalog.show("web").status == "active"
    assert catalog.verify("web")


def linked(catalog: Catalog, called: str) -> bool:
    """What the record says of who can write an image's data."""
    with catalog.database.read() as connection:
        return images.get(connection, catalog.show(called).id).linked


def test_a_file_that_cannot_be_removed_once_it_is_moved(
    catalog: Catalog, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is told, and what is written through the name that it keeps is found; of one that went nothing is said."""
    catalog.create(New("gone", "ops"), shutil.copy(image, image.with_name("gone.img")), how="move")
    unlink = os.unlink

    def kept(path: Any, **more: Any) -> None:
        if path == str(image):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        unlink(path, **more)

    monkeypatch.setattr(os, "unlink", kept)
    with pytest.raises(OutputError, match="the image has it now, and it could not be removed"):
        catalog.create(New("web", "ops"), image, how="move")
    assert (linked(catalog, "gone"), linked(catalog, "web")) == (False, True)
    image.write_bytes(GOOD[:-1] + b"x")
    assert [one.code for one in catalog.verify("web").findings] == ["CAT303"]


def test_a_process_that_ends_before_a_moved_file_is_removed(
    catalog: Catalog, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image is there, and known to have another name."""

    def ended(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "_moved", ended)
    with pytest.raises(KeyboardInterrupt):
        catalog.create(New("web", "ops"), image, how="move")
    assert (catalog.show("web").status, linked(catalog, "web"), image.exists()) == ("active", True, True)


def test_an_upload_that_comes_second(catalog: Catalog, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told what became of the image since it was looked at."""

    def late(identifier: str, attempt: int) -> str:
        monkeypatch.undo()
        catalog.upload(identifier, image, how="copy")
        return blob_key(identifier, attempt)

    record = catalog.reserve(New("web", "ops"))
    monkeypatch.setattr(data, "blob_key", late)
    with pytest.raises(RefusedError, match=f"image {record.id} is active: only a queued image takes data"):
        catalog.upload("web", image, how="copy")
    assert catalog.verify("web")


@pytest.mark.parametrize("how", ["link", "symlink"])
def test_a_file_with_other_names_is_copied(catalog: Catalog, image: Path, how: str) -> None:
    """Moved, it would be changed through them; what goes is the name that was given."""
    other = image.with_name("other")
    if how == "link":
        os.link(image, other)
    else:
        other.symlink_to(image)
    catalog.create(New("web", "ops"), other, how="move")
    assert not os.path.lexists(other)
    image.write_bytes(b"changed")
    assert catalog.verify("web")


QUOTA = """
import sys
from imgtool.catalog.images import New
from imgtool.catalog.service import Catalog
from imgtool.config.config import Config
from imgtool.errors import RefusedError
place, store, name = sys.argv[1:]
config = Config(location=place, store=store, total_images=3)
with Catalog.open(identity="root:ops:admin", config=config) as catalog:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(3):
        try:
            catalog.reserve(New(f"{name}-{number}", "ops"))
        except RefusedError:
            continue
"""


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)  # those who write to a file are alone
def test_quotas_hold_for_many_at_once(catalog: Catalog, tmp_path: Path) -> None:
    """Of more than there is room for, as many as there is room for."""
    arguments = [sys.executable, "-c", QUOTA, catalog.config.location or "", str(tmp_path / "store")]
    started = [
        subprocess.Popen([*arguments, str(number)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for number in range(4)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in started:
        process.communicate()
        assert process.returncode == 0
    assert len(catalog.list()) == 3


def test_deleted_while_it_is_saved(catalog: Catalog, image: Path, tmp_path: Path) -> None:
    """And scrubbed: who has begun to read it reads it to the end."""
    record = catalog.create(New("web", "ops"), image)

    def gone(count: int) -> None:
        catalog.delete(record.id)
        catalog.scrub(delay=0)

    catalog.save("web", tmp_path / "out", progress=gone)
    assert (tmp_path / "out").read_bytes() == GOOD
    assert sound(catalog) == {"deleted": 1}


def test_deactivated_and_deleted_while_it_comes(catalog: Catalog) -> None:
    """An upload under way is not touched by what would end an image."""
    seen: list[str] = []

    def meanwhile(count: int) -> None:
        for verb in (catalog.deactivate, catalog.delete):
            with pytest.raises(RefusedError) as caught:
                verb("web")
            seen.append(str(caught.value))

    catalog.create(New("web", "ops"), BytesIO(GOOD), progress=meanwhile)
    assert len(seen) == 2
    assert sound(catalog) == {"active": 1}


def test_the_catalogs_own_files_are_not_moved(tmp_path: Path, image: Path) -> None:
    """Data of another image, the database, a disk of an instance: by any path. Copied, they are images as others."""
    with Catalog.open(tmp_path / "catalog", identity="root:ops:admin", create=True, config=Config()) as catalog:
        record = catalog.create(New("web", "ops"), image)
        blob = tmp_path / "catalog" / "blobs" / f"{record.id}.1"
        (tmp_path / "link").symlink_to(blob)
        disk = tmp_path / "catalog" / "instances" / f"{record.id}.swap.raw"
        disk.parent.mkdir()
        disk.write_bytes(GOOD)
        for path in (blob, tmp_path / "link", tmp_path / "catalog" / "catalog.db", disk):
            with pytest.raises(UsageError, match="is the catalog's own, and cannot be moved"):
                catalog.create(New("other", "ops"), path, how="move")
        assert catalog.create(New("copy", "ops"), blob).status == "active"
        disk.unlink()
        assert sound(catalog) == {"active": 2}


def test_a_signal_as_an_upload_begins(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that comes just after the record says so ends it as any later one does."""
    begin = data._begin

    def interrupted(*given: Any) -> Any:
        begun = begin(*given)
        signal.raise_signal(signal.SIGINT)
        return begun

    (tmp_path / "disk.img").write_bytes(GOOD)
    record = catalog.reserve(New("web", "ops"))
    with monkeypatch.context() as patched:
        patched.setattr(data, "_begin", interrupted)
        with pytest.raises(KeyboardInterrupt):
            catalog.upload(record.id, tmp_path / "disk.img")
    killed = catalog.show(record.id)
    assert (killed.status, (killed.reason or "").startswith("broken off")) == ("killed", True)
    assert catalog.upload(record.id, tmp_path / "disk.img").status == "active"
