"""swap, LVM2 physical volumes, LUKS, ZFS and Linux RAID members as facts. References: as in layout.py."""

from __future__ import annotations

from itertools import pairwise

from imgtool.limits import Limits
from imgtool.model.values import c_text, text
from imgtool.structs.view import View
from imgtool.units import SECTOR, uuid_text
from imgtool.volumes.filesystems.facts import FileSystemFacts, found
from imgtool.volumes.filesystems.members import layout as lay


def read_swap(view: View, limits: Limits) -> FileSystemFacts | None:
    """Linux swap; the page size is where its mark ends."""
    for page in lay.SWAP_PAGES:
        if view.peek(page - 10, 10) in lay.SWAP_MAGICS:
            break
    else:
        return None
    header = view.parse(lay.SWAP, lay.SWAP_HEADER_AT)
    if header.version != 1:
        return found(view, "swap", block_size=page)
    return found(
        view,
        "swap",
        size=(header.last_page + 1) * page,
        label=c_text(header.sws_volume),
        uuid=uuid_text(header.sws_uuid) if any(header.sws_uuid) else None,
        block_size=page,
        version="1",
    )


def read_lvm(view: View, limits: Limits) -> FileSystemFacts | None:
    """An LVM2 physical volume; None where no label is in the first four sectors."""
    for place in lay.LVM_PLACES:
        if view.peek(place, 8) == b"LABELONE" and view.peek(place + 24, 8) == b"LVM2 001":
            break
    else:
        return None
    label = view.parse(lay.LVM_LABEL, place)
    if not 32 <= label.offset_xl <= SECTOR - lay.LVM_PV.size:
        return None
    volume = view.parse(lay.LVM_PV, place + label.offset_xl)
    raw = view.peek(place, SECTOR)
    return found(
        view,
        "lvm2",
        size=volume.device_size_xl,
        uuid=_lvm_uuid(volume.pv_uuid),
        version=text(label.type),
        checksum_holds=_lvm_checksum(raw) == label.crc_xl,
    )


def _lvm_uuid(raw: bytes) -> str:
    """32 letters in groups of 6, 4, 4, 4, 4, 4, 6."""
    letters = raw.decode("ascii", "replace")
    cuts = (0, 6, 10, 14, 18, 22, 26, 32)
    return "-".join(letters[start:end] for start, end in pairwise(cuts))


def _lvm_checksum(sector: bytes) -> int:
    from zlib import crc32

    return crc32(sector[lay.LVM_CRC_FROM :], lay.LVM_CRC_SEED ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def read_luks(view: View, limits: Limits) -> FileSystemFacts | None:
    """A LUKS volume, named only: its header is read in full where a file is one as a whole."""
    header = view.parse(lay.LUKS, 0)
    label = c_text(view.peek(lay.LUKS2_LABEL[0], lay.LUKS2_LABEL[1] - lay.LUKS2_LABEL[0]))
    return found(
        view,
        "luks",
        label=label if header.version == 2 else None,
        uuid=c_text(header.uuid),
        version=str(header.version),
        encrypted=True,
    )


def read_zfs(view: View, limits: Limits) -> FileSystemFacts | None:
    """A ZFS pool member, by the name and value pairs of its first label."""
    raw = view.peek(lay.ZFS_NVLIST_AT, lay.ZFS_NVLIST_SIZE)
    numbers, names = _pairs(raw[12:], limits)
    if "pool_guid" not in numbers:
        return None
    version = numbers.get("version")
    return found(
        view,
        "zfs",
        label=names.get("name"),
        uuid=str(numbers["pool_guid"]),
        version=str(version) if version is not None else None,
    )


def _pairs(raw: bytes, limits: Limits) -> tuple[dict[str, int], dict[str, str]]:
    """The numbers and strings of the outermost list, each pair as long as it says."""
    numbers: dict[str, int] = {}
    names: dict[str, str] = {}
    at = 0
    for _ in range(limits.zfs_pairs):
        encoded = int.from_bytes(raw[at : at + 4], "big")
        length = int.from_bytes(raw[at + 8 : at + 12], "big")
        if encoded < 16 or length > 256 or at + encoded > len(raw):
            break
        name = text(raw[at + 12 : at + 12 + length])
        kind_at = at + 12 + (length + 3) // 4 * 4
        kind, value_at = int.from_bytes(raw[kind_at : kind_at + 4], "big"), kind_at + 8
        if kind == lay.ZFS_UINT64:
            numbers[name] = int.from_bytes(raw[value_at : value_at + 8], "big")
        elif kind == lay.ZFS_STRING:
            size = min(int.from_bytes(raw[value_at : value_at + 4], "big"), 256)
            names[name] = text(raw[value_at + 4 : value_at + 4 + size])
        at += encoded
    return numbers, names


def read_md(view: View, limits: Limits) -> FileSystemFacts | None:
    """A member of a Linux RAID with its superblock (version 1.1 or 1.2) at the start."""
    for place in lay.MD_PLACES:
        if view.peek(place, 4) == lay.MD_MAGIC:
            break
    else:
        return None
    sb = view.parse(lay.MD, place)
    if sb.major_version != 1:
        return None
    return found(
        view,
        "mdraid",
        size=sb.size * SECTOR,
        label=c_text(sb.set_name),
        uuid=uuid_text(sb.set_uuid),
        version="1.1" if place == 0 else "1.2",
    )
