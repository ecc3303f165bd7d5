"""LUKS2: the JSON area as values. Whatever does not have the form it should becomes None, never an error.

Reference: LUKS2 On-Disk Format Specification, section "JSON Area".
"""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.formats.luks.facts import Digest, Kdf, KeySlot2, Metadata, Segment, Token
from imgtool.limits import Limits
from imgtool.structs.view import View

_MOST = (1 << 64) - 1


def read_metadata(view: View, text: str, offset: int, limits: Limits) -> Metadata | None:
    """The values of the JSON text, which lies at `offset`. None, and a problem noted, when it is none."""
    import json

    if len(text) > limits.luks_json:
        message = f"JSON of {len(text)} bytes is over the cap of {limits.luks_json}"
        view.problem("LUKS2 JSON area", message, kind="cap", offset=offset, length=len(text))
        return None
    try:
        top: object = json.loads(text)
    except (ValueError, RecursionError):
        view.problem("LUKS2 JSON area", "JSON is not readable", offset=offset, length=len(text))
        return None
    if not isinstance(top, dict):
        view.problem("LUKS2 JSON area", "JSON is not an object", offset=offset, length=len(text))
        return None
    config = member(top, "config")
    return Metadata(
        tuple(_key_slot(name, value) for name, value in _items(top, "keyslots", limits)),
        tuple(_segment(name, value, limits) for name, value in _items(top, "segments", limits)),
        tuple(_digest(name, value, limits) for name, value in _items(top, "digests", limits)),
        tuple(
            Token(name, string(value, "type"), strings(value, "keyslots", limits))
            for name, value in _items(top, "tokens", limits)
        ),
        integer(config, "json_size"),
        integer(config, "keyslots_size"),
        strings(config, "flags", limits),
        strings(member(config, "requirements"), "mandatory", limits),
    )


def member(value: object, name: str) -> object:
    """A member of a JSON object; None where there is none."""
    return value.get(name) if isinstance(value, dict) else None


def string(value: object, name: str) -> str | None:
    """A member that is a string, at most 256 characters of it."""
    found = member(value, name)
    return found[:256] if isinstance(found, str) else None


def integer(value: object, name: str) -> int | None:
    """A member that is a number of 64 bits, written as one or (offsets and sizes) as decimal digits."""
    found = member(value, name)
    if isinstance(found, str) and len(found) <= 20 and found.isascii() and found.isdigit():
        found = int(found)
    if isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= _MOST:
        return found
    return None


def strings(value: object, name: str, limits: Limits) -> tuple[str, ...]:
    """A member that is an array of strings; what is none is left out."""
    found = member(value, name)
    if not isinstance(found, list):
        return ()
    return tuple(item[:256] for item in found[: limits.luks_objects] if isinstance(item, str))


def _items(top: object, name: str, limits: Limits) -> Iterator[tuple[str, object]]:
    """The objects of a section by their names, in the order of their numbers; a capped count of them."""
    section = member(top, name)
    if not isinstance(section, dict):
        return
    names = sorted(section, key=lambda key: (len(key), key))
    for key in names[: limits.luks_objects]:
        yield key[:256], section[key]


def _key_slot(name: str, value: object) -> KeySlot2:
    area, kdf = member(value, "area"), member(value, "kdf")
    return KeySlot2(
        name,
        string(value, "type"),
        integer(value, "key_size"),
        integer(value, "priority"),
        _kdf(kdf) if isinstance(kdf, dict) else None,
        string(area, "type"),
        integer(area, "offset"),
        integer(area, "size"),
        string(area, "encryption"),
        integer(member(value, "af"), "stripes"),
        string(value, "mode"),
    )


def _kdf(value: object) -> Kdf:
    return Kdf(
        string(value, "type"),
        string(value, "hash"),
        integer(value, "iterations"),
        integer(value, "time"),
        integer(value, "memory"),
        integer(value, "cpus"),
    )


def _segment(name: str, value: object, limits: Limits) -> Segment:
    return Segment(
        name,
        string(value, "type"),
        integer(value, "offset"),
        integer(value, "size"),
        member(value, "size") == "dynamic",
        string(value, "encryption"),
        integer(value, "sector_size"),
        string(member(value, "integrity"), "type"),
        strings(value, "flags", limits),
    )


def _digest(name: str, value: object, limits: Limits) -> Digest:
    return Digest(
        name,
        string(value, "type"),
        string(value, "hash"),
        integer(value, "iterations"),
        strings(value, "keyslots", limits),
        strings(value, "segments", limits),
    )
