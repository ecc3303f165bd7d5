"""The guest's disk of a VMDK: permission, parents, extents of every type, and tables that do not hold."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imgtool.disks.open import open_disk
from imgtool.errors import NotFoundError, UsageError
from imgtool.limits import DEFAULT
from imgtool.model.values import Extent
from imgtool.sources.disk import Disk, DiskError, NotFollowedError
from tests.formats import vmdk_made as made

GRAIN = 16 * 512
FIRST = 64 * 512  #: where the first grain of what is made here lies
TIB = 1024**4


def kinds(disk: Disk) -> list[tuple[int, int, str]]:
    """Start, length and kind of each extent."""
    return [(extent.start, extent.length, extent.kind) for extent in disk.extents()]


def written(path: Path, *lines: str, kind: str = "custom", **more: str) -> Path:
    """A descriptor file."""
    path.write_text(made.descriptor(kind, *lines, **more))
    return path


def stream(path: Path, **options: bool | int) -> bytearray:
    """The bytes of a stream of two whole grains and an odd one of four sectors."""
    content: made.Grains = {0: b"a" * GRAIN, 2: b"c" * GRAIN}
    made.hosted(path, content, 36, packed=True, **options)  # type: ignore[arg-type] # flags and one number
    return bytearray(path.read_bytes())


def test_without_permission(tmp_path: Path) -> None:
    """What lies in other files is a reference, by name; the rest reads."""
    path = written(tmp_path / "d.vmdk", 'RW 8 FLAT "a" 0', "RW 8 ZERO", 'RW 8 SPARSE "b"')
    with open_disk(path) as disk:
        assert list(disk.extents()) == [
            Extent(0, 4096, "reference", None, 0, "a"),
            Extent(4096, 4096, "zero"),
            Extent(8192, 4096, "reference", None, 0, "b"),
        ]
        assert disk.read_at(4096, 4096) == bytes(4096)
        for offset in (0, 8191, 8192):
            with pytest.raises(NotFollowedError, match="was not followed"):
                disk.read_at(offset, 2)


def test_extents_in_order(tmp_path: Path) -> None:
    """FLAT at its sector, SPARSE by its own header, RDONLY and ZERO, each in its range of the disk."""
    (tmp_path / "flat").write_bytes(b"x" * 512 + b"y" * 512)
    made.hosted(tmp_path / "sparse", {1: b"s" * GRAIN}, 32)
    lines = ('RDONLY 1 FLAT "flat" 1', "NOACCESS 2 ZERO", 'RW 32 SPARSE "sparse"', 'RW 1 FLAT "flat"')
    with open_disk(written(tmp_path / "d.vmdk", *lines), follow=True) as disk:
        expected = b"y" * 512 + bytes(1024) + bytes(GRAIN) + b"s" * GRAIN + b"x" * 512
        assert disk.size == len(expected)
        assert disk.read_at(0, disk.size + 1) == expected
        assert [(extent.kind, extent.file) for extent in disk.extents()] == [
            ("data", "flat"),
            ("zero", None),
            ("hole", "sparse"),
            ("data", "sparse"),
            ("data", "flat"),
        ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('NOACCESS 8 FLAT "flat" 0', "NOACCESS"),
        ('RW 8 VMFSRDM "flat"', "VMFSRDM"),
        ('RW 8 FLAT "flat" 0', "past the end"),
        ('RW 64 SPARSE "sparse"', "has 16384 bytes, not 32768"),
    ],
)
def test_ranges_that_cannot_be_read(line: str, message: str, tmp_path: Path) -> None:
    """A range that no file gives is told as data and reading it is an error; the rest reads."""
    (tmp_path / "flat").write_bytes(bytes(512))
    made.hosted(tmp_path / "sparse", {}, 32)
    with open_disk(written(tmp_path / "d.vmdk", line, "RW 8 ZERO"), follow=True) as disk:
        assert sum(extent.length for extent in disk.extents()) == disk.size
        assert disk.read_at(disk.size - 4096, 4096) == bytes(4096)
        with pytest.raises(DiskError, match=message):
            disk.read_at(0, disk.size)


def test_only_extent_of_a_sparse_file_is_itself(tmp_path: Path) -> None:
    """Whatever its descriptor calls it, and whether or not references are followed."""
    text = made.descriptor("monolithicSparse", 'RW 32 SPARSE "/etc/hostname"')
    path = made.hosted(tmp_path / "renamed", {0: b"a" * GRAIN}, 32, text=text)
    for follow in (False, True):
        with open_disk(path, follow=follow) as disk:
            assert disk.read_at(0, 32 * 512) == b"a" * GRAIN + bytes(GRAIN)
            assert [extent.file for extent in disk.extents()] == [None, None]


def test_change_tracking_is_not_needed(tmp_path: Path) -> None:
    """A tracking file and sidecars that are not there do not matter; an extent that is not there does."""
    (tmp_path / "flat").write_bytes(b"f" * 512)
    path = written(tmp_path / "d.vmdk", 'RW 1 VMFS "flat"', 'changeTrackPath="gone-ctk"', 'ddb.sidecars = "gone;"')
    with open_disk(path, follow=True) as disk:
        assert disk.read_at(0, 512) == b"f" * 512
    with pytest.raises(NotFoundError):
        open_disk(written(tmp_path / "d.vmdk", 'RW 1 VMFS "gone"'), follow=True)


def delta(folder: Path, parent: str, hint: str | None = "base.vmdk") -> Path:
    """A delta of one grain above a base of two; `parent` is the content ID it remembers."""
    line = 'RW 32 SPARSE "base.vmdk"'
    made.hosted(
        folder / "base.vmdk", {0: b"b" * GRAIN, 1: b"B" * GRAIN}, 32, text=made.descriptor("monolithicSparse", line)
    )
    text = made.descriptor("monolithicSparse", line, parent=parent, hint=hint)
    return made.hosted(folder / "top.vmdk", {1: b"t" * GRAIN}, 32, text=text)


def test_parent(tmp_path: Path) -> None:
    """What a delta has not shows its parent, one deeper; a reference where it is not followed."""
    path = delta(tmp_path, "1a2b3c4d")
    with open_disk(path, follow=True) as disk:
        assert disk.read_at(0, 32 * 512) == b"b" * GRAIN + b"t" * GRAIN
        assert [(extent.kind, extent.depth) for extent in disk.extents()] == [("data", 1), ("data", 0)]
    with open_disk(path) as disk:
        assert kinds(disk) == [(0, GRAIN, "reference"), (GRAIN, GRAIN, "data")]
        assert disk.read_at(GRAIN, GRAIN) == b"t" * GRAIN
        with pytest.raises(NotFollowedError):
            disk.read_at(GRAIN - 1, 1)


@pytest.mark.parametrize("remembered", ["1a2b3c4e", "ffffffff"])
def test_parent_that_changed(remembered: str, tmp_path: Path) -> None:
    """The content ID that a delta remembers must be its parent's; without following there is nothing to compare."""
    path = delta(tmp_path, remembered)
    with pytest.raises(DiskError, match=f"parentCID is {remembered}.*'base.vmdk' is 1a2b3c4d"):
        open_disk(path, follow=True)
    with open_disk(path) as disk:
        assert kinds(disk)[0] == (0, GRAIN, "reference")


