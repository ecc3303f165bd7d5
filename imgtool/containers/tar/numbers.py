"""The numbers of tar headers: octal text, or base-256 where the first bit is set (GNU, star)."""

from __future__ import annotations

from imgtool.containers.tar.layout import BLOCK, CHKSUM_AT

_OCTAL = frozenset(b"01234567")

#: The largest size or offset that any file can have (a signed 64-bit off_t).
LARGEST = (1 << 63) - 1


def number(raw: bytes) -> int | None:
    """The number in a header field; None where it is none, negative, or over 63 bits."""
    if raw and raw[0] & 0x80:
        value = int.from_bytes(bytes([raw[0] & 0x7F]) + raw[1:], "big")
        return value if value <= LARGEST else None
    digits = raw.partition(b"\0")[0].strip(b" ")
    if not digits:
        return 0
    return int(digits, 8) if _OCTAL.issuperset(digits) else None


def checksum_holds(header: bytes) -> bool:
    """True when the header's checksum is right, over unsigned bytes or (some old programs) signed ones."""
    stated = number(header[CHKSUM_AT : CHKSUM_AT + 8])
    if stated is None or len(header) < BLOCK:
        return False
    unsigned = sum(header[:CHKSUM_AT]) + 8 * 0x20 + sum(header[CHKSUM_AT + 8 : BLOCK])
    return stated == unsigned or stated == unsigned - 256 * sum(byte > 127 for byte in header[:BLOCK])


def rounded(size: int) -> int:
    """`size` bytes in whole blocks."""
    return (size + BLOCK - 1) // BLOCK * BLOCK
