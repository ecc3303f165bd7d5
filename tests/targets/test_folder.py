"""Folders as outputs: hidden until they are whole, and what other runs make of them."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from pathlib import Path

import pytest

from imgtool.errors import OutputError
from imgtool.targets.folder import FolderOutput


def filled(path: Path) -> None:
    """Make a folder with a file in it."""
    with FolderOutput(os.fspath(path)) as output:
        Path(output.work, "file").write_bytes(b"data")
        output.commit()


def test_a_folder_that_another_holds_before_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run may have locked it, and not removed it yet: it is not ours, and another one is made."""
    real, held = fcntl.flock, []

    def late(fd: int, what: int) -> None:
        if not held:
            (name,) = os.listdir(tmp_path)
            held.append((tmp_path / name, os.open(tmp_path / name, os.O_RDONLY | os.O_DIRECTORY)))
            real(held[0][1], fcntl.LOCK_EX)
        real(fd, what)

    monkeypatch.setattr(fcntl, "flock", late)
    with FolderOutput(os.fspath(tmp_path / "out")) as output:
        Path(output.work, "file").write_bytes(b"data")
        ((path, fd),) = held
        shutil.rmtree(path, ignore_errors=True)
        os.close(fd)
        output.commit()
    assert os.listdir(tmp_path) == ["out"]
    assert (tmp_path / "out" / "file").read_bytes() == b"data"


@pytest.mark.parametrize("number", [errno.EWOULDBLOCK, errno.ENOLCK])
def test_locks_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Where others always hold them that ends, and leaves nothing; where there are none, it is written without."""

    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refused)
    if number == errno.ENOLCK:
        filled(tmp_path / "out")
        assert os.listdir(tmp_path) == ["out"]
        return
    with pytest.raises(OutputError, match="out: Resource temporarily unavailable"):
        FolderOutput(os.fspath(tmp_path / "out"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("stuck", [False, True])
def test_a_name_that_cannot_be_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stuck: bool) -> None:
    """The folder is gone again; where its name cannot be taken away, it is said that it is there."""
    real, rename = os.fsync, os.rename

    def failing(fd: int) -> None:
        if os.path.samestat(os.fstat(fd), os.stat(tmp_path)):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(fd)

    def refused(old: str, new: str) -> None:
        if stuck:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        rename(old, new)

    monkeypatch.setattr(os, "fsync", failing)
    monkeypatch.setattr(os, "rename", refused)
    told = "is there, but its name is not flushed and may not outlive a crash: " if stuck else ""
    with pytest.raises(OutputError, match=f"out: {told}Input/output error$"):
        filled(tmp_path / "out")
    assert os.listdir(tmp_path) == (["out"] if stuck else [])
    assert not stuck or stat.S_ISDIR((tmp_path / "out").stat().st_mode)
