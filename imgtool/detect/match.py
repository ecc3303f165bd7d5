"""Signatures against windows: all matches, best rank first. Pure; the tables are passed in."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from imgtool.detect.registry import Entry, Match, Signature, Windows


class Index(NamedTuple):
    """Signatures by where they lie: one slice and one look-up per distinct place and length."""

    places: tuple[tuple[int, int, dict[bytes, tuple[tuple[Entry, Signature], ...]]], ...]
    text: tuple[tuple[Entry, Signature], ...]
    tail: tuple[tuple[Entry, Signature], ...] = ()


def build_index(entries: Iterable[Entry]) -> Index:
    """The index of a registry's signatures."""
    places: dict[tuple[int, int], dict[bytes, tuple[tuple[Entry, Signature], ...]]] = {}
    gated: dict[str, list[tuple[Entry, Signature]]] = {"text": [], "tail": []}
    for entry in entries:
        for signature in entry.signatures:
            if signature.gate:
                gated[signature.gate].append((entry, signature))
                continue
            table = places.setdefault((signature.offset, len(signature.magic)), {})
            table[signature.magic] = (*table.get(signature.magic, ()), (entry, signature))
    flat = tuple((offset, length, table) for (offset, length), table in places.items())
    return Index(flat, tuple(gated["text"]), tuple(gated["tail"]))


def matches(windows: Windows, index: Index) -> list[Match]:
    """Every entry whose mark is there, once each (its first signature that holds), best rank first."""
    found: dict[str, Match] = {}
    head, tail, size = windows
    tail_at = size - len(tail)
    for offset, length, table in index.places:
        start = offset if offset >= 0 else size + offset
        if offset >= 0:
            candidates = table.get(head[start : start + length])
        elif start >= tail_at:
            candidates = table.get(tail[start - tail_at : start - tail_at + length])
        else:
            continue
        for entry, signature in candidates or ():
            if entry.name not in found and _holds(signature, windows):
                found[entry.name] = Match(entry, signature, start)
    if index.text and _begins_like_text(head):
        for entry, signature in index.text:
            if entry.name not in found and _holds(signature, windows):
                found[entry.name] = Match(entry, signature, 0)
    for entry, signature in index.tail:
        if entry.name not in found and signature.magic in tail and _holds(signature, windows):
            found[entry.name] = Match(entry, signature, tail_at + tail.rfind(signature.magic))
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
