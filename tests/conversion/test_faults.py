"""Nothing is lost and nothing half is left: conversions that are killed, interrupted, starved of space, deprived of
their source or of qemu-img, at moments spread over the run: what was written tells them, not a clock."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from imgtool.errors import EXIT_INPUT, EXIT_INTERRUPTED, EXIT_OUTPUT, EXIT_PIPE, EXIT_TERMINATED, EXIT_TOOL
from tests.conversion.fault_kit import (
    IMGTOOL,
    JOURNAL,
    MIB,
    Moment,
    call,
    digest,
    moments,
    names,
    orphans,
    same_guest,
    source,
)
from tests.kit import need, run

#: (engine, target, qemu's name of it)
NATIVE, FOREIGN = ("native", "qcow2", "qcow2"), ("qemu-img", "vhdx", "vhdx")

SIGNALS = [(signal.SIGKILL, -9), (signal.SIGINT, EXIT_INTERRUPTED), (signal.SIGTERM, EXIT_TERMINATED)]


def arguments(engine: str, to: str, out: str = "out/new") -> tuple[str, ...]:
    """One conversion of disk.raw."""
    return ("convert", "disk.raw", "--engine", engine, "--to", to, "-o", out, "--progress", "none")


def disturbed(folder: Path, engine: str, to: str, qemu: str, number: int, status: int, count: int) -> int:
    """Signal a conversion at `count` moments; how many of them were really in its middle."""
    disk = source(folder / "disk.raw")
    before = digest(disk)
    (folder / "out").mkdir()
    whole = call(*arguments(engine, to), cwd=folder)
    assert whole.status == 0, whole.errors
    truth = digest(folder / "out" / "new")
    points = moments(folder / "out" / "new", count)
    os.unlink(folder / "out" / "new")
    met = 0
    for written in points:
        moment = Moment(folder / "out", written, lambda running: running.send_signal(number))
        ended = call(*arguments(engine, to), cwd=folder, when=moment)
        assert ended.status in (0, status, -number), ended  # the signal itself, where it came while Python ended
        left = names(folder / "out")
        if ended.status == 0 or left:
            assert left == {"new"}  # it was done, or ended between taking its name and saying so
            assert same_guest(disk, "raw", folder / "out" / "new", qemu)
            assert engine != "native" or digest(folder / "out" / "new") == truth
            os.unlink(folder / "out" / "new")
        met += ended.status != 0
        assert "Traceback" not in ended.errors
        assert not orphans(str(folder))
        assert names(folder) == {"disk.raw", "out"}
    assert digest(disk) == before
    return met


@pytest.mark.parametrize(
    ("number", "status", "engine", "to", "qemu"),
    [
        (*SIGNALS[0], *NATIVE),
        (*SIGNALS[0], *FOREIGN),
        (*SIGNALS[1], *NATIVE),
        (*SIGNALS[2], *FOREIGN),
    ],
)
def test_ended_at_a_few_moments(number: int, status: int, engine: str, to: str, qemu: str, tmp_path: Path) -> None:
    """No target, no temporary file, no process that goes on, the source as it was."""
    assert disturbed(tmp_path, engine, to, qemu, number, status, 3) >= 1


@pytest.mark.full
@pytest.mark.parametrize(
    ("engine", "to", "qemu"),
    [
        NATIVE,
        FOREIGN,
        ("native", "raw", "raw"),
        ("native", "vmdk", "vmdk"),
        ("native", "vhd", "vpc"),
        ("native", "vdi", "vdi"),
    ],
)
@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_ended_at_twenty_moments(number: int, status: int, engine: str, to: str, qemu: str, tmp_path: Path) -> None:
    """The same, twenty times over the run."""
    met = disturbed(tmp_path, engine, to, qemu, number, status, 20)
    print(f"{engine} {to} {number}: {met} of 20 in the middle")
    assert met >= 10


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own, whose size the test sets."""
    folder = tmp_path / "small"
    folder.mkdir()
    run(need("mount"), "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder))
    yield folder
    run(need("umount"), str(folder))


def starved(folder: Path, small: Path, engine: str, to: str, sizes: list[int]) -> None:
    """Convert where too little space is; each time one clear error, and an empty folder."""
    source(folder / "disk.raw", 24 * MIB)
    for size in sizes:
        run(need("mount"), "-o", f"remount,size={size}", str(small))
        ended = call(*arguments(engine, to, "small/new"), cwd=folder)
        assert ended.status == EXIT_OUTPUT, (size, ended)
        assert ended.errors.count("\n") == 1, ended.errors
        assert "No space left" in ended.errors
        assert names(small) == set()
        assert not orphans(str(folder))


@pytest.mark.parametrize(("engine", "to", "qemu"), [NATIVE, FOREIGN])
def test_no_space(engine: str, to: str, qemu: str, tmp_path: Path, small: Path) -> None:
    """At the beginning, in the middle, near the end."""
    starved(tmp_path, small, engine, to, [64 * 1024, 9 * MIB, 20 * MIB])


@pytest.mark.full
@pytest.mark.parametrize(
    ("engine", "to", "qemu"), [NATIVE, FOREIGN, ("native", "raw", "raw"), ("native", "vmdk", "vmdk")]
)
def test_no_space_at_twenty_moments(engine: str, to: str, qemu: str, tmp_path: Path, small: Path) -> None:
    """Everywhere."""
    starved(tmp_path, small, engine, to, [64 * 1024 + index * MIB for index in range(20)])


def cut(folder: Path, engine: str, to: str, count: int) -> int:
    """Cut the source while it is read; how often that was noticed."""
    pristine = source(folder / "pristine.raw")
    (folder / "out").mkdir()
    os.link(pristine, folder / "disk.raw")
    assert call(*arguments(engine, to), cwd=folder).status == 0
    met = 0
    for written in moments(folder / "out" / "new", count):
        for name in names(folder / "out"):
            os.unlink(folder / "out" / name)
        os.unlink(folder / "disk.raw")
        run("cp", str(pristine), str(folder / "disk.raw"))
        moment = Moment(folder / "out", written, lambda _: os.truncate(folder / "disk.raw", 5 * MIB))
        ended = call(*arguments(engine, to), cwd=folder, when=moment)
        assert ended.status in (0, EXIT_INPUT, EXIT_TOOL), ended
        if ended.status:
            met += 1
            assert names(folder / "out") == set()
            assert ended.errors.count("\n") == 1, ended.errors
        else:
            assert names(folder / "out") == {"new"}
    return met


@pytest.mark.parametrize(("engine", "to", "qemu"), [NATIVE, FOREIGN])
def test_a_source_that_is_cut(engine: str, to: str, qemu: str, tmp_path: Path) -> None:
    """Its end goes while it is read: an error, and no target; unless the conversion was over."""
    assert cut(tmp_path, engine, to, 3) >= 1


@pytest.mark.full
@pytest.mark.parametrize(("engine", "to", "qemu"), [NATIVE, FOREIGN])
def test_a_source_that_is_cut_at_twenty_moments(engine: str, to: str, qemu: str, tmp_path: Path) -> None:
    """The same, twenty times."""
    assert cut(tmp_path, engine, to, 20) >= 8


def test_a_truncated_source(tmp_path: Path) -> None:
    """An image whose data lies past its end is refused, or fails; nothing is left."""
    source(tmp_path / "whole.raw", 8 * MIB)
    run(need("qemu-img"), "convert", "-O", "qcow2", str(tmp_path / "whole.raw"), str(tmp_path / "disk.raw"))
    size = (tmp_path / "disk.raw").stat().st_size
    (tmp_path / "out").mkdir()
    for part in (0.9, 0.5, 0.1):
        os.truncate(tmp_path / "disk.raw", int(size * part))
        for more in ((), ("--if-unsafe", "allow")):
            ended = call(*arguments("native", "raw"), *more, cwd=tmp_path)
            assert ended.status in (1, EXIT_INPUT), ended
            assert names(tmp_path / "out") == set()


def dying(folder: Path, seconds: float) -> str:
    """A PATH whose qemu-img is killed after that time."""
    place = folder / "bin"
    place.mkdir(exist_ok=True)
    program = place / "qemu-img"
    program.write_text(
        f'#!/bin/sh\ncase "$1" in convert|compare) exec timeout -s KILL {seconds} {need("qemu-img")} "$@" ;; esac\n'
        f'exec {need("qemu-img")} "$@"\n'
    )
    program.chmod(0o755)
    return f"{place}:{os.environ['PATH']}"


def deaths(folder: Path, to: str, at: list[float], size: int) -> int:
    """Kill qemu-img so many seconds after each of its starts; how often that was in its middle."""
    disk = source(folder / "disk.raw", size)
    before = digest(disk)
    (folder / "out").mkdir()
    met = 0
    for seconds in at:
        ended = call(*arguments("qemu-img", to), cwd=folder, path=dying(folder, seconds))
        assert ended.status in (0, EXIT_TOOL), ended
        if ended.status:
            met += 1
            assert names(folder / "out") == set()
            assert ended.errors.count("\n") == 1, ended.errors
        else:
            os.unlink(folder / "out" / "new")
    assert digest(disk) == before
    return met


def test_qemu_img_dies(tmp_path: Path) -> None:
    """Killed in its middle: exit 4, one line, nothing left."""
    assert deaths(tmp_path, "vhdx", [0.01, 0.03, 0.08], 96 * MIB) >= 1


@pytest.mark.full
@pytest.mark.parametrize("to", ["vhdx", "qed", "parallels"])
def test_qemu_img_dies_at_twenty_moments(to: str, tmp_path: Path) -> None:
    """The same, twenty times."""
    met = deaths(tmp_path, to, [0.008 * (index + 1) for index in range(20)], 256 * MIB)
    print(f"{to}: qemu-img died {met} of 20 times in the middle")
    assert met >= 8


def batch(folder: Path, count: int) -> tuple[str, ...]:
    """A batch of disks into a folder."""
    for number in range(count):
        source(folder / f"{number}.raw", 16 * MIB + number * 4096)
    sources = [f"{number}.raw" for number in range(count)]
    return ("convert", *sources, "--to", "qcow2", "--out-dir", "out", "--jobs", "2", "--progress", "none", "--resume")


def resumed(folder: Path, count: int, at: list[float], number: int) -> None:
    """End a batch again and again, then let it finish: what it made is what an undisturbed one makes."""
    command = batch(folder, count)
    before = {name: digest(folder / name) for name in names(folder)}
    done: dict[str, int] = {}
    for moment in at:
        call(*command, cwd=folder, after=moment, number=number)
        left = names(folder / "out")
        assert left <= {JOURNAL, *(f"{index}.qcow2" for index in range(count))}
        proved = _proved(folder / "out" / JOURNAL) & left
        assert left == {JOURNAL} & left | proved  # what has a name has its line
        for name, stamp in done.items():
            assert (folder / "out" / name).stat().st_mtime_ns == stamp  # proved ones are not made again
        done = {name: (folder / "out" / name).stat().st_mtime_ns for name in proved}
    last = call(*command, cwd=folder)
    assert last.status == 0, last.errors
    assert names(folder / "out") == {JOURNAL, *(f"{index}.qcow2" for index in range(count))}
    for index in range(count):
        assert same_guest(folder / f"{index}.raw", "raw", folder / "out" / f"{index}.qcow2", "qcow2")
    assert {name: digest(folder / name) for name in before} == before


def _proved(journal: Path) -> set[str]:
    found = set()
    for line in journal.read_text().splitlines() if journal.exists() else ():
        try:
            found.add(os.path.basename(json.loads(line)["conversion"]["target"]))
        except ValueError:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_batch_is_resumed(number: int, tmp_path: Path) -> None:
    """After two ends in its middle."""
    resumed(tmp_path, 6, [0.5, 0.8], number)


@pytest.mark.full
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_batch_is_resumed_twenty_times(number: int, tmp_path: Path) -> None:
    """After twenty."""
    resumed(tmp_path, 24, [0.3 + 0.05 * index for index in range(20)], number)


def test_closed_output(tmp_path: Path) -> None:
    """Who reads our answer goes away: the target is there, and the status is 141."""
    source(tmp_path / "disk.raw", MIB)
    reader, writer = os.pipe()
    os.close(reader)
    command = [*IMGTOOL, "convert", "disk.raw", "--to", "raw", "-o", "new", "--json"]
    done = subprocess.run(command, cwd=tmp_path, stdout=writer, check=False)
    os.close(writer)
    assert done.returncode == EXIT_PIPE
    assert (tmp_path / "new").read_bytes() == (tmp_path / "disk.raw").read_bytes()
