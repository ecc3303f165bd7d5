"""The guest's disk of a qcow2, from images built here by the specification: every kind of entry, and lies."""

from __future__ import annotations

import io
import random
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from imgtool.disks.open import open_disk
from imgtool.errors import InputError, UnsupportedError, UsageError
from imgtool.formats.qcow2 import clusters
from imgtool.limits import DEFAULT
from imgtool.model.values import Extent
from imgtool.sources.blocks import DATA, ELSEWHERE
from imgtool.sources.disk import Disk, DiskError, NotFollowedError
from tests.kit import fixture

COPIED, COMPRESSED, ZERO = 1 << 63, 1 << 62, 1
C = 512  #: bytes of a cluster, where nothing else is said
DATA_FILE, COMPRESSION_TYPE, EXTENDED_L2 = 4, 8, 16


def image(
    entries: list[int],
    *data: bytes,
    bits: int = 9,
    size: int | None = None,
    version: int = 3,
    incompatible: int = 0,
    compression: int = 0,
    l1: list[int] | None = None,
    l1_at: int | None = None,
    l1_size: int | None = None,
    backing: bytes = b"",
    extensions: bytes = b"",
) -> bytes:
    """An image: header in cluster 0, L1 table in 1, an L2 table of `entries` (64-bit words) in 2, `data` clusters
    from 3 on."""
    cluster = 1 << bits
    width = 2 if incompatible & EXTENDED_L2 else 1
    l1 = [2 * cluster | COPIED] if l1 is None else l1
    head = struct.pack(
        ">4sIQIIQIIQQIIQ",
        b"QFI\xfb",
        version,
        (cluster - 64) if backing else 0,
        len(backing),
        bits,
        len(entries) // width * cluster if size is None else size,
        0,
        len(l1) if l1_size is None else l1_size,
        cluster if l1_at is None else l1_at,
        0,
        0,
        0,
        0,
    )
    if version == 3:
        head += struct.pack(">QQQII", incompatible, 0, 0, 4, 112) + bytes([compression]) + bytes(7)
    head += extensions
    head = head.ljust(cluster - 64, b"\0") + backing if backing else head
    tables = (head, struct.pack(f">{len(l1)}Q", *l1), struct.pack(f">{len(entries)}Q", *entries))
    return b"".join(part.ljust(cluster, b"\0") for part in (*tables, *data))


def opened(data: bytes, **options: Any) -> Disk:
    """The disk of an image in memory."""
    return open_disk(io.BytesIO(data), **options)


def kinds(disk: Disk) -> list[tuple[int, int, str, int | None]]:
    """The extents: start, length, kind, host offset."""
    return [(extent.start, extent.length, extent.kind, extent.host_offset) for extent in disk.extents()]


def raw_deflate(data: bytes) -> bytes:
    """What a compressed cluster holds."""
    machine = zlib.compressobj(6, zlib.DEFLATED, -12)
    return machine.compress(data) + machine.flush()


def packed(offset: int, length: int, bits: int = 9) -> int:
    """A compressed cluster's descriptor."""
    sectors = (offset + length - 1) // 512 - offset // 512
    return COMPRESSED | sectors << 62 - (bits - 8) | offset


A, B, D = (bytes([letter]) * C for letter in b"ABD")


def test_every_kind_of_standard_cluster() -> None:
    """Data, unallocated, zero, zero with a place, and data again that lies on."""
    data = image([3 * C | COPIED, 4 * C | COPIED, 0, ZERO, 5 * C | ZERO | COPIED, 5 * C, 3 * C], A, B, D)
    disk = opened(data)
    assert kinds(disk) == [
        (0, 2 * C, "data", 3 * C),
        (2 * C, C, "hole", None),
        (3 * C, C, "zero", None),
        (4 * C, C, "zero", 5 * C),
        (5 * C, C, "data", 5 * C),
        (6 * C, C, "data", 3 * C),
    ]
    assert disk.read_at(0, 9 * C) == A + B + bytes(3 * C) + D + A
    assert disk.read_at(C - 1, 2) == b"AB"
    assert disk.read_at(7 * C, 1) == b""
    assert list(disk.extents(C + 1, C)) == [
        Extent(C + 1, C - 1, "data", 4 * C + 1),
        Extent(2 * C, 1, "hole", None),
    ]


