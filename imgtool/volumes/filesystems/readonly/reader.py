"""squashfs, erofs, cramfs and romfs as facts. References: as in layout.py."""

from __future__ import annotations

from imgtool.limits import Limits
from imgtool.model.values import c_text
from imgtool.structs.view import View
from imgtool.units import uuid_text
from imgtool.volumes.filesystems.facts import FileSystemFacts, found
from imgtool.volumes.filesystems.readonly import layout as lay


def read_squashfs(view: View, limits: Limits) -> FileSystemFacts | None:
    """squashfs 4 with its size; earlier versions by version only."""
    sb = view.parse(lay.SQUASHFS, 0)
    version = f"{sb.version_major}.{sb.version_minor}"
    if sb.version_major != 4:
        return found(view, "squashfs", version=version) if sb.version_major in (1, 2, 3) else None
    return found(view, "squashfs", size=sb.bytes_used, block_size=sb.block_size, version=version)


def read_erofs(view: View, limits: Limits) -> FileSystemFacts | None:
    """erofs; None where the block size makes no sense."""
    sb = view.parse(lay.EROFS, lay.EROFS_AT)
    if not 9 <= sb.blkszbits <= 16:
        return None
    return found(
        view,
        "erofs",
        size=sb.blocks << sb.blkszbits,
        label=c_text(sb.volume_name),
        uuid=uuid_text(sb.uuid) if any(sb.uuid) else None,
        block_size=1 << sb.blkszbits,
        checksum_holds=_erofs_checksum(view, sb),
    )


def _erofs_checksum(view: View, sb: lay.Erofs) -> bool | None:
    """CRC-32C of the rest of the block that the superblock lies in, its own field zeroed."""
    length = (1 << sb.blkszbits) - (lay.EROFS_AT if sb.blkszbits > 10 else 0)
    if not sb.feature_compat & lay.EROFS_SB_CHKSUM:
        return None
    raw = view.peek(lay.EROFS_AT, length)
    if len(raw) < length:
        return None
    from crc32c import crc32c

    at = lay.EROFS_CHECKSUM_AT
    return crc32c(raw[:at] + bytes(4) + raw[at + 4 :]) ^ 0xFFFFFFFF == sb.checksum


def read_cramfs(view: View, limits: Limits) -> FileSystemFacts | None:
    """cramfs, little-endian."""
    sb = view.parse(lay.CRAMFS, 0)
    return found(view, "cramfs", size=sb.size, label=c_text(sb.name), version=str(1 + (sb.flags & 1)))


def read_romfs(view: View, limits: Limits) -> FileSystemFacts | None:
    """romfs; its volume name follows the fixed part."""
    sb = view.parse(lay.ROMFS, 0)
    return found(view, "romfs", size=sb.size, label=c_text(view.peek(lay.ROMFS.size, 64)), block_size=lay.ROMFS_BLOCK)
