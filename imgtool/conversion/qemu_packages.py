"""How qemu-img is installed on this system, by what os-release(5) says of it."""

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


def how_to_install(system: Mapping[str, str] | None = None) -> str:
    """The command that installs qemu-img; `system`: what os-release says, by default this system's."""
    if system is None:
        try:
            system = platform.freedesktop_os_release()
        except OSError:
            system = {}
    for name in (system.get("ID", ""), *system.get("ID_LIKE", "").split()):
        if name.lower() in _COMMANDS:
            return _COMMANDS[name.lower()]
    return "install qemu-img (it is part of QEMU)"
