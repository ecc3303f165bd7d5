"""The engine qemu-img: what it is given, and what becomes of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from imgtool.conversion import qemu_img
from imgtool.conversion.qemu_progress import Meter
from imgtool.errors import UnsupportedError, UsageError
from imgtool.limits import DEFAULT
from imgtool.sources.file import open_file
from imgtool.targets.output import FileOutput
from tests.conversion.standin import HOSTILE, engine, nameless, opened, stand_in, values
from tests.kit import need, run
from tests.targets.kit import loop_device

MIB = 1024 * 1024
TUNED = ["-T", "writeback", "-t", "unsafe", "-m", "16", "-S", "4k", "-W"]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A raw disk of 3 MiB and a bit."""
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(MIB) + os.urandom(MIB) + bytes(MIB) + b"end")
    return path


# --- what it is given


@pytest.mark.parametrize("name", HOSTILE, ids=repr)
def test_no_name_reaches_it(tmp_path: Path, name: bytes) -> None:
    """Of hostile names of source, target and passphrase nothing is in its arguments, environment or descriptors."""
    place = os.path.join(os.fsencode(tmp_path), b"in")
    os.mkdir(place)
    source_path, target_path = os.path.join(place, name), os.path.join(place, name + b".out")
    with open(source_path, "wb") as file:
        file.write(b"secret phrase")
    it = stand_in(tmp_path)
    with open_file(os.fsdecode(source_path)) as source, FileOutput(os.fsdecode(target_path)) as output:
        qemu_img.convert(
            source.fd,
            "raw",
            output.fd,
            "luks",
            values("luks"),
            size=13,
            secret_file=os.fsdecode(source_path),
            tool=it.tool,
        )
        inodes = {os.fstat(source.fd).st_ino: "source", os.fstat(output.fd).st_ino: "target"}
    seen = it.seen()
    fds = {int(fd): inodes.get(inode, link) for fd, (link, inode) in seen["fds"].items()}
    numbers = {what: fd for fd, what in fds.items()}
    secret = next(fd for fd, what in fds.items() if what.startswith("/memfd:passphrase"))
    assert seen["argv"] == [
        *("convert", "-p", "--object", f"secret,id=secret0,file=/proc/self/fd/{secret}", "--image-opts", *TUNED),
        *("-O", "luks", "-o"),
        "cipher-alg=aes-256,cipher-mode=xts,ivgen-alg=plain64,hash-alg=sha256,iter-time=2000,preallocation=off,"
        "key-secret=secret0",
        f"driver=raw,read-only=on,file.driver=file,file.filename=/proc/self/fd/{numbers['source']},file.locking=auto",
        f"/proc/self/fd/{numbers['target']}",
    ]
    assert fds[0] == "/dev/null"
    pipes = [fd for fd, what in fds.items() if what.startswith("pipe:")]
    others = set(fds) - {0, *pipes, secret, numbers["source"], numbers["target"]}
    assert {1, 2} < set(pipes)
    assert len(pipes) == 3
    assert all(fds[fd].startswith("/proc/") for fd in others)
    assert seen["cwd"] == "/"
    assert seen["session"] == seen["pid"] != os.getsid(0)
    assert os.listdir(place) == [name]


