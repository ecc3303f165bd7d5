"""What a batch goes on with, and what its journal and folders are: nothing else's."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path

import pytest

import imgtool
from imgtool.conversion import api
from tests.conversion.fault_kit import IMGTOOL, JOURNAL, names
from tests.kit import need, qemu_create, run

MIB = 1 << 20


def convert(folder: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """The command in a folder."""
    command = [*IMGTOOL, "convert", *arguments, "--progress", "none"]
    return subprocess.run(command, cwd=folder, input=stdin, capture_output=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two disks."""
    for name in ("one.raw", "two.raw"):
        (tmp_path / name).write_bytes(name.encode() * 100_000)
    return tmp_path


def test_a_rejected_source_leaves_no_folder(folder: Path) -> None:
    """Nor does a target that is a folder by its name."""
    qemu_create(folder / "bad.qcow2", "qcow2", "1M", extra=("-b", "/etc/passwd", "-F", "raw", "-u"))
    for arguments, status in (
        (("bad.qcow2", "--to", "raw", "-o", "made/a/x"), 1),
        (("bad.qcow2", "--to", "raw", "--out-dir", "made"), 1),
        (("one.raw", "--to", "ami", "-o", "made/x"), 3),
        (("one.raw", "--to", "raw", "-o", "made/"), 5),
    ):
        done = convert(folder, *arguments)
        assert done.returncode == status, done.stderr
        assert names(folder) == {"one.raw", "two.raw", "bad.qcow2"}
    assert convert(folder, "one.raw", "--to", "qcow2", "-o", "made/a/x").returncode == 0
    assert names(folder / "made" / "a") == {"x"}


def test_a_journal_is_nothing_else(folder: Path) -> None:
    """Neither a source nor a target."""
    for journal in ("one.raw", "out/two.raw"):
        done = convert(folder, "one.raw", "two.raw", "--to", "raw", "--out-dir", "out", "--journal", journal)
        assert (done.returncode, b"is the journal and " in done.stderr) == (2, True)
        assert names(folder) == {"one.raw", "two.raw"}
        assert (folder / "one.raw").read_bytes() == b"one.raw" * 100_000


def test_a_folder_that_is_not_there_yet(folder: Path) -> None:
    """The journal may lie in that of the targets, however the two are spelled; another one is not made for it."""
    there = {name: str(folder / name) for name in ("c", "d")}
    for out, journal in (("./a", "a/jj"), ("b/", "./b/jj"), (there["c"], "c/jj"), ("d", f"{there['d']}/jj")):
        done = convert(folder, "one.raw", "two.raw", "--to", "raw", "--out-dir", out, "--journal", journal)
        assert (done.returncode, done.stderr) == (0, b"")
        assert names(folder / journal[: -len("/jj")]) == {"one.raw", "two.raw", "jj"}
    done = convert(folder, "one.raw", "two.raw", "--to", "raw", "--out-dir", "e", "--journal", "f/jj")
    assert (done.returncode, b"cannot write the journal" in done.stderr) == (5, True)
    assert names(folder) == {"one.raw", "two.raw", "a", "b", "c", "d"}


def test_a_batch_into_its_own_folder(folder: Path) -> None:
    """Resumed, what it wrote is no source of its own, which is said; a source that changed is done again."""
    batch = ("--recursive", ".", "--to", "qcow2", "--out-dir", ".")
    assert convert(folder, *batch).returncode == 0
    (folder / "three.raw").write_bytes(b"three" * 100_000)
    left_out = [f"imgtool: ./{one}.qcow2: skipped: the target of ./{one}.raw" for one in ("one", "two")]
    for more in (("--dry-run",), ()):
        done = convert(folder, *batch, "--resume", *more)
        assert (done.returncode, sorted(done.stderr.decode().splitlines())) == (0, left_out)
    both = {f"{one}.{form}" for one in ("one", "two", "three") for form in ("raw", "qcow2")}
    assert names(folder) == both | {JOURNAL}
    (folder / "one.raw").write_bytes(b"other" * 100_000)
    done = convert(folder, *batch, "--resume", "--force", "--json")
    objects = [json.loads(line) for line in done.stderr.splitlines()]
    skipped = [one for one in objects if one["type"] == "skipped"]
    assert {"type": "skipped", "path": "./one.qcow2", "target_of": "./one.raw"} in skipped
    assert (done.returncode, len(skipped), objects[-1]["resumed"]) == (0, 3, 2)
    with imgtool.open_disk(folder / "one.qcow2") as disk:
        assert disk.read_at(0, 500_000) == b"other" * 100_000


