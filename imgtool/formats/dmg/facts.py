"""What the dmg reader finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from imgtool.model.facts import Facts


class Part(NamedTuple):
    """A part of the file, in bytes; `length` 0 where it is absent."""

    offset: int
    length: int


class Encryption(NamedTuple):
    """The envelope of an encrypted image: `data_size` is that of the image inside, still with its own trailer."""

    version: int
    key_bits: int
    block_size: int
    data_size: int
    data_offset: int
    key_count: int
    uuid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DmgFacts(Facts):
    """Facts of an Apple disk image. `kind`: udif, or encrypted. Sizes and offsets in bytes.

    plist is the XML property list, resource_fork the binary one: one of them holds the map of the blocks.
    """

    HIDDEN = frozenset({"trailer_offset"})

    kind: str
    version: int | None = None
    header_size: int | None = None
    flags: tuple[str, ...] = ()
    variant: str | None = None
    sector_count: int | None = None
    data_fork: Part | None = None
    resource_fork: Part | None = None
    plist: Part | None = None
    segment_number: int | None = None
    segment_count: int | None = None
    segment_id: str | None = None
    data_checksum_type: str | None = None
    data_checksum: str | None = None
    checksum_type: str | None = None
    checksum: str | None = None
    encryption: Encryption | None = None
    trailer_offset: int | None = None
