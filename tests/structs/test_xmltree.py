"""XML that nobody vouches for: what is read, what is refused, and that caps hold."""

from __future__ import annotations

import time

import pytest

from imgtool.limits import DEFAULT
from imgtool.structs.xmltree import XmlFault, parse_xml


def test_a_small_tree() -> None:
    """Namespaces, attributes in them or without, text before the first child, order of the document."""
    root = parse_xml(b'<e:a xmlns:e="urn:e" e:x="1" y="2">t <b>u</b>tail<c z="3"/></e:a>', DEFAULT)
    assert (root.space, root.name, root.text) == ("urn:e", "a", "t ")
    assert (root.get("x"), root.get("y"), root.get("z")) == ("1", "2", None)
    assert [element.name for element in root.walk()] == ["a", "b", "c"]
    assert (root.value("b"), root.value("c"), root.value("d")) == ("u", None, None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
def test_encodings(encoding: str) -> None:
    """What XML itself can tell apart is read."""
    declared = {"latin-1": "iso-8859-1", "utf-16-le": "utf-16le", "utf-8-sig": "utf-8"}.get(encoding, encoding)
    text = f'<?xml version="1.0" encoding="{declared}"?><a>é</a>'
    assert parse_xml(text.encode(encoding), DEFAULT).text == "é"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "malformed"),
        (b"<a>", "malformed"),
        (b"<a></b>", "malformed"),
        (b"<a>\xff</a>", "malformed"),
        (b'<?xml version="1.0" encoding="utf-7"?><a/>', "malformed"),
        (b'<?xml version="1.0" encoding="no-such"?><a/>', "malformed"),
        (b"<a>&x;</a>", "malformed"),
        (b"<!DOCTYPE a><a/>", "forbidden"),
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "forbidden"),
        (b"<a>" * 65 + b"</a>" * 65, "cap"),
        (b"<r>" + b"<a/>" * 20_000 + b"</r>", "cap"),
        (b"<a " + b" ".join(b'a%d=""' % number for number in range(200)) + b"/>", "cap"),
        (b"<a>" + b" " * DEFAULT.xml_size + b"</a>", "cap"),
    ],
)
def test_what_is_refused(data: bytes, kind: str) -> None:
    """Nothing but XmlFault comes out, and it says why."""
    with pytest.raises(XmlFault) as caught:
        parse_xml(data, DEFAULT)
    assert caught.value.kind == kind


@pytest.mark.parametrize("quote", [b'""', b'">"'])
def test_one_enormous_tag_is_not_parsed(quote: bytes) -> None:
    """Hundreds of thousands of attributes are refused before they become a dictionary."""
    data = b"<a " + b" ".join(b"a%d=%s" % (number, quote) for number in range(250_000)) + b"/>"
    started = time.process_time()
    with pytest.raises(XmlFault):
        parse_xml(data, DEFAULT)
    assert time.process_time() - started < 0.2
