"""Sizes as people type and read them. K M G T P are powers of 1024; a bare number is bytes."""

from __future__ import annotations

from imgtool.errors import UsageError

SECTOR = 512
KIB = 1024
MIB = 1024**2
GIB = 1024**3
TIB = 1024**4

_SUFFIXES = {"": 1, "B": 1, "K": KIB, "M": MIB, "G": GIB, "T": TIB, "P": 1024**5}


def parse_size(text: str) -> int:
    """Bytes named by `text` ("10G", "1.5 MiB", "512"). Raises UsageError when it is no size."""
    body = text.strip()
    number = body.rstrip("BbiIkKmMgGtTpP ")
    suffix = body[len(number) :].strip().upper().removesuffix("IB")
    suffix = suffix.removesuffix("B") if len(suffix) > 1 else suffix
    try:
        if suffix not in _SUFFIXES:
            raise ValueError(suffix)
        size = int(number) * _SUFFIXES[suffix] if number.isdigit() else int(float(number) * _SUFFIXES[suffix])
    except (ValueError, OverflowError):
        raise UsageError(f"not a size: {text!r} (say 512, 64K, 10G, 1.5TiB)") from None
    if size < 0:
        raise UsageError(f"a size cannot be negative: {text!r}")
    return size


#: Seconds of the longest duration, 1,000 years: any time of a record and so much more is still a date.
LONGEST = 365_250 * 86_400

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_duration(text: str) -> int:
    """Seconds named by `text` ("90", "45s", "30m", "12h", "7d", "2w"). Raises UsageError when it is no duration, or
    too long."""
    body = text.strip().lower()
    number = body.rstrip("smhdw")
    unit = body[len(number) :]
    if unit not in _SECONDS or not number.isascii() or not number.isdigit() or len(number) > 12:
        raise UsageError(f"not a duration: {text!r} (say 90, 45s, 30m, 12h, 7d, 2w)")
    return duration(int(number) * _SECONDS[unit])


def duration(seconds: int) -> int:
    """`seconds`, which are from 0 to 1,000 years. Raises UsageError."""
    if not 0 <= seconds <= LONGEST:
        raise UsageError(f"a duration is from 0 to 1000 years ({LONGEST // 86_400}d)")
    return seconds


def human_duration(seconds: int) -> str:
    """`seconds` in the largest unit that says them exactly: "7d", "90s", "0s"."""
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def human_size(size: int) -> str:
    """`size` bytes for people: "196 KiB", "1.5 GiB". Exact below 1 KiB."""
    if size < KIB:
        return f"{size} B"
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if value < KIB - 0.5:
            return f"{value:.3g} {unit}" if value < 999.5 else f"{value:.0f} {unit}"
        value /= KIB
    return f"{value:.3g} EiB"


def ceil_div(amount: int, step: int) -> int:
    """`amount / step` rounded up; `step` must be positive."""
    return -(-amount // step)


def round_up(amount: int, step: int) -> int:
    """The least multiple of `step` that is not below `amount`; `step` must be positive."""
    return ceil_div(amount, step) * step


def is_power_of_two(value: int) -> bool:
    """True for 1, 2, 4, 8 …"""
    return value > 0 and value & (value - 1) == 0


def uuid_text(raw: bytes) -> str:
    """A big-endian UUID of 16 bytes as text (RFC 9562)."""
    digits = raw.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))


def guid_bytes(raw: bytes) -> bytes:
    """The mixed-endian form of a big-endian UUID of 16 bytes, and the other way round: three groups are swapped."""
    return raw[3::-1] + raw[5:3:-1] + raw[7:5:-1] + raw[8:]


def guid_text(raw: bytes) -> str:
    """A mixed-endian GUID of 16 bytes (first three groups little-endian) as text."""
    return uuid_text(guid_bytes(raw))
