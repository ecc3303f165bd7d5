"""Identifiers and dates as ISO 9660 and UDF write them. Nothing is read here.

References: ECMA-119 8.4.26.1 (dates), Joliet specification (UCS-2), ECMA-167 1/7.2.12 (dstring), 1/7.3 (timestamp),
OSTA UDF 2.1.1 and 2.1.3 (compressed Unicode).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from imgtool.model.values import c_text, text

#: A date of zeros, or of spaces or NULs (as some writers have it), is not specified.
_UNSPECIFIED = (b"0" * 16, b" " * 16, b"\0" * 16)


def padded(raw: bytes) -> str:
    """An identifier without the spaces or NULs it is filled up with."""
    return text(raw.rstrip(b" \0"))


def wide(raw: bytes) -> str:
    """A big-endian UCS-2 identifier without its filling."""
    return raw.decode("utf-16-be", "replace").rstrip(" \0")


def decimal_date(raw: bytes) -> tuple[str | None, bool]:
    """A date in digits as RFC 3339, and whether it is valid; (None, True) where it is not specified."""
    digits, quarter = raw[:16], int.from_bytes(raw[16:17], "big", signed=True)
    if digits in _UNSPECIFIED:
        return None, True
    if not digits.isdigit() or not -48 <= quarter <= 52:
        return None, False
    year, month, day, hour, minute, second, part = (
        int(digits[start:end]) for start, end in ((0, 4), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14), (14, 16))
    )
    found = _utc(year, month, day, hour, minute, second, part * 10_000, quarter * 15)
    return found, found is not None


def _utc(year: int, month: int, day: int, hour: int, minute: int, second: int, micro: int, zone: int) -> str | None:
    """RFC 3339 in UTC; `zone` is minutes east of Greenwich. None where there is no such time."""
    try:
        moment = datetime(year, month, day, hour, minute, second, micro) - timedelta(minutes=zone)
    except (ValueError, OverflowError):
        return None
    return moment.isoformat(timespec="microseconds" if micro else "seconds") + "Z"


def timestamp(raw: bytes) -> str | None:
    """A UDF timestamp of 12 bytes as RFC 3339, UTC; a zone that is not specified counts as none."""
    word = int.from_bytes(raw[:2], "little")
    zone = word & 0xFFF
    zone -= 0x1000 if zone & 0x800 else 0
    year = int.from_bytes(raw[2:4], "little", signed=True)
    micro = raw[9] * 10_000 + raw[10] * 100 + raw[11]
    if micro >= 1_000_000:
        return None
    month, day, hour, minute, second = raw[4:9]
    return _utc(year, month, day, hour, minute, second, micro, zone if -1440 <= zone <= 1440 else 0)


def dstring(raw: bytes) -> str:
    """A fixed-length string of UDF: its last byte is the length used, its first the bits of a character."""
    body = raw[: min(raw[-1], len(raw) - 1)]
    if body[:1] in (b"\x10", b"\xff"):
        return body[1:].decode("utf-16-be", "replace").rstrip("\0")
    return body[1:].decode("latin-1").rstrip("\0")


def regid(raw: bytes) -> str:
    """The identifier of an entity identifier (ECMA-167 1/7.4)."""
    return c_text(raw[1:24])
