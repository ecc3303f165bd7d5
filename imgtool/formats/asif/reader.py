"""asif: the header and the sequence numbers of its directories as facts; tables and metadata are not read.

References: huven/asif-format (README), fox-it/dissect.hypervisor (asif).
"""

from __future__ import annotations

from imgtool.formats.asif import layout as lay
from imgtool.formats.asif.facts import AsifFacts, Directory
from imgtool.limits import Limits
from imgtool.structs.view import View
from imgtool.units import uuid_text


def read(view: View, limits: Limits) -> AsifFacts:
    """The facts of an Apple sparse image. Raises Unreadable when its header is not there."""
    header = view.parse(lay.HEADER, 0)
    size = header.sector_count * header.block_size
    sane = header.version == 1 and header.block_size and header.chunk_size and size <= limits.asif_size
    return AsifFacts(
        format="asif",
        file_size=view.size,
        virtual_size=size if sane else None,
        directories=tuple(_directory(view, at) for at in (header.directory_offset_0, header.directory_offset_1)),
        broken=not sane,
        partial=bool(view.problems),
        problems=view.problems,
        version=header.version,
        specification="none published; fields after public notes",
        header_size=header.header_size,
        flags=header.flags,
        uuid=uuid_text(header.uuid),
        sector_count=header.sector_count,
        block_size=header.block_size,
        max_size=header.max_sector_count * header.block_size,
        chunk_size=header.chunk_size,
        metadata_chunk=header.metadata_chunk,
    )


def _directory(view: View, offset: int) -> Directory:
    if offset >= view.size:
        return Directory(offset, None)
    head = view.optional(lay.DIRECTORY_HEAD, offset)
    return Directory(offset, head.sequence if head else None)
