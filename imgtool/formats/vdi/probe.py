"""VDI: the line of text that every image begins with, which tells of one whose signature is damaged."""

from __future__ import annotations

from imgtool.detect.registry import Windows

_SIGNATURE = b"\x7f\x10\xda\xbe"


def announced(windows: Windows) -> bool:
    """True where VirtualBox's or QEMU's line "<<< … Disk Image >>>" is there, and the signature behind it is not."""
    return b" Disk Image >>>\n" in windows.head[:0x40] and windows.head[0x40:0x44] != _SIGNATURE
