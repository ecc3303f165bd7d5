"""Starting an instance: what the emulator is given, what holds while it runs, and how it ends.

The emulator is a stand-in that writes down what it was given; what it would do is QEMU's.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from imgtool.catalog import boot
from imgtool.catalog.images import New
from imgtool.catalog.service import Catalog
from imgtool.config.config import Config
from imgtool.conversion.qemu_packages import how_to_install
from imgtool.errors import OutputError, RefusedError, ToolError, ToolMissingError, UnsupportedError
from tests.catalog.emulators import stand_ins
from tests.catalog.launched import filled, folder_of, of_format
from tests.conversion.standin import gone
from tests.kit import ROOT

#: Writes its arguments down, one a line; waits for a line where it is told to; ends as it is told to.
STAND_IN = """#!/bin/sh
printf '%s\\n' "$@" > "$RECORD"
test -z "$WAIT" || { echo started; read line; echo lived > "$RECORD.lived"; }
exit "${STATUS:-0}"
"""

#: Says so where it is asked to end, and does not. The signal waits until it is asked for: none comes into a print.
STUBBORN = f"""#!{sys.executable} -I
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGTERM}})
print("started", flush=True)
print(os.getpid(), flush=True)
while True:
    signal.sigwait({{signal.SIGTERM}})
    print("asked", flush=True)
