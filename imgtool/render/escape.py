"""Every escape of every output format. What came out of a file passes one of these before it is shown."""

from __future__ import annotations


def terminal(text: str) -> str:
    """`text` safe for a terminal: control, bidirectional and undecodable characters as `\\x1b`, `\\u202e`."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _code(ord(letter)) for letter in text)


def _code(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def checksum_name(name: str) -> tuple[str, str]:
    """A file name as in coreutils' checksum lines: a mark for the line's start, and the name escaped."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return ("\\" if escaped != name else ""), escaped


def checksum_name_back(escaped: str) -> str:
    """The name that an escaped one stands for. Raises ValueError where it is not well escaped."""
    parts, position = [], 0
    letters = {"\\": "\\", "n": "\n", "r": "\r"}
    while position < len(escaped):
        letter = escaped[position]
        if letter == "\\":
            position += 1
            if position >= len(escaped) or escaped[position] not in letters:
                raise ValueError(f"not an escaped name: {escaped!r}")
            letter = letters[escaped[position]]
        parts.append(letter)
        position += 1
    return "".join(parts)


def xml(text: str) -> str:
    """`text` safe inside an XML element or a quoted attribute; what XML cannot hold is shown as its code."""
    from html import escape

    return escape(terminal(text))


def workflow_message(text: str) -> str:
    """`text` as the message of a GitHub workflow command: one line, whatever is in it."""
    return terminal(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def workflow_property(text: str) -> str:
    """`text` as a property of a GitHub workflow command, where a colon or a comma would end it."""
    return workflow_message(text).replace(":", "%3A").replace(",", "%2C")


def sarif_text(text: str) -> str:
    """`text` as a SARIF message string: braces doubled, else they are placeholders (§3.11.5); no links (§3.11.6)."""
    return terminal(text).replace("{", "{{").replace("}", "}}").replace("](", "] (")


def uri(path: str) -> str:
    """A path as a URI reference (RFC 3986), odd bytes in percent; an absolute one as a `file:` URI."""
    from urllib.parse import quote_from_bytes

    try:
        raw = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raw = path.encode("utf-8", "surrogatepass")
    told = quote_from_bytes(raw, safe="/")
    return f"file://{told}" if path.startswith("/") else told


_COLOURS = {"error": "31;1", "warning": "33;1", "note": "36", "good": "32", "title": "1"}


def styled(text: str, style: str, colour: bool) -> str:
    """`text` in a style, where colour is wanted. `text` must be escaped already."""
    return f"\x1b[{_COLOURS[style]}m{text}\x1b[0m" if colour else text
