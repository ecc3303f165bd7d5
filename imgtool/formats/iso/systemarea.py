"""The system area, bytes 0 to 32,767: ISO 9660 leaves it to the system, hybrids and boot loaders fill it.

References: ECMA-119 6.2.1; UEFI 2.10 section 5.3 (GPT); Inside Macintosh: Devices, "The SCSI Manager" (Apple
partition map); syslinux doc/isolinux (isohybrid: the boot image's sector at byte 432 of the MBR).
"""

from __future__ import annotations

from imgtool.formats.iso import layout as lay
from imgtool.formats.iso.facts import ElTorito, SystemArea
from imgtool.structs.view import Unreadable, View
from imgtool.units import SECTOR, ceil_div

_MBR_MARK = 510
_CODE = 440
_TABLE = 446
_GPT = b"EFI PART"

#: Boot blocks and labels of other machines: name, offset and bytes of the mark, bytes that belong to it.
_MARKS = (
    ("sun-label", 508, b"\xda\xbe", SECTOR),
    ("mips-header", 0, b"\x0b\xe5\xa9\x41", SECTOR),
    ("mipsel-header", 8, b"\x7a\x75\x02\x00", SECTOR),
    ("alpha-boot-block", 0, b"Linux/Alpha aboot", SECTOR),
    ("hppa-boot-block", 0, b"\x80\x00PALO", 4 * SECTOR),
)

#: GRUB's MBR jumps past the boot information table of its image: this many sectors behind its start.
_GRUB_SKIP = 4


def read_system_area(view: View, boot: ElTorito | None) -> SystemArea:
    """What the system area holds, by its own marks."""
    try:
        data = view.peek(0, lay.SYSTEM_AREA)
    except Unreadable as error:
        view.note(error.problem)
        return SystemArea((), None, 0, None)
    if not data.strip(b"\0"):
        return SystemArea((), None, 0, None)
    rest = bytearray(data)
    names: list[str] = []
    covered = _mbr(view, data, rest, names)
    covered = max(covered, _gpt(data, rest, names))
    _apple(data, rest, names)
    _hfs(data, rest, names)
    _others(data, rest, names)
    hybrid = _isohybrid(data, boot) if "mbr" in names or "boot-code" in names else None
    left = rest.lstrip(b"\0")
    unknown = len(rest) - len(left) if left else None
    if unknown is not None:
        names.append("unknown")
    return SystemArea(tuple(names), hybrid, covered, unknown)


def _clear(rest: bytearray, start: int, length: int) -> None:
    end = min(len(rest), start + length)
    if start < end:
        rest[start:end] = bytes(end - start)


def _mbr(view: View, data: bytes, rest: bytearray, names: list[str]) -> int:
    """Partitions and boot code of sector 0; returns where the last partition ends, in bytes."""
    if data[_MBR_MARK:SECTOR] != b"\x55\xaa":
        return 0
    _clear(rest, 0, SECTOR)
    entries = [
        entry
        for index in range(4)
        if any(data[_TABLE + index * 16 : _TABLE + index * 16 + 16])
        and (entry := view.decode(lay.MBR_ENTRY, data[_TABLE + index * 16 :][:16], _TABLE + index * 16)).sectors
        and not entry.status & 0x7F
    ]
    if entries:
        names.append("mbr")
    if data[:_CODE].strip(b"\0"):
        names.append("boot-code")
    return max(((entry.start + entry.sectors) * SECTOR for entry in entries), default=0)


def _gpt(data: bytes, rest: bytearray, names: list[str]) -> int:
    """A GPT header in sector 1 and its entries; returns where its backup ends, in bytes."""
    if data[SECTOR : SECTOR + 8] != _GPT:
        return 0
    names.append("gpt")
    header = data[SECTOR : 2 * SECTOR]
    backup, entries = (int.from_bytes(header[at : at + 8], "little") for at in (32, 72))
    count, size = (int.from_bytes(header[at : at + 4], "little") for at in (80, 84))
    _clear(rest, SECTOR, SECTOR)
    _clear(rest, entries * SECTOR, count * size)
    return (backup + 1) * SECTOR


def _apple(data: bytes, rest: bytearray, names: list[str]) -> None:
    """An Apple partition map: blocks of 512 or 2,048 bytes, each entry one block, from block 1 on."""
    for size in (512, 2048):
        if data[size : size + 2] == b"PM":
            names.append("apm")
            _clear(rest, size, int.from_bytes(data[size + 4 : size + 8], "big") * size)
            break
    if data[:2] == b"ER":
        _clear(rest, 0, SECTOR)


def _hfs(data: bytes, rest: bytearray, names: list[str]) -> None:
    """The master directory block of an HFS tree and its volume bitmap (Inside Macintosh: Files)."""
    if data[2 * SECTOR : 2 * SECTOR + 2] != b"BD":
        return
    names.append("hfs")
    _clear(rest, 2 * SECTOR, SECTOR)
    bitmap, blocks = (int.from_bytes(data[2 * SECTOR + at : 2 * SECTOR + at + 2], "big") for at in (14, 18))
    _clear(rest, bitmap * SECTOR, ceil_div(blocks, 8 * SECTOR) * SECTOR)


def _others(data: bytes, rest: bytearray, names: list[str]) -> None:
    """Labels and boot blocks of SPARC, MIPS, Alpha and PA-RISC machines."""
    for name, at, mark, length in _MARKS:
        if data[at : at + len(mark)] == mark:
            names.append(name)
            _clear(rest, 0, length)


def _isohybrid(data: bytes, boot: ElTorito | None) -> str | None:
    """The boot loader whose MBR code points at an El Torito image (in sectors of 512)."""
    target = int.from_bytes(data[432:440], "little")
    for entry in boot.entries if boot is not None and target else ():
        if target == entry.load_rba * 4:
            return "isolinux"
        if target == entry.load_rba * 4 + _GRUB_SKIP:
            return "grub2"
    return None
