"""HFS, HFS+ and APFS as facts. References: as in layout.py.

HFS has no UUID: programs derive one from eight bytes of the Finder's information (name-based, MD5).
"""

from __future__ import annotations

from imgtool.limits import Limits
from imgtool.structs.view import Unreadable, View
from imgtool.units import SECTOR, is_power_of_two, uuid_text
from imgtool.volumes.filesystems.apple import layout as lay
from imgtool.volumes.filesystems.facts import FileSystemFacts, found

_HFS_NAMESPACE = bytes.fromhex("b3e20f39f29211d697a400306543ecac")


def hfs_uuid(info: bytes) -> str | None:
    """The UUID that the eight bytes of a volume identifier stand for."""
    if not any(info):
        return None
    import hashlib

    digest = bytearray(hashlib.md5(_HFS_NAMESPACE + info, usedforsecurity=False).digest())
    digest[6] = digest[6] & 0x0F | 0x30
    digest[8] = digest[8] & 0x3F | 0x80
    return uuid_text(bytes(digest))


def read_hfsplus(view: View, limits: Limits) -> FileSystemFacts | None:
    """HFS+ or HFSX; None where the volume header makes no sense."""
    header = view.parse(lay.HFS_PLUS, lay.HEADER_AT)
    if not is_power_of_two(header.blockSize) or not SECTOR <= header.blockSize <= 1 << 24:
        return None
    return found(
        view,
        "hfs+",
        size=header.totalBlocks * header.blockSize,
        label=_volume_name(view, header),
        uuid=hfs_uuid(header.finderInfo[24:32]),
        block_size=header.blockSize,
        version="HFSX" if header.signature == b"HX" else str(header.version),
    )


def _volume_name(view: View, header: lay.HfsPlus) -> str:
    """The name of the root folder: the key of the catalog's first leaf record."""
    catalog = header.catalogStartBlock * header.blockSize
    try:
        tree = view.parse(lay.BTREE_HEADER, catalog)
        leaf = catalog + tree.firstLeafNode * tree.nodeSize + lay.NODE_DESCRIPTOR_SIZE
        record = view.read(leaf, 8 + 2 * 255, "hfs+ catalog leaf")
    except Unreadable as error:
        view.note(error.problem)
        return ""
    parent, length = int.from_bytes(record[2:6], "big"), int.from_bytes(record[6:8], "big")
    if parent != lay.ROOT_PARENT or length > 255:
        return ""
    return record[8 : 8 + 2 * length].decode("utf-16-be", "replace")


def read_hfs(view: View, limits: Limits) -> FileSystemFacts | None:
    """HFS, or HFS+ inside an HFS wrapper; None where the block makes no sense."""
    block = view.parse(lay.HFS, lay.HEADER_AT)
    if not block.drAlBlkSiz or block.drAlBlkSiz % SECTOR or not block.drNmAlBlks or not 0 < block.drVN[0] < 28:
        return None
    wrapped = block.drEmbedSigWord in (b"H+", b"HX")
    return found(
        view,
        "hfs",
        size=block.drAlBlSt * SECTOR + block.drNmAlBlks * block.drAlBlkSiz,
        label=block.drVN[1 : 1 + block.drVN[0]].decode("mac_roman"),
        uuid=hfs_uuid(block.drFndrInfo[24:32]),
        block_size=block.drAlBlkSiz,
        version="wrapper of HFS+" if wrapped else None,
    )


def read_apfs(view: View, limits: Limits) -> FileSystemFacts | None:
    """An APFS container; volumes inside are not read."""
    sb = view.parse(lay.APFS, 0)
    if sb.o_type & 0xFFFF != lay.APFS_CONTAINER or not is_power_of_two(sb.nx_block_size):
        return None
    return found(
        view,
        "apfs",
        size=sb.nx_block_size * sb.nx_block_count,
        uuid=uuid_text(sb.nx_uuid),
        block_size=sb.nx_block_size,
    )
