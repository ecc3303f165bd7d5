"""Nothing unsafe runs: what qemu-img is given and what is opened, whatever sources say and are called."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

import imgtool
from imgtool.conversion import qemu_img
from imgtool.errors import ImgtoolError, RejectedError, UsageError
from tests.conversion.standin import HOSTILE
from tests.conversion.trap_kit import Recorder, hostile, json_lines, recorder, referring, trapped
from tests.kit import need, qemu_create, run
from tests.test_cli import call

MIB = 1 << 20
SAMPLES = referring()

#: Targets that the native engine writes, and that only qemu-img writes.
WAYS = (("auto", "qcow2"), ("auto", "vhdx"), ("qemu-img", "qcow2"), ("qemu-img", "raw"))


@pytest.fixture
def qemu(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """The real qemu-img, whose starts are written down."""
    it = recorder(tmp_path_factory.mktemp("qemu") / "it")
    monkeypatch.setattr(qemu_img, "find", lambda *_: it.tool)
    return it


def disk(path: Path, size: int = 2 * MIB) -> Path:
    """A raw disk."""
    path.write_bytes((b"guest" * 1000).ljust(size, b"\0"))
    return path


# --- sources that name other files


@pytest.mark.parametrize("sample", SAMPLES)
def test_sources_with_references(sample: str, tmp_path: Path, qemu: Recorder) -> None:
    """Refused before qemu-img is started; where all is let through, it reads bytes that we wrote, or nothing."""
    data, codes = SAMPLES[sample]
    source = tmp_path / "source"
    source.write_bytes(data)
    for engine, to in WAYS:
        try:
            imgtool.convert(source, tmp_path / "new", to, engine=engine, force=True)
        except RejectedError:
            continue
        except ImgtoolError:
            pass
        assert "IMG101" not in codes
    assert not qemu.started() or "IMG101" not in codes
    for engine, to in WAYS[1:]:
        try:
            imgtool.convert(source, tmp_path / "new", to, engine=engine, force=True, if_unsafe="allow", verify="none")
        except ImgtoolError:
            continue
    for one in qemu.started():
        assert (one.driver == "raw" and one.source != source.stat().st_ino) or "IMG101" not in codes
    assert set(os.listdir(tmp_path)) <= {"source", "new"}
    assert source.read_bytes() == data


def test_there_are_samples_of_every_format() -> None:
    """Formats that can name another file, each."""
    formats = {name.partition("/")[0] for name in SAMPLES if "/" in name}
    assert formats >= {"qcow2", "qcow", "qed", "vmdk", "vhd", "vhdx", "vdi", "ova", "ovf", "ami"}
    assert len(SAMPLES) > 50


#: Converts each file of a folder in every way; what fails is told.
EVERY_WAY = """
import os, sys
import imgtool
os.chdir(sys.argv[1])
for name in sorted(os.listdir("in")):
    for engine, to in (("qemu-img", "raw"), ("auto", "vhdx"), ("auto", "qcow2")):
        for words in ({}, {"if_unsafe": "allow"}, {"format": "raw", "if_unsafe": "allow"}, {"policy": "mild.toml"}):
            try:
                imgtool.convert("in/" + name, "out/new", to, engine=engine, force=True, verify="none", **words)
                print(name, engine, to, *words, "done", flush=True)
            except imgtool.ImgtoolError as error:
                print(name, engine, to, *words, type(error).__name__, flush=True)