def test_parent_without_a_content_id(tmp_path: Path) -> None:
    """A sparse file without a descriptor has no content ID to compare: it is not taken for the parent."""
    path = delta(tmp_path, "1a2b3c4d")
    patched(tmp_path / "base.vmdk", 512, bytes(20 * 512))
    with pytest.raises(DiskError, match="is None: the parent was changed"):
        open_disk(path, follow=True)


def test_parent_without_a_name(tmp_path: Path) -> None:
    """A content ID of a parent that nothing names: what the delta has not is not known to be zeros."""
    with open_disk(delta(tmp_path, "1a2b3c4d", None), follow=True) as disk:
        assert kinds(disk) == [(0, GRAIN, "reference"), (GRAIN, GRAIN, "data")]
    made.cowd(tmp_path / "child", {0: b"c" * 512}, 8, 1, 2, b"base.vmdk")
    with open_disk(tmp_path / "child") as disk:
        assert kinds(disk) == [(0, 512, "data"), (512, 3584, "reference")]


def test_stream_whose_last_grain_is_odd(tmp_path: Path) -> None:
    """The last grain holds a whole one or only what remains of the disk; never less, no grain more."""
    for tail in (16, 4):
        stream(tmp_path / "s", tail=tail)
        with open_disk(tmp_path / "s") as disk:
            assert disk.read_at(0, disk.size + 9) == b"a" * GRAIN + bytes(GRAIN) + b"c" * 2048
            assert kinds(disk) == [(0, GRAIN, "compressed"), (GRAIN, GRAIN, "hole"), (2 * GRAIN, 2048, "compressed")]
    stream(tmp_path / "s", tail=3)
    with open_disk(tmp_path / "s") as disk, pytest.raises(DiskError, match="inflates to 1536 bytes, not 2048"):
        disk.read_at(2 * GRAIN, 1)


