"""Marks that are too weak alone. Pure, over the windows of a source; nothing here raises."""

from __future__ import annotations

from imgtool.detect.registry import Windows
from imgtool.units import is_power_of_two

_UNKNOWN = (1 << 64) - 1
_LARGEST = 1 << 40
_CAN_INFLATE_TO = 20_000  #: no LZMA1 stream makes more of its bytes


def is_lzma(windows: Windows) -> bool:
    """An lzma-alone header that its encoders write, as xz itself judges them, and a first byte of 0.

    The dictionary is 2^n or 2^n + 2^(n-1) bytes; the size is unknown or one that the file can hold.
    """
    head = windows.head
    if len(head) < 18 or head[13]:
        return False
    dictionary = int.from_bytes(head[1:5], "little")
    low = dictionary & -dictionary
    if dictionary < 4096 or not (is_power_of_two(dictionary) or dictionary == 3 * low):
        return False
    size = int.from_bytes(head[5:13], "little")
    return size == _UNKNOWN or size <= min(_LARGEST, windows.size * _CAN_INFLATE_TO)


def ends_as_zip(windows: Windows) -> bool:
    """True when the end record of a zip archive and its comment are the last bytes (APPNOTE.TXT, 4.3.16)."""
    tail = windows.far + windows.tail
    at = len(tail)
    for _ in range(64):
        at = tail.rfind(b"PK\x05\x06", 0, at)
        if at < 0:
            return False
        if at + 22 + int.from_bytes(tail[at + 20 : at + 22], "little") == len(tail):
            return True
    return False


def is_frame(windows: Windows) -> bool:
    """Skippable frames, and behind them the magic of zstd or lz4 (or an end outside the head)."""
    at, head = 0, windows.head
    for _ in range(64):
        magic = head[at : at + 4]
        if magic in (b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"):
            return True
        if len(head) < at + 8 or magic[0] & 0xF0 != 0x50 or magic[1:] != b"\x2a\x4d\x18":
            return False
        at += 8 + int.from_bytes(head[at + 4 : at + 8], "little")
        if at >= len(head):
            return at + 4 < windows.size
    return False
