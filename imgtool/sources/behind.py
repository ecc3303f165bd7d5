"""What lies behind a block device: files of loop devices, whole disks of partitions, members of mappings and arrays.

It goes by what the kernel tells below /sys/dev/block, and asks loop devices themselves. What cannot be looked at
tells nothing. References: sysfs(5), loop(4) (LOOP_GET_STATUS64), Documentation/ABI/stable/sysfs-block.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_LOOP_GET_STATUS64 = 0x4C05

#: Devices in a pile, one upon the other, that are looked at.
_DEEPEST = 16

#: Pieces that are looked at in all.
_MOST = 4096

_SECTOR = 512  #: bytes: the unit of sysfs, whatever the device's own is
_END = 1 << 64  #: where a piece ends that has no end of its own

#: A file or a device: ("file", device, inode) or ("device", number, 0).
Thing = tuple[str, int, int]


class Piece(NamedTuple):
    """Bytes of a file or a device. `mapped`: somewhere among them, as a mapping or an array lays them out."""

    thing: Thing
    start: int = 0
    end: int = _END
    mapped: bool = False


def thing(status: os.stat_result) -> Thing:
    """Which device that is, or which file."""
    if stat.S_ISBLK(status.st_mode):
        return "device", status.st_rdev, 0
    return "file", status.st_dev, status.st_ino


def pieces(of: Thing, *, sysfs: str = "/sys", nodes: str = "/dev") -> tuple[Piece, ...]:
    """Where the bytes of a file or a device are: itself first, then what lies behind it, as far as that is told.

    `sysfs`, `nodes`: the folders where the kernel tells of devices, and where they are.
    """
    found: list[Piece] = []
    left = [(Piece(of), 0)]
    while left and len(found) < _MOST:
        piece, depth = left.pop(0)
        if piece in found:
            continue
        found.append(piece)
        if piece.thing[0] == "device" and depth < _DEEPEST:
            left += ((one, depth + 1) for one in _below(piece, sysfs, nodes))
    return tuple(found)


def overlap(one: Iterable[Piece], other: Iterable[Piece]) -> bool:
    """Whether they have bytes in common. Two mappings of one device have none: volumes of a group lie beside each
    other."""
    several = tuple(other)
    return any(
        a.thing == b.thing and a.start < b.end and b.start < a.end and not (a.mapped and b.mapped)
        for a in one
        for b in several
    )


def _below(piece: Piece, sysfs: str, nodes: str) -> Iterator[Piece]:
    """What is right behind a piece of a device."""
    number = piece.thing[1]
    place = os.path.realpath(os.path.join(sysfs, "dev", "block", f"{os.major(number)}:{os.minor(number)}"))
    if os.path.exists(os.path.join(place, "partition")):
        whole = _device(os.path.dirname(place))
        if whole is not None:
            yield _within(piece, whole, _number(place, "start") * _SECTOR, _number(place, "size") * _SECTOR)
    loop = os.path.join(place, "loop")
    if os.path.isdir(loop):
        file = _asked(os.path.join(nodes, os.path.basename(place)), number) or _named(loop)
        if file is not None:
            yield _within(piece, file, _number(loop, "offset"), _number(loop, "sizelimit"))
    for name in _names(os.path.join(place, "slaves")):
        member = _device(os.path.join(place, "slaves", name))
        if member is not None:
            yield Piece(member, mapped=True)


def _within(piece: Piece, whole: Thing, start: int, size: int) -> Piece:
    """A piece of a device as a piece of what that is a window of, `size` bytes from `start` on (0: to the end)."""
    end = min(piece.end, size or _END)
    return Piece(whole, start + piece.start, start + end, piece.mapped)


def _asked(node: str, number: int) -> Thing | None:
    """What a loop device itself says that it is: that holds whatever became of the file's name."""
    try:
        fd = os.open(node, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if thing(os.fstat(fd)) != ("device", number, 0):
            return None
        told = fcntl.ioctl(fd, _LOOP_GET_STATUS64, bytes(232))
    except OSError:
        return None
    finally:
        os.close(fd)
    device, inode, itself = struct.unpack_from("QQQ", told)  # struct loop_info64: lo_device, lo_inode, lo_rdevice
    return ("device", itself, 0) if itself else ("file", device, inode)


def _named(loop: str) -> Thing | None:
    """The file of a loop device by the name that the kernel tells."""
    try:
        return thing(os.stat(_text(os.path.join(loop, "backing_file"))))
    except (OSError, ValueError):
        return None


def _device(place: str) -> Thing | None:
    major, _, minor = _text(os.path.join(place, "dev")).partition(":")
    return ("device", os.makedev(int(major), int(minor)), 0) if major.isdecimal() and minor.isdecimal() else None


def _number(place: str, name: str) -> int:
    text = _text(os.path.join(place, name))
    return int(text) if text.isdecimal() else 0


def _text(path: str) -> str:
    """A line that the kernel tells; nothing where it does not."""
    try:
        with open(path, "rb") as file:
            return os.fsdecode(file.read(1 << 16).removesuffix(b"\n"))
    except OSError:
        return ""


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
