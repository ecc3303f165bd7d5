"""`imgtool convert` and `imgtool measure` when something is wrong, on a terminal, and whatever names there are."""

from __future__ import annotations

import base64
import json
import os
import pty
import random
import re
import subprocess
from pathlib import Path

import pytest

from tests.test_cli import IMGTOOL, call
from tests.test_cli_convert import MIB, folder, names, objects, refused

__all__ = ["folder"]  # a fixture


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("disk.img",), 2, ["--to FORMAT"]),
        (("--to", "raw", "-o", "x"), 2, ["no input"]),
        (("disk.img", "--to", "raw"), 2, ["--output OUT", "--out-dir DIR"]),
        (("disk.img", "--to", "raw", "-o", "x", "--out-dir", "d"), 2, ["--output OUT", "--out-dir DIR"]),
        (("disk.img", "plain.qcow2", "--to", "raw", "-o", "x"), 2, ["2 sources", "--out-dir"]),
        (("disk.img", "disk.img", "--to", "raw", "--out-dir", "d"), 2, ["both be written"]),
        (("disk.img", "--to", "raw", "-o", "-"), 2, ["pipe", "name a file"]),
        (("disk.img", "--to", "raw", "-o", ""), 2, ["empty", "--output"]),
        (("-", "--to", "raw", "-o", "x"), 2, ["standard input", "name a file"]),
        (("disk.img", "--to", "raw", "-o", "x", "--resume"), 2, ["--journal FILE", "--out-dir"]),
        (("disk.img", "--to", "raw", "--out-dir", "d", "--journal", "cut.qcow2"), 3, ["no journal", "another file"]),
        (("disk.img", "--to", "floppy", "-o", "x"), 2, ["raw, qcow2, ", "ami"]),
        (("disk.img", "--to", "iso", "-o", "x"), 2, ["read, not written", "raw, qcow2, "]),
        (("disk.img", "--to", "vhdx", "--engine", "native", "-o", "x"), 3, ["--engine qemu-img writes it"]),
        (("disk.img", "--to", "raw", "--engine", "best", "-o", "x"), 2, ["auto, native, qemu-img"]),
        (("disk.img", "--to", "raw", "--verify", "some", "-o", "x"), 2, ["content, none"]),
        (("disk.img", "--to", "raw", "--progress", "loud", "-o", "x"), 2, ["auto, json or none"]),
        (("disk.img", "--to", "raw", "--if-unsafe", "maybe", "-o", "x"), 2, ["reject, allow, or codes"]),
        (("disk.img", "--to", "raw", "--policy", "none", "-o", "x"), 2, ["default, glance, strict, permissive"]),
        (("disk.img", "--to", "raw", "--align", "much", "-o", "x"), 2, ["512, 64K"]),
        (("disk.img", "--to", "raw", "--format", "floppy", "-o", "x"), 2, ["no such format", "raw"]),
        (("disk.img", "--to", "vdi", "--compress", "zlib", "-o", "x"), 2, ["qcow2 can", "streamOptimized"]),
        (("disk.img", "--to", "vmdk", "--compress", "zlib", "-o", "x"), 2, ["--option subformat=streamOptimized"]),
        (("disk.img", "--to", "qcow2", "--compress", "lzma", "-o", "x"), 2, ["none, zlib, zstd"]),
        (("disk.img", "--to", "qcow2", "--compress", "zlib", "--level", "22", "-o", "x"), 2, ["1 to 12"]),
        (("disk.img", "--to", "qcow2", "--option", "cluster_size", "-o", "x"), 2, ["KEY=VALUE", "--option help"]),
        (("disk.img", "--to", "qcow2", "--option", "sector=1", "-o", "x"), 2, ["there are: cluster_size, "]),
        (("disk.img", "--to", "qcow2", "--option", "cluster_size=3K", "-o", "x"), 2, ["power of two from 512"]),
        (("missing", "other", "--to", "qcow2", "--option", "a=b", "--out-dir", "d"), 2, ["has no option 'a'"]),
        (("disk.img", "--to", "luks", "-o", "x"), 2, ["--secret-file FILE"]),
        (("disk.img", "--to", "luks", "--secret-file", "none", "-o", "x"), 2, ["'none'", "No such file"]),
        (("disk.img", "--to", "raw", "-o", "plain.qcow2"), 5, ["exists; --force replaces it"]),
        (("disk.img", "--to", "raw", "-o", "disk.img", "--force"), 5, ["the source itself; name another"]),
        (("disk.img", "--to", "raw", "-o", "sub"), 5, ["is a directory; name a file in it"]),
        (("disk.img", "--to", "raw", "-o", "/dev/null"), 5, ["neither a regular file nor a block device"]),
        (("disk.img", "--to", "raw", "-o", "plain.qcow2/x"), 5, ["plain.qcow2: cannot make the folder"]),
        (("missing", "--to", "raw", "-o", "x"), 3, ["missing: No such file"]),
        (("sub", "--to", "raw", "-o", "x"), 3, ["a directory", "give -r"]),
        (("cut.qcow2", "--to", "raw", "-o", "x"), 1, ["QCW010", "--if-unsafe allow:"]),
        (("plain.qcow2", "--format", "vmdk", "--to", "raw", "-o", "x"), 1, ["claimed vmdk, the content is qcow2"]),
    ],
)
def test_errors_say_what_to_do(arguments: tuple[str, ...], status: int, words: list[str], folder: Path) -> None:
    """One line with the cause and the cure, the status of the table, and everything as it was."""
    before = {name: (folder / name).read_bytes() for name in names(folder) if (folder / name).is_file()}
    refused(call("convert", *arguments, cwd=folder), status, *words)
    assert {name: (folder / name).read_bytes() for name in names(folder) if (folder / name).is_file()} == before