def test_zero_flag_is_reserved_in_version_2() -> None:
    """Version 2 knows no zero clusters: the flag does not hold there, and only there."""
    entries = [3 * C | ZERO, ZERO, 3 * C | COPIED]
    disk = opened(image(entries, A, version=2))
    assert kinds(disk) == [(0, 2 * C, "data", None), (2 * C, C, "data", 3 * C)]
    assert disk.read_at(2 * C, C) == A
    for offset in (0, C):
        with pytest.raises(DiskError, match="does not hold"):
            disk.read_at(offset, C)


@pytest.mark.parametrize(
    "word", [3 * C | 2, 3 * C | 0x100, 3 * C | 1 << 61, 3 * C | 1 << 56, 1 << 57, 40 * C, 1 << 55], ids=hex
)
def test_entries_that_do_not_hold(word: int) -> None:
    """Reserved bits and offsets outside: the neighbours read, the cluster itself is an error, extents go on."""
    disk = opened(image([4 * C, word, 3 * C], A, B))
    assert [(extent.start, extent.kind) for extent in disk.extents()] == [(0, "data"), (C, "data"), (2 * C, "data")]
    assert disk.read_at(0, C) + disk.read_at(2 * C, C) == B + A
    with pytest.raises(DiskError, match="does not hold"):
        disk.read_at(0, 3 * C)


def test_misaligned_offsets_do_not_hold() -> None:
    """With clusters of 4 KiB an offset on a sector alone is no place for one."""
    disk = opened(image([3 * 4096 + 512, 3 * 4096 + 512 | ZERO], b"A" * 8192, bits=12))
    for offset in (0, 4096):
        with pytest.raises(DiskError):
            disk.read_at(offset, 1)


def test_last_cluster_cut_by_the_file() -> None:
    """A file may end where the virtual disk does; one that ends before is an error for what is missing."""
    data = image([3 * C], A, size=300)
    assert opened(data[: 3 * C + 300]).read_at(0, 512) == b"A" * 300
    short = opened(data[: 3 * C + 299])
    assert short.read_at(0, 299) == b"A" * 299
    with pytest.raises(DiskError, match="guest bytes at 299 lie past the end"):
        short.read_at(0, 300)


PLAIN = bytes(range(256)) * 16
DEFLATED = raw_deflate(PLAIN)


def compressed_image(stream: bytes, plain: bytes = b"", *, shift: int = 100, **options: Any) -> bytes:
    """A cluster of 4 KiB that is compressed to `stream`, `shift` bytes into cluster 3; an ordinary one behind it."""
    entries = [packed(3 * 4096 + shift, len(stream), 12), 4 * 4096]
    return image(entries, bytes(shift) + stream, plain.ljust(4096, b"\0"), bits=12, **options)


def test_compressed_clusters() -> None:
    """zlib and zstd, in one frame and in several, with and without sizes; read whole and in parts."""
    frame = zstandard.ZstdCompressor(write_content_size=False).compress
    sized = zstandard.ZstdCompressor().compress
    cases = [
        compressed_image(DEFLATED, b"next"),
        compressed_image(sized(PLAIN), b"next", compression=1, incompatible=COMPRESSION_TYPE),
        compressed_image(frame(PLAIN), b"next", compression=1, incompatible=COMPRESSION_TYPE),
        compressed_image(
            frame(PLAIN[:99]) + sized(PLAIN[99:]), b"next", compression=1, incompatible=COMPRESSION_TYPE
        ),
    ]
    for data in cases:
        disk = opened(data)
        assert kinds(disk) == [(0, 4096, "compressed", None), (4096, 4096, "data", 4 * 4096)]
        assert disk.read_at(0, 4100) == PLAIN + b"next"
        assert disk.read_at(100, 5) + disk.read_at(105, 5) + disk.read_at(4090, 10) == PLAIN[100:110] + (
            PLAIN[4090:] + b"next"
        )


