"""qcow2: the header and its extensions as facts; `metadata` reads what they point at.

References: QEMU docs/interop/qcow2, sections "Header", "Header extensions".
"""

from __future__ import annotations

from typing import NamedTuple

from imgtool.formats.qcow2 import layout as lay
from imgtool.formats.qcow2 import metadata
from imgtool.formats.qcow2.facts import Extension, FeatureLabel, Qcow2Facts
from imgtool.limits import Limits
from imgtool.model.values import Embedded, Reference, c_text, text
from imgtool.structs.layout import bit_names
from imgtool.structs.view import Unreadable, View


class Head(NamedTuple):
    """The header as its version defines it: what version 2 lacks has version 2's defaults."""

    v2: lay.HeaderV2
    v3: lay.HeaderV3 | None
    incompatible: int
    compatible: int
    autoclear: int
    refcount_order: int
    header_length: int
    compression: int
    unknown_offset: int | None = None
    complete: bool = True


class Named(NamedTuple):
    """The files that the image names, as facts and as references."""

    backing_file: str | None
    backing_format: str | None
    data_file: str | None
    references: tuple[Reference, ...]


def read(view: View, limits: Limits) -> Qcow2Facts:
    """The facts of a qcow2 image. Raises Unreadable when even the header is not there."""
    head = _head(view)
    v2 = head.v2
    cluster_size = _cluster_size(v2)
    area = extension_area(head, cluster_size)
    extensions = _extensions(view, area, limits)
    known = {extension.type: extension for extension in reversed(extensions)}
    named = _named(view, head, known, limits)
    crypto = _pointer(view, known.get(lay.EXT_CRYPTO_HEADER))
    bitmaps_extension = metadata.bitmaps_extension(view, known.get(lay.EXT_BITMAPS), v2.version)
    return Qcow2Facts(
        format="qcow2",
        file_size=view.size,
        virtual_size=v2.size,
        encrypted=v2.crypt_method != 0,
        broken=v2.version not in (2, 3) or cluster_size is None or not head.complete,
        references=named.references,
        version=v2.version,
        compat=lay.COMPAT.get(v2.version),
        cluster_size=cluster_size,
        refcount_bits=1 << head.refcount_order if head.refcount_order <= lay.MAX_REFCOUNT_ORDER else None,
        compression_type=lay.COMPRESSION_TYPES.get(head.compression, f"unknown-{head.compression}"),
        lazy_refcounts=bool(head.compatible & lay.LAZY_REFCOUNTS),
        extended_l2=bool(head.incompatible & lay.EXTENDED_L2),
        dirty=bool(head.incompatible & lay.DIRTY),
        corrupt=bool(head.incompatible & lay.CORRUPT),
        encryption=lay.CRYPT_METHODS.get(v2.crypt_method, f"unknown-{v2.crypt_method}"),
        backing_file=named.backing_file,
        backing_format=named.backing_format,
        data_file=named.data_file,
        data_file_raw=bool(head.autoclear & lay.RAW_EXTERNAL_DATA),
        header_length=head.header_length,
        backing_file_offset=v2.backing_file_offset,
        backing_file_size=v2.backing_file_size,
        cluster_bits=v2.cluster_bits,
        size=v2.size,
        crypt_method=v2.crypt_method,
        l1_size=v2.l1_size,
        l1_table_offset=v2.l1_table_offset,
        refcount_table_offset=v2.refcount_table_offset,
        refcount_table_clusters=v2.refcount_table_clusters,
        nb_snapshots=v2.nb_snapshots,
        snapshots_offset=v2.snapshots_offset,
        incompatible_features=bit_names(head.incompatible, lay.INCOMPATIBLE),
        compatible_features=bit_names(head.compatible, lay.COMPATIBLE),
        autoclear_features=bit_names(head.autoclear, lay.AUTOCLEAR),
        extensions=extensions,
        feature_names=_feature_names(view, known.get(lay.EXT_FEATURE_NAMES), limits),
        snapshots=metadata.snapshots(view, v2, limits),
        bitmaps=metadata.bitmaps(view, bitmaps_extension, head.autoclear, limits),
        crypto_header=crypto,
        bitmaps_extension=bitmaps_extension,
        embedded=_luks(view, v2, crypto),
        header=v2,
        header_v3=head.v3,
        extension_area=area,
        unknown_header_offset=head.unknown_offset,
        partial=bool(view.problems),
        problems=view.problems,
    )


def _cluster_size(header: lay.HeaderV2) -> int | None:
    holds = lay.MIN_CLUSTER_BITS <= header.cluster_bits <= lay.MAX_CLUSTER_BITS
    return 1 << header.cluster_bits if holds else None


