"""Whether a tar of before POSIX (without `ustar`) begins with an OVF descriptor. Looks at the head only."""

from __future__ import annotations

from imgtool.containers.tar.layout import BLOCK
from imgtool.containers.tar.numbers import checksum_holds
from imgtool.detect.registry import Windows


def old_tar(windows: Windows) -> bool:
    """True where the first header's name ends with `.ovf` and its numbers are written as tar does; its checksum may
    be damaged."""
    head = windows.head[:BLOCK]
    name = head[:100].partition(b"\0")[0]
    if name[-4:].lower() != b".ovf":
        return False
    return checksum_holds(head) or (len(head) == BLOCK and not head[100:156].strip(b"01234567 \0"))
