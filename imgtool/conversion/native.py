"""The native engine: the guest's bytes in order, prepared in threads, written in one; no subprocess, no second copy.

The digest of the content is made of the same pieces while they are in memory. Where the target's file system can
share blocks with the source's file, what lies there as the guest sees it is shared, and read for the digest alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from imgtool.conversion.shared import Shared
from imgtool.detect.match import resolve
from imgtool.detect.registry import Entry
from imgtool.disks.digest import BLOCK, BlockTree, leaves
from imgtool.disks.stream import GRID, PIECE, Run, over_pieces
from imgtool.ingest.pump import Progress
from imgtool.sources.disk import Disk
from imgtool.sources.file import FileSource
from imgtool.sources.spans import Piece, Spanned, Uniform
from imgtool.targets.options import Option, Value
from imgtool.targets.output import Output
from imgtool.targets.writer import Stamp, Writer


class Written(NamedTuple):
    """What was written: bytes of the guest's disk and of the file, and the tree over the content, if it was asked
    for or needed."""

    virtual_size: int
    file_size: int
    tree: BlockTree | None


def options_of(entry: Entry) -> tuple[Option, ...]:
    """The creation options that the native writer of a format knows."""
    return () if entry.writer_options is None else tuple(resolve(entry.writer_options))


def open_writer(entry: Entry, output: Output, size: int, options: Mapping[str, Value]) -> Writer[Any]:
    """The native writer of a format, at the start of its output. Raises UsageError or UnsupportedError where a disk
    of that size cannot be written with those options."""
    assert entry.writer is not None
    writer: Writer[Any] = resolve(entry.writer)(output, size, options)
    return writer


def write(
    disk: Disk,
    writer: Writer[Any],
    time: int,
    *,
    digest: bool = True,
    threads: int | None = None,
    progress: Progress | None = None,
    source: FileSource | None = None,
) -> Written:
    """Give the whole disk to the writer, and zeros from its end to that of a longer target. `time`: seconds since
    1970 for what the format dates. `source`: the file that the disk's extents are of, where blocks may be shared with
    it.

    Raises what reading the disk and writing the output raise.
    """
    tree = BlockTree() if digest or writer.stamped else None
    if writer.size > disk.size:
        disk = Spanned(disk.name, (Piece(disk), Piece(Uniform(disk.name, writer.size - disk.size))))
    shared = Shared(disk, writer, source) if source is not None else None

    def done(run: Run) -> bool:
        return shared is not None and shared.covers(run)

    def work(run: Run, data: bytes) -> tuple[list[bytes] | None, Any]:
        found = leaves(data) if tree is not None else None
        if done(run):
            return found, None
        made = writer.prepare(run.start, data)
        if not writer.anywhere:
            return found, made
        writer.put(run.start, made)
        return found, None

    grid = max(GRID, writer.unit)
    assert grid % BLOCK == 0
    assert grid % writer.unit == 0
    piece = -(-PIECE // grid) * grid
    unread = done if tree is None else None
    for run, made in over_pieces(disk, work, piece=piece, grid=grid, threads=threads, skip=unread):
        if run.zeros:
            writer.zeros(run.start, run.length)
        elif made is not None and made[1] is not None:
            writer.put(run.start, made[1])
        if tree is not None:
            tree.take(run, None if made is None else made[0])
        if progress is not None:
            progress(run.length)
    content = tree.digest(writer.size) if tree is not None else b""
    writer.finish(Stamp(content, time))
    return Written(writer.size, writer.output.size, tree)