"""

#: Calls that reach for a file by its name, start a program, or talk to somebody.
WATCHED = "open,openat,openat2,creat,execve,connect,bind,socket"

#: Where programs, libraries and the kernel's own files lie.
SYSTEM = ("/usr/", "/lib/", "/lib64/", "/etc/", "/proc/", "/sys/", "/dev/null", "/dev/urandom")

MILD = 'base = "glance"\n[severities]\nIMG = "warning"\nVMD = "warning"\n'


def watched(folder: Path, command: list[str]) -> tuple[bytes, list[tuple[str, str, str]]]:
    """What a command printed, and the watched calls of all its processes: process, call, and first string."""
    log = folder / "calls"
    out = run(need("strace"), "-f", "-s", "4096", "-e", f"trace={WATCHED}", "-o", str(log), *command)
    calls = re.findall(r'^(\d+) +(\w+)\((?:AT_FDCWD, |\d+, )?"?([^",)]*)', log.read_text(errors="replace"), re.M)
    return out, calls


def test_no_other_file_is_opened(tmp_path: Path) -> None:
    """Images that lead to a trap by every way, polyglots among them, under every policy and let through by force:
    neither we nor the real qemu-img open the trap, any other file, or a socket."""
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "made").mkdir()
    trap = tmp_path / "trap"
    trap.write_bytes(b"secret" * 100_000)
    made = trapped(tmp_path / "made", trap)
    for name, data in made.items():
        (tmp_path / "in" / name).write_bytes(data)
    (tmp_path / "mild.toml").write_text(MILD)
    out, calls = watched(tmp_path, [sys.executable, "-P", "-c", EVERY_WAY, str(tmp_path)])
    lines = out.decode().splitlines()
    assert len(lines) == len(made) * 12
    assert sum(line.endswith("done") for line in lines) > 30
    plainly = {line.split()[0] for line in lines if line.endswith(" done") and len(line.split()) == 4}
    assert plainly == {"raw-qcow2-tail", "plain-and-more"}  # sound: nobody looks for an image at the end of another
    tools = {process for process, call, name in calls if call == "execve" and name.endswith("/qemu-img")}
    assert len(tools) > 10
    ours = {f"in/{name}" for name in made} | {"mild.toml", "in", "out", "."}
    for process, call_, name in calls:
        assert "trap" not in name
        assert call_ not in ("connect", "bind"), name
        if not call_.startswith(("open", "creat")):
            continue
        if process in tools:
            assert name.startswith(SYSTEM), name
        else:
            assert name in ours or (name.startswith("/") and str(tmp_path) not in name), name
    assert not [name for name in os.listdir(tmp_path / "out") if name != "new"]


def test_qemu_img_reads_no_format_that_names_other_files(tmp_path: Path, qemu: Recorder) -> None:
    """Whatever a policy calls a fault: of a qcow2 qemu-img gets raw bytes that we read, also of one that is to be
    read as raw; the file itself never."""
    (tmp_path / "mild.toml").write_text('[severities]\nIMG010 = "warning"\n')
    form = tmp_path / "both.qcow2"
    size = 2048  # the size of the file, too: as a raw disk it is as large as its guest's
    qemu_create(form, "qcow2", size, "cluster_size=512")
    os.truncate(form, size)
    for to in ("vhdx", "qcow2", "raw"):
        words = {"engine": "qemu-img", "policy": tmp_path / "mild.toml", "force": True, "verify": "none"}
        imgtool.convert(form, tmp_path / "sound", to, **words)  # type: ignore[arg-type] # the names are its own
        # as a raw disk it would be taken for a qcow2, and is not kept
        with pytest.raises(RejectedError, match="not kept") if to == "raw" else nullcontext():
            imgtool.convert(form, tmp_path / "new", to, format="raw", **words)  # type: ignore[arg-type] # as above
    assert len(qemu.started()) == 6
    assert {one.driver for one in qemu.started()} == {"raw"}
    assert form.stat().st_ino not in {one.source for one in qemu.started()}


# --- names


@pytest.mark.parametrize("name", HOSTILE, ids=repr)
@pytest.mark.parametrize(("engine", "to"), WAYS)
def test_hostile_names(
    name: bytes, engine: str, to: str, tmp_path: Path, qemu: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of source and target, as they are typed in the current folder: files of these names, and no more."""
    monkeypatch.chdir(tmp_path)
    source, target = os.fsdecode(name), os.fsdecode(name + b".new")
    disk(Path(source))
    done = imgtool.convert(source, target, to, engine=engine)
    assert done.verified
    assert (done.engine == "qemu-img") == bool(qemu.started())
    assert set(os.listdir(tmp_path)) == {source, target}
    with imgtool.open_disk(target) as made:
        assert made.read_at(0, made.size) == Path(source).read_bytes()


def test_hostile_names_in_containers(tmp_path: Path, qemu: Recorder) -> None:
    """The name of a member is no path, and does not reach qemu-img either."""
    import io
    import tarfile

    (tmp_path / "out").mkdir()
    data = qemu_create(tmp_path / "disk.vmdk", "vmdk", "1M", "subformat=streamOptimized").read_bytes()
    for number, name in enumerate((b'json:{"a":1}.vmdk', b"-o.vmdk", b"../../up.vmdk", b"a,b=c.vmdk", b"\xff.vmdk")):
        shown = os.fsdecode(name)
        appliance = tmp_path / f"{number}.ova"
        with tarfile.open(appliance, "w", format=tarfile.USTAR_FORMAT, errors="surrogateescape") as tar:
            for member, body in (("disk.ovf", _ovf(shown, len(data))), (shown, data)):
                info = tarfile.TarInfo(member)
                info.size = len(body)
                tar.addfile(info, io.BytesIO(body))
        for words in ({}, {"if_unsafe": "allow"}):
            try:
                imgtool.convert(appliance, tmp_path / "out" / "new", "vhdx", force=True, **words)  # type: ignore[arg-type] # strings
            except ImgtoolError:
                continue
    assert qemu.started()
    assert {one.driver for one in qemu.started()} == {"raw"}
    assert os.listdir(tmp_path / "out") == ["new"]
    assert set(os.listdir(tmp_path)) == {"out", "disk.vmdk", *(f"{number}.ova" for number in range(5))}


