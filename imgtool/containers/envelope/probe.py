"""Whether text begins like an OVF descriptor or an EC2 bundle manifest. Looks at the head only."""

from __future__ import annotations

import re

from imgtool.detect.registry import Windows

_ENVELOPE = re.compile(r"<(?:[A-Za-z_][\w.-]{0,63}:)?Envelope[\s>/]")
_NAMESPACE = re.compile(r"schemas\.dmtf\.org/ovf/(?:1/)?envelope|www\.vmware\.com/schema/ovf/1/envelope")
_BUNDLE = re.compile(r"<manifest[\s>]")
_BUNDLE_PARTS = re.compile(r"<(?:bundler|machine_configuration|bundled_size|ec2_encrypted_key|image)[\s>]")


def is_envelope(windows: Windows) -> bool:
    """True where the root element is an Envelope, and OVF's namespace is named in the head."""
    text = head_text(windows.head)
    start = root_start(text)
    return start is not None and bool(_ENVELOPE.match(text, start)) and bool(_NAMESPACE.search(text))


def is_bundle_manifest(windows: Windows) -> bool:
    """True where the root element is `manifest` and an element of EC2's bundles follows."""
    text = head_text(windows.head)
    start = root_start(text)
    return start is not None and bool(_BUNDLE.match(text, start)) and bool(_BUNDLE_PARTS.search(text))


def head_text(head: bytes) -> str:
    """The head as text, by its byte order mark or its first bytes (XML 1.0, appendix F)."""
    if head.startswith((b"\xff\xfe", b"<\0")):
        return head.decode("utf-16-le", "replace")
    if head.startswith((b"\xfe\xff", b"\0<")):
        return head.decode("utf-16-be", "replace")
    return head.decode("utf-8", "replace")


def root_start(text: str) -> int | None:
    """Where the root element begins: after the declaration, comments and a document type."""
    position = text.find("<")
    if text[: max(position, 0)].strip("\ufeff \t\r\n"):
        return None
    while position >= 0:
        if text.startswith("<!--", position):
            end = text.find("-->", position)
        elif text.startswith("<?", position):
            end = text.find("?>", position)
        elif text.startswith("<!DOCTYPE", position):
            return _after_doctype(text, position)
        else:
            return position
        if end < 0:
            return None
        position = text.find("<", end + 2)
    return None


def _after_doctype(text: str, position: int) -> int | None:
    """The first tag after a document type, whose own declarations may hold anything."""
    for found in (_ENVELOPE, _BUNDLE):
        match = found.search(text, position)
        if match:
            return match.start()
    return None
