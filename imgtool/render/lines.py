"""Checksum lines as coreutils writes and reads them. No I/O."""

from __future__ import annotations

import re
from typing import NamedTuple

from imgtool.render.escape import checksum_name, checksum_name_back


class Expected(NamedTuple):
    """A line of a checksum list: the algorithm where the line names it, hex digits, file name."""

    algorithm: str | None
    digest: str
    name: str


def checksum_line(name: str, digest: str) -> str:
    """`HEX  NAME`, as sha256sum writes it."""
    mark, escaped = checksum_name(name)
    return f"{mark}{digest}  {escaped}\n"


def tagged_line(name: str, algorithm: str, digest: str) -> str:
    """`SHA256 (NAME) = HEX`, as sha256sum --tag writes it."""
    mark, escaped = checksum_name(name)
    label = {"blake2b": "BLAKE2b", "blake2s": "BLAKE2s"}.get(algorithm, algorithm.upper().replace("_", "-"))
    return f"{mark}{label} ({escaped}) = {digest}\n"


_PLAIN = re.compile(r"(\\?)([0-9A-Fa-f]{32,128}) [ *](.+)", re.DOTALL)
_TAGGED = re.compile(r"(\\?)([A-Za-z0-9-]+) \((.+)\) = ([0-9A-Fa-f]{32,128})", re.DOTALL)


def parse_line(line: str) -> Expected | None:
    """A line of a checksum list, plain or tagged; None where it is neither."""
    text = line.rstrip("\n").removesuffix("\r")
    tagged = _TAGGED.fullmatch(text)
    if tagged:
        mark, algorithm, name, digest = tagged.groups()
    else:
        plain = _PLAIN.fullmatch(text)
        if not plain:
            return None
        (mark, digest, name), algorithm = plain.groups(), None
    if mark:
        try:
            name = checksum_name_back(name)
        except ValueError:
            return None
    return Expected(algorithm, digest.lower(), name)


#: The algorithm that a plain line's length means.
BY_LENGTH = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}