def _ovf(name: str, size: int) -> bytes:
    """A descriptor of one disk."""
    from xml.sax.saxutils import quoteattr

    href = quoteattr(name.encode("utf-8", "replace").decode())
    return (
        '<?xml version="1.0"?><Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" '
        'xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"><References>'
        f'<File ovf:id="f" ovf:href={href} ovf:size="{size}"/></References><DiskSection><Info>disks</Info>'
        '<Disk ovf:diskId="d" ovf:fileRef="f" ovf:capacity="1048576" ovf:format='
        '"http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/></DiskSection>'
        '<VirtualSystem ovf:id="vm"><Info>vm</Info></VirtualSystem></Envelope>'
    ).encode()


def test_hostile_names_in_a_batch(tmp_path: Path) -> None:
    """All of them at once by the command, in both engines; the names come back as they are, in JSON that is JSON."""
    (tmp_path / "in").mkdir()
    names = hostile(tmp_path / "in", b"guest".ljust(MIB, b"\0"))
    listed = b"".join(os.fsencode(name) + b"\0" for name in names)
    for to, engine in (("vhdx", "qemu-img"), ("qcow2", "native")):
        out = f"../{to}"
        arguments = ("convert", "--to", to, "--out-dir", out, "--files0-from", "-", "-j", "2", "--json")
        done = call(*arguments, cwd=tmp_path / "in", stdin=listed)
        assert done.returncode == 0, done.stderr
        assert [one["type"] for one in json_lines(done.stderr)] == ["summary"]
        lines = json_lines(done.stdout)
        assert [line["engine"] for line in lines] == [engine] * len(names)
        made = set(os.listdir(tmp_path / to)) - {".imgtool-journal.jsonl"}
        assert len(made) == len(names)
        assert not [name for name in made if not name.endswith(f".{to}")]
    assert set(os.listdir(tmp_path)) == {"in", "vhdx", "qcow2"}


@pytest.mark.parametrize("engine", ["auto", "qemu-img"])
def test_names_that_begin_with_a_dash(engine: str, tmp_path: Path) -> None:
    """As sources after `--`, as targets wherever; without it they are options that there are not."""
    disk(tmp_path / "-option")
    (tmp_path / "--image-opts").write_bytes(bytes(512))
    common = ("convert", "--to", "vhdx", "--engine", engine)
    assert call(*common, "-o", "-new", "--", "-option", cwd=tmp_path).returncode == 0
    assert call(*common, "-o", "other", "--image-opts", cwd=tmp_path).returncode == 2
    assert call(*common, "--output=--other", "--", "--image-opts", cwd=tmp_path).returncode == 0
    assert set(os.listdir(tmp_path)) == {"-option", "--image-opts", "-new", "--other"}