def test_compressed_at_the_end_of_the_file() -> None:
    """The sectors of a descriptor may go past the end of the file: what lies there is padding."""
    data = compressed_image(DEFLATED)[: 3 * 4096 + 100 + len(DEFLATED)]
    assert opened(data).read_at(0, 4096) == PLAIN


@pytest.mark.parametrize(
    "stream",
    [raw_deflate(PLAIN + b"!"), raw_deflate(PLAIN[1:]), DEFLATED[:-5] + bytes(5), b"\xff" * 64, raw_deflate(b"")],
    ids=["more", "less", "garbled", "noise", "nothing"],
)
def test_compressed_that_does_not_fill_its_cluster(stream: bytes) -> None:
    """More, less or nothing: an error that says where, and the next cluster reads."""
    disk = opened(compressed_image(stream, b"next"))
    assert disk.read_at(4096, 4) == b"next"
    for _ in range(2):
        with pytest.raises(DiskError, match=f"compressed at {3 * 4096 + 100}"):
            disk.read_at(10, 10)


def test_compression_type_that_is_none() -> None:
    """A type nobody knows, and one that its feature bit contradicts: errors when it is needed."""
    for data in (
        compressed_image(DEFLATED, b"next", compression=7, incompatible=COMPRESSION_TYPE),
        compressed_image(DEFLATED, b"next", compression=1),
        compressed_image(DEFLATED, b"next", incompatible=COMPRESSION_TYPE),
    ):
        disk = opened(data)
        assert disk.read_at(4096, 4) == b"next"
        with pytest.raises(DiskError, match="compression type"):
            disk.read_at(0, 1)


def test_subclusters() -> None:
    """Extended L2 entries: allocated, zero and absent subclusters, compressed clusters, and entries that lie."""
    size, sub = 16384, 512
    fine = (1 << 0 | 1 << 1 | 1 << 31) | (1 << 2 | 1 << 30) << 32
    entries = [
        *(3 * size | COPIED, fine),
        *(0, 1 << 5 << 32),
        *(packed(4 * size, 200, 14), 0),
        *(packed(4 * size, 200, 14), 1),
        *(3 * size, 1 | 1 << 32),
        *(0, 1),
        *(3 * size | ZERO, 0),
    ]
    plain = random.Random(1).randbytes(20) * 820
    stream = raw_deflate(plain[:size])
    data = image(entries, bytes(range(1, 33)) * 512, stream, bits=14, incompatible=EXTENDED_L2)
    disk = opened(data)
    extents = kinds(disk)
    assert extents[:8] == [
        (0, 2 * sub, "data", 3 * size),
        (2 * sub, sub, "zero", 3 * size + 2 * sub),
        (3 * sub, 27 * sub, "hole", None),
        (30 * sub, sub, "zero", 3 * size + 30 * sub),
        (31 * sub, sub, "data", 3 * size + 31 * sub),
        (size, 5 * sub, "hole", None),
        (size + 5 * sub, sub, "zero", None),
        (size + 6 * sub, 26 * sub, "hole", None),
    ]
    assert extents[8] == (2 * size, size, "compressed", None)
    assert {kind for _, _, kind, _ in extents[9:]} == {"data"}
    page = bytes(range(1, 33)) * 16
    assert disk.read_at(0, size) == page * 2 + bytes(29 * sub) + page
    assert disk.read_at(size, size) == bytes(size)
    assert disk.read_at(2 * size - 1, size) == b"\0" + plain[: size - 1]
    assert disk.read_at(2 * size + 700, 3) == plain[700:703]
    for bad in range(3, 7):
        with pytest.raises(DiskError):
            disk.read_at(bad * size + 600, 1)


