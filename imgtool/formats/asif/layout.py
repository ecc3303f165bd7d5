"""Apple sparse images (ASIF, macOS 26) on disk, version 1. All numbers are big-endian.

Apple publishes no specification: fields and names are those of public notes by people who took it apart; what they do
not explain is `unknown_…` here.
References: huven/asif-format (README); fox-it/dissect.hypervisor (c_asif); schamper.dev "Dissecting Apple's
Sparse Image Format".
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int16ub, Int32ub, Int64ub, Struct

from imgtool.structs.layout import Layout

MAGIC = b"shdw"


class Header(NamedTuple):
    """The known part of the header, 108 bytes; header_size is usually 512."""

    signature: bytes
    version: int
    header_size: int
    flags: int
    directory_offset_0: int
    directory_offset_1: int
    uuid: bytes
    sector_count: int
    max_sector_count: int
    chunk_size: int
    block_size: int
    total_segments: int
    metadata_chunk: int
    unknown_80: bytes
    read_only_flags: int
    metadata_flags: int
    metadata_read_only_flags: int


HEADER = Layout(
    "asif header",
    Header,
    Struct(
        "signature" / Bytes(4),
        "version" / Int32ub,
        "header_size" / Int32ub,
        "flags" / Int32ub,
        "directory_offset_0" / Int64ub,
        "directory_offset_1" / Int64ub,
        "uuid" / Bytes(16),
        "sector_count" / Int64ub,
        "max_sector_count" / Int64ub,
        "chunk_size" / Int32ub,
        "block_size" / Int16ub,
        "total_segments" / Int16ub,
        "metadata_chunk" / Int64ub,
        "unknown_80" / Bytes(16),
        "read_only_flags" / Int32ub,
        "metadata_flags" / Int32ub,
        "metadata_read_only_flags" / Int32ub,
    ),
)


class DirectoryHead(NamedTuple):
    """What a directory begins with; of the two, the one with the higher number is in use."""

    sequence: int


DIRECTORY_HEAD = Layout("asif directory", DirectoryHead, Struct("sequence" / Int64ub))
