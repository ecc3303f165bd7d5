"""How QEMU's programs are installed on this system, by what os-release(5) says of it."""

from __future__ import annotations

import platform
from collections.abc import Mapping

#: Identifiers of os-release (ID, ID_LIKE), and the command.
_COMMANDS: Mapping[str, str] = {
    "debian": "apt install qemu-utils",
    "ubuntu": "apt install qemu-utils",
    "fedora": "dnf install qemu-img",
    "rhel": "dnf install qemu-img",
    "centos": "dnf install qemu-img",
    "amzn": "dnf install qemu-img",
    "azurelinux": "tdnf install qemu-img",
    "mariner": "tdnf install qemu-img",
    "suse": "zypper install qemu-tools",
    "opensuse": "zypper install qemu-tools",
    "sles": "zypper install qemu-tools",
    "arch": "pacman -S qemu-img",
    "alpine": "apk add qemu-img",
    "gentoo": "emerge app-emulation/qemu",
    "nixos": "nix-shell -p qemu-utils",
    "void": "xbps-install qemu-img",
}


#: Of the machine emulators: the command, and the package by the end of the program's name.
_EMULATORS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "debian": ("apt install", {"": "qemu-system-x86", "aarch64": "qemu-system-arm"}),
    "ubuntu": ("apt install", {"": "qemu-system-x86", "aarch64": "qemu-system-arm"}),
    "fedora": ("dnf install", {"": "qemu-system-x86", "aarch64": "qemu-system-aarch64"}),
    "suse": ("zypper install", {"": "qemu-x86", "aarch64": "qemu-arm"}),
    "opensuse": ("zypper install", {"": "qemu-x86", "aarch64": "qemu-arm"}),
    "arch": ("pacman -S", {"": "qemu-system-x86", "aarch64": "qemu-system-aarch64"}),
    "alpine": ("apk add", {"": "qemu-system-x86_64", "aarch64": "qemu-system-aarch64", "i386": "qemu-system-i386"}),
    "gentoo": ("emerge", {"": "app-emulation/qemu"}),
    "nixos": ("nix-shell -p", {"": "qemu"}),
    "void": ("xbps-install", {"": "qemu"}),
}


def how_to_install(system: Mapping[str, str] | None = None, program: str = "qemu-img") -> str:
    """The command that installs a program of QEMU's; `system`: what os-release says, by default this system's."""
    if system is None:
        try:
            system = platform.freedesktop_os_release()
        except OSError:
            system = {}
    for name in (system.get("ID", ""), *system.get("ID_LIKE", "").split()):
        found = _command(name.lower(), program)
        if found is not None:
            return found
    return f"install {program} (it is part of QEMU)"


def _command(system: str, program: str) -> str | None:
    if program == "qemu-img":
        return _COMMANDS.get(system)
    if system not in _EMULATORS:
        return None
    command, packages = _EMULATORS[system]
    return f"{command} {packages.get(program.removeprefix('qemu-system-'), packages[''])}"
