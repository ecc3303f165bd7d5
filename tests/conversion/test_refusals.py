"""What `convert` and `measure` refuse: wrong words, targets that are there or are the source, devices; each with its
status and one clear error, before anything is written."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import imgtool
from imgtool.cli.main import app
from imgtool.conversion import api
from imgtool.conversion.run import Made
from imgtool.errors import ContentError, ExistsError, InputError, OutputError, RejectedError, UnsupportedError
from tests.kit import fixture, need, run
from tests.targets.kit import as_root, loop_device
from tests.test_cli import call

MIB = 1 << 20

#: Words after the verb, the status, and what the error says; of both verbs, and of `convert` alone.
BOTH: tuple[tuple[str, int, str], ...] = (
    ("d.raw", 2, "--to FORMAT"),
    ("d.raw --to floppy", 2, "no such format: 'floppy'"),
    ("d.raw --to dmg", 2, "read, not written"),
    ("--to raw", 2, "no input: name a file\n"),
    ("- --to raw", 2, "standard input cannot"),
    ("none --to raw", 3, "none: No such file"),
    (". --to raw", 3, "a directory"),
    ("fifo --to raw", 3, "(imgtool … - < FIFO) where the verb takes that, else copy it to a file"),
    ("/dev/null --to raw", 3, "a character device"),
    ("d.raw --to raw --engine best", 2, "auto, native, qemu-img"),
    ("d.raw --to vhdx --engine native", 3, "not written natively"),
    ("d.raw --to qcow2 --compress lzma", 2, "compress"),
    ("d.raw --to raw --compress zlib", 2, "raw cannot be compressed"),
    ("d.raw --to vmdk --compress zlib", 2, "subformat=streamOptimized"),
    ("d.raw --to qcow2 --compress zlib --level 99", 2, "level is from"),
    ("d.raw --to qcow2 --compress zlib --level x", 2, "--level"),
    ("d.raw --to qcow2 --level 3", 2, "level"),
    ("d.raw --to qcow2 --option x", 2, "KEY=VALUE"),
    ("d.raw --to qcow2 --option =x", 2, "KEY=VALUE"),
    ("d.raw --to qcow2 --option cluster_sise=64K", 2, "cluster_size"),
    ("d.raw --to qcow2 --option cluster_size=65537", 2, "power of two"),
    ("d.raw --to qcow2 --engine qemu-img --option level=3", 2, "no level"),
    ("d.raw --to vhdx --option block_size=3", 2, "block_size"),
    ("d.raw --to qcow2 --option compat=0.9", 2, "compat is one of 1.1, 0.10"),
    ("d.raw --to qcow2 --option extended_l2=on,cluster_size=4k", 2, "extended_l2 needs a cluster_size"),
    ("d.raw --to qcow2 --option compat=0.10,compression_type=zstd", 2, "compression_type=zstd needs compat=1.1"),
    ("d.raw --to qcow2 --option extended_l2=on --compress zlib --level 3", 2, "extended_l2 is by qemu-img, level by"),
    ("d.raw --to vhd --option force_size=off,block_size=512K", 2, "force_size is by qemu-img, block_size by"),
    ("d.raw --to vhd --option force_size=off,blocksize=512K", 2, "no option 'blocksize'; did you mean 'block_size'?"),
    ("d.raw --to qcow2 --option compress=zlib --compress zstd", 2, "compress is given as 'zlib' and as 'zstd'"),
    ("d.raw --to qcow2 --option level=9 --compress zlib --level 1", 2, "level is given as '9' and as '1'"),
    (
        "d.raw --to qcow2 --option compression_type=zstd --compress zlib --engine qemu-img",
        *(2, "compression_type=zstd: clusters compressed as zlib are not"),
    ),
    ("empty --to vmdk --if-unsafe allow", 3, "a vmdk has at least one sector"),
    ("d.raw --to raw --align x", 2, "not a size"),
    ("d.raw --to raw --align=-1", 2, "negative"),
    ("d.raw --to raw --policy none.toml", 2, "none.toml"),
    ("d.raw --to raw --policy nothing", 2, "no such policy"),
    ("d.raw --to raw --if-unsafe perhaps", 2, "reject, allow, or codes"),
    ("d.raw --to raw --format floppy", 2, "no such format"),
    ("d.raw --to raw --snapshot one", 2, "no internal snapshots"),
    ("d.raw --to raw --member one", 2, "is no container"),
    ("d.raw --to raw --progress much", 2, "auto, json or none"),
    ("d.raw --to raw --verbose", 2, "No such option"),
)
CONVERT: tuple[tuple[str, int, str], ...] = (
    ("d.raw --to raw", 2, "--output OUT for one source, or --out-dir"),
    ("d.raw --to raw -o new --out-dir out", 2, "--output OUT for one source, or --out-dir"),
    ("d.raw --to raw -o ''", 2, "empty"),
    ("d.raw --to raw --out-dir ''", 2, "empty"),
    ("d.raw e.raw --to raw -o new", 2, "there are 2 sources"),
    ("d.raw e.raw d.raw --to vdi --out-dir out", 2, "would both be written there"),
    ("d.raw d.img --to vdi --out-dir out", 2, "would both be written there"),
    ("d.raw --to vdi --out-dir d.raw", 5, "d.raw"),
    ("d.raw --to vdi --out-dir d.raw/out", 5, "Not a directory"),
    ("d.raw --to vdi -o e.raw/new", 5, "e.raw"),
    ("d.raw --to vdi -o folder", 5, "is a directory"),
    ("d.raw --to vdi -o folder --force", 5, "is a directory"),
    ("d.raw --to vdi -o e.raw", 5, "exists; --force replaces it"),
    ("d.raw --to vdi -o dangling", 5, "exists; --force replaces it"),
    ("d.raw --to vdi -o fifo --force", 5, "neither a regular file"),
    ("d.raw --to vdi -o /dev/null --force", 5, "neither a regular file"),
    ("d.raw --to raw -o new --verify maybe", 2, "content, none"),
    ("d.raw --to raw -o new --jobs 0", 2, "--jobs"),
    ("d.raw --to raw -o new --jobs many", 2, "--jobs"),
    ("d.raw --files0-from list --to raw --out-dir out", 2, "not both"),
    ("--files0-from none --to raw --out-dir out", 3, "none: No such file"),
    ("d.raw --to luks -o new", 2, "--secret-file FILE"),
    ("d.raw --to luks -o new --secret-file none", 2, "cannot read the passphrase"),
    ("d.raw --to luks -o new --secret-file empty", 2, "passphrase has from 1"),
    ("d.raw --to luks -o new --secret-file none --dry-run", 2, "cannot read the passphrase"),
    ("d.raw --to luks -o new --secret-file d.img --option cipher-alg=cast5-128", 2, "cast5-128 takes cbc or ctr"),
    ("d.raw --to qcow2 -o new --option encrypt.format=luks", 2, "--secret-file FILE"),
    ("d.raw --to qcow2 -o new --option encrypt.format=luks --compress zlib", 2, "--secret-file FILE"),
    ("d.raw --to qcow2 -o new --secret-file d.img", 2, "qcow2 is not encrypted with these options"),
    ("d.raw --to raw -o new --secret-file none", 2, "raw is not encrypted with these options"),
    ("d.raw --to vdi --out-dir d.raw/out --dry-run", 5, "d.raw is not a folder"),
    ("d.raw --to vdi -o loop", 5, "imgtool: loop: Too many levels of symbolic links\n"),
    (f"d.raw --to vdi -o {'x' * 256}", 5, f"imgtool: {'x' * 256}: File name too long\n"),
    ("d.raw --to vdi -o new --resume", 2, "--journal FILE"),
    ("d.raw --to vdi -o new --journal none/j", 5, "cannot write the journal"),
    ("d.raw --to vdi -o new --journal e.raw --resume", 3, "no journal of conversions"),
)
CASES = [
    *(
        ("convert", words if "-o " in words or words == "d.raw" else f"{words} -o new", *rest)
        for words, *rest in BOTH
    ),
    *(("measure", *case) for case in BOTH),
    *(("convert", *case) for case in CONVERT),
]


class Said(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    errors: str


Main = Callable[..., Said]


@pytest.fixture
def main(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Main:
    """The command line, in that folder, in this process."""
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> Said:
        with pytest.raises(SystemExit) as ended:
            app(args=list(arguments), prog_name="imgtool")
        status = ended.value.code
        assert isinstance(status, int)
        return Said(status, *capfd.readouterr())

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Disks, and what is none."""
    for name in ("d.raw", "e.raw", "d.img"):
        (tmp_path / name).write_bytes(name.encode() * 100 + bytes(MIB))
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "list").write_bytes(b"d.raw\0")
    os.mkfifo(tmp_path / "fifo")
    return tmp_path


