"""What the qcow reader finds."""

from __future__ import annotations

from dataclasses import dataclass

from imgtool.model.facts import Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class QcowFacts(Facts):
    """Facts of a qcow image, version 1. Sizes and offsets in bytes; `mtime` in seconds since 1970.

    `l1_size` is how many entries the L1 table has: it follows from the virtual size; None where the bits
    that it is computed with are out of range.
    """

    version: int
    cluster_size: int | None
    encryption: str
    backing_file: str | None = None
    backing_file_offset: int
    backing_file_size: int
    mtime: int
    size: int
    cluster_bits: int
    l2_bits: int
    crypt_method: int
    l1_table_offset: int
    l1_size: int | None