def test_what_is_unsafe_may_be_let_through(folder: Path) -> None:
    """The codes that the refusal names are what lets it go on: nothing more has to be known."""
    told = call("convert", "cut.qcow2", "--to", "raw", "-o", "x", cwd=folder).stderr.decode()
    codes = told.rpartition("--if-unsafe ")[2].split()[0]
    done = call("convert", "cut.qcow2", "--to", "raw", "-o", "x", "--if-unsafe", codes, cwd=folder)
    assert b"rejected" not in done.stderr
    first = codes.split(",")[0]
    still = call("convert", "cut.qcow2", "--to", "raw", "-o", "y", "--if-unsafe", first, cwd=folder)
    assert still.returncode == 1
    assert f"{first.removeprefix('allow:')} " not in still.stderr.decode()


def test_a_missing_program_says_how_to_get_it(folder: Path) -> None:
    """Without qemu-img in the path: status 4 and how to install it, of a dry run, too; what is written natively goes
    on."""
    environment = {**os.environ, "PATH": str(folder)}
    for to, status, *dry in (("vhdx", 4, "--dry-run"), ("vhdx", 4), ("qcow2", 0, "--dry-run"), ("qcow2", 0)):
        done = subprocess.run(
            [*IMGTOOL, "convert", "disk.img", "--to", str(to), "-o", f"new.{to}", *map(str, dry)],
            cwd=folder,
            env=environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode == status
        assert (b"install" in done.stderr) == (status == 4)


def on_a_terminal(folder: Path, *arguments: str, **environment: str) -> bytes:
    """What the command shows on a terminal's stderr, stdout being none."""
    main_end, terminal_end = pty.openpty()
    running = subprocess.Popen(
        [*IMGTOOL, *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=terminal_end,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", **environment},
    )
    os.close(terminal_end)
    shown = b""
    try:
        while running.poll() is None and b"large.raw" not in shown:
            shown += os.read(main_end, 4096)
    except OSError:  # the other end is closed
        pass
    running.terminate()
    running.wait(timeout=20)
    os.close(main_end)
    return shown


@pytest.fixture(scope="module")
def letters() -> bytes:
    """Bytes that take a while where they are compressed well."""
    return random.Random(7).randbytes(64 * MIB).translate(bytes(65 + value % 26 for value in range(256)))


@pytest.fixture
def large(folder: Path, letters: bytes) -> Path:
    """The folder, with a disk of such bytes."""
    (folder / "large.raw").write_bytes(letters)
    return folder


SLOWLY = ("--to", "qcow2", "--compress", "zlib", "--level", "12")


@pytest.mark.parametrize("colour", [True, False])
def test_a_bar_on_a_terminal(colour: bool, large: Path) -> None:
    """After a second; without colours where NO_COLOR is set; nothing is left of what was stopped."""
    environment = {} if colour else {"NO_COLOR": "1"}
    shown = on_a_terminal(large, "convert", "large.raw", *SLOWLY, "-o", "new", **environment)
    assert b"large.raw" in shown
    assert bool(re.search(rb"\x1b\[(?:3|9)\d", shown)) == colour  # as many colours as the terminal says it has
    assert not (large / "new").exists()


def test_a_bar_for_one_and_for_all(large: Path) -> None:
    """In a batch the whole is counted as well."""
    shown = on_a_terminal(large, "convert", "disk.img", "large.raw", *SLOWLY, "--out-dir", "out")
    assert b"2 files" in shown
    assert b"large.raw" in shown


@pytest.mark.parametrize("quiet", ["--quiet", "--progress=none"])
def test_no_bar_where_none_is_wanted(quiet: str, folder: Path) -> None:
    """Nothing but the result."""
    assert on_a_terminal(folder, "convert", "disk.img", "--to", "qcow2", "-o", "new", quiet) == b""


def test_progress_for_programs(large: Path) -> None:
    """Objects on stderr, while it goes on."""
    running = subprocess.Popen(
        [*IMGTOOL, "convert", "large.raw", *SLOWLY, "-o", "new", "--progress", "json"],
        cwd=large,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert running.stderr is not None
    told = json.loads(running.stderr.readline())
    running.terminate()
    running.communicate()
    assert running.returncode == 143
    assert (told["type"], told["path"]) == ("progress", "large.raw")
    assert 0 < told["done"] < told["total"]
    assert not (large / "new").exists()


def test_the_reader_of_the_output_may_go_away(folder: Path) -> None:
    """A pipe that closes early ends it quietly with status 141."""
    for verb in (["convert", "--out-dir", "out"], ["measure"]):
        sources = [f"sub/{number}.img" for number in range(40)]
        for source in sources:
            (folder / source).write_bytes(bytes(512))
        running = subprocess.Popen(
            [*IMGTOOL, *verb, *sources, "--to", "raw", "--json"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pipesize=4096,  # too small for all of it: it has to wait for its reader
        )
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.read(10)
        running.stdout.close()
        assert running.stderr.read() == b""
        running.stderr.close()
        assert running.wait() == 141


NAMES = (
    *(b"\x1b[2J", b"\xe2\x80\xaeevil", b"a\nimgtool: lost", b"\r0", b"\xff\xfe", b"[bold red]x", b"%s{0}"),
    *(b"json:{}", b"nbd:x", b"a,b=c", b"\xe2\x80\xa8", b"\xc2\x9b1m", b"--to", b"'\"` $(x)"),
)


def test_names_act_on_nothing(folder: Path) -> None:
    """Whatever files are called: as many lines as there are facts, each printable; JSON gives names exactly."""
    sources = [b"./" + name + b".img" for name in NAMES]
    for source in sources:
        Path(os.fsdecode(os.path.join(os.fsencode(folder), source))).write_bytes(bytes(512))
    missing = b"gone\x1b[2J\n\xff"
    many = call("convert", *sources, missing, "--to", "raw", "--out-dir", "odd", cwd=folder)
    single = call("convert", b"./" + b"".join(NAMES[:6]), "--to", "raw", "-o", b"".join(NAMES[:5]), cwd=folder)
    told = call("measure", *sources, "--to", "raw", cwd=folder)
    texts = {
        many.stdout: len(NAMES) + 3,
        many.stderr: 1,
        single.stderr: 1,
        told.stdout: 5 * len(NAMES),
        told.stderr: 0,
    }
    for text, lines in texts.items():
        shown = text.decode()
        assert shown.count("\n") == lines, shown
        assert shown.replace("\n", "").isprintable()
    exact = objects(call("measure", "--json", "--to", "raw", *sources, cwd=folder).stdout)
    for one, source in zip(exact, sources, strict=True):
        assert (base64.b64decode(one["path_b64"]) if "path_b64" in one else one["path"].encode()) == source
