"""What a mark alone does not tell, asked of the windows: cheap, and never raising."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgtool.detect.registry import Windows
from imgtool.units import SECTOR

if TYPE_CHECKING:
    from imgtool.volumes.partitions.facts import Slot

#: Boot sectors that end in 55AA as an MBR does and are something else: where their names stand.
_NAMED_AT_3 = (b"NTFS    ", b"EXFAT   ", b"-FVE-FS-", b"ReFS\0\0\0\0")
_EXT_AT = 1024
_EFI = b"EFI PART"


def boot_record(windows: Windows) -> bool:
    """True when sector 0 is a partition table, and one of its own: not what only protects a GPT."""
    from imgtool.volumes.partitions.mbr import hybrid, protective, sane

    slots = _slots(windows.head)
    if not slots or is_boot_sector(windows.head) or not sane(slots):
        return False
    return hybrid(slots) or (protective(slots) and not _has_gpt(windows))


def is_boot_sector(head: bytes) -> bool:
    """True for the boot sector of a file system or a kernel, which ends in 55AA as an MBR does."""
    return head[3:11] in _NAMED_AT_3 or is_kernel(head) or fat_kind(head) is not None


def is_kernel(head: bytes) -> bool:
    """True for a bzImage: its setup header at 0x202, of a boot protocol 2.x (Linux x86 boot protocol)."""
    return head[0x202:0x206] == b"HdrS" and head[0x207:0x208] == b"\x02"


def fat_kind(head: bytes) -> str | None:
    """Which FAT the boot sector at the start of `head` is of."""
    from imgtool.volumes.filesystems.microsoft.fat import fat_kind as kind

    return kind(head[:SECTOR])


def lone_backup(windows: Windows) -> bool:
    """True when a GPT at the end is to be believed without one at the start: sector 0 protects one, or
    neither a table nor a file system is at the start."""
    from imgtool.volumes.partitions.mbr import protective, sane

    if _EFI in (windows.head[512:520], windows.head[4096:4104]):
        return False
    slots = _slots(windows.head)
    if protective(slots):
        return True
    return not (slots and sane(slots)) and not starts_with_filesystem(windows)


def starts_with_filesystem(windows: Windows) -> bool:
    """True when the mark of a file system is at the start."""
    from imgtool.volumes.place import marks

    return bool(marks(windows.head, windows.size))


def driver_map(windows: Windows) -> bool:
    """True when block 0 is an Apple driver descriptor map."""
    return windows.head[:2] == b"ER"


def fat12(windows: Windows) -> bool:
    """True for FAT12."""
    return fat_kind(windows.head) == "fat12"


def fat16(windows: Windows) -> bool:
    """True for FAT16."""
    return fat_kind(windows.head) == "fat16"


def fat32(windows: Windows) -> bool:
    """True for FAT32."""
    return fat_kind(windows.head) == "fat32"


def ext2(windows: Windows) -> bool:
    """True for ext2 by its features."""
    return _ext(windows.head) == "ext2"


def ext3(windows: Windows) -> bool:
    """True for ext3 by its features."""
    return _ext(windows.head) == "ext3"


def ext4(windows: Windows) -> bool:
    """True for ext4 by its features."""
    return _ext(windows.head) == "ext4"


def jbd(windows: Windows) -> bool:
    """True for a journal device of ext3 or ext4."""
    return _ext(windows.head) == "jbd"


def cramfs(windows: Windows) -> bool:
    """True when the number before the text is cramfs' own."""
    return windows.head[:4] == b"\x45\x3d\xcd\x28"


def hfs(windows: Windows) -> bool:
    """True when the block size is a multiple of a sector and the volume has a name."""
    block = windows.head[_EXT_AT : _EXT_AT + 64]
    size = int.from_bytes(block[20:24], "big")
    return len(block) == 64 and size > 0 and size % SECTOR == 0 and 0 < block[36] < 28


def nilfs(windows: Windows) -> bool:
    """True when the superblock's own length and block size are in range."""
    block = windows.head[_EXT_AT : _EXT_AT + 32]
    length, shift = int.from_bytes(block[8:10], "little"), int.from_bytes(block[20:24], "little")
    return 248 <= length <= 1024 and shift <= 6


def minix(windows: Windows) -> bool:
    """True when the counts of the superblock make sense."""
    from imgtool.volumes.filesystems.elder.reader import minix_version

    return minix_version(windows.head[_EXT_AT : _EXT_AT + 64]) > 0


def _ext(head: bytes) -> str | None:
    from imgtool.volumes.filesystems.linux.reader import ext_kind

    if len(head) < _EXT_AT + 136:
        return None
    words = (int.from_bytes(head[_EXT_AT + at : _EXT_AT + at + 4], "little") for at in (24, 4, 92, 96, 100))
    shift, blocks, compat, incompat, ro_compat = words
    return ext_kind(compat, incompat, ro_compat) if shift <= 6 and blocks else None


def _has_gpt(windows: Windows) -> bool:
    places = (windows.head[512:520], windows.head[4096:4104], windows.tail[-512:-504], windows.tail[-4096:-4088])
    return _EFI in places


def _slots(head: bytes) -> tuple[Slot, ...]:
    from imgtool.volumes.partitions.mbr import slots_in

    return slots_in(head[:SECTOR])
