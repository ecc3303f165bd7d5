"""What lies inside raw bytes: partition tables, file systems, boot facts. Offsets and sizes in bytes."""

from typing import Literal, NamedTuple


class FileSystem(NamedTuple):
    """A file system (or swap, LVM, LUKS …) by its own superblock; `offset` from the start of the source."""

    kind: str
    offset: int
    size: int | None = None
    label: str | None = None
    uuid: str | None = None
    block_size: int | None = None
    version: str | None = None


class Partition(NamedTuple):
    """One partition. `type` is the table's own code ("0x83", a GUID); `type_name` its usual name."""

    number: int
    start: int
    length: int
    type: str
    type_name: str | None = None
    name: str | None = None
    uuid: str | None = None
    flags: tuple[str, ...] = ()
    filesystem: FileSystem | None = None


class PartitionTable(NamedTuple):
    """A partition table. `id` is the disk GUID or the MBR's disk signature."""

    kind: Literal["mbr", "gpt", "apm"]
    sector_size: int
    id: str | None
    partitions: tuple[Partition, ...]
    hybrid: bool = False


class Boot(NamedTuple):
    """How the content would start: BIOS code in sector 0, an EFI system partition, a guessed architecture."""

    bios: bool = False
    efi: bool = False
    loader: str | None = None
    architecture: str | None = None


class Volumes(NamedTuple):
    """Everything found inside raw bytes: `filesystems` are those outside any partition (at offset 0)."""

    tables: tuple[PartitionTable, ...] = ()
    filesystems: tuple[FileSystem, ...] = ()
    boot: Boot | None = None