"""


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalog]:
    """One with an image on x86-64, and stand-ins for every emulator."""
    monkeypatch.setenv("PATH", str(stand_ins(tmp_path / "bin", STAND_IN)), prepend=":")
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(boot, "_KVM", str(tmp_path / "kvm"))
    config = Config(location=str(tmp_path / "catalog"))
    with Catalog.open(identity="root:ops:admin", create=True, config=config) as it:
        filled(it, tmp_path)
        yield it


def recorded(tmp_path: Path) -> list[str]:
    """The arguments of the emulator."""
    return (tmp_path / "record").read_text().splitlines()


def nodes(words: list[str]) -> list[dict[str, Any]]:
    """The block devices among them."""
    return [json.loads(words[at + 1]) for at, word in enumerate(words) if word == "-blockdev"]


def test_all_that_it_is_given(catalog: Catalog, tmp_path: Path) -> None:
    """The whole command line: sizes of the flavor, disks by their drivers, a console, nothing else."""
    record = catalog.instances.create("--version; rm -rf /", "base", "full")
    catalog.instances.boot(record.id)
    words, store = recorded(tmp_path), tmp_path / "catalog"
    disks = [word for word in words if word.startswith("{")]
    assert [word for word in words if word not in disks] == [
        *("-nodefaults", "-no-user-config", "-name", record.id, "-uuid", record.id),
        *(
            "-machine",
            "pc",
            "-cpu",
            "max,arch-capabilities=off",
            "-accel",
            "tcg",
            "-smp",
            "cpus=2",
            "-m",
            "size=128M",
        ),
        *("-blockdev", "-device", "virtio-blk-pci,drive=root,bootindex=1"),
        *("-blockdev", "-device", "virtio-blk-pci,drive=disk0", "-blockdev", "-device", "virtio-blk-pci,drive=disk1"),
        *("-nic", "none", "-serial", "mon:stdio", "-display", "none"),
        *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
    ]

    def file(name: str) -> dict[str, object]:
        return {"driver": "file", "filename": str(store / name), "locking": "auto"}

    assert nodes(words) == [
        {
            "driver": "qcow2",
            "node-name": "root",
            "file": file(f"instances/{record.id}.root.qcow2"),
            "backing": {
                "driver": "raw",
                "read-only": True,
                "file": {**file(f"blobs/{record.image_id}.1"), "read-only": True},
            },
        },
        {"driver": "raw", "node-name": "disk0", "file": file(f"instances/{record.id}.ephemeral.raw")},
        {"driver": "raw", "node-name": "disk1", "file": file(f"instances/{record.id}.swap.raw")},
    ]


@pytest.mark.parametrize(("form", "driver"), [("vhd", "vpc"), ("vmdk", "vmdk")])
def test_the_image_is_given_by_its_driver(catalog: Catalog, tmp_path: Path, form: str, driver: str) -> None:
    """What it might name below itself is switched off where the driver knows such."""
    catalog.create(New("other", "ops"), of_format(tmp_path, form))
    catalog.instances.create("one", "other", "plain")
    catalog.instances.boot("one")
    below = nodes(recorded(tmp_path))[0]["backing"]
    assert below["driver"] == driver
    assert ("backing" in below, below.get("backing")) == (form == "vmdk", None)


def test_network_display_and_accelerators(catalog: Catalog, tmp_path: Path) -> None:
    """When they are asked for; KVM where it can be used, and nothing else where that is said."""
    catalog.instances.create("one", "base", "plain")
    (tmp_path / "kvm").touch()
    catalog.instances.boot("one", network=True, display=True)
    words = recorded(tmp_path)
    assert words[words.index("-nic") + 1] == "user,model=virtio-net-pci"
    assert "-display" not in words
    assert words[words.index("-vga") + 1] == "std"
    assert [words[at + 1] for at, word in enumerate(words) if word == "-accel"] == ["kvm", "tcg"]
    catalog.instances.boot("one", accel="kvm")
    words = recorded(tmp_path)
    assert [words[at + 1] for at, word in enumerate(words) if word == "-accel"] == ["kvm"]
    with pytest.raises(UnsupportedError, match="accelerator 'xen': one of kvm, tcg can be started"):
        catalog.instances.boot("one", accel="xen")


@pytest.mark.parametrize(
    ("properties", "name", "wanted"),
    [
        ({}, "x86_64", ("pc", "virtio-blk-pci,drive=root,bootindex=1")),
        ({"hw_disk_bus": "ide"}, "x86_64", ("pc", "ide-hd,drive=root,bus=ide.0,bootindex=1")),
        ({"hw_disk_bus": "scsi"}, "x86_64", ("virtio-scsi-pci,id=scsi", "scsi-hd,drive=root,bus=scsi.0,bootindex=1")),
        ({"hw_disk_bus": "sata"}, "x86_64", ("ich9-ahci,id=sata", "ide-hd,drive=root,bus=sata.0,bootindex=1")),
        ({"hw_architecture": "i686"}, "i686", ("pc",)),
        ({"architecture": "amd64"}, "x86_64", ("pc",)),
        ({"hw_firmware_type": "uefi"}, "x86_64", ("-bios", "FIRMWARE")),
        ({"architecture": "aarch64"}, "aarch64", ("virt", "max", "tcg", "-bios", "FIRMWARE")),
    ],
)
def test_what_an_image_asks_for(
    catalog: Catalog,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    properties: dict[str, str],
    name: str,
    wanted: tuple[str, ...],
) -> None:
    """Its properties choose among what is known here."""
    (tmp_path / "firmware").touch()
    known = {one: machine._replace(firmware=(str(tmp_path / "firmware"),)) for one, machine in boot.MACHINES.items()}
    monkeypatch.setattr(boot, "MACHINES", known)
    catalog.change("base", properties=properties)
    program = boot.find(properties)
    assert program.machine.name == name
    catalog.instances.create("one", "base", "plain")
    catalog.instances.boot("one")
    words = [word.replace(str(tmp_path / "firmware"), "FIRMWARE") for word in recorded(tmp_path)]
    assert [word for word in wanted if word not in words] == []


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"hw_architecture": "../../bin/sh"}, "architecture '../../bin/sh': one of x86_64, amd64, i686"),
        ({"architecture": "s390x"}, "architecture 's390x'"),
        ({"hw_disk_bus": "virtio,file=/etc/passwd"}, "hw_disk_bus 'virtio,file=/etc/passwd': one of virtio, scsi"),
        ({"hw_firmware_type": "/etc/passwd"}, "hw_firmware_type '/etc/passwd': one of bios, uefi"),
        (
            {"architecture": "aarch64", "hw_disk_bus": "ide"},
            "hw_disk_bus ide: an aarch64 machine has",
        ),
    ],
)
def test_what_is_not_known(catalog: Catalog, tmp_path: Path, properties: dict[str, str], said: str) -> None:
    """Nothing of an image's properties gets to the emulator as it is."""
    catalog.change("base", properties=properties)
    catalog.instances.create("one", "base", "plain")
    with pytest.raises(UnsupportedError) as caught:
        catalog.instances.boot("one")
    assert said in str(caught.value)
    assert not (tmp_path / "record").exists()