@pytest.mark.parametrize(
    ("at", "raw", "message"),
    [
        (0, struct.pack("<Q", 16), "marked as sector 16, not 0"),
        (8, struct.pack("<I", 0), "has 0 compressed bytes"),
        (8, struct.pack("<I", 2 * GRAIN + 1), "has 16385 compressed bytes"),
        (8, struct.pack("<I", 9), "malformed, cut short"),
        (14, b"\xff\xff\xff", "malformed, cut short"),
    ],
)
def test_grain_that_does_not_hold(at: int, raw: bytes, message: str, tmp_path: Path) -> None:
    """A marker of another grain, sizes beyond reason, damaged bytes: an error that says where; others read."""
    data = stream(tmp_path / "s")
    place = FIRST + at
    data[place : place + len(raw)] = raw
    (tmp_path / "s").write_bytes(data)
    with open_disk(tmp_path / "s") as disk:
        assert disk.read_at(2 * GRAIN, 2048) == b"c" * 2048
        with pytest.raises(DiskError, match=f"grain at byte {FIRST}.*{message}"):
            disk.read_at(5, 1)


def test_grain_that_inflates_to_more(tmp_path: Path) -> None:
    """A compressed grain of more than a grain is refused."""
    made.hosted(tmp_path / "s", {0: bytes(100 * GRAIN)}, 32, packed=True)
    with open_disk(tmp_path / "s") as disk, pytest.raises(DiskError, match="more than 8192 bytes"):
        disk.read_at(0, 1)


def test_compressed_grains_of_any_size_are_not_inflated(tmp_path: Path) -> None:
    """A grain size above the cap is refused before anything is inflated."""
    made.hosted(tmp_path / "s", {}, 1 << 20, 1 << 17, packed=True)
    with pytest.raises(DiskError, match=f"compressed grains of 67108864 bytes; at most {DEFAULT.vmdk_packed}"):
        open_disk(tmp_path / "s")


@pytest.mark.parametrize(
    ("at", "raw", "message"),
    [
        (0, b"VMDK", "footer is missing"),
        (12 - 512, b"\2", "footer is unmarked"),
        (12, b"\x40", "capacity is 36 in the header, 64 in the footer"),
        (20, b"\x20", "grainSize is 16 in the header, 32 in the footer"),
        (56, b"\xff" * 8, "neither header nor footer"),
    ],
)
def test_footer_that_does_not_hold(at: int, raw: bytes, message: str, tmp_path: Path) -> None:
    """A directory at the end needs a marked footer that agrees with the header and says where it is."""
    data = stream(tmp_path / "s", footer=True)
    at += len(data) - 1024
    data[at : at + len(raw)] = raw
    (tmp_path / "s").write_bytes(data)
    with pytest.raises(DiskError, match=message):
        open_disk(tmp_path / "s")


def patched(path: Path, at: int, raw: bytes) -> None:
    """Overwrite bytes of a file."""
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(raw)


@pytest.mark.parametrize(
    ("at", "raw", "message"),
    [
        (12, struct.pack("<Q", 1 << 62), "a disk of"),
        (12, struct.pack("<Q", 1 << 50), "a directory of 137438953472 entries"),
        (44, struct.pack("<I", 0), "tables of 0 entries"),
        (44, struct.pack("<I", 513), "tables of 513 entries"),
        (56, struct.pack("<Q", 0), "directory is at sector 0"),
        (77, b"\2", "compression 2"),
    ],
)
def test_header_that_does_not_hold(at: int, raw: bytes, message: str, tmp_path: Path) -> None:
    """Numbers of the header that no reader could follow are refused when the disk is opened."""
    path = made.hosted(tmp_path / "d", {0: b"a" * GRAIN}, 32)
    patched(path, at, raw)
    with pytest.raises(DiskError, match=message):
        open_disk(path)


def test_tables_outside_the_file(tmp_path: Path) -> None:
    """A directory or a table outside the file: its whole range is told as data, reading it is an error."""
    capacity = 16 * 512 * 3
    path = made.hosted(tmp_path / "d", {0: b"a" * GRAIN, 16 * 64: b"b" * GRAIN}, capacity)
    directory = path.stat().st_size // 512 - 1
    span = 512 * GRAIN
    patched(path, directory * 512 + 4, struct.pack("<I", 1 << 31))
    with open_disk(path) as disk:
        assert kinds(disk)[2:4] == [(span, span, "data"), (2 * span, GRAIN, "data")]
        with pytest.raises(DiskError, match="does not hold"):
            disk.read_at(2 * span - 1, 1)
        assert disk.read_at(2 * span, GRAIN) == b"b" * GRAIN
    patched(path, 56, struct.pack("<Q", 1 << 60))
    with open_disk(path) as disk:
        assert kinds(disk) == [(0, 3 * span, "data")]
        with pytest.raises(DiskError, match="does not hold"):
            disk.read_at(0, 1)


