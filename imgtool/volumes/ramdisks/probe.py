"""The old binary cpio's mark is two bytes; this looks at its header. Pure, over the windows of a source."""

from __future__ import annotations

from imgtool.detect.registry import Windows


def is_binary_cpio(windows: Windows) -> bool:
    """A header of the old binary form, and behind its name and data another one (or the end of the head)."""
    from imgtool.volumes.ramdisks.cpio import binary_header

    head = windows.head
    if not binary_header(head[:26]):
        return False
    order = "little" if head[:1] == b"\xc7" else "big"
    words = [int.from_bytes(head[at : at + 2], "little" if order == "little" else "big") for at in range(0, 26, 2)]
    name, data = words[10], words[11] << 16 | words[12]
    if head[26 + name - 1 : 26 + name] != b"\0" or not all(byte >= 32 for byte in head[26 : 26 + name - 1]):
        return False
    follows = 26 + name + name % 2 + data + data % 2
    if head[26 : 26 + name] == b"TRAILER!!!\0":
        return True
    return follows < windows.size and (follows >= len(head) - 2 or head[follows : follows + 2] == head[:2])
