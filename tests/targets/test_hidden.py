"""Targets where the file system knows no files without a name: what hides them, and what is left by a kill."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import imgtool
from imgtool.errors import ExistsError, OutputError
from imgtool.targets import hidden
from imgtool.targets.output import FileOutput
from tests.kit import ROOT, need

#: Makes a process believe that there are no nameless files.
WITHOUT = """
import errno, os
plain = os.open
def refusing(path, flags, mode=0o777, *, dir_fd=None):
    if flags & os.O_TMPFILE == os.O_TMPFILE:
        raise OSError(errno.EOPNOTSUPP, "no nameless files")
    return plain(path, flags, mode, dir_fd=dir_fd)
os.open = refusing
"""

#: Writes a target and says so, and then waits for its end.
WRITES = f"""{WITHOUT}
import sys, time
from imgtool.targets.output import open_output
output = open_output(sys.argv[1])
output.write_at(0, b"half")
print("written", flush=True)
time.sleep(600)
"""

CONVERTS = f"""{WITHOUT}
from imgtool.cli.start import main
main()
"""

#: Converts up to a place, the last argument, and waits there for its end.
STOPS = f"""{WITHOUT}
import importlib, signal, sys
from imgtool.cli.start import main
module, _, name = sys.argv.pop().partition(":")
place, _, name = name.rpartition(".")
within = importlib.import_module(module)
setattr(getattr(within, place) if place else within, name, lambda *_, **__: signal.pause())
main()
"""


@pytest.fixture
def no_nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process believes that there are no nameless files."""
    scope = {"os": os, "errno": errno}
    real = os.open
    exec(WITHOUT, scope)
    refusing, os.open = os.open, real
    monkeypatch.setattr(os, "open", refusing)


