"""QED on disk. All numbers are little-endian.

Reference: QEMU docs/interop/qed_spec.
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int32ul, Int64ul, Struct

from imgtool.structs.layout import Layout, flags

BACKING_FILE = 1 << 0
NEED_CHECK = 1 << 1
BACKING_FORMAT_NO_PROBE = 1 << 2
FEATURES = {0: "backing-file", 1: "need-check", 2: "backing-format-no-probe"}
#: No compatible and no autoclear feature is defined.
NO_FEATURES: dict[int, str] = {}

CLUSTER_SIZE_MIN = 1 << 12
CLUSTER_SIZE_MAX = 1 << 26
TABLE_SIZE_MAX = 16
BACKING_NAME_MAX = 1023

#: The entry of an L2 table that stands for a cluster of zeros.
ZERO_CLUSTER = 1


class Header(NamedTuple):
    """The header, 64 bytes. `table_size` and `header_size` are in clusters."""

    magic: bytes
    cluster_size: int
    table_size: int
    header_size: int
    features: int
    compat_features: int
    autoclear_features: int
    l1_table_offset: int
    image_size: int
    backing_filename_offset: int
    backing_filename_size: int


HEADER = Layout(
    "QED header",
    Header,
    Struct(
        "magic" / Bytes(4),
        "cluster_size" / Int32ul,
        "table_size" / Int32ul,
        "header_size" / Int32ul,
        "features" / Int64ul,
        "compat_features" / Int64ul,
        "autoclear_features" / Int64ul,
        "l1_table_offset" / Int64ul,
        "image_size" / Int64ul,
        "backing_filename_offset" / Int32ul,
        "backing_filename_size" / Int32ul,
    ),
    meanings={
        "table_size": lambda count: f"{count} clusters a table",
        "header_size": lambda count: f"{count} clusters",
        "features": flags(FEATURES),
        "compat_features": flags(NO_FEATURES),
        "autoclear_features": flags(NO_FEATURES),
        "image_size": lambda size: f"virtual size, {size} bytes",
    },
)
