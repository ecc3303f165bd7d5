"""What the reader of ramdisks finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from imgtool.model.facts import Facts
from imgtool.volumes.uimage.reader import UImageFacts


class Segment(NamedTuple):
    """A part of the chain: a cpio archive ("newc", "crc", "odc", "binary") or a compressed one.

    `offset` and `length` in bytes, `length` None where only decoding tells it; `entries` None likewise. `holds`:
    what a compressed part begins with ("cpio", "unknown").
    """

    kind: str
    offset: int
    length: int | None
    entries: int | None
    holds: str = "cpio"


@dataclass(frozen=True, slots=True, kw_only=True)
class RamdiskFacts(Facts):
    """Facts of an initial ramdisk. `compression`: of its main part, "none" where that is plain.

    `entries` are those of all plain archives, at most `limits.ramdisk_entries` (then `complete` is false);
    `names` the first of them. `microcode`: the processor makers whose microcode it brings. `rest`: where bytes
    begin that are neither cpio nor compressed.
    """

    HIDDEN = frozenset({"unsafe"})

    kind: str
    compression: str
    entries: int = 0
    complete: bool = True
    microcode: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    segments: tuple[Segment, ...] = ()
    rest: int | None = None
    uimage: UImageFacts | None = None
    unsafe: tuple[str, ...] = ()
