"""The text descriptor of a VMDK: bytes → lines, extents, and where two kinds of readers would differ.

Some readers take it line by line, without case and comments; others search the bytes up to the first NUL for
a key and take what follows (QEMU block/vmdk.c). Both readings are made here, so that neither can hide from the other.

Reference: VMware "Virtual Disk Format 5.0", section "The Descriptor File".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from imgtool.formats.vmdk import layout as lay
from imgtool.formats.vmdk.facts import Descriptor, DescriptorPlace, Entry, ExtentLine, Hidden, Repeated
from imgtool.limits import Limits
from imgtool.model.values import text
from imgtool.structs.view import View

_BLANK = rb"[ \t]*+"
_KEY = re.compile(
    rb"^(?:\xef\xbb\xbf)?" + _BLANK + rb'((?:#[# \t]*+)?+)["\']?([A-Za-z][\w.:\-]{0,127})["\']?'
    rb"[ \t]*+=[ \t]*+([^\r\n]*+)",
    re.MULTILINE,
)
_MARK = re.compile(rb"^(?:\xef\xbb\xbf)?" + _BLANK + rb"#[# \t]*+disk[ \t]*+descriptor[ \t]*+file", re.M | re.I)
_EXTENT_START = re.compile(
    rb"^" + _BLANK + rb"(?:(?:RW|RDONLY|NOACCESS)\b|[A-Z]{1,16}[ \t]++[0-9]{1,20}[ \t]++[A-Z]{1,16}[ \t]++\")",
    re.MULTILINE | re.IGNORECASE,
)
_EXTENT = re.compile(
    _BLANK + rb"([A-Z]{1,16})\s++([0-9]{1,20})\s++([A-Z0-9]{1,16})"
    rb'(?:\s*+"([^\r\n"]*+)"(?:[ \t]*+([0-9]{1,20})\b)?|[ \t]++([^\s"#][^\r\n]*+))?',
    re.IGNORECASE,
)
_LOOSE = re.compile(rb"\n(?=[ \t\r]*+\n|[ \t]++[^ \t\r\n])")
_CONTROL = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")
_NOT_NUL = re.compile(rb"[^\0]")
_SHIFTED = 7  #: bytes by which a descriptor shrinks when its content ID has one digit instead of eight

#: Keys that may stand once in the whole descriptor, comments included.
ONCE = ("createtype", "cid", "parentcid", "parentfilenamehint")
#: Keys that have a meaning here, in lower case.
KNOWN = frozenset(
    (
        *("version", "encoding", "cid", "parentcid", "createtype", "parentfilenamehint", "changetrackpath"),
        *("ddb.encoding", "ddb.adaptertype", "ddb.virtualhwversion", "ddb.toolsversion", "ddb.nativeparenthint"),
        *("ddb.geometry.cylinders", "ddb.geometry.heads", "ddb.geometry.sectors", "ddb.sidecars"),
    )
)
#: Of the keys that stand once, the ones whose bare letters a reader that searches the bytes would take.
_SEARCHED = (b"createType", b"parentCID", b"parentFileNameHint")
_QUOTED = (b"createType", b"parentFileNameHint")


class _Line(NamedTuple):
    entry: Entry
    comment: bool
    at: int


def looks_like_descriptor(data: bytes) -> bool:
    """True when the text before the first NUL has a key that only a descriptor has."""
    words = data.partition(b"\0")[0]
    return any(key in words for key in (*_SEARCHED, b"CID=")) or _MARK.search(words) is not None


def _behind(words: bytes, data: bytes) -> int | None:
    """Where bytes stand behind the text `words` that begins `data`; None where there are none.

    A writer that puts a shorter content ID (of fewer hex digits) over a longer one leaves the end of the old text,
    which is the end of the new one, too: at most 7 bytes.
    """
    found = _NOT_NUL.search(data, len(words))
    if found is None:
        return None
    left = data[len(words) + 1 :].rstrip(b"\0")
    return None if len(left) <= _SHIFTED and words.endswith(left) else found.start()


def parse_descriptor(view: View, data: bytes, at: int, room: int, limits: Limits) -> Descriptor:
    """The descriptor in `data`, which was read at byte `at`; it was given `room` bytes there."""
    cut = data.find(b"\0")
    words = data if cut < 0 else data[:cut]
    end = len(words)
    whole = data[: max(room, end)].rstrip(b"\0").replace(b"\0", b"\n")
    over = whole.count(b"\n") > limits.vmdk_lines
    if over:
        whole = _first_lines(whole, limits.vmdk_lines)
    lines = list(_lines(whole, limits))
    entries = tuple(line.entry for line in lines if not line.comment and line.at < end)
    known = _known(entries)
    extents = _extents(whole, end, at, limits)
    ddb = [entry for entry in entries if entry.key.lower().startswith("ddb.")]
    control = _CONTROL.search(words)
    after = _behind(words, data[: max(room, end)])
    _show(view, whole, lines, at, limits)
    return Descriptor(
        DescriptorPlace(at, end, room),
        _MARK.search(words) is not None,
        entries,
        known,
        extents.listed,
        extents.total,
        extents.sectors,
        _repeated(whole, lines, at),
        _hidden(words, known, at, limits),
        extents.stray,
        extents.bad,
        _loose(whole, extents, at),
        at + control.start() if control else None,
        at + after if after is not None else None,
        len(ddb),
        max((len(entry.value) for entry in ddb), default=0),
        f"lines of the descriptor are over {limits.vmdk_lines}" if over else None,
    )


def _first_lines(whole: bytes, most: int) -> bytes:
    end = 0
    for _ in range(most):
        end = whole.find(b"\n", end) + 1
    return whole[:end]


def _known(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """The first entry of each key that readers ask for."""
    found: dict[str, Entry] = {}
    for entry in entries:
        key = entry.key.lower()
        if key in KNOWN and key not in found:
            found[key] = Entry(key, entry.value)
    return tuple(found.values())


def _lines(whole: bytes, limits: Limits) -> Iterator[_Line]:
    for match in _KEY.finditer(whole):
        value = unquoted(match[3])[: limits.string]
        yield _Line(Entry(text(match[2]), text(value)), bool(match[1]), match.start(2))


def unquoted(value: bytes) -> bytes:
    """A value without its quotes; what stands behind the second quote is dropped."""
    value = value.strip()
    return value[1:].partition(b'"')[0] if value[:1] == b'"' else value


def _show(view: View, whole: bytes, lines: list[_Line], at: int, limits: Limits) -> None:
    """Remember the first lines, so that they are shown among the fields."""
    for line in lines[: limits.vmdk_lines_shown]:
        end = whole.find(b"\n", line.at)
        raw = whole[line.at : end if end >= 0 else len(whole)].rstrip(b"\r")
        view.decode(lay.DESCRIPTOR_LINE, raw, at + line.at, f"descriptor: {line.entry.key}")


class _Extents(NamedTuple):
    """Extents listed and those behind the end; how many there are and their sectors; where the lines lie."""

    listed: tuple[ExtentLine, ...]
    stray: tuple[ExtentLine, ...]
    bad: tuple[tuple[int, str], ...]
    total: int
    sectors: int
    first: int | None
    last: int


def _extents(whole: bytes, end: int, at: int, limits: Limits) -> _Extents:
    listed: list[ExtentLine] = []
    stray: list[ExtentLine] = []
    bad: list[tuple[int, str]] = []
    total = sectors = last = 0
    first = None
    for start in _EXTENT_START.finditer(whole):
        match = _EXTENT.match(whole, start.start())
        if match is None or b"\n" in match[0]:
            line = whole[start.start() : start.start() + 128].partition(b"\n")[0]
            bad.append((at + start.start(), text(line.strip())))
        if match is None:
            continue
        extent = _extent(match, at, limits)
        if start.start() >= end:
            stray.append(extent)
            continue
        first, last = start.start() if first is None else first, match.end()
        total += 1
        sectors += extent.sectors
        if len(listed) < limits.vmdk_extents_listed:
            listed.append(extent)
    most = limits.vmdk_extents_listed
    return _Extents(tuple(listed), tuple(stray[:most]), tuple(bad[: limits.findings]), total, sectors, first, last)


def _extent(match: re.Match[bytes], at: int, limits: Limits) -> ExtentLine:
    raw = match[4] if match[4] is not None else match[6]
    name = None if raw is None else text(raw.strip()[: limits.string])
    start = int(match[5]) if match[5] else None
    return ExtentLine(text(match[1]).upper(), int(match[2]), text(match[3]).upper(), name, start, at + match.start(1))


def _repeated(whole: bytes, lines: list[_Line], at: int) -> tuple[Repeated, ...]:
    """Keys that stand more than once: four of them anywhere, the others among the lines that count."""
    places: dict[str, list[int]] = {}
    for line in lines:
        key = line.entry.key.lower()
        if key in ONCE or not line.comment:
            places.setdefault(key, []).append(line.at)
    for word in _SEARCHED:
        found = [match.start() for match in islice(re.finditer(re.escape(word), whole), 64)]
        key = word.decode("ascii").lower()
        places[key] = sorted({*places.get(key, ()), *found})
    return tuple(Repeated(key, len(where), at + where[1]) for key, where in places.items() if len(where) > 1)


def _hidden(words: bytes, known: tuple[Entry, ...], at: int, limits: Limits) -> tuple[Hidden, ...]:
    """What a search for the first such letters yields, where the lines yield something else."""
    found = []
    for word in _QUOTED:
        place = words.find(word)
        if place < 0:
            continue
        value, quote, _ = words[place + len(word) + 2 : place + len(word) + 2 + limits.string].partition(b'"')
        key = word.decode("ascii")
        told = next((entry.value for entry in known if entry.key == key.lower()), None)
        if quote and text(value) != told:
            found.append(Hidden(key, text(value[: limits.vmdk_value]), at + place))
    return tuple(found)


def _loose(whole: bytes, extents: _Extents, at: int) -> int | None:
    """Where a blank or indented line stands among the extents."""
    if extents.first is None:
        return None
    if whole[extents.first : extents.first + 1] in (b" ", b"\t"):
        return at + extents.first
    match = _LOOSE.search(whole, extents.first, extents.last)
    return at + match.start() + 1 if match else None