def test_protocols_are_names_of_files(tmp_path: Path, qemu: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is a source to qemu-img without being a file is not found, and no program is asked."""
    monkeypatch.chdir(tmp_path)
    disk(tmp_path / "disk.raw")
    for name in (
        'json:{"driver":"raw","file":{"driver":"file","filename":"disk.raw"}}',
        "file:disk.raw",
        "nbd:localhost:1",
        "https://example.org/disk.qcow2",
        "fd:0",
        "driver=raw,file.filename=disk.raw",
        "null-co://",
        "blkdebug::disk.raw",
        "disk.raw,backing=disk.raw",
    ):
        for engine, to in WAYS:
            with pytest.raises(imgtool.NotFoundError):
                imgtool.convert(name, "new", to, engine=engine)
    assert not qemu.started()
    assert os.listdir(tmp_path) == ["disk.raw"]


def test_options_carry_no_names(tmp_path: Path, qemu: Recorder) -> None:
    """A creation option that names a file is none, and a value with a comma begins no other option."""
    source = disk(tmp_path / "disk.raw")
    for to, options in (
        ("qcow2", {"backing_file": "disk.raw"}),
        ("qcow2", {"data_file": "disk.raw"}),
        ("qcow2", {"compat": "1.1,backing_file=disk.raw"}),
        ("qcow2", {"cluster_size": "64K,data_file=disk.raw"}),
        ("qcow2", {"encrypt.key-secret": "secret0"}),
        ("vmdk", {"subformat": "monolithicFlat"}),
        ("vmdk", {"adapter_type": "ide,subformat=twoGbMaxExtentFlat"}),
        ("vmdk", {"toolsversion": "1,backing_file=disk.raw"}),
        ("vhdx", {"log_size": "1M,x=y"}),
        ("luks", {"key-secret": "secret0"}),
    ):
        for engine in ("auto", "qemu-img"):
            with pytest.raises(UsageError):
                imgtool.convert(source, tmp_path / "new", to, engine=engine, options=options)
    assert not qemu.started()
    assert os.listdir(tmp_path) == ["disk.raw"]


# --- what lets through


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    """A qcow2 with a backing file."""
    disk(tmp_path / "base.raw")
    path = tmp_path / "overlay.qcow2"
    run(need("qemu-img"), "create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", str(path))
    return path


@pytest.mark.parametrize(
    ("given", "through"),
    [
        ("reject", False),
        (" reject ", False),
        ("allow", True),
        ("allow:IMG101", True),
        ("IMG101", True),
        ("img101", True),
        ("allow: IMG003 , img101,", True),
        ("allow:IMG102", False),
        ("QCW101,VMD003", False),
    ],
)
def test_forms_of_if_unsafe(given: str, through: bool, overlay: Path, tmp_path: Path, qemu: Recorder) -> None:
    """Through the gate or not; a reference is not followed by that, and the overlay never reaches qemu-img."""
    for engine, to in WAYS:
        error = imgtool.NotFollowedError if through else RejectedError
        with pytest.raises(error):
            imgtool.convert(overlay, tmp_path / "new", to, engine=engine, if_unsafe=given, force=True)
        with pytest.raises(error):
            imgtool.measure(overlay, to, engine=engine, if_unsafe=given)
        done = imgtool.convert(overlay, tmp_path / "new", to, engine=engine, if_unsafe=given, follow=True, force=True)
        assert done.verified
    assert {one.driver for one in qemu.started()} == {"raw"}
    assert overlay.stat().st_ino not in {one.source for one in qemu.started()}


@pytest.mark.parametrize(
    "given", ["", "allow:", "yes", "IMG", "IMG1", "allow:IMG101;IMG102", "allow IMG101", "ALLOW"]
)
def test_what_if_unsafe_is_not(given: str, overlay: Path, tmp_path: Path) -> None:
    """One error of usage that says what it is."""
    with pytest.raises(UsageError, match="--if-unsafe is reject, allow, or codes"):
        imgtool.convert(overlay, tmp_path / "new", "raw", if_unsafe=given)


def test_if_unsafe_of_the_command(overlay: Path, tmp_path: Path) -> None:
    """Status 1 and the codes that would let it through; with them, status 3, and how to follow."""
    for verb in ("convert", "measure"):
        rest = ("-o", "new") if verb == "convert" else ()
        done = call(verb, "overlay.qcow2", "--to", "raw", *rest, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, b"")
        assert b"IMG101" in done.stderr
        assert b"--if-unsafe allow:IMG101 goes on" in done.stderr
        done = call(verb, "overlay.qcow2", "--to", "raw", *rest, "--if-unsafe", "allow:IMG101", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (3, b"")
        assert b"--follow" in done.stderr
        assert call(verb, "overlay.qcow2", "--to", "raw", *rest, "--if-unsafe=maybe", cwd=tmp_path).returncode == 2
    assert set(os.listdir(tmp_path)) == {"base.raw", "overlay.qcow2"}


def test_a_failed_check_is_never_let_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that fails itself stops a conversion, whatever is allowed."""
    from imgtool.conversion import gate

    monkeypatch.setattr(gate, "FAILED", "IMG0")  # the family that a source of this kind raises
    source = tmp_path / "odd.raw"
    source.write_bytes(qemu_create(tmp_path / "a.qcow2", "qcow2", "1M").read_bytes()[:100])
    for given in ("allow", "allow:IMG002", "reject"):
        with pytest.raises(RejectedError):
            imgtool.convert(source, tmp_path / "new", "raw", if_unsafe=given)


def test_the_program_named_by_the_current_folder_is_not_run(tmp_path: Path) -> None:
    """A qemu-img in the current folder is no qemu-img."""
    disk(tmp_path / "disk.raw")
    fake = tmp_path / "qemu-img"
    fake.write_text("#!/bin/sh\ntouch ran\n")
    fake.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "imgtool", "convert", "disk.raw", "--to", "vhdx", "-o", "new"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert set(os.listdir(tmp_path)) == {"disk.raw", "qemu-img", "new"}