def test_its_surroundings_are_clean(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of our environment it gets where programs and libraries lie; its space is bounded, and no core is dumped."""
    for name in ("QEMU_AUDIO_DRV", "QEMU_MODULE_DIR", "LC_MESSAGES", "LANG", "G_MESSAGES_DEBUG", "HOME", "TMPDIR"):
        monkeypatch.setenv(name, "/nowhere")
    it = stand_in(tmp_path)
    limits = DEFAULT._replace(tool_memory=1 << 31, tool_slack=1 << 20)
    engine(raw, tmp_path, tool=it.tool, limits=limits)
    seen = it.seen()
    assert set(seen["env"]) <= {"LC_ALL", "MALLOC_ARENA_MAX", "PATH", "LD_LIBRARY_PATH", "LC_CTYPE"}
    assert seen["env"]["LC_ALL"] == "C"
    assert seen["memory"] == [1 << 31, 1 << 31]
    size = raw.stat().st_size
    assert seen["file_size"] == [size + size // 8 + (1 << 20)] * 2


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ("qcow2", "driver=qcow2,read-only=on,backing=,"),
        ("qed", "driver=qed,read-only=on,backing=,"),
        ("qcow", "driver=qcow,read-only=on,backing=,"),
        ("vmdk", "driver=vmdk,read-only=on,backing=,"),
        ("vhd", "driver=vpc,read-only=on,file."),
        ("vpc", "driver=vpc,read-only=on,file."),
        ("vhdx", "driver=vhdx,read-only=on,file."),
        ("vdi", "driver=vdi,read-only=on,file."),
        ("parallels", "driver=parallels,read-only=on,file."),
    ],
)
def test_backing_files_are_switched_off(raw: Path, tmp_path: Path, form: str, told: str) -> None:
    """The source's driver is named, and no backing file is opened where there could be one; -U is never said."""
    it = stand_in(tmp_path)
    with opened(raw) as source, nameless(tmp_path) as target:
        qemu_img.convert(source, form, target, "vdi", values("vdi"), size=512, tool=it.tool)
    arguments = it.seen()["argv"]
    assert arguments[-2].startswith(told)
    assert "-U" not in arguments


@pytest.mark.parametrize(("target", "out_of_order"), [("qed", False), ("vdi", True), ("raw", True)])
def test_out_of_order_where_it_can_be(raw: Path, tmp_path: Path, target: str, out_of_order: bool) -> None:
    """A qed is written in order; it dies of an assertion otherwise."""
    it = stand_in(tmp_path)
    engine(raw, tmp_path, target, tool=it.tool)
    assert ("-W" in it.seen()["argv"]) == out_of_order


def test_a_backing_file_is_not_read(tmp_path: Path) -> None:
    """What an overlay leaves out reads as zeros, and a backing file that is not there is not missed."""
    overlay = tmp_path / "overlay.qcow2"
    create = ("create", "-q", "-u", "-f", "qcow2", "-b", "nbd:localhost:1", "-F", "raw")
    run(need("qemu-img"), *create, str(overlay), "1M")
    with opened(overlay) as source, nameless(tmp_path) as target:
        qemu_img.convert(source, "qcow2", target, "raw", values("raw"), size=MIB)
        assert os.pread(target, 2 * MIB, 0) == bytes(MIB)


def test_standard_descriptors_are_not_handed_over_as_such(raw: Path, tmp_path: Path) -> None:
    """A source that is our standard input has another number there."""
    it = stand_in(tmp_path)
    with opened(raw) as source, nameless(tmp_path) as target:
        kept = os.dup(0)
        try:
            os.dup2(source, 0)
            qemu_img.convert(0, "raw", target, "vdi", values("vdi"), size=512, tool=it.tool)
        finally:
            os.dup2(kept, 0)
            os.close(kept)
    assert "/proc/self/fd/0," not in it.seen()["argv"][-2]


@pytest.mark.parametrize("name", HOSTILE, ids=repr)
def test_hostile_names_of_real_files(tmp_path: Path, name: bytes) -> None:
    """The real program converts a file of any name to one of any name, and makes nothing else."""
    place = os.path.join(os.fsencode(tmp_path), b"in")
    os.mkdir(place)
    source_path, target_path = os.path.join(place, name), os.path.join(place, name + b".out")
    data = os.urandom(4096) + bytes(4096)
    with open(source_path, "wb") as file:
        file.write(data)
    with open_file(os.fsdecode(source_path)) as source, FileOutput(os.fsdecode(target_path)) as output:
        qemu_img.convert(source.fd, "raw", output.fd, "vmdk", values("vmdk"), size=8192)
        output.commit()
    with opened(target_path) as made, nameless(tmp_path) as back:
        qemu_img.convert(made, "vmdk", back, "raw", values("raw"), size=8192)
        assert os.pread(back, 10_000, 0) == data
    assert sorted(os.listdir(place)) == [name, name + b".out"]


# --- progress


@pytest.mark.parametrize(
    ("said", "reached"),
    [
        (b"    (0.00/100%)\r    (12.50/100%)\r", 125),
        (b"(50/100%)(20/100%)", 500),
        (b"(20/100%)" * 3, 200),
        (b"(999.99/100%)", 1000),
        (b"(nan/100%) (-5/100%) (1e3/100%) (7/10%) %%% (12.345/100%) \x00\xff", 0),
        (b"(0000099/100%) (1.2.3/100%)", 0),
        (b"", 0),
    ],
)
@pytest.mark.parametrize("step", [1, 3, 1000])
def test_percentages(said: bytes, reached: int, step: int) -> None:
    """Bytes gone by since the last time, from text that is cut anywhere; never backwards, never beyond the end."""
    steps: list[int] = []
    meter = Meter(1000, steps.append)
    for start in range(0, len(said), step):
        meter.feed(said[start : start + step])
    assert all(one > 0 for one in steps)
    assert sum(steps) == (reached if said != b"(50/100%)(20/100%)" or step < 1000 else 200)
    meter.whole()
    assert sum(steps) == 1000


def test_progress_of_a_conversion(raw: Path, tmp_path: Path) -> None:
    """All bytes are told, once."""
    steps: list[int] = []
    engine(raw, tmp_path, compress=True, progress=steps.append)
    assert sum(steps) == raw.stat().st_size
    assert len([step for step in steps if step]) > 1


# --- devices


def test_to_a_device(raw: Path, tmp_path: Path) -> None:
    """What was on a device does not shine through; formats that trust in blank space are refused."""
    backing = tmp_path / "device.img"
    backing.write_bytes(b"\xa5" * 8 * MIB)
    data = raw.read_bytes()
    with loop_device(backing) as device, opened(raw) as source:
        for target in ("raw", "qcow2"):
            with opened(Path(device), os.O_RDWR) as made:
                assert stat.S_ISBLK(os.fstat(made).st_mode)
                qemu_img.convert(source, "raw", made, target, values(target), size=len(data))
                with nameless(tmp_path) as back:
                    qemu_img.convert(made, target, back, "raw", values("raw"), size=len(data))
                    assert os.pread(back, len(data), 0) == data
        with opened(Path(device), os.O_RDWR) as made, pytest.raises(UnsupportedError, match="not blank"):
            qemu_img.convert(source, "raw", made, "vhd", values("vhd"), size=len(data))


def test_nothing_is_started_for_options_that_cannot_be(raw: Path, tmp_path: Path) -> None:
    """Before any work: options that do not go together, targets and sources that there are not."""
    it = stand_in(tmp_path)
    options = values("qcow2", preallocation="full")
    with pytest.raises(UsageError, match="what is compressed cannot be preallocated"):
        engine(raw, tmp_path, tool=it.tool, options=options, compress=True)
    with pytest.raises(UnsupportedError, match="does not write dmg"):
        engine(raw, tmp_path, "dmg", tool=it.tool, options={})
    with opened(raw) as source, nameless(tmp_path) as made, pytest.raises(UnsupportedError, match="not given luks"):
        qemu_img.convert(source, "luks", made, "raw", values("raw"), size=512, tool=it.tool)
    assert it.started() == 0
