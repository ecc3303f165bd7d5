"""qcow2: the walk over all tables, in short where everything is plain: every cluster used once, for one thing.

Most images have no snapshot, nothing compressed, and their clusters in long runs. Of those a comparison of bytes
tells that no entry is wrong and every count is right; numpy is not loaded for it. What is not plain, or not sound, is
left to the walk that finds out what.

Reference: QEMU docs/interop/qcow2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from imgtool.formats.qcow2 import layout as lay
from imgtool.formats.qcow2.facts import Qcow2Facts
from imgtool.formats.qcow2.walk.facts import Qcow2TableFacts
from imgtool.formats.qcow2.walk.ramp import Ramp
from imgtool.limits import Limits
from imgtool.model.tables import Totals
from imgtool.sources.base import Source
from imgtool.units import SECTOR, ceil_div

#: What more than that is left to the other walk: bytes of the L1 table, of all L2 tables, of the table of counts;
#: words in the first and the last of these; runs.
_L1_BYTES = 1 << 19
_L2_BYTES = 1 << 28
_COUNTS_BYTES = 1 << 22
_WORDS = 1 << 14
_RUNS = 1 << 14

#: Clusters from the first up to the second, which is not one of them.
Run = tuple[int, int]


class NotPlain(Exception):
    """Something is not as simple as it is here."""


def walk(source: Source, facts: Qcow2Facts, limits: Limits) -> Qcow2TableFacts:
    """The facts of all tables of a qcow2 image."""
    try:
        return proved(source, facts)
    except NotPlain:
        from imgtool.formats.qcow2.walk.walk import walk as walk_all

        return walk_all(source, facts, limits)


def proved(source: Source, facts: Qcow2Facts) -> Qcow2TableFacts:
    """The facts of all tables of an image in which everything is plain and nothing is wrong. Raises NotPlain."""
    size = _cluster_size(facts)
    tables = list(_tables(source, facts, size))
    blocks = _blocks(source, facts, size)
    data, fragmented = _data(source, facts, tables)
    refcount_table = facts.refcount_table_offset // size
    taken = [(0, 1), (refcount_table, refcount_table + facts.refcount_table_clusters), *data]
    taken += [(number, number + 1) for number in (*tables, *blocks) if number]
    if facts.l1_size:
        first = facts.l1_table_offset // size
        taken.append((first, first + ceil_div(facts.l1_size * 8, size)))
    runs = _joined(taken)
    if (runs[-1][1] - 1) * size >= source.size:
        raise NotPlain
    _compare(source, blocks, runs, size)
    totals = Totals(
        image_end_offset=runs[-1][1] * size,
        total_clusters=ceil_div(facts.size // SECTOR * SECTOR, size),
        allocated_clusters=sum(end - start for start, end in data),
        fragmented_clusters=fragmented,
        compressed_clusters=0,
    )
    return Qcow2TableFacts(facts=facts, totals=totals, unit=size, faults=(), inflated=0, compressed=0)


def _cluster_size(facts: Qcow2Facts) -> int:
    """The size of a cluster where the header has nothing but the plain."""
    size = facts.cluster_size
    further = facts.nb_snapshots or facts.crypt_method or facts.crypto_header or facts.bitmaps_extension
    if size is None or facts.refcount_bits != 16 or facts.extended_l2 or further:
        raise NotPlain
    if facts.data_file is not None or "external-data-file" in facts.incompatible_features:
        raise NotPlain
    if facts.l1_size * 8 > _L1_BYTES or facts.refcount_table_clusters * size > _COUNTS_BYTES:
        raise NotPlain
    if facts.l1_table_offset % size or facts.refcount_table_offset % size or not facts.refcount_table_clusters:
        raise NotPlain
    return size


def _tables(source: Source, facts: Qcow2Facts, size: int) -> Iterator[int]:
    """The clusters of the L2 tables."""
    left = _L2_BYTES // size
    for word in _words(source, facts.l1_table_offset, facts.l1_size):
        offset = word ^ lay.OFLAG_COPIED
        if not word:
            continue
        left -= 1
        if not 0 < offset <= source.size - size or offset % size or left < 0:
            raise NotPlain
        yield offset // size


def _blocks(source: Source, facts: Qcow2Facts, size: int) -> list[int]:
    """The clusters of the blocks of reference counts; 0 where there is none. None follows the last block."""
    words = _words(source, facts.refcount_table_offset, facts.refcount_table_clusters * size // 8)
    if any(offset % size or offset > source.size - size for offset in words):
        raise NotPlain
    return [offset // size for offset in words]


def _words(source: Source, offset: int, count: int) -> tuple[int, ...]:
    """A table of 64-bit words, which lies in the file whole; without the zeros at its end."""
    raw = source.read_at(offset, count * 8)
    if len(raw) != count * 8:
        raise NotPlain
    held = ceil_div(len(raw.rstrip(b"\0")), 8)
    if held > _WORDS:
        raise NotPlain
    return struct.unpack(f">{held}Q", raw[: held * 8])


def _data(source: Source, facts: Qcow2Facts, tables: list[int]) -> tuple[list[Run], int]:
    """The guest's clusters in runs, in the order of the guest; and how many do not lie on after the one before."""
    ramp = Ramp(facts.cluster_bits)
    size = 1 << facts.cluster_bits
    runs: list[Run] = []
    fragmented = 0
    for number in tables:
        follows = 0
        raw = source.read_at(number * size, size)
        for start, end in ramp.runs(raw):
            fragmented += follows not in (0, start)
            follows = end
            runs.append((start, end))
            if len(runs) > _RUNS:
                raise NotPlain
        if ramp.stopped:
            raise NotPlain
    return runs, fragmented


def _joined(runs: list[Run]) -> list[Run]:
    """Runs in the order of the file, joined where one follows the other; no cluster is in two of them."""
    joined: list[Run] = []
    for start, end in sorted(runs):
        if joined and start < joined[-1][1]:
            raise NotPlain
        if joined and start == joined[-1][1]:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _compare(source: Source, blocks: list[int], runs: list[Run], size: int) -> None:
    """See that the count is 1 of each cluster in the runs, and 0 of every other one."""
    per_block = size // 2
    if runs[-1][1] > len(blocks) * per_block:
        raise NotPlain
    used, unused = b"\0\1" * per_block, bytes(size)
    pending = runs[::-1]
    for index, block in enumerate(blocks):
        low, high = index * per_block, (index + 1) * per_block
        wanted = bytearray()
        while pending and pending[-1][0] < high:
            start, end = pending.pop()
            if end > high:
                pending.append((high, end))
                end = high
            wanted += unused[: (start - low) * 2 - len(wanted)] + used[: (end - start) * 2]
        wanted += unused[len(wanted) :]
        if (source.read_at(block * size, size) if block else unused) != wanted:
            raise NotPlain
