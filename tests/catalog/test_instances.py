"""Instances: made over images, seen by their project, taken down; the image below never changes."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import imgtool
from imgtool.catalog.images import Changes, New
from imgtool.catalog.service import Catalog
from imgtool.catalog.store import LocalStore
from imgtool.catalog.swap import signature
from imgtool.config.config import Config
from imgtool.errors import (
    DamagedError,
    InputError,
    NotFoundError,
    OutputError,
    RefusedError,
    UnsupportedError,
    UsageError,
)
from imgtool.inspection.deep import check
from imgtool.model.instance import Flavor
from tests.catalog.emulators import NEVER, stand_ins
from tests.catalog.launched import CONTENT, MIB, PLAIN, As, digest, filled, folder_of, of_format, write
from tests.kit import fixture
from tests.targets.kit import small_room


@pytest.fixture(autouse=True)
def emulators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Emulators are there, and what is refused starts none."""
    monkeypatch.setenv("PATH", str(stand_ins(tmp_path / "bin", NEVER)), prepend=":")


@pytest.fixture
def as_(tmp_path: Path) -> Iterator[As]:
    """Open one catalog as anybody."""
    yield from opening(str(tmp_path / "catalog"), tmp_path)


@pytest.fixture
def on_either(place: str, tmp_path: Path) -> Iterator[As]:
    """The same, on either kind of database."""
    yield from opening(place, tmp_path)


def opening(place: str, tmp_path: Path) -> Iterator[As]:
    """What opens a catalog as anybody; at the end all are closed."""
    opened: list[Catalog] = []

    def open_as(who: str = "root:ops:admin", **settings: Any) -> Catalog:
        config = Config(location=place, store=str(tmp_path / "store"))._replace(**settings)
        opened.append(Catalog.open(identity=who, create=True, config=config))
        return opened[-1]

    yield open_as
    for catalog in opened:
        catalog.close()


def said(*command: str) -> str:
    """What a program says that must succeed."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_one_is_made(on_either: As, tmp_path: Path) -> None:
    """Its record, its disks, and what the image's deletion says; then it goes, and the image can go."""
    catalog = on_either()
    base = filled(catalog, tmp_path)
    before = digest(catalog, base)
    record = catalog.instances.create("web1", "base", "full")
    assert (record.name, record.owner, record.status, record.image_id) == ("web1", "ops", "ready", base.id)
    assert (record.flavor, record.vcpus, record.ram, record.disk, record.ephemeral, record.swap) == (
        *("full", 2, 128, 1, 1, 2),
    )
    assert record.size == 1 << 30
    assert folder_of(catalog) == ["ephemeral.raw", "root.qcow2", "swap.raw"]
    assert catalog.instances.show("web1") == catalog.instances.show(record.id) == record
    assert catalog.instances.list() == (record,)
    with pytest.raises(RefusedError, match=r"instances stand on it \(1\): delete them first"):
        catalog.delete("base")
    assert catalog.instances.delete("web1") == record
    assert folder_of(catalog) == []
    with pytest.raises(NotFoundError, match="no instance 'web1'"):
        catalog.instances.show("web1")
    assert digest(catalog, base) == before
    assert catalog.delete("base").status == "pending_delete"


def test_the_disks_are_what_others_read_too(as_: As, tmp_path: Path) -> None:
    """QEMU and imgtool see an overlay over the image's data, by its format; the others are sparse; swap is one."""
    catalog = as_()
    base = filled(catalog, tmp_path)
    store, record = catalog.instances.store, catalog.instances.create("web1", "base", "full")
    root = store.path(record.id, "root")
    said("qemu-img", "check", "-q", root)
    first, second = json.loads(said("qemu-img", "info", "--backing-chain", "--output=json", root))
    assert (first["virtual-size"], first["backing-filename"]) == (1 << 30, f"../blobs/{base.id}.1")
    assert (first["backing-filename-format"], second["format"]) == ("raw", "raw")
    assert os.path.realpath(second["filename"]) == os.path.realpath(catalog.store.path(f"{base.id}.1") or "")
    report = imgtool.inspect(root, ())
    assert (report.format, report.virtual_size, report.broken) == ("qcow2", 1 << 30, False)
    assert {one.code for one in report.findings} == {"IMG101", "IMG102"}
    result = check(root)
    assert {one.code for one in result.findings} == {"IMG101", "IMG102"}
    with imgtool.open_disk(root, follow=catalog.store.place) as disk:
        assert disk.read_at(0, MIB) == CONTENT
        assert disk.read_at(1 << 29, MIB) == bytes(MIB)
    ephemeral, swap = Path(store.path(record.id, "ephemeral")), Path(store.path(record.id, "swap"))
    assert (ephemeral.stat().st_size, ephemeral.stat().st_blocks) == (1 << 30, 0)
    assert swap.stat().st_size == 2 * MIB
    assert "swap" in [one.name for one in imgtool.inspect(str(swap), ()).facets]
    assert {path.stat().st_mode & 0o777 for path in (Path(root), ephemeral, swap)} == {0o600}


