"""The engine qemu-img: what its failures become, and a program that is missing or no good."""

from __future__ import annotations

import errno
import os
import signal
import tracemalloc
from pathlib import Path

import pytest

from imgtool.conversion import qemu_img
from imgtool.conversion.qemu_failures import Ended, failure
from imgtool.conversion.qemu_packages import how_to_install
from imgtool.errors import InputError, OutputError, ToolError, ToolMissingError
from imgtool.limits import DEFAULT
from imgtool.targets.output import FileOutput
from tests.conversion.standin import children, engine, nameless, opened, stand_in, values
from tests.kit import need, run
from tests.targets.kit import small_room

MIB = 1024 * 1024


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A raw disk of 3 MiB and a bit."""
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(MIB) + os.urandom(MIB) + bytes(MIB) + b"end")
    return path


def test_what_it_says_is_told(raw: Path, tmp_path: Path) -> None:
    """The last lines, without warnings, without the names that it was given, safe to show."""
    body = r"""
sys.stderr.buffer.write(b"line 1\nline 2\nqemu-img: warning: old\nqemu-img: line 3\n\n")
sys.stderr.buffer.write(b"\x1b[31mred \xff\n" + b"long " * 1000 + b"\n")
sys.stderr.write("qemu-img: Could not use '%s' or %s\n" % (sys.argv[-1], sys.argv[-2]))
sys.exit(3)
"""
    with pytest.raises(ToolError) as caught:
        engine(raw, tmp_path, tool=stand_in(tmp_path, body).tool, source="in.raw", target="out.qcow2")
    assert caught.value.exit_status == 4
    long = ("long " * 1000)[:300]
    assert str(caught.value) == (
        rf"qemu-img: line 3; \x1b[31mred \xff; {long}…; Could not use out.qcow2 or in.raw (exit status 3)"
    )


@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        (
            "error while writing at byte 65536: No space left on device",
            OutputError,
            "out: cannot write: qemu-img: error",
        ),
        ("error while writing at byte 0: Input/output error", OutputError, "out: cannot write"),
        ("out: error while converting vmdk: Disk quota exceeded", OutputError, "out: cannot write"),
        ("out: error while converting raw: Could not resize file: File too large", OutputError, "out: cannot write"),
        ("error while reading at byte 512: Input/output error", InputError, "in: cannot read: qemu-img: error"),
        ("error while reading block status at offset 0: Input/output error", InputError, "in: cannot read"),
        ("Could not open 'SOURCE': Image is not in qcow2 format", InputError, "in: cannot read"),
        ("Could not open 'SOURCE': Could not refresh: File too large", InputError, "in: cannot read"),
        ("Could not open SOURCE: Could not refresh: File too large", InputError, "in: cannot read"),
        ("Could not open 'TARGET': Permission denied", ToolError, "qemu-img: Could not open out"),
    ],
)
def test_whose_fault_it_is(raw: Path, tmp_path: Path, said: str, kind: type[Exception], told: str) -> None:
    """Failures of the disk that is written are the output's, of the one that is read the input's."""
    body = f"sys.exit({'qemu-img: ' + said!r}.replace('SOURCE', sys.argv[-2]).replace('TARGET', sys.argv[-1]))"
    tool = stand_in(tmp_path, body).tool
    with pytest.raises(kind, match=f"^{told}") as caught:
        engine(raw, tmp_path, tool=tool, source="in", target="out")
    assert type(caught.value) is kind


def test_a_program_that_says_nothing(raw: Path, tmp_path: Path) -> None:
    """Its status is told then."""
    with pytest.raises(ToolError, match=r"qemu-img: it said nothing \(exit status 1\)"):
        engine(raw, tmp_path, tool=stand_in(tmp_path, "sys.exit(1)").tool)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "died of SIGKILL: killed from outside, or memory ran out$"),
        ("os.abort()", "died of SIGABRT: it gave up, perhaps for want of memory$"),
        ("signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\nopen(sys.argv[-1], 'wb').write(bytes(1 << 23))", "SIGXFSZ"),
        ("print('why', file=sys.stderr, flush=True)\nos.kill(os.getpid(), 11)", "died of SIGSEGV; it said: why$"),
    ],
)
def test_a_death_is_told(raw: Path, tmp_path: Path, body: str, told: str) -> None:
    """By which signal, and what that means."""
    limits = DEFAULT._replace(tool_slack=0)
    with pytest.raises(ToolError, match=told):
        engine(raw, tmp_path, tool=stand_in(tmp_path, body).tool, limits=limits)
    assert not children()


def test_a_flood_of_errors_takes_no_memory(raw: Path, tmp_path: Path) -> None:
    """Of 64 MiB on both pipes the last bytes are kept."""
    body = """
for _ in range(32):
    sys.stderr.write("e" * (1 << 20))
    sys.stdout.write("(" * (1 << 20))
