"""The catalog's verbs: what comes in, who gets it, and what is left when something goes wrong."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from imgtool.catalog.images import Changes, New
from imgtool.catalog.listing import Filters
from imgtool.catalog.service import Catalog
from imgtool.config.config import Config
from imgtool.errors import (
    DamagedError,
    InputError,
    NotFoundError,
    OutputError,
    RefusedError,
    RejectedError,
    UsageError,
)
from imgtool.inspection.validate import policy_named
from imgtool.model.image import ImageRecord
from tests.catalog.launched import As
from tests.catalog.made import ID
from tests.containers.oversized import oversized
from tests.kit import fixture

if TYPE_CHECKING:
    from typing_extensions import Buffer


GOOD = fixture("qcow2/plain.qcow2")
BAD = b"QFI\xfb" + bytes(2000)


@pytest.mark.parametrize("what", ["location", "store"])
def test_no_path_has_a_nul(tmp_path: Path, what: str) -> None:
    """It is the caller's mistake, whether a catalog is to be found or made."""
    config = Config(location=str(tmp_path / "c"))._replace(**{what: f"{tmp_path}/\0"})
    for create in (False, True):
        with pytest.raises(UsageError, match=r"x00': is no path: .*null byte"):
            Catalog.open(config=config, identity="root:ops:admin", create=create)
        with pytest.raises(UsageError, match=r"x00': is no path: .*null byte"):
            Catalog.open(f"{tmp_path}/\0", identity="root:ops:admin", create=create, config=Config())
    assert not list(tmp_path.iterdir())


def image(tmp_path: Path, content: bytes = GOOD, name: str = "disk.img") -> str:
    """A file to import."""
    path = tmp_path / name
    path.write_bytes(content)
    return str(path)


def store_of(tmp_path: Path) -> list[str]:
    """The files of the store."""
    folders = (tmp_path / "catalog" / name for name in ("blobs", "uploads"))
    return sorted(path.name for folder in folders if folder.exists() for path in folder.iterdir())


def test_create(as_: As, tmp_path: Path) -> None:
    """One call: formats found, digests, sizes, data in the store, the verdict kept."""
    catalog, seen = as_(), []
    record = catalog.create(New("web", "ops"), image(tmp_path), progress=seen.append)
    assert (record.status, record.disk_format, record.container_format) == ("active", "qcow2", "bare")
    assert (record.size, record.checksum) == (len(GOOD), hashlib.md5(GOOD).hexdigest())
    assert (record.os_hash_algo, record.os_hash_value) == ("sha512", hashlib.sha512(GOOD).hexdigest())
    assert (record.min_disk, record.min_ram, record.visibility) == (0, 0, "shared")
    assert sum(seen) == len(GOOD)
    assert store_of(tmp_path) == [f"{record.id}.1"]
    report = json.loads(catalog.report("web") or "")
    assert report["accepted"] is True
    assert report["report"]["virtual_size"] == record.virtual_size
    assert [(one.after, one.who) for one in catalog.history("web")] == [
        ("queued", "root:ops"),
        ("saving", "root:ops"),
        ("active", "root:ops"),
    ]


