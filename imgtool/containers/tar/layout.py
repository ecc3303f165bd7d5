"""tar on disk: one header of 512 bytes before each member; numbers are text (octal) or base-256.

References: POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format" and "Sparse Formats".
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Struct

from imgtool.structs.layout import Layout

BLOCK = 512
USTAR_MAGIC = b"ustar\0"
GNU_MAGIC = b"ustar "

#: typeflag → what the member is. Others are "other".
KINDS: dict[bytes, str] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",
    b"1": "hardlink",
    b"2": "symlink",
    b"3": "char-device",
    b"4": "block-device",
    b"5": "folder",
    b"6": "fifo",
    b"S": "sparse",
}

#: typeflags whose data describes the member after them.
GNU_LONG_LINK = b"K"
GNU_LONG_NAME = b"L"
PAX_NEXT = b"x"
PAX_GLOBAL = b"g"
PAX_SOLARIS = b"X"
EXTENSIONS = frozenset({GNU_LONG_LINK, GNU_LONG_NAME, PAX_NEXT, PAX_GLOBAL, PAX_SOLARIS})


def _type_meaning(value: object) -> str:
    if not isinstance(value, bytes):
        return ""
    names = {GNU_LONG_LINK: "GNU long link", GNU_LONG_NAME: "GNU long name", PAX_NEXT: "pax header"}
    names |= {PAX_GLOBAL: "pax global header", PAX_SOLARIS: "pax header (Solaris)"}
    return names.get(value) or KINDS.get(value, "other")


class Header(NamedTuple):
    """The 512 bytes before a member. `size` is of the data that follows; all numbers are still text."""

    name: bytes
    mode: bytes
    uid: bytes
    gid: bytes
    size: bytes
    mtime: bytes
    chksum: bytes
    typeflag: bytes
    linkname: bytes
    magic: bytes
    version: bytes
    uname: bytes
    gname: bytes
    devmajor: bytes
    devminor: bytes
    prefix: bytes
    padding: bytes


HEADER = Layout(
    "tar header",
    Header,
    Struct(
        "name" / Bytes(100),
        "mode" / Bytes(8),
        "uid" / Bytes(8),
        "gid" / Bytes(8),
        "size" / Bytes(12),
        "mtime" / Bytes(12),
        "chksum" / Bytes(8),
        "typeflag" / Bytes(1),
        "linkname" / Bytes(100),
        "magic" / Bytes(6),
        "version" / Bytes(2),
        "uname" / Bytes(32),
        "gname" / Bytes(32),
        "devmajor" / Bytes(8),
        "devminor" / Bytes(8),
        "prefix" / Bytes(155),
        "padding" / Bytes(12),
    ),
    meanings={"typeflag": _type_meaning},
)

#: Offset of `chksum` in the header; its eight bytes count as spaces.
CHKSUM_AT = 148
MAGIC_AT = 257
MAGIC = b"ustar"  #: POSIX and GNU tar

#: GNU sparse members (typeflag S) keep the true size in 12 bytes here, and a flag that more map follows.
GNU_REALSIZE_AT = 483
GNU_ISEXTENDED_AT = 482