sys.exit(1)
"""
    tool = stand_in(tmp_path, body).tool
    tracemalloc.start()
    try:
        with pytest.raises(ToolError, match=r"qemu-img: e{300}… \(exit"):
            engine(raw, tmp_path, tool=tool)
        assert tracemalloc.get_traced_memory()[1] < 2 * MIB
    finally:
        tracemalloc.stop()


def test_a_fault_that_comes_at_random_is_tried_again(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QEMU's timing of a key: it works the next time, or the failure is told after so many."""
    said = "sys.exit('qemu-img: Unable to get accurate CPU usage')"
    it = stand_in(tmp_path, f"if os.path.getsize({os.fspath(tmp_path / 'bin' / 'runs')!r}) < 3: {said}")
    engine(raw, tmp_path, tool=it.tool)
    assert it.started() == 3
    monkeypatch.setattr(qemu_img, "_AGAIN", 2)
    it.runs.unlink()
    with pytest.raises(ToolError, match="accurate CPU usage"):
        engine(raw, tmp_path, tool=stand_in(tmp_path, said).tool)
    assert it.started() == 3


def test_a_source_that_shrinks_is_noticed(raw: Path, tmp_path: Path) -> None:
    """qemu-img reads zeros beyond the end of a file and says nothing."""
    tool = stand_in(tmp_path, f"os.truncate({os.fspath(raw)!r}, 512)").tool
    with pytest.raises(InputError, match=r"^in: changed its size while it was read"):
        engine(raw, tmp_path, tool=tool, source="in")


def test_a_source_that_is_no_such_image(raw: Path, tmp_path: Path) -> None:
    """What the real program cannot open is the input's failure."""
    with opened(raw) as source, nameless(tmp_path) as target, pytest.raises(InputError, match="not in qcow2 format"):
        qemu_img.convert(source, "qcow2", target, "raw", values("raw"), size=512, source="in")


@pytest.mark.parametrize("target", ["raw", "vhdx", "qcow2"])
def test_a_full_disk(raw: Path, tmp_path: Path, target: str) -> None:
    """One clear failure, and nothing of the target."""
    with small_room(tmp_path, 700_000) as room:
        path = room / "target"
        with (
            opened(raw) as source,
            FileOutput(os.fspath(path)) as output,
            pytest.raises(OutputError, match=rf"^{path}: cannot write: .*No space left") as caught,
        ):
            qemu_img.convert(source, "raw", output.fd, target, values(target), size=MIB, target=os.fspath(path))
        assert caught.value.exit_status == 5
        assert os.listdir(room) == []


def test_signals_have_names() -> None:
    """A death by a signal that has none is told by its number."""
    assert "died of signal 40" in str(failure(Ended(-40, b"", b""), {}, "in", "out"))
    assert "SIGBUS" in str(failure(Ended(-signal.SIGBUS, b"", b""), {}, "in", "out"))


# --- finding it


@pytest.mark.parametrize(
    ("system", "told"),
    [
        ({"ID": "debian"}, "apt install qemu-utils"),
        ({"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}, "apt install qemu-utils"),
        ({"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, "dnf install qemu-img"),
        ({"ID": "opensuse-leap", "ID_LIKE": "suse opensuse"}, "zypper install qemu-tools"),
        ({"ID": "alpine"}, "apk add qemu-img"),
        ({"ID": "arch"}, "pacman -S qemu-img"),
        ({"ID": "haiku"}, "install qemu-img (it is part of QEMU)"),
        ({}, "install qemu-img (it is part of QEMU)"),
    ],
)
def test_how_to_install_it(system: dict[str, str], told: str) -> None:
    """By what os-release says, or what it is like."""
    assert how_to_install(system) == told


def test_it_is_missing(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 4, and how to install it on this system; the target is not touched."""
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    with pytest.raises(ToolMissingError) as caught:
        engine(raw, tmp_path)
    assert caught.value.exit_status == 4
    assert str(caught.value) == f"qemu-img is not installed: {how_to_install()}"


def test_the_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its path is whole, its version what it says."""
    tool = qemu_img.find()
    assert os.path.isabs(tool.path)
    said = run(need("qemu-img"), "--version").decode().split()[2].split(".")
    assert list(map(str, tool.version[:2])) == said[:2]


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("qemu-img version 5.2.0 (Debian 1:5.2+dfsg-11)", (5, 2, 0)),
        ("qemu-img version 10.1", (10, 1, 0)),
        ("qemu-img version 9.0.50 (v9.0.0-1)", (9, 0, 50)),
    ],
)
def test_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, version: tuple[int, int, int]) -> None:
    """The first that PATH has, and its version."""
    it = stand_in(tmp_path, f"print({said!r})")
    monkeypatch.setenv("PATH", os.path.relpath(tmp_path / "bin"))
    assert qemu_img.find() == (it.tool.path, version)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("print('qemu-img version 4.2.1')", r"qemu-img is version 4\.2\.1; 5\.2 or newer is needed: "),
        ("print('hello')", "does not say which version"),
        ("print('qemu-img version 7.2.0')\nsys.exit(1)", "does not say which version"),
    ],
)
def test_too_old_or_no_qemu_img(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, told: str) -> None:
    """Such a program is not used."""
    stand_in(tmp_path, body)
    monkeypatch.setenv("PATH", os.fspath(tmp_path / "bin"))
    with pytest.raises(ToolError, match=told):
        qemu_img.find()


def test_a_program_that_cannot_be_run(raw: Path, tmp_path: Path) -> None:
    """What the system says of it is told."""
    it = stand_in(tmp_path)
    Path(it.tool.path).write_bytes(b"#!/nowhere/python\n")
    with pytest.raises(ToolError, match=f"cannot be run: {os.strerror(errno.ENOENT)}"):
        engine(raw, tmp_path, tool=it.tool)
