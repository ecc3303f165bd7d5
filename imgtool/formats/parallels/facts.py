"""What the Parallels reader finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from imgtool.formats.parallels.layout import Header
from imgtool.model.facts import Facts


class Bitmap(NamedTuple):
    """A dirty bitmap of the format extension. `size` and `granularity` in bytes."""

    id: str
    size: int
    granularity: int
    l1_size: int


class Feature(NamedTuple):
    """A section of the format extension: `offset` of its data, `length` of it without padding, in bytes."""

    name: str
    flags: tuple[str, ...]
    offset: int
    length: int
    bitmap: Bitmap | None = None


class Extension(NamedTuple):
    """The format extension cluster. `checksum_holds` is None where the cluster could not be read."""

    offset: int
    checksum: str
    checksum_holds: bool | None
    features: tuple[Feature, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelsFacts(Facts):
    """Facts of a Parallels image. Sizes and offsets in bytes, `cylinders` and `heads` of the guest's geometry.

    `data_offset` is where the data area begins, also where the header leaves that to be computed.
    """

    HIDDEN = frozenset({"header"})

    version: int
    extended: bool
    cluster_size: int
    bat_entries: int
    data_offset: int
    heads: int
    cylinders: int
    dirty: bool
    in_use: str
    empty: bool
    flags: tuple[str, ...] = ()
    extension_offset: int
    extension: Extension | None = None
    header: Header
