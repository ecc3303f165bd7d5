"""qcow, version 1: the header as facts.

Reference: QEMU block/qcow.
"""

from __future__ import annotations

from imgtool.formats.qcow import layout as lay
from imgtool.formats.qcow.facts import QcowFacts
from imgtool.limits import Limits
from imgtool.model.values import Reference, text
from imgtool.structs.view import Unreadable, View
from imgtool.units import ceil_div


def read(view: View, limits: Limits) -> QcowFacts:
    """The facts of a qcow image. Raises Unreadable when even the header is not there."""
    head = view.parse(lay.HEADER, 0)
    if head.size > limits.virtual_size:
        message = f"the virtual size of {head.size} bytes is over {limits.virtual_size}"
        view.problem("size", message, kind="cap", offset=24, length=8)
    l1_size = _l1_size(head)
    backing = _backing_file(view, head)
    _l1_table_is_there(view, head, l1_size)
    return QcowFacts(
        format="qcow",
        file_size=view.size,
        virtual_size=head.size,
        encrypted=head.crypt_method != 0,
        broken=l1_size is None,
        partial=bool(view.problems),
        references=_references(head, backing),
        version=head.version,
        cluster_size=1 << head.cluster_bits if _within(head.cluster_bits, lay.CLUSTER_BITS) else None,
        encryption=lay.CRYPT_METHODS.get(head.crypt_method, f"unknown-{head.crypt_method}"),
        backing_file=backing,
        backing_file_offset=head.backing_file_offset,
        backing_file_size=head.backing_file_size,
        mtime=head.mtime,
        size=head.size,
        cluster_bits=head.cluster_bits,
        l2_bits=head.l2_bits,
        crypt_method=head.crypt_method,
        l1_table_offset=head.l1_table_offset,
        l1_size=l1_size,
        problems=view.problems,
    )


def _within(bits: int, bounds: tuple[int, int]) -> bool:
    return bounds[0] <= bits <= bounds[1]


def _l1_size(head: lay.Header) -> int | None:
    """Entries of the L1 table: one for each L2 table that the virtual size needs."""
    if not (_within(head.cluster_bits, lay.CLUSTER_BITS) and _within(head.l2_bits, lay.L2_BITS)):
        return None
    return ceil_div(head.size, 1 << head.cluster_bits + head.l2_bits)


def _l1_table_is_there(view: View, head: lay.Header, l1_size: int | None) -> None:
    """Note a truncated L1 table."""
    end = head.l1_table_offset + (l1_size or 0) * 8
    if l1_size and end > view.size:
        message = f"L1 table: needs bytes {head.l1_table_offset}..{end}, the file has {view.size}"
        view.problem("L1 table", message, kind="truncated", offset=head.l1_table_offset, length=l1_size * 8)


def _backing_file(view: View, head: lay.Header) -> str | None:
    """The backing file's name: it is there where both its offset and its size are not 0."""
    if not head.backing_file_offset or not head.backing_file_size:
        return None
    length = min(head.backing_file_size, lay.BACKING_NAME_MAX)
    try:
        return text(view.read(head.backing_file_offset, length, "backing file name"))
    except Unreadable as error:
        view.note(error.problem)
        return ""


def _references(head: lay.Header, backing: str | None) -> tuple[Reference, ...]:
    if backing is None:
        return ()
    return (Reference("backing", backing, None, head.backing_file_offset, head.backing_file_size),)
