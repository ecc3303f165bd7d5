"""The signature of a swap disk, so that a guest can use it at once.

Reference: Linux, include/linux/swap.h (`union swap_header`), mkswap(8).
"""

from __future__ import annotations

import struct

PAGE = 4096
_MAGIC = b"SWAPSPACE2"
_VERSION = 1
_LAST = (1 << 32) - 1  #: the last page that the signature can name; a kernel does not use what lies behind


def signature(size: int) -> bytes:
    """The first page of a swap disk of `size` bytes."""
    head = struct.pack("<III", _VERSION, min(size // PAGE - 1, _LAST), 0)
    return head.rjust(1024 + len(head), b"\0").ljust(PAGE - len(_MAGIC), b"\0") + _MAGIC
