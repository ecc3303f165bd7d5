"""Ids of a new image, made from its content: the same guest bytes have the same ids, on every machine and day.

They are made from the content's mark, which tells contents apart and costs a tenth of a digest that would prove
anything: an id need not, and a conversion that is not to be verified need not wait for it. The mark is SHA-256 over
12 bytes for each unit of 65,536 bytes that is not all zeros, in order (its number, 8 bytes, and its CRC-32C, 4 bytes;
the last unit is filled up with zeros), and 8 bytes for the size of the disk. Numbers are big-endian.
"""

from __future__ import annotations

from struct import Struct

from imgtool.targets.writer import is_zeros

UNIT = 65_536

_MARK = Struct(">QI")

#: The name space "URL" of RFC 4122, appendix C.
_NAMESPACE_URL = bytes.fromhex("6ba7b8119dad11d180b400c04fd430c8")


def unit_marks(start: int, data: bytes) -> bytes:
    """What the units of a piece add to the mark; the piece begins at a multiple of `UNIT`."""
    from crc32c import crc32c

    view = memoryview(data)
    found = []
    for low in range(0, len(data), UNIT):
        high = min(low + UNIT, len(data))
        if not is_zeros(data, low, high):
            value: int = crc32c(view[low:high])
            if high < low + UNIT:
                value = crc32c(bytes(low + UNIT - high), value)
            found.append(_MARK.pack((start + low) // UNIT, value))
    return b"".join(found)


class ContentMark:
    """The mark as it grows, piece after piece."""

    def __init__(self) -> None:
        from hashlib import sha256

        self._hash = sha256()

    def take(self, marks: bytes) -> None:
        """Append what `unit_marks` made of the next piece."""
        self._hash.update(marks)

    def digest(self, size: int) -> bytes:
        """The mark of a disk of `size` bytes: 32 bytes."""
        whole = self._hash.copy()
        whole.update(size.to_bytes(8, "big"))
        return whole.digest()


def content_uuid(mark: bytes, what: str) -> bytes:
    """A UUID of 16 bytes, big-endian: RFC 4122, section 4.3, version 5, of the URL `urn:imgtool:WHAT:MARK` with the
    mark in hex. `what` tells apart the ids of one image ("vhd.unique_id")."""
    from hashlib import sha1

    name = f"urn:imgtool:{what}:{mark.hex()}"
    raw = bytearray(sha1(_NAMESPACE_URL + name.encode(), usedforsecurity=False).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x50
    raw[8] = raw[8] & 0x3F | 0x80
    return bytes(raw)
