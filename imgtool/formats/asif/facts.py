"""What the asif reader finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from imgtool.model.facts import Facts


class Directory(NamedTuple):
    """One of the two directories: its place in bytes, and its sequence number where it can be read."""

    offset: int
    sequence: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AsifFacts(Facts):
    """Facts of an Apple sparse image, as far as its header is understood. Sizes in bytes.

    `specification` says where the meaning of the fields comes from; max_size is how far the disk may grow.
    """

    version: int
    specification: str
    header_size: int
    flags: int
    uuid: str
    sector_count: int
    block_size: int
    max_size: int
    chunk_size: int
    metadata_chunk: int
    directories: tuple[Directory, ...]
