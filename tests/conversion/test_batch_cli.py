"""Batches by the command: many images of eight formats into two targets, failures named, interrupted and resumed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from jsonschema import Draft202012Validator

from imgtool.errors import EXIT_INTERRUPTED, EXIT_NO
from tests.conversion.fault_kit import IMGTOOL, JOURNAL
from tests.kit import need, run
from tests.oracle.write_kit import source

#: (qemu's name, our ending, options)
FORMATS = (
    ("raw", "img", ()),
    ("qcow2", "qcow2", ()),
    ("qcow", "qcow", ()),
    ("vmdk", "vmdk", ("-o", "subformat=streamOptimized")),
    ("vpc", "vhd", ("-o", "force_size=on")),
    ("vhdx", "vhdx", ("-o", "block_size=1M")),
    ("vdi", "vdi", ()),
    ("parallels", "hdd", ()),
)
CONTENTS = ("patterned", "sparse", "text", "random", "empty")

#: Target and options, engine, qemu's name.
TARGETS = (
    (("--to", "qcow2", "--compress", "zstd"), "native", "qcow2"),
    (("--to", "vhdx"), "qemu-img", "vhdx"),
)


#: The command, which interrupts itself when so many lines are in its journal, and then comes no further.
INTERRUPTS = """
import os, signal, sys, threading
from imgtool.conversion.journal import Journal
half, add, lock, lines, never = int(sys.argv.pop(1)), Journal.add, threading.Lock(), [], threading.Event()
def counted(*given):
    with lock:
        lines.append(None)
        number = len(lines)
    if number > half:
        never.wait(20)
    add(*given)
    if number == half:
        os.kill(os.getpid(), signal.SIGINT)
