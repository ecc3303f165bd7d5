"""Checksums made right again after a change, so that what they protect is reached. Nothing of imgtool's is used."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable

VHDX_HEADERS = ((0x10000, 0x1000), (0x20000, 0x1000), (0x30000, 0x10000), (0x40000, 0x10000))
MOST_ENTRIES = 1024


def crc32c(data: bytes) -> int:
    """CRC-32C."""
    import crc32c as library

    return int(library.crc32c(data))


def vhd(data: bytearray) -> None:
    """Footer, its copy, and the dynamic header: the ones' complement of the sum of all other bytes."""
    for at in (0, len(data) - 512, len(data) - 511):
        if at >= 0 and data[at : at + 8] == b"conectix" and at + 511 <= len(data):
            place(data, at, 512 if at + 512 <= len(data) else 511, 64)
            (offset,) = struct.unpack(">Q", data[at + 16 : at + 24])
            if data[offset : offset + 8] == b"cxsparse":
                place(data, offset, 1024, 36)


def place(data: bytearray, at: int, length: int, field: int) -> None:
    """Write the sum of a VHD structure."""
    body = bytearray(data[at : at + length])
    if len(body) == length:
        body[field : field + 4] = bytes(4)
        data[at + field : at + field + 4] = struct.pack(">I", ~sum(body) & 0xFFFFFFFF)


def vhdx(data: bytearray) -> None:
    """Both headers and both region tables: CRC-32C with the field as zeros."""
    for at, length in VHDX_HEADERS:
        if data[at : at + 4] in (b"head", b"regi") and at + length <= len(data):
            data[at + 4 : at + 8] = bytes(4)
            data[at + 4 : at + 8] = struct.pack("<I", crc32c(bytes(data[at : at + length])))


def gpt(data: bytearray) -> None:
    """Entries first, then the header that holds their sum; both copies, at either sector size."""
    for sector in (512, 4096):
        for at in (sector, len(data) - sector):
            if at >= 0 and data[at : at + 8] == b"EFI PART" and at + 92 <= len(data):
                lba, count, size = struct.unpack("<QII", data[at + 72 : at + 88])
                start, length = lba * sector, min(count, MOST_ENTRIES) * min(size, 4096)
                if start + length <= len(data):
                    entries = zlib.crc32(bytes(data[start : start + length]))
                    data[at + 88 : at + 92] = struct.pack("<I", entries)
                (header,) = struct.unpack("<I", data[at + 12 : at + 16])
                data[at + 16 : at + 20] = bytes(4)
                body = bytes(data[at : at + min(header, sector)])
                data[at + 16 : at + 20] = struct.pack("<I", zlib.crc32(body))


def luks2(data: bytearray) -> None:
    """Both headers: SHA-256 over header and JSON area with the field as zeros."""
    if data[:8] == b"LUKS\xba\xbe\0\x02" and len(data) >= 4096:
        (size,) = struct.unpack(">Q", data[8:16])
        for at in (0, size):
            if 4096 <= size <= 4 << 20 and at + size <= len(data):
                data[at + 448 : at + 512] = bytes(64)
                data[at + 448 : at + 480] = hashlib.sha256(data[at : at + size]).digest()


def tar(data: bytearray) -> None:
    """Each header: the sum of its bytes with the field as spaces, in octal."""
    for at in range(0, min(len(data), 1 << 20) - 511, 512):
        if data[at + 257 : at + 262] == b"ustar":
            data[at + 148 : at + 156] = b" " * 8
            data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])


MENDERS: tuple[Callable[[bytearray], None], ...] = (vhd, vhdx, gpt, luks2, tar)


def mend(data: bytearray) -> None:
    """Every checksum that is known here."""
    for mender in MENDERS:
        mender(data)