def test_grains_outside_the_file(tmp_path: Path) -> None:
    """An entry beyond the end of the file is data where it says; reading it is an error."""
    path = made.hosted(tmp_path / "d", {0: b"a" * GRAIN}, 32)
    patched(path, FIRST + GRAIN + 4, struct.pack("<I", 0xFFFFFFF0))
    with open_disk(path) as disk:
        assert list(disk.extents())[1] == Extent(GRAIN, GRAIN, "data", 0xFFFFFFF0 * 512)
        with pytest.raises(DiskError, match=f"guest bytes at {GRAIN} lie past the end"):
            disk.read_at(0, 2 * GRAIN)


@pytest.mark.parametrize("entry", [1, 1 << 59, 4 << 60, 15 << 60, (3 << 60) | (1 << 48) - 1])
def test_sesparse_entries_that_do_not_hold(entry: int, tmp_path: Path) -> None:
    """Bits that no kind of grain has, or a grain beyond any file: data that cannot be read."""
    path = made.sesparse(tmp_path / "s", {0: b"a" * 4096, 1: b"b" * 4096}, 24)
    patched(path, (9 + 64) * 512 + 8, struct.pack("<Q", entry))
    with open_disk(path) as disk:
        assert kinds(disk) == [(0, 4096, "data"), (4096, 4096, "data"), (8192, 4096, "hole")]
        assert disk.read_at(0, 4096) == b"a" * 4096
        with pytest.raises(DiskError):
            disk.read_at(4096, 1)


def test_sesparse_directory_entry_that_does_not_hold(tmp_path: Path) -> None:
    """The upper half of a directory's entry must be the mark of an allocated table."""
    path = made.sesparse(tmp_path / "s", {0: b"a" * 4096}, 24)
    patched(path, 8 * 512, struct.pack("<Q", 0x1000000100000001))
    with open_disk(path) as disk:
        assert kinds(disk) == [(0, 12288, "data")]
        with pytest.raises(DiskError, match="does not hold"):
            disk.read_at(0, 1)


def test_sesparse_journal(tmp_path: Path) -> None:
    """An extent whose journal must be replayed is not read as it lies there."""
    made.sesparse(tmp_path / "s", {0: b"a" * 4096}, 24, replay=1)
    with pytest.raises(DiskError, match="journal must be replayed"):
        open_disk(tmp_path / "s")


def test_no_snapshots(tmp_path: Path) -> None:
    """A VMDK has none inside."""
    made.hosted(tmp_path / "d", {}, 32)
    with pytest.raises(UsageError, match="no snapshots"):
        open_disk(tmp_path / "d", snapshot="1")


def test_vast_and_empty(tmp_path: Path) -> None:
    """64 TiB of a seSparse, with one grain far inside, and a KDMV of as many tables as are read: in a moment."""
    made.sesparse(tmp_path / "s", {1 << 33: b"a" * 4096}, 64 * TIB // 512)
    entries = DEFAULT.vmdk_directory
    path = made.hosted(tmp_path / "d", {}, 8)
    patched(path, 12, struct.pack("<Q", entries * 512 * 128) + struct.pack("<Q", 128))
    os.truncate(path, 65 * 512 + entries * 4)
    for name, count in (("s", 3), ("d", 1)):
        began = time.process_time()
        with open_disk(tmp_path / name) as disk:
            assert len(list(disk.extents())) == count
        assert time.process_time() - began < 2


def test_everything_is_closed(tmp_path: Path) -> None:
    """Extents and parents are closed with the disk, and where it cannot be opened."""
    made.hosted(tmp_path / "e", {}, 32)
    delta(tmp_path, "00000001")
    (tmp_path / "text").write_text("no extent")
    before = len(os.listdir("/proc/self/fd"))
    open_disk(written(tmp_path / "d.vmdk", 'RW 32 SPARSE "e"', 'RW 32 SPARSE "e"'), follow=True).close()
    with pytest.raises(DiskError):
        open_disk(tmp_path / "top.vmdk", follow=True)
    with pytest.raises(DiskError):
        open_disk(written(tmp_path / "d.vmdk", 'RW 32 SPARSE "e"', 'RW 32 SPARSE "text"'), follow=True)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_read_does_not_load_numpy(tmp_path: Path) -> None:
    """Entries are looked up plainly."""
    stream(tmp_path / "s")
    code = (
        "import sys; from imgtool.disks.open import open_disk; disk = open_disk(sys.argv[1]);"
        "assert disk.read_at(100, 20000)[:1] == b'a'; assert 'numpy' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "s")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