Journal.add = counted
from imgtool.cli.start import main
main()
"""


class Images(NamedTuple):
    """A folder `in` of images, the raw files that they are of, and three more that cannot be converted."""

    folder: Path
    names: list[str]
    bad: list[str]

    def raw(self, name: str) -> Path:
        """What the guest of an image sees."""
        return self.folder / "raw" / name.partition(".")[0]

    def command(self, to: tuple[str, ...], out: str, *more: str, bad: bool = True) -> list[str]:
        """A batch over all of them, the bad ones in between."""
        names = [*self.names, *self.bad] if bad else self.names
        paths = [f"in/{name}" for name in sorted(names)]
        return [*IMGTOOL, "convert", *paths, *to, "--out-dir", out, "--jobs", "2", *more]


def images(folder: Path, count: int) -> Images:
    """`count` images, as many of each format, of different contents and sizes."""
    (folder / "in").mkdir()
    (folder / "raw").mkdir()
    names = []
    for number in range(count):
        form, ending, options = FORMATS[number % len(FORMATS)]
        chance = random.Random(number)
        raw = folder / "raw" / f"{number:03}"
        source(raw, CONTENTS[number // len(FORMATS) % len(CONTENTS)], chance.randrange(1, 600) * 512, number)
        names.append(f"{number:03}.{ending}")
        place = str(folder / "in" / names[-1])
        run(need("qemu-img"), "convert", "-f", "raw", "-O", form, *options, str(raw), place)
    (folder / "in" / "001-cut.qcow2").write_bytes((folder / "in" / names[1]).read_bytes()[:3000])
    base = ("-b", str(folder / "raw" / "000"), "-F", "raw")
    run(need("qemu-img"), "create", "-q", "-f", "qcow2", *base, str(folder / "in" / "002-overlay.qcow2"))
    return Images(folder, names, ["001-cut.qcow2", "002-overlay.qcow2", "003-missing.vdi"])


@pytest.fixture(scope="module", params=[40, pytest.param(200, marks=pytest.mark.full)], ids=str)
def many(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """Images of eight formats."""
    return images(tmp_path_factory.mktemp("many"), request.param)


def started(many: Images, command: list[str]) -> subprocess.CompletedProcess[str]:
    """The command, in the folder of the images."""
    return subprocess.run(command, cwd=many.folder, capture_output=True, text=True, check=False)


def all_there(many: Images, out: str, driver: str) -> None:
    """Fail unless each target, and nothing else, is there and holds what its source does, by qemu-img."""
    assert {name for name in os.listdir(many.folder / out) if name != JOURNAL} == {
        f"{name.partition('.')[0]}.{driver}" for name in many.names
    }
    for name in many.names:
        path = str(many.folder / out / f"{name.partition('.')[0]}.{driver}")
        same = run(need("qemu-img"), "compare", "-f", "raw", "-F", driver, str(many.raw(name)), path)
        assert b"Images are identical." in same


def schema() -> Draft202012Validator:
    """`imgtool schema conversion`."""
    return Draft202012Validator(json.loads(run(*IMGTOOL, "schema", "conversion")))


@pytest.mark.parametrize(("to", "engine", "driver"), TARGETS, ids=lambda value: str(value)[:16])
def test_objects_for_programs(many: Images, to: tuple[str, ...], engine: str, driver: str) -> None:
    """One object for each that is done, in the order of the inputs; on stderr nothing but objects; status 1."""
    out = f"objects-{driver}"
    ended = started(many, many.command(to, out, "--json", "--progress", "json"))
    assert ended.returncode == EXIT_NO
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [one["path"] for one in told] == [f"in/{name}" for name in sorted(many.names)]
    validator = schema()
    for one in told:
        validator.validate(one)
        assert (one["engine"], one["format"], one["verified"]) == (engine, driver, True)
        assert one["file_size"] == (many.folder / one["target"]).stat().st_size
    said = [json.loads(line) for line in ended.stderr.splitlines()]
    failed = {one["path"]: one for one in said if one["type"] == "error"}
    assert set(failed) == {f"in/{name}" for name in many.bad}
    assert {one["exit"] for one in failed.values()} == {1, 3}
    assert "IMG101" in failed["in/002-overlay.qcow2"]["message"]
    _progress([one for one in said if one["type"] == "progress"], many)
    assert [one for one in said if one["type"] == "summary"] == [said[-1]]
    assert said[-1] == {
        "type": "summary",
        "done": len(many.names),
        "resumed": 0,
        "failed": len(many.bad),
        "written": sum(one["file_size"] for one in told),
        "failures": said[-1]["failures"],
    }
    assert sorted(said[-1]["failures"]) == [f"in/{name}" for name in many.bad]
    all_there(many, out, driver)


def _progress(told: list[dict[str, Any]], many: Images) -> None:
    """Each input that was begun is told of to its end, and how many of all are over."""
    ends = {one["path"]: one for one in told}
    assert set(ends) == {f"in/{name}" for name in many.names}
    assert all(one["done"] == one["total"] for one in ends.values())
    counts = [one["files_done"] for one in told]
    assert counts == sorted(counts)
    assert {one["files"] for one in told} == {len(many.names) + len(many.bad) - 1}  # the missing one never began


def test_a_table_for_people(many: Images) -> None:
    """One table of what was done, then a line for each failure, then the counts; failures also on stderr, at once."""
    to, _, driver = TARGETS[0]
    ended = started(many, many.command(to, "table"))
    assert ended.returncode == EXIT_NO
    lines = ended.stdout.splitlines()
    assert lines[0].split() == ["source", "target", "format", "virtual", "file", "seconds", "content"]
    rows = [line.split() for line in lines[1 : len(many.names) + 1]]
    assert [row[0] for row in rows] == [f"in/{name}" for name in sorted(many.names)]
    assert all(row[-1] == "proved" for row in rows)
    failures = lines[len(many.names) + 1 : -1]
    assert [line.split(": ")[:2] for line in sorted(failures)] == [["failed", f"in/{name}"] for name in many.bad]
    assert lines[-1].startswith(f"{len(many.names)} conversions done, {len(many.bad)} failed; ")
    assert sorted(ended.stderr.splitlines()) == [f"imgtool: {line[8:]}" for line in sorted(failures)]
    all_there(many, "table", driver)


@pytest.mark.parametrize(("to", "engine", "driver"), TARGETS, ids=lambda value: str(value)[:16])
def test_interrupted_at_half(many: Images, to: tuple[str, ...], engine: str, driver: str) -> None:
    """Ctrl-C when half of it is done; the same command with --resume does the rest, and nothing a second time."""
    out = f"resumed-{driver}"
    command = many.command(to, out, "--json", "--progress", "json", "--resume", bad=False)
    interrupted(many, command, len(many.names) // 2)
    before = states(many.folder / out)
    assert len(many.names) // 2 - 2 <= len(before) < len(many.names)  # two may have a line, and no name yet
    ended = started(many, command)
    assert ended.returncode == 0, ended.stderr
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [one["path"] for one in told] == [f"in/{name}" for name in sorted(many.names)]
    earlier = {os.path.basename(one["target"]) for one in told if one.get("resumed")}
    after = states(many.folder / out)
    assert earlier == set(before)
    assert {name: after[name] for name in before} == before
    validator = schema()
    for one in told:
        validator.validate(one)
    assert json.loads(ended.stderr.splitlines()[-1])["resumed"] == len(before)
    all_there(many, out, driver)


def interrupted(many: Images, command: list[str], lines: int) -> None:
    """Run the command until its journal has that many lines; then Ctrl-C."""
    program = [sys.executable, "-c", INTERRUPTS, str(lines), *command[len(IMGTOOL) :]]
    done = subprocess.run(
        program, cwd=many.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, check=False
    )
    assert done.returncode == EXIT_INTERRUPTED


def states(out: Path) -> dict[str, tuple[int, int]]:
    """The targets that are there: which file, and when it was written."""
    found = {name: (out / name).stat() for name in os.listdir(out) if name != JOURNAL}
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in found.items()}


def test_extents_of_another_input_are_left_out(tmp_path: Path) -> None:
    """Split and flat VMDKs and a qcow2 with its data file give one target for each disk; what was left out is said.
    An image of its own that a descriptor names is none of its extents."""
    raw = source(tmp_path / "raw", "patterned", 3 << 20)
    (tmp_path / "in").mkdir()
    for name, form, options in (
        ("split.vmdk", "vmdk", "subformat=twoGbMaxExtentSparse"),
        ("flat.vmdk", "vmdk", "subformat=monolithicFlat"),
        ("data.qcow2", "qcow2", f"data_file={tmp_path}/in/data.raw,data_file_raw=on"),
        ("alone.qcow2", "qcow2", "compat=1.1"),
    ):
        place = str(tmp_path / "in" / name)
        run(need("qemu-img"), "convert", "-f", "raw", "-O", form, "-o", options, str(raw), place)
    hostile = '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'
    (tmp_path / "in" / "hostile.vmdk").write_text(f'{hostile}RW 6144 FLAT "alone.qcow2" 0\n')
    command = [*IMGTOOL, "convert", "--recursive", "in", "--to", "raw", "--out-dir", "out", "--follow=in"]
    allowed = ["--if-unsafe", "allow", "--progress", "json"]
    done = subprocess.run([*command, *allowed], cwd=tmp_path, capture_output=True, text=True, check=False)
    told = [json.loads(line) for line in done.stderr.splitlines()]
    skipped = {one["path"]: one["extent_of"] for one in told if one["type"] == "skipped"}
    assert skipped == {"in/split-s001.vmdk": "in/split.vmdk", "in/flat-flat.vmdk": "in/flat.vmdk"} | {
        "in/data.raw": "in/data.qcow2"
    }
    written = {path.name for path in (tmp_path / "out").glob("*.raw")}
    assert {"split.raw", "flat.raw", "alone.raw"} <= written
    for name in ("split.raw", "flat.raw", "alone.raw"):
        assert (tmp_path / "out" / name).read_bytes() == raw.read_bytes()
    plain = subprocess.run(
        [*command, "--dry-run", "--if-unsafe", "allow"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "imgtool: in/flat-flat.vmdk: skipped: an extent of in/flat.vmdk\n" in plain.stderr
