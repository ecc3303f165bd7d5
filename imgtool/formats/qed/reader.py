"""QED: the header as facts.

Reference: QEMU docs/interop/qed_spec, section "Header".
"""

from __future__ import annotations

from imgtool.formats.qed import layout as lay
from imgtool.formats.qed.facts import QedFacts
from imgtool.limits import Limits
from imgtool.model.values import Reference, text
from imgtool.structs.layout import bit_names
from imgtool.structs.view import Unreadable, View
from imgtool.units import is_power_of_two


def read(view: View, limits: Limits) -> QedFacts:
    """The facts of a QED image. Raises Unreadable when even the header is not there."""
    head = view.parse(lay.HEADER, 0)
    if head.image_size > limits.virtual_size:
        message = f"the virtual size of {head.image_size} bytes is over {limits.virtual_size}"
        view.problem("image_size", message, kind="cap", offset=48, length=8)
    backing = _backing_file(view, head)
    backing_format = "raw" if backing is not None and head.features & lay.BACKING_FORMAT_NO_PROBE else None
    _l1_table_is_there(view, head)
    return QedFacts(
        format="qed",
        file_size=view.size,
        virtual_size=head.image_size,
        broken=not (cluster_size_holds(head.cluster_size) and table_size_holds(head.table_size)),
        partial=bool(view.problems),
        references=_references(head, backing, backing_format),
        cluster_size=head.cluster_size,
        table_size=head.table_size,
        header_size=head.header_size,
        dirty=bool(head.features & lay.NEED_CHECK),
        backing_file=backing,
        backing_format=backing_format,
        backing_filename_offset=head.backing_filename_offset,
        backing_filename_size=head.backing_filename_size,
        l1_table_offset=head.l1_table_offset,
        image_size=head.image_size,
        features=bit_names(head.features, lay.FEATURES),
        compat_features=bit_names(head.compat_features, lay.NO_FEATURES),
        autoclear_features=bit_names(head.autoclear_features, lay.NO_FEATURES),
        problems=view.problems,
    )


def cluster_size_holds(size: int) -> bool:
    """True for a power of two from 4 KiB to 64 MiB."""
    return is_power_of_two(size) and lay.CLUSTER_SIZE_MIN <= size <= lay.CLUSTER_SIZE_MAX


def table_size_holds(clusters: int) -> bool:
    """True for 1, 2, 4, 8 or 16 clusters."""
    return is_power_of_two(clusters) and clusters <= lay.TABLE_SIZE_MAX


def _backing_file(view: View, head: lay.Header) -> str | None:
    """The backing file's name where its feature bit is set; what a wrong size leaves of it."""
    if not head.features & lay.BACKING_FILE:
        return None
    length = min(head.backing_filename_size, lay.BACKING_NAME_MAX)
    try:
        return text(view.read(head.backing_filename_offset, length, "backing file name")) if length else ""
    except Unreadable as error:
        view.note(error.problem)
        return ""


def _references(head: lay.Header, backing: str | None, backing_format: str | None) -> tuple[Reference, ...]:
    if backing is None:
        return ()
    place = (head.backing_filename_offset, head.backing_filename_size)
    return (Reference("backing", backing, backing_format, *place),)


def _l1_table_is_there(view: View, head: lay.Header) -> None:
    """Note a truncated L1 table; where the header does not hold, nothing can be said of it."""
    if not (cluster_size_holds(head.cluster_size) and table_size_holds(head.table_size)):
        return
    size = head.cluster_size * head.table_size
    end = head.l1_table_offset + size
    if end > view.size:
        message = f"L1 table: needs bytes {head.l1_table_offset}..{end}, the file has {view.size}"
        view.problem("L1 table", message, kind="truncated", offset=head.l1_table_offset, length=size)
