"""What the qcow2 reader finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from imgtool.formats.qcow2.layout import BitmapsExtension, CryptoHeader, HeaderV2, HeaderV3
from imgtool.model.facts import Facts


class Extension(NamedTuple):
    """A header extension: `offset` of its data, `length` of it without padding."""

    type: int
    name: str
    offset: int
    length: int


class FeatureLabel(NamedTuple):
    """A row of the feature name table."""

    type: str
    bit: int
    name: str


class Snapshot(NamedTuple):
    """An internal snapshot. `virtual_size` and `vm_state_size` in bytes; `date` in seconds since 1970.

    `icount`: instructions executed when it was taken; None where none were counted. `entry_offset` is where
    its entry lies in the file.
    """

    id: str
    name: str
    virtual_size: int | None
    vm_state_size: int
    date: int
    date_nsec: int
    vm_clock_nsec: int
    l1_table_offset: int
    l1_size: int
    extra_data_size: int
    icount: int | None
    entry_offset: int


class Bitmap(NamedTuple):
    """A persistent dirty bitmap. `granularity` in bytes; None where its bits are out of range."""

    name: str
    granularity: int | None
    granularity_bits: int
    type: str
    flags: tuple[str, ...]
    table_offset: int
    table_size: int
    name_size: int
    extra_data_size: int
    entry_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Qcow2Facts(Facts):
    """Facts of a qcow2 image. Sizes and offsets in bytes; `version` 2 or 3.

    `backing_file` is what the header names; `data_file` what its extension names. `extension_area`: the start
    and end of the header extensions. `unknown_header_offset`: the first byte of the header that is not zero
    and belongs to no field of it.
    """

    HIDDEN = frozenset({"header", "header_v3", "extension_area", "unknown_header_offset"})

    version: int
    compat: str | None
    cluster_size: int | None
    refcount_bits: int | None
    compression_type: str
    lazy_refcounts: bool
    extended_l2: bool
    dirty: bool
    corrupt: bool
    encryption: str
    backing_file: str | None = None
    backing_format: str | None = None
    data_file: str | None = None
    data_file_raw: bool = False
    header_length: int
    backing_file_offset: int
    backing_file_size: int
    cluster_bits: int
    size: int
    crypt_method: int
    l1_size: int
    l1_table_offset: int
    refcount_table_offset: int
    refcount_table_clusters: int
    nb_snapshots: int
    snapshots_offset: int
    incompatible_features: tuple[str, ...] = ()
    compatible_features: tuple[str, ...] = ()
    autoclear_features: tuple[str, ...] = ()
    extensions: tuple[Extension, ...] = ()
    feature_names: tuple[FeatureLabel, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    bitmaps: tuple[Bitmap, ...] = ()
    crypto_header: CryptoHeader | None = None
    bitmaps_extension: BitmapsExtension | None = None
    header: HeaderV2
    header_v3: HeaderV3 | None = None
    extension_area: tuple[int, int]
    unknown_header_offset: int | None = None
