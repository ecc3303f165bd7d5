"""A reader of sparse extents of its own, from the specification: nothing of imgtool is used.

Reference: VMware "Virtual Disk Format 5.0".
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import NamedTuple

SECTOR = 512

HEADER = struct.Struct("<4sIIQQQQIQQQB4sH433s")


class Header(NamedTuple):
    """SparseExtentHeader; the four newline characters as one."""

    magic: bytes
    version: int
    flags: int
    capacity: int
    grain_size: int
    descriptor_offset: int
    descriptor_size: int
    gtes_per_gt: int
    rgd_offset: int
    gd_offset: int
    over_head: int
    unclean: int
    newlines: bytes
    compress: int
    pad: bytes


def header(image: bytes, at: int = 0) -> Header:
    """The header at a sector."""
    return Header._make(HEADER.unpack_from(image, at * SECTOR))


def numbers(image: bytes, sector: int, count: int) -> tuple[int, ...]:
    """Entries of a directory or table at a sector."""
    return struct.unpack_from(f"<{count}I", image, sector * SECTOR)


def words(image: bytes) -> str:
    """The text of the embedded descriptor."""
    return image[SECTOR : 21 * SECTOR].rstrip(b"\0").decode()


def grains(data: bytes | bytearray, size: int) -> dict[int, bytes]:
    """The grains that are not all zeros, each as a whole."""
    pieces = {at // size: bytes(data[at : at + size]).ljust(size, b"\0") for at in range(0, len(data), size)}
    return {number: piece for number, piece in pieces.items() if any(piece)}


class Seen(NamedTuple):
    """What a reader from front to back meets: grains and their sectors, tables and the directory with theirs, the
    footer's sector."""

    order: list[str]
    grains: dict[int, bytes]
    places: dict[int, int]
    tables: list[tuple[int, tuple[int, ...]]]
    directory: tuple[int, int]
    footer: int


def front_to_back(image: bytes) -> Seen:
    """Read a stream as one that cannot go back; fail where a marker is none."""
    head = header(image)
    sector = head.over_head
    seen = Seen([], {}, {}, [], (0, 0), 0)
    while True:
        val, size, kind = struct.unpack_from("<QII", image, sector * SECTOR)
        if size:
            packed = image[sector * SECTOR + 12 :][:size]
            number, inside = divmod(val, head.grain_size)
            assert inside == 0
            assert number not in seen.grains
            seen.grains[number] = zlib.decompress(packed)
            seen.places[number] = sector
            after = sector + -(-(12 + size) // SECTOR)
            assert not any(image[sector * SECTOR + 12 + size : after * SECTOR])
            sector = after
            seen.order.append("grain")
            continue
        assert not any(image[sector * SECTOR + 16 : (sector + 1) * SECTOR])
        seen.order.append(("end", "table", "directory", "footer")[kind])
        if kind == 0:
            assert val == 0
            assert (sector + 1) * SECTOR == len(image)
            return seen
        if kind == 1:
            assert val == 4
            seen.tables.append((sector + 1, numbers(image, sector + 1, 512)))
        elif kind == 2:
            seen = seen._replace(directory=(sector + 1, val))
        else:
            assert val == 1
            seen = seen._replace(footer=sector + 1)
        sector += 1 + val


def content_digest(data: bytes, size: int) -> bytes:
    """The block digest of a disk of up to 16 MiB, by its definition."""
    data = data.ljust(size, b"\0")
    blocks = [data[at : at + 65_536].ljust(65_536, b"\0") for at in range(0, size, 65_536)]
    root = hashlib.sha256(b"\1" + b"".join(hashlib.sha256(b"\0" + block).digest() for block in blocks)).digest()
    return hashlib.sha256(b"\2" + struct.pack(">Q", size) + root).digest()