def test_words_one_by_one_and_in_arrays() -> None:
    """The two ways to classify entries agree, over random words and every rule."""
    chance = random.Random(7)
    bits = [0, ZERO, COPIED, COPIED, COMPRESSED, 1 << 5, 1 << 60]
    fields = [0, 0, 0xFFFFFFFF, 1, 6]
    words = [
        chance.choice((0, chance.randrange(64) << 14, chance.getrandbits(56) & ~0x1FF, chance.getrandbits(64)))
        | chance.choice(bits)
        | chance.choice(bits)
        for _ in range(20_000)
    ]
    bitmaps = [chance.choice(fields) << 32 | chance.choice(fields) for _ in words]
    base = clusters.Rules(1 << 14, 0x3F000000000001FE, 50 << 14, 60 << 14)
    for rules in (
        base,
        base._replace(reserved=base.reserved | 1),
        base._replace(external=True, packed_end=0),
        base._replace(external=True, packed_end=0, data_kind=ELSEWHERE, data_end=1 << 62),
    ):
        found, hosts = clusters.standard_arrays(np.array(words, np.uint64), rules)
        one = [clusters.standard(word, rules) for word in words]
        assert list(zip(found.tolist(), hosts.tolist(), strict=True)) == [tuple(entry) for entry in one]
        assert len(set(found.tolist())) >= 4
        few = slice(0, 2000)
        found, hosts = clusters.extended_arrays(
            np.array(words[few], np.uint64), np.array(bitmaps[few], np.uint64), rules
        )
        parts = [
            tuple(clusters.extended(word, bitmap, index, rules))
            for word, bitmap in zip(words[few], bitmaps[few], strict=True)
            for index in range(32)
        ]
        assert list(zip(found.tolist(), hosts.tolist(), strict=True)) == parts
    assert DATA != ELSEWHERE


def test_tables_that_are_not_there() -> None:
    """L2 tables outside, misaligned, or cut by the file; an L1 table too short, outside, misaligned: what they map
    is an error, extents tile the disk all the same."""
    span = 64 * C
    good = 2 * C | COPIED
    for data, first in (
        (image([3 * C], A, l1=[good, 99 * C], size=2 * span), span),
        (image([3 * C], A, l1=[good, 2 * C | 1], size=2 * span), span),
        (image([3 * C], A, l1=[good, 1 << 60], size=2 * span), span),
        (image([3 * C], A, l1=[good], size=2 * span), span),
        (image([3 * C], A, l1_at=50 * C), 0),
        (image([3 * C], A, l1_at=C + 8), 0),
        (image([3 * C], A, l1_at=0), 0),
        (image([3 * C], A, l1_size=0), 0),
        (image([3 * C] * 60, size=60 * C)[: 2 * C + 8], C),
    ):
        disk = opened(data)
        extents = list(disk.extents())
        assert sum(extent.length for extent in extents) == disk.size
        assert [extent.kind for extent in extents if extent.start + extent.length > first][:1] == ["data"]
        with pytest.raises(DiskError, match="does not hold"):
            disk.read_at(first, 1)


def test_entries_past_the_virtual_size_are_ignored() -> None:
    """What L1 and L2 say of the time after the disk's end (VM state) is not looked at."""
    data = image([3 * C, 1 << 60, 77], A, l1=[2 * C, 1 << 60, 3], size=C)
    disk = opened(data)
    assert kinds(disk) == [(0, C, "data", 3 * C)]
    assert disk.read_at(0, 5 * C) == A


def test_huge_claims_cost_nothing() -> None:
    """2^62 bytes over an L1 table of one entry are two runs; over the caps, or of unknown features, an error."""
    disk = opened(image([0], size=1 << 62))
    assert kinds(disk) == [(0, 64 * C, "hole", None), (64 * C, (1 << 62) - 64 * C, "data", None)]
    with pytest.raises(DiskError, match="over the cap"):
        opened(image([0], size=1 << 63))
    with pytest.raises(DiskError, match="L1 table of"):
        opened(image([0], l1_size=1 << 23))
    with pytest.raises(UnsupportedError, match="unknown-9"):
        opened(image([0], incompatible=1 << 9))
    with pytest.raises(DiskError, match="extended L2"):
        opened(image([0, 0], incompatible=EXTENDED_L2))


def test_backing_that_is_not_followed() -> None:
    """Holes are references then: told, and a clear error to read; the rest reads."""
    disk = opened(image([3 * C, 0, ZERO], A, backing=b"base.raw"))
    assert kinds(disk) == [(0, C, "data", 3 * C), (C, C, "reference", None), (2 * C, C, "zero", None)]
    assert disk.read_at(0, C) + disk.read_at(2 * C, C) == A + bytes(C)
    with pytest.raises(NotFollowedError, match="--follow"):
        disk.read_at(C - 1, 2)


