"""Compressed loop images (cloop) on disk, version 2.0. All numbers are big-endian.

Reference: cloop's cloop.h (cloop_head); QEMU block/cloop.c.
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int32ub, Int64ub, Struct

from imgtool.structs.layout import Layout

PREAMBLE_SIZE = 128
SCRIPT = b"#!/bin/sh\n#V"


class Header(NamedTuple):
    """A shell script of 128 bytes, then the sizes. A table of num_blocks + 1 offsets follows."""

    preamble: bytes
    block_size: int
    num_blocks: int


HEADER = Layout(
    "cloop header",
    Header,
    Struct("preamble" / Bytes(PREAMBLE_SIZE), "block_size" / Int32ub, "num_blocks" / Int32ub),
)


class Offset(NamedTuple):
    """Where a compressed block begins; the last one is where the blocks end."""

    offset: int


OFFSET = Layout("cloop offset", Offset, Struct("offset" / Int64ub))