@pytest.mark.parametrize("form", ["qcow2", "vmdk", "vhd", "vhdx", "vdi"])
def test_any_format_of_disks(tmp_path: Path, form: str) -> None:
    """The image stays as it is; the guest sees the same bytes, and its own."""
    with Catalog.open(
        identity="root:ops:admin", create=True, config=Config(location=str(tmp_path / "catalog"))
    ) as catalog:
        catalog.flavors.create(PLAIN)
        base = catalog.create(New("base", "ops"), of_format(tmp_path, form))
        assert base.disk_format == form
        before = digest(catalog, base)
        record = catalog.instances.create("one", "base", "plain")
        assert record.size == base.virtual_size
        root = catalog.instances.store.path(record.id, "root")
        write(root, 65536, 0xAB, 4096)
        with imgtool.open_disk(root, follow=catalog.store.place) as disk:
            assert disk.read_at(0, MIB) == CONTENT[:65536] + b"\xab" * 4096 + CONTENT[65536 + 4096 :]
        done = catalog.instances.snapshot("one", "two")
        with imgtool.open_disk(catalog.store.path(f"{done.id}.1") or "") as disk:
            assert disk.read_at(0, MIB) == CONTENT[:65536] + b"\xab" * 4096 + CONTENT[65536 + 4096 :]
        assert digest(catalog, base) == before


def test_a_snapshot(as_: As, tmp_path: Path) -> None:
    """A new image of the owner's, private, whole by itself, judged as any; the properties say where it comes from."""
    catalog = as_()
    base = filled(catalog, tmp_path, min_ram=32, properties={"os_distro": "debian"})
    before = digest(catalog, base)
    record = catalog.instances.create("web1", "base", "full")
    write(catalog.instances.store.path(record.id, "root"), 1 << 29, 0x5A, 512)
    seen: list[int] = []
    done = catalog.instances.snapshot("web1", "golden", progress=seen.append)
    assert (done.name, done.status, done.visibility, done.owner) == ("golden", "active", "private", "ops")
    assert (done.disk_format, done.container_format, done.virtual_size) == ("qcow2", "bare", 1 << 30)
    assert (done.min_disk, done.min_ram) == (1, 128)
    assert done.properties == {
        "base_image_ref": base.id,
        "image_type": "snapshot",
        "instance_uuid": record.id,
        "os_distro": "debian",
    }
    path = catalog.store.path(f"{done.id}.1") or ""
    assert imgtool.inspect(path, ()).references == ()
    with imgtool.open_disk(path) as disk:
        assert disk.read_at(0, MIB) == CONTENT
        assert disk.read_at((1 << 29) - 512, 1536) == bytes(512) + b"\x5a" * 512 + bytes(512)
    assert os.stat(path).st_mode & 0o777 == 0o400
    assert sum(seen) > 1 << 30
    assert folder_of(catalog) == ["ephemeral.raw", "root.qcow2", "swap.raw"]
    assert digest(catalog, base) == before
    assert bool(catalog.verify("golden"))
    assert catalog.instances.create("web2", "golden", "full").size == 1 << 30
    assert catalog.instances.delete("web1").id == record.id


