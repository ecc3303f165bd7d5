"""FAT12, FAT16 and FAT32: the boot sector, the label in the root directory, what is in EFI/BOOT.

Reference: Microsoft "FAT: General Overview of On-Disk Format" 1.03.
"""

from __future__ import annotations

from typing import NamedTuple

from imgtool.limits import Limits
from imgtool.structs.view import Unreadable, View
from imgtool.units import ceil_div, is_power_of_two
from imgtool.volumes.filesystems.facts import FileSystemFacts, found
from imgtool.volumes.filesystems.microsoft import layout as lay


class Geometry(NamedTuple):
    """Where things lie; sizes and offsets in bytes. `root` is the fixed root directory, or its cluster."""

    kind: str
    sector: int
    cluster: int
    size: int
    data: int
    root: tuple[int, int] | int
    clusters: int


def fat_kind(sector: bytes) -> str | None:
    """Which FAT a boot sector is of ("fat12" …); None when it is of none."""
    if len(sector) < 512 or sector[510:512] != lay.BOOT_SIGNATURE:
        return None
    geometry = _geometry(lay.BPB.parse(sector[: lay.BPB.size]), lay.FAT32.parse(sector[36 : 36 + lay.FAT32.size]))
    return geometry.kind if geometry else None


def read(view: View, limits: Limits) -> FileSystemFacts | None:
    """FAT of any width; None where the boot sector makes no sense."""
    sector = view.peek(0, 512)
    if fat_kind(sector) is None:
        return None
    bpb = view.parse(lay.BPB, 0)
    large = lay.FAT32.parse(sector[36 : 36 + lay.FAT32.size])
    geometry = _geometry(bpb, large)
    if geometry is None:
        return None
    tail: lay.Fat16 | lay.Fat32
    if geometry.kind == "fat32":
        tail = view.parse(lay.FAT32, lay.BPB.size)
    else:
        tail = view.parse(lay.FAT16, lay.BPB.size)
    signed = tail.BS_BootSig in (0x28, 0x29)
    root = _directory(view, geometry, geometry.root, limits)
    if root is None:
        label = _text(tail.BS_VolLab) if tail.BS_BootSig == 0x29 else ""
        label = "" if label == "NO NAME" else label
    else:
        label = _root_label(root)
    return found(
        view,
        geometry.kind,
        size=geometry.size,
        label=label,
        uuid=f"{tail.BS_VolID >> 16:04X}-{tail.BS_VolID & 0xFFFF:04X}" if signed else None,
        block_size=geometry.cluster,
        boot_files=_boot_files(view, geometry, root or b"", limits),
    )


def _geometry(bpb: lay.Bpb, large: lay.Fat32) -> Geometry | None:
    """The layout of the volume; None where the numbers make no sense."""
    sector, per_cluster = bpb.BPB_BytsPerSec, bpb.BPB_SecPerClus
    jump = bpb.BS_jmpBoot[0] in (0xE9, 0xEB)
    media = bpb.BPB_Media == 0xF0 or bpb.BPB_Media >= 0xF8
    sizes = sector in (512, 1024, 2048, 4096) and is_power_of_two(per_cluster)
    if not (jump and media and sizes and bpb.BPB_RsvdSecCnt and 1 <= bpb.BPB_NumFATs <= 4):
        return None
    total = bpb.BPB_TotSec16 or bpb.BPB_TotSec32
    fat = bpb.BPB_FATSz16 or large.BPB_FATSz32
    root_sectors = ceil_div(bpb.BPB_RootEntCnt * lay.DIRECTORY_ENTRY_SIZE, sector)
    root_at = bpb.BPB_RsvdSecCnt + bpb.BPB_NumFATs * fat
    data = root_at + root_sectors
    if not fat or total <= data:
        return None
    clusters = (total - data) // per_cluster
    if bpb.BPB_FATSz16 == 0:  # the field is 0 on FAT32 only; small FAT32 volumes exist against the count rule
        if bpb.BPB_RootEntCnt or large.BPB_FSVer:
            return None
        kind, root = "fat32", large.BPB_RootClus
        return Geometry(kind, sector, per_cluster * sector, total * sector, data * sector, root, clusters)
    if not bpb.BPB_RootEntCnt or clusters >= lay.FAT16_CLUSTERS:
        return None
    kind = "fat12" if clusters < lay.FAT12_CLUSTERS else "fat16"
    place = (root_at * sector, root_sectors * sector)
    return Geometry(kind, sector, per_cluster * sector, total * sector, data * sector, place, clusters)


def _directory(view: View, geometry: Geometry, place: tuple[int, int] | int, limits: Limits) -> bytes | None:
    """The first cluster of a directory (or the fixed root), at most `limits.directory` bytes."""
    if isinstance(place, int):
        if not 2 <= place < geometry.clusters + 2:
            return None
        place = (geometry.data + (place - 2) * geometry.cluster, geometry.cluster)
    try:
        return view.read(place[0], min(place[1], limits.directory), f"{geometry.kind} directory")
    except Unreadable as error:
        view.note(error.problem)
        return None


def _entries(directory: bytes) -> list[bytes]:
    found_entries = []
    for at in range(0, len(directory) - lay.DIRECTORY_ENTRY_SIZE + 1, lay.DIRECTORY_ENTRY_SIZE):
        entry = directory[at : at + lay.DIRECTORY_ENTRY_SIZE]
        if entry[0] == 0:
            break
        if entry[0] != 0xE5 and entry[11] & 0x3F != lay.ATTR_LONG_NAME:
            found_entries.append(entry)
    return found_entries


def _root_label(directory: bytes) -> str:
    for entry in _entries(directory):
        if entry[11] & (lay.ATTR_VOLUME_ID | lay.ATTR_DIRECTORY) == lay.ATTR_VOLUME_ID:
            return _text(entry[:11])
    return ""


def _text(raw: bytes) -> str:
    if raw[:1] == b"\x05":
        raw = b"\xe5" + raw[1:]
    return raw.partition(b"\0")[0].decode("utf-8", "surrogateescape").rstrip(" ")


def _boot_files(view: View, geometry: Geometry, directory: bytes, limits: Limits) -> tuple[str, ...]:
    """Short names (as "BOOTX64.EFI") in EFI/BOOT."""
    for step in (b"EFI        ", b"BOOT       "):
        inside = [entry for entry in _entries(directory) if entry[:11] == step and entry[11] & lay.ATTR_DIRECTORY]
        if not inside:
            return ()
        first = int.from_bytes(inside[0][26:28], "little") | int.from_bytes(inside[0][20:22], "little") << 16
        directory = _directory(view, geometry, first, limits) or b""
    names = []
    for entry in _entries(directory):
        if entry[:4] == b"BOOT" and entry[8:11] == b"EFI":
            names.append(f"{_text(entry[:8])}.EFI")
    return tuple(names[:16])
