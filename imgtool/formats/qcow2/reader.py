"""qcow2: the header, its extensions, snapshots and bitmaps as facts.

References: QEMU docs/interop/qcow2, sections "Header", "Header extensions", "Snapshots", "Bitmaps".
"""

from __future__ import annotations

from typing import NamedTuple

from imgtool.formats.qcow2 import layout as lay
from imgtool.formats.qcow2.facts import Bitmap, Extension, FeatureLabel, Qcow2Facts, Snapshot
from imgtool.limits import Limits
from imgtool.model.values import Embedded, Problem, Reference, c_text, text
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


def read(view: View, limits: Limits) -> Qcow2Facts:
    """The facts of a qcow2 image. Raises Unreadable when even the header is not there."""
    head = _head(view)
    v2 = head.v2
    cluster_size = 1 << v2.cluster_bits if 9 <= v2.cluster_bits <= 21 else None
    area = extension_area(head, cluster_size)
    extensions = _extensions(view, area, limits)
    known = {extension.type: extension for extension in reversed(extensions)}
    backing = _backing_file(view, v2, limits)
    backing_format = _string(view, known.get(lay.EXT_BACKING_FORMAT), "backing format")
    data_file = _string(view, known.get(lay.EXT_DATA_FILE), "data file name")
    external = bool(head.incompatible & lay.EXTERNAL_DATA_FILE) or lay.EXT_DATA_FILE in known
    crypto = _pointer(view, known.get(lay.EXT_CRYPTO_HEADER))
    bitmaps_extension = _bitmaps_extension(view, known.get(lay.EXT_BITMAPS), head)
    snapshots = _snapshots(view, v2, limits)
    bitmaps = _bitmaps(view, bitmaps_extension, limits)
    names = _feature_names(view, known.get(lay.EXT_FEATURE_NAMES), limits)
    return Qcow2Facts(
        format="qcow2",
        file_size=view.size,
        virtual_size=v2.size,
        encrypted=v2.crypt_method != 0,
        broken=v2.version not in (2, 3) or cluster_size is None,
        partial=bool(view.problems),
        references=_references(backing, backing_format, data_file, external, v2, known),
        version=v2.version,
        compat="0.10" if v2.version == 2 else "1.1",
        cluster_size=cluster_size,
        refcount_bits=1 << head.refcount_order if head.refcount_order <= 6 else None,
        compression_type=lay.COMPRESSION_TYPES.get(head.compression, f"unknown-{head.compression}"),
        lazy_refcounts=bool(head.compatible & lay.LAZY_REFCOUNTS),
        extended_l2=bool(head.incompatible & lay.EXTENDED_L2),
        dirty=bool(head.incompatible & lay.DIRTY),
        corrupt=bool(head.incompatible & lay.CORRUPT),
        encryption=lay.CRYPT_METHODS.get(v2.crypt_method, f"unknown-{v2.crypt_method}"),
        backing_file=backing,
        backing_format=backing_format,
        data_file=data_file,
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
        feature_names=names,
        snapshots=snapshots,
        bitmaps=bitmaps,
        crypto_header=crypto,
        bitmaps_extension=bitmaps_extension,
        embedded=_luks(view, v2, crypto),
        header=v2,
        header_v3=head.v3,
        extension_area=area,
        problems=view.problems,
    )


def _head(view: View) -> Head:
    v2 = view.parse(lay.HEADER_V2, 0)
    if v2.version == 2:
        return Head(v2, None, 0, 0, 0, 4, lay.HEADER_V2_SIZE, 0)
    v3 = view.parse(lay.HEADER_V3, lay.HEADER_V2_SIZE)
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
    )


def extension_area(head: Head, cluster_size: int | None) -> tuple[int, int]:
    """Start and end of the header extensions: to the backing file name, else to the end of the cluster."""
    start = head.header_length
    end = cluster_size or 0
    if 0 < head.v2.backing_file_offset < end:
        end = head.v2.backing_file_offset
    return start, max(start, end)


def _extensions(view: View, area: tuple[int, int], limits: Limits) -> tuple[Extension, ...]:
    found: list[Extension] = []
    position, end = area
    while position + 8 <= end and len(found) < limits.qcow2_extensions:
        head = view.optional(lay.EXTENSION_HEAD, position)
        if head is None or head.type == lay.EXT_END:
            break
        name = lay.EXTENSION_NAMES.get(head.type, f"unknown-0x{head.type:08x}")
        found.append(Extension(head.type, name, position + 8, head.length))
        if position + 8 + head.length > end:
            message = f"header extension {name} of {head.length} bytes crosses the end of its area at {end}"
            view.problem("header extension", message, offset=position, length=8)
            break
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
    if not header.backing_file_offset or not header.backing_file_size:
        return None
    length = min(header.backing_file_size, limits.string)
    try:
        return text(view.read(header.backing_file_offset, length, "backing file name"))
    except Unreadable as error:
        view.note(error.problem)
        return None


