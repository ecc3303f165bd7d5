"""Following what an image refers to: by permission, inside folders, no circles, not too deep, as the image says."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import pytest

import imgtool
from imgtool.disks.links import RefusedLinkError
from imgtool.disks.open import open_disk
from imgtool.errors import InputError, NotFoundError, NotRegularError, UsageError
from imgtool.inspection.deep import check
from imgtool.limits import DEFAULT
from imgtool.sources.disk import DiskError, NotFollowedError
from tests.kit import need, qemu_create, run

SIZE = 1 << 20
WORDS = b"below " * 1000


def overlay(path: Path, backing: str, form: str | None = None) -> Path:
    """A qcow2 over `backing`, made without looking at that; without a format where none is given."""
    options = [f"backing_file={backing}"] + ([f"backing_fmt={form}"] if form else ["backing_fmt=raw"])
    run(need("qemu-img"), "create", "-q", "-u", "-f", "qcow2", "-o", ",".join(options), str(path), str(SIZE))
    if form is None:
        without_format(path)
    return path


def without_format(path: Path) -> None:
    """Take the backing format extension (0xE2792ACA) out of a qcow2: it becomes one that nobody knows."""
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack(">I", 0xE2792ACA))
    data[at : at + 4] = struct.pack(">I", 0x12345678)
    path.write_bytes(data)


def raw(path: Path, content: bytes = WORDS) -> Path:
    """A raw image that begins with `content`."""
    path.write_bytes(content.ljust(SIZE, b"\0"))
    return path


def head(path: Path, follow: bool | str | Path = True, length: int = 6000) -> bytes:
    """The first bytes that a guest sees, references followed."""
    with open_disk(path, follow=follow) as disk:
        return disk.read_at(0, length)


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """The image's own folder, with others beside it."""
    for name in ("room", "room/inner", "other", "room2"):
        (tmp_path / name).mkdir()
    raw(tmp_path / "room" / "base.raw")
    raw(tmp_path / "other" / "base.raw", b"other " * 1000)
    raw(tmp_path / "room2" / "base.raw", b"room2 " * 1000)
    return tmp_path / "room"


def test_nothing_is_followed_without_permission(room: Path) -> None:
    """The disk opens and says where it ends: reference extents, NotFollowedError, no file opened."""
    path = overlay(room / "top.qcow2", "base.raw", "raw")
    with imgtool.open_disk(path) as disk:
        assert [extent[:3] for extent in disk.extents()] == [(0, SIZE, "reference")]
        with pytest.raises(NotFollowedError, match="refers to"):
            disk.read_at(100, 10)
    with imgtool.open_disk(overlay(room / "missing.qcow2", "missing.raw", "raw")) as disk:
        assert disk.size == SIZE


def test_followed_in_its_own_folder(room: Path) -> None:
    """True means the folder that the image lies in, and what is below it."""
    assert head(overlay(room / "top.qcow2", "base.raw", "raw")) == WORDS
    raw(room / "inner" / "base.raw", b"inner " * 1000)
    assert head(overlay(room / "deep.qcow2", "inner/base.raw", "raw")) == b"inner " * 1000
    assert head(overlay(room / "around.qcow2", "inner/../base.raw", "raw")) == WORDS