@pytest.mark.parametrize(
    ("flavor", "image", "why"),
    [
        (replace(PLAIN, ram=63), {"min_ram": 64}, "has 63 MiB of memory, image .* needs 64 .min_ram."),
        (replace(PLAIN, disk=1), {"min_disk": 2}, "has a disk of 1 GiB, image .* needs 2 .min_disk."),
    ],
)
def test_a_flavor_that_is_too_small(as_: As, tmp_path: Path, flavor: Flavor, image: dict[str, Any], why: str) -> None:
    """It says what is missing; nothing is left, and the image can still be deleted."""
    catalog = as_()
    filled(catalog, tmp_path, **image)
    catalog.flavors.create(replace(flavor, name="small"))
    with pytest.raises(RefusedError, match=f"flavor small {why}"):
        catalog.instances.create("web1", "base", "small")
    assert catalog.instances.list() == ()
    assert folder_of(catalog) == []
    assert catalog.delete("base").status == "pending_delete"


def test_a_disk_that_is_too_small(as_: As, tmp_path: Path) -> None:
    """The virtual size must fit; a flavor with a disk of 0 takes what the image has, whatever min_disk says."""
    catalog = as_()
    filled(catalog, tmp_path)
    said("qemu-img", "create", "-q", "-f", "qcow2", str(tmp_path / "large.img"), str((1 << 30) + 512))
    catalog.create(New("large", "ops", min_disk=7), tmp_path / "large.img")
    with pytest.raises(RefusedError, match=r"a disk of 1 GiB, image .* needs 7 \(min_disk\)"):
        catalog.instances.create("web1", "large", "full")
    catalog.change("large", Changes(min_disk=0))
    with pytest.raises(RefusedError, match=r"a disk of 1 GiB, image .* needs 1073742336 bytes \(virtual_size\)"):
        catalog.instances.create("web1", "large", "full")
    catalog.change("large", Changes(min_disk=7))
    assert catalog.instances.create("web1", "large", "plain").size == (1 << 30) + 512


def test_a_disk_that_ends_within_a_sector(as_: As, tmp_path: Path) -> None:
    """The guest sees whole sectors, of zeros behind the end."""
    catalog = as_()
    filled(catalog, tmp_path)
    (tmp_path / "odd.img").write_bytes(b"x" * 1000)
    catalog.create(New("odd", "ops"), tmp_path / "odd.img")
    record = catalog.instances.create("web1", "odd", "plain")
    assert record.size == 1024
    done = catalog.instances.snapshot("web1", "golden")
    assert done.virtual_size == 1024
    with imgtool.open_disk(catalog.store.path(f"{done.id}.1") or "") as disk:
        assert disk.read_at(0, 1024) == b"x" * 1000 + bytes(24)


def test_a_size_that_no_disk_has(as_: As, tmp_path: Path) -> None:
    """A failure in words, and nothing is left of it."""
    catalog = as_()
    filled(catalog, tmp_path)
    catalog.flavors.create(replace(PLAIN, name="huge", disk=2**31 - 1, ephemeral=1))
    with pytest.raises(UnsupportedError, match="bytes are more than a qcow2 holds"):
        catalog.instances.create("web1", "base", "huge")
    assert (catalog.instances.list(), folder_of(catalog)) == ((), [])
    assert catalog.delete("base").status == "pending_delete"


@pytest.mark.parametrize(("size", "last"), [(1 << 20, 255), (2 << 30, 524287), (1 << 51, 2**32 - 1)])
def test_the_signature_of_a_swap_disk(size: int, last: int) -> None:
    """Its version, the last page, no bad ones; the mark at the end of the page."""
    page = signature(size)
    assert (len(page), page[-10:]) == (4096, b"SWAPSPACE2")
    assert struct.unpack_from("<III", page, 1024) == (1, last, 0)
    assert page[:1024] == bytes(1024)


def test_the_database_itself_holds_on(on_either: As, tmp_path: Path) -> None:
    """An image that instances stand on cannot get another status, whoever changes the record."""
    catalog = on_either()
    filled(catalog, tmp_path)
    catalog.instances.create("web1", "base", "plain")
    with pytest.raises(OutputError, match="images_instances"):
        _without_moves(catalog, "UPDATE images SET status = 'deleted' WHERE name = 'base'")
    with pytest.raises(OutputError, match="images_instances"):
        _without_moves(catalog, "UPDATE images SET instances = -1 WHERE name = 'base'")


