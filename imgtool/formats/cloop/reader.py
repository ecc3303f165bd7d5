"""cloop: the header and the two ends of its table of offsets as facts.

Reference: cloop's cloop.h; QEMU block/cloop.c.
"""

from __future__ import annotations

import re

from imgtool.formats.cloop import layout as lay
from imgtool.formats.cloop.facts import CloopFacts
from imgtool.limits import Limits
from imgtool.structs.view import View

_VERSION = re.compile(rb"#!/bin/sh\n#V(\d\.\d) Format\n")
KNOWN = "2.0"


def read(view: View, limits: Limits) -> CloopFacts | None:
    """The facts of a compressed loop image; None for a shell script that is none."""
    match = _VERSION.match(view.peek(0, lay.PREAMBLE_SIZE))
    if match is None:
        return None
    version = match[1].decode("ascii")
    if version != KNOWN:
        return CloopFacts(format="cloop", file_size=view.size, broken=True, version=version)
    header = view.parse(lay.HEADER, 0)
    table = (header.num_blocks + 1) * lay.OFFSET.size
    first = last = None
    if table <= limits.cloop_offsets:
        first = view.optional(lay.OFFSET, lay.HEADER.size, "cloop offset, first")
        last = view.optional(lay.OFFSET, lay.HEADER.size + table - lay.OFFSET.size, "cloop offset, last")
    return CloopFacts(
        format="cloop",
        file_size=view.size,
        virtual_size=header.block_size * header.num_blocks,
        broken=not header.block_size,
        partial=bool(view.problems),
        problems=view.problems,
        version=version,
        block_size=header.block_size,
        num_blocks=header.num_blocks,
        table_size=table,
        data_offset=first.offset if first else None,
        data_end=last.offset if last else None,
    )
