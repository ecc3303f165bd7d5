"""Is this text a VMDK descriptor? Asked of every input that begins like text, so it only walks its first lines."""

from __future__ import annotations

import re

from imgtool.detect.registry import Windows

#: Blank lines and comments, then the first line that is neither.
_FIRST = re.compile(rb"(?:\xef\xbb\xbf)?(?:[ \t\r\0]*+(?:#[^\n]*+)?\n)*+[ \t]*+([^\n]{0,64})")
_MARK = re.compile(
    rb"^(?:\xef\xbb\xbf)?[ \t]*+#[# \t]*+disk[ \t]*+descriptor[ \t]*+file", re.MULTILINE | re.IGNORECASE
)
_KEY = re.compile(rb"[\"']?(?:version|encoding|CID|parentCID|createType)[\"']?[ \t]*+=", re.IGNORECASE)


def is_descriptor(windows: Windows) -> bool:
    """True for text that is a descriptor after comments and blank lines, or may be one behind so many of them."""
    head = windows.head
    match = _FIRST.match(head)
    if match is None:
        return False
    rest = match[1]
    if windows.size > len(head) and (not rest or (rest[:1] == b"#" and head.find(b"\n", match.start(1)) < 0)):
        return True
    comments = head[: match.start(1)]
    return _KEY.match(rest) is not None or _MARK.search(comments + rest) is not None
