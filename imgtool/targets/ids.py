"""Ids of a new image, made from its content: the same guest bytes have the same ids, on every machine and day."""

from __future__ import annotations

from imgtool.targets.writer import Stamp

#: The name space "URL" of RFC 4122, appendix C.
_NAMESPACE_URL = bytes.fromhex("6ba7b8119dad11d180b400c04fd430c8")


def content_uuid(stamp: Stamp, what: str) -> bytes:
    """A UUID of 16 bytes, big-endian: RFC 4122, section 4.3, version 5, of the URL `urn:imgtool:WHAT:DIGEST`, where
    the digest is the stamp's content in hex. `what` tells apart the ids of one image ("vhd.unique_id")."""
    from hashlib import sha1

    assert stamp.content
    name = f"urn:imgtool:{what}:{stamp.content.hex()}"
    raw = bytearray(sha1(_NAMESPACE_URL + name.encode(), usedforsecurity=False).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x50
    raw[8] = raw[8] & 0x3F | 0x80
    return bytes(raw)