def state(folder: Path) -> dict[str, bytes | None]:
    """All names below a folder, with the bytes of files."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize(("verb", "words", "status", "told"), CASES, ids=[f"{one[0]} {one[1]}" for one in CASES])
def test_refused(verb: str, words: str, status: int, told: str, folder: Path, main: Main) -> None:
    """The status, one error that says what is wrong, nothing on stdout, and nothing changed."""
    before = state(folder)
    got = main(verb, *shlex.split(words))
    assert got.status == status, got
    assert told in got.errors
    assert got.out == ""
    assert "Traceback" not in got.errors
    if "Usage:" not in got.errors:
        assert got.errors.count("\n") == 1, got.errors
    assert state(folder) == before


def test_a_measure_names_the_source(folder: Path) -> None:
    """What cannot be written is said of a file that there is, or of the target where there is one."""
    for dry, named in (((), "empty"), (("-o", "new", "--dry-run"), "new")):
        verb = "convert" if dry else "measure"
        done = call(verb, "empty", "--to", "vmdk", "--if-unsafe", "allow", *dry, cwd=folder)
        assert done.stderr == f"imgtool: {named}: a vmdk has at least one sector, the disk has none\n".encode()


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_folder_that_cannot_be_written_to(dry: tuple[str, ...], folder: Path, main: Main) -> None:
    """By a dry run, too: the folder itself, and where the target's would be made."""
    room = folder / "room"
    room.mkdir()
    subprocess.run(as_root("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(room)), check=True)
    try:
        for place in ("room", "room/new/deep"):
            got = main("convert", "d.raw", "--to", "raw", "-o", f"{place}/new", *dry)
            assert (got.status, got.out) == (5, "")
            assert "room" in got.errors
    finally:
        subprocess.run(as_root("umount", str(room)), check=True)


# --- the source as the target


@pytest.mark.parametrize(
    "target",
    ["d.raw", "./d.raw", "folder/../d.raw", ".//d.raw", "hard", "soft", "softer", "up/d.raw", "{here}/d.raw", "fd"],
)
@pytest.mark.parametrize("engine", ["native", "qemu-img"])
def test_the_source_is_no_target(target: str, engine: str, folder: Path, main: Main) -> None:
    """However it is spelled, with force and without; nor is it replaced by a dry run."""
    os.link("d.raw", "hard")
    os.symlink("d.raw", "soft")
    os.symlink("soft", "softer")
    os.symlink(".", "up")
    before = state(folder)
    with open("d.raw", "rb") as file:
        name = f"/proc/self/fd/{file.fileno()}" if target == "fd" else target.format(here=folder)
        for force in ((), ("--force",), ("--force", "--dry-run")):
            got = main("convert", "d.raw", "--to", "raw", "--engine", engine, "-o", name, *force)
            assert got == Said(5, "", f"imgtool: {name}: is the source itself; name another target\n")
    assert state(folder) == before


def test_the_source_is_no_target_of_a_batch(folder: Path, main: Main) -> None:
    """In the folder where it lies already; the others are done."""
    (folder / "f.vdi").write_bytes(fixture("vdi/virtualbox.vdi.gz"))
    before = state(folder)
    got = main("convert", "d.raw", "f.vdi", "--to", "raw", "--out-dir", ".", "--force")
    assert got.status == 1
    assert "d.raw: is the source itself" in got.errors
    after = state(folder)
    assert {name: after[name] for name in before} == before
    assert (folder / "f.raw").exists()


@pytest.mark.parametrize("engine", ["native", "qemu-img"])
def test_a_followed_file_is_no_target(engine: str, folder: Path) -> None:
    """Any file of the chain, by any name: replacing it would leave an overlay over something else."""
    for name, backing, form in (("mid.qcow2", "d.raw", "raw"), ("top.qcow2", "mid.qcow2", "qcow2")):
        arguments = ("create", "-q", "-f", "qcow2", "-b", backing, "-F", form, str(folder / name))
        run(need("qemu-img"), *arguments)
    os.link(folder / "d.raw", folder / "hard")
    before = state(folder)
    for name in ("d.raw", "hard", "mid.qcow2"):
        with pytest.raises(OutputError, match="is a file that the source refers to"):
            imgtool.convert(
                folder / "top.qcow2", folder / name, "raw", engine=engine, follow=True, if_unsafe="allow", force=True
            )
    assert state(folder) == before


def test_targets_that_are_there(folder: Path) -> None:
    """Kept without force, whatever they are; a link is replaced, not what it leads to."""
    (folder / "link").symlink_to("e.raw")
    before = state(folder)
    for name in ("e.raw", "link", "dangling", "empty"):
        for to in ("raw", "vhdx"):
            with pytest.raises(ExistsError, match="--force replaces it"):
                imgtool.convert(folder / "d.raw", folder / name, to)
    assert state(folder) == before
    for name in ("e.raw", "link", "dangling", "empty"):
        imgtool.convert(folder / "d.img", folder / name, "raw", force=True)
        assert not (folder / name).is_symlink()
        assert (folder / name).read_bytes() == (folder / "d.img").read_bytes()


# --- devices


@pytest.fixture
def device(folder: Path) -> Iterator[str]:
    """A block device of 2 MiB, full of something."""
    (folder / "behind").write_bytes(b"\xa5" * 2 * MIB)
    with loop_device(folder / "behind") as path:
        yield path


@pytest.mark.parametrize("engine", ["native", "qemu-img"])
def test_a_device_is_written_by_force(engine: str, device: str, folder: Path) -> None:
    """Refused without, and as it was; with force it holds the disk, proved, and beyond its end what it held."""
    source, behind = folder / "d.raw", folder / "behind"
    for to in ("raw", "qcow2"):
        with pytest.raises(ExistsError, match="is a block device, and all that is on it would be lost"):
            imgtool.convert(source, device, to, engine=engine)
    assert behind.read_bytes() == b"\xa5" * 2 * MIB
    done = imgtool.convert(source, device, "raw", engine=engine, force=True)
    assert done.verified
    size = source.stat().st_size
    assert done.virtual_size == size
    held = behind.read_bytes()
    assert held[:size] == source.read_bytes()
    assert set(held[-(-size // 4096) * 4096 :]) == {0xA5}
    done = imgtool.convert(source, device, "qcow2", engine=engine, force=True)
    assert done.verified
    with imgtool.open_disk(device, device=True, format="qcow2") as disk:
        assert disk.read_at(0, size) == source.read_bytes()
    assert stat.S_ISBLK(os.stat(device).st_mode)


@pytest.mark.parametrize("engine", ["native", "qemu-img"])
def test_a_device_that_is_too_small(engine: str, device: str, folder: Path) -> None:
    """Its size and the one that is needed, before anything is written."""
    with open(folder / "large.raw", "wb") as file:
        file.truncate(2 * MIB + 1)
    with pytest.raises(OutputError, match="the device has 2097152 bytes, 2097153 are needed"):
        imgtool.convert(folder / "large.raw", device, "raw", engine=engine, force=True)
    assert (folder / "behind").read_bytes() == b"\xa5" * 2 * MIB


def test_no_folder_for_what_lies_between(device: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A qcow2 is read for qemu-img into a temporary file, which is never beside a device: where there is no folder
    for it, that is said, and the device is as it was."""
    imgtool.convert(folder / "d.raw", folder / "d.qcow2", "qcow2")
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(folder / "nowhere")])
    with pytest.raises(OutputError, match=f"^{device}: no folder for a temporary file is writable; set TMPDIR$"):
        imgtool.convert(folder / "d.qcow2", device, "qcow2", engine="qemu-img", force=True)
    assert (folder / "behind").read_bytes() == b"\xa5" * 2 * MIB


@pytest.mark.parametrize("engine", ["native", "qemu-img"])
def test_a_dry_run_refuses_what_the_device_would(engine: str, device: str, folder: Path, main: Main) -> None:
    """What is too large for it, and formats that are not written to devices; nothing else, and nothing is written."""
    with open(folder / "large.raw", "wb") as file:
        file.truncate(2 * MIB + 1)
    (folder / "full.raw").write_bytes(os.urandom(2 * MIB))
    words = ("--engine", engine, "--force", "--dry-run", "-o", device)
    got = main("convert", "large.raw", "--to", "raw", *words)
    assert got == Said(5, "", f"imgtool: {device}: the device has 2097152 bytes, 2097153 are needed\n")
    assert main("convert", "d.raw", "--to", "vmdk", *words).status == 3
    assert main("convert", "full.raw", "--to", "raw", *words).status == 0
    assert main("convert", "d.raw", "--to", "qcow2", *words).status == 0
    if engine == "native":
        assert main("convert", "full.raw", "--to", "qcow2", *words).status == 5
    assert (folder / "behind").read_bytes() == b"\xa5" * 2 * MIB


def test_a_device_that_holds_less(device: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was on it is lost, and nobody says that nothing was kept; of a file that holds."""
    real = api.make

    def more(*words: Any) -> Made:
        made = real(*words)
        return made._replace(virtual_size=made.virtual_size + 4 * MIB)

    monkeypatch.setattr(api, "make", more)
    for target, told in ((device, "what was on the device is lost"), (str(folder / "new"), "nothing was kept")):
        with pytest.raises(ContentError, match=f"{target}: .* bytes came out of .*; {told}$"):
            imgtool.convert(folder / "d.raw", target, "qcow2", force=True)


def test_a_device_with_something_old_behind_the_disk(folder: Path) -> None:
    """What makes a fault of it is told, and that the disk is there all the same."""
    behind, source = folder / "behind", (folder / "d.raw").read_bytes()
    backup = fixture("volumes/gpt.raw.gz")[-33 * 512 :]
    behind.write_bytes(bytes(4 * MIB - len(backup)) + backup)
    with loop_device(behind) as device:
        with pytest.raises(RejectedError, match=f"^{device}: is on the device, but has faults: CNV302 .* PRT001 "):
            imgtool.convert(folder / "d.raw", device, "raw", force=True)
        assert behind.read_bytes()[: len(source)] == source
        assert imgtool.convert(folder / "d.raw", device, "raw", force=True, if_unsafe="allow:CNV302").verified


@pytest.mark.parametrize("to", ["device", "file"])
def test_a_source_that_changes_meanwhile(to: str, folder: Path, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said of the target is so."""
    real = api.make

    def changing(*words: Any) -> Made:
        made = real(*words)
        os.utime(folder / "d.raw", ns=(5, 5))
        return made

    monkeypatch.setattr(api, "make", changing)
    target, told = (device, "what was on the device is lost") if to == "device" else ("new", "nothing was kept")
    with pytest.raises(InputError, match=rf"d\.raw: changed while it was read \(modification time\); {told}$"):
        imgtool.convert(folder / "d.raw", folder / target, "raw", force=True)


def test_a_device_as_the_source(device: str, folder: Path) -> None:
    """By --device; never onto itself, by another node of it either; targets that need blank space are refused."""
    node = folder / "node"
    os.mknod(node, stat.S_IFBLK | 0o600, os.stat(device).st_rdev)
    with pytest.raises(imgtool.NotRegularError, match="--device"):
        imgtool.convert(device, folder / "new", "raw")
    for engine in ("native", "qemu-img"):
        done = imgtool.convert(device, folder / "new", "raw", device=True, engine=engine, force=True)
        assert done.virtual_size == 2 * MIB
        assert (folder / "new").read_bytes() == (folder / "behind").read_bytes()
        for name in (device, node):
            with pytest.raises(OutputError, match="is the source itself"):
                imgtool.convert(device, name, "raw", device=True, engine=engine, force=True)
    with pytest.raises(UnsupportedError, match="not blank"):
        imgtool.convert(folder / "d.raw", device, "vhdx", force=True)
    assert not [name for name in os.listdir(folder) if name.startswith(".")]
    assert not [name for name in os.listdir("/dev") if "part" in name and name.startswith(".")]


def test_what_the_verbs_do_without_fault(folder: Path) -> None:
    """The words of the refusals, where nothing is wrong: done, by the real command."""
    assert call("convert", "d.raw", "e.raw", "--to", "vdi", "--out-dir", "out", "-q", cwd=folder).returncode == 0
    assert call("measure", "d.raw", "e.raw", "--to", "vdi", "-q", cwd=folder).returncode == 0
    assert {"d.vdi", "e.vdi"} <= set(os.listdir(folder / "out"))
