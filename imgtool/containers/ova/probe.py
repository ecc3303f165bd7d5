"""Whether a tar of before POSIX (without `ustar`) begins with an OVF descriptor. Looks at the head only."""

from __future__ import annotations

from imgtool.containers.tar.layout import BLOCK
from imgtool.containers.tar.numbers import checksum_holds
from imgtool.detect.registry import Windows


def old_tar(windows: Windows) -> bool:
    """True where the first header's checksum holds and its name ends with `.ovf`."""
    head = windows.head[:BLOCK]
    name = head[:100].partition(b"\0")[0]
    return name[-4:].lower() == b".ovf" and checksum_holds(head)
