"""Compressed wrappers: which one it is, and its facts. What is inside is decoded when it is looked into."""

from __future__ import annotations

from imgtool.containers.compressed import layout as lay
from imgtool.containers.compressed.facts import CompressedFacts
from imgtool.limits import Limits
from imgtool.structs.view import View


def read(view: View, limits: Limits) -> CompressedFacts | None:
    """The facts of a wrapper; None where its weak mark turns out to be something else.

    Raises Unreadable when not even its header is there.
    """
    from imgtool.containers.compressed import single
    from imgtool.containers.compressed.xz import xz
    from imgtool.containers.compressed.zip.archive import zip_archive

    head = view.peek(0, 6)
    if head.startswith(lay.GZIP_MAGIC):
        return single.gzip(view, limits)
    if head == lay.XZ_MAGIC:
        return xz(view, limits)
    if head.startswith(lay.BZIP2_MAGIC):
        return single.bzip2(view, limits)
    if head.startswith(lay.LZ4_LEGACY_MAGIC):
        return single.lz4_legacy(view, limits)
    if head.startswith(b"\x5d\0\0"):
        return single.lzma(view, limits)
    return single.framed(view, limits) or zip_archive(view, limits)