def with_data_file(folder: Path, length: int = 4 * C) -> Path:
    """An image beside its data file; clusters 0 and 2 lie in it at 0 and 1024, 3 is compressed, 4 outside."""
    name = b"data.raw"
    extension = struct.pack(">II", 0x44415441, len(name)) + name + bytes(8)
    entries = [COPIED, ZERO, 2 * C | COPIED, packed(3 * C, 10), 40 * C | COPIED, 0]
    path = folder / "image.qcow2"
    path.write_bytes(image(entries, incompatible=DATA_FILE, extensions=extension))
    (folder / "data.raw").write_bytes((A + B + D + A)[:length])
    return path


def test_data_file(tmp_path: Path) -> None:
    """Offsets count in the data file, offset 0 too; nothing is compressed there. Not followed, data is elsewhere."""
    path = with_data_file(tmp_path)
    with open_disk(path, follow=True) as disk:
        first = list(disk.extents())[:3]
        assert first == [
            Extent(0, C, "data", 0, 0, "data.raw"),
            Extent(C, C, "zero"),
            Extent(2 * C, C, "data", 2 * C, 0, "data.raw"),
        ]
        assert disk.read_at(0, 3 * C) == A + bytes(C) + D
        assert disk.read_at(5 * C, C) == bytes(C)
        for bad in (3, 4):
            with pytest.raises(DiskError):
                disk.read_at(bad * C, 1)
    with open_disk(path) as disk:
        told = [(extent.kind, extent.host_offset) for extent in disk.extents()]
        assert told == [
            ("reference", None),
            ("zero", None),
            ("reference", None),
            ("data", None),
            ("reference", None),
            ("hole", None),
        ]
        assert disk.read_at(C, C) == bytes(C)
        with pytest.raises(NotFollowedError):
            disk.read_at(0, 1)


def test_closing_closes_what_is_linked(tmp_path: Path) -> None:
    """The image and its data file are closed with the disk; twice is fine."""
    disk = open_disk(with_data_file(tmp_path), follow=True)
    assert disk.allocated is not None
    disk.close()
    disk.close()
    with pytest.raises(InputError, match="cannot read"):
        disk.read_at(0, 1)


def test_snapshots_by_name_and_id() -> None:
    """Each has its own disk; the id comes first; a name nobody has is the caller's error."""
    data = fixture("qcow2/snapshots.qcow2")
    for wanted in ("1", "first", "2", "zweiter Stand ✓"):
        disk = opened(data, snapshot=wanted)
        assert disk.size == 65536
        assert disk.read_at(0, 65536) == bytes(65536)
    with pytest.raises(UsageError, match="no snapshot 'third'"):
        opened(data, snapshot="third")
    few = DEFAULT._replace(qcow2_snapshots_listed=1)
    assert opened(data, snapshot="2", limits=few).size == 65536


def test_threads_read_the_same() -> None:
    """Many threads over compressed and plain clusters, in parts: what one thread reads."""
    chance = random.Random(5)
    pages = [chance.randbytes(100) * 41 for _ in range(40)]
    streams = [raw_deflate(page[:4096]) for page in pages]
    entries = [packed((3 + number) * 4096, len(stream), 12) for number, stream in enumerate(streams)]
    disk = opened(image(entries, *streams, bits=12))
    expected = b"".join(page[:4096] for page in pages)
    ranges = [(chance.randrange(disk.size), chance.choice((10, 4096, 9000))) for _ in range(500)]
    with ThreadPoolExecutor(8) as pool:
        for (offset, length), got in zip(ranges, pool.map(lambda at: disk.read_at(*at), ranges), strict=True):
            assert got == expected[offset : offset + length]


def test_reading_loads_no_numpy(tmp_path: Path) -> None:
    """A single read looks entries up plainly."""
    path = tmp_path / "image.qcow2"
    path.write_bytes(image([3 * C, 0], A))
    program = (
        "import sys; from imgtool.disks.open import open_disk; d = open_disk(sys.argv[1]); "
        "d.read_at(0, 1024); sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(path)], check=False).returncode == 0
