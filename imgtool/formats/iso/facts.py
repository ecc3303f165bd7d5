"""What the ISO and UDF reader finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from imgtool.model.facts import Facts


class Descriptor(NamedTuple):
    """A structure of the volume recognition area (ECMA-119 or ECMA-167), 2,048 bytes at `offset`."""

    type: int
    name: str
    identifier: str
    version: int
    offset: int


class Disagreement(NamedTuple):
    """A number that stands twice and differs: `offset` and `length` of both together in the file."""

    field: str
    little: int
    big: int
    offset: int
    length: int


class Date(NamedTuple):
    """A date field: `time` in RFC 3339, UTC; None where it is not specified, or is no date (`valid` false)."""

    field: str
    time: str | None
    valid: bool
    offset: int


class Root(NamedTuple):
    """The root directory: `offset` and `length` in bytes of the file."""

    offset: int
    length: int


class Supplementary(NamedTuple):
    """A supplementary descriptor: Joliet (UCS-2 `level` 1 to 3), or ISO 9660:1999's "enhanced"; sizes in bytes."""

    kind: str
    level: int | None
    volume_id: str
    volume_size: int
    logical_block_size: int
    offset: int


class RockRidge(NamedTuple):
    """SUSP entries of the root directory: `extensions` as its ER entries name them, `signatures` of all seen."""

    extensions: tuple[str, ...]
    signatures: tuple[str, ...]


class BootImage(NamedTuple):
    """A boot entry. `offset` in bytes; `sector_count` in sectors of 512 as the catalog has it."""

    platform: str
    bootable: bool
    media: str
    load_segment: int
    system_type: int
    sector_count: int
    load_rba: int
    offset: int
    section_id: str | None
    entry_offset: int


class ElTorito(NamedTuple):
    """The boot catalog: `descriptor_offset` of the boot record, `catalog_offset`, both in bytes of the file.

    header_id, key and checksum are the validation entry's; a sound one sums up to 0.
    """

    descriptor_offset: int
    catalog_offset: int
    header_id: int | None
    platform: str | None
    id: str | None
    key: str | None
    sum: int | None
    entries: tuple[BootImage, ...]
    entries_total: int


class SystemArea(NamedTuple):
    """The first 32 KiB: what is in them by name, and where the first bytes lie that nothing explains.

    isohybrid: which boot loader's code starts an El Torito image from a disk. covered: where the last
    partition of its tables ends, in bytes.
    """

    contents: tuple[str, ...]
    isohybrid: str | None
    covered: int
    unknown_at: int | None


class UdfPartition(NamedTuple):
    """A partition of a UDF volume; `offset` and `length` in bytes of the file."""

    number: int
    contents: str
    access: str
    offset: int
    length: int


class BadTag(NamedTuple):
    """A UDF descriptor whose tag does not hold."""

    what: str
    fault: str
    offset: int


class Udf(NamedTuple):
    """A UDF volume. `step` between the structures of the recognition sequence, `block_size` of the volume, bytes.

    revision is the domain's ("2.01"); anchors are offsets of those that hold; volume_size is where the last
    partition ends, in bytes.
    """

    recognition: tuple[str, ...]
    sound_recognition: bool
    step: int
    block_size: int | None
    anchors: tuple[int, ...]
    volume_id: str | None = None
    volume_set_id: str | None = None
    logical_volume_id: str | None = None
    domain: str | None = None
    revision: str | None = None
    logical_block_size: int | None = None
    application_id: str | None = None
    implementation_id: str | None = None
    recording_date: str | None = None
    partitions: tuple[UdfPartition, ...] = ()
    volume_size: int | None = None
    bad_tags: tuple[BadTag, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IsoFacts(Facts):
    """Facts of an optical disc image. `kind`: iso9660, udf, or both ("iso9660+udf"). Sizes in bytes.

    volume_size is what the descriptors say the volume takes; identifiers are without their padding.
    """

    HIDDEN = frozenset({"disagreements", "dates", "ended", "capped", "descriptor_version", "file_structure_version"})

    kind: str
    volume_size: int | None = None
    volume_id: str | None = None
    system_id: str | None = None
    volume_set_id: str | None = None
    publisher_id: str | None = None
    preparer_id: str | None = None
    application_id: str | None = None
    copyright_file: str | None = None
    abstract_file: str | None = None
    bibliographic_file: str | None = None
    creation_date: str | None = None
    modification_date: str | None = None
    expiration_date: str | None = None
    effective_date: str | None = None
    logical_block_size: int | None = None
    volume_space_size: int | None = None
    volume_set_size: int | None = None
    volume_sequence_number: int | None = None
    path_table_size: int | None = None
    root_directory: Root | None = None
    descriptors: tuple[Descriptor, ...] = ()
    supplementary: tuple[Supplementary, ...] = ()
    joliet: int | None = None
    rock_ridge: RockRidge | None = None
    el_torito: ElTorito | None = None
    udf: Udf | None = None
    system_area: SystemArea
    disagreements: tuple[Disagreement, ...] = ()
    dates: tuple[Date, ...] = ()
    descriptor_version: int | None = None
    file_structure_version: int | None = None
    ended: bool = True
    capped: bool = False


def volume_end(facts: IsoFacts) -> int | None:
    """Where the volume ends, in bytes: that of ISO 9660, or that of UDF where it reaches further; None where neither
    tells."""
    if facts.volume_size is None or facts.broken:
        return None
    udf = facts.udf
    if udf is None or not udf.block_size:
        return facts.volume_size
    return max(facts.volume_size, udf.volume_size or 0, *(anchor + udf.block_size for anchor in udf.anchors))