def _references(
    backing: str | None,
    backing_format: str | None,
    data_file: str | None,
    external: bool,
    header: lay.HeaderV2,
    known: dict[int, Extension],
) -> tuple[Reference, ...]:
    found = []
    if backing is not None:
        place = (header.backing_file_offset, header.backing_file_size)
        found.append(Reference("backing", backing, backing_format, *place))
    if external:
        extension = known.get(lay.EXT_DATA_FILE)
        offset, length = (extension.offset, extension.length) if extension else (None, None)
        found.append(Reference("data-file", data_file or "", "raw", offset, length))
    return tuple(found)


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
    found = []
    count = min(extension.length // lay.FEATURE_NAME.size, limits.qcow2_feature_names)
    for index in range(count):
        row = view.optional(lay.FEATURE_NAME, extension.offset + index * lay.FEATURE_NAME.size)
        if row is None:
            break
        kind = lay.FEATURE_TYPES.get(row.type, f"unknown-{row.type}")
        found.append(FeatureLabel(kind, row.bit, c_text(row.name)))
    return tuple(found)


def _snapshots(view: View, header: lay.HeaderV2, limits: Limits) -> tuple[Snapshot, ...]:
    found: list[Snapshot] = []
    position = header.snapshots_offset
    for _ in range(min(header.nb_snapshots, limits.qcow2_snapshots_listed)):
        try:
            snapshot, position = _snapshot(view, position, limits)
        except Unreadable as error:
            view.note(error.problem)
            break
        found.append(snapshot)
    return tuple(found)


def _snapshot(view: View, offset: int, limits: Limits) -> tuple[Snapshot, int]:
    """The snapshot at `offset`, and where the next one begins."""
    entry = view.parse(lay.SNAPSHOT_ENTRY, offset)
    position = offset + lay.SNAPSHOT_ENTRY.size
    if entry.extra_data_size > limits.qcow2_snapshot_extra:
        message = f"snapshot extra data of {entry.extra_data_size} bytes is over {limits.qcow2_snapshot_extra}"
        raise Unreadable(Problem("cap", "snapshot table entry", message, offset + 36, 4))
    vm_state, virtual_size = entry.vm_state_size, None
    if entry.extra_data_size >= lay.SNAPSHOT_EXTRA.size:
        extra = view.parse(lay.SNAPSHOT_EXTRA, position)
        vm_state, virtual_size = extra.vm_state_size, extra.virtual_disk_size
    position += entry.extra_data_size
    names = view.read(position, entry.id_str_size + entry.name_size, "snapshot id and name")
    snapshot = Snapshot(
        text(names[: entry.id_str_size]),
        text(names[entry.id_str_size :]),
        virtual_size,
        vm_state,
        entry.date_sec,
        entry.date_nsec,
        entry.vm_clock_nsec,
        entry.l1_table_offset,
        entry.l1_size,
        entry.extra_data_size,
    )
    return snapshot, (position + len(names) + 7) // 8 * 8


def _bitmaps_extension(view: View, extension: Extension | None, head: Head) -> lay.BitmapsExtension | None:
    if extension is None or head.v3 is None or extension.length < lay.BITMAPS_EXTENSION.size:
        return None
    return view.optional(lay.BITMAPS_EXTENSION, extension.offset)


def _bitmaps(view: View, extension: lay.BitmapsExtension | None, limits: Limits) -> tuple[Bitmap, ...]:
    if extension is None:
        return ()
    found: list[Bitmap] = []
    position = extension.bitmap_directory_offset
    end = position + extension.bitmap_directory_size
    for _ in range(min(extension.nb_bitmaps, limits.qcow2_bitmaps_listed)):
        if position + lay.BITMAP_ENTRY.size > end:
            break
        try:
            bitmap, position = _bitmap(view, position)
        except Unreadable as error:
            view.note(error.problem)
            break
        found.append(bitmap)
    return tuple(found)


def _bitmap(view: View, offset: int) -> tuple[Bitmap, int]:
    """The bitmap at `offset`, and where the next directory entry begins."""
    entry = view.parse(lay.BITMAP_ENTRY, offset)
    position = offset + lay.BITMAP_ENTRY.size + entry.extra_data_size
    name = view.read(position, entry.name_size, "bitmap name")
    bitmap = Bitmap(
        text(name),
        1 << entry.granularity_bits if entry.granularity_bits < 64 else None,
        entry.granularity_bits,
        lay.BITMAP_TYPES.get(entry.type, f"unknown-{entry.type}"),
        bit_names(entry.flags, lay.BITMAP_FLAGS),
        entry.bitmap_table_offset,
        entry.bitmap_table_size,
    )
    return bitmap, (position + entry.name_size + 7) // 8 * 8
