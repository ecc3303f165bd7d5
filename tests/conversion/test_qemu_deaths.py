"""The engine qemu-img dies, or we do: no zombie, no process that goes on, no target."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from imgtool.conversion import qemu_img
from imgtool.errors import ToolError
from imgtool.targets.output import FileOutput
from tests.conversion.standin import StandIn, children, engine, gone, opened, stand_in, values
from tests.kit import ROOT

#: It begins, says so, and goes on for ever.
ENDLESS = 'print("    (50.00/100%)", end="\\r", flush=True)\nsignal.pause()'
STUBBORN = f"signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{ENDLESS}"

#: A conversion of our own in a process of its own, which tells the child's number once it works.
OURS = """
import os, signal, sys
def end(number, frame):
    raise SystemExit(143)
signal.signal(signal.SIGTERM, end)
from imgtool.conversion import qemu_img
from imgtool.targets.output import FileOutput
from tests.conversion.standin import children, values
tool = qemu_img.Tool(sys.argv[3], (7, 2, 0)) if sys.argv[3] else qemu_img.find()
told = []
def progress(gone):
    if not told:
        told.extend(children())
        print(*told, flush=True)
source = os.open(sys.argv[1], os.O_RDONLY)
with FileOutput(sys.argv[2]) as output:
    secret = sys.argv[1]
    qemu_img.convert(source, "raw", output.fd, "luks", values("luks"), size=1 << 20, progress=progress,
                     secret_file=sys.argv[1], tool=tool)
    output.commit()
"""


class Enough(Exception):
    """Raised by a caller that wants no more."""


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A raw disk, small and text, so that it serves as a passphrase, too."""
    path = tmp_path / "disk.raw"
    path.write_bytes(b"text " * 1000)
    return path


def stopping(it: StandIn, raw: Path, folder: Path) -> None:
    """A caller that raises at the first sign of progress."""

    def progress(went: int) -> None:
        if went:
            raise Enough

    with pytest.raises(Enough):
        engine(raw, folder, tool=it.tool, progress=progress)


def test_a_caller_that_raises(raw: Path, tmp_path: Path) -> None:
    """What the caller raises comes out, and the program is gone and waited for."""
    it = stand_in(tmp_path, ENDLESS)
    stopping(it, raw, tmp_path)
    assert not Path(f"/proc/{it.seen()['pid']}").exists()
    assert not children()


def test_one_that_will_not_end(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while it is not asked any more."""
    monkeypatch.setattr(qemu_img, "_GRACE", 0.1)
    it = stand_in(tmp_path, STUBBORN)
    stopping(it, raw, tmp_path)
    assert not Path(f"/proc/{it.seen()['pid']}").exists()


def test_its_own_children_end_too(raw: Path, tmp_path: Path) -> None:
    """A wrapper that starts the program and waits for it: both end."""
    place = os.fspath(tmp_path / "grandchild")
    body = f"""
child = os.fork()
if child == 0:
    os.close(1), os.close(2)
    signal.pause()
with open({place!r} + ".part", "w") as file:
    file.write(str(child))
os.rename({place!r} + ".part", {place!r})
{ENDLESS}
"""
    stopping(stand_in(tmp_path, body), raw, tmp_path)
    assert gone(int(Path(place).read_text()))


def test_a_caller_may_raise_while_it_is_silent(raw: Path, tmp_path: Path) -> None:
    """Progress is called now and then even when nothing goes by."""
    it = stand_in(tmp_path, "signal.pause()")

    def progress(went: int) -> None:
        assert went == 0
        raise Enough

    with pytest.raises(Enough):
        engine(raw, tmp_path, tool=it.tool, progress=progress)
    assert not children()


def test_pipes_that_somebody_else_holds_are_not_waited_for(raw: Path, tmp_path: Path) -> None:
    """A program that has ended has ended, whoever has its output open still."""
    place = os.fspath(tmp_path / "holder")
    body = f"""
holder = os.fork()
if holder == 0:
    os.setsid()
    signal.pause()
with open({place!r}, "w") as file:
    file.write(str(holder))
"""
    engine(raw, tmp_path, tool=stand_in(tmp_path, body).tool)
    os.kill(int(Path(place).read_text()), signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("program", ["stand-in", "stubborn", "real"])
def test_we_die(raw: Path, tmp_path: Path, number: signal.Signals, program: str) -> None:
    """Ctrl-C, SIGTERM and kill -9 of us in the middle end qemu-img with us, and leave nothing of the target."""
    folder = tmp_path / "out"
    folder.mkdir()
    body = {"stand-in": ENDLESS, "stubborn": STUBBORN}.get(program)
    path = "" if body is None else stand_in(tmp_path, body).tool.path
    command = [sys.executable, "-c", OURS, os.fspath(raw), os.fspath(folder / "disk.luks"), path]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as ours:
        assert ours.stdout is not None
        child = int(ours.stdout.readline())
        assert not gone(child, 0)
        ours.send_signal(number)
        assert ours.wait(30) == {signal.SIGINT: -signal.SIGINT, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    assert gone(child)
    assert os.listdir(folder) == []


def test_the_real_one_is_killed(raw: Path, tmp_path: Path) -> None:
    """kill -9 of qemu-img while it works: told as that, nothing left."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"phrase")
    path = tmp_path / "disk.luks"

    def progress(_: int) -> None:
        for child in children():
            os.kill(child, signal.SIGKILL)

    with (
        opened(raw) as source,
        FileOutput(os.fspath(path)) as output,
        pytest.raises(ToolError, match=r"^qemu-img died of SIGKILL: killed from outside"),
    ):
        qemu_img.convert(
            source,
            "raw",
            output.fd,
            "luks",
            values("luks"),
            size=5000,
            progress=progress,
            secret_file=os.fspath(secret),
        )
    assert not path.exists()
    assert not children()


def test_no_descriptors_are_left(raw: Path, tmp_path: Path) -> None:
    """After success, failure and a raising caller as many are open as before."""
    it = stand_in(tmp_path, "sys.exit(1)")
    before = sorted(os.listdir("/proc/self/fd"))
    engine(raw, tmp_path)
    with pytest.raises(ToolError):
        engine(raw, tmp_path, tool=it.tool)
    stopping(stand_in(tmp_path, ENDLESS), raw, tmp_path)
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_signal_while_it_is_started(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is heeded once there is something to end; no program is left without us."""
    it = stand_in(tmp_path, ENDLESS)
    made: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def started(*args: Any, **words: Any) -> subprocess.Popen[bytes]:
        made.append(start(*args, **words))
        signal.raise_signal(signal.SIGINT)
        return made[0]

    monkeypatch.setattr(subprocess, "Popen", started)
    try:
        with pytest.raises(KeyboardInterrupt):
            engine(raw, tmp_path, tool=it.tool)
        assert not children()
    finally:
        made[0].kill()
        made[0].wait()
