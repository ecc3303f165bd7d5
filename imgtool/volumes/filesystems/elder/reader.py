"""reiserfs, jfs, nilfs2, bcachefs and minix: their superblocks as facts. References: as in layout.py."""

from __future__ import annotations

from imgtool.limits import Limits
from imgtool.model.values import c_text
from imgtool.structs.view import View
from imgtool.units import SECTOR, is_power_of_two, uuid_text
from imgtool.volumes.filesystems.elder import layout as lay
from imgtool.volumes.filesystems.facts import FileSystemFacts, found

_NIL = bytes(16)


def read_reiserfs(view: View, limits: Limits) -> FileSystemFacts | None:
    """reiserfs 3; None where no superblock is at one of its two places."""
    for place in lay.REISERFS_PLACES:
        if view.peek(place + 52, 8) in lay.REISERFS_MAGICS:
            sb = view.parse(lay.REISERFS, place)
            break
    else:
        return None
    if not is_power_of_two(sb.blocksize):
        return None
    version = lay.REISERFS_MAGICS[sb.magic[:8]]
    return found(
        view,
        "reiserfs",
        size=sb.block_count * sb.blocksize,
        label=c_text(sb.label) if version != "3.5" else None,
        uuid=_uuid(sb.uuid) if version != "3.5" else None,
        block_size=sb.blocksize,
        version=version,
    )


def read_jfs(view: View, limits: Limits) -> FileSystemFacts | None:
    """jfs; None where the block sizes and their logarithms do not agree."""
    sb = view.parse(lay.JFS, lay.JFS_AT)
    if not _logarithm(sb.s_bsize, sb.s_l2bsize) or not _logarithm(sb.s_pbsize, sb.s_l2pbsize):
        return None
    return found(
        view,
        "jfs",
        size=sb.s_size * sb.s_pbsize,
        label=c_text(sb.s_label).rstrip(" "),
        uuid=_uuid(sb.s_uuid),
        block_size=sb.s_bsize,
        version=str(sb.s_version),
    )


def _logarithm(value: int, exponent: int) -> bool:
    return exponent <= 16 and value == 1 << exponent


def read_nilfs(view: View, limits: Limits) -> FileSystemFacts | None:
    """nilfs2; None where the superblock makes no sense (its magic has two bytes only)."""
    sb = view.parse(lay.NILFS, lay.NILFS_AT)
    if not lay.NILFS.size <= sb.s_bytes <= 1024 or sb.s_log_block_size > 6:
        return None
    return found(
        view,
        "nilfs2",
        size=sb.s_dev_size,
        label=c_text(sb.s_volume_name),
        uuid=_uuid(sb.s_uuid),
        block_size=1024 << sb.s_log_block_size,
        version=str(sb.s_rev_level),
        checksum_holds=_nilfs_checksum(view, sb),
    )


def _nilfs_checksum(view: View, sb: lay.Nilfs) -> bool | None:
    raw = view.peek(lay.NILFS_AT, sb.s_bytes)
    if len(raw) < sb.s_bytes:
        return None
    from zlib import crc32

    at = lay.NILFS_SUM_AT
    blanked = raw[:at] + bytes(4) + raw[at + 4 :]
    return crc32(blanked, sb.s_crc_seed ^ 0xFFFFFFFF) ^ 0xFFFFFFFF == sb.s_sum


def read_bcachefs(view: View, limits: Limits) -> FileSystemFacts | None:
    """bcachefs; its size is not in the fixed part of the superblock."""
    sb = view.parse(lay.BCACHEFS, lay.BCACHEFS_AT)
    return found(
        view,
        "bcachefs",
        label=c_text(sb.label),
        uuid=_uuid(sb.user_uuid),
        block_size=sb.block_size * SECTOR,
        version=f"{sb.version >> 10}.{sb.version & 0x3FF}",
    )


def read_minix(view: View, limits: Limits) -> FileSystemFacts | None:
    """minix 1 to 3; None where the counts make no sense (its magic has two bytes only)."""
    head = view.peek(0, lay.MINIX_AT + lay.MINIX3.size)[lay.MINIX_AT :]
    version = minix_version(head)
    if not version:
        return None
    if version == 3:
        sb = view.parse(lay.MINIX3, lay.MINIX_AT)
        return found(view, "minix", size=sb.s_zones * sb.s_blocksize, block_size=sb.s_blocksize, version="3")
    old = view.parse(lay.MINIX, lay.MINIX_AT)
    zones = old.s_nzones if version == 1 else old.s_zones
    return found(view, "minix", size=zones * lay.MINIX_BLOCK, block_size=lay.MINIX_BLOCK, version=str(version))


def minix_version(raw: bytes) -> int:
    """The version of the minix superblock in `raw`; 0 where it is none that makes sense."""
    if len(raw) < lay.MINIX3.size:
        return 0
    new = lay.MINIX3.parse(raw)
    if new.s_magic == lay.MINIX3_MAGIC:
        sizes = is_power_of_two(new.s_blocksize) and new.s_blocksize >= lay.MINIX_BLOCK
        maps = new.s_imap_blocks and new.s_zmap_blocks and new.s_ninodes
        return 3 if maps and sizes and not new.s_log_zone_size else 0
    old = lay.MINIX.parse(raw)
    if old.s_magic not in lay.MINIX_MAGICS:
        return 0
    version = lay.MINIX_MAGICS[old.s_magic][0]
    zones = old.s_nzones if version == 1 else old.s_zones
    before = 2 + old.s_imap_blocks + old.s_zmap_blocks
    maps = old.s_imap_blocks and old.s_zmap_blocks and old.s_ninodes
    return version if maps and not old.s_log_zone_size and before <= old.s_firstdatazone < zones else 0


def _uuid(raw: bytes) -> str | None:
    return uuid_text(raw) if raw != _NIL else None
