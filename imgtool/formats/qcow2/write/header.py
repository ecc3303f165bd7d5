"""qcow2: the header of a new file, version 3, and its extensions.

References: QEMU docs/interop/qcow2, sections "Header", "Header extensions", "Feature name table".
"""

from __future__ import annotations

from typing import NamedTuple

from imgtool.formats.qcow2 import layout as lay

#: Header and compression type, padded to a multiple of 8.
HEADER_LENGTH = 112

#: As QEMU names the features; it leaves the table out of smaller clusters.
FEATURE_NAMES = (
    (0, 0, b"dirty bit"),
    (0, 1, b"corrupt bit"),
    (0, 2, b"external data file"),
    (0, 3, b"compression type"),
    (0, 4, b"extended L2 entries"),
    (1, 0, b"lazy refcounts"),
    (2, 0, b"bitmaps"),
    (2, 1, b"raw external data"),
)
_NAMED_FROM = 8192


class Layout(NamedTuple):
    """What a file's header says. `size` and offsets in bytes; `compression_type` as its byte has it. `backing`: the
    name of the file below it and its format, as QEMU calls that; both empty for none."""

    cluster_bits: int
    size: int
    l1_size: int
    l1_table_offset: int
    refcount_table_offset: int
    refcount_table_clusters: int
    refcount_bits: int
    lazy_refcounts: bool
    compression_type: int
    backing: tuple[bytes, bytes] = (b"", b"")


def header(of: Layout) -> bytes:
    """The header with its extensions, and behind them the name of the backing file."""
    name, form = of.backing
    extensions = _extensions(of, form)
    first = lay.HEADER_V2.build(
        lay.HeaderV2(
            magic=lay.MAGIC,
            version=3,
            backing_file_offset=HEADER_LENGTH + len(extensions) if name else 0,
            backing_file_size=len(name),
            cluster_bits=of.cluster_bits,
            size=of.size,
            crypt_method=0,
            l1_size=of.l1_size,
            l1_table_offset=of.l1_table_offset,
            refcount_table_offset=of.refcount_table_offset,
            refcount_table_clusters=of.refcount_table_clusters,
            nb_snapshots=0,
            snapshots_offset=0,
        )
    )
    more = lay.HEADER_V3.build(
        lay.HeaderV3(
            incompatible_features=lay.COMPRESSION_TYPE if of.compression_type else 0,
            compatible_features=lay.LAZY_REFCOUNTS if of.lazy_refcounts else 0,
            autoclear_features=0,
            refcount_order=of.refcount_bits.bit_length() - 1,
            header_length=HEADER_LENGTH,
        )
    )
    compression = lay.COMPRESSION_FIELD.build(lay.CompressionField(of.compression_type, bytes(7)))
    return first + more + compression + extensions + name


def _extensions(of: Layout, form: bytes) -> bytes:
    backing = _extension(lay.EXT_BACKING_FORMAT, form) if form else b""
    names = b"" if 1 << of.cluster_bits < _NAMED_FROM else _extension(lay.EXT_FEATURE_NAMES, _feature_names())
    return backing + names + _extension(lay.EXT_END, b"")


def _feature_names() -> bytes:
    rows = [lay.FeatureName(kind, bit, name.ljust(46, b"\0")) for kind, bit, name in FEATURE_NAMES]
    return b"".join(lay.FEATURE_NAME.build(row) for row in rows)


def _extension(kind: int, data: bytes) -> bytes:
    head = lay.EXTENSION_HEAD.build(lay.ExtensionHead(kind, len(data)))
    return head + data + bytes(-len(data) % 8)