@pytest.mark.parametrize("how", ["copy", "move", "link"])
def test_ways_to_import(as_: As, tmp_path: Path, how: str) -> None:
    """Copied, moved away, or shared."""
    path = image(tmp_path)
    record = as_().create(New("web", "ops"), path, how=how)  # type: ignore[arg-type] # it is one of the ways
    assert os.path.exists(path) == (how != "move")
    assert as_().verify("web")
    blob = tmp_path / "catalog" / "blobs" / f"{record.id}.1"
    if how == "link":
        assert os.path.samefile(path, blob)
        Path(path).write_bytes(GOOD[:-1] + b"?")
        assert not as_().verify("web")
        with pytest.raises(DamagedError, match="is damaged"):
            as_().save("web", tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_a_stream(as_: As, tmp_path: Path) -> None:
    """As a file; it cannot be moved or linked."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    record = as_().create(New("web", "ops"), Pipe(GOOD))
    assert (record.size, record.disk_format) == (len(GOOD), "qcow2")
    with pytest.raises(UsageError, match="a path is needed"):
        as_().create(New("db", "ops"), Pipe(GOOD), how="move")


def test_what_is_refused_is_killed(as_: As, tmp_path: Path) -> None:
    """The findings are kept, the bytes are not; a fresh upload makes it active."""
    catalog = as_()
    with pytest.raises(RejectedError) as caught:
        catalog.create(New("web", "ops", id=ID), image(tmp_path, BAD))
    assert caught.value.findings
    record = catalog.show("web")
    assert (record.status, record.size, record.checksum) == ("killed", None, None)
    assert record.reason == str(caught.value)
    assert json.loads(catalog.report("web") or "")["accepted"] is False
    assert store_of(tmp_path) == []
    for call in (lambda: catalog.save("web", tmp_path / "out"), lambda: catalog.verify("web")):
        with pytest.raises(RefusedError, match="is killed: there is no data to read"):
            call()
    again = catalog.upload(ID, image(tmp_path))
    assert (again.status, again.reason) == ("active", None)
    assert [one.after for one in catalog.history("web")] == [
        *("queued", "saving", "killed", "queued", "saving", "active"),
    ]
    with pytest.raises(RefusedError, match="is active: only a queued image takes data"):
        catalog.upload(ID, image(tmp_path))
    assert store_of(tmp_path) == [f"{ID}.2"]


def test_a_report_is_of_the_last_upload(as_: As, tmp_path: Path) -> None:
    """Of one that came to no verdict there is none, whatever was said of what came before."""
    path = image(tmp_path)
    with pytest.raises(RejectedError):
        as_().create(New("web", "ops", disk_format="raw"), path)
    assert '"accepted":false' in (as_().report("web") or "")
    with pytest.raises(RefusedError, match="an image may have 100 B here"):
        as_(image_size=100).upload("web", path)
    assert as_().report("web") is None


def test_claims_must_hold(as_: As, tmp_path: Path) -> None:
    """Formats, digests, the least disk."""
    path, catalog = image(tmp_path), as_()
    for number, (new, expect) in enumerate(
        (
            (New("", "ops", disk_format="vmdk"), ()),
            (New("", "ops", container_format="ova"), ()),
            (New("", "ops"), ("sha256:" + "0" * 64,)),
        )
    ):
        with pytest.raises(RejectedError):
            catalog.create(new._replace(name=f"n{number}"), path, expect=expect)
        assert catalog.show(f"n{number}").status == "killed"
    right = hashlib.sha256(GOOD).hexdigest()
    record = catalog.create(New("web", "ops", disk_format="qcow2", min_disk=1), path, expect=[f"sha256:{right}"])
    assert record.status == "active"
    assert store_of(tmp_path) == [f"{record.id}.1"]


class Endless(io.RawIOBase):
    """A stream of zeros without end, which tells how many it gave."""

    def __init__(self, went: list[int]) -> None:
        self._went = went

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._went.append(len(buffer))
        buffer[:] = bytes(len(buffer))
        return len(buffer)


class Failing(io.RawIOBase):
    """A stream that gives a little, and then fails."""

    def __init__(self) -> None:
        self.given = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        if self.given:
            raise OSError(errno.EIO, "Input/output error")
        self.given = True
        memoryview(buffer)[:4] = b"QFI\xfb"
        return 4


def test_an_input_that_cannot_be_read(as_: As, tmp_path: Path) -> None:
    """One that cannot be opened is told before anything is reserved; one that breaks kills, with the reason."""
    with pytest.raises(InputError):
        as_().create(New("web", "ops"), tmp_path / "nothing")
    with pytest.raises(UsageError, match="no such policy"):
        as_().create(New("web", "ops"), image(tmp_path), policy="nobody")
    assert as_().list() == ()
    with pytest.raises(InputError):
        as_().create(New("web", "ops"), Failing())
    record = as_().show("web")
    assert record.status == "killed"
    assert "Input/output error" in (record.reason or "")
    assert store_of(tmp_path) == []


def test_text_that_is_not_unicode(as_: As, tmp_path: Path) -> None:
    """A name, a tag, a member, a reason that is not UTF-8 is told as that; a path may be anything."""
    path = tmp_path / os.fsdecode(b"disk-\xff\x1b.img")
    path.write_bytes(GOOD)
    record = as_().create(New("web", "ops"), path)
    odd = "\udcff"
    for ask in (
        lambda: as_().show(odd),
        lambda: as_().list(Filters(name=odd)),
        lambda: as_().list(Filters(tags=(odd,))),
        lambda: as_().remove_member(record.id, odd),
        lambda: as_().set_member(record.id, odd, "accepted"),
        lambda: as_().delete(record.id, odd),
    ):
        with pytest.raises(UsageError, match="not UTF-8"):
            ask()
    with pytest.raises(RejectedError):
        as_().create(New("other", "ops", disk_format="raw"), path)
    with pytest.raises(RefusedError):
        as_(image_size=100).create(New("large", "ops"), path)
    assert "disk-\\xff\\x1b.img: " in (as_().show("large").reason or "")
    assert as_().show(record.id).status == "active"


def test_quotas_and_ceilings(as_: As, tmp_path: Path) -> None:
    """Sizes of one image, numbers and bytes of all."""
    path = image(tmp_path)
    with pytest.raises(RefusedError, match="an image may have 100 B here"):
        as_(image_size=100).create(New("a", "ops"), path)
    tight = as_(owner_bytes=10)
    with pytest.raises(RefusedError, match=f"ops has 0 bytes, and may have 10: {len(GOOD)} more do not fit"):
        tight.create(New("b", "ops"), path)
    assert as_().list(Filters(name="b")) == ()
    tight.reserve(New("b", "ops"))
    with pytest.raises(RefusedError, match=f"{len(GOOD)} more do not fit"):
        tight.upload("b", path)
    assert [as_().show(name).status for name in "ab"] == ["killed", "queued"]
    went: list[int] = []
    with pytest.raises(RefusedError, match="more than 10 B, which is all that the quotas leave"):
        tight.upload("b", Endless(went))
    assert as_().show("b").status == "killed"
    assert 0 < sum(went) <= 4 << 20
    before = list(went)
    with pytest.raises(RefusedError, match="ops has 0 bytes, and may have 0: 1 more do not fit"):
        as_(owner_bytes=0).upload("b", Endless(went))
    assert (as_().show("b").status, went) == ("killed", before)
    assert store_of(tmp_path) == []
    with pytest.raises(RefusedError, match="the catalog has 2 images, and may have 2"):
        as_(total_images=2).create(New("c", "ops"))
    for wrong in (New("c", "ops", id="../../x"), New("c", "ops", min_disk=-1), New("c", "ops", tags=("",))):
        with pytest.raises(UsageError):
            as_(total_images=2).create(wrong)
    with pytest.raises(RejectedError):
        as_(disk_formats=("raw",)).create(New("d", "ops"), path)


def test_a_new_owner_needs_room(as_: As, tmp_path: Path) -> None:
    """Images and bytes of the one who gets an image; of the catalog it has them already."""
    admin = as_()
    admin.reserve(New("mine", "dev"))
    admin.create(New("web", "ops"), image(tmp_path))
    with pytest.raises(RefusedError, match="dev has 1 images, and may have 1"):
        as_(owner_images=1).change("web", Changes(owner="dev"))
    with pytest.raises(RefusedError, match=f"dev has 0 bytes, and may have 10: {len(GOOD)} more do not fit"):
        as_(owner_bytes=10).change("web", Changes(owner="dev"))
    assert admin.show("web").owner == "ops"
    tight = as_(owner_images=2, owner_bytes=len(GOOD), total_images=2, total_bytes=len(GOOD))
    assert tight.change("web", Changes(owner="dev")).owner == "dev"
    assert tight.change("web", Changes(owner="dev", name="db")).name == "db"
    with pytest.raises(UsageError):
        admin.change("db", Changes(owner=""))


def test_a_size_that_no_record_can_hold(as_: As, tmp_path: Path) -> None:
    """Under a policy that lets it through: why is told, the findings are kept, and nothing is left."""
    catalog, path = as_(), image(tmp_path, oversized())
    size, most = 18446744073701163008, 9223372036854775807
    lax = policy_named("permissive")._replace(severities=(("IMG201", "note"),))
    for policy, said in (
        ("permissive", f"IMG201 over-a-cap: the virtual size of {size} bytes is over {most}"),
        (lax, f"the virtual size of {size} bytes is more than a record can hold ({most})"),
    ):
        with pytest.raises(RejectedError) as caught:
            catalog.create(New("large", "ops"), path, policy=policy)
        assert str(caught.value) == said
        assert [getattr(one, "code", None) for one in caught.value.findings] == ["IMG201"]
        record = catalog.show("large")
        assert (record.status, record.reason) == ("killed", said)
        assert json.loads(catalog.report("large") or "")["findings"][0]["code"] == "IMG201"
        catalog.delete(record.id)
    assert store_of(tmp_path) == []


def test_a_session(as_: As, tmp_path: Path) -> None:
    """Deactivated data is for administrators; what was deleted comes back until it is scrubbed."""
    admin, ann = as_(), as_("ann:lab:member")
    record = ann.create(New("web", "lab"), image(tmp_path))
    with pytest.raises(RefusedError, match="may not deactivate"):
        ann.deactivate("web")
    assert admin.deactivate("web", "looks strange").status == "deactivated"
    with pytest.raises(RefusedError, match="is deactivated: only an administrator reads its data"):
        ann.save("web", tmp_path / "out")
    assert admin.save("web", tmp_path / "admins").id == record.id
    assert (tmp_path / "admins").read_bytes() == GOOD
    admin.reactivate("web")
    out = io.BytesIO()
    ann.save_to("web", out)
    assert out.getvalue() == GOOD
    assert ann.delete("web").status == "pending_delete"
    assert ann.list() == ()
    with pytest.raises(NotFoundError):
        ann.show("web")
    assert ann.restore("web").status == "active"
    ann.delete("web")
    with pytest.raises(RefusedError, match="may not scrub catalog"):
        ann.scrub()
    assert admin.scrub() == (0, 0, 0, ())
    for delay in (-1, 10**14):
        with pytest.raises(UsageError, match="from 0 to 1000 years"):
            admin.scrub(delay=delay)
        with pytest.raises(UsageError, match="from 0 to 1000 years"):
            admin.keep_scrubbing(Event(), lambda told: None, delay=delay)
    assert admin.scrub(delay=0) == (1, 1, len(GOOD), ())
    assert store_of(tmp_path) == []
    assert admin.show(record.id).status == "deleted"
    with pytest.raises(RefusedError, match="nothing can be done with it any more"):
        ann.restore(record.id)


def test_without_a_grace_period(as_: As, tmp_path: Path) -> None:
    """The data goes at once."""
    catalog = as_(delay=0)
    catalog.create(New("web", "ops", protected=True), image(tmp_path))
    with pytest.raises(RefusedError, match="is protected"):
        catalog.delete("web")
    catalog.change("web", Changes(protected=False))
    assert catalog.delete("web").status == "deleted"
    assert store_of(tmp_path) == []


def test_formats_of_a_killed_image(as_: As, tmp_path: Path) -> None:
    """They can be set right, as it has no data, and then it takes what was meant."""
    catalog = as_()
    with pytest.raises(RejectedError):
        catalog.create(New("web", "ops", disk_format="raw"), image(tmp_path))
    assert catalog.show("web").status == "killed"
    catalog.change("web", Changes(disk_format="qcow2"))
    assert catalog.upload("web", image(tmp_path)).status == "active"
    with pytest.raises(RefusedError, match="is active: formats are fixed"):
        catalog.change("web", Changes(disk_format="raw"))


@pytest.mark.parametrize("how", ["move", "link"])
def test_streams_are_copied_however_files_come(as_: As, how: str) -> None:
    """What is configured is for files; a stream that somebody asks to have moved is a mistake."""
    catalog = as_(importing=how)
    assert catalog.create(New("web", "ops"), io.BytesIO(GOOD)).status == "active"
    with pytest.raises(UsageError, match="a stream cannot be imported by"):
        catalog.create(New("db", "ops"), io.BytesIO(GOOD), how=how)  # type: ignore[arg-type] # it is one of the ways


def test_a_change_is_whole(as_: As) -> None:
    """Where one part is refused, none is made."""
    catalog = as_()
    before = catalog.reserve(New("web", "ops"))
    with pytest.raises(RefusedError):
        catalog.change("web", Changes(name="other"), tags=["t"], properties={"size": "1"})
    assert catalog.show("web") == before


def test_save_is_whole_or_not_there(as_: As, tmp_path: Path) -> None:
    """Nothing is replaced without being asked; damaged data is never given out; missing data is told."""
    catalog = as_()
    record = catalog.create(New("web", "ops"), image(tmp_path))
    (tmp_path / "out").write_bytes(b"old")
    with pytest.raises(OutputError, match="exists"):
        catalog.save("web", tmp_path / "out")
    blob = tmp_path / "catalog" / "blobs" / f"{record.id}.1"
    blob.chmod(0o600)
    blob.write_bytes(GOOD[:-512] + bytes(512)[:-1] + b"!")
    with pytest.raises(DamagedError):
        catalog.save("web", tmp_path / "out", force=True)
    assert (tmp_path / "out").read_bytes() == b"old"
    blob.unlink()
    with pytest.raises(NotFoundError, match="is missing"):
        catalog.save("web", tmp_path / "out", force=True)
    assert [(one.id, one.findings[0].code) for one in catalog.repair().missing] == [(record.id, "CAT001")]


def test_holes_stay_holes(as_: As, tmp_path: Path) -> None:
    """On the way in and on the way out."""
    path = tmp_path / "raw.img"
    with open(path, "wb") as file:
        file.truncate(64 << 20)
        file.seek(32 << 20)
        file.write(b"x" * 4096)
    record = as_().create(New("web", "ops", disk_format="raw"), path)
    as_().save("web", tmp_path / "out")
    for made in (tmp_path / "catalog" / "blobs" / f"{record.id}.1", tmp_path / "out"):
        assert made.stat().st_size == 64 << 20
        assert made.stat().st_blocks * 512 < 1 << 20
    assert as_().verify("web")


def test_lists_are_filtered(as_: As) -> None:
    """What `list` is given goes to the database."""
    catalog = as_()
    made: list[ImageRecord] = [catalog.reserve(New(name, "ops", tags=(name,))) for name in "abc"]
    assert catalog.list(Filters(tags=("b",))) == (made[1],)
    assert catalog.list(limit=2) == (made[2], made[1])


def test_a_catalog_on_a_server_needs_a_store() -> None:
    """Where its data lies is not guessed."""
    with pytest.raises(UsageError, match=r"needs store\.location"):
        Catalog.open("postgresql://x@/y", config=Config())
