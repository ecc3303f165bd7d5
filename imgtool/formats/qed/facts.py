"""What the QED reader finds."""

from __future__ import annotations

from dataclasses import dataclass

from imgtool.model.facts import Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class QedFacts(Facts):
    """Facts of a QED image. Offsets and `cluster_size` in bytes, `table_size` and `header_size` in clusters."""

    cluster_size: int
    table_size: int
    header_size: int
    dirty: bool
    backing_file: str | None = None
    backing_format: str | None = None
    backing_filename_offset: int
    backing_filename_size: int
    l1_table_offset: int
    image_size: int
    features: tuple[str, ...] = ()
    compat_features: tuple[str, ...] = ()
    autoclear_features: tuple[str, ...] = ()
