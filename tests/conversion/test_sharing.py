"""On a file system that can share blocks a raw target shares them with its source, and is the same all the same."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

import imgtool
from fixtures.recipes.vhdx import Change, disk, items, log_of, logged, payload, with_blocks
from imgtool.sources.disk import DiskError
from tests.kit import fixture, need, run
from tests.targets.kit import sharing_room, used

MIB = 1 << 20


@pytest.fixture
def sharing(tmp_path: Path) -> Iterator[Path]:
    """A file system whose files can share blocks."""
    with sharing_room(tmp_path, 300 * MIB) as room:
        yield room


def disk_of(path: Path, seed: int) -> Path:
    """A raw disk of odd size: bytes, holes, and runs that begin and end at odd places."""
    chance = random.Random(seed)
    with open(path, "wb") as file:
        for at in range(0, 40 * MIB, 2 * MIB):
            if chance.random() < 0.7:
                file.seek(at + chance.choice((0, 0, 512, 4096, 70_000)))
                file.write(chance.randbytes(chance.choice((512, 65_536, MIB, MIB + 300))))
        file.truncate(41 * MIB + 1536)
    return path


@pytest.mark.parametrize("verify", ["content", "none"])
@pytest.mark.parametrize(("form", "options"), [("raw", ()), ("qcow2", ()), ("qcow2", ("-c",)), ("vmdk", ())])
def test_blocks_are_shared(sharing: Path, form: str, options: tuple[str, ...], verify: str) -> None:
    """Whatever the source: the content is right; where its bytes lie in it as they are, they take no room anew (but
    for the ends of runs)."""
    raw = disk_of(sharing / "disk.raw", 7)
    source = sharing / f"source.{form}"
    run(need("qemu-img"), "convert", "-f", "raw", "-O", form, *options, str(raw), str(source))
    before = used(sharing)
    done = imgtool.convert(source, sharing / "new.raw", to="raw", verify=verify)
    assert done.engine == "native"
    taken = used(sharing) - before
    content = raw.read_bytes()
    assert (sharing / "new.raw").read_bytes()[: len(content)] == content
    held = os.stat(raw).st_blocks * 512
    assert taken < held // 2 if not options else taken > held // 2
    with open(source, "r+b") as file:  # what is shared is not the source's any more when that is written
        file.write(bytes(os.stat(source).st_size))
    assert (sharing / "new.raw").read_bytes()[: len(content)] == content


def test_what_is_asked_for_is_kept(sharing: Path) -> None:
    """Space that is to be taken is taken."""
    source = disk_of(sharing / "disk.raw", 8)
    before = used(sharing)
    imgtool.convert(source, sharing / "new.raw", to="raw", options={"preallocation": "full"})
    assert used(sharing) - before > 40 * MIB


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_a_volume_inside_a_disk(sharing: Path, form: str) -> None:
    """Where the guest's bytes are a part of a disk, its places are not the file's: nothing is shared."""
    inner = sharing / "fs.img"
    with open(inner, "wb") as file:
        file.truncate(24 * MIB)
    (sharing / "files").mkdir()
    (sharing / "files" / "large").write_bytes(random.Random(1).randbytes(16 * MIB))
    run(need("mkfs.ext4"), "-q", "-F", "-d", str(sharing / "files"), str(inner))
    disk = sharing / "disk.raw"
    with open(disk, "wb") as file:
        file.truncate(26 * MIB)
    run(need("sfdisk"), "-q", str(disk), stdin=b"start=2048, size=49152, type=83\n")
    with open(disk, "r+b") as file:
        file.seek(MIB)
        file.write(inner.read_bytes())
    source = sharing / f"source.{form}"
    run(need("qemu-img"), "convert", "-f", "raw", "-O", form, str(disk), str(source))
    imgtool.convert(source, sharing / "root.ami", to="ami", verify="none")
    assert (sharing / "root.ami").read_bytes() == inner.read_bytes()


def test_what_the_log_of_a_vhdx_changes(sharing: Path) -> None:
    """The guest's bytes, not those that its file still holds; what the log does not touch is shared."""
    table = {block: (4 + block) * MIB | 6 for block in range(20)}
    change = Change(9 * MIB + 65_536, b"changed!" * 512)
    source, target = sharing / "open.vhdx", sharing / "new.raw"
    image = logged({0: log_of(10, 0, [change], 24 * MIB)}, table, blocks=20, size=20 * MIB)
    source.write_bytes(image)
    before = used(sharing)
    imgtool.convert(source, target, "raw", verify="none")
    assert used(sharing) - before < 10 * MIB
    content = bytearray(image[4 * MIB : 24 * MIB])
    content[5 * MIB + 65_536 : 5 * MIB + 65_536 + 4096] = change.data
    assert target.read_bytes() == content


def test_entries_that_do_not_hold(sharing: Path) -> None:
    """What cannot be read is not shared either, though its entry names a place in the file."""
    image = with_blocks(disk(items(2 * MIB)), {0: 4 * MIB | 6 | 8, 1: 4 * MIB | 6}, [payload(b"here", 1)])
    (sharing / "bad.vhdx").write_bytes(image)
    with pytest.raises(DiskError, match="does not hold"):
        imgtool.convert(sharing / "bad.vhdx", sharing / "new", "raw", verify="none", if_unsafe="allow")


def test_a_member_of_a_container(sharing: Path) -> None:
    """The same of a disk in an appliance, in a wrapper, and of one whose bytes lie in another file."""
    raw = disk_of(sharing / "disk.raw", 9)
    content = raw.read_bytes()
    run("gzip", "-k1", str(raw))
    place = str(sharing / "data.qcow2")
    options = f"data_file={sharing / 'data.bin'},data_file_raw=on"
    run(need("qemu-img"), "convert", "-f", "raw", "-O", "qcow2", "-o", options, str(raw), place)
    overlay = str(sharing / "overlay.qcow2")
    run(need("qemu-img"), "create", "-q", "-f", "qcow2", "-b", str(raw), "-F", "raw", overlay)
    for name in ("disk.raw.gz", "data.qcow2", "overlay.qcow2"):
        target = sharing / f"{name}.new"
        imgtool.convert(sharing / name, target, to="raw", verify="none", follow=True, policy="permissive")
        assert target.read_bytes()[: len(content)] == content
    appliance = sharing / "small.ova"
    appliance.write_bytes(fixture("ova/small.ova.gz"))
    with imgtool.open_disk(appliance) as inside:
        told = inside.read_at(0, inside.size)
    imgtool.convert(appliance, sharing / "ova.new", to="raw", verify="none", policy="permissive", if_unsafe="allow")
    assert (sharing / "ova.new").read_bytes() == told
