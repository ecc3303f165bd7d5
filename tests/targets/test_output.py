"""Outputs: the contract of imgtool/targets/output.py, on a file, a file with a hidden name, a device, nothing."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from imgtool.errors import ExistsError, OutputError
from imgtool.targets import output as module
from imgtool.targets.output import CountingOutput, DeviceOutput, FileOutput, Output, counted_output, open_output
from tests.kit import ROOT
from tests.targets.kit import as_root, loop_device, small_room

KIB = 1024
MIB = 1024 * KIB


@pytest.fixture(params=("nameless", "hidden"))
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder; with `hidden`, its file system knows no files without a name."""
    if request.param == "hidden":
        plain = os.open

        def refusing(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
            return plain(path, flags, mode, dir_fd=dir_fd)

        monkeypatch.setattr(module.os, "open", refusing)
    place = tmp_path / "folder"
    place.mkdir()
    return place


def whole(path: Path, data: bytes, *, force: bool = False) -> None:
    """Write a file through an output."""
    with open_output(os.fspath(path), force=force) as output:
        output.write_at(0, data)
        output.commit()


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(os.listdir(folder))


def test_nothing_is_there_before_the_commit(folder: Path) -> None:
    """No one sees the target before it is whole; then it is there, alone, with the usual mode."""
    path = folder / "image.raw"
    with open_output(os.fspath(path)) as output:
        output.write_at(0, b"head")
        output.write_at(10, b"tail")
        assert not path.exists()
        assert all(name.startswith(".") and name.endswith(".part") for name in names(folder))
        output.commit()
        assert path.read_bytes() == b"head\0\0\0\0\0\0tail"
    assert names(folder) == ["image.raw"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~module.umask()


def test_nothing_is_left_without_a_commit(folder: Path) -> None:
    """Neither by leaving nor by an exception; closing twice is fine."""
    output = open_output(os.fspath(folder / "one"))
    output.write_at(0, b"data")
    output.close()
    output.close()

    def fails() -> None:
        with open_output(os.fspath(folder / "two")) as other:
            other.write_at(0, b"data")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fails()
    assert names(folder) == []


KILLED = """
import sys, time
from imgtool.targets.output import open_output
with open_output(sys.argv[1], force=True) as output:
    output.write_at(1 << 20, b"data")
    print("written", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_of_a_killed_process(tmp_path: Path, number: signal.Signals) -> None:
    """kill -9 leaves what was there before, and nothing else."""
    path = tmp_path / "image.raw"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", KILLED, os.fspath(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"written\n"
        child.send_signal(number)
        assert child.wait(30) != 0
    assert names(tmp_path) == ["image.raw"]
    assert path.read_bytes() == b"old"


def test_no_clobbering(folder: Path) -> None:
    """What exists is refused at once; what appears meanwhile, at the commit. Neither is touched."""
    path = folder / "image.raw"
    path.write_bytes(b"mine")
    with pytest.raises(ExistsError, match=r"image\.raw: exists; --force replaces it"):
        open_output(os.fspath(path))
    other = folder / "other.raw"
    with open_output(os.fspath(other)) as output:
        output.write_at(0, b"theirs")
        other.write_bytes(b"mine")
        with pytest.raises(ExistsError, match=r"other\.raw: exists"):
            output.commit()
    assert names(folder) == ["image.raw", "other.raw"]
    assert path.read_bytes() == other.read_bytes() == b"mine"


def test_force_replaces_at_the_commit(folder: Path) -> None:
    """The old file is whole until then, and whoever has it open keeps it."""
    path = folder / "image.raw"
    path.write_bytes(b"old")
    with open(path, "rb") as reader, open_output(os.fspath(path), force=True) as output:
        output.write_at(0, b"new one")
        assert path.read_bytes() == b"old"
        output.commit()
        assert path.read_bytes() == b"new one"
        assert reader.read() == b"old"
    assert names(folder) == ["image.raw"]
    whole(folder / "fresh.raw", b"forced without need", force=True)
    assert names(folder) == ["fresh.raw", "image.raw"]


@pytest.fixture
def unflushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are flushed, names in folders are not."""
    real = os.fsync

    def failing(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(fd)

    monkeypatch.setattr(os, "fsync", failing)


@pytest.mark.usefixtures("unflushed")
def test_a_name_that_cannot_be_flushed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new target is gone again; where one was replaced, or cannot be taken away, it is said that it is there."""
    path = folder / "image.raw"
    with pytest.raises(OutputError, match=r"image\.raw: cannot write: Input/output error$"):
        whole(path, b"new")
    assert names(folder) == []
    path.write_bytes(b"old")
    there = r"image\.raw: is there, but its name is not flushed and may not outlive a crash: Input/output error$"
    with pytest.raises(OutputError, match=there):
        whole(path, b"new", force=True)
    assert (names(folder), path.read_bytes()) == (["image.raw"], b"new")
    path.unlink()
    real = os.unlink

    def stuck(name: str, *, dir_fd: int | None = None) -> None:
        if name == "image.raw":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        real(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", stuck)
    with pytest.raises(OutputError, match=there):
        whole(path, b"new")
    assert (names(folder), path.read_bytes()) == (["image.raw"], b"new")


def test_a_name_that_is_another_ones_by_now(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody put there meanwhile is not taken away."""
    path = folder / "image.raw"
    real = os.fsync

    def replaced(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            (folder / "other").write_bytes(b"mine")
            os.replace(folder / "other", path)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(fd)

    monkeypatch.setattr(os, "fsync", replaced)
    with pytest.raises(OutputError, match="cannot write: Input/output error"):
        whole(path, b"new")
    assert (names(folder), path.read_bytes()) == (["image.raw"], b"mine")


def test_sizes_that_no_file_has(folder: Path) -> None:
    """A failure as any other, also beyond what the system can be asked for."""
    path = folder / "image.raw"
    with open_output(os.fspath(path)) as output:
        for size in ((1 << 63) - 1, 1 << 63, 1 << 64, 1 << 200):
            for step in (
                lambda size=size: output.truncate(size),
                lambda size=size: output.write_at(size, b"x"),
                lambda size=size: output.reserve(size, 1),
            ):
                with pytest.raises(OutputError, match=r"image\.raw: cannot write: "):
                    step()
        assert output.size == 0
        with pytest.raises(OutputError, match=r"image\.raw: cannot write: File too large"):
            output.truncate(1 << 63)


def test_symbolic_links(folder: Path) -> None:
    """A link is a name that is taken, wherever it leads; by force the link is replaced, not what it leads to."""
    (folder / "image.raw").write_bytes(b"far")
    link, dangling = folder / "link", folder / "dangling"
    link.symlink_to("image.raw")
    dangling.symlink_to("nowhere")
    for path in (link, dangling):
        with pytest.raises(ExistsError):
            open_output(os.fspath(path))
        whole(path, b"near", force=True)
        assert not path.is_symlink()
        assert path.read_bytes() == b"near"
    assert (folder / "image.raw").read_bytes() == b"far"
    assert names(folder) == ["dangling", "image.raw", "link"]


def test_links_into_proc(folder: Path) -> None:
    """They stand for open files, whose names they are not: refused, by force, too, by way of other links, too."""
    (folder / "far").write_bytes(b"far")
    (folder / "fds").symlink_to("/proc/self/fd")
    with open(folder / "far", "rb") as file:
        (folder / "link").symlink_to(f"/proc/self/fd/{file.fileno()}")
        (folder / "longer").symlink_to("link")
        (folder / "closed").symlink_to("/proc/self/fd/99999")
        before = names(folder)
        for name in ("link", "longer", "closed", f"fds/{file.fileno()}"):
            path = os.path.join(folder, name)
            for force in (False, True):
                for opening in (open_output, counted_output):
                    with pytest.raises(OutputError, match=r"leads into /proc, to an open file, .*; name a file$"):
                        opening(path, force=force)
            assert os.path.islink(path)
    (folder / "by-root").symlink_to(f"/proc/self/root{folder}/far")
    whole(folder / "by-root", b"near", force=True)
    assert (names(folder), (folder / "far").read_bytes()) == (sorted([*before, "by-root"]), b"far")


def test_the_old_permissions(folder: Path) -> None:
    """By force a file gets those of the one that it replaces; none of its other bits."""
    path = folder / "image.raw"
    path.write_bytes(b"old")
    for mode, kept in ((0o600, 0o600), (0o444, 0o444), (0o4755, 0o755), (0o666, 0o666)):
        path.chmod(mode)
        whole(path, b"new", force=True)
        assert (stat.S_IMODE(path.stat().st_mode), path.read_bytes()) == (kept, b"new")
    (folder / "link").symlink_to("image.raw")
    path.chmod(0o600)
    whole(folder / "link", b"new", force=True)
    assert stat.S_IMODE((folder / "link").stat().st_mode) == 0o666 & ~module.umask()


@pytest.mark.parametrize("refused", [False, True])
def test_the_old_owner_and_group(refused: bool, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept where they may be; the group that has the file now has no permissions of the one that had it."""
    path = folder / "image.raw"
    path.write_bytes(b"old")
    path.chmod(0o664)
    subprocess.run(as_root("chown", "65534:65534", str(path)), check=True)

    def fchown(fd: int, owner: int, group: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    if refused:
        monkeypatch.setattr(module.os, "fchown", fchown)
    whole(path, b"new", force=True)
    there = path.stat()
    kept = (65534, 65534, 0o664) if os.geteuid() == 0 and not refused else (os.geteuid(), os.getegid(), 0o604)
    assert (there.st_uid, there.st_gid, stat.S_IMODE(there.st_mode)) == kept


def test_a_link_to_a_folder_as_the_place(folder: Path, tmp_path: Path) -> None:
    """The folder itself may be reached by a link."""
    (tmp_path / "link").symlink_to(folder)
    whole(tmp_path / "link" / "image.raw", b"data")
    assert (folder / "image.raw").read_bytes() == b"data"


def test_a_name_in_the_current_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare name; one that begins with a dash; one as long as names get."""
    monkeypatch.chdir(folder)
    for name in ("image.raw", "-o", "x" * 255, "new\nline", "json:{}"):
        with open_output(name) as output:
            output.write_at(0, b"data")
            output.commit()
        assert (folder / name).read_bytes() == b"data"
    assert len(names(folder)) == 5


def test_what_cannot_be_a_target(folder: Path) -> None:
    """A folder, a FIFO, a place that is not there or takes no files: one clear error each, by force, too."""
    (folder / "inner").mkdir()
    os.mkfifo(folder / "fifo")
    (folder / "file").write_bytes(b"")
    for name, told in (
        ("inner", "is a directory"),
        ("fifo", "neither a regular file nor a block device"),
        ("absent/image", "No such file or directory"),
        ("file/image", "Not a directory"),
        ("x" * 300, "File name too long"),
        ("nul\0", "embedded null byte"),
    ):
        for force in (False, True):
            with pytest.raises(OutputError, match=told):
                open_output(os.path.join(folder, name), force=force)
    for force in (False, True):
        with pytest.raises(OutputError, match="/proc/image: cannot write"):
            open_output("/proc/image", force=force)
    with pytest.raises(OutputError):
        open_output("/dev/null", force=True)
    assert names(folder) == ["fifo", "file", "inner"]


def test_a_full_disk(tmp_path: Path) -> None:
    """One error that names the target, of writing and of reserving; nothing is left, and the room is free again."""
    with small_room(tmp_path, 1 * MIB) as room:
        path = os.fspath(room / "image.raw")
        free = os.statvfs(room).f_bfree
        told = r"image\.raw: cannot write: No space left on device"
        with open_output(path) as output:
            output.write_at(0, b"x" * 512 * KIB)
            with pytest.raises(OutputError, match=told):
                output.write_at(512 * KIB, b"x" * MIB)
        with open_output(path) as output, pytest.raises(OutputError, match=told):
            output.write_at(0, b"x" * 4 * MIB)
        with open_output(path) as output, pytest.raises(OutputError, match=told):
            output.reserve(0, 4 * MIB)
        assert names(room) == []
        assert os.statvfs(room).f_bfree == free


def test_holes_and_sizes(folder: Path) -> None:
    """What was not written reads as zeros and takes no space; `size` follows writes, truncate and reserve."""
    path = folder / "image.raw"
    with open_output(os.fspath(path)) as output:
        assert isinstance(output, FileOutput)
        assert output.known_zeros
        assert output.size == 0
        output.write_at(8 * MIB, b"x" * 4096)
        assert output.size == 8 * MIB + 4096
        output.write_at(0, memoryview(b"--head--")[2:6])
        assert output.size == 8 * MIB + 4096
        output.truncate(16 * MIB)
        assert output.size == 16 * MIB
        output.reserve(0, 1 * MIB)
        output.reserve(0, 0)
        assert output.size == 16 * MIB
        output.reserve(16 * MIB, 64 * KIB)
        assert output.size == 16 * MIB + 64 * KIB
        output.truncate(9 * MIB)
        output.commit()
    data = path.read_bytes()
    assert data == b"head".ljust(8 * MIB, b"\0") + (b"x" * 4096).ljust(1 * MIB, b"\0")
    assert 1 * MIB <= path.stat().st_blocks * 512 <= 2 * MIB


def test_ranges_are_shared_or_left(folder: Path) -> None:
    """Where the file system can share a range it is the same bytes; where it cannot, nothing happened."""
    source, path = folder / "source", folder / "image.raw"
    source.write_bytes(b"abcd" * KIB * 16)
    with open(source, "rb") as file, open_output(os.fspath(path)) as output:
        shared = output.clone_range(file.fileno(), 0, 0, 64 * KIB)
        assert output.size == (64 * KIB if shared else 0)
        output.commit()
    assert path.read_bytes() == (source.read_bytes() if shared else b"")
    assert not CountingOutput().clone_range(0, 0, 0, 4096)


def test_ranges_of_memory_are_not_shared(tmp_path: Path) -> None:
    """A file system in memory cannot: False, and nothing was written."""
    with small_room(tmp_path, 1 * MIB) as room:
        (room / "source").write_bytes(b"x" * 8192)
        with open(room / "source", "rb") as file, open_output(os.fspath(room / "image.raw")) as output:
            assert output.clone_range(file.fileno(), 0, 0, 8192) is False
            assert output.size == 0


def calls(output: Output) -> Iterator[int]:
    """The size after each of some calls."""
    for step in (
        lambda: output.write_at(5000, b"x" * 100),
        lambda: output.write_at(0, bytearray(8)),
        lambda: output.reserve(4096, 8192),
        lambda: output.truncate(1 << 40),
        lambda: output.write_at((1 << 40) - 4, memoryview(b"12345678")),
        lambda: output.truncate(100_000),
        output.commit,
    ):
        step()
        yield output.size


def test_counting_counts_the_same(tmp_path: Path) -> None:
    """The same calls have the same sizes, and a counted output leaves nothing anywhere."""
    path = tmp_path / "image.raw"
    with open_output(os.fspath(path)) as output, CountingOutput() as counted:
        assert list(calls(output)) == list(calls(counted))
    assert path.stat().st_size == 100_000
    assert names(tmp_path) == ["image.raw"]


@pytest.fixture
def device(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A block device of 1 MiB and the file behind it."""
    behind = tmp_path / "behind"
    behind.write_bytes(b"\xa5" * MIB)
    with loop_device(behind) as path:
        yield path, behind


def test_a_device_by_force(device: tuple[str, Path]) -> None:
    """Refused without force and untouched; by force written in place. It holds what it held."""
    path, behind = device
    with pytest.raises(ExistsError, match="is a block device, and all that is on it would be lost"):
        open_output(path)
    with open_output(path, force=True) as output:
        assert isinstance(output, DeviceOutput)
        assert not output.known_zeros
        output.write_at(4096, b"data" * 1024)
        output.truncate(512 * KIB)
        assert output.size == 512 * KIB
        output.commit()
        output.close()
    assert behind.read_bytes() == b"\xa5" * 4096 + b"data" * 1024 + b"\xa5" * (MIB - 8192)


def test_a_device_that_is_too_small(device: tuple[str, Path]) -> None:
    """It is said before anything is written, and where a write is past the end."""
    path, behind = device
    with open_output(path, force=True) as output:
        with pytest.raises(OutputError, match="the device has 1048576 bytes, 1048577 are needed"):
            output.truncate(MIB + 1)
        with pytest.raises(OutputError, match="cannot write"):
            output.write_at(MIB, b"x" * 4096)
    assert behind.read_bytes() == b"\xa5" * MIB
