"""VHDX's checksums, and its second mark: a header at 64 KiB where the file type identifier is gone.

Reference: [MS-VHDX] 2.2.2 ("Checksum").
"""

from __future__ import annotations

from imgtool.detect.registry import Windows

_HEADER_AT = 64 * 1024
_HEADER_SIZE = 4 * 1024


def crc(data: bytes) -> int:
    """CRC-32C of a structure whose own checksum, the four bytes at 4, counts as zeros."""
    from crc32c import crc32c

    value: int = crc32c(data[8:], crc32c(data[:4] + bytes(4)))
    return value


def is_header(windows: Windows) -> bool:
    """True when the 4 KiB at 64 KiB are a header whose checksum holds."""
    data = windows.head[_HEADER_AT : _HEADER_AT + _HEADER_SIZE]
    return len(data) == _HEADER_SIZE and int.from_bytes(data[4:8], "little") == crc(data)
