"""What the cloop reader finds."""

from __future__ import annotations

from dataclasses import dataclass

from imgtool.model.facts import Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class CloopFacts(Facts):
    """Facts of a compressed loop image. Sizes and offsets in bytes; None where the version is not known.

    data_offset and data_end are the first and the last of the table's offsets.
    """

    version: str
    block_size: int | None = None
    num_blocks: int | None = None
    table_size: int | None = None
    data_offset: int | None = None
    data_end: int | None = None
