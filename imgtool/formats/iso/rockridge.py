"""Rock Ridge: the SUSP entries of the root directory's own record.

References: IEEE P1281 (SUSP) section 5 (SP, CE, ER, ST), IEEE P1282 (RRIP) section 4.
"""

from __future__ import annotations

from imgtool.formats.iso import layout as lay
from imgtool.formats.iso.facts import RockRidge, Root
from imgtool.limits import Limits
from imgtool.model.values import text
from imgtool.structs.view import Unreadable, View

_SP = b"SP\x07\x01\xbe\xef"
#: Entries that only Rock Ridge has; old writers left ER out.
_OWN = frozenset({"PX", "NM", "RR", "TF"})


def read_rock_ridge(view: View, root: Root, block_size: int, limits: Limits) -> RockRidge | None:
    """The SUSP entries of the root directory; None where there are none."""
    try:
        record = view.parse(lay.DIRECTORY_RECORD, root.offset, "root directory, first record")
        start = lay.DIRECTORY_RECORD.size + record.identifier_length
        start += 1 - record.identifier_length % 2
        area = view.peek(root.offset, record.length)[start:]
        at = area.find(_SP, 0, 32)  # past a CD-ROM XA record of 14 bytes, where there is one
        if at < 0:
            return None
        return _walk(view, area[at:], block_size, limits)
    except Unreadable as error:
        view.note(error.problem)
        return None


def _walk(view: View, area: bytes, block_size: int, limits: Limits) -> RockRidge | None:
    extensions: list[str] = []
    signatures: dict[str, None] = {}
    for _ in range(limits.iso_continuations):
        following: tuple[int, int] | None = None
        for signature, body in _entries(area):
            signatures[text(signature)] = None
            if signature == b"ER" and len(body) >= 8:
                extensions.append(text(body[8 : 8 + body[4]]))
            elif signature == b"CE" and len(body) >= lay.CONTINUATION.size:
                entry = lay.CONTINUATION.parse(body)
                following = entry.block_le * block_size + entry.offset_le, entry.size_le
        if following is None or following[1] > limits.iso_continuation:
            break
        area = view.read(*following, "SUSP continuation")
    if not extensions and not _OWN & set(signatures):
        return None
    return RockRidge(tuple(extensions), tuple(signatures))


def _entries(area: bytes) -> list[tuple[bytes, bytes]]:
    """(signature, whole entry) of each SUSP entry of an area, up to ST or the first that does not hold."""
    found: list[tuple[bytes, bytes]] = []
    position = 0
    while position + 4 <= len(area):
        length = area[position + 2]
        body = area[position : position + length]
        if length < 4 or len(body) < length or not body[:2].isalnum() or body[:2] == b"ST":
            break
        found.append((body[:2], body))
        position += length
    return found
