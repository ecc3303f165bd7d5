"""What the bochs reader finds."""

from __future__ import annotations

from dataclasses import dataclass

from imgtool.model.facts import Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class BochsFacts(Facts):
    """Facts of a Bochs disk. Sizes in bytes; `catalog` in entries. `timestamp`: of the base image, FAT's form."""

    version: str
    type: str
    subtype: str
    header_size: int
    catalog: int
    bitmap_size: int
    extent_size: int
    disk: int | None
    timestamp: int | None
