"""zip on disk: the end records, the central directory, local headers. All little-endian.

Reference: APPNOTE.TXT 6.3.10 (sections 4.3 to 4.5). Signatures are in the order of the file.
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int16ul, Int32ul, Int64ul, Struct

from imgtool.structs.layout import Layout, flags

LOCAL_MAGIC = b"PK\x03\x04"
CENTRAL_MAGIC = b"PK\x01\x02"
END_MAGIC = b"PK\x05\x06"
LOCATOR_MAGIC = b"PK\x06\x07"
END64_MAGIC = b"PK\x06\x06"

METHODS = {
    0: "stored",
    8: "deflate",
    9: "deflate64",
    12: "bzip2",
    14: "lzma1",
    93: "zstd",
    95: "xz",
    99: "aes",
}
FLAGS = {0: "encrypted", 3: "data-descriptor", 6: "strong-encryption", 11: "utf-8", 13: "masked"}
ENCRYPTED, DESCRIPTOR, UTF8 = 1 << 0, 1 << 3, 1 << 11
LZMA_EOS = 1 << 1
EXTRA_ZIP64 = 0x0001


class Local(NamedTuple):
    """Section 4.3.7: a local file header; name and extra field follow."""

    signature: bytes
    version: int
    flags: int
    method: int
    time: int
    date: int
    crc32: int
    compressed: int
    uncompressed: int
    name_length: int
    extra_length: int


LOCAL = Layout(
    "zip local header",
    Local,
    Struct(
        "signature" / Bytes(4),
        "version" / Int16ul,
        "flags" / Int16ul,
        "method" / Int16ul,
        "time" / Int16ul,
        "date" / Int16ul,
        "crc32" / Int32ul,
        "compressed" / Int32ul,
        "uncompressed" / Int32ul,
        "name_length" / Int16ul,
        "extra_length" / Int16ul,
    ),
    meanings={"flags": flags(FLAGS), "method": METHODS},
)


class Central(NamedTuple):
    """Section 4.3.12: a header of the central directory; name, extra field and comment follow."""

    signature: bytes
    made_by: int
    version: int
    flags: int
    method: int
    time: int
    date: int
    crc32: int
    compressed: int
    uncompressed: int
    name_length: int
    extra_length: int
    comment_length: int
    disk: int
    internal: int
    external: int
    offset: int


CENTRAL = Layout(
    "zip central header",
    Central,
    Struct(
        "signature" / Bytes(4),
        "made_by" / Int16ul,
        "version" / Int16ul,
        "flags" / Int16ul,
        "method" / Int16ul,
        "time" / Int16ul,
        "date" / Int16ul,
        "crc32" / Int32ul,
        "compressed" / Int32ul,
        "uncompressed" / Int32ul,
        "name_length" / Int16ul,
        "extra_length" / Int16ul,
        "comment_length" / Int16ul,
        "disk" / Int16ul,
        "internal" / Int16ul,
        "external" / Int32ul,
        "offset" / Int32ul,
    ),
    meanings={"flags": flags(FLAGS), "method": METHODS},
)


class End(NamedTuple):
    """Section 4.3.16: the end of the central directory; a comment follows."""

    signature: bytes
    disk: int
    directory_disk: int
    entries_here: int
    entries: int
    size: int
    offset: int
    comment_length: int


END = Layout(
    "zip end record",
    End,
    Struct(
        "signature" / Bytes(4),
        "disk" / Int16ul,
        "directory_disk" / Int16ul,
        "entries_here" / Int16ul,
        "entries" / Int16ul,
        "size" / Int32ul,
        "offset" / Int32ul,
        "comment_length" / Int16ul,
    ),
)


class Locator(NamedTuple):
    """Section 4.3.15: where the zip64 end record lies."""

    signature: bytes
    disk: int
    offset: int
    disks: int


LOCATOR = Layout(
    "zip64 locator",
    Locator,
    Struct("signature" / Bytes(4), "disk" / Int32ul, "offset" / Int64ul, "disks" / Int32ul),
)


class End64(NamedTuple):
    """Section 4.3.14: the zip64 end record."""

    signature: bytes
    record_size: int
    made_by: int
    version: int
    disk: int
    directory_disk: int
    entries_here: int
    entries: int
    size: int
    offset: int


END64 = Layout(
    "zip64 end record",
    End64,
    Struct(
        "signature" / Bytes(4),
        "record_size" / Int64ul,
        "made_by" / Int16ul,
        "version" / Int16ul,
        "disk" / Int32ul,
        "directory_disk" / Int32ul,
        "entries_here" / Int64ul,
        "entries" / Int64ul,
        "size" / Int64ul,
        "offset" / Int64ul,
    ),
)