def _without_moves(catalog: Catalog, statement: str) -> None:
    with catalog.database.write() as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize(
    ("name", "more", "why"),
    [
        ("aki/bzimage.img", {}, "is in a container .aki.: convert it first"),
        ("iso/plain.iso.gz", {}, "is iso, no disk of an instance: an iso is read like a disc"),
        ("ova/small.ova.gz", {}, "is in a container .ova.: convert it first"),
    ],
)
def test_what_is_no_disk(as_: As, tmp_path: Path, name: str, more: dict[str, Any], why: str) -> None:
    """Kernels, discs, containers: what to do is said."""
    catalog = as_(policy="default")
    filled(catalog, tmp_path)
    path = tmp_path / "other"
    path.write_bytes(fixture(name))
    catalog.create(New("other", "ops")._replace(**more), path)
    with pytest.raises(RefusedError, match=why):
        catalog.instances.create("web1", "other", "plain")


def test_images_without_data_and_deactivated_ones(on_either: As, tmp_path: Path) -> None:
    """There must be data; of a deactivated image only administrators make, start and flatten; all may delete."""
    catalog, ann = on_either(), on_either("ann:lab:member")
    filled(catalog, tmp_path)
    catalog.reserve(New("reserved", "ops"))
    with pytest.raises(RefusedError, match="is queued: there is no data"):
        catalog.instances.create("web1", "reserved", "plain")
    record = ann.instances.create("web1", "base", "plain")
    catalog.deactivate("base")
    why = "is deactivated: only an administrator"
    with pytest.raises(RefusedError, match=f"{why} makes instances of it"):
        ann.instances.create("web2", "base", "plain")
    with pytest.raises(RefusedError, match=f"{why} starts instances over it"):
        ann.instances.boot("web1")
    with pytest.raises(RefusedError, match=f"{why} makes snapshots over it"):
        ann.instances.snapshot("web1", "golden")
    assert catalog.instances.create("mine", "base", "plain").owner == "ops"
    golden = catalog.instances.snapshot("web1", "golden")
    assert (golden.owner, golden.status) == ("lab", "deactivated")
    assert [one.why for one in catalog.history("golden")][-1] == f"image {record.image_id} is deactivated"
    with pytest.raises(RefusedError, match=r"instances stand on it \(2\)"):
        catalog.delete("base")
    assert ann.instances.delete("web1") == record
    catalog.reactivate("base")


def test_who_may(on_either: As, tmp_path: Path) -> None:
    """A project's own; readers look; an image that one may not read is none to stand on."""
    catalog, ann, bob = on_either(), on_either("ann:lab:member"), on_either("bob:other:member")
    filled(catalog, tmp_path)
    catalog.create(New("secret", "ops", visibility="private"), tmp_path / "base.img")
    ann.instances.create("web1", "base", "plain")
    reader = on_either("eve:lab:reader")
    assert [one.name for one in reader.instances.list()] == ["web1"]
    for act in (
        lambda: reader.instances.delete("web1"),
        lambda: reader.instances.snapshot("web1", "x"),
        lambda: reader.instances.boot("web1"),
        lambda: reader.instances.create("web2", "base", "plain"),
    ):
        with pytest.raises(RefusedError, match="may not"):
            act()
    assert bob.instances.list() == ()
    for called in ("web1", ann.instances.show("web1").id):
        for find in (bob.instances.show, bob.instances.delete, bob.instances.boot):
            with pytest.raises(NotFoundError, match=f"no instance '?{called}"):
                find(called)
    with pytest.raises(NotFoundError):
        ann.instances.create("web2", "secret", "plain")
    with pytest.raises(NotFoundError, match="no flavor 'none'"):
        ann.instances.create("web2", "base", "none")
    with pytest.raises(UsageError, match="the name of an instance has 1 to 255 characters"):
        ann.instances.create("", "base", "plain")
    assert [one.owner for one in catalog.instances.list(image="base")] == ["lab"]
    assert catalog.instances.list(name="web2") == ()
    assert folder_of(catalog) == ["root.qcow2"]


def test_several_of_a_name(on_either: As, tmp_path: Path) -> None:
    """The ids are told; by its id one is found."""
    catalog = on_either()
    filled(catalog, tmp_path)
    one, two = (catalog.instances.create("twin", "base", "plain") for _ in range(2))
    with pytest.raises(UsageError) as caught:
        catalog.instances.show("twin")
    assert one.id in str(caught.value)
    assert two.id in str(caught.value)
    catalog.instances.delete(one.id)
    assert catalog.instances.show("twin") == two
    assert catalog.instances.list() == (two,)