def no_links(*_: object, **__: object) -> None:
    """What link(2) says on a file system without hard links."""
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@contextmanager
def writing(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process in the middle of writing a target."""
    command = [sys.executable, "-c", WRITES, os.fspath(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"written\n"
            yield child
        finally:
            child.kill()


def whole(path: Path, data: bytes, *, force: bool = False) -> None:
    """Write a target to its end."""
    with FileOutput(os.fspath(path), force=force) as output:
        output.write_at(0, data)
        output.commit()


def parts(folder: Path) -> list[str]:
    """The hidden files in a folder."""
    return sorted(name for name in os.listdir(folder) if name.startswith(".") and name.endswith(".part"))


NAMES = ("image.raw", "-o", ".*", "[a].raw", "two\nlines", os.fsdecode(b"\xff\xfe"), "é" * 127, "\U0001f4bf" * 63)


@pytest.mark.usefixtures("no_nameless")
@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_what_a_kill_left_goes_with_the_next_run(tmp_path: Path, name: str) -> None:
    """A hidden file is all that is left; the next run for that target removes it, and no other one's."""
    target = tmp_path / name
    others = [tmp_path / "another", tmp_path / f"x{name[:40]}"]
    for path in (target, *others):
        with writing(path) as child:
            child.send_signal(signal.SIGKILL)
            child.wait()
    assert len(parts(tmp_path)) == len(os.listdir(tmp_path)) == 3
    whole(target, b"whole")
    assert target.read_bytes() == b"whole"
    assert len(parts(tmp_path)) == 2
    for path in others:
        whole(path, b"whole")
    assert set(os.listdir(tmp_path)) == {name, *(path.name for path in others)}


@pytest.mark.usefixtures("no_nameless")
@pytest.mark.parametrize("force", [False, True])
def test_what_another_run_writes_stays(tmp_path: Path, force: bool) -> None:
    """Another process' hidden file is held, and so is another one's of this process."""
    target = tmp_path / "image.raw"
    with writing(target), FileOutput(os.fspath(target), force=force) as mine:
        before = parts(tmp_path)
        assert len(before) == 2
        mine.write_at(0, b"mine")
        whole(target, b"third", force=force)
        assert parts(tmp_path) == before
    assert len(parts(tmp_path)) == 1  # the other one was killed
    whole(target, b"last", force=True)
    assert os.listdir(tmp_path) == ["image.raw"]


def test_what_a_kill_left_of_a_replacement(tmp_path: Path) -> None:
    """With `force` a whole file has a hidden name for a moment, on every file system."""
    target = tmp_path / "image.raw"
    target.write_bytes(b"old")
    (tmp_path / hidden.hidden_name("image.raw")).write_bytes(b"whole, and its process was killed")
    whole(target, b"new", force=True)
    assert os.listdir(tmp_path) == ["image.raw"]
    assert target.read_bytes() == b"new"


@pytest.mark.usefixtures("no_nameless")
def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    """Names that are only like ours; links, folders and FIFOs with such a name: neither removed nor waited for."""
    target = tmp_path / "image.raw"
    ours = hidden.hidden_name("image.raw")
    kept = [".image.raw.part", ".image.raw.abcdefgh.part", "image.raw.part", f"{ours}.x", f"x{ours}", ours.upper()]
    for name in kept:
        (tmp_path / name).write_bytes(b"mine")
    made: tuple[Callable[[Path], object], ...] = (
        lambda path: path.symlink_to("image.raw"),
        Path.mkdir,
        os.mkfifo,
    )
    for make in made:
        kept.append(hidden.hidden_name("image.raw"))
        make(tmp_path / kept[-1])
    whole(target, b"whole")
    fifo = kept.pop()  # with nobody at its other end it is nobody's
    assert set(os.listdir(tmp_path)) - {fifo} == {"image.raw", *kept}


@pytest.mark.usefixtures("no_nameless")
def test_a_lock_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system has no locks nothing is removed, and targets are written all the same."""
    stale = tmp_path / hidden.hidden_name("image.raw")
    stale.write_bytes(b"half")

    def refused(*_: object) -> int:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "fcntl", refused)
    whole(tmp_path / "image.raw", b"whole")
    assert set(os.listdir(tmp_path)) == {"image.raw", stale.name}


@pytest.mark.usefixtures("no_nameless")
def test_a_file_that_is_swept_before_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run may come between making and holding: then another one is made."""
    real, calls = hidden.lock, []

    def late(fd: int) -> bool | None:
        calls.append(fd)
        if len(calls) == 1:
            monkeypatch.setattr(hidden, "lock", real)
            hidden.sweep(os.fspath(tmp_path), "image.raw")
        return real(fd)

    monkeypatch.setattr(hidden, "lock", late)
    with FileOutput(os.fspath(tmp_path / "image.raw")) as output:
        assert len(parts(tmp_path)) == 1
        output.write_at(0, b"whole")
        output.commit()
    assert os.listdir(tmp_path) == ["image.raw"]
    assert (tmp_path / "image.raw").read_bytes() == b"whole"


@contextmanager
def sweeper(path: Path) -> Iterator[None]:
    """Another run has looked at a hidden file and holds it; then it removes what that name leads to."""
    fd = os.open(path, os.O_RDWR)
    try:
        assert hidden.lock(fd)
        yield
        if hidden.leads_to(os.fspath(path), fd):
            path.unlink()
    finally:
        os.close(fd)


@pytest.mark.usefixtures("no_nameless")
def test_a_file_that_another_holds_before_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run may have locked it, and not removed it yet: it is not ours, and another one is made."""
    real = hidden.lock
    with ExitStack() as others:

        def late(fd: int) -> bool | None:
            monkeypatch.setattr(hidden, "lock", real)
            (name,) = parts(tmp_path)
            others.enter_context(sweeper(tmp_path / name))
            return real(fd)

        monkeypatch.setattr(hidden, "lock", late)
        with FileOutput(os.fspath(tmp_path / "image.raw")) as output:
            others.close()
            assert len(parts(tmp_path)) == 1
            output.write_at(0, b"whole")
            output.commit()
    assert os.listdir(tmp_path) == ["image.raw"]
    assert (tmp_path / "image.raw").read_bytes() == b"whole"


@pytest.mark.usefixtures("no_nameless")
@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EACCES])
def test_files_that_others_always_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """That ends, and leaves nothing."""

    def refused(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "fcntl", refused)
    with pytest.raises(OutputError, match=r"image\.raw: cannot write: Resource temporarily unavailable"):
        FileOutput(os.fspath(tmp_path / "image.raw"))
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("no_nameless")
@pytest.mark.parametrize("old", [False, True])
def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bool) -> None:
    """As on FAT: the target takes its name only where that is free; `old`: a libc without renameat2(2)."""
    monkeypatch.setattr(os, "link", no_links)
    if old:
        import ctypes

        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    target = tmp_path / os.fsdecode(b"image\xff")
    whole(target, b"first")
    with FileOutput(os.fspath(tmp_path / "two")) as output:
        (tmp_path / "two").write_bytes(b"mine")
        with pytest.raises(ExistsError, match="exists"):
            output.commit()
    assert (target.read_bytes(), (tmp_path / "two").read_bytes()) == (b"first", b"mine")
    whole(target, b"second", force=True)
    assert target.read_bytes() == b"second"
    assert set(os.listdir(tmp_path)) == {target.name, "two"}


@pytest.mark.usefixtures("no_nameless")
def test_a_folder_that_goes_away(tmp_path: Path) -> None:
    """One failure that names the target, of the commit; closing says nothing."""
    folder = tmp_path / "folder"
    folder.mkdir()
    with FileOutput(os.fspath(folder / "image.raw")) as output:
        shutil.rmtree(folder)
        with pytest.raises(OutputError, match=r"image\.raw: cannot write: No such file"):
            output.commit()
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("no_nameless")
@pytest.mark.parametrize(("engine", "to"), [("native", "qcow2"), ("qemu-img", "vhdx"), ("qemu-img", "qcow2")])
def test_nothing_is_left_of_conversions(tmp_path: Path, engine: str, to: str) -> None:
    """Of one that is done, one that fails while it writes, one whose target is there at the end."""
    source = tmp_path / "disk.raw"
    source.write_bytes(b"data" * 100_000)
    folder = tmp_path / "out"
    folder.mkdir()
    imgtool.convert(source, folder / "new", to, engine=engine)
    assert os.listdir(folder) == ["new"]

    def stop(_: int) -> None:
        raise imgtool.InputError("the source is gone")

    with pytest.raises(imgtool.InputError, match="gone"):
        imgtool.convert(source, folder / "new", to, engine=engine, force=True, progress=stop)
    taken = folder / "taken"

    def take(_: int) -> None:
        taken.write_bytes(b"mine")

    with pytest.raises(ExistsError):
        imgtool.convert(source, taken, to, engine=engine, progress=take)
    assert set(os.listdir(folder)) == {"new", "taken"}
    assert taken.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("to", "place", "most"),
    [("qcow2", "imgtool.targets.output:FileOutput.commit", 1), ("vhdx", "imgtool.conversion.qemu_img:convert", 2)],
    ids=["qcow2", "vhdx"],
)
def test_a_killed_conversion_and_the_next(tmp_path: Path, to: str, place: str, most: int) -> None:
    """At most the target's hidden file and the one on the way to it are left of kill -9; then they go, whatever
    writes the target next."""
    source = tmp_path / "disk.img"
    with open(source, "wb") as file:
        for _ in range(24):
            file.write(os.urandom(1 << 20))
    packed = tmp_path / "disk.img.gz"
    subprocess.run([need("gzip"), "-1k", str(source)], check=True)
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "new"
    command = [sys.executable, "-c", CONVERTS, "convert", str(packed), "--to", to, "-o", str(target), "-q"]
    stopped = [sys.executable, "-c", STOPS, *command[3:], place]
    with subprocess.Popen(stopped, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        while child.poll() is None and len(parts(target.parent)) < most:
            time.sleep(0.002)
        child.kill()
    assert len(parts(target.parent)) == len(os.listdir(target.parent)) == most
    again = [*command[:6], "raw", *command[7:]]
    done = subprocess.run([*again, "--verify", "none"], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert os.listdir(target.parent) == ["new"]
    assert target.read_bytes() == source.read_bytes()
