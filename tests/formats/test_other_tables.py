"""The maps of dmg, cloop and bochs: clean ones, and what is wrong told by its own rule."""

from __future__ import annotations

import base64
import struct
from random import Random

import pytest

from tests.kit import check_of, fixture

#: A chunk of a block map: type, first sector, sectors, byte, length.
Chunk = tuple[int, int, int, int, int]

ZLIB, RAW, ZEROS, END = 0x80000005, 1, 0, 0xFFFFFFFF


def dmg(*maps: bytes, fork: int = 1000, sectors: int = 64, element: str = "data") -> bytes:
    """An image whose property list has these block maps."""
    body = "".join(f"<{element}>\n\t{base64.b64encode(one).decode()}\n</{element}>" for one in maps)
    plist = f"<plist><dict>{body}</dict></plist>".encode()
    trailer = struct.pack(">4sIIIQQQQQII", b"koly", 4, 512, 1, 0, 0, fork, 0, 0, 1, 1) + bytes(16)
    trailer = trailer.ljust(216, b"\0") + struct.pack(">QQ", fork, len(plist))
    trailer = trailer.ljust(488, b"\0") + struct.pack(">IQ", 1, sectors) + bytes(12)
    return bytes(fork) + plist + trailer


def block_map(*chunks: Chunk, first: int = 0, sectors: int = 64, count: int | None = None) -> bytes:
    """A block map of the sectors from `first` on."""
    table = struct.pack(">4sIQQQII", b"mish", 1, first, sectors, 0, 8, 0) + bytes(24 + 136)
    table += struct.pack(">I", len(chunks) if count is None else count)
    return table + b"".join(struct.pack(">IIQQQQ", kind, 0, *rest) for kind, *rest in chunks)


def faults(data: bytes) -> set[str]:
    """Codes of further formats."""
    return {finding.code for finding in check_of(data).findings if finding.code.startswith("OTH")}


def test_dmg_clean() -> None:
    """Two maps side by side, chunks of every kind that readers know, a mark at the end."""
    first = block_map((ZLIB, 0, 16, 0, 500), (ZEROS, 16, 16, 500, 0), (END, 32, 0, 500, 0), sectors=32)
    second = block_map((RAW, 0, 0, 500, 0), (0x80000008, 0, 32, 500, 500), first=32, sectors=32)
    result = check_of(dmg(first, second))
    assert not [finding for finding in result.findings if finding.code.startswith("OTH")]
    assert result.totals is not None
    assert (result.totals.total_clusters, result.totals.allocated_clusters) == (5, 3)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (dmg(block_map((ZLIB, 0, 64, 0, 1001))), "OTH006"),
        (dmg(block_map((ZLIB, 0, 64, 1 << 63, 10))), "OTH006"),
        (dmg(block_map((ZLIB, 0, 65, 0, 10))), "OTH007"),
        (dmg(block_map((ZEROS, 1 << 63, 1 << 63, 0, 0))), "OTH007"),
        (dmg(block_map((ZEROS, 0, 64, 0, 0), first=1)), "OTH007"),
        (dmg(block_map((ZEROS, 0, 33, 0, 0), (ZEROS, 32, 32, 0, 0))), "OTH007"),
        (dmg(block_map((3, 0, 64, 0, 0))), "OTH008"),
        (dmg(block_map((ZLIB, 0, 131_073, 0, 10), sectors=1 << 20), sectors=1 << 20), "OTH201"),
        (dmg(block_map(count=1)), "OTH005"),
        (dmg(block_map()[:100]), "OTH005"),
        (dmg(b"no map at all"), "OTH005"),
        (dmg(block_map(), element="string"), "OTH005"),
    ],
)
def test_dmg_faults(data: bytes, code: str) -> None:
    """Each fault by its own rule, and none besides."""
    assert faults(data) == {code}


def test_dmg_zeros_may_be_large() -> None:
    """What has no bytes in the file has no cap: a terabyte of zeros is one chunk."""
    assert not faults(dmg(block_map((ZEROS, 0, 1 << 31, 0, 0), sectors=1 << 31), sectors=1 << 31))


def test_dmg_no_base64() -> None:
    """A map of letters that are no base64."""
    data = dmg(block_map((ZEROS, 0, 64, 0, 0)))
    assert faults(data.replace(b"bWlzaA", b"bWlzaA=")) == {"OTH005"}


def cloop(sizes: list[int], block: int = 4096) -> bytes:
    """An image of blocks that are packed to these sizes."""
    offsets = [136 + 8 * (len(sizes) + 1)]
    for size in sizes:
        offsets.append(offsets[-1] + size)
    head = b"#!/bin/sh\n#V2.0 Format\n".ljust(128, b"\0") + struct.pack(">II", block, len(sizes))
    return head + struct.pack(f">{len(offsets)}Q", *offsets) + bytes(sum(sizes))


def test_cloop() -> None:
    """Blocks of any size up to what zlib makes of noise; one byte more than that is too long."""
    assert not faults(cloop([0, 10, 4096 + 4 + 64, 20]))
    assert faults(cloop([0, 10, 4096 + 4 + 65, 20])) == {"OTH046"}


def test_cloop_hostile_offsets() -> None:
    """Offsets near 2^64 do not wrap around."""
    data = bytearray(cloop([10] * 8))
    for number in (0xFFFFFFFFFFFFFFFF, 1 << 63):
        struct.pack_into(">Q", data, 136 + 8 * 4, number)
        assert faults(bytes(data)) == {"OTH044", "OTH045"}


def test_bochs() -> None:
    """Extents behind the catalog, in any order; the last one may end where the file ends."""
    data = bytearray(fixture("bochs/version-1.bochs"))
    room = 65_536 + 512
    data += bytes(3 * room)
    order = Random(1).sample(range(3), 3)
    struct.pack_into("<3I", data, 512, *order)
    assert not faults(bytes(data))
    assert faults(bytes(data[:-1])) == {"OTH024"}
    struct.pack_into("<I", data, 512 + 4 * 5, 1)
    assert faults(bytes(data)) == {"OTH025"}
    struct.pack_into("<I", data, 512 + 4 * 5, 0xFFFFFFFE)
    assert faults(bytes(data)) == {"OTH024"}