def _head(view: View) -> Head:
    v2 = view.parse(lay.HEADER_V2, 0)
    if v2.version == 2:
        return Head(v2, None, 0, 0, 0, 4, lay.HEADER_V2_SIZE, 0)
    v3 = view.optional(lay.HEADER_V3, lay.HEADER_V2_SIZE)
    if v3 is None:
        return Head(v2, None, 0, 0, 0, 4, view.size, 0, complete=False)
    compression = 0
    if v3.header_length > lay.HEADER_V3_SIZE:
        field = view.optional(lay.COMPRESSION_FIELD, lay.HEADER_V3_SIZE)
        compression = field.compression_type if field else 0
    return Head(
        v2,
        v3,
        v3.incompatible_features,
        v3.compatible_features,
        v3.autoclear_features,
        v3.refcount_order,
        v3.header_length,
        compression,
        _unknown_header_byte(view, v3.header_length),
    )


def _unknown_header_byte(view: View, header_length: int) -> int | None:
    """The first byte of the header past its known fields that is not zero."""
    start = lay.HEADER_V3_SIZE + 1
    rest = view.peek(start, min(header_length, 1 << lay.MAX_CLUSTER_BITS) - start)
    zeros = len(rest) - len(rest.lstrip(b"\0"))
    return start + zeros if zeros < len(rest) else None


def extension_area(head: Head, cluster_size: int | None) -> tuple[int, int]:
    """Start and end of the header extensions: to the backing file name, else to the end of the cluster.

    The area is empty where the header's own length does not hold.
    """
    start = head.header_length
    end = cluster_size or 0
    if 0 < head.v2.backing_file_offset < end:
        end = head.v2.backing_file_offset
    known = lay.HEADER_V2_SIZE if head.v2.version == 2 else lay.HEADER_V3_SIZE
    return (start, max(start, end)) if known <= start else (known, known)


def _extensions(view: View, area: tuple[int, int], limits: Limits) -> tuple[Extension, ...]:
    """The extensions up to the end marker; the last one may cross the end of the area (a rule says so)."""
    found: list[Extension] = []
    position, end = area
    while position + 8 <= end:
        if len(found) >= limits.qcow2_extensions:
            message = f"more than {limits.qcow2_extensions} header extensions"
            view.problem("header extensions", message, kind="cap", offset=position)
            break
        head = view.optional(lay.EXTENSION_HEAD, position)
        if head is None or head.type == lay.EXT_END:
            break
        name = lay.EXTENSION_NAMES.get(head.type, f"unknown-0x{head.type:08x}")
        found.append(Extension(head.type, name, position + 8, head.length))
        position += 8 + (head.length + 7) // 8 * 8
    return tuple(found)


def _string(view: View, extension: Extension | None, what: str) -> str | None:
    if extension is None:
        return None
    try:
        return text(view.read(extension.offset, min(extension.length, view.limits.string), what))
    except Unreadable as error:
        view.note(error.problem)
        return None


def _backing_file(view: View, header: lay.HeaderV2, limits: Limits) -> str | None:
    """The name as far as it is there; a backing file exists when both its offset and its size are set."""
    if not header.backing_file_offset or not header.backing_file_size:
        return None
    length = min(header.backing_file_size, limits.string)
    try:
        return text(view.read(header.backing_file_offset, length, "backing file name"))
    except Unreadable as error:
        view.note(error.problem)
    return ""


def _named(view: View, head: Head, known: dict[int, Extension], limits: Limits) -> Named:
    backing = _backing_file(view, head.v2, limits)
    backing_format = _string(view, known.get(lay.EXT_BACKING_FORMAT), "backing format")
    extension = known.get(lay.EXT_DATA_FILE)
    data_file = _string(view, extension, "data file name")
    found: list[Reference] = []
    if backing is not None:
        place = (head.v2.backing_file_offset, head.v2.backing_file_size)
        found.append(Reference("backing", backing, backing_format, *place))
    if extension is not None:
        found.append(Reference("data-file", data_file or "", "raw", extension.offset, extension.length))
    elif head.incompatible & lay.EXTERNAL_DATA_FILE:
        found.append(Reference("data-file", "", "raw"))
    return Named(backing, backing_format, data_file, tuple(found))


def _pointer(view: View, extension: Extension | None) -> lay.CryptoHeader | None:
    if extension is None or extension.length < lay.CRYPTO_HEADER.size:
        return None
    return view.optional(lay.CRYPTO_HEADER, extension.offset)


def _luks(view: View, header: lay.HeaderV2, crypto: lay.CryptoHeader | None) -> tuple[Embedded, ...]:
    if header.crypt_method != 2 or crypto is None or crypto.offset >= view.size:
        return ()
    return (Embedded("luks header", crypto.offset, min(crypto.length, view.size - crypto.offset)),)


def _feature_names(view: View, extension: Extension | None, limits: Limits) -> tuple[FeatureLabel, ...]:
    if extension is None:
        return ()
    count = min(extension.length // lay.FEATURE_NAME.size, limits.qcow2_feature_names)
    try:
        rows = view.rows(lay.FEATURE_NAME, extension.offset, count)
    except Unreadable as error:
        view.note(error.problem)
        return ()
    kinds = lay.FEATURE_TYPES
    return tuple(
        FeatureLabel(kinds.get(row.type) or f"unknown-{row.type}", row.bit, c_text(row.name)) for row in rows
    )
