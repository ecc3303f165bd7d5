"""cpio archives on disk: newc and crc (hexadecimal text), odc (octal text), the old binary form.

References: Linux Documentation/driver-api/early-userspace/buffer-format; cpio(5).
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int16ub, Int16ul, Struct

from imgtool.structs.layout import Layout

NEWC_MAGIC = b"070701"
CRC_MAGIC = b"070702"
ODC_MAGIC = b"070707"
BINARY_LITTLE = b"\xc7\x71"
BINARY_BIG = b"\x71\xc7"

TRAILER = b"TRAILER!!!"


class Newc(NamedTuple):
    """110 bytes; name and data follow, each padded to 4. Every number is eight hexadecimal digits."""

    magic: bytes
    ino: bytes
    mode: bytes
    uid: bytes
    gid: bytes
    nlink: bytes
    mtime: bytes
    filesize: bytes
    devmajor: bytes
    devminor: bytes
    rdevmajor: bytes
    rdevminor: bytes
    namesize: bytes
    check: bytes


NEWC = Layout(
    "cpio newc header",
    Newc,
    Struct(
        "magic" / Bytes(6),
        "ino" / Bytes(8),
        "mode" / Bytes(8),
        "uid" / Bytes(8),
        "gid" / Bytes(8),
        "nlink" / Bytes(8),
        "mtime" / Bytes(8),
        "filesize" / Bytes(8),
        "devmajor" / Bytes(8),
        "devminor" / Bytes(8),
        "rdevmajor" / Bytes(8),
        "rdevminor" / Bytes(8),
        "namesize" / Bytes(8),
        "check" / Bytes(8),
    ),
)


class Odc(NamedTuple):
    """76 bytes; name and data follow, unpadded. Every number is octal digits."""

    magic: bytes
    dev: bytes
    ino: bytes
    mode: bytes
    uid: bytes
    gid: bytes
    nlink: bytes
    rdev: bytes
    mtime: bytes
    namesize: bytes
    filesize: bytes


ODC = Layout(
    "cpio odc header",
    Odc,
    Struct(
        "magic" / Bytes(6),
        "dev" / Bytes(6),
        "ino" / Bytes(6),
        "mode" / Bytes(6),
        "uid" / Bytes(6),
        "gid" / Bytes(6),
        "nlink" / Bytes(6),
        "rdev" / Bytes(6),
        "mtime" / Bytes(11),
        "namesize" / Bytes(6),
        "filesize" / Bytes(11),
    ),
)


class Binary(NamedTuple):
    """26 bytes of 16-bit words in the writer's byte order; name and data follow, each padded to 2."""

    magic: int
    dev: int
    ino: int
    mode: int
    uid: int
    gid: int
    nlink: int
    rdev: int
    mtime_high: int
    mtime_low: int
    namesize: int
    filesize_high: int
    filesize_low: int


BINARY = {
    b"\xc7\x71": Layout("cpio binary header", Binary, Struct(*(name / Int16ul for name in Binary._fields))),
    b"\x71\xc7": Layout("cpio binary header", Binary, Struct(*(name / Int16ub for name in Binary._fields))),
}
