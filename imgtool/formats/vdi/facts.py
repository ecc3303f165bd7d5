"""What the VDI reader finds."""

from __future__ import annotations

from dataclasses import dataclass

from imgtool.formats.vdi.layout import Geometry
from imgtool.model.facts import Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class VdiFacts(Facts):
    """Facts of a VDI image. Sizes and offsets in bytes.

    `map_offset` is where the block map lies, `data_offset` where the blocks begin. UUIDs are null where all
    their bits are 0; `link_uuid` is the image below this one, `parent_uuid` that image's last modification.
    """

    version: str
    creator: str
    image_type: str
    cluster_size: int
    header_size: int
    block_extra: int
    map_offset: int
    data_offset: int
    blocks: int
    blocks_allocated: int
    sector_size: int
    image_flags: tuple[str, ...] = ()
    comment: str = ""
    image_uuid: str | None = None
    snapshot_uuid: str | None = None
    link_uuid: str | None = None
    parent_uuid: str | None = None
    legacy_geometry: Geometry
    geometry: Geometry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherVdiFacts(Facts):
    """Facts of a VDI image of a version whose header is not known: only what every version begins with."""

    version: str
    creator: str
