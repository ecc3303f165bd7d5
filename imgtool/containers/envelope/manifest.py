"""OVF manifests (.mf): a digest of each file of the package, in every spelling that tools write.

Reference: DSP0243 2.1.1, clause 6.3 ("SHA256(file)= hex"); openssl dgst writes "SHA2-256(file)= hex".
"""

from __future__ import annotations

import posixpath
import re
from typing import NamedTuple

from imgtool.containers.tar.archive import plain
from imgtool.limits import Limits
from imgtool.model.values import text

_LINE = re.compile(r"\s*(SHA-?(?:1|2-)?[-/\d]{0,7}|MD5)\s*\((.{1,4096})\)\s*=\s*([0-9A-F]{2,256})\s*", re.IGNORECASE)

_ALGORITHMS = {
    "MD5": "md5",
    "SHA1": "sha1",
    "SHA-1": "sha1",
    **{
        spelling.format(bits): f"sha{bits}"
        for bits in ("224", "256", "384", "512")
        for spelling in ("SHA{}", "SHA-{}", "SHA2-{}", "SHA-2-{}")
    },
}

_DIGITS = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}


class ManifestEntry(NamedTuple):
    """A line of a manifest: `digest` in hex, lower case."""

    name: str
    algorithm: str
    digest: str


def packaged_name(entry: ManifestEntry) -> str:
    """The name of an entry as members are compared."""
    return plain(posixpath.normpath(entry.name))


class Manifest(NamedTuple):
    """The entries of a manifest, and the first characters of the lines that are none."""

    entries: tuple[ManifestEntry, ...]
    strange: tuple[str, ...]


def parse_manifest(data: bytes, limits: Limits) -> Manifest:
    """The lines of a manifest; blank ones are skipped."""
    entries: list[ManifestEntry] = []
    strange: list[str] = []
    for raw in data.split(b"\n", limits.ovf_manifest_lines)[: limits.ovf_manifest_lines]:
        line = text(raw[:8192]).strip()
        if line:
            entry = _entry(line)
            if entry:
                entries.append(entry)
            else:
                strange.append(line[:80])
    return Manifest(tuple(entries), tuple(strange))


def _entry(line: str) -> ManifestEntry | None:
    match = _LINE.fullmatch(line)
    algorithm = _ALGORITHMS.get(match[1].upper()) if match else None
    if match is None or algorithm is None or len(match[3]) != _DIGITS[algorithm]:
        return None
    return ManifestEntry(match[2], algorithm, match[3].lower())
