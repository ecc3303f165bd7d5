"""Digest algorithms by name, and digests of the form ALG:HEX that people type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgtool.errors import UsageError

if TYPE_CHECKING:
    from hashlib import _Hash

#: Algorithms offered, in the order they are shown.
ALGORITHMS: tuple[str, ...] = (
    "md5",
    "sha1",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "sha3_256",
    "sha3_384",
    "sha3_512",
    "blake2b",
    "blake2s",
)

_SPELLINGS = {"sha3-256": "sha3_256", "sha3-384": "sha3_384", "sha3-512": "sha3_512"}


def algorithm(name: str) -> str:
    """The algorithm that `name` means ("SHA-256", "sha256"). Raises UsageError for one that is not offered."""
    low = name.strip().lower()
    low = _SPELLINGS.get(low, low)
    for candidate in (low, low.replace("-", "")):
        if candidate in ALGORITHMS:
            return candidate
    raise UsageError(f"no such digest: {name!r} (one of {', '.join(ALGORITHMS)})")


def new(name: str) -> _Hash:
    """A fresh hash object of an offered algorithm."""
    import hashlib

    return hashlib.new(name, usedforsecurity=False)


def parse_expected(text: str) -> tuple[str, str]:
    """Algorithm and lower-case hex of "sha256:abc…". Raises UsageError."""
    name, colon, digits = text.partition(":")
    if not colon:
        raise UsageError(f"an expected digest is ALG:HEX, say sha256:9f86…; not {text!r}")
    chosen, digits = algorithm(name), digits.strip().lower()
    size = new(chosen).digest_size * 2
    if len(digits) != size or any(digit not in "0123456789abcdef" for digit in digits):
        raise UsageError(f"{chosen} has {size} hex digits, not {digits!r}")
    return chosen, digits
