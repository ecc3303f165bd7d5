"""XML that nobody vouches for, as a small tree: no DTD, no entities, capped in size, depth and number.

What a parser raises ends here: a document that cannot be read is an XmlFault.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from imgtool.limits import Limits

FaultKind = Literal["malformed", "cap", "forbidden"]

#: Bytes without `<` that can hold one enormous tag: it does not stand inside a tag.
_LONG_RUN = 65_536
_MOST_QUOTES = 8192


class XmlFault(Exception):
    """The document is not read. `kind`: malformed, over a cap, or forbidden (a DTD, an entity)."""

    def __init__(self, kind: FaultKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class Element:
    """An element: `space` is its namespace, `name` its local name, `text` what stands before its first child."""

    __slots__ = ("attributes", "children", "name", "space", "text")

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.space, self.name = _split(tag)
        self.attributes = attributes
        self.children: list[Element] = []
        self.text = ""

    def get(self, name: str, spaces: Iterable[str] = ()) -> str | None:
        """The attribute of that local name, in the element's own namespace, in none, or in one of `spaces`."""
        for key in (f"{{{self.space}}}{name}", name, *(f"{{{space}}}{name}" for space in spaces)):
            if key in self.attributes:
                return self.attributes[key]
        return None

    def any(self, name: str) -> str | None:
        """The first attribute of that local name, whatever its namespace."""
        return next((value for key, value in self.attributes.items() if _split(key)[1] == name), None)

    def all(self, name: str) -> Iterator[Element]:
        """The children of that local name."""
        return (child for child in self.children if child.name == name)

    def first(self, name: str) -> Element | None:
        """The first child of that local name."""
        return next(self.all(name), None)

    def value(self, name: str) -> str | None:
        """The text of the first child of that local name, without space around it; None when it is empty."""
        child = self.first(name)
        return (child.text.strip() or None) if child is not None else None

    def walk(self) -> Iterator[Element]:
        """This element and everything below it, in the order of the document."""
        waiting = [self]
        while waiting:
            element = waiting.pop()
            yield element
            waiting.extend(reversed(element.children))


def _split(tag: str) -> tuple[str, str]:
    space, brace, name = tag.rpartition("}")
    return (space[1:], name) if brace else ("", tag)


class _Builder:
    """The parser's target: builds the tree and stops at the caps."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: list[Element] = []
        self._count = 0
        self._parts: list[str] = []
        self.root: Element | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._count += 1
        self._cap("elements", self._count, self._limits.xml_elements)
        self._cap("levels of elements", len(self._open) + 1, self._limits.xml_depth)
        self._cap("attributes of one element", len(attributes), self._limits.xml_attributes)
        self._settle()
        element = Element(tag, attributes)
        if self._open:
            self._open[-1].children.append(element)
        elif self.root is None:
            self.root = element
        self._open.append(element)

    def end(self, tag: str) -> None:
        self._settle()
        self._open.pop()

    def data(self, text: str) -> None:
        if self._open and not self._open[-1].children:
            self._parts.append(text)

    def close(self) -> None:
        return

    def _settle(self) -> None:
        if self._parts:
            self._open[-1].text += "".join(self._parts)
            self._parts.clear()

    @staticmethod
    def _cap(what: str, count: int, most: int) -> None:
        if count > most:
            raise XmlFault("cap", f"more than {most} {what}")


def _long_runs(data: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of every run of at least `_LONG_RUN` bytes without `<`; each byte is looked at twice at most."""
    start = 0
    while start + _LONG_RUN <= len(data):
        mark = data.rfind(b"<", start, start + _LONG_RUN)
        if mark >= 0:
            start = mark + 1
            continue
        end = data.find(b"<", start + _LONG_RUN)
        end = len(data) if end < 0 else end
        yield start, end
        start = end + 1


def _quotes(data: bytes, start: int, end: int) -> int:
    return data.count(b'"', start, end) + data.count(b"'", start, end)


def parse_xml(data: bytes, limits: Limits) -> Element:
    """The root element of a document. Raises XmlFault."""
    from xml.etree.ElementTree import ParseError

    from defusedxml.common import DefusedXmlException, DTDForbidden
    from defusedxml.ElementTree import DefusedXMLParser

    if len(data) > limits.xml_size:
        raise XmlFault("cap", f"{len(data)} bytes are over the cap of {limits.xml_size}")
    if any(_quotes(data, *run) > _MOST_QUOTES for run in _long_runs(data)):
        raise XmlFault("cap", f"more than {limits.xml_attributes} attributes of one element")
    builder = _Builder(limits)
    parser = DefusedXMLParser(target=builder, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    try:
        parser.feed(data)
        parser.close()
    except DTDForbidden:
        raise XmlFault("forbidden", "it has a document type declaration (DTD)") from None
    except DefusedXmlException as error:
        raise XmlFault("forbidden", f"it declares what is forbidden: {type(error).__name__}") from None
    except (ParseError, ValueError, LookupError, RecursionError, OverflowError) as error:
        raise XmlFault("malformed", f"not readable: {error}") from None
    if builder.root is None:
        raise XmlFault("malformed", "no element")
    return builder.root