def test_a_source_where_a_target_would_be(folder: Path) -> None:
    """What no run before wrote is a source, not a target to be replaced; nothing is done."""
    batch = ("--recursive", ".", "--to", "qcow2", "--out-dir", ".", "--resume")
    assert convert(folder, *batch).returncode == 0
    mine = (folder / "two.qcow2").read_bytes()
    (folder / "mine").write_bytes(mine)
    os.rename(folder / "mine", folder / "one.qcow2")
    for force in ((), ("--force",)):
        done = convert(folder, *batch, *force)
        assert (done.returncode, b"would both be written there" in done.stderr) == (2, True)
    assert (folder / "one.qcow2").read_bytes() == mine


def test_another_passphrase_or_policy_is_asked_for_anew(folder: Path) -> None:
    """What an earlier run did with another one is not what is wanted now."""
    for name in ("first", "second"):
        (folder / name).write_text(name)
    luks = ("one.raw", "--to", "luks", "--option", "iter-time=10", "--out-dir", "out", "--resume", "--force")
    for secret, said in (("first", b""), ("first", b"earlier run"), ("second", b"")):
        done = convert(folder, *luks, "--secret-file", secret)
        assert (done.returncode, said in done.stdout, b"earlier run" in done.stdout) == (0, True, bool(said))
    opened = f"driver=luks,file.filename={folder}/out/one.luks,key-secret=s"
    secret = f"secret,id=s,file={folder}/second"
    run(need("qemu-img"), "info", "--object", secret, "--image-opts", opened)
    qed = folder / "image.qed"
    qemu_create(qed, "qed", "1M")
    again = (qed.name, "--to", "raw", "--out-dir", "out", "--resume", "--force")
    assert convert(folder, *again, "--if-unsafe", "allow").returncode == 0
    assert convert(folder, *again).returncode == 1


def test_a_passphrase_from_a_pipe(folder: Path) -> None:
    """It is read once, and serves the writing and the comparing."""
    luks = ("one.raw", "--to", "luks", "--option", "iter-time=10", "-o", "one.luks", "--secret-file", "/dev/stdin")
    done = convert(folder, *luks, stdin=b"secret")
    assert (done.returncode, done.stderr) == (0, b"")
    os.mkfifo(folder / "fifo")
    writing = threading.Thread(target=(folder / "fifo").write_bytes, args=(b"secret",))
    writing.start()
    done = convert(folder, *luks[:-1], str(folder / "fifo"), "--force")
    writing.join()
    assert (done.returncode, done.stderr) == (0, b"")
    assert names(folder) == {"one.raw", "two.raw", "one.luks", "fifo"}
    assert JOURNAL not in names(folder)


def test_a_followed_file_that_changes_meanwhile(folder: Path) -> None:
    """Nothing is kept of what was read while it did."""
    qemu_create(folder / "over.qcow2", "qcow2", "1M", extra=("-b", "one.raw", "-F", "raw", "-u"))
    request = api.request_of(str(folder / "over.qcow2"), str(folder / "out.raw"), "raw", options={}, follow=True)

    def change(job: api.Job) -> None:
        with open(folder / "one.raw", "r+b") as file:
            file.write(b"X")

    with pytest.raises(imgtool.InputError, match=r"one\.raw: changed while it was read; nothing was kept"):
        api.run_request(request, on_job=change)
    assert not (folder / "out.raw").exists()