def test_one_that_is_held_is_left_alone(as_: As, tmp_path: Path, impatient: None) -> None:
    """While it runs nobody deletes it, flattens it, or starts it again."""
    catalog = as_()
    filled(catalog, tmp_path)
    record = catalog.instances.create("web1", "base", "plain")
    with catalog.instances.store.hold(record.id):
        for act in (
            lambda: catalog.instances.delete("web1"),
            lambda: catalog.instances.snapshot("web1", "x"),
        ):
            with pytest.raises(RefusedError, match=f"instance {record.id}: it runs, or another process is at it"):
                act()
    assert catalog.instances.delete("web1") == record


def test_data_that_is_damaged_is_not_spread(as_: As, tmp_path: Path) -> None:
    """A snapshot reads the image anew; a linked image is read before every use."""
    catalog = as_()
    base = filled(catalog, tmp_path)
    catalog.instances.create("web1", "base", "plain")
    path = Path(catalog.store.path(f"{base.id}.1") or "")
    path.chmod(0o600)
    path.write_bytes(b"x" + CONTENT[1:])
    with pytest.raises(DamagedError, match=f"image {base.id}: its data is not what was registered"):
        catalog.instances.snapshot("web1", "golden")
    assert "golden" not in [one.name for one in catalog.list()]
    linked = tmp_path / "linked.img"
    linked.write_bytes(CONTENT)
    catalog.create(New("linked", "ops"), linked, how="link")
    catalog.instances.create("web2", "linked", "plain")
    linked.write_bytes(b"y" + CONTENT[1:])
    for act in (
        lambda: catalog.instances.create("web3", "linked", "plain"),
        lambda: catalog.instances.boot("web2"),
    ):
        with pytest.raises(DamagedError, match="its data is not what was registered"):
            act()


def test_a_root_disk_that_somebody_changed(as_: As, tmp_path: Path) -> None:
    """One that stands on something else is neither started nor flattened."""
    catalog = as_()
    base = filled(catalog, tmp_path)
    record = catalog.instances.create("web1", "base", "plain")
    root = catalog.instances.store.path(record.id, "root")
    (tmp_path / "store" / "secret").write_bytes(CONTENT)
    said("qemu-img", "rebase", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", "../secret", root)
    for act in (lambda: catalog.instances.boot("web1"), lambda: catalog.instances.snapshot("web1", "golden")):
        with pytest.raises(InputError, match=f"is no overlay of image {base.id} any more"):
            act()


def test_a_store_that_cannot_be_written(as_: As, tmp_path: Path) -> None:
    """It is said, no record is left, and the image is as before."""
    catalog = as_()
    base = filled(catalog, tmp_path)
    (tmp_path / "store" / "instances").write_bytes(b"in the way")
    with pytest.raises(OutputError, match="the store cannot be written"):
        catalog.instances.create("web1", "base", "plain")
    assert catalog.instances.list() == ()
    os.unlink(tmp_path / "store" / "instances")
    catalog.instances.create("web1", "base", "plain")
    with LocalStore(tmp_path / "store").open(f"{base.id}.1") as source:
        assert source.read_at(0, MIB) == CONTENT


def test_a_full_store(tmp_path: Path) -> None:
    """What does not fit is said, nothing is left of it, and everything before is whole."""
    with small_room(tmp_path, 6 * MIB) as room:
        config = Config(location=str(tmp_path / "catalog"), store=str(room / "store"))
        catalog = Catalog.open(identity="root:ops:admin", create=True, config=config)
        base = filled(catalog, tmp_path)
        record = catalog.instances.create("web1", "base", "full")
        write(catalog.instances.store.path(record.id, "root"), 4 * MIB, 0x5A, 3 * MIB)
        with pytest.raises(OutputError, match="No space left on device"):
            catalog.instances.snapshot("web1", "golden")
        assert [one.name for one in catalog.list()] == ["base"]
        assert folder_of(catalog) == ["ephemeral.raw", "root.qcow2", "swap.raw"]
        rest = os.statvfs(room)
        (room / "rest").write_bytes(bytes(rest.f_bavail * rest.f_frsize))
        with pytest.raises(OutputError, match="No space left on device"):
            catalog.instances.create("web2", "base", "plain")
        assert catalog.instances.list() == (record,)
        os.unlink(room / "rest")
        assert all(catalog.verify_all())
        assert catalog.instances.delete("web1") == record
        assert catalog.delete("base").id == base.id
        catalog.close()
