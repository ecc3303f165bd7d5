"""qcow2: the guest's disk, or that of an internal snapshot.

Not read here: what is encrypted. What the image names (backing file, data file) comes in already opened.

References: QEMU docs/interop/qcow2, sections "Cluster mapping", "Extended L2 Entries", "Snapshots".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from imgtool.codecs.block import inflate, unzstd
from imgtool.codecs.feed import CodecError
from imgtool.errors import UnsupportedError, UsageError
from imgtool.formats.qcow2 import layout as lay
from imgtool.formats.qcow2 import metadata
from imgtool.formats.qcow2.clusters import (
    BAD_WORD,
    Rules,
    extended,
    extended_arrays,
    standard,
    standard_arrays,
)
from imgtool.formats.qcow2.facts import Qcow2Facts, Snapshot
from imgtool.formats.qcow2.tables import BAD_TABLE, L1, NO_TABLE, Tables
from imgtool.limits import Limits
from imgtool.sources.base import Source
from imgtool.sources.blocks import BAD, COMPRESSED, DATA, ELSEWHERE, HOLE, NOWHERE, ZERO, BlockDisk, Entry, Unpacked
from imgtool.sources.disk import Disk, DiskError, Linked
from imgtool.structs.view import View

if TYPE_CHECKING:
    from array import array

    import numpy as np
    from numpy.typing import NDArray

#: Blocks without L2 tables that are told as one run; fewer are looked up with their neighbours.
_LONG = 4096

#: The size of a data file that was not opened: any offset may lie in it.
_UNKNOWN_SIZE = 1 << 62


class Mapped(NamedTuple):
    """What is shown: the active disk or a snapshot. `size` in bytes."""

    size: int
    l1: L1


def open_disk(
    source: Source, facts: Qcow2Facts, limits: Limits, links: tuple[Linked, ...], snapshot: str | None
) -> Disk:
    """The guest's disk, or that of the snapshot of this id or name. Owns `source` and the links' disks.

    Raises UsageError where there is no such snapshot, DiskError and UnsupportedError where nothing can be read.
    """
    _refuse(source.name, facts)
    mapped = _mapped(source, facts, limits, snapshot)
    if mapped.size > limits.virtual_size:
        raise DiskError(f"{source.name}: a disk of {mapped.size} bytes is over the cap of {limits.virtual_size}")
    if mapped.l1.size * 8 > limits.qcow2_l1_table:
        size = mapped.l1.size * 8
        raise DiskError(f"{source.name}: L1 table of {size} bytes is over the cap of {limits.qcow2_l1_table}")
    return Qcow2Disk(source, facts, limits, mapped, links)


def _refuse(name: str, facts: Qcow2Facts) -> None:
    unknown = [bit for bit in facts.incompatible_features if bit.startswith("unknown-")]
    if unknown:
        raise UnsupportedError(f"{name}: incompatible feature bits {', '.join(unknown)} are set, which nobody knows")
    if facts.extended_l2 and facts.cluster_bits < lay.EXTENDED_L2_CLUSTER_BITS:
        raise DiskError(f"{name}: extended L2 entries with clusters of {facts.cluster_size} bytes")


def _mapped(source: Source, facts: Qcow2Facts, limits: Limits, wanted: str | None) -> Mapped:
    if wanted is None:
        return Mapped(facts.size, _l1(facts, facts.l1_table_offset, facts.l1_size, BAD))
    found = _snapshot(source, facts, limits, wanted)
    size = facts.size if found.virtual_size is None else found.virtual_size
    return Mapped(size, _l1(facts, found.l1_table_offset, found.l1_size, HOLE))


def _l1(facts: Qcow2Facts, offset: int, size: int, beyond: int) -> L1:
    """An L1 table; one that does not lie on a cluster has no entries, and what it maps does not hold.

    A snapshot's may be shorter than its disk (what was grown before it was taken): nothing is allocated there.
    """
    if size and (not offset or offset % (facts.cluster_size or 1)):
        return L1(0, 0, BAD)
    return L1(offset, size, beyond)


def _snapshot(source: Source, facts: Qcow2Facts, limits: Limits, wanted: str) -> Snapshot:
    """The snapshot whose id is `wanted`, else the one of that name. Raises UsageError where there is not just one."""
    snapshots, found = facts.snapshots, _called(facts.snapshots, wanted)
    if facts.nb_snapshots > len(snapshots) and not (found and found[0].id == wanted):
        every = limits._replace(qcow2_snapshots_listed=limits.qcow2_snapshots)
        snapshots = metadata.snapshots(View(source, limits), facts.header, every)
        found = _called(snapshots, wanted)
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{snapshot.id} ({snapshot.name})" for snapshot in (found or facts.snapshots)[:10]) or "none"
    if found:
        raise UsageError(f"{source.name}: several snapshots are called {wanted!r} ({known}); name one by its id")
    raise UsageError(f"{source.name}: no snapshot {wanted!r} in it (there are: {known})")


def _called(snapshots: tuple[Snapshot, ...], wanted: str) -> tuple[Snapshot, ...]:
    """The first snapshot whose id is `wanted`, else all of that name."""
    for snapshot in snapshots:
        if snapshot.id == wanted:
            return (snapshot,)
    return tuple(snapshot for snapshot in snapshots if snapshot.name == wanted)


def _linked(links: tuple[Linked, ...], kind: str) -> Source | None:
    return next((link.disk for link in links if link.reference.kind == kind), None)


def entry_rules(source: Source, facts: Qcow2Facts, data: Source | None) -> Rules:
    """What L2 entries of an image may say; `data`: its data file, where that is opened."""
    strict = facts.extended_l2 or facts.version == 2
    external = bool("external-data-file" in facts.incompatible_features)
    followed = source if not external else data
    return Rules(
        cluster_size=facts.cluster_size or 1,
        reserved=lay.L2_RESERVED | (lay.OFLAG_ZERO if strict else 0),
        data_end=_UNKNOWN_SIZE if followed is None else followed.size,
        packed_end=0 if external else source.size,
        external=external,
        data_kind=ELSEWHERE if followed is None else DATA,
    )


class Qcow2Disk(BlockDisk):
    """The guest's disk of a qcow2 image. Blocks are clusters, or subclusters with extended L2 entries."""

    def __init__(
        self, source: Source, facts: Qcow2Facts, limits: Limits, mapped: Mapped, links: tuple[Linked, ...]
    ) -> None:
        data = _linked(links, "data-file")
        rules = entry_rules(source, facts, data)
        self._parts = lay.SUBCLUSTERS if facts.extended_l2 else 1
        super().__init__(
            data if rules.external and data is not None else source,
            mapped.size,
            rules.cluster_size // self._parts,
            backing=_linked(links, "backing"),
            referenced=facts.backing_file is not None,
            packed_size=rules.cluster_size,
            file=facts.data_file if rules.external else None,
        )
        self.source = source
        self.name = source.name
        self._links = links
        self._limits = limits
        self._rules = rules
        self._tables = Tables(source, mapped.l1, rules.cluster_size, 16 if facts.extended_l2 else 8)
        self._compression = compression(facts)

    @property
    def allocated(self) -> int | None:
        own = self.source.allocated
        if self.host is self.source or own is None:
            return own
        data = self.host.allocated
        return None if data is None else own + data

    def close(self) -> None:
        self.source.close()
        for link in self._links:
            link.disk.close()

    def entry(self, block: int) -> Entry:
        return self.run(block, 1)[0]

    def run(self, block: int, most: int) -> tuple[Entry, int]:
        cluster, part = divmod(block, self._parts)
        table, index = divmod(cluster, self._tables.per_table)
        pointer = self._tables.pointer(table)
        if pointer == BAD_TABLE:
            return Entry(BAD, NOWHERE), 1
        if pointer == NO_TABLE:
            left = (self._tables.per_table - index) * self._parts - part
            return Entry(HOLE, NOWHERE), min(most, left)
        words, at = self._tables.words(pointer, index)
        if self._parts == 1:
            return self._standard_run(words, at, most)
        return self._extended_run(words, at, part, most)

    def _standard_run(self, words: array[int], at: int, most: int) -> tuple[Entry, int]:
        word = words[at] if at < len(words) else BAD_WORD
        entry = standard(word, self._rules)
        if entry.kind in (COMPRESSED, BAD):
            return entry, 1
        step = self.block_size if entry.host != NOWHERE else 0
        end = min(len(words), at + most)
        after = at + 1
        while after < end and words[after] == word + step:
            word += step
            after += 1
        return entry, after - at

    def _extended_run(self, words: array[int], at: int, part: int, most: int) -> tuple[Entry, int]:
        if at + 1 >= len(words):
            return Entry(BAD, NOWHERE), 1
        word, bitmap = words[at], words[at + 1]
        entry = extended(word, bitmap, part, self._rules)
        if entry.kind in (COMPRESSED, BAD):
            return entry, 1
        count = 1
        while part + count < self._parts and self._alike(bitmap, part, part + count):
            count += 1
        if part + count < self._parts:
            return entry, min(most, count)
        placed = entry.host != NOWHERE or word & lay.TABLE_OFFSET_MASK
        step = self._rules.cluster_size if placed else 0
        whole = _UNIFORM[entry.kind]
        after = at + 2
        while count < most and after + 1 < len(words) and words[after] == word + step and words[after + 1] == whole:
            word += step
            count += self._parts
            after += 2
        return entry, min(most, count)

    @staticmethod
    def _alike(bitmap: int, part: int, other: int) -> bool:
        return (bitmap >> part ^ bitmap >> other) & 0x1_0000_0001 == 0

    def alike(self, block: int) -> tuple[Entry, int] | None:
        per_table = self._tables.per_table * self._parts
        table, within = divmod(block, per_table)
        if table >= self._tables.l1.size:
            return Entry(self._tables.l1.beyond, NOWHERE), self.size // self.block_size + 1 - block
        kind, count = self._tables.settled(table)
        entry, blocks = Entry(kind, NOWHERE), count * per_table - within
        if count == 0 and self._parts > 1:  # clusters whose subclusters are all alike cost no array of them
            entry, blocks = self.run(block, self.size // self.block_size + 1 - block)
        return (entry, blocks) if blocks >= _LONG else None

    def entries(self, first: int, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        low = first // self._parts
        high = (first + count - 1) // self._parts + 1
        words = self._tables.entries(low, high - low)
        if self._parts == 1:
            return standard_arrays(words, self._rules)
        kinds, hosts = extended_arrays(words[::2], words[1::2], self._rules)
        skip = first - low * self._parts
        return kinds[skip : skip + count], hosts[skip : skip + count]

    def read_packed(self, block: int, host: int) -> Unpacked:
        offset = host & self._rules.packed_mask
        length = ((host >> self._rules.size_shift) + 1) * 512 - offset % 512
        data = self.source.read_at(offset, length)
        guest = block * self.block_size
        try:
            made = self._decode(data)
        except CodecError as error:
            raise DiskError(f"{self.name}: guest bytes at {guest}, compressed at {offset}: {error.message}") from None
        if len(made) != self.packed_size:
            raise DiskError(
                f"{self.name}: guest bytes at {guest}, compressed at {offset}: {len(made)} bytes come out, "
                f"a cluster has {self.packed_size}"
            )
        return made

    def _decode(self, data: bytes) -> Unpacked:
        return unpack(data, self.packed_size, self._compression, self._limits)


def compression(facts: Qcow2Facts) -> str:
    """How clusters are compressed: the type, "contradictory" where its feature bit says otherwise."""
    marked = "compression-type" in facts.incompatible_features
    return facts.compression_type if marked == (facts.compression_type != "zlib") else "contradictory"


def unpack(data: bytes, size: int, method: str, limits: Limits) -> Unpacked:
    """A compressed cluster's bytes, at most `size`. Raises CodecError."""
    if method == "zlib":
        return inflate(data, size)
    if method == "zstd":
        return unzstd(data, size, limits)
    raise CodecError("malformed", f"the compression type is {method}")


#: The bitmap of a cluster all of whose subclusters are of one kind.
_UNIFORM = {
    DATA: lay.SUBCLUSTER_MASK,
    ELSEWHERE: lay.SUBCLUSTER_MASK,
    ZERO: lay.SUBCLUSTER_MASK << 32,
    HOLE: 0,
}
