"""How the content would start: BIOS code in sector 0, EFI partitions and files, loader, architecture.

What is guessed is guessed from strings that loaders carry in their first sector.
"""

from __future__ import annotations

from imgtool.model.volumes import Boot, PartitionTable
from imgtool.units import SECTOR
from imgtool.volumes.filesystems.facts import FileSystemFacts
from imgtool.volumes.partitions.types import GPT_ESP, MBR_ESP, architecture

#: Text in sector 0 → loader. The first that is there names it.
_LOADERS: tuple[tuple[bytes, str], ...] = (
    (b"GRUB", "grub"),
    (b"isolinux", "isolinux"),
    (b"ISOLINUX", "isolinux"),
    (b"EXTLINUX", "extlinux"),
    (b"SYSLINUX", "syslinux"),
    (b"LDLINUX", "syslinux"),
    (b"Operating system load error", "syslinux"),
    (b"BOOTMGR", "windows"),
    (b"NTLDR", "windows"),
    (b"Error loading operating system", "windows"),
    (b"LILO", "lilo"),
)

#: What formatting programs write where boot code would be: it only says that there is none.
_NO_CODE = (b"This is not a bootable disk", b"is not a bootable disk")

#: Names of EFI/BOOT/BOOT*.EFI → architecture as `uname -m` writes it (UEFI Specification, section 3.5.1.1).
_EFI_NAMES = {
    "BOOTX64.EFI": "x86_64",
    "BOOTAA64.EFI": "aarch64",
    "BOOTIA32.EFI": "i386",
    "BOOTARM.EFI": "arm",
    "BOOTRI~1.EFI": "riscv64",
    "BOOTLO~1.EFI": "loongarch64",
}


def boot_of(sector: bytes, tables: tuple[PartitionTable, ...], systems: tuple[FileSystemFacts, ...]) -> Boot | None:
    """The boot facts of sector 0, the tables and every file system found; None where nothing would start."""
    bios = _has_code(sector)
    loader = next((name for mark, name in _LOADERS if mark in sector), None) if bios else None
    files = tuple(name for facts in systems for name in facts.boot_files)
    esp = any(partition.type in (GPT_ESP, f"0x{MBR_ESP:02x}") for table in tables for partition in table.partitions)
    arch = _architecture(tables, files)
    efi = esp or bool(files)
    return Boot(bios, efi, loader, arch) if bios or efi or arch else None


def _has_code(sector: bytes) -> bool:
    """True when sector 0 ends in 55AA and has code of its own before the partition records."""
    if len(sector) < SECTOR or sector[510:512] != b"\x55\xaa":
        return False
    jump = {0xEB: 2, 0xE9: 3}.get(sector[0], 0)
    first = jump + sector[1] if jump == 2 else 0
    code = sector[first if 2 < first < 440 else 0 : 440]
    hollow = not code.strip(b"\0") or not code.strip(b"\xf4") or not code.strip(b"\0\xf4")
    return not hollow and not any(text in sector for text in _NO_CODE)


def _architecture(tables: tuple[PartitionTable, ...], files: tuple[str, ...]) -> str | None:
    """From the types of root and /usr partitions, else from the only EFI loader that is there."""
    named = {architecture(partition.type) for table in tables for partition in table.partitions}
    known = named - {None} or {_EFI_NAMES[name] for name in files if name in _EFI_NAMES}
    return known.pop() if len(known) == 1 else None