def test_without_the_program_or_firmware(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said how to install it."""
    catalog.instances.create("one", "base", "plain")
    machines = {one: machine._replace(firmware=("/nowhere",)) for one, machine in boot.MACHINES.items()}
    monkeypatch.setattr(boot, "MACHINES", machines)
    with pytest.raises(ToolMissingError, match="UEFI firmware for x86_64 is not installed"):
        boot.find({"hw_firmware_type": "uefi"})
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolMissingError) as caught:
        catalog.instances.boot("one")
    told = how_to_install(program="qemu-system-x86_64")
    assert str(caught.value) == f"qemu-system-x86_64 is not installed: {told}"


@pytest.mark.parametrize(
    ("system", "program", "told"),
    [
        ({"ID": "debian"}, "qemu-system-x86_64", "apt install qemu-system-x86"),
        ({"ID": "debian"}, "qemu-system-aarch64", "apt install qemu-system-arm"),
        ({"ID": "mint", "ID_LIKE": "ubuntu debian"}, "qemu-system-i386", "apt install qemu-system-x86"),
        ({"ID": "alpine"}, "qemu-system-i386", "apk add qemu-system-i386"),
        ({"ID": "plan9"}, "qemu-system-x86_64", "install qemu-system-x86_64 (it is part of QEMU)"),
    ],
)
def test_how_it_is_installed(system: dict[str, str], program: str, told: str) -> None:
    """By the command of the system at hand."""
    assert how_to_install(system, program) == told


def test_an_emulator_that_fails(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its status is told; one that is no program, too; the instance is free again."""
    record = catalog.instances.create("one", "base", "plain")
    monkeypatch.setenv("STATUS", "3")
    with pytest.raises(ToolError, match="qemu-system-x86_64 ended with status 3; what it said stands above"):
        catalog.instances.boot("one")
    (tmp_path / "bin" / "qemu-system-x86_64").write_text("#!/nowhere\n")
    with pytest.raises(ToolError, match="cannot be started: No such file or directory"):
        catalog.instances.boot("one")
    (tmp_path / "bin" / "qemu-system-x86_64").write_text("#!/bin/sh\nkill -9 $$\n")
    with pytest.raises(ToolError, match="qemu-system-x86_64 was ended by signal 9"):
        catalog.instances.boot("one")
    assert catalog.instances.delete("one") == record


PROGRAM = """
import sys
from imgtool.catalog.service import Catalog
from imgtool.config.config import Config
with Catalog.open(identity="root:ops:admin", config=Config(location=sys.argv[1])) as catalog:
    catalog.instances.boot("one")
"""


def booting(catalog: Catalog) -> subprocess.Popen[str]:
    """Another process that runs the instance."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(catalog.store.place)],
        cwd=ROOT, env={**os.environ, "WAIT": "1"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


def test_while_it_runs_it_is_held(catalog: Catalog, impatient: None) -> None:
    """Nobody else starts, flattens or deletes it, also when who started it was killed; then it is free."""
    record = catalog.instances.create("one", "base", "plain")
    with booting(catalog) as process:
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        for act in (
            lambda: catalog.instances.boot("one"),
            lambda: catalog.instances.snapshot("one", "golden"),
            lambda: catalog.instances.delete("one"),
        ):
            with pytest.raises(RefusedError, match=f"instance {record.id}: it runs, or another process is at it"):
                act()
        assert catalog.repair().instances == 0
        assert catalog.instances.show("one").status == catalog.instances.list()[0].status == "running"
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("off\n")
        process.stdin.flush()
        assert process.stdout.read() == ""  # the emulator has ended
    assert catalog.instances.show("one").status == "ready"
    with catalog.instances.store.hold(record.id):
        assert catalog.instances.show("one").status == "ready"
    assert catalog.instances.delete("one") == record


def test_who_ends_us_ends_it(catalog: Catalog, tmp_path: Path) -> None:
    """An interruption ends the emulator, and the instance is free."""
    record = catalog.instances.create("one", "base", "plain")
    with booting(catalog) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait() in (-signal.SIGINT, 130)
        assert process.stdin is not None
        process.stdin.close()  # one that lived on would say so now
        assert process.stdout is not None
        assert process.stdout.read() == ""
    assert not (tmp_path / "record.lived").exists()
    assert catalog.instances.delete("one") == record


def test_a_signal_while_it_is_started(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is heeded once there is something to end; no emulator is left without us."""
    catalog.instances.create("one", "base", "plain")
    monkeypatch.setenv("WAIT", "1")
    made: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def started(words: list[str], pass_fds: tuple[int, ...]) -> subprocess.Popen[bytes]:
        made.append(start(words, pass_fds=pass_fds, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL))
        signal.raise_signal(signal.SIGINT)
        return made[0]

    monkeypatch.setattr(subprocess, "Popen", started)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        catalog.instances.boot("one")
    assert signal.getsignal(signal.SIGINT) is before
    with made[0]:
        assert made[0].poll() == -signal.SIGTERM
    assert not (tmp_path / "record.lived").exists()
    assert catalog.instances.delete("one").name == "one"


def told(process: subprocess.Popen[str]) -> str:
    """The next line of another process, or of the emulator that it runs."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_who_ends_us_twice_ends_one_that_will_not_end(catalog: Catalog, tmp_path: Path) -> None:
    """A second interruption, while the emulator is asked to end, ends it at once; then the instance is free."""
    record = catalog.instances.create("one", "base", "plain")
    (tmp_path / "bin" / "qemu-system-x86_64").write_text(STUBBORN)
    with booting(catalog) as process:
        emulator = int(told(process))
        try:
            process.send_signal(signal.SIGINT)
            assert told(process) == "asked"
            process.send_signal(signal.SIGINT)
            assert process.wait() in (-signal.SIGINT, 130)
            assert gone(emulator, 0.2)
        finally:
            with suppress(ProcessLookupError):
                os.kill(emulator, signal.SIGKILL)
    assert folder_of(catalog) == ["root.qcow2"]
    assert catalog.instances.delete("one") == record


def test_a_signal_while_it_is_killed(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed and waited for all the same."""
    catalog.instances.create("one", "base", "plain")
    (tmp_path / "bin" / "qemu-system-x86_64").write_text(STUBBORN)
    monkeypatch.setattr(boot, "_GRACE", 0.0)
    made: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    class Interrupted(start[bytes]):
        def __init__(self, words: list[str], pass_fds: tuple[int, ...]) -> None:
            super().__init__(words, pass_fds=pass_fds, stdout=subprocess.PIPE)
            made.append(self)
            assert self.stdout is not None
            assert self.stdout.readline() == b"started\n"
            signal.raise_signal(signal.SIGINT)

        def kill(self) -> None:
            signal.raise_signal(signal.SIGINT)
            super().kill()

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        catalog.instances.boot("one")
    try:
        assert made[0].returncode == -signal.SIGKILL
    finally:
        start.kill(made[0])
        made[0].communicate()


def test_a_machine_that_lives_on_keeps_its_instance(catalog: Catalog, impatient: None) -> None:
    """Whoever started it lets go; it holds the instance until it ends, and then nothing is left of that."""
    record = catalog.instances.create("one", "base", "plain")
    with catalog.instances.store.hold(record.id) as claim:
        claim.run()
        machine = os.dup(claim.fd)
    try:
        assert catalog.instances.show("one").status == "running"
        with pytest.raises(RefusedError, match="it runs, or another process is at it"):
            catalog.instances.delete("one")
    finally:
        os.close(machine)
    assert catalog.instances.show("one").status == "ready"
    catalog.instances.boot("one")
    assert folder_of(catalog) == ["root.qcow2"]
    assert catalog.instances.delete("one") == record


def test_one_whose_lock_cannot_be_written(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, and the instance is not held after that."""
    record = catalog.instances.create("one", "base", "plain")

    def failing(fd: int, size: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(os, "ftruncate", failing)
        with pytest.raises(OutputError, match="the store cannot be written: Input/output error"):
            catalog.instances.store.hold(record.id)
    assert not catalog.instances.store.held(record.id)
    assert catalog.instances.delete("one") == record
