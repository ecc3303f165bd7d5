"""Starting an instance in QEMU's machine emulator: the one file of the catalog that starts a program.

- No name of a user's and nothing out of an image reaches its command line but what was looked up in a table here.
  Files are given as nodes that name their driver: nothing can be read as a protocol, an option or a format.
- What lies below the root disk is opened read-only, and what an image names itself is not followed.
- It holds the instance's claim as long as it runs, also where we are killed before it.
- Its console is our terminal (Ctrl-A X ends it, Ctrl-A C is QEMU's monitor). It gets no network and no display unless
  somebody asks, and may start no other program.

Reference: qemu-system(1) of QEMU 7.2; the properties `hw_architecture`, `hw_disk_bus` and `hw_firmware_type` of the
image service ("Useful image properties").
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple, TypeVar

from imgtool.conversion.deferred import deferred
from imgtool.conversion.qemu_options import BACKED, TARGETS
from imgtool.conversion.qemu_packages import how_to_install
from imgtool.errors import ToolError, ToolMissingError, UnsupportedError
from imgtool.model.instance import InstanceRecord

T = TypeVar("T")

_KVM = "/dev/kvm"
_GRACE = 10.0  #: seconds between asking it to end and ending it


class Machine(NamedTuple):
    """An architecture: its emulator, which machine and processor that is to be, where its UEFI firmware may lie."""

    name: str
    program: str
    machine: str
    cpu: str
    firmware: tuple[str, ...]


_X86_FIRMWARE = ("/usr/share/ovmf/OVMF.fd", "/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_CODE.fd")
_ARM_FIRMWARE = ("/usr/share/qemu-efi-aarch64/QEMU_EFI.fd", "/usr/share/edk2/aarch64/QEMU_EFI.fd")

#: All that the host has, but a register that KVM offers and does not always bear to be set (QEMU 7.2, "failed to set
#: MSR 0x10a"): a guest without it protects itself.
_X86_CPU = "max,arch-capabilities=off"

_X86_64 = Machine("x86_64", "qemu-system-x86_64", "pc", _X86_CPU, _X86_FIRMWARE)
_I686 = Machine("i686", "qemu-system-i386", "pc", _X86_CPU, ())
_AARCH64 = Machine("aarch64", "qemu-system-aarch64", "virt", "max", _ARM_FIRMWARE)

#: By the names of the image service, and those of systems.
MACHINES: Mapping[str, Machine] = {
    "x86_64": _X86_64,
    "amd64": _X86_64,
    "i686": _I686,
    "i386": _I686,
    "aarch64": _AARCH64,
    "arm64": _AARCH64,
}

#: How the root disk is attached, by `hw_disk_bus`.
_BUSES: Mapping[str, tuple[str, ...]] = {
    "virtio": ("virtio-blk-pci,drive=root,bootindex=1",),
    "scsi": ("virtio-scsi-pci,id=scsi", "scsi-hd,drive=root,bus=scsi.0,bootindex=1"),
    "ide": ("ide-hd,drive=root,bus=ide.0,bootindex=1",),
    "sata": ("ich9-ahci,id=sata", "ide-hd,drive=root,bus=sata.0,bootindex=1"),
}


class Program(NamedTuple):
    """What is started, and how the guest wants it: devices of its root disk, a file of firmware or None."""

    path: str
    machine: Machine
    root: tuple[str, ...]
    firmware: str | None


class Base(NamedTuple):
    """The file below the root disk, and its format."""

    path: str
    disk_format: str


class Disks(NamedTuple):
    """Files of an instance: the overlay, what is below it, and further raw ones."""

    root: str
    base: Base
    others: tuple[str, ...]


class Given(NamedTuple):
    """What a guest is given besides its console: a network, a display; `accel`: "kvm", "tcg", or "auto"."""

    network: bool = False
    display: bool = False
    accel: str = "auto"


def find(properties: Mapping[str, str]) -> Program:
    """The emulator for an image of those properties. Raises UnsupportedError, ToolMissingError that says how to
    install it."""
    wanted = properties.get("hw_architecture") or properties.get("architecture") or platform.machine()
    machine = _looked_up("architecture", wanted, MACHINES)
    bus = properties.get("hw_disk_bus", "virtio")
    root = _looked_up("hw_disk_bus", bus, _BUSES)
    if machine.name == _AARCH64.name and bus in ("ide", "sata"):
        raise UnsupportedError(f"hw_disk_bus {bus}: an {machine.name} machine has virtio and scsi")
    firmware = properties.get("hw_firmware_type", "uefi" if machine.name == _AARCH64.name else "bios")
    _looked_up("hw_firmware_type", firmware, {"bios": None, "uefi": None})
    found = shutil.which(machine.program)
    if found is None:
        raise ToolMissingError(f"{machine.program} is not installed: {how_to_install(program=machine.program)}")
    return Program(os.path.abspath(found), machine, root, _firmware(machine) if firmware == "uefi" else None)


def _looked_up(what: str, named: str, known: Mapping[str, T]) -> T:
    if named not in known:
        raise UnsupportedError(f"{what} {named!r}: one of {', '.join(known)} can be started")
    return known[named]


def _firmware(machine: Machine) -> str:
    for path in machine.firmware:
        if os.path.isfile(path):
            return path
    raise ToolMissingError(f"UEFI firmware for {machine.name} is not installed (ovmf, qemu-efi-aarch64)")


def arguments(program: Program, record: InstanceRecord, disks: Disks, given: Given) -> list[str]:
    """The command line of an instance."""
    words = [program.path, "-nodefaults", "-no-user-config", "-name", record.id, "-uuid", record.id]
    words += [
        "-machine",
        program.machine.machine,
        "-cpu",
        program.machine.cpu,
        *_each("-accel", _accelerators(program, given.accel)),
    ]
    words += ["-smp", f"cpus={record.vcpus}", "-m", f"size={record.ram}M"]
    words += ["-bios", program.firmware] if program.firmware is not None else []
    words += ["-blockdev", _root_node(disks), *_each("-device", program.root)]
    for number, path in enumerate(disks.others):
        node = {"driver": "raw", "node-name": f"disk{number}", "file": _file(path)}
        words += ["-blockdev", _json(node), "-device", f"virtio-blk-pci,drive=disk{number}"]
    words += ["-nic", "user,model=virtio-net-pci" if given.network else "none"]
    words += ["-serial", "mon:stdio", *(["-vga", "std"] if given.display else ["-display", "none"])]
    return [*words, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]


def _accelerators(program: Program, wanted: str) -> tuple[str, ...]:
    if wanted != "auto":
        return _looked_up("accelerator", wanted, {"kvm": ("kvm",), "tcg": ("tcg",)})
    native = MACHINES.get(platform.machine()) is program.machine
    return ("kvm", "tcg") if native and os.access(_KVM, os.R_OK | os.W_OK) else ("tcg",)


def _each(option: str, values: Iterable[str]) -> list[str]:
    return [word for value in values for word in (option, value)]


def _root_node(disks: Disks) -> str:
    driver = TARGETS[disks.base.disk_format]
    file = {**_file(disks.base.path), "read-only": True}
    below: dict[str, object] = {"driver": driver, "read-only": True, "file": file}
    if driver in BACKED:
        below["backing"] = None
    return _json({"driver": "qcow2", "node-name": "root", "file": _file(disks.root), "backing": below})


def _file(path: str) -> dict[str, object]:
    whole = os.path.abspath(path)
    try:
        whole.encode()
    except UnicodeEncodeError:
        raise UnsupportedError(f"{whole!r}: is not UTF-8, as QEMU wants names of files") from None
    return {"driver": "file", "filename": whole, "locking": "auto"}


def _json(node: Mapping[str, object]) -> str:
    import json

    return json.dumps(node)


def run(program: Program, record: InstanceRecord, disks: Disks, given: Given, claim: int) -> None:
    """Start an instance, and wait until it is off. `claim`: what holds it, as an open file.

    Raises ToolError where the emulator fails, UnsupportedError.
    """
    name = program.machine.program
    words = arguments(program, record, disks, given)
    with deferred() as heed:
        try:
            process = subprocess.Popen(words, pass_fds=(claim,))
        except OSError as error:
            raise ToolError(f"{program.path} cannot be started: {error.strerror}") from error
        try:
            heed()
            status = process.wait()
        except BaseException:
            _end(process)
            raise
    if status:
        told = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        raise ToolError(f"{name} {told}; what it said stands above")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, and end it where it does not, or where we are told to end once more."""
    try:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
    finally:
        with deferred():
            if process.poll() is None:
                process.kill()
                process.wait()
