"""qcow on disk, version 1. All numbers are big-endian.

Reference: QEMU block/qcow (the format has no other specification).
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int8ub, Int16ub, Int32ub, Int64ub, Struct

from imgtool.structs.layout import Layout

CRYPT_METHODS = {0: "none", 1: "aes"}

CLUSTER_BITS = (9, 16)
L2_BITS = (6, 13)
BACKING_NAME_MAX = 1023

#: The bit of an entry of an L2 table that tells a compressed cluster.
OFLAG_COMPRESSED = 1 << 63


class Header(NamedTuple):
    """The header, 48 bytes."""

    magic: bytes
    version: int
    backing_file_offset: int
    backing_file_size: int
    mtime: int
    size: int
    cluster_bits: int
    l2_bits: int
    padding: int
    crypt_method: int
    l1_table_offset: int


HEADER = Layout(
    "qcow header",
    Header,
    Struct(
        "magic" / Bytes(4),
        "version" / Int32ub,
        "backing_file_offset" / Int64ub,
        "backing_file_size" / Int32ub,
        "mtime" / Int32ub,
        "size" / Int64ub,
        "cluster_bits" / Int8ub,
        "l2_bits" / Int8ub,
        "padding" / Int16ub,
        "crypt_method" / Int32ub,
        "l1_table_offset" / Int64ub,
    ),
    meanings={
        "mtime": lambda seconds: f"{seconds} seconds since 1970",
        "size": lambda size: f"virtual size, {size} bytes",
        "cluster_bits": lambda bits: f"cluster size {1 << bits} bytes" if bits < 64 else "out of range",
        "l2_bits": lambda bits: f"{1 << bits} entries an L2 table" if bits < 64 else "out of range",
        "crypt_method": CRYPT_METHODS,
    },
)