def test_an_empty_folder_is_refused(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no folder, and not the current one, whatever the image refers to."""
    monkeypatch.chdir(room)
    path = overlay(room / "top.qcow2", "base.raw", "raw")
    for call in (imgtool.open_disk, imgtool.validate, check):
        for image in (path, room / "base.raw"):
            with pytest.raises(UsageError, match="the folder to follow references in is empty"):
                call(image, follow="")
    with pytest.raises(UsageError, match="the folder to follow references in is empty"):
        imgtool.convert(path, room / "new", "raw", follow="")


def test_names_are_relative_to_the_image_that_has_them(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not to the current folder, and not to the image on top."""
    raw(room / "inner" / "low.raw", b"low.. " * 1000)
    overlay(room / "inner" / "middle.qcow2", "low.raw", "raw")
    path = overlay(room / "top.qcow2", "inner/middle.qcow2", "qcow2")
    monkeypatch.chdir(room.parent / "other")
    assert head(path) == b"low.. " * 1000
    monkeypatch.chdir(room)
    assert head(Path("top.qcow2")) == b"low.. " * 1000


@pytest.mark.parametrize("name", ["../other/base.raw", "inner/../../other/base.raw", "../room2/base.raw"])
def test_out_of_the_folder(room: Path, name: str) -> None:
    """`..` leads out: refused, whether the file is there or not; a folder with a longer name is another one."""
    path = overlay(room / "top.qcow2", name, "raw")
    with pytest.raises(RefusedLinkError, match="outside"):
        head(path)
    with pytest.raises(RefusedLinkError, match="outside"):
        head(overlay(room / "nowhere.qcow2", "../no/such/file", "raw"))
    assert head(path, follow=room.parent)[:4] in (b"othe", b"room")


def test_absolute_names(room: Path) -> None:
    """Refused outside the folder, followed inside."""
    with pytest.raises(RefusedLinkError, match="outside"):
        head(overlay(room / "out.qcow2", "/etc/passwd", "raw"))
    assert head(overlay(room / "in.qcow2", str(room / "base.raw"), "raw")) == WORDS
    with pytest.raises(RefusedLinkError, match="outside"):
        head(overlay(room / "else.qcow2", str(room / "base.raw"), "raw"), follow=room / "inner")


def test_symbolic_links(room: Path) -> None:
    """What counts is where a link leads: out of the folder it is refused, inside it is followed."""
    (room / "out.raw").symlink_to(room.parent / "other" / "base.raw")
    (room / "in.raw").symlink_to("base.raw")
    (room / "outer").symlink_to(room.parent / "other", target_is_directory=True)
    (room / "self.raw").symlink_to("self.raw")
    for name in ("out.raw", "outer/base.raw"):
        with pytest.raises(RefusedLinkError, match="outside"):
            head(overlay(room / "top.qcow2", name, "raw"))
    assert head(overlay(room / "top.qcow2", "in.raw", "raw")) == WORDS
    with pytest.raises(InputError):
        head(overlay(room / "top.qcow2", "self.raw", "raw"))


def test_an_image_behind_a_symbolic_link(room: Path) -> None:
    """Its own folder is the one its name stands in, and its references are looked for there."""
    overlay(room / "top.qcow2", "base.raw", "raw")
    (room.parent / "other" / "link.qcow2").symlink_to(room / "top.qcow2")
    assert head(room.parent / "other" / "link.qcow2") == b"other " * 1000


@pytest.mark.parametrize(
    "name",
    ["nbd://127.0.0.1/x", "json:{}", "https://example.org/x", "file:base.raw", "fat:rw", "C:\\base.raw", "nbd:x"],
)
def test_protocols(room: Path, name: str) -> None:
    """Whatever is no plain file name is refused."""
    path = overlay(room / "top.qcow2", "base.raw", "raw")
    data = bytearray(path.read_bytes())
    at = data.index(b"base.raw", 100)
    data[at : at + len(name)] = name.encode()
    data[16:20] = struct.pack(">I", len(name))
    path.write_bytes(data)
    with pytest.raises((RefusedLinkError, NotFoundError)):
        head(path)
    with open_disk(path) as disk:
        assert disk.size == SIZE


@pytest.mark.parametrize("letter", [b"\n", b"\0", b"\x1b"])
def test_control_characters(room: Path, letter: bytes) -> None:
    """No file is looked for whose name has them."""
    path = overlay(room / "top.qcow2", "base.raw", "raw")
    path.write_bytes(path.read_bytes().replace(b"base.raw", b"base" + letter + b"raw"))
    with pytest.raises(RefusedLinkError, match="no usable"):
        head(path)


def test_circles(room: Path) -> None:
    """An image over itself; two over each other; by other names for the same file."""
    with pytest.raises(RefusedLinkError, match="circle"):
        head(overlay(room / "self.qcow2", "self.qcow2", "qcow2"))
    overlay(room / "a.qcow2", "b.qcow2", "qcow2")
    overlay(room / "b.qcow2", "a.qcow2", "qcow2")
    with pytest.raises(RefusedLinkError, match="circle"):
        head(room / "a.qcow2")
    overlay(room / "c.qcow2", "d.qcow2", "qcow2")
    os.link(room / "c.qcow2", room / "d.qcow2")
    with pytest.raises(RefusedLinkError, match="circle"):
        head(room / "c.qcow2")


def test_one_file_twice_is_no_circle(room: Path) -> None:
    """Two images over one base are opened beside each other."""
    one, two = overlay(room / "one.qcow2", "base.raw", "raw"), overlay(room / "two.qcow2", "base.raw", "raw")
    assert imgtool.compare(one, two, follow=True).identical


def test_a_chain_is_not_too_deep(room: Path) -> None:
    """As many links as the cap says and no more; no descriptor is left open."""
    last, form = "base.raw", "raw"
    for number in range(DEFAULT.chain_depth + 1):
        overlay(room / f"{number}.qcow2", last, form)
        last, form = f"{number}.qcow2", "qcow2"
    assert head(room / f"{DEFAULT.chain_depth - 1}.qcow2") == WORDS
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(RefusedLinkError, match=f"more than {DEFAULT.chain_depth}"):
        head(room / last)
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_not_there(room: Path) -> None:
    """A missing file, a folder, a FIFO: each said as such, nothing is waited for."""
    with pytest.raises(NotFoundError):
        head(overlay(room / "top.qcow2", "missing.raw", "raw"))
    with pytest.raises(NotRegularError):
        head(overlay(room / "top.qcow2", "inner", "raw"))
    os.mkfifo(room / "fifo")
    with pytest.raises(NotRegularError):
        head(overlay(room / "top.qcow2", "fifo", "raw"))


def test_raw_that_looks_like_another(room: Path) -> None:
    """Declared raw it is raw, whatever a guest wrote at its start; not declared it is what it looks like."""
    inner = qemu_create(room / "inner.qcow2", "qcow2", SIZE)
    declared = overlay(room / "declared.qcow2", "inner.qcow2", "raw")
    assert head(declared, length=4) == b"QFI\xfb"
    assert head(overlay(room / "probed.qcow2", "inner.qcow2"), length=4) == bytes(4)
    assert inner.read_bytes()[:4] == b"QFI\xfb"


def test_a_format_that_it_is_not(room: Path) -> None:
    """Declared qcow2 and raw bytes: an error, no guess. A format that nobody knows: an error."""
    with pytest.raises(DiskError, match="said to be 'qcow2'"):
        head(overlay(room / "top.qcow2", "base.raw", "qcow2"))
    path = overlay(room / "bogus.qcow2", "base.raw", "raw")
    path.write_bytes(
        path.read_bytes().replace(
            struct.pack(">II", 0xE2792ACA, 3) + b"raw", struct.pack(">II", 0xE2792ACA, 3) + b"xyz"
        )
    )
    with pytest.raises(DiskError, match="xyz"):
        head(path)


def test_a_wrapper_below_is_raw_bytes(room: Path) -> None:
    """Not declared and no disk format: the bytes as they are, as QEMU takes them."""
    packed = gzip.compress(WORDS, mtime=0)
    raw(room / "base.gz", packed)
    assert head(overlay(room / "top.qcow2", "base.gz"), length=len(packed)) == packed


def test_data_files(room: Path) -> None:
    """An external data file is read as bytes, never as the image it may look like."""
    run(
        need("qemu-img"),
        "create",
        "-q",
        "-f",
        "qcow2",
        "-o",
        f"data_file={room / 'data.raw'},data_file_raw=on",
        str(room / "top.qcow2"),
        str(SIZE),
    )
    run(need("qemu-io"), "-f", "qcow2", "-c", "write -P 7 0 64k", str(room / "top.qcow2"))
    with pytest.raises(NotFollowedError), open_disk(room / "top.qcow2") as disk:
        disk.read_at(0, 10)
    assert head(room / "top.qcow2", length=70_000) == b"\7" * 65_536 + bytes(4_464)
    qemu_create(room / "other.qcow2", "qcow2", SIZE)
    data = bytearray((room / "data.raw").read_bytes())
    data[:4096] = (room / "other.qcow2").read_bytes()[:4096]
    (room / "data.raw").write_bytes(data)
    assert head(room / "top.qcow2", length=4) == b"QFI\xfb"


def test_images_that_are_no_paths_follow_nothing(room: Path) -> None:
    """A file object has no folder: permission is of no use to it."""
    path = overlay(room / "top.qcow2", "base.raw", "raw")
    with open(path, "rb") as file, open_disk(file, follow=True) as disk:
        assert [extent.kind for extent in disk.extents()] == ["reference"]


def test_members_of_containers_follow_nothing(room: Path) -> None:
    """A disk inside a wrapper has no folder either."""
    path = overlay(room / "top.qcow2", "base.raw", "raw")
    (room / "top.qcow2.gz").write_bytes(gzip.compress(path.read_bytes()))
    with open_disk(room / "top.qcow2.gz", follow=True) as disk:
        assert [extent.kind for extent in disk.extents()] == ["reference"]


def test_a_shorter_base(room: Path) -> None:
    """Past its end a guest sees zeros."""
    (room / "base.raw").write_bytes(b"x" * 1536)
    path = overlay(room / "top.qcow2", "base.raw", "raw")
    with open_disk(path, follow=True) as disk:
        assert disk.read_at(1000, 2000) == b"x" * 536 + bytes(1464)
        assert [extent[:3] for extent in disk.extents()] == [(0, 1536, "data"), (1536, SIZE - 1536, "hole")]
        assert [extent.depth for extent in disk.extents()] == [1, 0]
