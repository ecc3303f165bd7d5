"""Signatures against windows: all matches, best rank first. Pure; the tables are passed in."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from imgtool.detect.registry import Entry, Match, Signature, Windows

#: What may hold where a magic was seen.
Candidates = tuple[tuple[Entry, Signature], ...]


class Place(NamedTuple):
    """One distinct place of a window: its first byte, where it ends, and what its bytes may mean."""

    start: int
    end: int
    magics: dict[bytes, Candidates]


class Index(NamedTuple):
    """Signatures by where they lie: one slice and one look-up per distinct place and length.

    `head` counts from the start; `back` from the end of the source (`start` is negative).
    """

    head: tuple[Place, ...]
    back: tuple[Place, ...]
    text: tuple[tuple[Entry, Signature], ...]
    tail: tuple[tuple[Entry, Signature], ...] = ()


def build_index(entries: Iterable[Entry]) -> Index:
    """The index of a registry's signatures."""
    places: dict[tuple[int, int], dict[bytes, Candidates]] = {}
    gated: dict[str, list[tuple[Entry, Signature]]] = {"text": [], "tail": []}
    for entry in entries:
        for signature in entry.signatures:
            if signature.gate:
                gated[signature.gate].append((entry, signature))
                continue
            table = places.setdefault((signature.offset, len(signature.magic)), {})
            table[signature.magic] = (*table.get(signature.magic, ()), (entry, signature))
    flat = [Place(offset, offset + length, magics) for (offset, length), magics in places.items()]
    head = tuple(place for place in flat if place.start >= 0)
    back = tuple(place for place in flat if place.start < 0)
    return Index(head, back, tuple(gated["text"]), tuple(gated["tail"]))


def matches(windows: Windows, index: Index) -> list[Match]:
    """Every entry whose mark is there, once each (its first signature that holds), best rank first."""
    found: dict[str, Match] = {}
    head, tail, size, far = windows
    tail_at = size - len(tail)
    hits = [(start, magics[seen]) for start, end, magics in index.head if (seen := head[start:end]) in magics]
    for place in index.back:
        start = len(tail) + place.start
        if start >= 0:
            candidates = place.magics.get(tail[start : start + place.end - place.start])
            hits += [(tail_at + start, candidates)] if candidates else []
    for at, candidates in hits:
        for entry, signature in candidates:
            if entry.name not in found and _holds(signature, windows):
                found[entry.name] = Match(entry, signature, at)
    if index.text and _begins_like_text(head):
        for entry, signature in index.text:
            if entry.name not in found and _holds(signature, windows):
                found[entry.name] = Match(entry, signature, 0)
    for entry, signature in index.tail:
        first = signature.magic[:1]  # one byte is looked for ten times as fast as a mark
        if entry.name not in found and (first in tail or first in far):
            at = (end := far + tail).rfind(signature.magic)
            if at >= 0 and _holds(signature, windows):
                found[entry.name] = Match(entry, signature, size - len(end) + at)
    return sorted(found.values(), key=lambda match: match.entry.rank)


def _holds(signature: Signature, windows: Windows) -> bool:
    return signature.probe is None or bool(resolve(signature.probe)(windows))


#: First bytes behind which a reader of text skips to the end of the line: what follows may be anything.
_SKIPPED = frozenset(b"\t\n\r #")
_TEXT = frozenset(b"\t\n\r " + bytes(range(0x21, 0x7F)) + bytes(range(0x80, 0x100)))


def _begins_like_text(head: bytes) -> bool:
    return bool(head) and (head[0] in _SKIPPED or all(byte in _TEXT for byte in head[:8]))


@cache
def resolve(place: str) -> Any:
    """The object that "module:name" names. Registries are ours, so a failure is a bug."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
