"""What the readers of file systems find."""

from __future__ import annotations

from dataclasses import dataclass

from imgtool.model.facts import Facts
from imgtool.model.volumes import FileSystem
from imgtool.structs.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystemFacts(Facts):
    """Facts of a file system by its own superblock; `file_size` is the room it has (partition or file).

    offset: where it begins in the whole. size: bytes by its superblock. uuid: as `blkid` prints it.
    block_size: the unit in which it allocates, bytes. checksum_holds: of the superblock; None where it has
    none or it was not computed. boot_files: names in EFI/BOOT. others: further file systems whose marks hold
    at the same place. beside_table: a partition table describes the same bytes.
    """

    offset: int
    size: int | None = None
    uuid: str | None = None
    block_size: int | None = None
    version: str | None = None
    checksum_holds: bool | None = None
    boot_files: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    beside_table: bool = False
    outer: str = "raw"

    @property
    def filesystem(self) -> FileSystem:
        """The same as the report shows it."""
        return FileSystem(self.format, self.offset, self.size, self.label, self.uuid, self.block_size, self.version)


def found(
    view: View,
    kind: str,
    *,
    size: int | None = None,
    label: str | None = None,
    uuid: str | None = None,
    block_size: int | None = None,
    version: str | None = None,
    checksum_holds: bool | None = None,
    boot_files: tuple[str, ...] = (),
    encrypted: bool = False,
) -> FileSystemFacts:
    """Facts of a file system that begins where `view` does. An empty label or UUID is none."""
    return FileSystemFacts(
        format=kind,
        file_size=view.size,
        encrypted=encrypted,
        label=label or None,
        offset=view.base,
        size=size,
        uuid=uuid or None,
        block_size=block_size,
        version=version,
        checksum_holds=checksum_holds,
        boot_files=boot_files,
    )
