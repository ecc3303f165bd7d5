"""NTFS and exFAT: boot sectors and labels; BitLocker and ReFS by name. References: as in layout.py."""

from __future__ import annotations

from imgtool.limits import Limits
from imgtool.structs.view import Unreadable, View
from imgtool.units import is_power_of_two
from imgtool.volumes.filesystems.facts import FileSystemFacts, found
from imgtool.volumes.filesystems.microsoft import layout as lay


def read_ntfs(view: View, limits: Limits) -> FileSystemFacts | None:
    """NTFS; None where the boot sector makes no sense."""
    boot = view.parse(lay.NTFS, 0)
    sector = boot.bytes_per_sector
    cluster = _cluster_size(boot.sectors_per_cluster, sector)
    if not is_power_of_two(sector) or not 256 <= sector <= 4096 or cluster is None:
        return None
    record = _record_size(boot.record_size, cluster)
    label, version = "", None
    if record is not None:
        label, version = _volume_record(view, boot.mft_clst * cluster + lay.NTFS_VOLUME_RECORD * record, record)
    return found(
        view,
        "ntfs",
        size=boot.sectors_per_volume * sector,
        label=label,
        uuid=f"{boot.serial_num:016X}",
        block_size=cluster,
        version=version,
    )


def _cluster_size(count: int, sector: int) -> int | None:
    """Bytes of `count` sectors; over 128 it is the negative exponent of two of that many sectors."""
    if count > 0x80:
        return sector << (256 - count) if 256 - count <= 12 else None
    return count * sector if is_power_of_two(count) else None


def _record_size(count: int, cluster: int) -> int | None:
    """Bytes of `count` clusters; over 127 it is the negative exponent of two of that many bytes."""
    if count > 0x7F:
        return 1 << (256 - count) if 256 - count <= 16 else None
    return count * cluster if is_power_of_two(count) else None


def _volume_record(view: View, offset: int, size: int) -> tuple[str, str | None]:
    """The volume's name and version out of its file record."""
    if not 512 <= size <= 65536:
        return "", None
    try:
        record = _fixed_up(view.read(offset, size, "ntfs volume record"))
    except Unreadable as error:
        view.note(error.problem)
        return "", None
    if record[:4] != lay.NTFS_RECORD_MAGIC:
        view.problem("ntfs volume record", f"no file record at {view.base + offset}", offset=offset, length=size)
        return "", None
    name, version = "", None
    at = int.from_bytes(record[20:22], "little")
    while at + 24 <= size:
        kind, length = (
            int.from_bytes(record[at : at + 4], "little"),
            int.from_bytes(record[at + 4 : at + 8], "little"),
        )
        if kind == lay.NTFS_ATTR_END or length < 24:
            break
        resident = record[at + 8] == 0
        start = at + int.from_bytes(record[at + 20 : at + 22], "little")
        value = record[start : start + int.from_bytes(record[at + 16 : at + 20], "little")] if resident else b""
        if kind == lay.NTFS_ATTR_NAME:
            name = value[:512].decode("utf-16-le", "replace")
        elif kind == lay.NTFS_ATTR_INFO and len(value) >= 10:
            version = f"{value[8]}.{value[9]}"
        at += length
    return name, version


def _fixed_up(record: bytes) -> bytes:
    """A record with the last two bytes of each of its sectors put back (update sequence array)."""
    fixed = bytearray(record)
    at, count = int.from_bytes(record[4:6], "little"), int.from_bytes(record[6:8], "little")
    for index in range(1, min(count, len(record) // 512 + 1)):
        value = record[at + 2 * index : at + 2 * index + 2]
        if len(value) == 2:
            fixed[index * 512 - 2 : index * 512] = value
    return bytes(fixed)


def read_exfat(view: View, limits: Limits) -> FileSystemFacts | None:
    """exFAT; None where the boot sector makes no sense."""
    boot = view.parse(lay.EXFAT, 0)
    if not 9 <= boot.BytesPerSectorShift <= 12 or boot.SectorsPerClusterShift > 25 - boot.BytesPerSectorShift:
        return None
    sector = 1 << boot.BytesPerSectorShift
    cluster = sector << boot.SectorsPerClusterShift
    serial = boot.VolumeSerialNumber
    return found(
        view,
        "exfat",
        size=boot.VolumeLength * sector,
        label=_exfat_label(view, boot, sector, cluster, limits),
        uuid=f"{serial >> 16:04X}-{serial & 0xFFFF:04X}",
        block_size=cluster,
        version=f"{boot.FileSystemRevision >> 8}.{boot.FileSystemRevision & 0xFF}",
    )


def _exfat_label(view: View, boot: lay.Exfat, sector: int, cluster: int, limits: Limits) -> str:
    first = boot.FirstClusterOfRootDirectory
    if not 2 <= first <= boot.ClusterCount + 1:
        return ""
    offset = boot.ClusterHeapOffset * sector + (first - 2) * cluster
    try:
        directory = view.read(offset, min(cluster, limits.directory), "exfat root directory")
    except Unreadable as error:
        view.note(error.problem)
        return ""
    for at in range(0, len(directory), lay.DIRECTORY_ENTRY_SIZE):
        kind = directory[at]
        if kind == 0:
            break
        if kind == lay.EXFAT_VOLUME_LABEL:
            count = min(directory[at + 1], 11)
            return directory[at + 2 : at + 2 + 2 * count].decode("utf-16-le", "replace")
    return ""


def read_bitlocker(view: View, limits: Limits) -> FileSystemFacts | None:
    """A BitLocker volume: named only, its inside is encrypted."""
    return found(view, "bitlocker", encrypted=True)


def read_refs(view: View, limits: Limits) -> FileSystemFacts | None:
    """A ReFS volume: named only."""
    return found(view, "refs")
