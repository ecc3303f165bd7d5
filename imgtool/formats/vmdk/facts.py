"""What the VMDK readers find: of a sparse extent, a descriptor, a COWD or a seSparse extent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from imgtool.formats.vmdk.layout import CowdHeader, SeSparseHeader, SeSparseVolatile, SparseHeader
from imgtool.model.facts import Facts


class ExtentLine(NamedTuple):
    """An extent description: `sectors` of 512 bytes; `start` is the sector of the file where its data begins."""

    access: str
    sectors: int
    type: str
    file_name: str | None
    start: int | None
    offset: int


class Entry(NamedTuple):
    """A `key = "value"` line of a descriptor."""

    key: str
    value: str


class Geometry(NamedTuple):
    """Cylinders, heads and sectors as the disk database has them."""

    cylinders: int | None
    heads: int | None
    sectors: int | None


class DescriptorPlace(NamedTuple):
    """Where a descriptor lies: `length` of its text and the `room` it was given, in bytes."""

    offset: int
    length: int
    room: int


class SparseFields(NamedTuple):
    """The numbers of a sparse extent header (or footer), in sectors where the specification has sectors."""

    version: int
    flags: tuple[str, ...]
    capacity: int
    grain_size: int
    descriptor_offset: int
    descriptor_size: int
    num_gtes_per_gt: int
    rgd_offset: int
    gd_offset: int
    over_head: int
    unclean_shutdown: int
    compress_algorithm: int


class CowdFields(NamedTuple):
    """The COWD header. `parent_generation` of a child, `geometry` of a root."""

    version: int
    flags: tuple[str, ...]
    num_sectors: int
    grain_size: int
    gd_offset: int
    num_gd_entries: int
    free_sector: int
    geometry: Geometry | None
    parent_generation: int | None
    generation: int
    saved_generation: int
    name: str
    description: str
    unclean_shutdown: int


class SeSparseFields(NamedTuple):
    """The two headers of a seSparse extent; offsets and sizes in sectors, `replay_journal` None if unreadable."""

    version: str
    capacity: int
    grain_size: int
    grain_table_size: int
    flags: int
    grain_dir_offset: int
    grain_dir_size: int
    grain_tables_offset: int
    grain_tables_size: int
    grains_offset: int
    grains_size: int
    journal_offset: int
    journal_size: int
    replay_journal: int | None


class Repeated(NamedTuple):
    """A key that stands in a descriptor more than once: where it stands the second time."""

    key: str
    times: int
    offset: int


class Hidden(NamedTuple):
    """A value that a reader searching the bytes finds where a reader of lines does not."""

    key: str
    value: str
    offset: int


class Descriptor(NamedTuple):
    """A parsed descriptor. `entries` are the lines a reader of lines takes, in order, `known` the
    first of each key that has a meaning here (in lower case); offsets are the file's.

    `after` is where bytes stand behind its end (the first NUL); `loose` where a blank or indented line stands
    among the extents; `control` a byte that no text has; `bad_lines` extent lines that cannot be read; `stray`
    extents behind the end; `over` says which cap ended the reading.
    """

    place: DescriptorPlace
    marked: bool
    entries: tuple[Entry, ...]
    known: tuple[Entry, ...]
    extents: tuple[ExtentLine, ...]
    extent_count: int
    sectors: int
    repeated: tuple[Repeated, ...]
    hidden: tuple[Hidden, ...]
    stray: tuple[ExtentLine, ...]
    bad_lines: tuple[tuple[int, str], ...]
    loose: int | None
    control: int | None
    after: int | None
    ddb_count: int
    ddb_longest: int
    over: str | None

    def value(self, key: str) -> str | None:
        """What the first line of a known key says, without case; None where there is none."""
        wanted = key.lower()
        return next((entry.value for entry in self.known if entry.key == wanted), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class VmdkFacts(Facts):
    """Facts of a VMDK. `kind`: sparse | descriptor | cowd | sesparse. Sizes in bytes unless they are `sectors`.

    `cid` and `parent_cid` are hexadecimal as the descriptor has them. `footer_state`: none | present |
    missing. `descriptor_at_sector_1` is there where the header names another place and one stands there.
    """

    HIDDEN = frozenset({"parsed", "second", "header", "footer_header", "cowd_header", "sesparse_header", "volatile"})

    kind: str
    version: int | None = None
    create_type: str | None = None
    cid: str | None = None
    parent_cid: str | None = None
    parent_file_name_hint: str | None = None
    change_track_path: str | None = None
    encoding: str | None = None
    cluster_size: int | None = None
    capacity: int | None = None
    compressed: bool = False
    compression: str | None = None
    markers: bool = False
    unclean_shutdown: bool = False
    extents: tuple[ExtentLine, ...] = ()
    extent_count: int = 0
    adapter_type: str | None = None
    hardware_version: str | None = None
    tools_version: str | None = None
    geometry: Geometry | None = None
    descriptor: DescriptorPlace | None = None
    descriptor_at_sector_1: DescriptorPlace | None = None
    footer_state: str = "none"
    entries: tuple[Entry, ...] = ()
    ddb: tuple[Entry, ...] = ()
    sparse: SparseFields | None = None
    footer: SparseFields | None = None
    cowd: CowdFields | None = None
    sesparse: SeSparseFields | None = None
    parsed: Descriptor | None = None
    second: Descriptor | None = None
    header: SparseHeader | None = None
    footer_header: SparseHeader | None = None
    cowd_header: CowdHeader | None = None
    sesparse_header: SeSparseHeader | None = None
    volatile: SeSparseVolatile | None = None
