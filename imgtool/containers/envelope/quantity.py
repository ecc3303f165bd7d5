"""Quantities of OVF: capacities with programmatic units, and properties in place of numbers.

Reference: DSP0004 annex "Programmatic Units"; DSP0243 clause 9.1 ("DiskSection").
"""

from __future__ import annotations

import re
from collections.abc import Mapping

#: Words that descriptors used before programmatic units (OVF 0.9, 1.0), lower case.
_WORDS = {
    "byte": 1,
    "bytes": 1,
    "b": 1,
    "kilobytes": 1024,
    "kilobyte": 1024,
    "kb": 1024,
    "megabytes": 1024**2,
    "megabyte": 1024**2,
    "mb": 1024**2,
    "gigabytes": 1024**3,
    "gigabyte": 1024**3,
    "gb": 1024**3,
    "terabytes": 1024**4,
    "terabyte": 1024**4,
    "tb": 1024**4,
}

#: No disk and no memory is larger: a signed 64-bit number of bytes.
LARGEST = (1 << 63) - 1

_FACTOR = re.compile(r"\s*\*\s*(\d{1,19})(?:\s*\^\s*(\d{1,3}))?")
_PROPERTY = re.compile(r"\$\{([^{}]{1,256})\}")


def unit_bytes(units: str | None) -> int | None:
    """Bytes of one unit: 1 for None, 2^30 for "byte * 2^30"; None for what is no unit of bytes."""
    if units is None:
        return 1
    word = re.match(r"\s*([A-Za-z]{1,16})", units)
    size = _WORDS.get(word[1].lower()) if word else None
    if word is None or size is None:
        return None
    position = word.end()
    while position < len(units.rstrip()):
        factor = _FACTOR.match(units, position)
        if factor is None:
            return None
        base, power = int(factor[1]), int(factor[2] or 1)
        if power > 63 or base**power > LARGEST:
            return None
        size *= base**power
        if size > LARGEST:
            return None
        position = factor.end()
    return size


def quantity(value: str | None, units: str | None, properties: Mapping[str, str]) -> int | None:
    """`value` in `units` as bytes; `${name}` is looked up in `properties`. None where it cannot be told."""
    text = (value or "").strip()
    named = _PROPERTY.fullmatch(text)
    if named:
        text = properties.get(named[1], "").strip()
    each = unit_bytes(units)
    if each is None or not (text.isascii() and text.isdigit()) or len(text) > 19:
        return None
    total = int(text) * each
    return total if total <= LARGEST else None


def whole_number(value: str | None) -> int | None:
    """A plain decimal number of at most 63 bits; None for anything else."""
    return quantity(value, None, {})


def is_property(value: str | None) -> bool:
    """True for a reference to a property, `${name}`."""
    return value is not None and _PROPERTY.fullmatch(value.strip()) is not None
