"""ext2, ext3, ext4, xfs, btrfs and f2fs: their superblocks as facts.

References: as in layout.py; the split of ext2, ext3 and ext4 by feature bits is the Linux kernel's.
"""

from __future__ import annotations

from imgtool.limits import Limits
from imgtool.model.values import c_text
from imgtool.structs.view import Unreadable, View
from imgtool.units import SECTOR, is_power_of_two, uuid_text
from imgtool.volumes.filesystems.facts import FileSystemFacts, found
from imgtool.volumes.filesystems.linux import layout as lay

_NIL = bytes(16)


def ext_kind(compat: int, incompat: int, ro_compat: int) -> str:
    """Which of the family a superblock is, by its feature bits."""
    if incompat & lay.EXT_JOURNAL_DEV:
        return "jbd"
    old = not ro_compat & ~lay.EXT3_RO_COMPAT
    if compat & lay.EXT_HAS_JOURNAL:
        return "ext3" if old and not incompat & ~lay.EXT3_INCOMPAT else "ext4"
    return "ext2" if old and not incompat & ~lay.EXT2_INCOMPAT else "ext4"


def read_ext(view: View, limits: Limits) -> FileSystemFacts | None:
    """ext2, ext3, ext4 or an ext journal; None where the superblock makes no sense."""
    sb = view.parse(lay.EXT, lay.EXT_AT)
    if sb.s_log_block_size > 6 or not sb.s_blocks_count_lo or sb.s_rev_level > 1:
        return None
    kind = ext_kind(sb.s_feature_compat, sb.s_feature_incompat, sb.s_feature_ro_compat)
    blocks, block_size = sb.s_blocks_count_lo, 1024 << sb.s_log_block_size
    if sb.s_feature_incompat & lay.EXT_64BIT:
        blocks |= int.from_bytes(view.peek(lay.EXT_AT + lay.EXT_BLOCKS_HI_AT, 4), "little") << 32
    return found(
        view,
        kind,
        size=blocks * block_size,
        label=c_text(sb.s_volume_name),
        uuid=_uuid(sb.s_uuid),
        block_size=block_size,
        version=f"{sb.s_rev_level}.{sb.s_minor_rev_level}",
        checksum_holds=_ext_checksum(view, sb),
    )


def _ext_checksum(view: View, sb: lay.Ext) -> bool | None:
    if not sb.s_feature_ro_compat & lay.EXT_METADATA_CSUM:
        return None
    raw = view.peek(lay.EXT_AT, lay.EXT_CHECKSUM_AT + 4)
    if len(raw) < lay.EXT_CHECKSUM_AT + 4:
        return None
    from crc32c import crc32c

    stored = int.from_bytes(raw[lay.EXT_CHECKSUM_AT :], "little")
    return stored == crc32c(raw[: lay.EXT_CHECKSUM_AT]) ^ 0xFFFFFFFF


def read_xfs(view: View, limits: Limits) -> FileSystemFacts | None:
    """xfs of versions 1 to 5; None where the superblock makes no sense."""
    sb = view.parse(lay.XFS, 0)
    block = sb.sb_blocksize
    if not is_power_of_two(block) or not SECTOR <= block <= 65536 or not sb.sb_dblocks:
        return None
    version = sb.sb_versionnum & 0xF
    return found(
        view,
        "xfs",
        size=sb.sb_dblocks * block,
        label=c_text(sb.sb_fname),
        uuid=_uuid(sb.sb_uuid),
        block_size=block,
        version=str(version),
        checksum_holds=_xfs_checksum(view, sb) if version == 5 else None,
    )


def _xfs_checksum(view: View, sb: lay.Xfs) -> bool | None:
    if sb.sb_sectsize not in (512, 1024, 2048, 4096, 8192, 16384, 32768):
        return None
    raw = view.peek(0, sb.sb_sectsize)
    if len(raw) < sb.sb_sectsize:
        return None
    from crc32c import crc32c

    at = lay.XFS_CRC_AT
    return int.from_bytes(raw[at : at + 4], "little") == crc32c(raw[:at] + bytes(4) + raw[at + 4 :])


def read_btrfs(view: View, limits: Limits) -> FileSystemFacts | None:
    """btrfs; `size` is that of this device, which is the whole where there is one."""
    sb = view.parse(lay.BTRFS, lay.BTRFS_AT)
    return found(
        view,
        "btrfs",
        size=sb.dev_item_total_bytes,
        label=c_text(sb.label),
        uuid=_uuid(sb.fsid),
        block_size=sb.sectorsize,
        checksum_holds=_btrfs_checksum(view, sb),
    )


def _btrfs_checksum(view: View, sb: lay.Btrfs) -> bool | None:
    if sb.csum_type != 0:
        return None
    try:
        raw = view.read(lay.BTRFS_AT, lay.BTRFS_SUPER_SIZE, "btrfs superblock")
    except Unreadable as error:
        view.note(error.problem)
        return None
    from crc32c import crc32c

    return int.from_bytes(sb.csum[:4], "little") == crc32c(raw[32:])


def read_f2fs(view: View, limits: Limits) -> FileSystemFacts | None:
    """f2fs; None where the superblock makes no sense."""
    sb = view.parse(lay.F2FS, lay.F2FS_AT)
    if not 12 <= sb.log_blocksize <= 16:
        return None
    block = 1 << sb.log_blocksize
    return found(
        view,
        "f2fs",
        size=sb.block_count * block,
        label=sb.volume_name.decode("utf-16-le", "replace").partition("\0")[0],
        uuid=_uuid(sb.uuid),
        block_size=block,
        version=f"{sb.major_ver}.{sb.minor_ver}",
    )


def _uuid(raw: bytes) -> str | None:
    return uuid_text(raw) if raw != _NIL else None
