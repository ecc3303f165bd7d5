"""Writing qcow2: what lies where, by the numbers of QEMU's docs/interop/qcow2, read by this test's own reader."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import pytest
import zstandard

from imgtool.errors import UnsupportedError, UsageError
from imgtool.formats.qcow2.write import mapping, space
from imgtool.formats.qcow2.writer import Qcow2Writer
from imgtool.model.values import Extent
from imgtool.sources.disk import Disk
from imgtool.targets.output import CountingOutput
from imgtool.targets.writer import Stamp
from tests.targets.kit import MemoryOutput, flat, writer_of, written

KIB = 1024
MIB = 1024 * KIB
TIB = 1024 * 1024 * MIB

COPIED = 1 << 63
PACKED = 1 << 62


class Image(NamedTuple):
    """A qcow2 image, read: the guest's bytes, references that were counted, counts that it has, cluster by cluster;
    `stored` and `packed` are the (offset, length) of its guest clusters in the file."""

    guest: bytes
    counted: list[int]
    counts: list[int]
    stored: list[tuple[int, int]]
    packed: list[tuple[int, int]]
    tables: list[int]


def read(image: bytes) -> Image:
    """Read an image and count its references, by the text of the specification."""
    magic, version, backing, _, bits, size, crypt, l1_size, l1, table, table_clusters, _, _ = struct.unpack_from(
        ">4sIQIIQIIQQIIQ", image
    )
    incompatible, _, autoclear, order, length = struct.unpack_from(">QQQII", image, 72)
    assert (magic, version, backing, crypt, autoclear, length) == (b"QFI\xfb", 3, 0, 0, 0, 112)
    assert incompatible in (0, 8)
    cluster = 1 << bits
    assert len(image) % cluster == 0
    counted = [0] * (len(image) // cluster)
    guest = bytearray(-(-size // cluster) * cluster)
    found = Image(b"", counted, [], [], [], [])

    def refer(start: int, end: int) -> None:
        for number in range(start >> bits, (end + cluster - 1) >> bits):
            counted[number] += 1

    refer(0, cluster)
    refer(l1, l1 + l1_size * 8)
    refer(table, table + table_clusters * cluster)
    blocks = struct.unpack_from(f">{table_clusters * cluster // 8}Q", image, table)
    for block in filter(None, blocks):
        refer(block, block + cluster)
        found.counts.extend(widths(image[block : block + cluster], 1 << order))
    assert l1_size == -(-size // (cluster * cluster // 8))
    for number, entry in enumerate(struct.unpack_from(f">{l1_size}Q", image, l1)):
        if not entry:
            continue
        assert entry & COPIED
        at = entry ^ COPIED
        assert at % cluster == 0
        refer(at, at + cluster)
        found.tables.append(at)
        for index, word in enumerate(struct.unpack_from(f">{cluster // 8}Q", image, at)):
            if word:
                place = (number * (cluster // 8) + index) * cluster
                guest[place : place + cluster] = held(image, word, bits, image[104], found, refer)
    return found._replace(guest=bytes(guest[:size]))


def held(image: bytes, word: int, bits: int, method: int, found: Image, refer: Callable[[int, int], None]) -> bytes:
    """The bytes of one guest cluster."""
    cluster = 1 << bits
    if not word & PACKED:
        assert word & COPIED
        at = word ^ COPIED
        assert at % cluster == 0
        assert at + cluster <= len(image)
        refer(at, at + cluster)
        found.stored.append((at, cluster))
        return image[at : at + cluster]
    assert not word & COPIED
    x = 62 - (bits - 8)
    at, sectors = word & (1 << x) - 1, (word & PACKED - 1) >> x
    end = (at // 512 + sectors + 1) * 512
    assert end <= len(image)
    refer(at // 512 * 512, end)
    if method:
        machine = zstandard.ZstdDecompressor().decompressobj()
        data = machine.decompress(image[at:end])
    else:
        inflate = zlib.decompressobj(-15)
        data, machine = inflate.decompress(image[at:end]), inflate
    assert machine.eof
    used = end - at - len(machine.unused_data)
    assert (at + used - 1) // 512 == end // 512 - 1  # no sector more than it needs
    found.packed.append((at, used))
    assert len(data) == cluster
    return data


def widths(block: bytes, bits: int) -> list[int]:
    """The counts of a refcount block; those of less than a byte begin with the lowest bits."""
    if bits >= 8:
        each = bits // 8
        return [int.from_bytes(block[start : start + each], "big") for start in range(0, len(block), each)]
    return [byte >> shift & (1 << bits) - 1 for byte in block for shift in range(0, 8, bits)]


def sound(image: bytes, data: bytes) -> Image:
    """Read an image; its guest's bytes and all its counts must be right."""
    found = read(image)
    assert found.guest[: len(data)] == data
    assert not any(found.guest[len(data) :])
    assert len(found.guest) == -(-len(data) // 512) * 512
    assert found.counts[: len(found.counted)] == found.counted
    assert not any(found.counts[len(found.counted) :])
    assert all(found.counted)  # no cluster of the file is for nothing
    places = sorted(found.packed)
    assert all(start + length <= after for (start, length), (after, _) in pairwise(places))
    return found


def mixed(size: int, unit: int, seed: int = 1) -> bytes:
    """Runs of clusters of zeros, noise, text and one byte: each of them first, then by turns of chance."""
    chance = random.Random(f"{size} {unit} {seed}")
    kinds = chance.sample(range(4), 4)
    made = bytearray()
    while len(made) < size:
        many = unit * chance.randrange(1, 6 if unit < MIB else 2)
        kind = kinds.pop() if kinds else chance.randrange(4)
        text = b"%d, " * (many // 16) % tuple(range(10**9, 10**9 + many // 16))
        made += (bytes(many), chance.randbytes(many), text.ljust(many, b"."), b"\x07" * many)[kind]
    return bytes(made[:size])


def test_the_smallest_image_byte_by_byte() -> None:
    """Two clusters of data in clusters of 512 bytes: header, L1 table, data, L2 table, refcounts, nothing else."""
    image = written("qcow2", b"a" * 512 + bytes(512) + b"b" * 100, cluster_size="512")
    assert len(image) == 7 * 512
    header = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 3, 0, 0, 9, 1536, 0, 1, 512, 6 * 512, 1, 0, 0)
    header += struct.pack(">QQQIIB7xQ", 0, 0, 0, 4, 112, 0, 0)
    table = struct.pack(">3Q", COPIED | 1024, 0, COPIED | 1536)
    clusters = (
        header,
        struct.pack(">Q", COPIED | 2048),
        b"a" * 512,
        b"b" * 100,
        table,
        struct.pack(">7H", *[1] * 7),
        struct.pack(">Q", 5 * 512),
    )
    assert image == b"".join(cluster.ljust(512, b"\0") for cluster in clusters)


def test_an_empty_disk() -> None:
    """Header, refcount block, refcount table; no L1 table."""
    image = written("qcow2", b"")
    assert len(image) == 3 * 65536
    assert sound(image, b"").counted == [1, 1, 1]


def test_features_and_their_names() -> None:
    """Lazy reference counts and the compression type, as the header has them; names as QEMU gives them."""
    image = written("qcow2", b"x", lazy_refcounts="on", compression_type="zstd", refcount_bits="64")
    assert struct.unpack_from(">QQQIIB7x", image, 72) == (8, 1, 0, 6, 112, 1)
    kind, length = struct.unpack_from(">II", image, 112)
    assert (kind, length) == (0x6803F857, 8 * 48)
    rows = [struct.unpack_from(">BB46s", image, 120 + row * 48) for row in range(8)]
    assert [(kind, bit, name.rstrip(b"\0")) for kind, bit, name in rows] == [
        (0, 0, b"dirty bit"),
        (0, 1, b"corrupt bit"),
        (0, 2, b"external data file"),
        (0, 3, b"compression type"),
        (0, 4, b"extended L2 entries"),
        (1, 0, b"lazy refcounts"),
        (2, 0, b"bitmaps"),
        (2, 1, b"raw external data"),
    ]
    assert not any(image[120 + 384 : 65536])


@pytest.mark.parametrize("compress", ["none", "zlib", "zstd"])
@pytest.mark.parametrize("cluster_size", [512, 4096, 65536, 262_144, 2 * MIB])
@pytest.mark.parametrize("size", ["whole", "odd"])
def test_mixed_clusters(compress: str, cluster_size: int, size: str) -> None:
    """Each guest cluster comes back, every reference is counted, zeros take nothing, data lies in order."""
    count = {512: 700, 4096: 200, 65536: 40, 262_144: 14, 2 * MIB: 4}[cluster_size]
    data = mixed(count * cluster_size - (cluster_size // 3 if size == "odd" else 0), cluster_size)
    image = written("qcow2", data, cluster_size=str(cluster_size), compress=compress)
    found = sound(image, data)
    clusters = [data[at : at + cluster_size] for at in range(0, len(data), cluster_size)]
    assert len(found.stored) + len(found.packed) == sum(any(cluster) for cluster in clusters)
    assert found.stored == sorted(found.stored)
    assert bool(found.packed) == (compress != "none")
    assert len(image) <= len(data) + 5 * cluster_size + 16 * len(clusters) + len(found.tables) * cluster_size


def test_compressed_clusters_lie_one_after_the_other() -> None:
    """The next begins at the byte after, in the same sector, across host clusters."""
    data = mixed(2 * MIB, 4096, 8).replace(bytes(512), b"\x01" * 512)
    text = b"".join(b"%d, " % number for number in range(300_000))[: 1 << 20]
    found = sound(written("qcow2", text, cluster_size="4K", compress="zlib"), text)
    assert len(found.packed) == 256
    assert all(at + size == after for (at, size), (after, _) in pairwise(found.packed))
    assert any(at // 4096 != (at + size - 1) // 4096 for at, size in found.packed)
    assert max(found.counts) > 2
    assert sound(written("qcow2", data, cluster_size="4K", compress="zstd"), data).packed


def test_noise_is_stored_as_it_is() -> None:
    """No cluster that compressing makes larger is compressed, and the file is no larger than a plain one."""
    data = random.Random(2).randbytes(MIB)
    plain = written("qcow2", data)
    for compress in ("zlib", "zstd"):
        image = written("qcow2", data, compress=compress)
        assert not sound(image, data).packed
        assert len(image) == len(plain)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16, 32, 64])
@pytest.mark.parametrize("compress", ["none", "zlib"])
def test_counts_of_every_width(bits: int, compress: str) -> None:
    """A host cluster holds no more compressed clusters than its count can tell."""
    data = mixed(600_000, 512, 3) + b"\x05" * 400_000
    image = written("qcow2", data, refcount_bits=str(bits), compress=compress, cluster_size="512")
    found = sound(image, data)
    assert max(found.counts) <= (1 << bits) - 1
    if compress == "zlib":
        assert max(found.counts) == 1 if bits == 1 else max(found.counts) > 1


def test_the_most_that_a_host_cluster_can_hold() -> None:
    """Thousands of clusters of one byte over and over, as small as they get: their count fits into 16 bits."""
    cluster = b"\xaa" * 131_072
    made = written("qcow2", cluster * 64, compress="zstd", cluster_size="128K", level="22")
    found = read(made)
    assert max(found.counts) == 64
    smallest = min(size for _, size in found.packed)
    assert 131_072 // smallest + 1 < 0xFFFF


@pytest.mark.parametrize("compress", ["none", "zlib"])
@pytest.mark.parametrize("bits", [1, 8, 16, 64])
def test_tables_that_are_written_on_the_way(monkeypatch: pytest.MonkeyPatch, compress: str, bits: int) -> None:
    """Where memory holds few tables, more than one is written between the data: all the same holds."""
    monkeypatch.setattr(space, "_KEPT", 2500)
    monkeypatch.setattr(mapping, "_HELD", 3 * 512)
    data = mixed(3 * MIB, 512, 9)
    image = written("qcow2", data, compress=compress, cluster_size="512", refcount_bits=str(bits))
    found = sound(image, data)
    assert found.tables == sorted(found.tables)
    assert any(start < max(at for at, _ in found.stored) for start in found.tables)


def in_steps(stream: bytes) -> bytes:
    """What comes out of a raw deflate stream where only 4 KiB are kept of what came out before."""
    machine = zlib.decompressobj(-12)
    made = bytearray(machine.decompress(stream, 512))
    while not machine.eof:
        made += machine.decompress(machine.unconsumed_tail, 512)
    return bytes(made)


def test_the_window_of_deflate() -> None:
    """With 4k a reader that keeps 4 KiB can read each cluster; without it cannot."""
    far = random.Random(5).randbytes(8192) * 8
    ((at, size),) = sound(made := written("qcow2", far, compress="zlib"), far).packed
    with pytest.raises(zlib.error, match="too far back"):
        in_steps(made[at : at + size])
    assert not sound(written("qcow2", far, compress="zlib", deflate_window="4k"), far).packed
    chance = random.Random(6)
    data = b"".join(chance.choice((far[:3000], far[3000:3700], b"words %d " % number)) for number in range(3000))
    made = written("qcow2", data, compress="zlib", deflate_window="4k")
    found = sound(made, data)
    assert len(found.packed) > 10
    assert b"".join(in_steps(made[at : at + size]) for at, size in found.packed)[: len(data)] == data


@pytest.mark.parametrize("preallocation", ["metadata", "falloc", "full"])
@pytest.mark.parametrize("size", [100, 64 * KIB, 3 * MIB + 512])
def test_everything_is_allocated(preallocation: str, size: int) -> None:
    """Each guest cluster has a place of its own, in order; what is zeros reads as zeros there."""
    data = mixed(size, 16 * KIB)
    found = sound(written("qcow2", data, preallocation=preallocation, cluster_size="16K"), data)
    assert len(found.stored) == -(-size // (16 * KIB))
    starts = [at for at, _ in found.stored]
    assert starts == list(range(starts[0], starts[0] + len(starts) * 16 * KIB, 16 * KIB))


@pytest.mark.parametrize("preallocation", ["off", "metadata", "falloc", "full"])
def test_on_a_device(preallocation: str) -> None:
    """What the device held before shows nowhere."""
    data = mixed(MIB + 700, 4096, 4)
    output = MemoryOutput(garbage=4 * MIB)
    writer = writer_of("qcow2", output, len(data), cluster_size="4K", preallocation=preallocation)
    writer.put(0, writer.prepare(0, data[:MIB]))
    writer.put(MIB, writer.prepare(MIB, data[MIB:]))
    writer.finish(Stamp(b"", 0))
    sound(bytes(output.data[: output.size]), data)


class Hollow(Disk):
    """A disk with two megabytes of data in it: at its middle and at its end."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.name = "hollow"

    def read_at(self, offset: int, length: int) -> bytes:
        return b"\x01" * min(length, self.size - offset)

    def extents(self, start: int = 0, length: int | None = None) -> Iterator[Extent]:
        half = self.size // 2
        yield Extent(0, half, "hole")
        yield Extent(half, MIB, "data", 0)
        yield Extent(half + MIB, half - 2 * MIB, "hole")
        yield Extent(self.size - MIB, MIB, "data", 0)

    def close(self) -> None:
        return


def test_a_disk_of_64_tib_takes_a_blink() -> None:
    """Its L1 table is 1 MiB, and hardly more is held or written."""
    output = MemoryOutput()
    tracemalloc.start()
    began = time.process_time()
    writer = writer_of("qcow2", output, 64 * TIB)
    writer.zeros(0, 64 * TIB)
    writer.finish(Stamp(b"", 0))
    took = time.process_time() - began
    assert tracemalloc.get_traced_memory()[1] < 40 * MIB
    tracemalloc.stop()
    assert took < 5
    assert output.size == 65536 * (1 + 16 + 2)
    assert sum(length for _, length in output.writes) < 1000


def test_far_apart() -> None:
    """Data at the middle and at the end of 64 TiB: two L2 tables and two megabytes."""
    image = written("qcow2", Hollow(64 * TIB))
    assert len(image) == 65536 * (1 + 16 + 32 + 2 + 2)
    l1 = struct.unpack_from(">131072Q", image, 65536)
    assert [number for number, entry in enumerate(l1) if entry] == [65536, 131071]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compress": "zlib", "compression_type": "zstd"}, "clusters compressed as zlib are not"),
        ({"compress": "zlib", "preallocation": "full"}, "nothing can be kept"),
        ({"level": "3"}, "level is one of compress=zlib"),
        ({"deflate_window": "4k"}, "deflate_window is one of compress=zlib"),
        ({"deflate_window": "4k", "compress": "zstd"}, "deflate_window is one of compress=zlib"),
        ({"compress": "zlib", "level": "13"}, "levels from 1 to 12"),
        ({"compress": "zlib", "level": "10", "deflate_window": "4k"}, "levels from 1 to 9"),
        ({"compress": "zstd", "level": "23"}, "number|from 0 to 22"),
        ({"cluster_size": "256"}, "power of two from 512"),
        ({"cluster_size": "4M"}, "power of two from 512"),
        ({"cluster_size": "5000"}, "power of two from 512"),
        ({"refcount_bits": "3"}, "power of two from 1 to 64"),
        ({"compress": "lzma"}, "one of none, zlib, zstd"),
    ],
)
def test_options_that_cannot_be(options: dict[str, str], message: str) -> None:
    """Each is refused before anything is written."""
    output = MemoryOutput()
    with pytest.raises(UsageError, match=message):
        writer_of("qcow2", output, MIB, **options)
    assert not output.writes


def test_sizes_that_need_larger_clusters() -> None:
    """The L1 table has at most 32 MiB: 128 GiB in clusters of 512 bytes."""
    most = 128 << 30
    assert isinstance(writer_of("qcow2", CountingOutput(), most, cluster_size="512"), Qcow2Writer)
    with pytest.raises(UnsupportedError, match=f"at most {most} bytes, the disk has {most + 512}"):
        writer_of("qcow2", CountingOutput(), most + 1, cluster_size="512")
    for size, given, larger in ((most, "512", "64K"), (1 << 51, "64K", "2048K")):
        with pytest.raises(UnsupportedError, match=rf"; larger clusters hold it \(--option cluster_size={larger}\)$"):
            writer_of("qcow2", CountingOutput(), size + 1, cluster_size=given)
    with pytest.raises(UnsupportedError, match=f"the disk has {(1 << 61) + 512}$"):
        writer_of("qcow2", CountingOutput(), (1 << 61) + 1, cluster_size="2M")


def test_a_file_that_counts_cannot_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refcount table has at most 8 MiB: a file of 32 GiB in clusters of 512 bytes with counts of 64 bits."""
    monkeypatch.setattr(space, "DEFAULT", space.DEFAULT._replace(qcow2_refcount_table=64))
    data = b"x" * (8 * 64 * 512)
    with pytest.raises(UnsupportedError, match="cannot get so large"):
        written("qcow2", data, cluster_size="512", refcount_bits="64")


def test_levels_reach_the_clusters() -> None:
    """A higher level makes a smaller file."""
    text = b"".join(b"%d, " % (number * number) for number in range(100_000))
    for compress, high in (("zlib", "12"), ("zstd", "19")):
        low = written("qcow2", text, compress=compress, level="1", cluster_size="512")
        assert len(written("qcow2", text, compress=compress, level=high, cluster_size="512")) <= len(low)
    assert flat(text).size == len(text)
