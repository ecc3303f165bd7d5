"""What the VHD reader finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from imgtool.formats.vhd.layout import DynamicHeader, Footer, Geometry
from imgtool.model.facts import Facts

SizeRule = Literal["current-size", "chs"]


class PlacedFooter(NamedTuple):
    """A footer that is there: where it lies, its bytes, and the checksum they have."""

    offset: int
    size: int
    record: Footer
    computed: int

    @property
    def sound(self) -> bool:
        """True when the stored checksum is the computed one."""
        return self.record.checksum == self.computed


class Locator(NamedTuple):
    """A parent locator. `value` is its text; of a Macintosh alias, its bytes in hex."""

    platform: str
    value: str
    offset: int
    length: int
    space: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VhdFacts(Facts):
    """Facts of a VHD. Sizes and offsets in bytes.

    `virtual_size` is `current_size` or `chs_size`, whichever `size_rule` names; `qemu_size` is what QEMU 7.2
    shows. `footer_size` is 512 or 511, null where the trailing footer is gone and its copy was read.
    """

    HIDDEN = frozenset({"trailing", "copy", "dynamic_header", "dynamic_computed"})

    subformat: str
    size_rule: SizeRule
    current_size: int
    original_size: int
    geometry: Geometry
    chs_size: int
    qemu_size: int
    creator_application: str
    creator_version: str
    creator_host_os: str
    created: str
    unique_id: str
    features: tuple[str, ...]
    saved_state: bool
    file_format_version: int
    disk_type: int
    data_offset: int
    footer_offset: int
    footer_size: int | None
    footer_copy: bool
    header_version: int | None = None
    block_size: int | None = None
    max_table_entries: int | None = None
    table_offset: int | None = None
    parent_name: str | None = None
    parent_unique_id: str | None = None
    parent_time: str | None = None
    parent_locators: tuple[Locator, ...] = ()
    trailing: PlacedFooter | None = None
    copy: PlacedFooter | None = None
    dynamic_header: DynamicHeader | None = None
    dynamic_computed: int | None = None

    @property
    def footer(self) -> PlacedFooter:
        """The footer that the facts were taken from."""
        first, second = self.trailing, self.copy
        chosen = first if first is not None and first.offset == self.footer_offset else second
        assert chosen is not None
        return chosen
